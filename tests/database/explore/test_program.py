"""Programs of any kind, on any schema: right verdicts, and never a false proof."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import replace
from functools import partial
from textwrap import dedent
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import Engine, text

from experiments.explore import NotReproduced, Program, explore_program, replay
from experiments.explore.beginning import Beginning
from experiments.judge.invariants import Invariant, never, no_overlap
from experiments.scenes.parameters import BadExperiment
from experiments.schedules.transcript import transcript
from experiments.server.connection import connect
from experiments.steer.hub import Hub
from experiments.steer.programs import Command, Request, Server, Worker

if TYPE_CHECKING:
    from experiments.server.postgres import Database

Empty = Callable[[], "Database"]
COUNTER = "CREATE TABLE counter (name text, value integer); INSERT INTO counter VALUES ('a', 0)"


def raw(*statements: str) -> Callable[[Engine], list[object]]:
    """A client that sends statements, each by itself, and returns the first row of each."""

    def client(engine: Engine) -> list[object]:
        connection = engine.raw_connection()
        driver: Any = connection.driver_connection
        driver.autocommit = True
        rows: list[object] = []
        try:
            for statement in statements:
                cursor = driver.execute(statement)
                rows.append(cursor.fetchone() if cursor.description else None)
        finally:
            driver.autocommit = False
            connection.close()
        return rows

    return client


def add_one(table: str, engine: Engine) -> None:
    """Read, add one, write: an update is lost where two do so at once."""
    with engine.begin() as connection:
        value = connection.execute(text(f"SELECT value FROM {table}")).scalar_one()
        connection.execute(text(f"UPDATE {table} SET value = :value"), {"value": value + 1})


def lost(table: str) -> Invariant:
    """Two have counted, and the counter says otherwise."""

    def check(told: Any, rows: Any) -> str | None:  # noqa: ANN401 - as an invariant's
        return f"the counter is {rows[0][0]}" if told and rows[0][0] != 2 else None

    return Invariant("lost_update", f"SELECT value FROM {table}", check)


def holds() -> Invariant:
    """Nothing can break it."""
    return never("SELECT WHERE false")


def twice_the_same(told: Any, _: Any) -> str | None:  # noqa: ANN401 - as an invariant's
    """Whether somebody has read one thing and then another."""
    reads = told[0] if told and isinstance(told[0], list) else []
    return None if len(set(reads)) < 2 else f"read {reads}"


@pytest.mark.parametrize(
    ("around", "schedules", "broken"), [([], 3, 1), (["BEGIN", "COMMIT"], 10, 2)]
)
def test_a_reader_who_reads_twice_sees_a_change_in_between(
    empty: Empty, around: list[str], schedules: int, broken: int
) -> None:
    """Tables that the set-up makes are known: a plain read beside an UPDATE is a choice."""
    read, write = "SELECT value FROM counter", "UPDATE counter SET value = 1"
    before, after = around[:1], around[1:]
    seen = Invariant("two_reads", "SELECT", lambda told, rows: twice_the_same(_reads(told), rows))
    program = Program(
        [raw(*before, read, read, *after), raw(*before, write, *after)], COUNTER, [seen]
    )

    result = explore_program(program, on=empty())

    assert result.complete
    assert (result.schedules, result.violations["two_reads"]) == (schedules, broken)


SCHEMAS = {
    "made in set-up": ("counter", COUNTER),
    "in another schema": (
        "shop.counter",
        (
            "CREATE SCHEMA shop; CREATE TABLE shop.counter (id serial, value integer);"
            " INSERT INTO shop.counter (value) VALUES (0)"
        ),
    ),
    "quoted names": (
        '"My Shop"."The Counter"',
        (
            'CREATE SCHEMA "My Shop"; CREATE TABLE "My Shop"."The Counter" ("Id" int, value int);'
            ' INSERT INTO "My Shop"."The Counter" VALUES (1, 0)'
        ),
    ),
    "a key that is no number": (
        "counter",
        (
            "CREATE TABLE counter (id uuid DEFAULT gen_random_uuid() PRIMARY KEY, value integer);"
            " INSERT INTO counter (value) VALUES (0)"
        ),
    ),
    "partitioned": (
        "counter",
        (
            "CREATE TABLE counter (id int, value int) PARTITION BY RANGE (id);"
            " CREATE TABLE counter_low PARTITION OF counter FOR VALUES FROM (0) TO (10);"
            " CREATE TABLE counter_high PARTITION OF counter FOR VALUES FROM (10) TO (20);"
            " INSERT INTO counter VALUES (1, 0)"
        ),
    ),
    "with triggers": (
        "counter",
        (
            "CREATE TABLE counter (id int, value int); CREATE TABLE noted (value int);"
            " CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN INSERT INTO noted VALUES (NEW.value); RETURN NEW; END';"
            " CREATE TRIGGER note AFTER INSERT OR UPDATE ON counter FOR EACH ROW"
            " EXECUTE FUNCTION note(); INSERT INTO counter VALUES (1, 0)"
        ),
    ),
    "generated and identity columns": (
        "counter",
        (
            "CREATE TABLE counter (id int GENERATED ALWAYS AS IDENTITY, value int,"
            " twice int GENERATED ALWAYS AS (2 * value) STORED);"
            " INSERT INTO counter (value) VALUES (0)"
        ),
    ),
    "foreign keys in a circle": (
        "counter",
        (
            "CREATE TABLE counter (id int PRIMARY KEY, owner int, value int);"
            " CREATE TABLE owner (id int PRIMARY KEY, counter int REFERENCES counter);"
            " INSERT INTO counter VALUES (1, 1, 0); INSERT INTO owner VALUES (1, 1);"
            " ALTER TABLE counter ADD FOREIGN KEY (owner) REFERENCES owner"
        ),
    ),
    "a materialised view": (
        "counter",
        f"{COUNTER}; CREATE MATERIALIZED VIEW seen AS SELECT value FROM counter",
    ),
}


@pytest.mark.parametrize("kind", SCHEMAS)
def test_any_schema_will_do(empty: Empty, kind: str) -> None:
    """Every run begins with the same rows, whatever tables they are in."""
    table, setup = SCHEMAS[kind]
    program = Program([partial(add_one, table)] * 2, setup, [lost(table)])

    every = explore_program(program, on=empty())
    one_of_each = explore_program(program, search="reduced", on=empty())

    assert every.complete
    assert one_of_each.complete
    assert not every.notes
    assert 0 < every.violations["lost_update"] < every.schedules
    assert set(every.outcomes) == set(one_of_each.outcomes)
    assert every.counterexample
    again = replay(every.counterexample, program=program, on=empty())
    assert replace(again, stored=()) == replace(every.counterexample, stored=())
    assert "the counter is 1" in transcript(every.counterexample)


def test_everything_is_put_back_where_triggers_cannot_be_kept_out(database: Database) -> None:
    """Whoever is no superuser gets there by another way, foreign keys in a circle included."""
    _, setup = SCHEMAS["foreign keys in a circle"]
    with connect(database.clear().url) as session:
        session.execute("DROP ROLE IF EXISTS somebody; CREATE ROLE somebody")
        session.execute(f"GRANT ALL ON DATABASE {database.name} TO somebody")
        session.execute("GRANT ALL ON SCHEMA public TO somebody; SET ROLE somebody")
        session.execute(setup.encode())
        session.execute("CREATE TABLE noted (value serial)")
        session.execute(
            "CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS"
            " 'BEGIN INSERT INTO noted DEFAULT VALUES; RETURN NEW; END'"
        )
        session.execute(
            "CREATE TRIGGER note AFTER INSERT ON counter FOR EACH ROW EXECUTE FUNCTION note()"
        )
        beginning = Beginning(session)
        assert not beginning.by_force
        session.execute("INSERT INTO counter VALUES (2, 1, 0); UPDATE owner SET counter = 2")

        beginning.put_back({"counter", "owner", "noted"})

        assert session.execute("SELECT id, owner FROM counter").fetchall() == [(1, 1)]
        assert session.execute("SELECT counter FROM owner").fetchall() == [(1,)]
        assert session.execute("SELECT value FROM noted").fetchall() == []
        session.execute("INSERT INTO noted DEFAULT VALUES")
        assert session.execute("SELECT value FROM noted").fetchall() == [(1,)]
        session.execute("RESET ROLE; DROP OWNED BY somebody; DROP ROLE somebody")


LEVELS = {
    "in BEGIN": ["BEGIN ISOLATION LEVEL REPEATABLE READ"],
    "in a statement of its own": ["BEGIN", "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"],
    "in one text": ["BEGIN; SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"],
    "by default": ["SET default_transaction_isolation = 'repeatable read'", "BEGIN"],
    "by a function": [
        "SELECT set_config('default_transaction_isolation', 'repeatable read', false)",
        "BEGIN",
    ],
}


@pytest.mark.parametrize("how", LEVELS)
def test_a_snapshot_is_taken_whoever_asks_for_it(empty: Empty, how: str) -> None:
    """Two reads in REPEATABLE READ are the same, and which they are depends on the first."""
    twice = raw(*LEVELS[how], "SELECT value FROM counter", "SELECT value FROM counter", "COMMIT")
    seen = Invariant("two_reads", "SELECT", lambda told, rows: twice_the_same(_reads(told), rows))
    program = Program([twice, raw("UPDATE counter SET value = 1")], COUNTER, [seen])

    results = [explore_program(program, search=each, on=empty()) for each in SEARCHES]

    for result in results:
        assert result.complete
        assert result.holds
        assert len(result.outcomes) == 2  # before the change, and after it


SEARCHES: tuple[Any, ...] = ("exhaustive", "reduced")


def _reads(told: Any) -> Any:  # noqa: ANN401 - as an invariant's
    return [[row for row in told[0] if isinstance(row, tuple) and row[0] in (0, 1)]] if told else []


@pytest.mark.parametrize(
    "second",
    ["SELECT nextval('number')", "INSERT INTO numbered DEFAULT VALUES RETURNING n",
     "SELECT last_value, is_called FROM number"],
    ids=["asks too", "inserts", "looks"],
)  # fmt: skip
def test_who_draws_a_number_first_is_a_choice(empty: Empty, second: str) -> None:
    """A number that is drawn is gone at once: two that draw, or draw and look, do not commute."""
    setup = (
        "CREATE SEQUENCE number; CREATE TABLE numbered (n int DEFAULT nextval('number'), who text)"
    )
    program = Program([raw("SELECT nextval('number')"), raw(second)], setup, [holds()])

    result = explore_program(program, search="reduced", on=empty())

    assert result.complete
    assert len(result.outcomes) == 2


def test_a_text_of_several_statements_is_a_step(empty: Empty) -> None:
    """It begins with BEGIN, and is not let through for that; with gates its writes are steps."""
    whole = raw("BEGIN; UPDATE counter SET value = value + 1; COMMIT")
    program = Program([whole, whole], COUNTER, [lost("counter")])

    closed = explore_program(program, gates=False, on=empty())
    opened = explore_program(program, on=empty())

    assert closed.complete
    assert closed.holds
    assert (closed.schedules, closed.steps) == (2, 4)
    assert opened.complete
    assert opened.holds
    # The other one waits for the row, or comes afterwards.
    assert (opened.schedules, opened.steps) == (4, 16)


def test_a_pipeline_is_explored_statement_by_statement(empty: Empty) -> None:
    """What travels together is one statement after the other to the server, and here too."""

    def client(engine: Engine) -> None:
        with engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            with driver.pipeline():
                driver.execute("SELECT value FROM counter")
                driver.execute("UPDATE counter SET value = value + 1")
            driver.commit()

    result = explore_program(Program([client, client], COUNTER, [lost("counter")]), on=empty())

    assert result.complete
    assert result.holds
    assert result.steps / result.schedules == 6


def test_what_a_session_keeps_does_not_reach_the_next_run(empty: Empty) -> None:
    """PREPARE, SET, a temporary table and a session's lock are gone with the run."""
    client = raw(
        "SELECT value FROM counter",
        "PREPARE mine AS SELECT 1",
        "SET lock_timeout = '1h'",
        "CREATE TEMP TABLE mine (a int)",
        "SELECT pg_advisory_lock(1)",
        "UPDATE counter SET value = value + 1",
        "SELECT pg_advisory_unlock(1)",
        "SELECT current_setting('lock_timeout')",
    )
    seen = Invariant("left", "SELECT", lambda told, _: next(iter(_failures(told)), None))
    program = Program([client, client], COUNTER, [seen, lost("counter")])

    result = explore_program(program, search="bounded", preemptions=0, on=empty())

    assert result.holds
    assert not result.broken
    assert result.schedules >= 2


