"""Cells, measured: real clients, threads of several Python processes, book on the real server.

All cells are played by one crew, one after the other, so that processes are started once. Each
cell has calendars of its own, which nobody has touched; the clients open their connections and
practise before it begins, and whoever is in the middle of something when its time is over still
finishes that, uncounted.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from sqlalchemy import Engine, QueuePool, create_engine

from booking_core.booking import BookingService
from booking_core.errors import BookingError
from booking_core.strategies.transaction import do_nothing
from experiments.bench.clients import SERVICE_ID
from experiments.bench.workloads import FIRST, PLACES, STEP
from experiments.load.crew import run_crew
from experiments.model.answers import Answers, Row
from experiments.model.one_by_one import one_by_one
from experiments.model.visitor import PRACTICE
from experiments.scenes.salon import now

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import URL

    from booking_core.strategies import Strategy
    from experiments.load.crew import Gate
    from experiments.model.cells import Cell

POOL_SECONDS = 120
HEAD_START = 0.02  # from the gate to the start, enough to wake every thread


@dataclass(frozen=True, slots=True)
class Turn:
    """A cell that is to be played.

    Attributes:
        cell: The cell.
        strategy: Its strategy.
        url: The way to the salon that was made for it, slow network included.
        first_staff: The first of the calendars that are the cell's own.
        seed: For the jitter between tries.
    """

    cell: Cell
    strategy: Strategy
    url: URL
    first_staff: int
    seed: int


@dataclass(frozen=True, slots=True)
class Share:
    """What one process plays: its part of every turn."""

    process: int
    turns: list[Turn]


class Over(Exception):
    """The cell's time is over; nobody pauses any more."""


def measure(turns: Sequence[Turn]) -> list[Answers]:
    """Play cells one after the other, and return what their clients were answered.

    Args:
        turns: All with the same number of processes at most; a cell whose crew is smaller leaves
            some of them idle.
    """
    shares = [
        Share(process, list(turns)) for process in range(max(t.cell.processes for t in turns))
    ]
    parts = run_crew(_work, shares)
    return [
        Answers.of(turn.cell.seconds, [answer for part in parts for answer in part[number]])
        for number, turn in enumerate(turns)
    ]


def _work(share: Share, gate: Gate) -> list[list[Row]]:
    answers = []
    for turn in share.turns:
        with one_by_one(really=turn.cell.one_by_one):
            answers.append(_play(turn, share.process, gate))
    return answers


def _play(turn: Turn, process: int, gate: Gate) -> list[Row]:
    cell = turn.cell
    if process >= cell.crew:
        gate.wait()
        gate.wait()
        return []
    over = threading.Event()

    def pause(seconds: float) -> None:
        if over.is_set():
            raise Over
        time.sleep(seconds)

    engine = _engine(turn, process)
    service = BookingService(
        engine,
        turn.strategy,
        clock=now,
        source=Random(f"{turn.seed}, {process}, {cell}"),  # noqa: S311 - no secret
        offers=0,
        sleep=pause,
        before_record=(lambda: time.sleep(cell.hold_ms / 1000)) if cell.hold_ms else do_nothing,
    )
    mine = range(process, cell.clients, cell.crew)
    answers: list[Row] = []
    with ThreadPoolExecutor(len(mine)) as threads:
        _practise(turn, service, mine, threads)
        gate.wait()
        start = time.perf_counter() + HEAD_START
        # Whoever asks takes the next slot, so that none is left over by who is kept waiting.
        numbers = count(process, cell.crew)
        asking = [threads.submit(_ask, turn, service, numbers, start, answers) for _ in mine]
        time.sleep(max(0.0, start + cell.seconds - time.perf_counter()))
        over.set()
        for each in asking:
            each.result()
    engine.dispose()
    gate.wait()
    return answers


def _ask(
    turn: Turn, service: BookingService, numbers: Iterator[int], start: float, answers: list[Row]
) -> None:
    cell = turn.cell
    time.sleep(max(0.0, start - time.perf_counter()))
    while (began := time.perf_counter()) < start + cell.seconds:
        calendar, place = cell.target(next(numbers))
        outcome, attempts = "booked", 1
        try:
            booking = service.book(
                staff_id=turn.first_staff + calendar,
                service_id=SERVICE_ID,
                start=FIRST + place * STEP,
                client="Somebody",
            )
            attempts = booking.attempts
        except BookingError as error:
            outcome, attempts = error.outcome, error.attempts
        except Over:
            return
        answers.append((began - start, time.perf_counter() - start, outcome, attempts))


def _engine(turn: Turn, process: int) -> Engine:
    cell = turn.cell
    return create_engine(
        turn.url,
        poolclass=QueuePool,
        pool_size=cell.share(cell.pool or cell.clients, process),
        max_overflow=0,
        pool_timeout=POOL_SECONDS,
    )


def _practise(
    turn: Turn, service: BookingService, mine: range, threads: ThreadPoolExecutor
) -> None:
    """Let every client book once, and ask for that slot again, before the cell begins.

    All at once, so every connection is opened and prepares its statements; and the service learns
    the rules of the cell's calendars. Clients practise on the calendars of the calibration, to be
    out of each other's way; over a slow network on the cell's own, or to read the rules of so
    many would take longer than the cell.
    """
    cell = turn.cell

    def book(staff_id: int, place: int) -> None:
        with suppress(BookingError):
            service.book(
                staff_id=staff_id,
                service_id=SERVICE_ID,
                start=FIRST + place * STEP,
                client="Practice",
            )

    for calendar in range(cell.calendars):
        book(turn.first_staff + calendar, PLACES - 1)

    def practise(client: int) -> None:
        if cell.delay_ms:
            book(turn.first_staff + client % cell.calendars, PLACES - 2 - client)
        else:  # each cell at other places, for these calendars serve all of them
            row, calendar = divmod(client, PRACTICE)
            book(1 + calendar, (cell.clients * turn.first_staff + row) % PLACES)

    for _ in range(2):
        list(threads.map(practise, mine))
