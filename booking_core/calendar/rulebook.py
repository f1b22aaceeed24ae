"""The rules as they are stored, and what the service remembers of them.

Rules change seldom, and the database counts the changes (`schema.rulebook`). They are read
together with the count, and every booking is stored on the condition that the count is the same:
a change that the booking's transaction can see can't be overlooked, whoever made it. Where the
count differs nothing is stored, the service forgets what it knew, and the request is tried again.
"""

from collections.abc import Callable
from datetime import datetime, time

from psycopg.types.multirange import Multirange
from sqlalchemy import Engine

from booking_core.calendar.rules import Calendar, Service, WeeklyHours
from booking_core.calendar.zones import place_of
from booking_core.database.session import Session
from booking_core.invalid import InvalidRequest
from booking_core.requests import Request, Wish
from booking_core.slots import Slot

MOST_CALENDARS = 20_000  # that are kept; a few kilobytes each

Rules = tuple[Service, Calendar]

RULES = """
    SELECT service.id, service.name, duration, buffer_after, grid, buffer_before,
           staff.id, staff.name, time_zone, minimum_notice, horizon,
           (SELECT jsonb_agg(jsonb_build_array(weekday, kind, starts, ends))
              FROM working_hours WHERE staff_id = staff.id),
           (SELECT range_agg(during)
              FROM time_off WHERE staff_id = staff.id AND upper(during) > %(since)s),
           (SELECT range_agg(during)
              FROM closure WHERE location_id = location.id AND upper(during) > %(since)s),
           location.id, (SELECT version FROM rulebook)
      FROM service
      JOIN offering ON offering.service_id = service.id
      JOIN staff ON staff.id = offering.staff_id
      JOIN location ON location.id = staff.location_id
     WHERE service.id = %(service_id)s::integer AND staff.id = %(staff_id)s::integer"""
KNOWN = """
    SELECT (SELECT name FROM service WHERE id = %(service_id)s::integer),
           (SELECT name FROM staff WHERE id = %(staff_id)s::integer),
           (SELECT name FROM location WHERE id = %(location_id)s::integer)"""


class Rulebook:
    """What is known of services and calendars; may be shared by threads.

    Args:
        engine: Where the salon's database is.
        clock: Tells the present instant.
    """

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock
        self._known: dict[tuple[int, int], Rules] = {}

    def rules(self, service_id: int, staff_id: int) -> Rules:
        """Return the rules for a service and a staff member, from memory if they are known.

        Raises:
            BookingError: As `read_rules`, or they can't be read now.
        """
        known = self._known.get((service_id, staff_id))
        if known is None:
            known = read_rules(self._engine, service_id, staff_id, self._clock())
            if len(self._known) >= MOST_CALENDARS:
                self.forget()
            self._known[service_id, staff_id] = known
        return known

    def request(self, wish: Wish, staff_id: int) -> Request:
        """Return the request for a staff member, if the rules allow what is wanted.

        Raises:
            InvalidRequest: They don't, or there is nobody or nothing of that kind.
        """
        known = (wish.service_id, staff_id) in self._known
        service, calendar = self.rules(wish.service_id, staff_id)
        slot = Slot(wish.start, wish.end) if wish.end else service.slot(wish.start)
        try:
            calendar.check(service, slot, self._clock())
        except InvalidRequest:
            if not known:
                raise
            # Perhaps the rules have changed since they were read; nobody is refused by old ones.
            self._known.pop((wish.service_id, staff_id), None)
            return self.request(wish, staff_id)
        return Request(
            **vars(wish),
            staff_id=staff_id,
            slot=slot,
            blocked=service.blocked(slot.start),
            rules_version=calendar.version,
        )

    def forget(self) -> None:
        """Read everything anew when it is asked for."""
        self._known.clear()


def read_rules(engine: Engine, service_id: int, staff_id: int, since: datetime) -> Rules:
    """Return a service and the calendar of a staff member who offers it. One round trip.

    Args:
        engine: Where the salon's database is.
        service_id: Which service.
        staff_id: Whose calendar.
        since: What had ended by then matters no more, an aware datetime.

    Raises:
        InvalidRequest: `UNKNOWN_SERVICE`, `UNKNOWN_STAFF` or `NOT_OFFERED`.
    """
    asked = {"service_id": service_id, "staff_id": staff_id, "since": since}
    with Session(engine, "AUTOCOMMIT", reads_only=True) as session:
        rows = session.run(RULES, asked)
    for row in rows:
        *service, staff_id, staff, zone, notice, horizon, hours, off, closed = row[:-2]
        weekly = tuple(
            WeeklyHours(weekday, kind, time.fromisoformat(starts), time.fromisoformat(ends))
            for weekday, kind, starts, ends in hours or ()
        )
        absences = _slots(off), _slots(closed)
        calendar = Calendar(
            staff_id, staff, place_of(zone), notice, horizon, weekly, *absences, *row[-2:]
        )
        return Service(*service), calendar
    raise not_offered(engine, service_id, staff_id)


def not_offered(
    engine: Engine, service_id: int, staff_id: int | None = None, location_id: int | None = None
) -> InvalidRequest:
    """Return why a service is not offered: by a staff member, at a location, or at all."""
    asked = {"service_id": service_id, "staff_id": staff_id, "location_id": location_id}
    with Session(engine, "AUTOCOMMIT", reads_only=True) as session:
        ((service, staff, location),) = session.run(KNOWN, asked)
    if service is None:
        return InvalidRequest("UNKNOWN_SERVICE", f"There is no service {service_id}.")
    if staff_id is not None and staff is None:
        return InvalidRequest("UNKNOWN_STAFF", f"There is no staff member {staff_id}.")
    if location_id is not None and location is None:
        return InvalidRequest("UNKNOWN_LOCATION", f"There is no location {location_id}.")
    who, where = staff or "Nobody", f" at {location}" if location else ""
    offers = "does not offer" if staff else "offers"
    return InvalidRequest("NOT_OFFERED", f"{who} {offers} {service}{where}.")


def _slots(ranges: Multirange[datetime] | None) -> list[Slot]:
    return [Slot(each.lower, each.upper) for each in ranges or () if each.lower and each.upper]
