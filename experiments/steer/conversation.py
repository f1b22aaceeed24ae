"""One connection of a client's, with somebody in between who holds back what is said.

The client takes it for its connection to the server. Its messages are cut into units, and the next
one is made a `Turn`, which waits for somebody to send it. Answers are held back as well, until
everything that the client has asked for is answered, so that its code goes on at one moment.

A unit that takes neither a snapshot nor a lock (BEGIN, SET, the preparation of a statement) is no
choice of a schedule; where the client goes on without waiting for its answer, it travels with what
follows. What the transaction's isolation level is, is read off BEGIN, and asked of the server where
a session may have changed it in any other way.
"""

from __future__ import annotations

import socket
import struct
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from experiments.sql.commands import UNKNOWN_LEVEL, Command, command
from experiments.steer.messages import SYNC, Cutter, Frames, Unit, message
from experiments.steer.turn import LOST, Failure, Result, Turn

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from experiments.schedules.schedule import Kind

PIECE = 65536
IDLE, OPEN, FAILED = b"ITE"
MOST_ROWS = 20
"""Rows of an answer that are kept, for whoever reads a transcript."""

_ABOUT = b"SELECT pg_backend_pid(), current_setting('transaction_isolation')"
_LEVEL = b"SHOW transaction_isolation"
_UNLOCK = b"SELECT pg_advisory_unlock_all()"
_UNASKED = b"NSA"  # notices, settings and notifications come whenever they like


class ConversationError(Exception):
    """The server can't be talked to in this way. The message is a sentence for the user."""


class _Bound(NamedTuple):
    """A statement with its parameters."""

    sql: str
    parameters: Sequence[bytes | None]
    formats: Sequence[bool]
    types: Sequence[int]


@dataclass(slots=True)
class _Awaited:
    """An answer that is due."""

    kinds: frozenset[int]
    describes: str = ""  # the statement whose parameters it describes
    swallowed: bool = False  # whether the client has not asked for it


@dataclass(slots=True)
class Known:
    """What the conversations of an exploration have learnt, and share.

    Attributes:
        types: The types of statements' parameters.
        loud: Statements that would be no choices and were seen to fail in a transaction, which then
            lets go of its locks: to let them through is a choice.
    """

    types: dict[str, Sequence[int]] = field(default_factory=dict)
    loud: set[str] = field(default_factory=set)


