"""Every strategy's claims about itself, verified on the server: traits, isolation, backstop."""

# ruff: noqa: SIM300 - expected == actual

import sys
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from threading import Event
from time import monotonic, sleep
from typing import Any, ClassVar

import psycopg
import pytest
from desk import MINUTE, NOW, PATIENCE, TEN, Desk, open_desk
from sqlalchemy import Connection, Engine, create_engine, text
from sqlalchemy.exc import DBAPIError

from booking_core import (
    DEFAULT,
    STRATEGIES,
    Appointment,
    BookingConflict,
    BookingError,
    BookingService,
    SlotBusy,
    Strategy,
    schema,
)
from booking_core.calendar.rulebook import Rulebook
from booking_core.database.session import Session
from booking_core.database.wire import NOTHING, Rows, Wire
from booking_core.errors import UnsupportedServer
from booking_core.requests import Request, Wish
from booking_core.strategies.transaction import BookingTransaction
from experiments.scenes import salon
from experiments.server.postgres import Database

HOUR = 60 * MINUTE
ELSEWHERE = {"staff": "Bruno"}
LATER = {"start": TEN + HOUR}


@pytest.fixture(params=list(STRATEGIES))
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Open the desk under each sound strategy."""
    with open_desk(request.param) as opened:
        yield opened


def _request(desk: Desk, **different: Any) -> Request:  # noqa: ANN401 - as `ask`
    asked = desk.ask(**different)
    wish = Wish(asked["service_id"], "Ada", asked["start"])
    return Rulebook(desk.engine, lambda: NOW).request(wish, asked["staff_id"])


def _claim(strategy: Strategy, connection: Connection, request: Request) -> int | None:
    """Do what a strategy does in the transaction that the connection is in."""
    statement = strategy.statement(request)
    if statement:
        appointment_id, _ = connection.exec_driver_sql(statement, request.parameters).one()
        return None if appointment_id is None else int(appointment_id)
    tx = BookingTransaction(_OpenSession(connection), request)
    strategy.guard(tx)
    return strategy.claim(tx)


class _OpenSession(Session):
    """A session that is in a transaction already, which somebody else will end."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection.engine, "READ COMMITTED")
        connection.exec_driver_sql("SELECT 1")  # psycopg begins with the first of its own
        driver: Any = connection.connection.driver_connection
        driver.prepare_threshold = None  # what is prepared goes when psycopg rolls back
        self._wire = Wire(driver, connection.connection.info)
        self._connection = connection

    def run(
        self, sql: str, parameters: Mapping[str, object] = NOTHING, *, last: bool = False
    ) -> Rows:
        """Send a statement, and no COMMIT even with the last one."""
        del last
        return super().run(sql, parameters)


def _pid(connection: Connection) -> int:
    return int(connection.exec_driver_sql("SELECT pg_backend_pid()").scalar_one())


@contextmanager
def _held(desk: Desk) -> Iterator[int]:
    """Keep a booking of Amara's ten o'clock open, not committed; yield the session's process id.

    A strategy whose transaction is one statement is held open too: seen from its rivals, that is
    the moment between its insert and its commit.
    """
    isolation = desk.strategy.isolation
    level = "READ COMMITTED" if isolation == "AUTOCOMMIT" else isolation
    with desk.engine.connect().execution_options(isolation_level=level) as connection:
        assert _claim(desk.strategy, connection, _request(desk)) is not None
        yield _pid(connection)
        connection.rollback()


def _blocked_by(desk: Desk, holder: int, answer: Future[str]) -> bool:
    """Whether a session waits for the holder, as PostgreSQL sees it, before there is an answer."""
    with desk.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        until = monotonic() + PATIENCE
        while monotonic() < until:
            # First look whether it is done: who is done waits no more.
            done = answer.done()
            waiting = connection.execute(
                text(
                    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database()"
                    " AND :holder = ANY(pg_blocking_pids(pid))"
                ),
                {"holder": holder},
            ).scalar_one()
            if waiting or done:
                return bool(waiting)
            wait([answer], timeout=0.002)
    raise AssertionError("neither an answer nor a wait")


