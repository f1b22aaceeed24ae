"""What goes wrong on the way: retries, the pool, lost connections, and what the client is told."""

# ruff: noqa: SIM300 - expected == actual

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from random import Random
from time import monotonic
from typing import Any

import pytest
from desk import MINUTE, PATIENCE, TEN, Desk, open_desk, refused
from lossy import Lossy, lossy_engine
from sqlalchemy import URL, Connection, Engine, create_engine, text

from booking_core import (
    STRATEGIES,
    BookingError,
    BookingService,
    InvalidRequest,
    SlotBusy,
    Strategy,
)
from booking_core.database.session import Isolation, Session
from booking_core.errors import (
    DatabaseUnavailable,
    Deadlock,
    OutcomeUnknown,
    PoolTimeout,
    SerializationFailure,
)
from booking_core.retry import RetryPolicy
from booking_core.strategies.advisory import CALENDARS, Advisory
from booking_core.strategies.transaction import BookingTransaction

HOUR = 60 * MINUTE
POLICY = RetryPolicy(attempts=5, first_pause=0.01, longest_pause=0.03)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Open the desk."""
    with open_desk() as opened:
        yield opened


class Failing(Advisory):
    """Fails so many times before it lets a booking through.

    Args:
        times: How often it fails.
        fail: Fails, in the booking transaction.
    """

    retry = POLICY

    def __init__(self, times: int, fail: Callable[[BookingTransaction], None]) -> None:
        self.left = times
        self.fail = fail

    def guard(self, tx: BookingTransaction) -> None:
        """Take the lock, then fail."""
        super().guard(tx)
        if self.left:
            self.left -= 1
            self.fail(tx)

    def release(self, connection: Connection, appointment_id: int) -> bool:
        """Fail where the appointment would be cancelled."""
        if self.left:
            self.left -= 1
            _sqlstate("40001")(connection)
        return super().release(connection, appointment_id)


def _busy(_: object) -> None:
    raise SlotBusy


def _sqlstate(code: str) -> Callable[[Any], None]:
    """Return what makes PostgreSQL itself fail with a code."""

    def fail(tx: BookingTransaction | Connection) -> None:
        connection = tx if isinstance(tx, Connection) else tx.connection
        connection.exec_driver_sql(f"DO $$ BEGIN RAISE SQLSTATE '{code}'; END $$")

    return fail


TRIED_AGAIN: list[Any] = [
    pytest.param(_busy, SlotBusy, id="busy"),
    pytest.param(_sqlstate("55P03"), SlotBusy, id="lock_not_available"),
    pytest.param(_sqlstate("57014"), SlotBusy, id="query_canceled"),
    pytest.param(_sqlstate("40001"), SerializationFailure, id="serialization_failure"),
    pytest.param(_sqlstate("40P01"), Deadlock, id="deadlock_detected"),
]


@pytest.mark.parametrize(("fail", "error"), TRIED_AGAIN)
@pytest.mark.parametrize("times", [0, 1, 4])
def test_a_transaction_is_tried_again_and_counted(
    desk: Desk, fail: Callable[[BookingTransaction], None], error: type[BookingError], times: int
) -> None:
    """As often as the policy allows; the pauses are the seeded ones, the pool idle in them."""
    pauses: list[float] = []

    def sleep(seconds: float) -> None:
        assert 0 == desk.engine.pool.checkedout(), "a connection is held while nothing is done"  # type: ignore[attr-defined]
        pauses.append(seconds)

    service = desk.service(strategy=Failing(times, fail), source=Random(7), sleep=sleep)
    booking = service.book(**desk.ask())
    assert times + 1 == booking.attempts
    source = Random(7)
    assert [POLICY.pause(attempt, source) for attempt in range(1, times + 1)] == pauses
    assert 1 == len(desk.rows())
    assert error.outcome in ("busy", "serialization_failure", "deadlock")


@pytest.mark.parametrize(("fail", "error"), TRIED_AGAIN)
def test_a_transaction_is_given_up_in_the_end(
    desk: Desk, fail: Callable[[BookingTransaction], None], error: type[BookingError]
) -> None:
    """After the last try there is no pause, nothing is written, and the tries are told."""
    pauses: list[float] = []
    service = desk.service(strategy=Failing(99, fail), sleep=pauses.append)
    with pytest.raises(error) as failure:
        service.book(**desk.ask())
    assert (POLICY.attempts, POLICY.attempts - 1) == (failure.value.attempts, len(pauses))
    assert [] == desk.rows()


def test_moves_and_cancels_are_tried_again_too(desk: Desk) -> None:
    """Every write can meet a serialization failure."""
    pauses: list[float] = []
    mine = desk.service().book(**desk.ask()).appointment
    failing = Failing(2, _sqlstate("40001"))
    service = desk.service(strategy=failing, sleep=pauses.append)
    assert 3 == service.reschedule(mine.id, start=TEN + HOUR).attempts
    failing.left = 2
    assert "cancelled" == service.cancel(mine.id).status
    assert 4 == len(pauses)
    failing.left = 99
    with pytest.raises(SerializationFailure) as failure:
        service.cancel(mine.id)
    assert POLICY.attempts == failure.value.attempts


def test_what_was_refused_is_not_tried_again(desk: Desk) -> None:
    """A rule does not change by asking twice."""

    def refuse(_: object) -> None:
        raise InvalidRequest("NO", "No.")

    failing = Failing(99, refuse)
    with refused("NO"):
        desk.service(strategy=failing, sleep=lambda _: pytest.fail("paused")).book(**desk.ask())
    assert 98 == failing.left


def test_a_fault_of_the_strategy_is_not_dressed_up(desk: Desk) -> None:
    """An error that nobody foresaw comes out as it is, and the connection goes back."""
    with pytest.raises(ZeroDivisionError):
        desk.service(strategy=Failing(1, lambda _: 1 / 0)).book(**desk.ask())  # type: ignore[arg-type]
    assert [] == desk.rows()


def test_between_two_tries_a_key_is_looked_up(desk: Desk) -> None:
    """While we failed our twin was booked: its appointment is ours, however busy it still is."""
    asked = desk.ask(key="a key")
    twins: list[int] = []

    def twin_books(_: float) -> None:
        twins.append(desk.service().book(**asked).appointment.id)

    service = desk.service(strategy=Failing(99, _busy), sleep=twin_books)
    booking = service.book(**asked)
    assert (twins, True, 2) == ([booking.appointment.id], booking.replayed, booking.attempts)


def test_a_full_pool_is_an_outcome(desk: Desk) -> None:
    """No connection became free in time: nothing was written, and the pool recovers."""
    engine = desk.database.engine(pool_size=1, max_overflow=0, pool_timeout=0.01)
    service = desk.service(engine=engine)
    calls: list[Callable[[], Any]] = [
        lambda: service.book(**desk.ask()),
        lambda: service.book(**desk.ask(key="a key")),
        lambda: service.cancel(1),
        lambda: service.reschedule(1, start=TEN),
        lambda: service.find(1),
        lambda: service.free_slots(1, TEN.date()),
    ]
    with engine.connect():
        for call in calls:
            with pytest.raises(PoolTimeout) as timeout:
                call()
            assert ("POOL_TIMEOUT", "pool_timeout") == (timeout.value.code, timeout.value.outcome)
    assert [] == desk.rows()
    service.book(**desk.ask())


def test_an_unreachable_database_is_an_outcome(desk: Desk, tmp_path: Path) -> None:
    """Nobody listens there; whatever is asked for, nothing was written."""
    nowhere = URL.create("postgresql+psycopg", host=str(tmp_path), port=5432, database="nowhere")
    engine = create_engine(nowhere)
    service = desk.service(engine=engine)
    calls: list[Callable[[], Any]] = [
        lambda: service.book(**desk.ask()),
        lambda: service.book(**desk.ask(key="a key")),
        lambda: service.cancel(1),
        lambda: service.reschedule(1, start=TEN),
        lambda: service.find(1),
        lambda: service.free_slots(1, TEN.date()),
    ]
    for call in calls:
        with pytest.raises(DatabaseUnavailable) as failure:
            call()
        assert str(tmp_path) not in str(failure.value)
    engine.dispose()


def _end(desk: Desk, pid: int) -> None:
    """End a session and wait until it is gone."""
    with desk.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": pid})
        _wait_until_gone(connection, pid)


def _wait_until_gone(connection: Connection, pid: int) -> None:
    until = monotonic() + PATIENCE
    query = text("SELECT count(*) FROM pg_stat_activity WHERE pid = :pid")
    while connection.execute(query, {"pid": pid}).scalar_one():
        assert monotonic() < until, "the session does not end"


@pytest.fixture
def client(desk: Desk) -> Iterator[Engine]:
    """Make an engine with one connection, which the test will lose."""
    engine = create_engine(desk.database.url, pool_size=1, max_overflow=0)
    yield engine
    engine.dispose()


def _pid(engine: Engine) -> int:
    with engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


def test_a_connection_that_is_lost_before_the_commit_wrote_nothing(
    desk: Desk, client: Engine
) -> None:
    """The session is ended between check and insert."""
    pid = _pid(client)
    ends = iter([pid])

    def end_once() -> None:
        for each in ends:
            _end(desk, each)

    service = desk.service(engine=client, before_record=end_once)
    with pytest.raises(DatabaseUnavailable) as failure:
        service.book(**desk.ask())
    assert ("DATABASE_UNAVAILABLE", 1) == (failure.value.code, failure.value.attempts)
    assert [] == desk.rows()
    assert 1 == service.book(**desk.ask()).attempts  # on a new connection


def test_a_connection_that_is_lost_before_the_commit_is_answered_leaves_it_open(
    desk: Desk, client: Engine
) -> None:
    """Ended while COMMIT was at work: unknown; the same key again books once."""
    pid = _pid(client)
    asked = desk.ask(key="a key")
    desk.execute("""
        CREATE FUNCTION dawdle() RETURNS trigger LANGUAGE plpgsql AS
        'BEGIN PERFORM pg_advisory_xact_lock(7, 7); RETURN NULL; END'
    """)
    desk.execute("""
        CREATE CONSTRAINT TRIGGER dawdle AFTER INSERT ON appointment DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION dawdle()
    """)
    service = desk.service(engine=client)
    with ThreadPoolExecutor(1) as thread, desk.engine.connect() as holder:
        holder.exec_driver_sql("SELECT pg_advisory_lock(7, 7)")
        booking = thread.submit(service.book, **asked)
        _until_somebody_waits(desk)
        _end(desk, pid)
        with pytest.raises(OutcomeUnknown) as failure:
            booking.result(PATIENCE)
        holder.exec_driver_sql("SELECT pg_advisory_unlock(7, 7)")
    desk.execute("DROP FUNCTION dawdle CASCADE")
    assert ("OUTCOME_UNKNOWN", "unknown") == (failure.value.code, failure.value.outcome)
    assert [] == desk.rows()
    assert not service.book(**asked).replayed
    assert 1 == len(desk.rows())


@pytest.mark.parametrize("with_key", [True, False])
def test_a_booking_whose_answer_was_lost_is_there_and_is_given_to_its_key(
    desk: Desk, with_key: bool
) -> None:
    """COMMIT went through, its answer did not: the client is told to ask again with its key."""
    engine = lossy_engine(desk)
    asked = desk.ask(key="a key" if with_key else None)
    service = desk.service(engine=engine)
    Lossy.lose = True
    with pytest.raises(OutcomeUnknown, match="same idempotency key"):
        service.book(**asked)
    (row,) = desk.rows()
    with ExitStack() as expected:
        if not with_key:
            # Without one the client is its own rival.
            expected.enter_context(pytest.raises(BookingError, match="is taken"))
        booking = service.book(**asked)
        assert (row.id, True) == (booking.appointment.id, booking.replayed)
    assert 1 == len(desk.rows())
    engine.dispose()


def test_a_function_that_commits_by_itself_may_have_booked() -> None:
    """Every statement in AUTOCOMMIT is a COMMIT too: a connection lost there leaves it open."""
    with open_desk("function") as desk:
        engine = create_engine(desk.database.url, pool_size=1, max_overflow=0)
        pid = _pid(engine)
        asked = desk.ask(key="a key")
        service = desk.service(engine=engine)
        with ThreadPoolExecutor(1) as thread, desk.engine.connect() as holder:
            key = {"calendars": CALENDARS, "staff_id": asked["staff_id"]}
            holder.execute(text("SELECT pg_advisory_xact_lock(:calendars, :staff_id)"), key)
            booking = thread.submit(service.book, **asked)
            _until_somebody_waits(desk)
            _end(desk, pid)
            with pytest.raises(OutcomeUnknown):
                booking.result(PATIENCE)
        assert not service.book(**asked).replayed
        assert 1 == len(desk.rows())
        engine.dispose()


def test_a_session_that_ended_before_its_one_statement_was_sent_wrote_nothing() -> None:
    """Nobody is told "perhaps booked" where nothing was sent."""
    with open_desk("function") as desk:
        engine = create_engine(desk.database.url, pool_size=1, max_overflow=0)
        pids = iter([_pid(engine)])

        def end_once() -> None:
            for pid in pids:
                _end(desk, pid)

        service = desk.service(engine=engine, before_record=end_once)
        with pytest.raises(DatabaseUnavailable):
            service.book(**desk.ask())
        assert [] == desk.rows()
        engine.dispose()


@pytest.mark.parametrize("isolation", ["READ COMMITTED", "AUTOCOMMIT"])
def test_prepared_statements_that_were_deallocated_are_prepared_anew(
    desk: Desk, isolation: Isolation
) -> None:
    """Psycopg deallocates all when it rolls back, and so do poolers; nobody notices."""
    engine = create_engine(desk.database.url, pool_size=1, max_overflow=0)
    for other in (None, "SELECT 2"):
        with Session(engine, isolation) as session:
            if other:  # what is new is prepared, and comes before what is not there any more
                session.send(other)
            assert [(1,)] == session.run("SELECT 1")
        with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("DEALLOCATE ALL")
    engine.dispose()


def _until_somebody_waits(desk: Desk) -> None:
    until = monotonic() + PATIENCE
    while not desk.waiting():
        assert monotonic() < until, "nobody waits"


READS: list[Any] = [
    pytest.param(lambda service, _: service.find(1), id="find"),
    pytest.param(lambda service, _: service.free_slots(1, TEN.date()), id="free_slots"),
    pytest.param(lambda service, desk: service.book(**desk.ask()), id="the rules of a booking"),
    pytest.param(
        lambda service, desk: service.book(**desk.ask(key="a key")), id="the key of a booking"
    ),
    pytest.param(lambda service, _: service.reschedule(1, start=TEN), id="what is to be moved"),
]


@pytest.mark.parametrize("read", READS)
def test_a_connection_that_is_lost_while_reading_wrote_nothing(
    desk: Desk, client: Engine, read: Callable[[BookingService, Desk], Any]
) -> None:
    """The server was started anew while the pool was idle; nobody may be told "perhaps booked"."""
    service = desk.service(engine=client)
    _end(desk, _pid(client))
    with pytest.raises(DatabaseUnavailable):
        read(service, desk)
    assert [] == desk.rows()


@pytest.mark.parametrize("timeout", ["idle_session_timeout", "idle_in_transaction_session_timeout"])
def test_a_session_that_an_administrator_lets_time_out_is_a_lost_one(
    desk: Desk, client: Engine, timeout: str
) -> None:
    """Common settings in production; what they end has written nothing."""
    pids = iter([_pid(client)])

    def wait_to_be_ended() -> None:
        with desk.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            for pid in pids:
                _wait_until_gone(connection, pid)

    service = desk.service(engine=client, before_record=wait_to_be_ended)
    with client.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql(f"SET {timeout} = '250ms'")  # more than a busy machine dawdles
    if timeout == "idle_session_timeout":
        wait_to_be_ended()
    with pytest.raises(DatabaseUnavailable):
        service.book(**desk.ask())
    assert [] == desk.rows()


def test_a_statement_timeout_while_a_lock_is_waited_for_is_busy(desk: Desk, client: Engine) -> None:
    """A common setting in production: nobody waits for ever, and nothing is written."""
    with client.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET statement_timeout = '50ms'")
    with desk.engine.begin() as holder:
        holder.exec_driver_sql("LOCK TABLE appointment IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(SlotBusy, match="did not answer in time"):
            desk.service(engine=client).book(**desk.ask())
    assert [] == desk.rows()


def test_a_database_that_takes_no_changes_is_an_outcome(desk: Desk, client: Engine) -> None:
    """A standby that was asked by mistake, say."""
    with client.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("SET default_transaction_read_only = on")
    with pytest.raises(DatabaseUnavailable, match="takes no changes"):
        desk.service(engine=client).book(**desk.ask())
    assert [] == desk.rows()


@pytest.fixture
def temp_id(desk: Desk) -> int:
    """Employ somebody who can be dismissed."""
    with desk.engine.begin() as connection:
        staff_id = connection.exec_driver_sql(
            "INSERT INTO staff (location_id, name) VALUES (1, 'Temp') RETURNING id"
        ).scalar_one()
        connection.exec_driver_sql(
            f"INSERT INTO offering (staff_id, service_id) VALUES ({staff_id}, 1)"
        )
        connection.exec_driver_sql(
            f"INSERT INTO working_hours VALUES ({staff_id}, 1, 'shift', '09:00', '17:00')"
        )
    return int(staff_id)


def _dismiss(connection: Connection, staff_id: int) -> None:
    for table in ("working_hours", "offering"):
        connection.exec_driver_sql(f"DELETE FROM {table} WHERE staff_id = {staff_id}")
    connection.exec_driver_sql(f"DELETE FROM staff WHERE id = {staff_id}")


def test_a_staff_member_who_was_removed_meanwhile_is_unknown(desk: Desk, temp_id: int) -> None:
    """The rules have changed, so they are read anew; the client learns why."""

    def dismiss() -> None:
        with desk.engine.begin() as connection:
            _dismiss(connection, temp_id)

    service = desk.service(before_record=dismiss)
    with refused("UNKNOWN_STAFF"):
        service.book(**desk.ask() | {"staff_id": temp_id})
    assert [] == desk.rows()


def test_a_staff_member_who_is_being_removed_is_gone(desk: Desk, temp_id: int) -> None:
    """The insert waits for the removal's end; then the foreign key refuses, and nobody retries."""
    with desk.engine.connect() as remover, ThreadPoolExecutor(1) as thread:
        service = desk.service(before_record=lambda: _dismiss(remover, temp_id))
        answer = thread.submit(service.book, **desk.ask() | {"staff_id": temp_id})
        until = monotonic() + PATIENCE
        while not desk.waiting():
            assert monotonic() < until, "nobody waits"
        remover.commit()
        with refused("GONE"):
            answer.result()
    assert [] == desk.rows()


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES))
def test_a_lost_race_costs_no_try(strategy: type[Strategy]) -> None:
    """A conflict is an answer, not a failure: one try, no pause."""
    with open_desk(strategy) as desk:
        service = desk.service(sleep=lambda _: pytest.fail("paused"))
        service.book(**desk.ask())
        with pytest.raises(BookingError, match="is taken") as conflict:
            service.book(**desk.ask())
        assert ("TIME_CONFLICT", 1) == (conflict.value.code, conflict.value.attempts)


def test_every_error_has_a_code_of_its_own_and_an_outcome() -> None:
    """Codes for programs, which can tell each from the others; outcomes for whoever counts."""
    kinds: list[type[BookingError]] = BookingError.__subclasses__()
    kinds = [kind for kind in kinds if kind.__module__ == BookingError.__module__]
    codes = [kind.code for kind in kinds if kind is not InvalidRequest]  # it brings its own
    assert len(set(codes)) == len(codes)
    assert "BOOKING_ERROR" not in codes
    assert "error" not in {kind.outcome for kind in kinds}
