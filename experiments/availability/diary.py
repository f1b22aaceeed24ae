"""The diary of a salon: for each staff member and day, what is on and where one could begin.

It holds what there is to draw, in hours on the wall clock since midnight. It is read from the
rules and the appointments that are stored; only the free starts are what the service lists.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING

import pandas as pd
from sqlalchemy import text

from booking_core import Slot
from booking_core.calendar.rulebook import Rulebook
from booking_core.calendar.rules import shifts
from booking_core.slots import instant, subtract

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from zoneinfo import ZoneInfo

    from sqlalchemy import Connection

    from experiments.availability.shop import Shop

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)
Piece = tuple[str, float, float, str]
COLUMNS = ["staff", "day", "kind", "begins", "ends", "words"]

AWAY = text("""
    SELECT 'time off', during, reason FROM time_off
     WHERE staff_id = :staff_id AND during && tstzrange(:begins, :ends)
     UNION ALL
    SELECT 'closed', during, reason FROM closure JOIN staff USING (location_id)
     WHERE staff.id = :staff_id AND during && tstzrange(:begins, :ends)
""")
BOOKED = text("""
    SELECT during, blocked, service.name
      FROM appointment JOIN service ON service.id = service_id
     WHERE staff_id = :staff_id AND status = 'confirmed'
       AND blocked && tstzrange(:begins, :ends)
     ORDER BY during
""")


@dataclass(frozen=True)
class Diary:
    """Some days of some staff members.

    Attributes:
        frame: A row a piece: staff, day (a date), kind (shift, break, time off, closed,
            appointment, set-up, buffer, free), begins and ends (hours on the wall since midnight
            of that day), words (the service, or the reason).
        service: What the free starts are for.
    """

    frame: pd.DataFrame
    service: str

    @property
    def staff(self) -> list[str]:
        """The names, in order."""
        return list(dict.fromkeys(self.frame["staff"]))

    def pieces(self, staff: str, day: date) -> pd.DataFrame:
        """Return what is on one staff member's day."""
        return self.frame[(self.frame["staff"] == staff) & (self.frame["day"] == day)]

    def worded(self) -> str:
        """Say what the picture of it shows, for who can't see it."""
        sentences = []
        for staff, pieces in self.frame.groupby("staff", sort=False):
            count = pieces["kind"].value_counts()
            parts = [
                f"{count[kind]} {words}"
                for kind, words in (
                    ("appointment", "appointments"),
                    ("time off", "with time off"),
                    ("closed", "closed"),
                    ("free", f"free starts for a {self.service.lower()}"),
                )
                if kind in count
            ]
            sentences.append(f"{staff}: {', '.join(parts)}.")
        return " ".join(sentences)


def diary(shop: Shop, names: Sequence[str], service: str, days: Sequence[date] = ()) -> Diary:
    """Read the diary.

    Args:
        shop: Whose.
        names: Of staff members; each offers the service.
        service: What the free starts are for.
        days: Which dates on the wall; all of the shop's if left out.
    """
    service_id = shop.salon.services[service]
    rows: list[tuple[object, ...]] = []
    with shop.engine.connect() as connection:
        for name in names:
            for day in days or shop.days:
                staff_id = shop.salon.staff[name]
                pieces = _pieces(shop, connection, staff_id, day)
                rows.extend((name, day, *piece) for piece in pieces)
                for free in shop.booking.free_slots(service_id, day, staff_id):
                    begins = hours_since_midnight(free.local_start, day)
                    rows.append((name, day, "free", begins, begins, ""))
    return Diary(pd.DataFrame(rows, columns=COLUMNS), service)


def _pieces(shop: Shop, connection: Connection, staff_id: int, day: date) -> Iterator[Piece]:
    since = datetime.combine(day - DAY, time(), UTC)
    ((_, calendar),) = Rulebook(shop.engine, lambda: since).read([staff_id])
    zone = calendar.zone
    whole = Slot(instant(day, time(), zone), instant(day + DAY, time(), zone))
    around = whole.start.astimezone(zone).date() - DAY, day + DAY
    for shift, left in shifts(calendar.hours, zone, *around):
        for kind, slots in (("shift", [shift]), ("break", subtract([shift], left))):
            for slot in slots:
                if slot.overlaps(whole):
                    yield _piece(kind, slot, whole, zone)
    asked = {"staff_id": staff_id, "begins": whole.start, "ends": whole.end}
    for kind, during, words in connection.execute(AWAY, asked):
        yield _piece(kind, Slot(during.lower, during.upper), whole, zone, words)
    for during, blocked, words in connection.execute(BOOKED, asked):
        yield _piece("appointment", Slot(during.lower, during.upper), whole, zone, words)
        if blocked.lower < during.lower:
            yield _piece("set-up", Slot(blocked.lower, during.lower), whole, zone, words)
        if during.upper < blocked.upper:
            yield _piece("buffer", Slot(during.upper, blocked.upper), whole, zone, words)


def _piece(kind: str, slot: Slot, whole: Slot, zone: ZoneInfo, words: str = "") -> Piece:
    """Return what of a slot lies within the day."""
    day = whole.start.astimezone(zone).date()
    begins = max(slot.start, whole.start).astimezone(zone)
    ends = min(slot.end, whole.end).astimezone(zone)
    return kind, hours_since_midnight(begins, day), hours_since_midnight(ends, day), words


def hours_since_midnight(wall: datetime, day: date) -> float:
    """Return what the wall clock shows, in hours since midnight of a day."""
    return (wall.replace(tzinfo=None) - datetime.combine(day, time())) / HOUR
