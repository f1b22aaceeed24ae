"""The explorer plays every order of statements, and survives whatever the code under test does."""

import json
import subprocess
import sys
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import psycopg
import pytest
from _pytest.mark import ParameterSet
from sqlalchemy import Engine, text
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column

from booking_core.database import appointments
from booking_core.schema import create
from booking_core.strategies import STRATEGIES, Strategy, statements
from booking_core.strategies.transaction import BookingTransaction
from experiments.explore import (
    Counterexample,
    NotReproduced,
    Program,
    Result,
    explore,
    explore_program,
    replay,
)
from experiments.explore.explore import Search
from experiments.explore.explorer import DEADLOCK_TIMEOUT, GUARD_SECONDS
from experiments.explore.matrix import Cell, explore_cells, frame
from experiments.judge.invariants import Invariant
from experiments.scenes.catalogue import find_strategy
from experiments.scenes.exhibits import NoLock
from experiments.server.connection import connect
from experiments.server.postgres import Database, server
from experiments.sql.recogniser import Recogniser
from experiments.sql.statements import ALL

COUNTER = """
    CREATE TABLE counter (id serial PRIMARY KEY, value integer NOT NULL);
    INSERT INTO counter (value) VALUES (0), (0)
"""


Empty = Callable[[], Database]


def calls(*clients: Callable[[Engine], object], never: str = "SELECT WHERE false") -> Program:
    """Return functions as a program that counts."""
    return Program(clients=clients, setup=COUNTER, never=[Invariant("lost_update", never, check)])


def check(told: Sequence[object], rows: Sequence[tuple[object, ...]]) -> str | None:
    """Say what is wrong once somebody has ended."""
    return f"the counter is {rows[0][0]}" if told and rows else None


LOST = "SELECT value FROM counter WHERE id = 1 AND value <> 2"


@pytest.mark.parametrize(
    ("strategy", "exhaustive", "reduced"),
    [("no_lock", 20, 5), ("advisory", 8, 2), ("exclusion", 4, 4), ("serializable", 20, 14)],
)
def test_schedules_are_counted(empty: Empty, strategy: str, exhaustive: int, reduced: int) -> None:
    """Every schedule is played exactly once; reduced, one of each kind, with the same outcomes."""
    every = explore(strategy, attempts=2, on=empty())
    one_of_each = explore(strategy, search="reduced", attempts=2, on=empty())

    assert every.complete
    assert one_of_each.complete
    assert every.schedules == exhaustive
    assert one_of_each.schedules == reduced
    assert set(every.outcomes) == set(one_of_each.outcomes)


@pytest.mark.parametrize(
    ("exhibit", "shape", "broken"),
    [
        ("no_lock", "same_slot", "double_bookings"),
        ("stale_snapshot", "same_slot", "double_bookings"),
        ("released_early", "same_slot", "double_bookings"),
        ("unique_start", "overlapping", "double_bookings"),
        ("closed_bounds", "adjacent", "refused_neighbours"),
        ("trusted_read", "two_moves", "dishonest_replies"),
        ("target_only", "two_moves", "dishonest_replies"),
        ("ignored_count", "two_moves", "dishonest_replies"),
        ("client_unlocked", "one_client", "clients_in_two_places"),
        ("key_of_client_and_staff", "one_client", "clients_in_two_places"),
        ("client_checked_early", "one_client", "clients_in_two_places"),
    ],
)
def test_an_exhibit_is_refuted_by_a_simple_schedule(
    empty: Empty, exhibit: str, shape: str, broken: str
) -> None:
    """Fewest preemptions first: the first counterexample has one at most."""
    result = explore(exhibit, shape=shape, stop_at_first=True, on=empty())

    assert not result.holds
    assert result.counterexample is not None
    assert broken in {breach.broke for breach in result.counterexample.breaches}
    assert result.counterexample.preemptions <= 1


