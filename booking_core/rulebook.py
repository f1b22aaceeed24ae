"""The rules as they are stored, and what the service remembers of them.

Rules change seldom, and the database counts the changes (`schema.rulebook`). They are read
together with the count, and every booking is stored on the condition that the count is the same:
a change that the booking's transaction can see can't be overlooked, whoever made it. Where the
count differs nothing is stored, the service forgets what it knew, and the request is tried again.
"""

from __future__ import annotations

from datetime import datetime, time
from typing import TYPE_CHECKING

from sqlalchemy import text

from booking_core.calendars import Calendar, Service, WeeklyHours
from booking_core.errors import InvalidRequest
from booking_core.requests import Request
from booking_core.slots import Slot
from booking_core.zones import place_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from psycopg.types.multirange import Multirange
    from sqlalchemy import Connection

    from booking_core.requests import Wish

MOST_CALENDARS = 20_000
"""How many calendars are kept; a few kilobytes each."""

Rules = tuple[Service, Calendar]

RULES = text("""
    SELECT service.id AS service_id, service.name AS service, duration, buffer_before,
           buffer_after, grid, staff.id AS staff_id, staff.name AS staff,
           location.id AS location_id, time_zone, minimum_notice, horizon,
           (SELECT version FROM rulebook) AS version,
           (SELECT jsonb_agg(jsonb_build_array(weekday, kind, starts, ends))
              FROM working_hours WHERE staff_id = staff.id) AS hours,
           (SELECT range_agg(during)
              FROM time_off WHERE staff_id = staff.id AND upper(during) > :since) AS off,
           (SELECT range_agg(during)
              FROM closure WHERE location_id = location.id AND upper(during) > :since) AS closed
      FROM service
      JOIN offering ON offering.service_id = service.id
      JOIN staff ON staff.id = offering.staff_id
      JOIN location ON location.id = staff.location_id
     WHERE service.id = :service_id AND staff.id = :staff_id
""")
KNOWN = text("""
    SELECT (SELECT name FROM service WHERE id = :service_id) AS service,
           (SELECT name FROM staff WHERE id = :staff_id) AS staff,
           (SELECT name FROM location WHERE id = :location_id) AS location
""")


class Rulebook:
    """What is known of services and calendars; may be shared by threads.

    Args:
        read: Reads a service and the calendar of a staff member.
    """

    def __init__(self, read: Callable[[int, int], Rules]) -> None:
        self._read = read
        self._known: dict[tuple[int, int], Rules] = {}

    def rules(self, service_id: int, staff_id: int) -> Rules:
        """Return the rules for a service and a staff member, from memory if they are known.

        Raises:
            BookingError: As `read` does.
        """
        known = self._known.get((service_id, staff_id))
        if known is None:
            known = self._read(service_id, staff_id)
            if len(self._known) >= MOST_CALENDARS:
                self.forget()
            self._known[service_id, staff_id] = known
        return known

    def request(self, wish: Wish, staff_id: int, now: datetime) -> Request:
        """Return the request for a staff member, if the rules allow what is wanted.

        Raises:
            InvalidRequest: They don't, or there is nobody or nothing of that kind.
        """
        known = (wish.service_id, staff_id) in self._known
        service, calendar = self.rules(wish.service_id, staff_id)
        slot = Slot(wish.start, wish.end) if wish.end else service.slot(wish.start)
        try:
            calendar.check(service, slot, now)
        except InvalidRequest:
            if not known:
                raise
            # Perhaps the rules have changed since they were read; nobody is refused by old ones.
            self._known.pop((wish.service_id, staff_id), None)
            return self.request(wish, staff_id, now)
        return Request(
            staff_id,
            wish.service_id,
            wish.client,
            slot,
            service.blocked(slot.start),
            wish.key,
            wish.moves,
            calendar.version,
            wish.digest,
        )

    def forget(self) -> None:
        """Read everything anew when it is asked for."""
        self._known.clear()


def read_rules(connection: Connection, service_id: int, staff_id: int, since: datetime) -> Rules:
    """Return a service and the calendar of a staff member who offers it. One round trip.

    Args:
        connection: A connection to read with.
        service_id: Which service.
        staff_id: Whose calendar.
        since: What had ended by then matters no more, an aware datetime.

    Raises:
        InvalidRequest: `UNKNOWN_SERVICE`, `UNKNOWN_STAFF` or `NOT_OFFERED`.
    """
    asked = {"service_id": service_id, "staff_id": staff_id}
    row = connection.execute(RULES, asked | {"since": since}).one_or_none()
    if row is None:
        raise not_offered(connection, service_id, staff_id)
    service = Service(
        row.service_id,
        row.service,
        duration=row.duration,
        buffer_after=row.buffer_after,
        grid=row.grid,
        buffer_before=row.buffer_before,
    )
    calendar = Calendar(
        staff_id=row.staff_id,
        staff=row.staff,
        location_id=row.location_id,
        zone=place_of(row.time_zone),
        minimum_notice=row.minimum_notice,
        horizon=row.horizon,
        hours=[
            WeeklyHours(weekday, kind, time.fromisoformat(starts), time.fromisoformat(ends))
            for weekday, kind, starts, ends in row.hours or ()
        ],
        off=_slots(row.off),
        closed=_slots(row.closed),
        version=row.version,
    )
    return service, calendar


def not_offered(
    connection: Connection,
    service_id: int,
    staff_id: int | None = None,
    location_id: int | None = None,
) -> InvalidRequest:
    """Return why a service is not offered: by a staff member, at a location, or at all."""
    asked = {"service_id": service_id, "staff_id": staff_id, "location_id": location_id}
    known = connection.execute(KNOWN, asked).one()
    if known.service is None:
        return InvalidRequest("UNKNOWN_SERVICE", f"There is no service {service_id}.")
    if staff_id is not None and known.staff is None:
        return InvalidRequest("UNKNOWN_STAFF", f"There is no staff member {staff_id}.")
    if location_id is not None and known.location is None:
        return InvalidRequest("UNKNOWN_LOCATION", f"There is no location {location_id}.")
    if known.staff:
        return InvalidRequest("NOT_OFFERED", f"{known.staff} does not offer {known.service}.")
    where = f" at {known.location}" if known.location else ""
    return InvalidRequest("NOT_OFFERED", f"Nobody offers {known.service}{where}.")


def _slots(ranges: Multirange[datetime] | None) -> list[Slot]:
    return [Slot(each.lower, each.upper) for each in ranges or () if each.lower and each.upper]
