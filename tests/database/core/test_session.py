"""A session: the short way through libpq, and the long one through somebody's own cursors."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from time import monotonic
from typing import TYPE_CHECKING

import psycopg
import pytest
from desk import PATIENCE, TEN, Desk, open_desk
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DataError

from booking_core.database.session import Session
from booking_core.errors import Deadlock, SlotBusy
from booking_core.strategies import statements

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    """Open a desk with the default strategy."""
    with open_desk("advisory") as opened:
        yield opened


@pytest.fixture
def engine(desk: Desk) -> Iterator[Engine]:
    """Make an engine with one connection."""
    made = create_engine(desk.database.url, pool_size=1, max_overflow=0)
    yield made
    made.dispose()


VALUES = [
    pytest.param(7, "integer", 7, id="a number"),
    pytest.param(2**40, "bigint", 2**40, id="a large number"),
    pytest.param(-3, "smallint", -3, id="a negative number"),
    pytest.param(True, "boolean", True, id="a truth value"),
    pytest.param(None, "text", None, id="nothing"),
    pytest.param("", "text", "", id="an empty text"),
    pytest.param(b"by\0tes", "bytea", b"by\0tes", id="bytes"),
    pytest.param(["Smith, John"], "text[]", ["Smith, John"], id="a list of texts"),
    pytest.param('O\'Hara, \\ "Zoë" 理髪', "text", 'O\'Hara, \\ "Zoë" 理髪', id="a text"),
]


@pytest.mark.parametrize(("given", "kind", "returned"), VALUES)
def test_values_come_back_as_they_went(
    engine: Engine, given: object, kind: str, returned: object
) -> None:
    """Whichever way a statement takes, its parameters and its rows mean the same."""
    with Session(engine, "READ COMMITTED") as session:
        query = f"SELECT %(it)s::{kind}, 1 WHERE %(it)s::{kind} IS NOT DISTINCT FROM %(it)s::{kind}"
        assert [(returned, 1)] == session.run(query, {"it": given})


def test_what_has_no_meaning_is_refused(desk: Desk) -> None:
    """Nothing is guessed, and the connection is as good as before."""
    with Session(desk.engine, "READ COMMITTED") as session:
        with pytest.raises(psycopg.ProgrammingError, match="cannot adapt"):
            session.run("SELECT %(it)s::text", {"it": {"a": 1}})
        assert session.run("SELECT 1") == [(1,)]


def test_a_text_that_postgresql_cannot_hold_is_refused(desk: Desk) -> None:
    """Libpq would end it at the NUL, silently."""
    with (
        pytest.raises(psycopg.DataError, match="NUL"),
        Session(desk.engine, "READ COMMITTED") as session,
    ):
        session.run("SELECT %(it)s::text", {"it": "a\0b"})


def test_a_statement_is_written_in_the_encoding_of_its_connection(desk: Desk) -> None:
    """A letter in a strategy's own SQL means the same on a connection that speaks LATIN1."""
    engine = create_engine(desk.database.url, connect_args={"client_encoding": "LATIN1"})
    with Session(engine, "READ COMMITTED") as session:
        assert session.run("SELECT 'é', 'é' = chr(233)") == [("é", True)]
    engine.dispose()


def test_percent_signs_are_written_as_in_psycopg(engine: Engine) -> None:
    """Doubled where there are parameters."""
    with Session(engine, "READ COMMITTED") as session:
        assert session.run("SELECT 5 %% %(it)s::integer", {"it": 2}) == [(1,)]


def test_what_is_prepared_is_known_even_if_it_failed(desk: Desk) -> None:
    """A lock that is refused again and again must not fill the server with prepared statements."""
    engine = create_engine(desk.database.url, pool_size=1, max_overflow=0)

    def fail() -> None:
        with Session(engine, "READ COMMITTED") as session:
            session.run("SELECT 1 / %(it)s::integer", {"it": 0})

    for _ in range(5):
        with pytest.raises(psycopg.errors.DivisionByZero):
            fail()
    with Session(engine, "READ COMMITTED") as session:
        query = "SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE %(it)s"
        assert session.run(query, {"it": "SELECT 1 / %"}) == [(1,)]
    engine.dispose()