def _failures(told: Any) -> list[str]:  # noqa: ANN401 - as an invariant's
    return [str(each) for each in told if isinstance(each, BaseException)]


def test_code_that_does_not_come_through_here_proves_nothing(empty: Empty) -> None:
    """A program that connects by itself is not explored, and that is said."""
    database = empty()

    def elsewhere(_: Engine) -> None:
        with connect(database.url) as session:
            session.execute("UPDATE counter SET value = value + 1")

    result = explore_program(Program([elsewhere], COUNTER, [holds()]), on=database)

    assert not result.complete
    assert any("nothing was explored" in note for note in result.notes)


def test_clients_that_all_fail_prove_nothing(empty: Empty) -> None:
    """Nobody has booked anything, so nobody has booked twice."""
    wrong = raw("UPDATE counter SET value = 1", "SELECT nonsense FROM counter")

    result = explore_program(Program([wrong, wrong], COUNTER, [holds()]), on=empty())

    assert not result.complete
    assert any("every client failed" in note for note in result.notes)


def test_a_program_that_remembers_is_not_misjudged(empty: Empty) -> None:
    """Told the same, it sends something else: no path can be relied on."""
    times: list[int] = []

    def client(engine: Engine) -> None:
        times.append(1)
        with engine.begin() as connection:
            connection.execute(text("UPDATE counter SET value = value + 1"))
            for _ in range(len(times) % 3):
                connection.execute(text(f"UPDATE counter SET value = {len(times)}"))

    program = Program([client, client], COUNTER, [holds()])
    result = explore_program(program, limit=200, on=empty())

    assert not result.complete
    assert any("sent something else" in note for note in result.notes)


