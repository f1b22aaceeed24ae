"""Which slots are free, and what to offer when one is lost.

Calendars are read from the database with one query, whatever the number of staff and days; the
rules are theirs (`Calendar.starts`).
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from heapq import nsmallest
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sqlalchemy import text

from booking_core.calendars import DAY, Calendar, Service, WeeklyHours
from booking_core.errors import InvalidRequest
from booking_core.requests import check_id
from booking_core.slots import TICK, Slot, in_utc

if TYPE_CHECKING:
    from collections.abc import Iterable

    from psycopg.types.multirange import Multirange
    from sqlalchemy import Connection, Row

    from booking_core.requests import Request

# How far around a lost slot alternatives are looked for, until there are enough of them.
SEARCH_RADII = (DAY / 4, 2 * DAY, 8 * DAY, 400 * DAY)
ENOUGH = 5

# `reach` is what a booking that starts in the window can touch.
_CALENDARS = """
    SELECT service.id AS service_id, service.name AS service, duration, buffer_after, grid,
           staff.id AS staff_id, staff.name AS staff, time_zone, minimum_notice, horizon,
           (SELECT version FROM rulebook) AS version,
           (SELECT jsonb_agg(jsonb_build_array(weekday, kind, starts, ends))
              FROM working_hours WHERE staff_id = staff.id) AS hours,
           (SELECT range_agg(during)
              FROM time_off WHERE staff_id = staff.id AND during && reach) AS off,
           {busy} AS busy
      FROM service
      JOIN offering ON offering.service_id = service.id
      JOIN staff ON staff.id = offering.staff_id
      JOIN location ON location.id = staff.location_id
     CROSS JOIN LATERAL
           (SELECT tstzrange(:earliest, :latest + duration + buffer_after) AS reach) AS touched
     WHERE service.id = :service_id
       AND (staff.id = :staff_id OR CAST(:staff_id AS integer) IS NULL)
     ORDER BY staff.name, staff.id
"""
_BUSY = """
           (SELECT range_agg(blocked)
              FROM appointment
             WHERE staff_id = staff.id AND status = 'confirmed' AND blocked && reach)
"""
CALENDARS = text(_CALENDARS.format(busy=_BUSY))
# The rules alone: who checks one slot leaves the appointments to the strategy.
RULES = text(_CALENDARS.format(busy="NULL"))
KNOWN = text("""
    SELECT (SELECT name FROM service WHERE id = :service_id) AS service,
           (SELECT name FROM staff WHERE id = :staff_id) AS staff