def test_what_was_only_sent_is_not_lost_in_autocommit(desk: Desk, engine: Engine) -> None:
    """The end of the block sends it at the latest."""
    with desk.engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS seen (it integer)"))
        connection.execute(text("TRUNCATE seen"))
    with Session(engine, "AUTOCOMMIT") as session:
        session.send("INSERT INTO seen VALUES (1)")
    with Session(engine, "AUTOCOMMIT") as session:
        assert session.run("SELECT count(*) FROM seen") == [(1,)]


def test_each_statement_in_autocommit_is_a_transaction_by_itself(
    desk: Desk, engine: Engine
) -> None:
    """A setting for one transaction is gone in the next; what came before a failure stays."""
    with desk.engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS seen (it integer)"))
        connection.execute(text("TRUNCATE seen"))
    with Session(engine, "AUTOCOMMIT") as session:
        session.send("SELECT set_config('booking.shade', 'blue', true)")
        assert session.run("SELECT coalesce(current_setting('booking.shade', true), '')") == [("",)]

    def fail() -> None:
        with Session(engine, "AUTOCOMMIT") as session:
            session.send("INSERT INTO seen VALUES (1)")
            session.send("DO $$ BEGIN RAISE SQLSTATE '55P03'; END $$")
            session.run("SELECT 1")

    with pytest.raises(SlotBusy):
        fail()
    with Session(engine, "AUTOCOMMIT") as session:
        assert session.run("SELECT count(*) FROM seen") == [(1,)]


def test_whoever_goes_on_after_an_error_in_autocommit_finds_the_session_as_new(
    engine: Engine,
) -> None:
    """Whichever way it takes."""
    divide = "SELECT 1 / %(it)s::integer"
    with Session(engine, "AUTOCOMMIT") as session:
        for ask in (session.send, session.run):
            with pytest.raises((psycopg.errors.DivisionByZero, DataError)):
                ask(divide, {"it": 0})
        assert session.run(divide, {"it": 1}) == [(1,)]


def test_what_an_abandoned_session_had_begun_does_not_reach_the_next_one(engine: Engine) -> None:
    """Who is interrupted before the block leaves nothing that would undo the next booking."""
    abandoned = Session(engine, "READ COMMITTED")
    abandoned.__enter__()
    abandoned._pooled.close()  # noqa: SLF001 - as the pool does when it is collected
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS seen (it integer)"))
        connection.execute(text("TRUNCATE seen"))
    with Session(engine, "AUTOCOMMIT") as session:
        assert session.run("INSERT INTO seen VALUES (1) RETURNING it") == [(1,)]
    with Session(engine, "AUTOCOMMIT") as session:
        assert session.run("SELECT count(*) FROM seen") == [(1,)]


def test_rows_are_read_under_the_settings_of_the_moment(engine: Engine) -> None:
    """A setting that somebody has left behind on the connection lasts as long as it does there."""
    query = "SELECT interval '45 minutes'"
    with Session(engine, "AUTOCOMMIT") as session:
        session.connection.execute(text("SET intervalstyle = iso_8601"))
        with pytest.raises(NotImplementedError):
            session.run(query)
    with Session(engine, "AUTOCOMMIT") as session:
        session.connection.execute(text("SET intervalstyle = postgres"))
    with Session(engine, "AUTOCOMMIT") as session:
        assert session.run(query) == [(timedelta(minutes=45),)]


def test_lists_and_instants_are_understood(engine: Engine) -> None:
    """What the strategies' statements take besides."""
    moment = datetime(2030, 3, 31, 1, 30, 0, 123456, tzinfo=UTC)
    query = """
        SELECT id FROM unnest(%(ids)s::integer[]) AS id
         WHERE tstzrange(%(starts)s::timestamptz, NULL) @> %(starts)s::timestamptz
           AND extract(epoch FROM %(starts)s::timestamptz) = %(epoch)s::numeric
    """
    with Session(engine, "READ COMMITTED") as session:
        parameters = {"ids": [3, 1, 2], "starts": moment, "epoch": f"{moment.timestamp():.6f}"}
        assert session.run(query, parameters) == [(3,), (1,), (2,)]