def _fate(desk: Desk, **different: Any) -> str:  # noqa: ANN401 - as `ask`
    """Book while Amara's ten o'clock is held; return `waits`, or the outcome if it did not."""

    def book() -> str:
        try:
            desk.service(sleep=lambda _: None).book(**desk.ask(client="Bob", **different))
        except BookingError as error:
            return error.outcome
        return "booked"

    with ThreadPoolExecutor(1) as thread:
        with _held(desk) as holder:
            answer = thread.submit(book)
            waits = _blocked_by(desk, holder, answer)
        return "waits" if waits else answer.result(PATIENCE)


def test_who_wants_the_same_slot_waits_or_is_told_so(desk: Desk) -> None:
    """`waits` and `may_answer_busy`, against a transaction that is held open."""
    traits = desk.strategy.traits
    for minutes in (0, 45, -45):
        expected = {"waits"} if traits.waits else {"busy"} if traits.may_answer_busy else {"booked"}
        assert expected == {_fate(desk, start=TEN + minutes * MINUTE)}
        desk.empty()


def test_neighbours_wait_as_far_as_the_strategy_says(desk: Desk) -> None:
    """`neighbours_wait`: nobody, the same staff member's clients, or everybody."""
    kept_out = {"waits"} if desk.strategy.traits.waits else {"busy"}
    waiting = desk.strategy.traits.neighbours_wait
    same_staff = kept_out if waiting != "none" else {"booked"}
    others = kept_out if waiting == "everybody" else {"booked"}
    assert (same_staff, others) == ({_fate(desk, **LATER)}, {_fate(desk, **ELSEWHERE)})


