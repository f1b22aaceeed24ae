"""The rules as they are stored, and what is remembered of them.

Rules change seldom, and the database keeps a version of those that the booking of a service with a
staff member depends on (`schema.offering`). They are read together with it, and every booking is
stored on the condition that it is the same: a change that the booking's transaction can see can't
be overlooked, whoever made it. Where it differs nothing is stored, what was known of these rules is
forgotten, and the request is tried again.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any

from psycopg.types.multirange import Multirange
from sqlalchemy import Engine

from booking_core.calendar.dates import place_of
from booking_core.calendar.rules import Calendar, Hours, Service
from booking_core.database.session import Session
from booking_core.invalid import InvalidRequest
from booking_core.requests import Request, Wish
from booking_core.slots import TICK, Slot

MOST_CALENDARS = 20_000  # that are kept; a few kilobytes each

Rules = tuple[Service, Calendar]

# A length comes as a number, whatever style a session writes intervals in.
_LENGTHS = "duration", "buffer_after", "grid", "buffer_before", "minimum_notice", "horizon"
_MICROSECONDS = "CAST(coalesce(date_part('epoch', {}), 0) * 1000000 AS bigint)"

RULES = f"""
    SELECT coalesce(service.id, 0), service.name, grid_from_opening,
           staff.id, staff.name, time_zone,
           (SELECT jsonb_agg(jsonb_build_array(first, kind, starts, ends, last, weeks))
              FROM (SELECT date '0001-01-01' + weekday AS first, kind, starts, ends,
                           CAST(NULL AS date) AS last, 1 AS weeks
                      FROM working_hours WHERE staff_id = staff.id
                     UNION ALL
                    SELECT first, kind, starts, ends, last, weeks
                      FROM other_hours WHERE staff_id = staff.id) AS hours),
           (SELECT range_agg(during)
              FROM time_off WHERE staff_id = staff.id AND upper(during) > %(since)s),
           (SELECT range_agg(during)
              FROM closure WHERE location_id = location.id AND upper(during) > %(since)s),
           {", ".join(map(_MICROSECONDS.format, _LENGTHS))},
           location.id, notice_days, horizon_days, version
      FROM staff
      JOIN location ON location.id = staff.location_id
      LEFT JOIN (offering JOIN service ON service.id = service_id)
        ON offering.staff_id = staff.id AND offering.service_id = %(service_id)s::integer
     WHERE staff.id = ANY(%(staff_ids)s::integer[])"""  # noqa: S608 - what is put together is ours
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
            InvalidRequest: `UNKNOWN_SERVICE`, `UNKNOWN_STAFF` or `NOT_OFFERED`.
            BookingError: They can't be read now.
        """
        known = self._known.get((service_id, staff_id))
        known = known or self._read_anew(service_id, [staff_id]).get(staff_id)
        if known is None:
            raise self.not_offered(service_id, staff_id)
        return known

    def request(self, wish: Wish, staff_id: int) -> Request:
        """Return the request for a staff member, if the rules allow what is wanted.

        Raises:
            InvalidRequest: They don't, or there is nobody or nothing of that kind.
        """
        known = (wish.service_id, staff_id) in self._known
        service, calendar = self.rules(wish.service_id, staff_id)
        service = service.as_booked(wish.moves)
        slot = Slot(wish.start, wish.end) if wish.end else service.slot(wish.start)
        try:
            if wish.location_id not in {None, calendar.location_id}:
                raise self.not_offered(wish.service_id, staff_id, wish.location_id)
            calendar.check(service, slot, self._clock())
        except InvalidRequest:
            if not known:
                raise
            # Perhaps the rules have changed since they were read; nobody is refused by old ones.
            self.forget(wish.service_id, staff_id)
            return self.request(wish, staff_id)
        return Request(
            **vars(wish),
            staff_id=staff_id,
            slot=slot,
            blocked=service.blocked(slot.start),
            rules_version=calendar.version,
        )

    def team(self, service_id: int, versions: Mapping[int, int]) -> dict[int, Rules]:
        """Return the rules for a service and several staff members, by their ids.

        Args:
            service_id: Which service.
            versions: Of their rules, as they are now.
        """
        known = {who: self._known.get((service_id, who)) for who in versions}
        rules = {who: it for who, it in known.items() if it and it[1].version == versions[who]}
        old = [who for who in versions if who not in rules]
        return rules | self._read_anew(service_id, old) if old else rules

    def _read_anew(self, service_id: int, staff_ids: Sequence[int]) -> dict[int, Rules]:
        """Read the rules for a service and those who offer it, and remember them."""
        read = {it[1].staff_id: it for it in self.read(staff_ids, service_id) if it[0].id}
        if len(self._known) >= MOST_CALENDARS:
            self._known = {}
        self._known |= {(service_id, who): each for who, each in read.items()}
        return read

    def read(self, staff_ids: Sequence[int], service_id: int | None = None) -> Iterator[Rules]:
        """Read the calendars of staff members, and a service, without an id if not offered."""
        # What had ended by now matters no more.
        asked = {"staff_ids": staff_ids, "service_id": service_id, "since": self._clock()}
        with Session(self._engine, "AUTOCOMMIT", reads_only=True) as session:
            rows = session.run(RULES, asked)
        for offered, name, from_opening, who, staff, zone, hours, off, closed, *rest in rows:
            lasts, after, grid, before, notice, horizon, *others = rest
            service = (lasts * TICK, after * TICK, grid * TICK, before * TICK, from_opening)
            rules = place_of(zone), notice * TICK, horizon * TICK, tuple(map(_hours, hours or ()))
            calendar = Calendar(who, staff, *rules, _slots(off), _slots(closed), *others)
            yield Service(offered, name, *service), calendar

    def not_offered(
        self, service_id: int, staff_id: int | None = None, location_id: int | None = None
    ) -> InvalidRequest:
        """Return why a service is not offered: by a staff member, at a location, or at all."""
        asked = {"service_id": service_id, "staff_id": staff_id, "location_id": location_id}
        with Session(self._engine, "AUTOCOMMIT", reads_only=True) as session:
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

    def forget(self, service_id: int | None = None, staff_id: int | None = None) -> None:
        """Read the rules for a service and a staff member anew when they are asked for, or all."""
        if service_id is None or staff_id is None:
            self._known = {}
        else:
            self._known.pop((service_id, staff_id), None)


def _hours(row: Sequence[Any]) -> Hours:
    first, kind, starts, ends, last, weeks = row
    wall = time.fromisoformat(starts), time.fromisoformat(ends)
    until = date.fromisoformat(last) if last else date.max
    return Hours(date.fromisoformat(first), kind, *wall, until, weeks)


def _slots(ranges: Multirange[datetime] | None) -> list[Slot]:
    return [Slot(each.lower, each.upper) for each in ranges or () if each.lower and each.upper]
