"""A salon that is open for some days, seen two days before the first of them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from random import Random
from typing import TYPE_CHECKING, Self

from experiments.scenes.salon import Salon, open_salon

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from booking_core import BookingService
    from experiments.server.postgres import Database

DAY = timedelta(days=1)


@dataclass(frozen=True)
class Shop:
    """A salon, and how to book there.

    Attributes:
        engine: For its database.
        salon: The ids.
        booking: Books, with the default strategy and the exclusion constraint behind it.
        days: Dates on the wall, in order.
    """

    engine: Engine
    salon: Salon
    booking: BookingService
    days: Sequence[date]

    @classmethod
    def open(cls, database: Database, first: date, days: int, seed: int) -> Self:
        """Open the salon of `data/salon.toml`.

        Args:
            database: An empty one.
            first: The first day, a date on the wall.
            days: How many days.
            seed: For the lots that are drawn where two are equally busy.
        """
        present = two_days_before(first)
        salon, booking = open_salon(database, lambda: present, Random(seed))  # noqa: S311 - no secret
        dates = [first + number * DAY for number in range(days)]
        return cls(database.engine(), salon, booking, dates)

    def fill(self, each: int, source: Random) -> int:
        """Book appointments at random, of every service, on every day.

        Args:
            each: How many of each service a day, where there is room.
            source: Draws the slots.

        Returns:
            How many were booked.
        """
        booked = 0
        for day in self.days:
            for service_id in self.salon.services.values():
                for _ in range(each):
                    found = self.booking.free_slots(service_id, day)
                    if not found:
                        break
                    chosen = source.choice(found)
                    self.booking.book(
                        staff_id=chosen.staff_id,
                        service_id=service_id,
                        start=chosen.slot.start,
                        client=f"Client {booked + 1}",
                    )
                    booked += 1
        return booked


def two_days_before(day: date) -> datetime:
    """Return the instant, midnight in UTC, from which notice and horizon count."""
    return datetime.combine(day - 2 * DAY, time(), UTC)