def test_what_fails_quietly_lets_go_of_locks(empty: Empty) -> None:
    """To let such a statement through is a choice, once it was seen to fail."""
    taking = raw("BEGIN", "UPDATE counter SET value = 1", "SAVEPOINT a; nonsense")
    waiting = raw("UPDATE counter SET value = value + 10")

    program = Program([taking, waiting], COUNTER, [holds()])
    results = [explore_program(program, search=each, on=empty()) for each in SEARCHES]

    assert all(result.complete for result in results)
    assert set(results[0].outcomes) == set(results[1].outcomes)


# Programs that are broken, or do what drivers seldom do.


def copying(engine: Engine) -> None:
    """COPY in and out."""
    with engine.begin() as connection:
        cursor = connection.connection.cursor()
        with cursor.copy("COPY counter FROM STDIN") as copy:  # type: ignore[attr-defined]
            copy.write_row(("b", 1))
        with cursor.copy("COPY counter TO STDOUT") as copy:  # type: ignore[attr-defined]
            assert len(list(copy.rows())) >= 2


def hearing(engine: Engine) -> None:
    """LISTEN and NOTIFY to oneself."""
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.autocommit = True
        driver.execute("LISTEN news")
        driver.execute("UPDATE counter SET value = value + 1")
        driver.execute("SELECT pg_notify('news', 'one')")
        assert [each.payload for each in driver.notifies(timeout=5, stop_after=1)] == ["one"]
        driver.autocommit = False


