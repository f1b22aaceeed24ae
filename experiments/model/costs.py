"""What a round trip, a pause, a lock and a flush cost on this machine, whatever the strategy."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from statistics import median
from typing import TYPE_CHECKING

from sqlalchemy import NullPool, create_engine

from booking_core.database.wire import Wire
from booking_core.strategies.advisory import CALENDARS
from experiments.model.calibration import Rests
from experiments.model.recording import CLOCK, MICRO, record
from experiments.model.scripts import BEGIN
from experiments.model.times import Times
from experiments.model.visitor import PRACTICE, Visitor, processor_seconds
from experiments.server.connection import connect
from experiments.waiting.onlooker import Onlooker

if TYPE_CHECKING:
    from sqlalchemy import URL

    from booking_core.strategies import Strategy
    from experiments.bench.calendars import Calendars
    from experiments.model.proxy import Proxy

VISITS = 3
"""How often everything is measured; the time in the middle counts."""

PINGS, SLOW_PINGS = 200, 20
SLOW_MS = 5.0
SLEEPS, SLEEP_S = 30, 0.003
RESTS_S = (0.0, 0.001, 0.003, 0.01, 0.03)
AT_WORK_S = 0.0005
RESTED = 8
HANDOVERS = 30
BLOCKS, BOOKINGS = 4, 30
UNUSED = PRACTICE * 500  # numbers from here on are nobody's slots yet


def ping(url: URL, times: int = PINGS) -> tuple[float, float, float | None]:
    """Return the seconds of a round trip: in all, the client's processor, the server's."""
    with connect(url) as connection:
        wire = Wire(connection, {}, autocommit=True)
        pid = connection.info.backend_pid

        def once() -> None:
            wire.add("SELECT 1")
            wire.flush()

        for _ in range(times // 5):
            once()
        before = time.perf_counter(), time.thread_time(), processor_seconds(pid)
        for _ in range(times):
            once()
        after = time.perf_counter(), time.thread_time(), processor_seconds(pid)
    server = None
    if before[2] is not None and after[2] is not None:
        server = (after[2] - before[2]) / times
    return (after[0] - before[0]) / times, (after[1] - before[1]) / times, server


def slow_network(proxy: Proxy | None, url: URL, ping_wall: float) -> tuple[float, float]:
    """Return what the proxy takes of a processor for a message, and how late a round trip is."""
    if proxy is None:
        return 0.0, 0.0
    before = proxy.delay(SLOW_MS)
    wall, _, _ = min(ping(proxy.through(url), SLOW_PINGS) for _ in range(VISITS))
    taken = (proxy.delay(0) - before) / (2 * VISITS * (SLOW_PINGS + SLOW_PINGS // 5))
    late = wall - ping_wall - SLOW_MS / 1000 - 2 * taken
    return taken, max(0.0, late)


def oversleep() -> float:
    """Return by how many seconds a pause is too long, usually."""
    taken = []
    for _ in range(SLEEPS):
        before = time.perf_counter()
        time.sleep(SLEEP_S)
        taken.append(time.perf_counter() - before)
    return max(0.0, Times.of(taken).median - SLEEP_S)


def resting(calendars: Calendars, strategy: Strategy) -> Rests:
    """Return how many times longer server and client take after rests."""
    server: list[list[float]] = [[] for _ in RESTS_S]
    client: list[list[float]] = [[] for _ in RESTS_S]
    with Visitor(calendars, strategy, count(3 * UNUSED)) as visitor:
        for _ in range(VISITS):
            for number, pause in enumerate(RESTS_S):
                worked: list[float] = []

                def after_a_rest(pause: float = pause, worked: list[float] = worked) -> None:
                    if pause:
                        time.sleep(pause)
                    before = time.thread_time()
                    visitor.book()
                    worked.append(time.thread_time() - before)

                script = record(after_a_rest, RESTED)
                server[number].append(sum(step.times.median for step in script.steps))
                client[number].append(Times.of(worked[-RESTED:]).median)
    # Even without a pause a process rests while the other end is at work.
    seconds = tuple(AT_WORK_S + pause for pause in RESTS_S)
    return Rests(seconds, _times_longer(server), _times_longer(client))


def _times_longer(taken: list[list[float]]) -> tuple[float, ...]:
    """Return how many times longer than the first each took, in the middle; never falling."""
    middles = [median(each) for each in taken]
    return tuple(max(middles[: number + 1]) / middles[0] for number in range(len(middles)))


def handover(url: URL, clock: float) -> float:
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


def flushing(calendars: Calendars, strategy: Strategy, clock: float) -> tuple[float, float]:
    """Return what COMMIT takes without its flush, and how much of a flush a processor is at work.

    The difference is between bookings that wait for the disk and bookings that do not.
    """
    off = {"options": "-c synchronous_commit=off"}
    with (
        Visitor(calendars, strategy, count(UNUSED)) as waits,
        Visitor(calendars, strategy, count(2 * UNUSED), **off) as does_not,
    ):
        commit = record(does_not.book, BOOKINGS, clock).steps[-1].times.mean
        waits.spent(BOOKINGS)
        passed, worked = 0.0, 0.0
        for _ in range(BLOCKS):  # that alternate, so that a machine that slows down slows both
            for visitor, sign in ((waits, 1), (does_not, -1)):
                seconds, processor = visitor.spent(BOOKINGS)
                passed += sign * seconds
                worked += sign * (processor or 0.0)
    if not worked or passed <= 0:
        return commit, 0.5  # not known, or nothing to be known
    return commit, min(1.0, max(0.0, worked / passed))