def test_each_statement_of_a_transaction_has_a_snapshot_of_its_own(
    desk: Desk, engine: Engine
) -> None:
    """A check that travels with the lock it comes after must see what was committed meanwhile."""
    lock = {"it": 4_711}
    with desk.engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS seen (it integer)"))
        connection.execute(text("TRUNCATE seen"))
    with desk.engine.connect() as holder, desk.engine.connect() as writer:
        holder.execute(text("SELECT pg_advisory_xact_lock(:it)"), lock)
        writer.execute(text("INSERT INTO seen VALUES (1)"))

        def commit_and_let_go() -> None:
            until = monotonic() + PATIENCE
            while not desk.waiting():
                assert monotonic() < until, "nobody waits"
            writer.commit()
            holder.commit()

        with ThreadPoolExecutor(1) as thread:
            letting_go = thread.submit(commit_and_let_go)
            with Session(engine, "READ COMMITTED") as session:
                session.send("SELECT pg_advisory_xact_lock(%(it)s)", lock)
                assert session.run("SELECT it FROM seen") == [(1,)]
            letting_go.result()


@pytest.mark.parametrize(
    ("sqlstate", "raised"), [("40P01", Deadlock), ("55P03", SlotBusy)], ids=["deadlock", "busy"]
)
def test_an_error_is_explained_and_undoes_everything(
    desk: Desk, engine: Engine, sqlstate: str, raised: type[Exception]
) -> None:
    """Nothing that was sent with it or before it stays, and the connection is as new."""
    with desk.engine.begin() as connection:
        connection.execute(text("CREATE TABLE IF NOT EXISTS seen (it integer)"))
        connection.execute(text("TRUNCATE seen"))
    fail = f"DO $$ BEGIN RAISE SQLSTATE '{sqlstate}'; END $$"

    def fail_half_way() -> None:
        with Session(engine, "READ COMMITTED") as session:
            session.send("INSERT INTO seen VALUES (1)")
            session.send(fail)
            session.run("INSERT INTO seen VALUES (2) RETURNING it", last=True)

    with pytest.raises(raised):
        fail_half_way()
    with Session(engine, "READ COMMITTED") as session:
        assert session.run("SELECT count(*) FROM seen") == [(0,)]


def test_nothing_can_be_sent_after_the_commit(desk: Desk) -> None:
    """What came after it would be in no transaction, and lost."""
    with Session(desk.engine, "READ COMMITTED") as session:
        assert session.run("SELECT 1", last=True) == [(1,)]
        for send in (
            lambda: session.send("SELECT 2"),
            lambda: session.run("SELECT 2"),
            lambda: session.connection,
        ):
            with pytest.raises(RuntimeError, match="last=True"):
                send()


def test_sqlalchemy_is_in_the_same_transaction(engine: Engine) -> None:
    """A strategy may use both."""
    with Session(engine, "REPEATABLE READ") as session:
        ((ours,),) = session.run("SELECT pg_current_xact_id()::text::integer")
        theirs = session.connection.scalar(text("SELECT pg_current_xact_id()::text::integer"))
        level = session.connection.scalar(text("SHOW transaction_isolation"))
    assert (ours, "repeatable read") == (theirs, level)


def test_the_check_for_rivals_finds_the_staff_member_by_the_index(engine: Engine) -> None:
    """A number that psycopg sends as smallint is compared with every row in the time range."""
    request = {
        "staff_id": 1,
        "blocked_from": TEN,
        "blocked_until": TEN.replace(hour=23),
        "service_id": 1,
        "rules_version": 1,
    }
    with Session(engine, "READ COMMITTED") as session:
        session.connection.execute(text("SET LOCAL enable_seqscan = off"))
        plan = "\n".join(row[0] for row in session.run(f"EXPLAIN {statements.LOOK}", request))
    conditions = [
        line for line in plan.splitlines() if "Index Cond" in line and "service_id" not in line
    ]
    assert len(conditions) == 1
    assert "staff_id = " in conditions[0]
    assert "blocked && " in conditions[0]
