"""The explorer: plays schedules of one play on the real server, one run after the other.

Connections are opened and warmed once. Every run is drained to its end and judged, and whatever it
left behind is cleared away, so that runs know nothing of each other.

Reads of what nobody writes are let through at once, without being a choice. What is written is
learnt from the runs themselves; where it turns out to be more than was thought, `Learnt` is
raised, and a search begins anew.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import psycopg
from sqlalchemy import create_engine

from experiments.explore.plays import Ending, Judgement, Play
from experiments.server.connection import connect
from experiments.sql.recogniser import Recogniser
from experiments.sql.written import Written
from experiments.steer.blockers import Blockers
from experiments.steer.clients import Client, Stuck
from experiments.steer.hub import Hub
from experiments.steer.turns import DEADLOCK, Turns

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy

    from experiments.server.postgres import Database
    from experiments.steer.turn import Turn

    Chooser = Callable[[Turns], int | None]

MOST_STEPS = 200
"""Steps after which a client is taken not to end."""

GUARD_SECONDS = 10.0
"""How long a client's code, or the server, may take over one step that nobody blocks."""

SETTINGS = {
    # The order of steps is what is explored; how long a commit lasts is not.
    "synchronous_commit": "off",
    # Explored code that waits for ever for something else shall not outlive the exploration.
    "idle_in_transaction_session_timeout": "0",
    # A prepared statement would get another plan after some runs, and with it other predicate
    # locks, but a schedule must not depend on what was explored before it.
    "plan_cache_mode": "force_custom_plan",
}
DEADLOCK_TIMEOUT = "1ms"


class Learnt(Exception):
    """More is written than was thought: what was taken for no choice may be one."""


@dataclass(slots=True)
class Run:
    """One schedule, played.

    Attributes:
        turns: Its steps.
        judgement: What it came to.
        broken: What was wrong with the code under test, where it didn't end by itself.
    """

    turns: list[Turn]
    judgement: Judgement
    broken: str = ""

    @property
    def choices(self) -> tuple[int, ...]:
        """Whose step was let through at each choice."""
        return tuple(turn.client for turn in self.turns if not turn.background)

    @property
    def deadlocks(self) -> int:
        """How many transactions the server ended because all waited in a circle."""
        return sum(
            turn.error is not None and turn.error.sqlstate == DEADLOCK for turn in self.turns
        )

    @property
    def server_decided(self) -> bool:
        """Whether an order in it was the server's decision."""
        return any(turn.server_decided for turn in self.turns)