""")


@dataclass(frozen=True, slots=True)
class FreeSlot:
    """A slot that was free when it was looked for.

    Attributes:
        staff: The staff member's name.
        time_zone: Where the staff member works, as an IANA name.
    """

    staff_id: int
    staff: str
    slot: Slot
    time_zone: str

    @property
    def local_start(self) -> datetime:
        """The start on the wall clock of the location."""
        return self.slot.start.astimezone(ZoneInfo(self.time_zone))

    def __str__(self) -> str:
        return f"{self.local_start:%a %d %b %H:%M} with {self.staff}"


def load_calendars(
    connection: Connection,
    service_id: int,
    window: Slot,
    *,
    staff_id: int | None = None,
    with_busy: bool = True,
) -> tuple[Service, list[Calendar]]:
    """Return a service and the calendars of those who offer it, by name. One round trip.

    Args:
        connection: A connection to read with.
        service_id: Which service.
        window: Where bookings may start.
        staff_id: Whose calendar alone; everybody's if left out.
        with_busy: Whether confirmed appointments are wanted too.

    Raises:
        InvalidRequest: `UNKNOWN_SERVICE`, `UNKNOWN_STAFF` or `NOT_OFFERED`.
    """
    asked = {
        "service_id": check_id(service_id, "UNKNOWN_SERVICE", "service"),
        "staff_id": None
        if staff_id is None
        else check_id(staff_id, "UNKNOWN_STAFF", "staff member"),
    }
    rows = connection.execute(
        CALENDARS if with_busy else RULES,
        asked | {"earliest": window.start, "latest": window.end},
    ).all()
    if not rows:
        raise _nobody_offers(connection, asked)
    row = rows[0]
    service = Service(row.service_id, row.service, row.duration, row.buffer_after, row.grid)
    return service, [_calendar(row) for row in rows]


def _calendar(row: Row[tuple[object, ...]]) -> Calendar:
    return Calendar(
        staff_id=row.staff_id,
        staff=row.staff,
        zone=ZoneInfo(row.time_zone),
        minimum_notice=row.minimum_notice,
        horizon=row.horizon,
        hours=[
            WeeklyHours(weekday, kind, time.fromisoformat(starts), time.fromisoformat(ends))
            for weekday, kind, starts, ends in row.hours or ()
        ],
        off=_slots(row.off),
        busy=_slots(row.busy),
        version=row.version,
    )


def _slots(ranges: Multirange[datetime] | None) -> list[Slot]:
    return [Slot(each.lower, each.upper) for each in ranges or () if each.lower and each.upper]


def _nobody_offers(connection: Connection, asked: dict[str, int | None]) -> InvalidRequest:
    known = connection.execute(KNOWN, asked).one()
    if known.service is None:
        return InvalidRequest("UNKNOWN_SERVICE", f"There is no service {asked['service_id']}.")
    if asked["staff_id"] is None:
        return InvalidRequest("NOT_OFFERED", f"Nobody offers {known.service}.")
    if known.staff is None:
        return InvalidRequest("UNKNOWN_STAFF", f"There is no staff member {asked['staff_id']}.")
    return InvalidRequest("NOT_OFFERED", f"{known.staff} does not offer {known.service}.")


def free_slots(
    connection: Connection,
    service_id: int,
    day: date,
    now: datetime,
    staff_id: int | None = None,
) -> list[FreeSlot]:
    """Return a service's free slots on one day of each location's calendar, in order.

    Args:
        connection: A connection to read with.
        service_id: Which service.
        day: The date on the wall where the staff member works.
        now: From when minimum notice and horizon count, an aware datetime.
        staff_id: Whose slots alone; those of all who offer the service if left out.

    Raises:
        InvalidRequest: `UNKNOWN_SERVICE`, `UNKNOWN_STAFF` or `NOT_OFFERED`.
    """
    if not isinstance(day, date) or isinstance(day, datetime):
        raise InvalidRequest("NOT_A_DATE", f"{day!r} is not a date.")
    # Wherever it is that date: zones reach from 14 hours ahead of UTC to 12 behind.
    noon = in_utc(datetime.combine(day, time(12), UTC))
    window = Slot(noon - timedelta(hours=26), noon + timedelta(hours=26))
    service, calendars = load_calendars(connection, service_id, window, staff_id=staff_id)
    found = [
        _free_slot(service, start, calendar)
        for start, calendar in _starts(service, calendars, window, now)
        if start.astimezone(calendar.zone).date() == day
    ]
    return sorted(found, key=lambda free: (free.slot.start, free.staff, free.staff_id))


def alternatives(
    connection: Connection, request: Request, now: datetime, limit: int = ENOUGH
) -> list[FreeSlot]:
    """Return free slots instead of a lost one, the best first.

    Nearest in time first; at equal distance the same staff member before others, earlier before
    later, then by name. One query where the hours around hold enough of them.

    Args:
        connection: A connection to read with.
        request: What was lost.
        now: From when minimum notice and horizon count, an aware datetime.
        limit: How many are wanted.
    """
    wanted = request.slot.start

    def around(radius: timedelta) -> Slot:
        return Slot(max(wanted - radius, now), wanted + radius + TICK)

    def rank(candidate: tuple[datetime, Calendar]) -> tuple[timedelta, bool, datetime, str, int]:
        start, calendar = candidate
        other = calendar.staff_id != request.staff_id
        return abs(start - wanted), other, start, calendar.staff, calendar.staff_id

    # What lies within a radius is complete, so nothing beyond it can be nearer.
    for radius in SEARCH_RADII:
        service, calendars = load_calendars(connection, request.service_id, around(radius))
        # A part of it first: most starts would not be offered anyway.
        for part in (radius / 8, radius):
            found = _starts(service, calendars, around(part), now)
            if len(found) >= limit:
                break
        if len(found) >= limit:
            break
    return [
        _free_slot(service, start, calendar)
        for start, calendar in nsmallest(limit, found, key=rank)
    ]


def _starts(
    service: Service, calendars: Iterable[Calendar], window: Slot, now: datetime
) -> list[tuple[datetime, Calendar]]:
    return [
        (start, calendar)
        for calendar in calendars
        for start in calendar.starts(service, window, now)
    ]


def _free_slot(service: Service, start: datetime, calendar: Calendar) -> FreeSlot:
    return FreeSlot(calendar.staff_id, calendar.staff, service.slot(start), calendar.zone.key)
