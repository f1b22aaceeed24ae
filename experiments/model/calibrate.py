"""The uncontended runs from which a calibration is made: one client, and nobody in its way."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from copy import copy
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import patch

import psycopg
from sqlalchemy import NullPool, create_engine

from booking_core.booking import BookingService
from booking_core.errors import BookingConflict, BookingError
from booking_core.retry import RetryPolicy
from booking_core.session import Session
from booking_core.strategies.advisory import CALENDARS
from booking_core.transaction import BookingTransaction, do_nothing
from booking_core.wire import Wire
from experiments.bench.clients import SERVICE_ID
from experiments.bench.workloads import FIRST, STEP
from experiments.connection import connect
from experiments.model.calibration import Calibration, Machine, Recorded, Way
from experiments.model.recording import CLOCK, MICRO, clock_seconds, hear_hold, record
from experiments.model.scripts import BEGIN, locking_statement
from experiments.model.times import Times
from experiments.onlooker import Onlooker
from experiments.results import environment
from experiments.salon import now

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import URL

    from booking_core.strategies import Strategy
    from experiments.bench.calendars import Calendars
    from experiments.model.proxy import Proxy

PRACTICE = 20
"""How many calendars the calibration uses, the first ones of a salon."""

ATTEMPTS = 100
PINGS = 500
SLOW_PINGS = 50
SLOW_MS = 5.0
SLEEPS, SLEEP_S = 60, 0.003
HANDOVERS = 30
BLOCKS = 4
WARM = 20
UNUSED = PRACTICE * 500
VAIN = PRACTICE * 1000


class OneByOne(psycopg.Cursor[Any]):
    """A cursor of somebody's own: the session then sends every statement by itself."""


class Visitor:
    """One client of a salon, with one connection. A context manager.

    Args:
        calendars: The salon, made for the strategy.
        strategy: The strategy.
        numbers: Of the slots to book, each but once.
        options: Of the connection.
    """

    def __init__(
        self,
        calendars: Calendars,
        strategy: Strategy,
        numbers: Iterator[int],
        **options: Any,  # noqa: ANN401 - as psycopg's
    ) -> None:
        self.strategy = strategy
        self._calendars = calendars
        self._numbers = numbers
        self._engine = create_engine(
            calendars.url, pool_size=1, max_overflow=0, connect_args=options
        )
        self.hold(do_nothing)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._engine.dispose()

    def another(
        self,
        strategy: Strategy | None = None,
        **options: Any,  # noqa: ANN401 - as psycopg's
    ) -> Visitor:
        """Return a client who goes on where this one is, with other options."""
        return Visitor(self._calendars, strategy or self.strategy, self._numbers, **options)

    def hold(self, spend: Callable[[], None]) -> None:
        """Call something between check and insert from now on."""
        self._service = BookingService(
            self._engine, self.strategy, clock=now, offers=0, before_record=spend
        )

    def book(self, number: int | None = None) -> None:
        """Book a slot: of that number, or the next one that is free."""
        self._book(next(self._numbers) if number is None else number)

    def lose(self) -> None:
        """Ask for a slot that is taken: the first one."""
        with suppress(BookingConflict):
            self._book(0)

    def ask(self, sql: str) -> None:
        """Run a statement in a transaction."""
        with Session(self._engine, "READ COMMITTED") as session:
            session.run(sql)

    def _book(self, number: int) -> None:
        place, calendar = divmod(number, PRACTICE)
        self._service.book(
            staff_id=1 + calendar,
            service_id=SERVICE_ID,
            start=FIRST + place * STEP,
            client="Somebody",
        )

    def spent(self, times: int) -> tuple[float, float | None]:
        """Book so often; return the seconds that pass, and those of the server's processor."""
        with self._engine.connect() as connection:
            driver: Any = connection.connection.driver_connection
            pid = driver.info.backend_pid
        before, began = processor_seconds(pid), time.perf_counter()
        for _ in range(times):
            self.book()
        passed, after = time.perf_counter() - began, processor_seconds(pid)
        return passed, None if before is None or after is None else after - before


def processor_seconds(pid: int) -> float | None:
    """Return the seconds of a processor that a process has taken; None where that is not known.

    Only Linux tells so exactly, and only of processes of the same machine.
    """
    try:
        return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9
    except (OSError, ValueError, IndexError):
        return None


