"""The explorer: plays schedules of one play on the real server, one run after the other.

Connections are opened and warmed once. Every run is drained to its end and judged, and whatever it
left behind is cleared away, so that runs know nothing of each other.

Reads of what nobody writes are let through at once, without being a choice. A statement that looks
at what is written, and then writes, is two steps (`experiments.explore.gates`). What is written is
learnt from the runs themselves; where it turns out to be more than was thought, `Learnt` is
raised, and a search begins anew.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Self

import psycopg

from experiments.explore import gates
from experiments.explore.independence import Ledger
from experiments.explore.plays import Ending, Judgement, Play
from experiments.server.connection import connect
from experiments.sql.keys import Keys
from experiments.sql.recogniser import CATALOGUE, Recogniser
from experiments.sql.statements import ALL, TABLE_MODES
from experiments.sql.written import Written
from experiments.steer.blockers import Blockers
from experiments.steer.clients import Client, Stuck
from experiments.steer.hub import Hub
from experiments.steer.turns import DEADLOCK, Move, Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from experiments.server.postgres import Database
    from experiments.sql.statements import Statement
    from experiments.steer.turn import Turn

    Chooser = Callable[[Turns], Move | None]

MOST_STEPS = 200
"""Steps after which a client is taken not to end."""

MOST_HALTS = 10
"""How often a function, or a statement that sets off triggers, is held back before it writes."""

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
    def choices(self) -> tuple[Move, ...]:
        """What was chosen each time."""
        return tuple(Move(turn.client, turn.fault) for turn in self.turns if not turn.background)

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
        gates: Whether a statement that looks and writes is two steps.

    Attributes:
        play: What.
        gates: Whether there are gates: whether they are wanted, and may be built.
        heard: Whether any statement has come by.
        deadlock_timeout_lowered: Whether deadlocks are found at once.
        starts: Whether clients' starts are steps, since they wait for each other in their program.
    """

    def __init__(
        self,
        database: Database,
        play: Play,
        *,
        most_steps: int = MOST_STEPS,
        guard_seconds: float = GUARD_SECONDS,
        gates: bool = True,
    ) -> None:
        self.play = play
        self.gates, self._gates_wanted = False, gates
        self.heard = False
        self.deadlock_timeout_lowered = self.starts = False
        self._database = database
        self._most_steps = most_steps
        self._guard = guard_seconds
        self._written = Written()
        self._learnt = self._table_locks = False
        self._idle: dict[int, bool] = {}
        self._noted: list[int] = []
        self._clients: list[Client] = []
        self._works: list[Callable[[], Any]] = []
        self._hub: Hub
        self._turns: Turns
        self._open = ExitStack()

    def __enter__(self) -> Self:
        with self._open:
            control = self._open.enter_context(connect(self._database.url))
            control.execute("SET lock_timeout = '20s'")
            control.execute("SET synchronous_commit = off")
            gates.remove(control)
            self.play.open(control)
            self._recognise = Recogniser(control)
            self.references = self._recognise.references
            self.keys = Keys(control, self._recognise.roots, self._recognise.cascaded)
            # After whoever reads which triggers there are.
            self.gates = self._gates_wanted and gates.build(control)
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
            self._hub = Hub(self._database.url, self._settings, self._judge, self.play.background)
            self._open.callback(self._hub.close)
            self._hub.clients = self.play.clients
            self._noted = [0] * self.play.clients
            self._hire()  # before a server begins, which may ask the database something
            self._open.callback(self.play.leave)
            self._works = self.play.enter(self._hub)
            self._open = self._open.pop_all()
        self._rehearse()
        return self

    def __exit__(self, *_: object) -> None:
        for one in list(self._hub.conversations):
            if one.halted:  # it would write as soon as nobody holds it back
                self._hub.end(one, self._blockers)
            else:
                self._hub.drop(one)
        self._dismiss_all()
        self._open.close()

    @property
    def notes(self) -> list[str]:
        """What was seen that makes a search inconclusive."""
        notes = []
        if self._hub.together:
            notes.append(
                "a client had two statements under way at once: of their orders one was played"
            )
        if ALL in self._written.columns.get(CATALOGUE, ()):
            notes.append(
                "tables or functions were defined while it ran; that is not undone between"
                " schedules"
            )
        return notes

    @property
    def remarks(self) -> list[str]:
        """What else was seen that a reader should know."""
        remarks = []
        if self.starts:
            remarks.append(
                "clients waited for each other inside of their program: their starts are steps, and"
                " every order was played, though some may be alike"
            )
        if self._hub.guessed:
            remarks.append(
                f"{self._hub.guessed} times a connection came free for which clients waited: it"
                " was taken to be given to whoever had waited longest"
            )
        if self._gates_wanted and not self.gates:
            remarks.append(
                "triggers may not be created here: a statement that looks and writes was one step"
            )
        if self._turns.hurried:
            remarks.append(
                f"a function wrote many rows: after {MOST_HALTS} of them the rest was one step"
            )
        if self._hub.nobodys:
            remarks.append(f"{self._hub.nobodys} statements of nobody's were let through")
        return remarks

    def ledger(self) -> Ledger:
        """Return what keeps account of a run's transactions."""
        return Ledger(self.references, self.default_level, self.keys, numbers=self.play.numbers)

    def expect(self, statements: Iterable[str]) -> None:
        """Take it that statements are going to be sent: what they write is no news then."""
        for sql in statements:
            self._written.learn(self._recognise(sql))

    def run(self, choose: Chooser, only: int | None = None) -> Run:
        """Play one schedule.

        Args:
            choose: Called at each choice with the turns; returns what is done next, or None to end
                the run at once.
            only: The one client who takes part; all do if left out.

        Raises:
            Learnt: More is written than was thought.
        """
        turns, broken = self._turns, ""
        steps = [0] * self.play.clients
        self._noted = [0] * self.play.clients
        works = {
            client.number: work
            for client, work in zip(self._clients, self._works, strict=True)
            if only in (None, client.number)
        }
        for client in self._clients:
            client.sit_out()
        try:
            turns.begin(works, starts=self.starts)
            while turns.ready:
                move = choose(turns)
                if move is None:
                    break
                steps[move.client] += 1
                if steps[move.client] > self._most_steps:
                    broken = f"client {move.client} sent more than {self._most_steps} statements"
                    break
                turns.grant(move)
            else:
                broken = _left_waiting(turns)
        except Stuck as error:
            broken = str(error)
        if turns.parked and not self.starts:
            self.starts = self._learnt = True
        taken = turns.taken
        ended = self._tidy()
        endings = [self._ending(client, taken) for client in self._clients]
        written = {table for turn in taken if turn.statement for table in turn.statement.writes}
        judgement = self.play.close_run(endings, written)
        self.play.renew(ended)
        if self._learnt:
            self._learnt = False
            raise Learnt
        return Run(taken, judgement, broken)

    def _tidy(self) -> set[int]:
        """Leave no transaction or lock behind; return whose connections were ended."""
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
        self._blockers.open_others({one.pid for one in self._hub.conversations})
        self._learnt |= not failed <= self._hub.known.loud
        self._hub.known.loud |= failed
        self._turns.await_ends(self._guard)
        if any(not client.done for client in self._clients):
            # Somebody is stuck, or waits for ever: start again with other clients.
            self.play.abort()
            self._dismiss_all()
            self._hire()
            ended.update(range(self.play.clients))
        return ended

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
        """Open and warm connections, and learn what is written, one client after the other.

        At first one by one: a client that stops while it holds a lock of its program's, for the
        first connection of all, would stop the others.
        """
        alone = range(self.play.clients)
        for first, only in [*((each, each) for each in alone), *((each, None) for each in alone)]:
            for _ in range(2):
                try:
                    self.run(partial(in_order, first=first), only)
                except Learnt:
                    continue
                break

    def _judge(self, turn: Turn) -> None:
        """Say of a step whether it commutes with every other, so that it is no choice."""
        self.heard = True
        if turn.prepares:
            turn.background = not self._table_locks
            return
        turn.statement = statement = self._recognise(turn.sql) if turn.kind == "statement" else None
        if statement is None:
            # The end of a transaction in which nothing but such steps happened.
            background = self._idle.get(turn.pid, False)
            self._idle.pop(turn.pid, None)
        else:
            minded = self._recognise.learn(turn.sql, turn.parameters)
            locks_tables = not self._table_locks and _locks_tables(statement)
            self._table_locks |= locks_tables
            if self._written.learn(statement) or minded or locks_tables:
                self._learnt = True
            background = (
                statement.only_reads and not turn.fixed and not self._written.seen_by(statement)
            )
            background = background and turn.sql not in self._hub.known.loud
            if statement.recognised and not statement.again and not background:
                turn.keyed = self.keys.of(turn.sql, turn.given)
            if self.gates and self._written.looked_at_by(statement):
                turn.halts = MOST_HALTS if statement.again else 1
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
        self._turns = Turns(
            self._hub,
            self._clients,
            self._blockers,
            self._guard,
            pause=self.play.pause,
            process=self.play.process,
        )

    def _dismiss_all(self) -> None:
        for client in self._clients:
            self._hub.unwatch(client.signal)
            client.close(self._guard)


def _left_waiting(turns: Turns) -> str:
    """Say who waits for ever now that nobody can take a step; empty where nobody does."""
    if turns.inside:
        return (
            f"client {turns.inside[0]} waits inside of its program, and nobody is left who could"
            " let it go on"
        )
    for client, others in turns.waiting.items():
        holder = ", ".join(map(str, sorted(others)))
        return f"client {client} waits for ever for a lock that client {holder} has kept"
    return ""


def _locks_tables(statement: Statement) -> bool:
    """Whether it asks for a table in a mode in which nobody else may write."""
    return (statement.table_lock or 0) >= TABLE_MODES.index("share") or (
        CATALOGUE in statement.writes
    )


def in_order(turns: Turns, first: int = 0) -> Move:
    """Let one client run until it waits or is done, then the next."""
    count = 1 + max(turns.ready)
    return Move(min(turns.ready, key=lambda client: (client - first) % count))