def test_nobody_is_kept_out_once_it_is_over(desk: Desk) -> None:
    """What is held is let go with the transaction, be it committed or rolled back."""
    with _held(desk):
        pass
    assert not desk.rows()
    desk.service().book(**desk.ask())
    with pytest.raises(BookingConflict):
        desk.service().book(**desk.ask())
    with desk.engine.connect() as connection:
        ours = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND database = (SELECT"
        ours += " oid FROM pg_database WHERE datname = current_database())"
        assert 0 == connection.exec_driver_sql(ours).scalar_one()


class _Steps(psycopg.Connection[Any]):
    """A connection that tells before each of its waits for the server."""

    before_wait: ClassVar[Callable[[], None] | None] = None

    def wait(self, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - psycopg's own
        if _Steps.before_wait:
            _Steps.before_wait()
        return super().wait(*arguments, **options)


@pytest.fixture
def stepping(desk: Desk) -> Iterator[Engine]:
    """Make an engine with one warm connection that can be watched at every step."""
    _, options = desk.engine.dialect.create_connect_args(desk.database.url)
    engine = create_engine(
        desk.database.url, creator=lambda: _Steps.connect(**options), pool_size=1, max_overflow=0
    )
    service = desk.service(engine=engine)
    for _ in range(8):  # until psycopg has prepared its statements
        service.cancel(service.book(**desk.ask()).appointment.id)
    yield engine
    _Steps.before_wait = None
    engine.dispose()


STAGES = ("free", "kept out", "taken")


def _rivals_fate(desk: Desk, connection: Connection, request: Request) -> str:
    """Try to book the same slot, in a transaction that is rolled back whatever comes of it.

    Whoever has to wait would wait for ever here, so how long the timeout is decides nothing.
    """
    strategy = desk.make()
    with connection.begin() as attempt:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '50ms'")
        try:
            return "taken" if _claim(strategy, connection, request) is None else "free"
        except (SlotBusy, psycopg.errors.LockNotAvailable):
            return "kept out"
        except DBAPIError as error:
            if getattr(error.orig, "sqlstate", None) != "55P03":
                raise
            return "kept out"
        finally:
            attempt.rollback()


def test_round_trips_under_the_lock_are_as_many_as_claimed(desk: Desk, stepping: Engine) -> None:
    """Before each of a booking's statements a rival tries; where it can't, the lock is held."""
    isolation = desk.strategy.isolation
    level = "READ COMMITTED" if isolation == "AUTOCOMMIT" else isolation
    fates: list[str] = []
    request = _request(desk)
    with desk.engine.connect().execution_options(isolation_level=level) as rival:
        _Steps.before_wait = lambda: fates.append(_rivals_fate(desk, rival, request))
        desk.service(engine=stepping).book(**desk.ask())
        _Steps.before_wait = None
    assert "free" == fates[0]
    # Once the lock is had it is kept until the slot is taken.
    assert sorted(fates, key=STAGES.index) == fates
    assert desk.strategy.traits.round_trips_under_lock == fates.count("kept out")


@pytest.mark.skipif(sys.platform != "linux", reason="libpq can be traced on Linux only")
def test_round_trips_are_as_many_as_claimed(desk: Desk, stepping: Engine, tmp_path: Path) -> None:
    """On the wire: each round trip ends with the server's ReadyForQuery; BEGIN and COMMIT are two.

    One more is seen at the first booking, for the rules, which are then known.
    """
    with stepping.connect() as connection:
        driver = connection.connection.driver_connection
        assert driver is not None
        wire = driver.pgconn
    service = desk.service(engine=stepping)
    seen = []
    for later in (0, 1):
        with (tmp_path / "trace").open("w+") as trace:
            wire.trace(trace.fileno())
            service.book(**desk.ask(start=TEN + later * HOUR))
            wire.untrace()
            trace.seek(0)
            seen.append(sum("ReadyForQuery" in line for line in trace))
    claimed = desk.strategy.traits.round_trips
    assert [claimed + 1, claimed] == seen


def test_the_isolation_level_is_really_in_force(desk: Desk) -> None:
    """What the server says inside the transaction, not what the client asked for."""
    seen: list[str] = []
    strategy = desk.strategy
    if strategy.isolation == "AUTOCOMMIT":
        pytest.skip("one statement has no transaction of ours around it")

    class Asking(desk.make):  # type: ignore[name-defined,misc]
        def guard(self, tx: BookingTransaction) -> None:
            level = tx.connection.exec_driver_sql("SHOW transaction_isolation").scalar_one()
            seen.append(level.upper())
            super().guard(tx)

    desk.service(strategy=Asking()).book(**desk.ask())
    assert [strategy.isolation] == seen


def test_isolation_does_not_leak_into_the_pool(desk: Desk) -> None:
    """A connection comes back as it was: the product's other code gets its own level."""
    engine = create_engine(desk.database.url, pool_size=1, max_overflow=0)
    desk.service(engine=engine).book(**desk.ask())
    with engine.connect() as connection:
        assert (
            "read committed"
            == connection.exec_driver_sql("SHOW transaction_isolation").scalar_one()
        )
        driver = connection.connection.driver_connection
        assert driver is not None
        assert driver.info.transaction_status == psycopg.pq.TransactionStatus.INTRANS
    engine.dispose()


def test_the_schema_is_made_for_the_strategy(desk: Desk) -> None:
    """A lock is judged without the constraint that would hide its faults."""
    with desk.engine.connect() as connection:
        constraints = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_constraint WHERE contype = 'x'"
            " AND conrelid = 'appointment'::regclass"
        ).scalar_one()
    assert int(desk.strategy.needs_constraint) == constraints


# Written as one reads it in the README: in a notebook cell, without types.
class StaffMutex(Strategy):
    """A strategy of somebody's own: one advisory lock for the whole salon."""

    name = "staff_mutex"

    def guard(self, tx):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN201
        """Take the lock."""
        tx.connection.execute(text("SELECT pg_advisory_xact_lock(42)"))


class Careless(Strategy):
    """No lock at all: what the tests above must be able to tell from a sound one."""

    name = "careless"


@pytest.mark.parametrize(("make", "booked"), [(StaffMutex, 1), (Careless, 2)])
def test_a_strategy_of_ones_own(make: type[Strategy], booked: int) -> None:
    """Ten lines, unregistered: handed to the service it books; and a bad one is not saved by it."""
    with open_desk(make) as desk:
        assert make.name not in STRATEGIES
        second_has_checked = Event()
        answers = []

        def meet() -> None:
            # Between check and record, let a rival try until it is done or waits for us.
            if not second_has_checked.is_set():
                second_has_checked.set()
                with ThreadPoolExecutor(1) as thread, desk.engine.connect() as connection:
                    answers.append(pool.submit(rival))
                    holder = connection.exec_driver_sql(
                        "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
                        " AND state = 'idle in transaction' AND pid <> pg_backend_pid()"
                    ).scalar_one()
                    thread.submit(_blocked_by, desk, holder, answers[0]).result(PATIENCE)

        def rival() -> str:
            try:
                desk.service().book(**desk.ask(client="Bob"))
            except BookingConflict:
                return "conflict"
            return "booked"

        with ThreadPoolExecutor(1) as pool:
            desk.service(before_record=meet).book(**desk.ask())
            rivals = answers[0].result(PATIENCE)
        assert booked == len(desk.rows())
        assert ("booked" if booked == 2 else "conflict") == rivals


def test_on_a_calendar_that_is_full_of_others_a_slot_is_booked_once(desk: Desk) -> None:
    """An index of many pages is not read as one of a single page is; nor is it locked like that.

    Between the first client's check and its record a second one books, or has to wait for it.
    """
    fill = """
        INSERT INTO appointment (staff_id, service_id, client, during, blocked, request_digest)
        SELECT staff.id, 1, 'Earlier', place, place, ''
          FROM staff, generate_series(1, 400) AS number,
               LATERAL (SELECT CAST(:at AS timestamptz) - make_interval(hours => number) AS hour)
                   AS long_ago,
               tstzrange(hour, hour + interval '1 hour') AS place
    """
    if desk.strategy.name == "temporal_key":
        fill = f"""
            WITH filled AS ({fill} RETURNING appointment.id, staff_id, blocked)
            INSERT INTO claim (appointment_id, staff_id, blocked) SELECT * FROM filled
        """
    desk.execute(fill, at=TEN - 48 * HOUR)
    eager = create_engine(  # to look through the index, as in a larger table
        desk.database.url, connect_args={"options": "-c enable_seqscan=off"}, pool_size=2
    )
    second: list[Future[str]] = []

    def book(service: BookingService) -> str:
        try:
            service.book(**desk.ask())
        except BookingConflict:
            return "conflict"
        return "booked"

    refused = Event()  # a try-lock neither waits nor ends: it is refused, and tries again

    def pause(seconds: float) -> None:
        refused.set()
        sleep(seconds)

    def let_the_second_book() -> None:
        if second:
            return
        second.append(thread.submit(book, desk.service(engine=eager, sleep=pause)))
        until = monotonic() + PATIENCE
        while not (second[0].done() or desk.waiting() or refused.is_set()):
            assert monotonic() < until, "the second neither ends nor waits nor is refused"

    with ThreadPoolExecutor(1) as thread:
        first = book(desk.service(engine=eager, before_record=let_the_second_book))
        answers = sorted([first, second[0].result(PATIENCE)])
    eager.dispose()
    assert ["booked", "conflict"] == answers


class Swallows(Strategy):
    """A strategy that overlooks an error, which undoes what it recorded."""

    name = "swallows"

    def claim(self, tx: BookingTransaction) -> int | None:
        """Record, fail, and go on as if nothing had happened."""
        recorded = tx.record()
        with suppress(psycopg.Error):
            tx.run("SELECT 1 / 0")
        return recorded


def test_nobody_is_told_booked_where_commit_rolled_back() -> None:
    """PostgreSQL answers ROLLBACK to the COMMIT of a transaction in which a statement failed."""
    with open_desk(Swallows) as desk:
        with pytest.raises(psycopg.errors.InFailedSqlTransaction):
            desk.service().book(**desk.ask())
        assert [] == desk.rows()


class Audited(DEFAULT):
    """The default strategy, and something after it."""

    name = "audited"
    needs = ("CREATE TABLE audit (appointment_id bigint)",)

    def claim(self, tx: BookingTransaction) -> int | None:
        """Write down what was claimed."""
        claimed = super().claim(tx)
        tx.send("INSERT INTO audit VALUES (%(id)s)", {"id": claimed})
        return claimed


def test_a_sound_strategy_can_be_extended() -> None:
    """Whatever comes after its claim is in the same transaction."""
    with open_desk(Audited) as desk:
        booked = desk.service().book(**desk.ask()).appointment
        with desk.engine.connect() as connection:
            audited = connection.execute(text("SELECT appointment_id FROM audit")).scalars().all()
        assert [booked.id] == audited


def test_the_function_refuses_an_isolation_level_in_which_it_would_be_blind() -> None:
    """A server's default may be another; there its check would be older than its lock."""
    with open_desk("function") as desk:
        options = {"options": "-c default_transaction_isolation=repeatable\\ read"}
        engine = create_engine(desk.database.url, connect_args=options)
        with pytest.raises(psycopg.Error, match="needs READ COMMITTED"):
            desk.service(engine=engine).book(**desk.ask())
        assert [] == desk.rows()
        engine.dispose()


ROGUE = (
    "INSERT INTO appointment (staff_id, service_id, client, during, blocked, request_digest)"
    " VALUES (:staff_id, :service_id, 'Rogue', tstzrange(:start, :end), tstzrange(:start, :end),"
    " '')"
)


@pytest.mark.parametrize("name", ["advisory", "staff_row", "version", "function", "exclusion"])
@pytest.mark.parametrize("moves", [False, True], ids=["booking", "moving"])
def test_the_backstop_stops_who_takes_no_lock(name: str, moves: bool) -> None:
    """A rogue insert that no check can see yet: the constraint refuses, the reply is a conflict."""
    with open_desk(name, backstop=True) as desk, desk.engine.connect() as rogues_own:
        mine = desk.service().book(**desk.ask(start=TEN + 4 * HOUR)).appointment if moves else None
        _intrude(desk, rogues_own, TEN - 15 * MINUTE)

        def commit_once_somebody_waits() -> None:
            until = monotonic() + PATIENCE
            while not desk.waiting():
                assert monotonic() < until, "nobody waits for the rogue"
            rogues_own.commit()

        service = desk.service()
        with ThreadPoolExecutor(1) as thread:
            committed = thread.submit(commit_once_somebody_waits)
            with pytest.raises(BookingConflict) as conflict:
                _book_or_move(service, desk, mine)
            committed.result()
        (rogue,) = [row for row in desk.rows() if row.client == "Rogue"]
        assert (rogue.id, 1) == (conflict.value.taken_by, conflict.value.attempts)
        assert len(conflict.value.alternatives) >= 3
        others = [(row.id, row.during.lower) for row in desk.rows() if row.id != rogue.id]
        assert ([(mine.id, mine.slot.start)] if mine else []) == others


def _book_or_move(service: BookingService, desk: Desk, mine: Appointment | None) -> None:
    if mine:
        service.reschedule(mine.id, start=TEN)
    else:
        service.book(**desk.ask())


def test_without_the_backstop_the_rogue_gets_through() -> None:
    """The control of the test above: a lock binds only those who take it."""
    with open_desk("advisory") as desk, desk.engine.connect() as rogues_own:
        _intrude(desk, rogues_own, TEN)
        desk.service().book(**desk.ask())
        rogues_own.commit()
        assert {TEN} == {row.during.lower for row in desk.rows()}
        assert 2 == len(desk.rows())


def _intrude(desk: Desk, connection: Connection, start: datetime) -> None:
    """Insert an appointment without any lock, and leave it uncommitted."""
    asked = {"staff_id": desk.salon.staff["Amara"], "service_id": 1}
    connection.execute(text(ROGUE), asked | {"start": start, "end": start + 30 * MINUTE})


def test_a_server_that_is_too_old_is_named(database: Database) -> None:
    """One sentence with both versions, before anything is created."""

    class FromTheFuture(Strategy):
        name = "from_the_future"
        minimum_server = 990000

    with database.engine().begin() as connection:
        with pytest.raises(UnsupportedServer, match=r"^The strategy from_the_future needs .* 99;"):
            schema.create(connection, FromTheFuture())
        tables = connection.exec_driver_sql(
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'"
        ).scalar_one()
    assert 0 == tables


def test_the_quick_start_of_the_package_works(database: Database) -> None:
    """The lines in booking_core's docstring, with their default strategy and backstop."""
    engine = database.engine()
    with engine.begin() as connection:
        schema.create(connection, STRATEGIES["advisory"](), backstop=True)
        stored = salon.load(connection)
    service = BookingService(engine, clock=salon.now)
    assert "advisory" == service.strategy.name
    asked = {
        "staff_id": stored.staff["Amara"],
        "service_id": stored.services["Haircut"],
        "start": TEN,
        "client": "Ada",
    }
    assert 1 == service.book(**asked).attempts  # type: ignore[arg-type]