EVERY_ONE = pytest.mark.slow(
    why="seconds each; one strategy of each kind guards the shapes, and the report's 03_proof plays"
    " all twelve in them: with two clients the quick one, with three the full one"
)
QUICK = {"advisory", "serializable", "exclusion", "function"}
# Of kinds of their own; `advisory_try`, `staff_row` and `staff_row_skip_locked` send what these and
# `advisory` send, but for the words of a lock, `one_statement` is in `test_gates.py`, and 03_proof
# compares the two searches of `version`.
OTHERS = {"temporal_key", "table_lock"}


def sound(shape: str, *, quick: Collection[str], others: Collection[str]) -> list[ParameterSet]:
    """Return strategies in a shape; a few of them whoever waits for the tests."""
    return [
        pytest.param(shape, name, marks=[] if name in quick else [EVERY_ONE])
        for name in STRATEGIES
        if name in {*quick, *others}
    ]


@pytest.mark.parametrize(
    ("shape", "strategy"),
    [
        *sound("two_moves", quick=QUICK, others=OTHERS),
        *sound("one_client", quick=QUICK, others={*OTHERS, "staff_row_nowait"}),
    ],
)
def test_two_clients_break_nothing_in_any_order(empty: Empty, shape: str, strategy: str) -> None:
    """Moves follow one another, one client is in one place; reduced, with the same outcomes."""
    every = explored(strategy, shape, 2, "exhaustive", empty())
    one_of_each = explored(strategy, shape, 2, "reduced", empty())

    assert every.holds
    assert every.complete
    assert set(every.outcomes) == set(one_of_each.outcomes)
    # Each of them came first in some order.
    assert len(every.outcomes) > 1


@pytest.mark.parametrize(
    ("shape", "strategy"),
    [
        *sound("one_client", quick={"function"}, others={"exclusion"}),
        # The others take up to ten minutes each: they are the full report's.
        pytest.param("two_moves", "function", marks=[EVERY_ONE]),
    ],
)
def test_three_clients_break_nothing_in_any_kind_of_order(
    empty: Empty, shape: str, strategy: str
) -> None:
    """A third one comes later, and is booked; or moves to what is taken with another."""
    result = explored(strategy, shape, 3, "reduced", empty())

    assert result.holds
    assert result.complete


@pytest.mark.parametrize(
    ("strategy", "shape"),
    [
        ("trusted_read", "two_moves"),
        ("ignored_count", "two_moves"),
        ("client_unlocked", "one_client"),
        ("client_checked_early", "one_client"),
        ("stale_snapshot", "one_client"),
    ],
)
def test_a_reduced_search_of_an_exhibit_reaches_all_outcomes(
    empty: Empty, strategy: str, shape: str
) -> None:
    """One of each kind must not leave out the kind that breaks."""
    every = explored(strategy, shape, 2, "exhaustive", empty())
    one_of_each = explored(strategy, shape, 2, "reduced", empty())

    assert every.complete
    assert not one_of_each.holds
    assert set(every.outcomes) == set(one_of_each.outcomes)


def explored(strategy: str, shape: str, clients: int, search: Search, on: Database) -> Result:
    """Explore as the matrix does."""
    if server().version < find_strategy(strategy).minimum_server:
        pytest.skip(f"{strategy} needs a newer PostgreSQL")
    few = clients == 2
    attempts = 2 if few else 1
    # What happens inside of a statement two clients show; with three it takes half a minute.
    return explore(
        strategy, shape=shape, clients=clients, search=search, attempts=attempts, gates=few, on=on
    )


def test_what_the_service_sends_is_recognised(database: Database) -> None:
    """What is not recognised depends on everything, and nothing is left out of a search."""
    with database.clear().engine().begin() as connection:
        create(connection, find_strategy("advisory"))
    with connect(database.url) as session:
        read = Recogniser(session)
        moved = {"staff_id", "during", "blocked"}

        assert read(statements.CLAIM).writes == {"appointment": {ALL}}
        assert read(statements.CLAIM_MOVE).writes == {"appointment": moved, "change": {ALL}}
        assert read(statements.RECORD_MOVE).writes == {"appointment": moved, "change": {ALL}}
        assert read(statements.CANCEL).writes == {"appointment": {"status"}}
        assert read(statements.LOOK).only_reads
        assert read(statements.LOOK).tables == {"appointment", "offering"}
        assert read(appointments.BY_KEY).reads("change", frozenset({ALL}))
        assert read(appointments.NOTE).writes == {"change": {ALL}}
        assert read("UPDATE staff SET calendar_version = 1").recognised
        # The version of rules is written by a trigger, which is not followed.
        for changes in ("UPDATE staff SET name = ''", "DELETE FROM working_hours"):
            assert not read(changes).recognised
            assert "offering" in read(changes).writes


