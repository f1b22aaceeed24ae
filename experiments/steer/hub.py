"""The hub: where clients connect, and from which their statements go on to the server.

It listens on a Unix socket for each client, in folders that nobody else may enter, or on one that
all clients of a program share; and, for drivers that know only TCP, on the loopback interface,
where whoever connects has to know a password made for this hub. Everything happens in `listen`, in
one thread: the hub takes what has arrived, and says what has changed.

At most one client's code runs at any time, as far as it can be seen from here: from the moment that
an answer is delivered to it until it has asked for another or has come to its end. A statement on a
connection that nobody has is of the client that runs, or that ran last; the connection is then its
own until the server says that no transaction is open. Where somebody waits inside of the program
for a connection, whoever waits longest is taken to have got the one that comes free.
"""

from __future__ import annotations

import re
import secrets
import selectors
import shutil
import socket
import struct
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.sql.commands import command
from experiments.steer.conversation import PIECE, Conversation, ConversationError, Known
from experiments.steer.faults import LOST_ANSWER
from experiments.steer.messages import Frames, message, opening

if TYPE_CHECKING:
    from collections.abc import Mapping

    import sqlalchemy

    from experiments.steer.blockers import Blockers
    from experiments.steer.turn import Turn

PORT = 5432
SECONDS = 10.0
"""How long the server may take to let a connection in."""

_CANCEL, _TLS, _GSS = 80877102, 80877103, 80877104
_CLIENT = re.compile(r"\bclient=(?:'|%27|)(\d+)")
_COMMENT = re.compile(r"/\*.*?\*/", re.DOTALL)
# A trace as W3C writes it; the lab's own carry the client's number.
_TRACE = re.compile(r"traceparent='00-b00c([0-9a-f]{28})-")

Judge = Callable[["Turn"], None]


@dataclass(slots=True)
class Gate:
    """Where connections come in.

    Attributes:
        listener: The listening socket.
        owner: Whose connections these are; None where several clients share it.
        password: What a connection over TCP has to know; empty where the server itself asks.
    """

    listener: socket.socket
    owner: int | None
    password: str = ""


@dataclass(slots=True, eq=False)
class Caller:
    """A connection that has not been let in yet.

    Attributes:
        gate: Where it came in.
        client: The client's end.
        server: The server's, once it is known whom to connect.
        received: What the client has sent of its first packet.
        startup: That packet.
        pid: The server process.
        frames: Puts together what the server says.
    """

    gate: Gate
    client: socket.socket
    server: socket.socket | None = None
    received: bytes = b""
    startup: bytes = b""
    pid: int = 0
    frames: Frames = field(default_factory=Frames)


