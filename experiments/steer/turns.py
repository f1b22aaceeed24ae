"""The turns: one client's step is let through to the server, and what follows is awaited.

After every step each client is in one of four states. It is *ready*: its next step is held back, on
its way to the server or, where a statement has looked and is about to write, inside of it.
It is *done*. It is *waiting in the server*, which PostgreSQL alone decides: an answer that takes
longer than half a millisecond is a reason to ask, never a reason to conclude. Or it waits *inside*
of its program, for a connection or a lock that another client has; the kernel tells (`quiet`). Only
when every client is in one of the four is the next step let through, so a schedule is the same
schedule however slow the machine is.

Where clients wait inside of their program, who has begun before whom is a choice, too: the start of
a client is then a step.

Two things are left to the server: in which order clients go on that one step lets go on, and which
transaction is ended where all wait in a circle. Such steps are marked.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, NamedTuple

from experiments.steer import quiet
from experiments.steer.blockers import Blockers, in_a_circle
from experiments.steer.clients import Client, Stuck
from experiments.steer.faults import AT_A_STEP, CUT, ENDED, ENDED_WAITING
from experiments.steer.messages import Unit
from experiments.steer.turn import LOST, Failure, Turn

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path
    from typing import Any

    from experiments.steer.conversation import Conversation
    from experiments.steer.hub import Hub

FIRST_LOOK = 0.0005
"""Seconds without an answer after which the server is asked who waits; they double up to..."""
LAST_LOOK = 0.01
LAST_SECONDS = 1.0
"""How long a client has to come to its end, once its connections were ended."""
DEADLOCK = "40P01"
ADMIN_SHUTDOWN = "57P01"
EXPLORER = -1
"""Stands for whom a statement waits that is held back before it writes."""


class Move(NamedTuple):
    """A choice: whose step is taken, and what goes wrong with it.

    Attributes:
        client: Whose.
        fault: A name of `experiments.schedules.labels.FAULTS`; empty where nothing goes wrong.
    """

    client: int
    fault: str = ""


class Turns:
    """The clients of one run, taking turns.

    Args:
        hub: Holds back what they send.
        clients: The clients.
        blockers: Tells who waits for whom.
        guard_seconds: How long a client's code, or the server, may take over a step that nobody
            blocks.
        pause: How long a client's code pauses by itself at most, in seconds.
        process: Tells in which process a client's code runs; None where it is a thread of this one.

    Attributes:
        taken: The steps so far.
        waiting: Who waits in the server, and for whom.
        parked: Whether anybody has had to wait inside of the program.
        hurried: Whether a function wrote more rows than it was held back for.
    """

    def __init__(  # noqa: PLR0913 - a run depends on as much
        self,
        hub: Hub,
        clients: Sequence[Client],
        blockers: Blockers,
        guard_seconds: float,
        *,
        pause: float = quiet.PAUSE,
        process: Callable[[int], int | None] = lambda _: None,
    ) -> None:
        self._hub = hub
        self._clients = clients
        self._blockers = blockers
        self._guard = guard_seconds
        self._pause = pause
        self._process = process
        self._now = 0
        self._ready: dict[int, Turn] | None = None
        self._starts: dict[int, Turn] = {}
        self._works: Mapping[int, Callable[[], Any]] = {}
        self.taken: list[Turn] = []
        self.waiting: dict[int, set[int]] = {}
        self.parked = self.hurried = False
        for client in clients:
            hub.watch(client.signal, lambda client=client: self._ended(client))  # type: ignore[misc]

    def begin(self, works: Mapping[int, Callable[[], Any]], *, starts: bool = False) -> None:
        """Run clients' code up to its first step, one after the other.

        Args:
            works: The code of each that takes part.
            starts: Whether their starts are steps; nobody's code runs yet then.

        Raises:
            Stuck: One doesn't get there.
        """
        self.taken, self.waiting, self._now, self._ready = [], {}, 0, None
        self._hub.inside, self.parked = [], False
        self._works = works
        self._starts = {}
        for number in works:
            if starts:
                unit = Unit([], "query")
                self._starts[number] = Turn(0, unit, "start", "-- starts", client=number)
            else:
                self._start(number)
                self._settle()

    def _start(self, number: int) -> None:
        client = self._clients[number]
        self._hub.running = self._hub.last = client.number
        client.begin(self._works[number])

    @property
    def ready(self) -> dict[int, Turn]:
        """The steps that could be let through, by client."""
        if self._ready is None:  # nothing changes until one of them is let through
            heads = dict(self._starts)
            for one in self._hub.conversations:
                if one.next is not None:  # of a client's two steps, that of the older connection
                    heads.setdefault(one.next.client, one.next)
            self._ready = dict(sorted(heads.items()))
        return self._ready

    @property
    def inside(self) -> Sequence[int]:
        """Who waits inside of the program."""
        return self._hub.inside

    @property
    def flying(self) -> list[Turn]:
        """The steps that were sent and not yet answered."""
        return [one.flying for one in self._hub.conversations if one.flying is not None]

    def grant(self, move: Move) -> Turn:
        """Let a client's step through, and wait until all clients are ready, done or waiting.

        Args:
            move: Whose step, and what goes wrong with it.

        Raises:
            Stuck: A client's code, or the server, takes too long.
        """
        client, fault = move
        self._now, self._ready = len(self.taken), None
        before = dict(self.waiting)
        if client in self._starts:
            turn = self._starts.pop(client)
            self.taken.append(turn)
            self._start(client)
            self._settle()
            turn.parked = client in self._hub.inside
            return turn
        one = self._hub.holder(client, waiting=fault == ENDED_WAITING)
        if fault == ENDED_WAITING:
            turn = Turn(one.pid, Unit([], "query"), "rollback", "ROLLBACK", client=client)
        else:
            assert one.next is not None
            turn = one.next
        turn.fault = fault
        self.taken.append(turn)
        if fault == CUT:
            turn.error = Failure(LOST, "the connection broke")
            self._hub.cut(one)
        elif fault in (ENDED, ENDED_WAITING):
            turn.error = Failure(ADMIN_SHUTDOWN, "terminating connection")
            if turn.kind == "write":
                self._hub.go_on(one, turn)
            self._hub.end_session(one, self._blockers)
        else:
            self._let_through(one, turn)
        self._settle()
        deadlock = any(each.answered_at == self._now and _deadlock(each) for each in self.taken)
        turn.server_decided = deadlock or self._several_let_go(client, before)
        return turn

    def _let_through(self, one: Conversation, turn: Turn) -> None:
        """Send a step, or let it go on."""
        # An answer is lost of the whole: how far a statement came is nothing that its client sees.
        turn.halts = 0 if turn.fault else turn.halts
        if turn.kind == "write":
            self._hub.go_on(one, turn)
            self._blockers.let_through(turn)
            return
        if turn.halts:
            self._blockers.shut(turn)
        elif turn.statement is not None and turn.statement.writes:
            self._blockers.open([turn.pid])
        self._hub.send(turn)

    @property
    def faults(self) -> list[Move]:
        """What could go wrong now.

        A connection that breaks while a statement stands before a write is noticed by the server
        when it has written: then its answer is lost.
        """
        at_steps = [
            Move(client, fault)
            for client, turn in self.ready.items()
            if turn.unit.ends != "terminate" and turn.kind != "start"
            for fault in AT_A_STEP
            if (turn.kind, fault) != ("write", CUT)
        ]
        return at_steps + [Move(client, ENDED_WAITING) for client in sorted(self.waiting)]

    def note(self, turn: Turn) -> None:
        """Note a step that is let through without being a choice."""
        turn.background = True
        turn.answered_at = len(self.taken)
        self.taken.append(turn)

    def await_ends(self, seconds: float) -> None:
        """Let clients whose connections were ended come to their end, if they do so by themselves.

        Args:
            seconds: How long that may take.
        """
        give_up = time.monotonic() + min(seconds, LAST_SECONDS)
        while not all(client.done for client in self._clients) and time.monotonic() < give_up:
            self._hub.listen(LAST_LOOK)
            for one in list(self._hub.conversations):
                if one.asks or one.head:
                    self._hub.end(one, self._blockers)

    def _ended(self, client: Client) -> None:
        client.hear()
        if client.number in self._hub.inside:
            self._hub.inside.remove(client.number)
        if self._hub.running == client.number:
            self._hub.running = None

    def _several_let_go(self, client: int, before: dict[int, set[int]]) -> bool:
        """Whether a client's step let several others go on, so that the server chose the order."""
        if before.keys() <= self.waiting.keys():
            return False
        if sum(others == {client} for others in before.values()) > 1:
            return True
        # A queue for a lock is served in its order. But who waits for a row that was changed
        # goes on to the row's next version, and there those who waited race for it.
        changed = {
            table
            for turn in self.taken
            if turn.client == client and turn.statement
            for table in turn.statement.writes
        }
        queue = [
            turn
            for turn in self.taken
            if turn.client in before and turn.waited_for and turn.statement
        ]
        latest = {turn.client: turn.statement for turn in queue}
        return (
            sum(
                bool(changed & each.tables) and bool(each.row_lock or each.writes)
                for each in latest.values()
                if each and each.table_lock is None
            )
            > 1
        )

    def _settle(self) -> None:
        """Wait until nobody's code runs, and whoever is in the server waits there."""
        patience = FIRST_LOOK
        give_up = time.monotonic() + self._guard
        while True:
            self._take_answers()
            if self._hub.running is None and self._deliver():
                continue
            running = self._hub.running
            moving = running is not None or self._unknown()
            circle = bool(self.waiting) and in_a_circle(self.waiting)
            # Whoever waits inside may have been let go on, and not have come here yet.
            if not moving and not circle and self._at_rest(self._hub.inside):
                return
            if self._hub.listen(patience if running is None else self._pause):
                patience = FIRST_LOOK
                continue
            if running is None:
                if moving or circle:
                    self._look()
                patience = min(2 * patience, LAST_LOOK)
            elif self._at_rest([running]):
                self._hub.inside.append(running)
                self._hub.running, self.parked = None, True
            if time.monotonic() > give_up:
                raise self._stuck()

    def _at_rest(self, clients: Sequence[int]) -> bool:
        """Whether nothing goes on in clients' programs, and nobody says anything."""
        threads = [thread for client in clients for thread in self._threads(client)]
        if not threads:
            return not clients
        before = quiet.look(threads)
        if before is None or self._hub.busy or self._hub.listen(quiet.BETWEEN):
            return False
        return quiet.look(threads) == before

    def _threads(self, client: int) -> list[Path]:
        process = self._process(client)
        if process is None:
            return quiet.of_thread(self._clients[client].thread)
        return quiet.of_process(process)

    def _stuck(self) -> Stuck:
        if self._hub.running is not None:
            return Stuck(self._hub.running)
        alone = [client for client, others in self.waiting.items() if client in others]
        if alone:
            return Stuck(alone[0], "waits for ever for a lock that it holds on another connection")
        if not self.flying:
            return Stuck(self._hub.inside[0], "waits inside of a program that never comes to rest")
        return Stuck(min(turn.client for turn in self.flying))

    def _unknown(self) -> bool:
        """Whether somebody is in the server of whom it is not known that they wait."""
        return any(turn.client not in self.waiting for turn in self.flying)

    def _take_answers(self) -> None:
        """Take account of the steps that were answered since."""
        unanswered = [turn for turn in self.taken if turn.answered_at is None]
        if not unanswered:
            return
        flying = self.flying
        for turn in unanswered:
            if turn.background or turn in flying:
                continue
            turn.answered_at = self._now
            self.waiting.pop(turn.client, None)
            if may_release(turn):
                # Whom it blocked may go on: the server has to be asked again.
                self.waiting = {
                    each: others
                    for each, others in self.waiting.items()
                    if turn.client not in others
                }

    def _deliver(self) -> bool:
        """Give one client what it waits for; say whether there was one."""
        answered = [
            one
            for one in self._hub.conversations
            if (one.asks and (one.answered or one.closed)) or (one.loses and not one.flight)
        ]
        if not answered:
            return False
        latest = self.taken[self._now].client if self.taken else -1
        one = min(answered, key=lambda each: (each.owner != latest, each.owner or 0))
        if self._clients[self._hub.deliver(one)].done:  # what goes on has told its result already
            self._hub.running = None
        return True

    def _look(self) -> None:
        """Ask the server which of those in flight wait for another client."""
        clients = {one.pid: one.owner for one in self._hub.conversations if one.owner is not None}
        flying = {turn.pid: turn for turn in self.flying}
        blocked = self._blockers.ask(flying, clients | {self._blockers.pid: EXPLORER})
        for pid in [pid for pid, others in blocked.items() if EXPLORER in others]:
            del blocked[pid]
            self._halt(flying.pop(pid))
        self.waiting = {flying[pid].client: others for pid, others in blocked.items() if others}
        for pid, others in blocked.items():
            flying[pid].waited_for |= others

    def _halt(self, turn: Turn) -> None:
        """Take account of a statement that stands before a write."""
        if not turn.halts:
            self._blockers.open([turn.pid])
            self.hurried |= turn.kind == "write" and bool(turn.statement and turn.statement.again)
            return
        one = next(one for one in self._hub.conversations if one.flight is turn)
        turn.answered_at = self._now
        one.halt()


def may_release(turn: Turn) -> bool:
    """Whether a step that was answered may have let go of locks."""
    return (
        turn.kind not in ("statement", "write")
        or not turn.in_transaction
        or turn.error is not None  # PostgreSQL lets go when the error occurs, not at ROLLBACK
        or turn.statement is None
        or turn.statement.releases
    )


def _deadlock(turn: Turn) -> bool:
    return turn.error is not None and turn.error.sqlstate == DEADLOCK