@pytest.mark.parametrize(
    ("strategy", "search", "schedules"),
    [
        ("function", "exhaustive", 170),
        # There are 2,078 without the bound.
        pytest.param(
            *("advisory", "bounded", 286),
            marks=pytest.mark.slow(
                why="more statements for a fault to meet; that whoever asks again knows what came"
                " of it is guarded by the function, and at gates by test_gates.py"
            ),
        ),
    ],
)
def test_one_fault_anywhere_breaks_nothing(
    empty: Empty, strategy: str, search: Search, schedules: int
) -> None:
    """Every schedule in which one thing goes wrong: whoever asks again knows what came of it.

    Bounded, the clients take turns once beside the fault; gates are in `test_gates.py`.
    """
    result = explore(strategy, search=search, preemptions=1, faults=1, gates=False, on=empty())

    assert result.complete
    assert result.holds
    assert result.schedules == schedules
    # Somebody was told only when asking again.
    assert any("True" in str(each) for each in result.outcomes)


def test_who_waits_for_whom_is_the_servers_word(empty: Empty) -> None:
    """A waiting step names its blocker, and the step that ended the wait."""
    result = explore("stale_snapshot", stop_at_first=True, on=empty())
    assert result.counterexample
    (waiting,) = [step for step in result.counterexample.steps if step.waited]
    assert waiting.answered_at is not None
    ended_by = result.counterexample.steps[waiting.answered_at]

    assert waiting.waited_for == (ended_by.client,)
    assert ended_by.kind == "commit"
    assert waiting.begin == "BEGIN ISOLATION LEVEL REPEATABLE READ"


def test_a_bounded_search_knows_its_bound(empty: Empty) -> None:
    """Without preemptions clients run one after the other, and even no lock holds."""
    assert explore("no_lock", search="bounded", preemptions=0, on=empty()).schedules == 2
    assert explore("no_lock", search="bounded", preemptions=0, on=empty()).holds
    assert not explore("no_lock", search="bounded", preemptions=1, on=empty()).holds


def test_a_sample_depends_on_its_seed_alone(empty: Empty) -> None:
    """Sampled schedules can be drawn again; a sample is never called complete."""
    one, same, other = (
        explore("no_lock", search="sampled", schedules=10, seed=seed, on=empty())
        for seed in (1, 1, 2)
    )

    assert one.counterexample == same.counterexample
    assert one.violations == same.violations
    assert (one.steps, one.violations) != (other.steps, other.violations)
    assert not one.complete
    assert "probability" in one.bound


def test_a_counterexample_replays_a_hundred_times_in_a_new_process(
    empty: Empty, tmp_path: Path
) -> None:
    """A failing schedule is a value: nothing else of the exploration is needed."""
    result = explore("stale_snapshot", stop_at_first=True, on=empty())
    assert result.counterexample
    path = tmp_path / "schedule.json"
    result.counterexample.save(path)
    code = (
        "import sys; from experiments.explore import replays;"
        "print(sum(1 for _ in replays(sys.argv[1], 100)))"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, str(path)], capture_output=True, text=True, check=True
    )

    assert done.stdout.strip() == "100"


def test_a_replay_sees_the_same_again(empty: Empty) -> None:
    """Steps, waits, replies and rows: the whole value."""
    result = explore("no_lock", stop_at_first=True, on=empty())
    assert result.counterexample

    assert replay(result.counterexample, on=empty()) == result.counterexample


