"""Absence that is entered over what is booked: whom somebody has to call."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from sqlalchemy import insert
from sqlalchemy.dialects.postgresql import Range

from booking_core import schema, whole_days

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from booking_core import Appointment
    from experiments.availability.shop import Shop
    from experiments.show.verdicts import Verdicts

BERLIN = "Europe/Berlin"


@dataclass(frozen=True)
class Absence:
    """What was booked on the days on which somebody is off.

    Attributes:
        staff: Who.
        booked: Their confirmed appointments on these days.
        before: What no hours covered before they were off.
        uncovered: What none cover now.
        services: Names by id.
    """

    staff: str
    booked: Sequence[Appointment]
    before: Sequence[Appointment]
    uncovered: Sequence[Appointment]
    services: dict[int, str]

    def frame(self) -> pd.DataFrame:
        """Return one row an appointment that has to be moved."""
        return pd.DataFrame(
            [
                {
                    "appointment": each.id,
                    "with": self.staff,
                    "service": self.services[each.service_id],
                    "client": each.client,
                    "slot": str(each.slot),
                }
                for each in self.uncovered
            ]
        )

    def record(self, verdicts: Verdicts) -> None:
        """State that nothing was overlooked, and nothing listed that is covered."""
        verdicts.add(
            "Every appointment over which absence was entered is listed, and no other",
            held=not self.before and list(self.booked) == list(self.uncovered),
            evidence=f"{len(self.booked)} booked on those days, {len(self.uncovered)} listed,"
            f" {len(self.before)} before",
        )


def enter(shop: Shop, staff: str, first: date, last: date) -> Absence:
    """Enter days off over what is booked already.

    Args:
        shop: Where.
        staff: Whose days.
        first: The first date.
        last: The last one.
    """
    off = whole_days(first, last, BERLIN)
    who = shop.salon.staff[staff]
    before = shop.booking.uncovered()
    with shop.engine.connect() as connection:
        ids = connection.exec_driver_sql(
            "SELECT id FROM appointment WHERE staff_id = %s AND status = 'confirmed'"
            " AND during && tstzrange(%s, %s) ORDER BY lower(during)",
            (who, off.start, off.end),
        ).scalars()
        booked = [shop.booking.find(each) for each in ids]
    with shop.engine.begin() as connection:
        connection.execute(
            insert(schema.time_off).values(
                staff_id=who, during=Range(off.start, off.end, bounds="[)"), reason="ill"
            )
        )
    services = {number: name for name, number in shop.salon.services.items()}
    return Absence(staff, booked, before, shop.booking.uncovered(), services)