def fetching(engine: Engine) -> None:
    """A cursor in the server, and a savepoint."""
    with engine.begin() as connection:
        driver: Any = connection.connection.driver_connection
        with driver.cursor("mine") as cursor:
            cursor.execute("SELECT name FROM counter FOR UPDATE")
            assert cursor.fetchone() == ("a",)
        with suppress(psycopg.Error), driver.transaction():
            driver.execute("SELECT 1 / 0")
        driver.execute("UPDATE counter SET value = value + 1")


def opening_another(engine: Engine) -> None:
    """A second connection while the first is in a transaction."""
    with engine.begin() as one, engine.connect() as other:
        one.execute(text("INSERT INTO counter VALUES ('b', 1)"))
        assert other.execute(text("SELECT count(*) FROM counter")).scalar_one() >= 1


def cancelling(engine: Engine) -> None:
    """A statement that takes too long is cancelled by its client."""
    with engine.connect() as connection:
        driver: Any = connection.connection.driver_connection
        driver.execute("SET LOCAL statement_timeout = '50ms'")
        with pytest.raises(psycopg.errors.QueryCanceled):
            driver.execute("SELECT pg_sleep(10), value FROM counter FOR UPDATE")
        driver.rollback()


@pytest.mark.parametrize("client", [copying, hearing, fetching, opening_another, cancelling])
def test_what_drivers_seldom_do_is_explored_too(
    empty: Empty, client: Callable[[Engine], None]
) -> None:
    """COPY, LISTEN, cursors, savepoints, second connections, cancels: a result, and a clean end."""
    program = Program(
        [client, raw("UPDATE counter SET value = value + 1 WHERE name = 'a'")],
        COUNTER,
        [Invariant("failed", "SELECT", lambda told, _: next(iter(_failures(told)), None))],
    )

    result = explore_program(program, search="bounded", preemptions=1, on=empty())

    assert result.holds, (result.counterexample and transcript(result.counterexample), result)
    assert result.complete
    assert result.schedules > 1