def test_a_replay_that_goes_otherwise_says_so(empty: Empty) -> None:
    """A schedule of another strategy can't be followed, or breaks nothing."""
    result = explore("no_lock", stop_at_first=True, on=empty())
    assert result.counterexample
    values = result.counterexample.as_dict()
    sound = Counterexample.from_dict(values | {"strategy": "advisory"})

    with pytest.raises(NotReproduced):
        replay(sound, on=empty())


def test_the_matrix_runs_on_worker_processes() -> None:
    """Cells come back in the order in which they were asked for, as a table too."""
    wanted = [
        Cell("no_lock", "adjacent", 2, "exhaustive"),
        Cell("exclusion", "same_slot", 3, "reduced"),
        Cell("no_lock", "same_slot", 2, "bounded"),
    ]

    table = frame(explore_cells(wanted, workers=2, progress=False))

    assert list(table["strategy"]) == ["no_lock", "exclusion", "no_lock"]
    assert list(table["holds"]) == [True, True, False]
    assert list(table["complete"]) == [True, True, True]
    assert json.loads(table.to_json(orient="records"))


# Code that uses no booking service.


def count_with_psycopg(engine: Engine) -> None:
    """Read, add one, write: plain psycopg."""
    connection = engine.raw_connection()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT value FROM counter WHERE id = 1")
            (value,) = cursor.fetchone() or (0,)
            cursor.execute("UPDATE counter SET value = %s WHERE id = 1", [value + 1])
        connection.commit()
    finally:
        connection.close()


class Base(DeclarativeBase):
    """The ORM's tables."""


class Counter(Base):
    """A counter."""

    __tablename__ = "counter"
    id: Mapped[int] = mapped_column(primary_key=True)
    value: Mapped[int]


def count_with_orm(engine: Engine) -> None:
    """Read, add one, write: SQLAlchemy's ORM."""
    with Session(engine) as session, session.begin():
        counter = session.get_one(Counter, 1)
        counter.value += 1


def count_safely(engine: Engine) -> None:
    """Lock the row first."""
    with Session(engine) as session, session.begin():
        counter = session.get_one(Counter, 1, with_for_update=True)
        counter.value += 1


@pytest.mark.parametrize(
    ("call", "right"),
    [(count_with_psycopg, False), (count_with_orm, False), (count_safely, True)],
)
def test_any_code_can_be_explored(
    empty: Empty, call: Callable[[Engine], object], *, right: bool
) -> None:
    """Plain psycopg and the ORM are steered like the booking service."""
    result = explore_program(calls(call, call, never=LOST), on=empty())

    assert result.complete
    assert result.holds == right
    assert result.schedules > 2
    # Not in every order: what is read is a choice as well.
    assert right or result.violations["lost_update"] < result.schedules


def lock_both(first: int, second: int) -> Callable[[Engine], str]:
    """Two row locks, in an order of one's own."""

    def call(engine: Engine) -> str:
        with engine.begin() as connection:
            for number in (first, second):
                connection.execute(
                    text("UPDATE counter SET value = value + 1 WHERE id = :id"), {"id": number}
                )
        return "done"

    return call


def test_a_deadlock_is_resolved_and_counted(empty: Empty) -> None:
    """When all wait in a circle, PostgreSQL ends one, and the run goes on to its end."""
    none = "SELECT value FROM counter WHERE id = 1 AND value NOT IN (1, 2)"
    result = explore_program(calls(lock_both(1, 2), lock_both(2, 1), never=none), on=empty())

    assert result.holds
    assert result.deadlocks > 0
    assert result.repeated > 0


def test_a_deadlock_is_not_waited_for_long(empty: Empty) -> None:
    """The sessions' deadlock_timeout is lowered; where we may not, it is said so."""
    seen: list[object] = []

    def call(engine: Engine) -> None:
        lock_both(1, 2)(engine)
        with engine.connect() as connection:
            seen.append(connection.execute(text("SHOW deadlock_timeout")).scalar_one())

    result = explore_program(calls(call, lock_both(2, 1)), on=empty())

    assert result.deadlocks > 0
    assert result.notes or set(seen) == {DEADLOCK_TIMEOUT}


# Code that is broken.


