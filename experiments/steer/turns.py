"""The turns: one client's step is let through to the server, and what follows is awaited.

After every step each client is in one of three states. It is *ready*: parked before its next
step. It is *done*. Or it is *waiting in the server*, which PostgreSQL alone decides: an answer
that takes longer than half a millisecond is a reason to ask, never a reason to conclude. Only when
every client is in one of the three is the next step let through, so a schedule is the same
schedule however slow the machine is.

Two things are left to the server: in which order clients go on that one step lets go on, and which
transaction is ended where all wait in a circle. Such steps are marked.
"""

from __future__ import annotations

import select
import time
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from psycopg.waiting import Ready, Wait

from experiments.steer.blockers import Blockers, in_a_circle
from experiments.steer.clients import Client, Stuck

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from experiments.steer.steering import Turn

FIRST_LOOK = 0.0005
"""Seconds without an answer after which the server is asked who waits; they double up to..."""
LAST_LOOK = 0.01
DEADLOCK = "40P01"


class _Flight(NamedTuple):
    """A step that was sent and not yet answered."""

    turn: Turn
    wants: Wait


class Turns:
    """The clients of one run, taking turns.

    Args:
        clients: The clients.
        blockers: Tells who waits for whom.
        guard_seconds: How long the server may take over a step that nobody blocks.

    Attributes:
        taken: The steps so far.
        waiting: Who waits in the server, and for whom.
    """

    def __init__(self, clients: Sequence[Client], blockers: Blockers, guard_seconds: float) -> None:
        self._clients = clients
        self._blockers = blockers
        self._guard = guard_seconds
        self._flights: dict[int, _Flight] = {}
        self._now = 0
        self.taken: list[Turn] = []
        self.waiting: dict[int, set[int]] = {}

    def begin(self, works: Sequence[Callable[[], Any]]) -> None:
        """Run every client's code up to its first step.

        Raises:
            Stuck: One doesn't get there.
        """
        self.taken, self.waiting, self._flights = [], {}, {}
        for client, work in zip(self._clients, works, strict=True):
            client.begin(work)

    @property
    def ready(self) -> dict[int, Turn]:
        """The steps that could be let through, by client."""
        return {client.number: client.turn for client in self._clients if client.turn}

    @property
    def flying(self) -> list[Turn]:
        """The steps that were sent and not yet answered."""
        return [flight.turn for flight in self._flights.values()]

    def grant(self, client: int) -> Turn:
        """Let a client's step through, and wait until all clients are ready, done or waiting.

        Raises:
            Stuck: A client's code, or the server, takes too long.
        """
        turn = self._clients[client].turn
        assert turn is not None
        self._now = len(self.taken)
        self.taken.append(turn)
        before = dict(self.waiting)
        self._clients[client].turn = None
        self._fly(client, turn)
        self._settle()
        deadlock = any(each.answered_at == self._now and _deadlock(each) for each in self.taken)
        turn.server_decided = deadlock or self._several_let_go(client, before)
        return turn

    def note(self, turn: Turn) -> None:
        """Note a step that is let through without being a choice."""
        turn.background = True
        turn.answered_at = len(self.taken)
        self.taken.append(turn)

    def dismiss(self) -> None:
        """End the run: every client's code gets an exception, and nothing is committed.

        Raises:
            Stuck: A client doesn't end.
        """
        for client in self._clients:
            if client.number in self._flights:
                client.dismissed = True
            else:
                client.dismiss()
        # Whom they blocked is answered now, and then ends too.
        self.waiting = {}
        try:
            self._settle()
        except Stuck:
            self._blockers.end(flight.turn.pid for flight in self._flights.values())
            self._settle()

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

    def _fly(self, client: int, turn: Turn) -> None:
        """Send a step; answered it may be at once, or much later."""
        self._advance(client, turn, partial(next, turn.generator))

    def _advance(self, client: int, turn: Turn, go_on: Callable[[], Wait]) -> None:
        try:
            self._flights[client] = _Flight(turn, go_on())
        except StopIteration as end:
            self._answer(client, turn, end.value, None)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is the client's
            self._answer(client, turn, None, error)

    def _answer(
        self,
        client: int,
        turn: Turn,
        value: Any,  # noqa: ANN401 - psycopg's
        error: Exception | None,
    ) -> None:
        self._flights.pop(client, None)
        self.waiting.pop(client, None)
        turn.answered_at = self._now
        turn.error = error
        turn.result = turn.cursor.pgresult if turn.cursor else None
        if may_release(turn):
            # Whom it blocked may go on: the server has to be asked again.
            self.waiting = {
                each: others for each, others in self.waiting.items() if client not in others
            }
        self._clients[client].resume(value, error)

    def _settle(self) -> None:
        patience = FIRST_LOOK
        give_up = time.monotonic() + self._guard
        while self._flights.keys() - self.waiting.keys() or in_a_circle(self.waiting):
            if self._listen(patience):
                patience = FIRST_LOOK
                continue
            self._look()
            patience = min(2 * patience, LAST_LOOK)
            if time.monotonic() > give_up:
                raise Stuck(min(self._flights))

    def _listen(self, seconds: float) -> bool:
        """Take what answers there are, and say whether there were any."""
        sockets = {
            flight.turn.connection.pgconn.socket: client for client, flight in self._flights.items()
        }
        writing = [
            socket for socket, client in sockets.items() if self._flights[client].wants & Wait.W
        ]
        readable, writable, _ = select.select(sockets, writing, (), seconds)
        for socket, client in sockets.items():
            ready = (Ready.R if socket in readable else 0) | (Ready.W if socket in writable else 0)
            if ready:
                turn = self._flights[client].turn
                self._advance(client, turn, partial(turn.generator.send, Ready(ready)))
        return bool(readable or writable)

    def _look(self) -> None:
        """Ask the server which of those in flight wait for another client."""
        clients = {pid: client.number for client in self._clients for pid in client.pids}
        flying = {flight.turn.pid: client for client, flight in self._flights.items()}
        clients |= flying
        blocked = self._blockers.ask(flying, clients)
        self.waiting = {flying[pid]: others for pid, others in blocked.items() if others}
        for client, others in self.waiting.items():
            self._flights[client].turn.waited_for |= others


def may_release(turn: Turn) -> bool:
    """Whether a step that was answered may have let go of locks."""
    return (
        turn.kind != "statement"
        or not turn.in_transaction
        or turn.error is not None  # PostgreSQL lets go when the error occurs, not at ROLLBACK
        or turn.statement is None
        or turn.statement.releases
    )


def _deadlock(turn: Turn) -> bool:
    return getattr(turn.error, "sqlstate", None) == DEADLOCK