WORKER = dedent("""
    import os, sys
    import psycopg
    connection = psycopg.connect(os.environ["DATABASE_URL"], autocommit=True)
    for line in sys.stdin:
        if line.strip() == "crash":
            os._exit(3)
        connection.execute(line)
        print("done", flush=True)
""")


def test_workers_and_commands_are_clients(empty: Empty) -> None:
    """A command that lives on is told a line; another is run anew each time."""
    add = "UPDATE counter SET value = value + 1"
    once = (
        "import os, psycopg\n"
        "with psycopg.connect(os.environ['DATABASE_URL'], autocommit=True) as c:\n"
        f"    c.execute('{add}')\n"
    )
    program = Program(
        [Worker([sys.executable, "-c", WORKER], add), Command([sys.executable, "-c", once])],
        COUNTER,
        [lost("counter")],
    )

    result = explore_program(program, on=empty())

    assert result.complete
    assert result.holds
    assert (result.schedules, result.steps) == (2, 4)


def test_a_worker_that_crashes_is_a_clear_result(empty: Empty) -> None:
    """Its end is what its client is told, and the next run has a new one."""
    program = Program(
        [Worker([sys.executable, "-c", WORKER], "crash"), partial(add_one, "counter")],
        COUNTER,
        [Invariant("failed", "SELECT", lambda told, _: next(iter(_failures(told)), None))],
    )

    result = explore_program(program, on=empty())

    assert result.violations["failed"] == result.schedules
    assert result.counterexample
    assert "ended with code 3" in transcript(result.counterexample)