class Raises(NoLock):
    """Fails for a reason of its own."""

    def guard(self, tx: BookingTransaction) -> None:
        """Raise."""
        tx.connection.execute(text("SELECT id FROM appointment"))
        raise ZeroDivisionError


class Retries(NoLock):
    """Sends the same statement for ever."""

    def guard(self, tx: BookingTransaction) -> None:
        """Never stop, whatever error comes."""
        while True:
            try:
                tx.connection.execute(text("SELECT id FROM appointment"))
            except Exception:  # noqa: BLE001 - as bad as it gets
                continue


class Spins(NoLock):
    """Stays in Python for ever."""

    def guard(self, tx: BookingTransaction) -> None:
        """Never send anything."""
        tx.connection.execute(text("SELECT id FROM appointment"))
        while True:
            pass


class Sleeps(NoLock):
    """Stays in the server for ever."""

    def guard(self, tx: BookingTransaction) -> None:
        """Ask for an answer that doesn't come."""
        tx.connection.execute(text("SELECT pg_sleep(3600)"))


class Leaks(NoLock):
    """Keeps a connection with an open transaction and a lock."""

    kept: list[object] = []  # noqa: RUF012 - that is the fault

    def guard(self, tx: BookingTransaction) -> None:
        """Open another connection and never give it back."""
        connection = tx.connection.engine.connect()
        connection.execute(text("SELECT pg_advisory_lock(1), id FROM appointment"))
        self.kept.append(connection)


class Dropped(NoLock):
    """Is cut off by the server."""

    def guard(self, tx: BookingTransaction) -> None:
        """End the session."""
        tx.connection.execute(text("SELECT pg_terminate_backend(pg_backend_pid())"))


@pytest.mark.parametrize(
    ("strategy", "guard_seconds", "words"),
    [
        (Retries, GUARD_SECONDS, "sent more than"),
        (Spins, 0.5, "neither sent a statement nor ended"),
        (Sleeps, 0.5, "neither sent a statement nor ended"),
    ],
)
def test_code_that_never_ends_is_a_clear_result(
    empty: Empty, strategy: type[Strategy], guard_seconds: float, words: str
) -> None:
    """No hang: the result says what was wrong, and the search is not called complete."""
    result = explore(strategy, guard_seconds=guard_seconds, most_steps=15, limit=1, on=empty())

    assert not result.holds
    assert not result.complete
    assert any(words in reason for reason in result.broken)


def test_code_that_fails_is_an_outcome_like_any_other(empty: Empty) -> None:
    """An exception of the code under test is its answer; nobody else is disturbed."""
    result = explore(Raises, on=empty())

    assert result.complete
    assert not result.holds
    assert result.violations["lost_sales"] == result.schedules


def test_a_connection_dropped_by_the_server_is_survived(empty: Empty) -> None:
    """The next run has a new connection; in this one nobody else is at fault."""
    result = explore(Dropped, on=empty())

    assert result.complete
    assert result.schedules >= 2
    assert result.violations.keys() == {"lost_sales", "unanswered"}


def test_a_leaked_connection_does_not_reach_the_next_run(empty: Empty) -> None:
    """Its transaction is rolled back, its session lock let go."""
    result = explore(Leaks, limit=6, on=empty())

    assert not result.broken
    assert result.schedules == 6


def test_nothing_is_left_in_the_server(empty: Empty) -> None:
    """After an exploration that was cut short, a further one is as it should be."""
    explore(Sleeps, guard_seconds=0.3, on=empty())

    assert explore("advisory", on=empty()).holds


def test_errors_of_psycopg_reach_the_code(empty: Empty) -> None:
    """The code under test sees exactly what it would have seen."""
    seen: list[object] = []

    def call(engine: Engine) -> None:
        with engine.connect() as connection:
            try:
                connection.execute(text("SELECT nonsense FROM counter"))
            except Exception as error:  # noqa: BLE001 - whatever comes is looked at
                seen.append(getattr(error, "orig", None))

    explore_program(calls(call), on=empty())

    assert all(isinstance(error, psycopg.errors.UndefinedColumn) for error in seen)
    assert seen