def calibrate(
    salons: Mapping[str, tuple[Strategy, Calendars]], proxy: Proxy | None, cores: int
) -> Calibration:
    """Measure what the model must know.

    Args:
        salons: Of each strategy, by name: the strategy, and a salon made for it whose first
            `PRACTICE` calendars are free.
        proxy: What will delay messages; None where nothing will.
        cores: How many processors there are.
    """
    recorded: dict[str, Recorded] = {}
    strategy, calendars = next(iter(salons.values()))
    ping_wall, ping_client, ping_server = _ping(calendars.url)
    clock = 0.0
    for name, (each, salon) in salons.items():
        salon.empty()
        with Visitor(salon, each, count()) as visitor:
            clock = clock or clock_seconds(visitor.ask)
            recorded[name] = _visit(visitor, clock)
    commit, flush_cpu = _flushing(calendars, strategy, clock)
    if ping_server is None:  # a guess: half of what is no client's is the server's
        ping_server = (ping_wall - ping_client) / 2 + clock
    machine = Machine(
        cores=cores,
        server_s=max(0.0, ping_server - clock),
        wake_s=max(0.0, ping_wall - ping_client - ping_server) / 2,
        commit_s=commit,
        flush_cpu=flush_cpu,
        **_slow_network(proxy, calendars.url, ping_wall),
        oversleep_s=_oversleep(calendars.url, ping_wall),
        handover_s=_handover(calendars.url, clock),
    )
    return Calibration(machine, recorded, environment())


