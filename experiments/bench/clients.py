"""The service under load: clients in a tight loop, spread over processes.

A client is a thread that books, and books again as soon as it is answered. What is measured
begins when every connection has been used for a while, and ends before the clients do, so that
neither connecting nor stopping counts.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from random import Random
from typing import TYPE_CHECKING

from sqlalchemy import create_engine

from booking_core.booking import BookingService
from booking_core.errors import (
    BookingConflict,
    BookingError,
    Deadlock,
    InvalidRequest,
    SerializationFailure,
    SlotBusy,
)
from experiments.bench.workloads import FIRST
from experiments.load.crew import run_crew
from experiments.scenes.salon import now

if TYPE_CHECKING:
    from datetime import datetime

    from sqlalchemy import URL

    from booking_core.strategies import Strategy
    from experiments.bench.workloads import Cell
    from experiments.load.crew import Gate

SERVICE_ID = 1  # a plain salon offers one
ANSWERED = ("booked", BookingConflict.outcome)
FAILED: tuple[type[BookingError], ...] = (SlotBusy, SerializationFailure, Deadlock)
NOT_BOOKED: tuple[type[BookingError], ...] = (BookingConflict, *FAILED)
OUTCOMES = (*ANSWERED, *(error.outcome for error in FAILED))


@dataclass(frozen=True, slots=True)
class Share:
    """What one process does of a turn: so many of its clients, and a seed of their own."""

    url: URL
    strategy: Strategy
    offers: int
    cell: Cell
    clients: int
    seed: str


@dataclass(frozen=True, slots=True)
class Tally:
    """What the clients of one process were answered.

    Attributes:
        seconds: How long was measured.
        counted: Answers in that time by outcome.
        booked: Bookings in all, before and after that time too.
        cpu_seconds: What the process took of the processors in that time.
    """

    seconds: float
    counted: Counter[str]
    booked: int
    cpu_seconds: float

    @property
    def answered(self) -> int:
        """How many requests were answered, busy and errors left out."""
        return sum(self.counted[outcome] for outcome in ANSWERED)


def drive(url: URL, strategy: Strategy, offers: int, cell: Cell) -> list[Tally]:
    """Let clients book, spread over processes, at most one a client.

    Args:
        url: A plain salon's database.
        strategy: What the service works with.
        offers: How many alternatives a conflict offers.
        cell: The turn.

    Raises:
        BookingError: A request ended as none should here: invalid, unknown, without a server.
    """
    processes = min(cell.processes, cell.clients)
    each, more = divmod(cell.clients, processes)
    shares = [
        Share(url, strategy, offers, cell, each + (number < more), f"{cell.seed}, {number}")
        for number in range(processes)
    ]
    return run_crew(_work, shares)


def _work(share: Share, gate: Gate) -> Tally:
    engine = create_engine(share.url, pool_size=share.clients, max_overflow=0)
    for connection in [engine.connect() for _ in range(share.clients)]:
        connection.close()  # open, in the pool
    service = BookingService(
        engine,
        share.strategy,
        clock=now,
        source=Random(share.seed),  # noqa: S311 - no secret
        offers=share.offers,
    )
    for staff_id in range(1, share.cell.workload.staff + 1):
        # A service that has run for a while knows the rules. This start is refused by them.
        with suppress(InvalidRequest):
            _book(service, staff_id, FIRST + timedelta(seconds=1))
    # Every outcome is there from the start, so a count can be read while clients are counting.
    counts = [Counter(dict.fromkeys(OUTCOMES, 0)) for _ in range(share.clients)]
    stop = threading.Event()

    def book(client: int) -> None:
        source = Random(f"{share.seed}, client {client}")  # noqa: S311 - no secret
        count = counts[client]
        while not stop.is_set():
            staff_id, start = share.cell.workload.pick(source)
            try:
                _book(service, staff_id, start)
                count["booked"] += 1
            except NOT_BOOKED as error:
                count[error.outcome] += 1

    with ThreadPoolExecutor(share.clients) as threads:
        gate.wait()
        running = [threads.submit(book, client) for client in range(share.clients)]
        try:
            time.sleep(share.cell.warm_seconds)
            before = time.perf_counter(), time.process_time(), _total(counts)
            time.sleep(share.cell.seconds)
            after = time.perf_counter(), time.process_time(), _total(counts)
        finally:
            stop.set()
        for client in running:
            client.result()
    engine.dispose()
    return Tally(
        after[0] - before[0],
        after[2] - before[2],
        _total(counts)["booked"],
        after[1] - before[1],
    )


def _book(service: BookingService, staff_id: int, start: datetime) -> None:
    service.book(staff_id=staff_id, service_id=SERVICE_ID, start=start, client="Somebody")


def _total(counts: list[Counter[str]]) -> Counter[str]:
    return sum(counts, Counter())