class Conversation:
    """One connection, in both directions, once it has been let in.

    Args:
        client: The client's end.
        server: The server's.
        pid: The server process.
        owner: Whose it is; None where several clients may use it.
        known: What other conversations have learnt.

    Attributes:
        head: The step that waits to be sent.
        flight: What was sent and is not answered.
        halted: What was sent and has looked, while `flight`, the rest of it, stands before a write.
        asks: Whether the client waits for an answer.
        session_locks: Whether it may hold locks that outlive their transaction.
        failed: The statements that were no choices and failed in a transaction.
        marked: Whether something was done to the session that would reach the next run.
        closed: Whether the server process has come to its end.
        leaving: Whether the client has gone, or has said that it will.
        loses: Whether the connection breaks before the next answer arrives.
    """

    def __init__(
        self,
        client: socket.socket,
        server: socket.socket,
        pid: int,
        *,
        owner: int | None,
        known: Known,
    ) -> None:
        self.client, self.server, self.pid = client, server, pid
        self.owner, self.shared = owner, owner is None
        self.head: Turn | None = None
        self.flight: Turn | None = None
        self.halted: Turn | None = None
        self.asks = self.session_locks = self.marked = self.closed = False
        self.leaving = self.loses = False
        self.stepped = False  # whether it has taken a step: what came before made it ready for use
        self._known = known
        self.failed: list[str] = []
        self._status = IDLE
        self._level = self._default = ""
        self._begin = ""  # the BEGIN that no step has shown yet
        self._implicit = False  # whether statements of a pipeline are a transaction by themselves
        self._skipping = False  # whether the server passes over everything up to the next Sync
        self._copying = False
        self._queue: deque[Unit] = deque()
        self._from_client, self._from_server = Frames(), Frames()
        self._cutter = Cutter()
        self._awaited: deque[_Awaited] = deque()
        self._outbox = bytearray()
        self._statements: dict[bytes, tuple[str, Sequence[int]]] = {}
        self._portals: dict[bytes, _Bound] = {}

    # From the client

    def hear(self, data: bytes) -> None:
        """Take what the client has sent; nothing at all means that it has gone."""
        if not data:
            self.asks = False
            if not self.leaving:  # the server has not seen what was held back, and never will
                self.head, self.leaving = None, True
                self._queue.clear()
                self._queue.append(Unit([message(b"X")], "terminate"))
            return
        for each in self._from_client.feed(data):
            for unit in self._cutter.feed(each):
                self._queue.append(unit)
                self.asks = self.asks if unit.lone else unit.asks
                self.leaving |= unit.ends == "terminate"

    @property
    def open(self) -> bool:
        """Whether a transaction of several statements is open, as far as was sent."""
        return self._status != IDLE or self._implicit

    @property
    def next(self) -> Turn | None:
        """The step that waits to be let through: a statement that is sent, or goes on."""
        return self.head or (self.flight if self.halted else None)

    @property
    def flying(self) -> Turn | None:
        """What goes on in the server, or waits there for another client."""
        return None if self.halted else self.flight

    @property
    def idle(self) -> bool:
        """Whether nothing is under way, and no transaction open."""
        return self._status == IDLE and not (
            self.flight or self.head or self._queue or self._implicit or self._awaited
        )

    @property
    def answered(self) -> bool:
        """Whether the client can be given everything that it has asked for."""
        return bool(self._outbox) and not (self.flight or self.head or self._queue)

    def next_turn(self) -> Turn | None:
        """Return the next thing to be sent; a step, or one that is `background` by itself.

        None where there is nothing, or something is under way.
        """
        if self.flight or self.head or not self._queue:
            return None
        carried: list[bytes] = []
        while True:
            unit = self._queue.popleft()
            turn = self._described(unit)
            turn.unit = Unit([*carried, *unit.messages], unit.ends)
            if not (turn.background and self._queue and unit.ends == "execute"):
                return turn
            carried = [*turn.unit.messages]
            self._foresee(command(turn.sql), turn.sql)

    def _described(self, unit: Unit) -> Turn:
        bound = self._read(unit)
        turn = Turn(
            self.pid,
            unit,
            "statement",
            bound.sql,
            bound.parameters,
            bound.formats,
            bound.types,
            self._known.types,
            in_transaction=self.open,
            isolation=self._level or self._default,
            client=-1 if self.owner is None else self.owner,
        )
        self._characterise(turn)
        if turn.sql in self._known.loud:
            turn.background = False
        if not turn.background and turn.kind == "statement" and turn.in_transaction:
            turn.begin, self._begin = self._begin, ""
        return turn

    def _characterise(self, turn: Turn) -> None:
        """Say of what kind a turn is, and whether it is a choice."""
        unit = turn.unit
        if self._skipping:
            turn.background = True
        elif unit.ends == "terminate":
            turn.background = not (self.open or self.session_locks)
            turn.kind = "rollback" if self.open else "statement"
            turn.sql = "ROLLBACK" if self.open else "-- disconnects"
        elif unit.ends in ("sync", "flush") and not unit.binds:
            commits = unit.ends == "sync" and self._implicit and self._status == IDLE
            turn.prepares = not commits and self.open and any(p[:1] == b"P" for p in unit.messages)
            turn.kind = "commit" if commits else "statement"
            turn.sql = "COMMIT" if commits else self._prepared(unit)
            turn.background = not commits
        elif unit.ends == "copy":
            turn.sql = "-- the data of COPY"
            turn.background = not self._copying
        else:
            self._characterise_statement(turn)

    def _prepared(self, unit: Unit) -> str:
        """What a unit prepares."""
        names = [p[5:].partition(b"\0")[0] for p in unit.messages if p[:1] == b"P"]
        return "; ".join(self._statements[name][0] for name in names)

    def _characterise_statement(self, turn: Turn) -> None:
        does = command(turn.sql)
        turn.kind = self._kind(does)
        turn.background = self._quiet(does)
        turn.prepares = turn.background and self.open and does.prepares
        if does.begins or does.ends:
            turn.in_transaction = True
        if does.level:
            turn.isolation = does.level
        # Several statements of a pipeline are a transaction, though nobody has said BEGIN.
        if turn.unit.ends == "execute" and not self.open and not turn.background:
            self._implicit = turn.in_transaction = True
            self._begin = "BEGIN"
        if turn.kind != "statement" and self._begin:
            turn.background = True  # the end of a transaction in which nothing has happened

    def _kind(self, does: Command) -> Kind:
        if not (does.ends and does.alone and self.open):
            return "statement"
        return "rollback" if self._status == FAILED else does.ends or "statement"

    def _quiet(self, does: Command) -> bool:
        if does.unlocks:
            return does.quiet and not self.session_locks
        # Where no transaction is open, there is none to be ended.
        return does.quiet or (bool(does.ends) and does.alone and not self.open)

    def _foresee(self, does: Command, sql: str) -> None:
        """Take account of a quiet unit before it is answered."""
        if does.begins:
            self._status = OPEN
            self._begin = sql
            self._level = does.level or self._default
        elif does.ends:
            self._status, self._begin, self._level = IDLE, "", ""
        elif does.level:
            self._level = does.level

    def _read(self, unit: Unit) -> _Bound:
        """Return what a unit runs, and remember what it prepares."""
        found = _Bound("", (), (), ())
        for each in unit.messages:
            kind, body = each[:1], each[5:]
            if kind == b"Q":
                found = _Bound(body.rstrip(b"\0").decode(errors="replace"), (), (), ())
            elif kind == b"P":
                name, _, rest = body.partition(b"\0")
                text, _, rest = rest.partition(b"\0")
                oids = struct.unpack_from(f"!{_short(rest, 0)}I", rest, 2)
                self._statements[name] = (text.decode(errors="replace"), oids)
            elif kind == b"B":
                portal, bound = self._bind(body)
                self._portals[portal] = found = bound
            elif kind == b"E":
                found = self._portals.get(body.partition(b"\0")[0], found)
            elif kind == b"F":
                found = _Bound("CALL fastpath()", (), (), ())
            elif kind == b"C":
                known = self._statements if body[:1] == b"S" else self._portals
                known.pop(body[1:-1], None)
        return found

    def _bind(self, body: bytes) -> tuple[bytes, _Bound]:
        portal, _, rest = body.partition(b"\0")
        name, _, rest = rest.partition(b"\0")
        sql, oids = self._statements.get(name, ("", ()))
        count = _short(rest, 0)
        codes = struct.unpack_from(f"!{count}H", rest, 2)
        at = 2 + 2 * count
        number, at = _short(rest, at), at + 2
        parameters = _values(rest, at, number)
        formats = [bool(code) for code in codes] if count == number else [any(codes)] * number
        return portal, _Bound(sql, parameters, formats, oids)

    # To the server, and back

    def send(self, turn: Turn) -> None:
        """Forward a turn."""
        self.head, self.flight = None, turn
        if turn.background and turn.kind == "statement":
            self._foresee(command(turn.sql), turn.sql)
        elif not turn.background:
            self.stepped = True
        self.session_locks |= turn.statement is not None and turn.statement.outlives
        self.marked |= self.stepped and command(turn.sql).leaves
        written = self._awaiting(turn.unit)
        try:
            self.server.sendall(written)
        except OSError:
            self._broken()
            return
        if turn.unit.ends == "terminate":
            return  # the end of the connection is the answer
        if not self._awaited:
            self._complete()

    def halt(self) -> None:
        """What was sent stands before a write: the rest of it is a step of its own."""
        first = self.flight
        assert first is not None
        self.flight, self.halted = first.rest(), first
        first.result, first.halted = Result(), True

    def go_on(self) -> None:
        """The rest of what was sent is let through."""
        self.halted = None

    def _end_of_halt(self, turn: Turn) -> None:
        """Take account of what ended before its rest was let through: it was cancelled, say."""
        first, self.halted = self.halted, None
        if first is not None:
            first.halted, first.answered_at = False, None
            first.result, first.error = turn.result, turn.error

    def _awaiting(self, unit: Unit) -> bytes:
        """Note which answers are due, and return what to send.

        The server is asked once for the types of a statement's parameters, which only the
        statement that is prepared can tell.
        """
        if unit.ends == "copy":
            self._copying = False
            simple = unit.messages[-1] != SYNC
            if not simple or self.flight is None or not self.flight.background:
                self._awaited.append(_Awaited(frozenset(b"Z")))
            return unit.sent()
        sent: list[bytes] = []
        for each, kinds in zip(unit.messages, unit.answers(), strict=True):
            sent.append(each)
            if kinds is None or (self._skipping and each != SYNC):
                continue
            awaited = _Awaited(kinds)
            if each[:1] == b"D" and each[5:6] == b"S":
                awaited.describes = self._statements.get(each[6:-1], ("",))[0]
            self._awaited.append(awaited)
            if each[:1] == b"P" and not self._skipping:
                name = each[5:].partition(b"\0")[0]
                text = self._statements[name][0]
                if text and text not in self._known.types and "$" in text:
                    sent.append(message(b"D", b"S" + name + b"\0"))
                    self._awaited.append(_Awaited(frozenset(b"Tn"), text, swallowed=True))
        return Unit(sent, unit.ends).sent()

    def take(self, data: bytes) -> None:
        """Take what the server has sent; nothing at all means that it has gone."""
        if not data:
            self._broken()
            return
        for each in self._from_server.feed(data):
            self._take(each)

    def _take(self, each: bytes) -> None:
        kind, turn = each[0], self.flight
        due = self._awaited[0] if self._awaited else None
        if kind in _UNASKED or turn is None or due is None:
            self._outbox += each
            if kind == ord("E") and turn is not None:
                turn.error = _failure(each)
            return
        if kind == ord("E"):
            self._outbox += each
            turn.error = failure = _failure(each)
            if failure.severity in ("FATAL", "PANIC"):
                return
            while self._awaited and ord("Z") not in self._awaited[0].kinds:
                self._awaited.popleft()
            if not self._awaited:
                self._skipping = True
        else:
            self._result(turn, kind, each, due)
            if not due.swallowed:
                self._outbox += each
            if self._awaited and kind in due.kinds:
                self._awaited.popleft()
        if not self._awaited and self.flight is turn:
            self._complete()

    def _result(self, turn: Turn, kind: int, each: bytes, due: _Awaited) -> None:
        """Read what an answer says."""
        result = turn.result
        if kind == ord("Z"):
            self._status = each[5]
            self._skipping = self._implicit = False
        elif kind == ord("t"):
            if due.describes:
                count = _short(each, 5)
                self._known.types[due.describes] = struct.unpack_from(f"!{count}I", each, 7)
        elif due.swallowed:
            return
        elif kind == ord("T"):
            result.columns, result.rows, result.count = _columns(each), [], 0
        elif kind == ord("D"):
            result.count += 1
            if result.count <= MOST_ROWS:
                result.rows.append(_row(each))
        elif kind == ord("C"):
            result.tag = each[5:-1].decode()
        elif kind in b"GW":
            # The data come in a unit of their own. A Sync that was sent already is passed over.
            self._copying = True
            self._awaited.clear()

    def _complete(self) -> None:
        """Take account of what a turn did, now that it is answered."""
        turn = self.flight
        assert turn is not None
        does = command(turn.sql)
        self.flight = None
        self._end_of_halt(turn)
        if turn.error is not None and turn.background and turn.in_transaction:
            self.failed.append(turn.sql)
        in_step = turn.unit.ends in ("query", "statement", "sync", "copy")
        if not in_step and turn.error is None and turn.unit.ends == "execute":
            if does.begins:
                self._status = OPEN
            elif does.ends:
                self._status = IDLE
        if not in_step and turn.error is not None and not self._implicit:
            self._status = FAILED if self._status != IDLE else IDLE
        if does.begins and not turn.background and turn.error is None:
            self._level = does.level or self._default
        if self._status == IDLE and not self._implicit:
            self._level = self._begin = ""
        if UNKNOWN_LEVEL in (does.level, self._level, self._default):
            self._learn_level(can_ask=in_step and self._status != FAILED)

    def _learn_level(self, *, can_ask: bool) -> None:
        if not can_ask:
            self._default = self._level = UNKNOWN_LEVEL
            return
        level = self.ask(_LEVEL)[0][0].decode().upper()
        if self._status == IDLE:
            self._default, self._level = level, ""
        else:
            self._level = level

    def _broken(self) -> None:
        """The server has gone."""
        self.closed = True
        self._awaited.clear()
        self._queue.clear()
        self.head = None
        turn, self.flight = self.flight, None
        if turn is not None:
            if turn.error is None and turn.unit.ends != "terminate":
                turn.error = Failure(LOST, "the connection was lost")
            self._end_of_halt(turn)

    # By the one in between

    def begin(self) -> bytes:
        """Ask who serves the connection and under which level; return what it said besides.

        Raises:
            ConversationError: Somebody stands in between who lends server processes.
        """
        ((pid, level),) = self.ask(_ABOUT)
        if int(pid) != self.pid:
            raise ConversationError(
                "A pooler stands between here and PostgreSQL: name the server itself, since who"
                " waits for whom can't be told through a pooler."
            )
        self._default = level.decode().upper()
        said, self._outbox = bytes(self._outbox), bytearray()
        return said

    def unlock(self) -> None:
        """Let go of the locks that outlive their transaction."""
        self.ask(_UNLOCK)
        self.session_locks = False

    def ask(self, sql: bytes) -> list[tuple[bytes, ...]]:
        """Ask the server something of which the client learns nothing; it must be idle.

        Raises:
            OSError: The server has gone.
        """
        self.server.sendall(message(b"Q", sql + b"\0"))
        rows: list[tuple[bytes, ...]] = []
        for each in self._heard():
            if each[0] in _UNASKED:
                self._outbox += each
            elif each[0] == ord("D"):
                rows.append(tuple(value or b"" for value in _row(each)))
            elif each[0] == ord("Z"):
                break
        return rows

    def _heard(self) -> Iterator[bytes]:
        while data := self.server.recv(PIECE):
            yield from self._from_server.feed(data)
        raise ConnectionResetError

    def hang_up_on_server(self) -> None:
        """Break the connection, and wait until the server process has let go of everything."""
        with suppress(OSError):
            self.server.shutdown(socket.SHUT_WR)
        self.await_silence()

    def await_silence(self) -> None:
        """Pass over what the server still says, until it has let go of everything."""
        with suppress(OSError):
            while self.server.recv(PIECE):
                pass

    def await_end(self) -> None:
        """Take what the server says last; it has been told to end."""
        while not self.closed:
            try:
                self.take(self.server.recv(PIECE))
            except OSError:
                self.take(b"")

    def delivery(self) -> bytes:
        """Return what is held back for the client, which then goes on."""
        held, self._outbox = bytes(self._outbox), bytearray()
        self.asks = False
        return held

    def hang_up(self) -> None:
        """Close both ends."""
        self.closed = True
        for each in (self.client, self.server):
            with suppress(OSError):
                each.close()


def _short(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "big")


def _columns(each: bytes) -> tuple[tuple[int, bool], ...]:
    found, at = [], 7
    for _ in range(_short(each, 5)):
        at = each.index(b"\0", at) + 1
        _, _, oid, _, _, code = struct.unpack_from("!IhIhih", each, at)
        found.append((oid, bool(code)))
        at += 18
    return tuple(found)


def _row(each: bytes) -> tuple[bytes | None, ...]:
    return _values(each, 7, _short(each, 5))


def _values(data: bytes, at: int, count: int) -> tuple[bytes | None, ...]:
    """Read values, each with its length before it, which is negative for NULL."""
    values: list[bytes | None] = []
    for _ in range(count):
        (size,) = struct.unpack_from("!i", data, at)
        at += 4
        values.append(None if size < 0 else data[at : at + size])
        at += max(size, 0)
    return tuple(values)


def _failure(each: bytes) -> Failure:
    fields = {part[:1]: part[1:].decode(errors="replace") for part in each[5:].split(b"\0") if part}
    text = fields.get(b"M", "").partition("\n")[0]
    severity = fields.get(b"V", "ERROR")
    words = text if severity == "ERROR" else f"{severity}: {text}"
    return Failure(fields.get(b"C", ""), words, severity)
