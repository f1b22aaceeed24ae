"""Inside a statement: between its look and its write a rival's commit may come."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from matplotlib.figure import Figure
from sqlalchemy import Engine, text

from booking_core.strategies import statements
from booking_core.strategies.advisory import CALENDARS
from experiments.explore import Counterexample, Program, explore, explore_program, gates, replay
from experiments.explore.beginning import Beginning
from experiments.explore.explorer import Explorer
from experiments.explore.plays import BookingPlay
from experiments.explore.program import ProgramPlay
from experiments.judge.invariants import never
from experiments.scenes.catalogue import find_strategy
from experiments.scenes.exhibit import Exhibit
from experiments.scenes.shapes import SHAPES
from experiments.schedules import labels
from experiments.schedules.drawing import drawing
from experiments.schedules.schedule import LOOKED, WROTE
from experiments.schedules.spec import NotExportable, to_spec
from experiments.schedules.transcript import transcript
from experiments.server.connection import connect
from experiments.steer.blockers import DOOR
from experiments.steer.turns import Move

if TYPE_CHECKING:
    from collections.abc import Callable

    from booking_core.requests import Request
    from experiments.server.postgres import Database
    from experiments.steer.turns import Turns

    Empty = Callable[[], Database]

# Evaluated before the look, and yet with the same snapshot.
LOCKED = f"""
    WITH locked AS MATERIALIZED (
        SELECT pg_advisory_xact_lock({CALENDARS}, %(staff_id)s::integer)), rival AS ("""
HELD = f"(SELECT count(*) FROM locked) = 1 AND {statements.RULES_HOLD}"


class LooksAndInserts(Exhibit):
    """`INSERT … WHERE NOT EXISTS`, a transaction by itself."""

    name = "looks_and_inserts"
    isolation = "AUTOCOMMIT"

    def statement(self, request: Request) -> str:
        """Look, and insert or move."""
        return statements.CLAIM_MOVE if request.moves else statements.CLAIM


class LocksAndLooks(LooksAndInserts):
    """A lock, taken in the statement that looks."""

    name = "locks_and_looks"

    def statement(self, request: Request) -> str:
        """Lock, look, and insert or move."""
        claim = super().statement(request).replace(statements.RULES_HOLD, HELD)
        return claim.replace("WITH rival AS (", LOCKED.strip(), 1)


SEATS = """
    CREATE TABLE seat (name text PRIMARY KEY, taken_by text);
    CREATE TABLE booking (seat text, client text);
    INSERT INTO seat VALUES ('a', NULL)
"""
TAKE = """
    INSERT INTO booking SELECT 'a', 'somebody'
     WHERE NOT EXISTS (SELECT FROM booking WHERE seat = 'a')"""
TWICE = "SELECT seat FROM booking GROUP BY seat HAVING count(*) > 1"
TAKING = f"""
    {SEATS};
    CREATE FUNCTION take(who text) RETURNS void LANGUAGE plpgsql AS $$
    BEGIN
        IF NOT EXISTS (SELECT FROM booking WHERE seat = 'a') THEN
            INSERT INTO booking VALUES ('a', who);
            UPDATE seat SET taken_by = who;
        END IF;
    END $$
"""


def raw(*sent: str) -> Callable[[Engine], list[object]]:
    """A client that sends statements, each by itself; what they say of errors it returns."""

    def client(engine: Engine) -> list[object]:
        connection = engine.raw_connection()
        driver: Any = connection.driver_connection
        driver.autocommit = True
        told: list[object] = []
        try:
            for statement in sent:
                try:
                    told.append(driver.execute(statement).rowcount)
                except psycopg.Error as error:
                    told.append(error.sqlstate)
        finally:
            if driver.closed:
                connection.invalidate()
            else:
                driver.autocommit = False
            connection.close()
        return told

    return client


def taking(*clients: Callable[[Engine], object], setup: str = SEATS) -> Program:
    """A program whose clients take a seat."""
    return Program(clients=clients, setup=setup, never=[never(TWICE, name="taken twice")])


@pytest.mark.parametrize(("exhibit", "schedules"), [(LooksAndInserts, 6), (LocksAndLooks, 4)])
def test_one_statement_is_no_moment(empty: Empty, exhibit: type[Exhibit], schedules: int) -> None:
    """As one step it can't be refuted; with a step for the look and one for the write it is."""
    closed = explore(exhibit, gates=False, on=empty())
    opened = explore(exhibit, on=empty())

    assert (closed.schedules, closed.complete, closed.holds) == (2, True, True)
    assert opened.violations["double_bookings"] > 0
    assert (opened.schedules, opened.complete) == (schedules, True)
    assert opened.counterexample
    assert opened.counterexample.preemptions == 1
    assert [step.kind for step in opened.counterexample.steps if not step.background].count(
        "write"
    ) == 2


# Who locks or has a constraint in `test_pairs.py`, in `test_explore.py` and in 03_proof.
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_sound_holds_with_gates_as_well(empty: Empty, shape: str) -> None:
    """One statement looks and writes: nothing breaks, whoever commits between the two."""
    result = explore("one_statement", shape=shape, attempts=2, search="reduced", on=empty())

    assert result.holds
    assert result.complete


@pytest.mark.parametrize("shape", ["same_slot", "book_against_reschedule", "swap", "same_key"])
def test_a_function_that_is_sound_holds_with_gates_as_well(empty: Empty, shape: str) -> None:
    """Each of its statements looks anew; two moves and one client are in `test_explore.py`."""
    result = explore("function", shape=shape, attempts=2, search="reduced", on=empty())

    assert result.holds
    assert result.complete


@pytest.mark.parametrize(
    ("strategy", "shape"),
    [
        (LooksAndInserts, "overlapping"),
        (LocksAndLooks, "same_slot"),
        (LooksAndInserts, "two_moves"),
        ("one_statement", "swap"),
        ("advisory", "book_against_reschedule"),
        ("staff_row_nowait", "same_slot"),
    ],
)
def test_a_reduced_search_reaches_all_outcomes_with_gates(
    empty: Empty, strategy: str | type[Exhibit], shape: str
) -> None:
    """One of each kind must not leave out what only the gates bring about.

    `test_explore.py` compares the two in moves, and where a client is in one place.
    """
    every = explore(strategy, shape=shape, attempts=2, on=empty())
    one_of_each = explore(strategy, shape=shape, attempts=2, search="reduced", on=empty())

    assert every.complete
    assert one_of_each.schedules <= every.schedules
    assert set(every.outcomes) == set(one_of_each.outcomes)


@pytest.mark.parametrize(
    ("strategy", "shape", "clients"),
    [
        ("one_statement", "same_slot", 1),
        ("function", "same_slot", 1),
        ("advisory", "book_against_reschedule", 1),
        ("one_statement", "other_staff", 2),
        (LooksAndInserts, "other_staff", 2),
        ("advisory", "other_staff", 2),
    ],
)
def test_where_nobody_races_gates_change_nothing(
    empty: Empty, strategy: str | type[Exhibit], shape: str, clients: int
) -> None:
    """A client by itself, and two in different calendars, come to what they came to."""
    closed = explore(strategy, shape=shape, clients=clients, gates=False, on=empty())
    opened = explore(strategy, shape=shape, clients=clients, on=empty())

    assert set(opened.outcomes) == set(closed.outcomes)
    assert (opened.waits, opened.retries, opened.deadlocks) == (0, 0, 0)


def test_gates_change_no_plan(empty: Empty) -> None:
    """What is sent is planned as it was, looks and writes alike."""
    play = BookingPlay(
        empty().engine(), find_strategy("advisory"), SHAPES["two_moves"].scene(2), attempts=1
    )
    named = {
        "staff_id": 1, "service_id": 1, "rules_version": 1, "client": "'me'", "client_id": "'me'",
        "starts": "now()", "ends": "now() + interval '1 hour'", "blocked_from": "now()",
        "blocked_until": "now() + interval '1 hour'", "key_scope": "''", "key": "NULL",
        "digest": "''", "moved_id": 1, "moved_from": 1, "moved_start": "now()",
        "appointment_id": 1,
    }  # fmt: skip
    sent = [
        each % named
        for each in (
            statements.CLAIM,
            statements.CLAIM_MOVE,
            statements.CLAIM_OR_NOTHING,
            statements.RECORD,
            statements.CANCEL,
            statements.LOOK,
        )
    ]
    with connect(play.control.url) as session:
        Beginning(session)

        def plans() -> list[object]:
            return [
                session.execute(f"EXPLAIN (VERBOSE) {each}".encode()).fetchall() for each in sent
            ]

        before = plans()
        assert gates.build(session)

        assert plans() == before


def test_raw_sql_is_refuted(empty: Empty) -> None:
    """Any program's statement that looks and writes is two steps."""
    program = taking(raw(TAKE), raw(TAKE))

    closed = explore_program(program, gates=False, on=empty())
    opened = explore_program(program, on=empty())

    assert (closed.schedules, closed.holds, closed.complete) == (2, True, True)
    assert (opened.schedules, opened.complete) == (6, True)
    assert opened.violations == {"taken twice": 4}


@pytest.mark.parametrize(
    "sent",
    [
        "INSERT INTO booking VALUES ('a', 'me')",
        "INSERT INTO booking (seat, client) VALUES ('b', 'me') RETURNING booking.seat",
        "UPDATE seat SET taken_by = 'me' WHERE seat.name = 'a' AND taken_by IS NULL",
        "DELETE FROM ONLY public.booking WHERE booking.seat = 'b'",
        "INSERT INTO seat AS s VALUES ('a') ON CONFLICT (name) DO UPDATE SET taken_by = s.name",
    ],
)
def test_who_looks_at_nothing_else_is_not_held_back(empty: Empty, sent: str) -> None:
    """What a statement changes it locks before it looks at it again: there is no gap."""
    result = explore_program(
        Program(clients=[raw(sent), raw(sent)], setup=SEATS, never=["SELECT WHERE false"]),
        on=empty(),
    )

    assert result.schedules == 2


@pytest.mark.parametrize(
    "sent",
    [
        "UPDATE seat SET taken_by = 'me' WHERE NOT EXISTS (SELECT FROM seat WHERE taken_by = 'me')",
        "DELETE FROM booking USING seat WHERE booking.seat = seat.name",
        "WITH found AS (SELECT name FROM seat) INSERT INTO booking SELECT name, 'me' FROM found",
        "INSERT INTO booking (SELECT name, 'me' FROM seat)",
    ],
)
def test_who_looks_elsewhere_is_held_back(empty: Empty, sent: str) -> None:
    """Whatever the statement is, and wherever in it the look."""
    others = raw("INSERT INTO seat VALUES ('b')")
    setup = f"{SEATS}; INSERT INTO booking VALUES ('a', 'you')"
    result = explore_program(
        Program(clients=[raw(sent), others], setup=setup, never=["SELECT WHERE false"]), on=empty()
    )

    assert result.schedules == 3


def test_in_a_function_each_write_is_a_step(empty: Empty) -> None:
    """Its statements look with snapshots of their own, so a rival may come before each write."""
    call = raw("SELECT take('me')")
    result = explore_program(taking(call, call, setup=TAKING), stop_at_first=True, on=empty())

    assert result.counterexample
    first = [step for step in result.counterexample.steps if step.client == 0]
    assert [step.kind for step in first] == ["statement", "write", "write"]
    assert [step.answer for step in first[:2]] == [LOOKED, WROTE]
    assert "goes on and writes" in transcript(result.counterexample)


def test_a_function_that_writes_many_rows_comes_to_its_end(empty: Empty) -> None:
    """After some of them the rest is one step, and that is said."""
    setup = f"""
        {SEATS};
        CREATE FUNCTION fill() RETURNS void LANGUAGE sql
        AS 'INSERT INTO booking SELECT n, $$x$$ FROM generate_series(1, 300) AS n'
    """
    result = explore_program(taking(raw("SELECT fill()"), setup=setup), on=empty())

    assert result.complete
    assert result.holds
    assert any("wrote many rows" in note for note in result.notes)


def test_many_rows_of_one_statement_are_one_step(empty: Empty) -> None:
    """It looks once: what it finds is not looked for again."""
    fill = "INSERT INTO booking SELECT n, name FROM seat, generate_series(1, 300) AS n"
    other = raw("UPDATE seat SET taken_by = 'me'", "INSERT INTO seat VALUES ('b')")
    result = explore_program(taking(raw(fill), other), on=empty())

    assert result.complete
    assert result.schedules == 6


@pytest.mark.parametrize(
    "before",
    ["SET lock_timeout = '1ms'", "SELECT pg_advisory_unlock_all()", "RESET ALL", "DISCARD ALL"],
)
def test_what_a_program_sets_opens_no_gate(empty: Empty, before: str) -> None:
    """A gate is the explorer's own: no timeout fires at it, and nobody else lets go of it."""
    result = explore_program(taking(raw(before, TAKE), raw(before, TAKE)), on=empty())

    assert result.complete
    assert not result.broken
    assert result.violations["taken twice"] > 0
    assert not any("55P03" in str(outcome) for outcome in result.outcomes)


@pytest.mark.parametrize(
    ("level", "safe"), [("REPEATABLE READ", False), ("SERIALIZABLE", True)], ids=str
)
def test_other_isolation_levels_are_held_back_likewise(
    empty: Empty, level: str, *, safe: bool
) -> None:
    """What one statement does alone in a transaction of that level."""

    def client(engine: Engine) -> str | None:
        own = engine.execution_options(isolation_level=level)
        try:
            with own.begin() as connection:
                connection.execute(text(TAKE))
        except Exception as error:  # noqa: BLE001 - said as the outcome
            return str(getattr(getattr(error, "orig", error), "sqlstate", error))
        return None

    every = explore_program(taking(client, client), on=empty())
    one_of_each = explore_program(taking(client, client), search="reduced", on=empty())

    assert every.complete
    assert every.holds == safe
    assert any("40001" in str(outcome) for outcome in every.outcomes) == safe
    assert set(every.outcomes) == set(one_of_each.outcomes)


def test_a_counterexample_with_gates_is_a_value(empty: Empty) -> None:
    """It is written, read, drawn and played again; isolationtester can't say it."""
    program = taking(raw(TAKE), raw(TAKE))
    found = explore_program(program, stop_at_first=True, on=empty()).counterexample
    assert found
    again = Counterexample.from_json(found.to_json())
    lines = transcript(found).splitlines()
    held = next(number for number, line in enumerate(lines) if line.endswith(LOOKED))

    assert again == found
    assert replay(found, program=program, on=empty()) == found
    assert lines[held - 1].endswith("-- T1")
    assert [line for line in lines if line.endswith("goes on and writes")]
    assert labels.outcome(found.steps[0]) == LOOKED
    assert isinstance(drawing(found), Figure)
    with pytest.raises(NotExportable, match="hold a statement back"):
        to_spec(found)


def test_a_booking_held_back_can_be_drawn(empty: Empty) -> None:
    """The look has no rows yet; the write says what came of the whole."""
    found = explore(LooksAndInserts, stop_at_first=True, on=empty()).counterexample
    assert found

    assert isinstance(drawing(found), Figure)
    assert sorted(labels.outcome(step) for step in found.steps if step.kind == "write") == [
        "appointment 1",
        "appointment 2",
    ]


def test_one_fault_at_a_gate_breaks_nothing(empty: Empty) -> None:
    """A session that is ended, or an answer that is lost, while a statement stands there."""
    result = explore("one_statement", faults=1, search="bounded", preemptions=1, on=empty())

    assert result.complete  # within the bound; every order, and no gates: `test_explore.py`
    assert result.holds
    assert not result.broken


def test_a_lost_answer_is_lost_at_a_gate_too(empty: Empty) -> None:
    """The statement has written, and its client doesn't know."""
    result = explore_program(taking(raw(TAKE), raw(TAKE)), faults=1, on=empty())

    assert result.complete
    assert not result.broken
    assert any("57P01" in str(outcome) for outcome in result.outcomes)


@pytest.mark.parametrize("ends", ["pg_cancel_backend", "pg_terminate_backend"])
def test_a_statement_that_is_ended_at_its_gate_leaves_nothing(empty: Empty, ends: str) -> None:
    """Nobody hangs, and the next run finds every gate open."""
    end = f"SELECT {ends}(pid) FROM pg_stat_activity WHERE query LIKE '%NOT EXISTS%' AND {{}}"
    other = raw(end.format("pid <> pg_backend_pid() AND datname = current_database()"))
    database = empty()
    result = explore_program(taking(raw(TAKE), other), on=database)

    assert not result.broken
    assert any(("57014" if "cancel" in ends else "57P01") in str(o) for o in result.outcomes)
    with connect(database.url) as session:
        assert doors(session) == 0


def test_an_abandoned_run_leaves_no_gate_shut(empty: Empty) -> None:
    """Whoever stands at a gate when a run is ended writes nothing, and is gone."""
    database = empty()
    play = ProgramPlay(taking(raw(TAKE), raw(TAKE)), database)
    with Explorer(database, play) as explorer, connect(database.url) as session:

        def one_step(turns: Turns) -> Move | None:
            return None if turns.taken else Move(0)

        run = explorer.run(one_step)

        assert [turn.halted for turn in run.turns] == [True]
        assert doors(session) == 0
        # And the next run is like any other.
        assert len(explorer.run(lambda turns: Move(min(turns.ready))).choices) == 3


def test_an_exploration_that_is_broken_off_ends_whoever_stands_at_a_gate(empty: Empty) -> None:
    """They would write as soon as nobody holds them back."""

    def client(engine: Engine) -> None:
        connection = engine.raw_connection()
        driver: Any = connection.driver_connection
        connection.detach()  # no pool complains of the end of its connection
        driver.autocommit = True
        driver.execute(TAKE)
        driver.close()

    database = empty()
    play = ProgramPlay(taking(client, client), database)

    def give_up(turns: Turns) -> Move:
        if turns.taken:
            raise KeyboardInterrupt
        return Move(0)

    with pytest.raises(KeyboardInterrupt), Explorer(database, play) as explorer:
        explorer.run(give_up)
    with connect(database.url) as session:
        assert session.execute("SELECT count(*) FROM booking").fetchall() == [(0,)]


def test_gates_stand_as_long_as_the_exploration(empty: Empty) -> None:
    """A play may store anew how its runs begin; another explorer finds nothing of the first."""
    database = empty()
    for wanted, steps in ((True, 4), (False, 2)):
        play = ProgramPlay(
            taking(raw(TAKE), raw(TAKE), setup=f"DROP TABLE IF EXISTS seat, booking; {SEATS}"),
            database,
        )
        with Explorer(database, play, gates=wanted) as explorer, connect(database.url) as session:
            Beginning(session)

            run = explorer.run(lambda turns: Move(min(turns.ready)))

            assert explorer.gates is wanted
            # Whoever comes second finds the seat taken, and writes nothing.
            assert len(run.choices) == steps - wanted


def test_partitions_and_heirs_have_gates(empty: Empty) -> None:
    """A partition gets its root's; a table that inherits has one of its own."""
    setup = """
        CREATE TABLE booking (seat text, client text) PARTITION BY LIST (seat);
        CREATE TABLE booking_a PARTITION OF booking FOR VALUES IN ('a');
        CREATE TABLE seat (name text);
        CREATE TABLE window_seat (view text) INHERITS (seat)
    """
    fill = "INSERT INTO window_seat SELECT 'w' WHERE NOT EXISTS (SELECT FROM seat)"
    for sent in (TAKE, fill):
        program = Program(clients=[raw(sent)] * 2, setup=setup, never=["SELECT WHERE false"])
        assert explore_program(program, on=empty()).schedules == 6


def test_where_triggers_may_not_be_created_it_is_said(empty: Empty) -> None:
    """Then a statement is one step."""
    # Even in a session that keeps other triggers out, as that does which prepares the runs.
    setup = f"""
        {SEATS};
        CREATE FUNCTION refuse() RETURNS event_trigger LANGUAGE plpgsql AS $$
        BEGIN
            RAISE 'no triggers here' USING ERRCODE = 'insufficient_privilege';
        END $$;
        CREATE EVENT TRIGGER refuse ON ddl_command_start WHEN TAG IN ('CREATE TRIGGER')
            EXECUTE FUNCTION refuse();
        ALTER EVENT TRIGGER refuse ENABLE ALWAYS
    """
    database = empty()
    with connect(database.url) as session:
        try:
            result = explore_program(taking(raw(TAKE), raw(TAKE), setup=setup), on=database)
        finally:
            session.execute("DROP EVENT TRIGGER IF EXISTS refuse")

    assert result.schedules == 2
    assert any("triggers may not be created" in note for note in result.notes)


def test_users_triggers_fire_before_the_gate(empty: Empty) -> None:
    """What they look at, they have looked at when a statement is held back."""
    setup = f"""
        {SEATS};
        CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            IF EXISTS (SELECT FROM booking WHERE seat = NEW.seat) THEN
                RAISE 'it is taken';
            END IF;
            RETURN NEW;
        END $$;
        CREATE TRIGGER refuse BEFORE INSERT ON booking FOR EACH ROW EXECUTE FUNCTION refuse()
    """
    insert = raw("INSERT INTO booking VALUES ('a', 'me')")

    assert explore_program(taking(insert, insert, setup=setup), gates=False, on=empty()).holds
    assert not explore_program(taking(insert, insert, setup=setup), on=empty()).holds


def doors(session: psycopg.Connection) -> int:
    """Return how many gates somebody has or wants shut."""
    query = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND classid = %s"
    ((count,),) = session.execute(query, [DOOR]).fetchall()
    return int(count)