def _visit(visitor: Visitor, clock: float) -> Recorded:
    """Record a strategy, and time its clients."""
    booked = record(visitor.book, ATTEMPTS // 2, clock)
    lost = record(visitor.lose, ATTEMPTS // 4, clock)
    visitor.hold(hear_hold)
    booked_held = record(visitor.book, ATTEMPTS // 4, clock)
    lost_held = record(visitor.lose, ATTEMPTS // 4, clock)
    visitor.hold(do_nothing)
    together = Way(_client_times(visitor.book), _client_times(visitor.lose))
    with visitor.another(cursor_factory=OneByOne) as slow:
        one_by_one = Way(_client_times(slow.book), _client_times(slow.lose))
    lock = locking_statement(visitor.strategy, booked)
    scripts = [each.locked_by(lock) for each in (booked, lost, booked_held, lost_held)]
    vain = max(0.0, _vain_seconds(visitor) - together.booked.mean)
    return Recorded(*scripts, together, one_by_one, vain)


def _vain_seconds(visitor: Visitor) -> float:
    """Return what an attempt in vain takes of a processor at the client; 0 where there is none.

    One client has looked and not yet recorded when another asks for the same calendar. Who is
    refused, is refused then; who is overtaken, notices when it goes on.
    """
    traits = visitor.strategy.traits
    if traits.neighbours_retry == "none":
        return 0.0
    once = copy(visitor.strategy)
    once.retry = RetryPolicy(attempts=1)
    taken: list[float] = []
    look = BookingTransaction.rival
    with visitor.another(once) as first, visitor.another(once) as second:
        numbers = count(VAIN, PRACTICE)  # all of one calendar

        def book(client: Visitor) -> float:
            before = time.thread_time()
            with suppress(BookingError):
                client.book(next(numbers))
            return time.thread_time() - before

        def look_and_be_intruded_upon(tx: BookingTransaction) -> int | None:
            found = look(tx)
            with patch.object(BookingTransaction, "rival", look):
                taken.append(book(second))
            return found

        first.hold(lambda: None)  # then check and insert are two statements
        for _ in range(ATTEMPTS // 2):
            with patch.object(BookingTransaction, "rival", look_and_be_intruded_upon):
                whole = book(first)
            if not traits.may_answer_busy:  # then it is the first whose attempt was in vain
                taken[-1] = whole - taken[-1]
    return Times.of(taken[WARM:]).mean


def _client_times(attempt: Callable[[], None]) -> Times:
    """Return what the client takes of a processor for an attempt."""
    for _ in range(WARM):
        attempt()
    taken = []
    for _ in range(ATTEMPTS):
        before = time.thread_time()
        attempt()
        taken.append(time.thread_time() - before)
    return Times.of(taken)


def _ping(url: URL, times: int = PINGS) -> tuple[float, float, float | None]:
    """Return the seconds of a round trip: in all, the client's processor, the server's."""
    with connect(url) as connection:
        wire = Wire(connection, {}, autocommit=True)
        pid = connection.info.backend_pid

        def ping() -> None:
            wire.add("SELECT 1")
            wire.flush()

        for _ in range(times // 5):
            ping()
        before = time.perf_counter(), time.thread_time(), processor_seconds(pid)
        for _ in range(times):
            ping()
        after = time.perf_counter(), time.thread_time(), processor_seconds(pid)
    server = None
    if before[2] is not None and after[2] is not None:
        server = (after[2] - before[2]) / times
    return (after[0] - before[0]) / times, (after[1] - before[1]) / times, server


def _slow_network(proxy: Proxy | None, url: URL, ping_wall: float) -> dict[str, float]:
    """Return what the proxy takes of a processor for a message, and how late a round trip is."""
    if proxy is None:
        return {"proxy_s": 0.0, "late_s": 0.0}
    before = proxy.delay(SLOW_MS)
    wall, _, _ = _ping(proxy.through(url), SLOW_PINGS)
    taken = (proxy.delay(0) - before) / (2 * (SLOW_PINGS + SLOW_PINGS // 5))
    late = wall - ping_wall - SLOW_MS / 1000 - 2 * taken
    return {"proxy_s": taken, "late_s": max(0.0, late)}


def _oversleep(url: URL, ping_wall: float) -> float:
    """Return by how many seconds a pause and the round trip after it take too long, on average.

    What was idle for a while is slower to wake than what has just been at work.
    """
    with connect(url) as connection:
        wire = Wire(connection, {}, autocommit=True)
        taken = []
        for _ in range(SLEEPS):
            before = time.perf_counter()
            time.sleep(SLEEP_S)
            wire.add("SELECT 1")
            wire.flush()
            taken.append(time.perf_counter() - before)
    return max(0.0, Times.of(taken[WARM:]).mean - SLEEP_S - ping_wall)


def _handover(url: URL, clock: float) -> float:
    """Return the seconds from a lock's release until who waits for it goes on, by server clocks."""
    lock = f"SELECT pg_advisory_xact_lock({CALENDARS}, 0)"
    taken: list[float] = []
    with (
        connect(url) as holding,
        connect(url) as waiting,
        ThreadPoolExecutor(1) as thread,
        Onlooker(create_engine(url, poolclass=NullPool)) as onlooker,
    ):
        holder, waiter = Wire(holding, {}), Wire(waiting, {})

        def wait() -> int:
            for sql in (BEGIN, lock, CLOCK):
                waiter.add(sql)
            ((went_on,),) = waiter.flush()
            waiter.roll_back()
            return int(went_on)

        for _ in range(HANDOVERS):
            for sql in (BEGIN, lock):
                holder.add(sql)
            holder.flush()
            handed = thread.submit(wait)
            onlooker.until_waiting(1)
            holder.add(CLOCK)
            ((released,),) = holder.flush(commit=True)
            taken.append(MICRO * (handed.result() - released) - clock)
    return max(0.0, Times.of(taken).median)


def _flushing(calendars: Calendars, strategy: Strategy, clock: float) -> tuple[float, float]:
    """Return what COMMIT takes without its flush, and how much of a flush a processor is at work.

    The difference is between bookings that wait for the disk and bookings that do not.
    """
    off = {"options": "-c synchronous_commit=off"}
    with (
        Visitor(calendars, strategy, count(UNUSED)) as waits,
        Visitor(calendars, strategy, count(UNUSED + PRACTICE * 500), **off) as does_not,
    ):
        commit = record(does_not.book, ATTEMPTS // 2, clock).steps[-1].times.mean
        waits.spent(WARM)
        passed, worked = 0.0, 0.0
        for _ in range(BLOCKS):  # that alternate, so that a machine that slows down slows both
            for visitor, sign in ((waits, 1), (does_not, -1)):
                seconds, processor = visitor.spent(ATTEMPTS // 2)
                passed += sign * seconds
                worked += sign * (processor or 0.0)
    if not worked or passed <= 0:
        return commit, 0.5  # not known, or nothing to be known
    return commit, min(1.0, max(0.0, worked / passed))