def test_a_client_that_hangs_is_a_clear_result(empty: Empty) -> None:
    """It neither sends nor ends; the next exploration is as it should be."""

    def hanging(engine: Engine) -> None:
        add_one("counter", engine)
        time.sleep(3600)

    program = Program([hanging, partial(add_one, "counter")], COUNTER, [holds()])
    result = explore_program(program, guard_seconds=0.3, on=empty())

    assert not result.holds
    assert any("neither sent a statement nor ended" in words for words in result.broken)
    again = Program([partial(add_one, "counter")] * 2, COUNTER, [lost("counter")])
    assert explore_program(again, on=empty()).complete


def test_a_deadlock_with_oneself_is_named(empty: Empty) -> None:
    """Who waits for a lock of another connection of its own waits for ever."""

    def client(engine: Engine) -> None:
        with engine.begin() as one, engine.begin() as other:
            one.execute(text("UPDATE counter SET value = 1"))
            other.execute(text("UPDATE counter SET value = 2"))

    result = explore_program(Program([client], COUNTER, [holds()]), guard_seconds=0.5, on=empty())

    assert any("holds on another connection" in words for words in result.broken)


def test_faults_are_steps_and_replay(empty: Empty) -> None:
    """An answer that is lost at COMMIT: an error is told, and the row stands."""
    told = Invariant(
        "dishonest_replies",
        "SELECT value FROM counter",
        lambda told, rows: "refused, and stored" if rows[0][0] == 1 and _failures(told) else None,
    )
    program = Program([partial(add_one, "counter")], COUNTER, [told])

    result = explore_program(program, faults=1, on=empty())

    assert result.complete
    assert result.schedules == 1 + 3 * 3  # three steps, three faults at each
    assert result.violations["dishonest_replies"] == 1
    assert result.counterexample
    assert "its answer is lost: COMMIT" in transcript(result.counterexample)
    assert replay(result.counterexample, program=program, on=empty()) == result.counterexample
    with pytest.raises(NotReproduced):
        replay(result.counterexample, on=empty())


def test_what_is_prepared_in_a_transaction_locks_its_tables(empty: Empty) -> None:
    """Beside LOCK TABLE, to prepare an INSERT is a choice: it takes the table's lock."""
    preparing = raw(
        "BEGIN", "PREPARE mine AS INSERT INTO counter VALUES ('b', 1)", "EXECUTE mine", "COMMIT"
    )
    locking = raw("BEGIN", "LOCK TABLE counter IN EXCLUSIVE MODE", "COMMIT")

    result = explore_program(Program([locking, preparing], COUNTER, [holds()]), on=empty())

    assert result.complete
    # The lock comes before all, or is waited for from one of the four steps on; or the other way.
    # What EXECUTE does is not known, so it is held back before it writes.
    assert (result.schedules, result.waits) == (6, 4)


def test_checks_that_were_put_off_are_a_step(empty: Empty) -> None:
    """SET CONSTRAINTS ALL IMMEDIATE takes locks, waits and fails: it has its place in the order."""
    setup = """
        CREATE TABLE parent (id int PRIMARY KEY); INSERT INTO parent VALUES (1);
        CREATE TABLE child (id int REFERENCES parent DEFERRABLE INITIALLY DEFERRED)
    """
    child = raw("BEGIN", "INSERT INTO child VALUES (1)", "SET CONSTRAINTS ALL IMMEDIATE", "COMMIT")
    program = Program([child, raw("DELETE FROM parent")], setup, [holds()])
    results = [explore_program(program, search=each, on=empty()) for each in SEARCHES]

    assert all(result.complete for result in results)
    assert set(results[0].outcomes) == set(results[1].outcomes)
    assert any(
        "ForeignKeyViolation" in str(each) and "child" in str(each) for each in results[0].outcomes
    )


