"""One client of a salon, with nobody in its way: whom a calibration watches."""

from __future__ import annotations

import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from sqlalchemy import create_engine

from booking_core.booking import BookingService
from booking_core.database.session import Session
from booking_core.errors import BookingConflict
from booking_core.strategies.transaction import do_nothing
from experiments.bench.clients import SERVICE_ID
from experiments.bench.workloads import FIRST, STEP
from experiments.scenes.salon import now
from experiments.server.connection import backend_pid

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from booking_core.strategies import Strategy
    from experiments.bench.calendars import Calendars

PRACTICE = 20
"""How many calendars the calibration uses, the first ones of a salon."""


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
            pid = backend_pid(connection)
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
