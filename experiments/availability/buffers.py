"""The same day with one appointment, booked as services that differ in their buffers alone."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, time
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pandas as pd

from booking_core import BookingService
from booking_core.slots import instant
from experiments.availability.diary import diary
from experiments.availability.shop import Shop, two_days_before
from experiments.availability.tiny_salon import (
    NOBODY_ELSE,
    TinySalon,
    offer,
    open_tiny_salons,
)
from experiments.scenes.salon import Salon

if TYPE_CHECKING:
    from collections.abc import Sequence

    from experiments.server.postgres import Database
    from experiments.show.verdicts import Verdicts

DAY = date(2030, 1, 8)
NOON = time(12)
ZONE = "Europe/Berlin"
SERVICES = (
    ("no buffers", 0, 0),
    ("15 minutes after", 0, 15),
    ("30 minutes before", 30, 0),
    ("30 before, 15 after", 30, 15),
)
"""Name, minutes of set-up before, minutes of buffer after."""


@dataclass(frozen=True)
class BufferDay:
    """A day on which one service was booked at noon.

    Attributes:
        name: Of the service.
        before: Minutes of set-up before it.
        after: Minutes of buffer after it.
        pieces: What is on, as in `Diary.frame`; free starts are those of the same service.
    """

    name: str
    before: int
    after: int
    pieces: pd.DataFrame

    @property
    def free(self) -> int:
        """How many starts are free."""
        return int((self.pieces["kind"] == "free").sum())

    @property
    def around(self) -> tuple[str, str]:
        """The last start before the appointment and the first one after it, on the wall."""
        starts = self.pieces.loc[self.pieces["kind"] == "free", "begins"]
        return _wall(starts[starts < NOON.hour].max()), _wall(starts[starts > NOON.hour].min())


def buffer_days(database: Database) -> list[BufferDay]:
    """Book an hour at noon as each of the services, one after the other, and list the rest.

    Args:
        database: An empty one.
    """
    engine = open_tiny_salons(database)
    with engine.begin() as connection:
        staff_id = TinySalon("Buffers", ZONE, (("09:00", "17:00"),)).open(connection)
        ids = {
            name: offer(connection, staff_id, name, minutes=60, grid=15, before=before, after=after)
            for name, before, after in SERVICES
        }
    salon = Salon({NOBODY_ELSE: staff_id}, ids)
    present = two_days_before(DAY)
    booking = BookingService(engine, clock=lambda: present)
    shop = Shop(engine, salon, booking, [DAY])
    days = []
    for name, before, after in SERVICES:
        start = instant(DAY, NOON, ZoneInfo(ZONE))
        booked = booking.book(
            staff_id=staff_id, service_id=ids[name], start=start, client="Grace"
        ).appointment
        pieces = diary(shop, [NOBODY_ELSE], name).frame
        days.append(BufferDay(name, before, after, pieces))
        booking.cancel(booked.id)
    return days


def frame(days: Sequence[BufferDay]) -> pd.DataFrame:
    """Return a row a service: its buffers, what is left of the day, the starts around noon."""
    return pd.DataFrame(
        [
            {
                "service": day.name,
                "minutes before": day.before,
                "minutes after": day.after,
                "free starts": day.free,
                "last start before": day.around[0],
                "first start after": day.around[1],
            }
            for day in days
        ]
    )


def record(days: Sequence[BufferDay], verdicts: Verdicts) -> None:
    """State what must hold: buffers keep no more and no less than themselves free.

    Args:
        days: As `buffer_days` returned them; all buffers are multiples of the grid.
        verdicts: Where it is stated.
    """
    wrong = 0
    for day in days:
        between = (day.before + day.after) / 60  # hours between two appointments
        nearest = (_wall(NOON.hour - between - 1), _wall(NOON.hour + 1 + between))
        wrong += day.around != nearest
    verdicts.add(
        "Two appointments can be as near as the buffer of the first and the set-up of the second",
        held=not wrong and bool(days),
        evidence=f"{len(days) - wrong} of {len(days)} pairs of buffers keep just themselves free",
    )


def _wall(hours: float) -> str:
    return f"{int(hours):02}:{round(hours % 1 * 60):02}"