class Explorer:
    """Plays schedules of a play. A context manager.

    Args:
        database: Where, with the play's schema in it.
        play: What.
        most_steps: Steps after which a client is taken not to end.
        guard_seconds: How long a step may take that nobody blocks.
    """

    def __init__(
        self,
        database: Database,
        play: Play,
        *,
        most_steps: int = MOST_STEPS,
        guard_seconds: float = GUARD_SECONDS,
    ) -> None:
        self.play = play
        self.deadlock_timeout_lowered = False
        self._database = database
        self._most_steps = most_steps
        self._guard = guard_seconds
        self._written = Written()
        self._learnt = False
        self._idle: dict[int, bool] = {}
        self._noted: list[int] = []
        self._clients: list[Client] = []
        self._engines: list[sqlalchemy.Engine] = []
        self._works: list[Callable[[], Any]] = []
        self._hub: Hub
        self._turns: Turns
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with self._open:
            control = self._open.enter_context(connect(self._database.url))
            control.execute("SET lock_timeout = '20s'")
            control.execute("SET synchronous_commit = off")
            self.play.open(control)
            self._recognise = Recogniser(control)
            self.references = self._recognise.references
            self.default_level = str(
                control.execute(
                    "SELECT upper(current_setting('default_transaction_isolation'))"
                ).fetchall()[0][0]
            )
            self.server_version = control.info.server_version
            try:
                control.execute(
                    "SELECT set_config('deadlock_timeout', %s, false)", [DEADLOCK_TIMEOUT]
                )
                self.deadlock_timeout_lowered = True
            except psycopg.errors.InsufficientPrivilege:
                self.deadlock_timeout_lowered = False
            self._settings = SETTINGS | (
                {"deadlock_timeout": DEADLOCK_TIMEOUT} if self.deadlock_timeout_lowered else {}
            )
            self._blockers = Blockers(self._open.enter_context(connect(self._database.url)))
            self._hub = Hub(self._database.url, self._settings, self._judge)
            self._open.callback(self._hub.close)
            urls = [self._hub.gate(client) for client in range(self.play.clients)]
            self._engines = [create_engine(url, pool_size=1, max_overflow=20) for url in urls]
            self._works = self.play.works(self._engines)
            self._hire()
            self._open = self._open.pop_all()
        self._rehearse()
        return self

    def __exit__(self, *_: object) -> None:
        for one in list(self._hub.conversations):
            self._hub.drop(one)
        self._dismiss_all()
        for engine in self._engines:
            engine.dispose()
        self._open.close()

    def run(self, choose: Chooser) -> Run:
        """Play one schedule.

        Args:
            choose: Called at each choice with the turns; returns whose step is let through, or
                None to end the run at once.

        Raises:
            Learnt: More is written than was thought.
        """
        turns, broken = self._turns, ""
        steps = [0] * self.play.clients
        self._noted = [0] * self.play.clients
        try:
            turns.begin(self._works)
            while turns.ready:
                client = choose(turns)
                if client is None:
                    break
                steps[client] += 1
                if steps[client] > self._most_steps:
                    broken = f"client {client} sent more than {self._most_steps} statements"
                    break
                turns.grant(client)
        except Stuck as error:
            broken = str(error)
        taken = turns.taken
        self._tidy()
        endings = [self._ending(client, taken) for client in self._clients]
        judgement = self.play.close_run(endings)
        if self._learnt:
            self._learnt = False
            raise Learnt
        return Run(taken, judgement, broken)

    def _tidy(self) -> None:
        """Leave no transaction, lock or connection behind for the next run."""
        failed: set[str] = set()
        ended: set[int] = set()
        for one in list(self._hub.conversations):
            failed.update(one.failed)
            one.failed.clear()
            if not one.idle or one.marked:
                ended.update(() if one.owner is None else (one.owner,))
                self._hub.end(one, self._blockers)
            elif one.session_locks:
                one.unlock()
        self._learnt |= not failed <= self._hub.known.loud
        self._hub.known.loud |= failed
        if any(not client.done for client in self._clients):
            # Somebody is stuck, or waits for ever: start again with other clients.
            self._dismiss_all()
            self._hire()
            ended.update(range(self.play.clients))
        for client in ended:
            self._engines[client].dispose()

    def _ending(self, client: Client, taken: list[Turn]) -> Ending:
        own = [
            number
            for number, turn in enumerate(taken)
            if turn.client == client.number and not turn.background
        ]
        answered = [taken[number].answered_at or number for number in own]
        return Ending(
            client.answer,
            client.failure,
            own[0] if own else 0,
            max(answered, default=0),
        )

    def _rehearse(self) -> None:
        """Open and warm connections, and learn what is written, one client after the other."""
        for first in range(self.play.clients):
            for _ in range(2):
                try:
                    self.run(partial(in_order, first=first))
                except Learnt:
                    continue

    def _judge(self, turn: Turn) -> None:
        """Say of a step whether it commutes with every other, so that it is no choice."""
        turn.statement = statement = self._recognise(turn.sql) if turn.kind == "statement" else None
        if statement is None:
            # The end of a transaction in which nothing but such steps happened.
            background = self._idle.get(turn.pid, False)
            self._idle.pop(turn.pid, None)
        else:
            minded = self._recognise.learn(turn.sql, turn.parameters)
            if self._written.learn(statement) or minded:
                self._learnt = True
            background = (
                statement.only_reads and not turn.fixed and not self._written.seen_by(statement)
            )
            background = background and turn.sql not in self._hub.known.loud
            if turn.in_transaction:
                so_far = bool(turn.begin) or self._idle.get(turn.pid, False)
                self._idle[turn.pid] = background and so_far
        # Who does nothing else for ever is stopped like any other that does not end.
        background = background and self._noted[turn.client] < self._most_steps
        if background:
            self._noted[turn.client] += 1
            self._turns.note(turn)

    def _hire(self) -> None:
        self._idle = {}
        self._clients = [Client(number) for number in range(self.play.clients)]
        self._turns = Turns(self._hub, self._clients, self._blockers, self._guard)

    def _dismiss_all(self) -> None:
        for client in self._clients:
            self._hub.unwatch(client.signal)
            client.close(self._guard)


def in_order(turns: Turns, first: int = 0) -> int:
    """Let one client run until it waits or is done, then the next."""
    count = 1 + max(turns.ready)
    return min(turns.ready, key=lambda client: (client - first) % count)