class Hub:
    """Connects clients to the server, and holds back what they say to each other.

    Args:
        url: The database.
        settings: Settings of the server for the clients' sessions.
        judge: Called with each turn that is no quiet one by itself; says in `background` whether
            it is to be let through at once.
        background: What nobody's statements look like, those of a pool that keeps itself awake,
            as a regular expression; they are let through and counted.

    Attributes:
        conversations: The connections that were let in and have not come to their end.
        clients: How many there are.
        running: Whose code runs.
        last: Whose code ran last.
        inside: Who waits inside of the program, whoever waits longest first.
        guessed: How many statements were given to the one of them who waits longest.
        nobodys: How many statements were nobody's.
        known: What the conversations have learnt.
        together: Whether a client had two statements under way at one time.
    """

    def __init__(
        self,
        url: sqlalchemy.URL,
        settings: Mapping[str, str],
        judge: Judge,
        background: str | None = None,
    ) -> None:
        _, self._arguments = url.get_dialect()().create_connect_args(url)
        self._url, self._settings, self._judge = url, settings, judge
        self._background = re.compile(background, re.IGNORECASE) if background else None
        self._folder = Path(tempfile.mkdtemp(prefix="lab-hub-"))
        self._passed_on: list[Caller] = []
        self._selector = selectors.DefaultSelector()
        self.known = Known()
        self.conversations: list[Conversation] = []
        self.clients = 0
        self.running: int | None = None
        self.last = 0
        self.inside: list[int] = []
        self.guessed = 0
        self.nobodys = 0
        self.together = False
        self.problem = ""

    def close(self) -> None:
        """Close everything, and remove the folders."""
        for each in list(self.conversations):
            self.drop(each)
        for key in list(self._selector.get_map().values()):
            with suppress(OSError):
                key.fileobj.close()  # type: ignore[union-attr]  # sockets, all of them
        self._selector.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    # Gates

    def gate(self, owner: int | None) -> sqlalchemy.URL:
        """Open a gate, and return the URL under which the database is found behind it."""
        folder = self._folder / ("all" if owner is None else str(owner))
        folder.mkdir(mode=0o700)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(str(folder / f".s.PGSQL.{PORT}"))
        self._open(Gate(listener, owner))
        return self._url._replace(host=None, port=PORT).set(
            query=self._query() | {"host": str(folder)}
        )

    def loopback(self, owner: int | None) -> sqlalchemy.URL:
        """Open a gate on the loopback interface, for drivers that know only TCP."""
        listener = socket.create_server(("127.0.0.1", 0))
        # A server that asks for no password knows its clients by their sockets; here nobody does.
        password = "" if self._url.password else secrets.token_urlsafe(16)
        self._open(Gate(listener, owner, password))
        port = listener.getsockname()[1]
        return self._url.set(
            host="127.0.0.1",
            port=port,
            password=password or self._url.password,
            query=self._query(),
        )

    def _query(self) -> dict[str, str | tuple[str, ...]]:
        left_out = ("host", "port", "hostaddr", "sslmode", "gssencmode")
        return {name: value for name, value in self._url.query.items() if name not in left_out}

    def _open(self, gate: Gate) -> None:
        gate.listener.listen(128)
        self.watch(gate.listener, lambda: self._accept(gate))

    def watch(self, what: socket.socket, then: Callable[[], None]) -> None:
        """Have something called when a socket has something to read."""
        self._selector.register(what, selectors.EVENT_READ, then)

    def unwatch(self, what: socket.socket | None) -> None:
        """Forget a socket."""
        if what is not None:
            with suppress(KeyError, ValueError):
                self._selector.unregister(what)

    # Letting in

    @property
    def busy(self) -> bool:
        """Whether somebody's program waits for the server, and not for a step to be granted."""
        return bool(self._passed_on) or any(
            one.flight is not None and one.flight.background for one in self.conversations
        )

    def _accept(self, gate: Gate) -> None:
        client, _ = gate.listener.accept()
        client.settimeout(SECONDS)
        caller = Caller(gate, client)
        self.watch(client, lambda: self._greet(caller))

    def _greet(self, caller: Caller) -> None:
        """Take what a client says before it is let in."""
        data = _received(caller.client)
        if not data:
            self._turn_away(caller)
        elif caller.server is not None:
            with suppress(OSError):
                caller.server.sendall(data)
        elif caller.startup:
            self._check_password(caller, data)
        else:
            caller.received += data
            try:
                while (split := opening(caller.received)) and caller.server is None:
                    packet, caller.received = split
                    self._open_up(caller, packet)
            except (OSError, struct.error):  # whoever that is doesn't speak the protocol
                self._turn_away(caller)

    def _open_up(self, caller: Caller, packet: bytes) -> None:
        (code,) = struct.unpack_from("!I", packet, 4)
        if code in (_TLS, _GSS):
            caller.client.sendall(b"N")
        elif code == _CANCEL:
            with suppress(OSError), self._reach() as server:
                server.sendall(packet)
                server.recv(1)  # until the server has passed it on
            self._turn_away(caller)
        else:
            caller.startup = self._with_settings(packet)
            if caller.gate.password:
                caller.client.sendall(message(b"R", struct.pack("!I", 3)))
            else:
                self._pass_on(caller)

    def _check_password(self, caller: Caller, data: bytes) -> None:
        if secrets.compare_digest(data[5:].rstrip(b"\0"), caller.gate.password.encode()):
            self._pass_on(caller)
        else:
            self._refuse(caller, "28P01", "this hub lets its own clients in, and nobody else")

    def _pass_on(self, caller: Caller) -> None:
        try:
            caller.server = self._reach()
        except OSError as error:
            self._refuse(caller, "08006", f"the server can't be reached: {error}")
            return
        self._passed_on.append(caller)
        caller.server.sendall(caller.startup)
        self.watch(caller.server, lambda: self._hear_server(caller))

    def _hear_server(self, caller: Caller) -> None:
        """Take what the server says to somebody who is not let in yet."""
        assert caller.server is not None
        data = _received(caller.server)
        if not data:
            self._turn_away(caller)
            return
        for each in caller.frames.feed(data):
            if each[:1] == b"K":
                (caller.pid,) = struct.unpack_from("!i", each, 5)
            if each[:1] == b"Z":
                self._let_in(caller, each)
                return
            with suppress(OSError):
                caller.client.sendall(each)

    def _let_in(self, caller: Caller, ready: bytes) -> None:
        assert caller.server is not None
        self._passed_on.remove(caller)
        self.unwatch(caller.client)
        self.unwatch(caller.server)
        owner = caller.gate.owner
        new = Conversation(caller.client, caller.server, caller.pid, owner=owner, known=self.known)
        if owner is None and (tagged := _CLIENT.search(_application(caller.startup))):
            new.owner, new.shared = int(tagged[1]), False
        try:
            said = new.begin()
        except (ConversationError, OSError) as error:
            self.problem = str(error)
            self._turn_away(caller)
            return
        self.conversations.append(new)
        self.watch(new.client, lambda: self._from_client(new))
        self.watch(new.server, lambda: self._from_server(new))
        self._write(new, said + ready)

    def _refuse(self, caller: Caller, sqlstate: str, why: str) -> None:
        parts = {"S": "FATAL", "V": "FATAL", "C": sqlstate, "M": why}
        body = b"".join(f"{name}{value}\0".encode() for name, value in parts.items())
        with suppress(OSError):
            caller.client.sendall(message(b"E", body + b"\0"))
        self._turn_away(caller)

    def _turn_away(self, caller: Caller) -> None:
        if caller in self._passed_on:
            self._passed_on.remove(caller)
        for each in (caller.client, caller.server):
            self.unwatch(each)
            if each is not None:
                each.close()

    def _reach(self) -> socket.socket:
        host = str(self._arguments.get("host") or "localhost")
        port = int(self._arguments.get("port") or PORT)
        if host.startswith("/"):
            server = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            server.settimeout(SECONDS)
            server.connect(f"{host}/.s.PGSQL.{port}")
        else:
            server = socket.create_connection((host, port), SECONDS)
            server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return server

    def _with_settings(self, packet: bytes) -> bytes:
        """Add the settings to a startup packet, as options of the session."""
        parts = packet[8:].split(b"\0")
        named = dict(zip(parts[::2], parts[1::2], strict=False))
        named.pop(b"", None)
        options = " ".join(f"-c {name}={value}" for name, value in self._settings.items())
        named[b"options"] = b" ".join([named.get(b"options", b""), options.encode()]).strip()
        body = b"".join(name + b"\0" + value + b"\0" for name, value in named.items()) + b"\0"
        return struct.pack("!I", len(body) + 8) + packet[4:8] + body

    # What was said

    def listen(self, seconds: float) -> bool:
        """Take what has arrived, and say whether anything has.

        Args:
            seconds: How long to wait for it.

        Raises:
            ConversationError: The server can't be talked to in this way.
        """
        happened = False
        for key, _ in self._selector.select(seconds):
            happened = True
            key.data()
        if self.problem:
            problem, self.problem = self.problem, ""
            raise ConversationError(problem)
        return happened

    def _from_client(self, one: Conversation) -> None:
        data = _received(one.client)
        if not data:
            self.unwatch(one.client)
        one.hear(data)
        self._advance(one)
        if one.asks and one.owner is not None and one.owner == self.running:
            self.running = None

    def _from_server(self, one: Conversation) -> None:
        one.take(_received(one.server))
        if one.closed:
            self.unwatch(one.server)
            if not one.asks:
                self._part(one)
            return
        self._advance(one)
        if one.answered and (not one.asks or one.owner is None):  # nobody's code waits for it
            self._write(one, one.delivery())

    def _advance(self, one: Conversation) -> None:
        """Let through what is no choice; hold back what is one."""
        while (turn := one.next_turn()) is not None:
            if self._nobodys(one, turn):
                one.send(turn)
                continue
            if one.owner is None:
                one.owner = self._attributed(turn)
            turn.client = one.owner
            if one.owner in self.inside:
                self.inside.remove(one.owner)
            if not turn.background or turn.prepares:
                self._judge(turn)
            if not turn.background:
                self.together |= any(
                    under_way is not None and not under_way.background
                    for other in self.conversations
                    if other.owner == one.owner
                    for under_way in (other.head, other.flight)
                )
                one.head = turn
                return
            one.send(turn)

    def _attributed(self, turn: Turn) -> int:
        comments = " ".join(_COMMENT.findall(turn.sql))
        for pattern, base in ((_CLIENT, 10), (_TRACE, 16)):
            tagged = pattern.search(comments)
            if tagged and int(tagged[1], base) < self.clients:
                return int(tagged[1], base)
        # What makes a connection ready for the next is sent by whoever gives it back.
        if self.inside and (not turn.background or command(turn.sql).begins):
            self.guessed += 1
            return self.inside[0]
        return self.last if self.running is None else self.running

    def _nobodys(self, one: Conversation, turn: Turn) -> bool:
        """Whether a statement is the pool's own, which keeps itself awake."""
        if self._background is None or one.open or not one.shared:
            return False
        if not self._background.fullmatch(turn.sql.strip(" ;\n")):
            return False
        self.nobodys += 1
        return True

    def send(self, turn: Turn) -> None:
        """Let a step through."""
        one = next(one for one in self.conversations if one.head is turn)
        one.loses = turn.fault == LOST_ANSWER
        one.send(turn)
        self._advance(one)

    def go_on(self, one: Conversation, turn: Turn) -> None:
        """Take account of a statement that stood before a write and is let through."""
        one.loses = turn.fault == LOST_ANSWER
        one.go_on()

    def cut(self, one: Conversation) -> None:
        """Break a connection; its client's code goes on as soon as it notices."""
        self.unwatch(one.client)
        self.unwatch(one.server)
        one.hang_up_on_server()
        self.conversations.remove(one)
        self.running = self.last = one.owner or 0
        one.hang_up()

    def end_session(self, one: Conversation, blockers: Blockers) -> None:
        """Have the server end a session, whatever it does, and tell its client."""
        blockers.end([one.pid])
        one.await_end()
        self.deliver(one)

    def holder(self, client: int, *, waiting: bool) -> Conversation:
        """The connection whose step a client is about to take, or in which it waits."""
        return next(
            one
            for one in self.conversations
            if one.owner == client and (one.flying if waiting else one.next)
        )

    def deliver(self, one: Conversation) -> int:
        """Give a client what it has asked for, and return whose code goes on."""
        assert one.owner is not None
        self.running = self.last = owner = one.owner
        if one.closed:
            self._part(one)
        elif one.loses:
            self.cut(one)
        else:
            if one.shared and one.idle:
                one.owner = None
            self._write(one, one.delivery())
        return owner

    def _write(self, one: Conversation, data: bytes) -> None:
        # Whoever has asked takes its answer; one that doesn't is found to be stuck soon enough.
        with suppress(OSError):
            one.client.sendall(data)

    def let_through(self, seconds: float) -> None:
        """Hold nothing back for a while: nobody plays yet.

        Args:
            seconds: How long to wait for something to happen.
        """
        self.listen(seconds)
        for one in list(self.conversations):
            if one.head:
                self.send(one.head)
            if one.asks and (one.answered or one.closed):
                self.deliver(one)
        self.running = None

    # Ends

    def _part(self, one: Conversation) -> None:
        """A server process has gone: tell its client what it said last."""
        self._write(one, one.delivery())
        self.drop(one)

    def end(self, one: Conversation, blockers: Blockers) -> None:
        """End a session, whatever it is doing, and wait until its locks are gone."""
        self.unwatch(one.client)
        self.unwatch(one.server)
        blockers.end([one.pid])
        # A server process closes its connection when it has let go of everything.
        one.await_silence()
        self.drop(one)

    def drop(self, one: Conversation) -> None:
        """Close a connection at both ends; its server process notices by itself."""
        self.unwatch(one.client)
        self.unwatch(one.server)
        if one in self.conversations:
            self.conversations.remove(one)
        one.hang_up()


def _received(one: socket.socket) -> bytes:
    try:
        return one.recv(PIECE)
    except OSError:
        return b""


def _application(startup: bytes) -> str:
    _, found, rest = startup.partition(b"\0application_name\0")
    return rest.partition(b"\0")[0].decode(errors="replace") if found else ""