def test_a_schedule_that_writes_what_no_other_does_replays(empty: Empty) -> None:
    """What it alone shows to be written is learnt again on the way."""

    def client(engine: Engine) -> None:
        with engine.begin() as connection:
            connection.execute(text("SELECT n FROM noted"))
            value = connection.execute(text("SELECT value FROM counter")).scalar_one()
            raised = connection.execute(
                text("UPDATE counter SET value = value + 1 WHERE value = :value"), {"value": value}
            )
            if not raised.rowcount:
                connection.execute(text("UPDATE noted SET n = n + 1"))

    program = Program(
        [client, client],
        f"{COUNTER}; CREATE TABLE noted (n int); INSERT INTO noted VALUES (0)",
        ["SELECT n FROM noted WHERE n > 0"],
    )
    found = explore_program(program, search="reduced", stop_at_first=True, on=empty())
    assert found.counterexample
    assert replay(found.counterexample, program=program, on=empty()).breaches


@pytest.mark.parametrize(
    ("program", "words"),
    [
        (lambda: Program([], COUNTER, [holds()]), "needs clients"),
        (lambda: Program([raw()], COUNTER, []), "what must never be"),
        (lambda: Program([Request("GET", "/")], COUNTER, [holds()]), "need a server"),
        (lambda: Program([raw()], "CREATE nonsense", [holds()]), "set-up failed"),
        (lambda: Program([raw()], Command("false"), [holds()]), "set-up failed"),
        (lambda: Program([raw()], COUNTER, ["SELECT nonsense"]), "can't be asked"),
        (lambda: Program([raw()], COUNTER, ["SELECT 1"]), "before anybody has begun"),
    ],
)
def test_what_cannot_be_explored_is_refused_in_words(
    empty: Empty, program: Callable[[], Program], words: str
) -> None:
    """Nothing is guessed, and nothing is played."""
    with pytest.raises(BadExperiment, match=words):
        explore_program(program(), on=empty())


SERVER = dedent("""
    import os
    from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
    import psycopg

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            with psycopg.connect(os.environ["DATABASE_URL"]) as connection:
                (taken,) = connection.execute(
                    "SELECT count(*) FROM booking WHERE chair = 1").fetchone()
                if not taken:
                    connection.execute("INSERT INTO booking VALUES (1, '[1,2)')")
            self.send_response(409 if taken else 201)
            self.end_headers()
            self.wfile.write(b'{"taken": %d}' % taken)
        def log_message(self, *_):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    print(f"listening on 127.0.0.1:{server.server_address[1]}", flush=True)
    server.serve_forever()
""")


@pytest.mark.parametrize("tcp", [False, True], ids=["a socket", "TCP"])
def test_requests_to_a_server_are_explored(empty: Empty, *, tcp: bool) -> None:
    """One process, several requests: whose each statement is, is known."""
    book = Request("POST", "/", {"chair": 1})
    program = Program(
        [book, book],
        "CREATE TABLE booking (chair int, period int4range)",
        [no_overlap("booking", resource="chair", period="period", key="ctid")],
        server=Server([sys.executable, "-c", SERVER], tcp=tcp),
    )

    result = explore_program(program, on=empty())

    assert result.complete
    assert result.schedules == 20
    assert result.violations["double_bookings"] == 18
    assert result.counterexample
    assert 'was told: 201 {"taken": 0}' in transcript(result.counterexample)


def test_a_stranger_is_not_let_in_over_tcp(empty: Empty) -> None:
    """The loopback gate asks for a password that only its own clients know, or the server does."""
    hub = Hub(empty().url, {}, lambda _: None)
    try:
        url = hub.loopback(0)

        def knock() -> str:
            with pytest.raises(psycopg.OperationalError) as refused:
                psycopg.connect(
                    host=url.host, port=url.port, user="postgres", password="guess", dbname="x"
                )
            return str(refused.value)

        with ThreadPoolExecutor(1) as thread:
            knocking = thread.submit(knock)
            while not knocking.done():
                hub.listen(0.01)
        refused = ("lets its own clients in", "password authentication failed")
        assert any(words in knocking.result() for words in refused)
    finally:
        hub.close()
