"""What is free, what to offer when a slot is lost, and who could take one.

    starts that the rules allow (`Calendar.starts`) - starts that appointments keep anybody from

The rules are remembered; the database is asked, in one query for any number of staff members and
days, what is booked, and whether the rules are still the same. No lock is held meanwhile, and
nothing keeps the answer true. Whoever books finds out.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from heapq import nsmallest
from typing import Any
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from booking_core.calendar.dates import check_dates
from booking_core.calendar.grid import Busy, without
from booking_core.calendar.rulebook import Rulebook
from booking_core.calendar.rules import Calendar, Service
from booking_core.database.session import Session
from booking_core.invalid import InvalidRequest
from booking_core.requests import Appointment, check_id, shortened
from booking_core.slots import (
    DAY,
    EPOCH,
    SECOND,
    TICK,
    FreeSlot,
    FreeTime,
    in_utc,
    instant,
    seconds,
)

ENOUGH = 5
MOST_DAYS = 400  # that are listed at a time
MOST_REFUSED = 1_000  # slots that a client can turn down
HALF_A_DAY = timedelta(hours=12)
MICROSECONDS = SECOND // TICK
# How far from a lost slot others are looked for; farther where there are too few.
RINGS = (HALF_A_DAY / 2, 8 * DAY, 32 * DAY, 128 * DAY, 400 * DAY)

# A plan that is kept must not read a whole table because that was empty when it was made.
SETTINGS = """
    SELECT set_config('jit', 'off', true), set_config('enable_seqscan', 'off', true),
           set_config('plan_cache_mode', 'force_generic_plan', true)
"""
# For those who offer a service, all of them or one, everywhere or at one location (null stands for
# all): the version of their rules, and what is blocked that matters for starts between two
# instants, in microseconds since 1970 and in order.
#
# coalesce hides the conditions from the planner, who would expect them to leave next to nobody, and
# plan for that. Lengths are taken in seconds: an interval of a day would be added by the calendar
# of the session's time zone, in which one has 23 hours a year. Nothing is asked for that the index
# on (staff_id, blocked) does not hold, so the heap is not visited.
BLOCKED = """
    SELECT staff.id, version, since, until
      FROM service
      JOIN offering ON offering.service_id = service.id
      JOIN staff ON staff.id = offering.staff_id
     CROSS JOIN LATERAL (
        SELECT array_agg((date_part('epoch', lower(blocked)) * 1000000)::bigint ORDER BY blocked),
               array_agg((date_part('epoch', upper(blocked)) * 1000000)::bigint ORDER BY blocked)
          FROM appointment
         WHERE appointment.staff_id = staff.id AND status = 'confirmed'
           AND blocked && tstzrange(
               %(earliest)s::timestamptz - make_interval(secs => date_part('epoch', buffer_before)),
               %(latest)s::timestamptz + make_interval(secs => date_part('epoch', buffer_after)
                   + coalesce(%(lasts)s::double precision, date_part('epoch', duration))))
        ) AS booked (since, until)
     WHERE service.id = %(service_id)s::integer
       AND coalesce(staff.id = %(staff_id)s::integer, true)
       AND coalesce(staff.location_id = %(location_id)s::integer, true)"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A staff member who offers a service, at one start.

    Attributes:
        refusal: Why the rules don't allow it, where they don't.
        taken: Whether an appointment is in the way.
        load: How many seconds appointments block that touch the half days before and after.
    """

    staff_id: int
    refusal: InvalidRequest | None
    taken: bool
    load: int


class Availability:
    """Asks the database what is free; may be shared by threads.

    Args:
        engine: Where the salon's database is.
        clock: Tells the present instant, from which minimum notice and horizon count.
    """

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock
        self._rulebook = Rulebook(engine, clock)

    def free_slots(
        self, service_id: int, day: date, staff_id: int | None = None, *, last: date | None = None
    ) -> list[FreeSlot]:
        """Return the slots of a day that can be booked now, in order.

        Args:
            service_id: Which service.
            day: The date on the wall where the staff member works.
            staff_id: Whose slots alone; those of all who offer the service if left out.
            last: The last day, where more than one is wanted.

        Raises:
            InvalidRequest: As `free_time`.
        """
        times = self.free_time(service_id, day, last or day, staff_id=staff_id)
        found = [slot for time in times for slot in time.slots()]
        return sorted(found, key=lambda free: (free.slot.start, free.staff, free.staff_id))

    def free_time(
        self,
        service_id: int,
        first: date,
        last: date,
        *,
        staff_id: int | None = None,
        location_id: int | None = None,
    ) -> list[FreeTime]:
        """Return when a service can start, for each staff member who offers it, by name.

        The same as `free_slots`, and lighter where many days or staff members are listed.

        Args:
            service_id: Which service.
            first: The first day, a date on the wall where the staff member works.
            last: The last day; at most 400 days are listed at a time.
            staff_id: Whose time alone; that of all who offer the service if left out.
            location_id: Where; everywhere if left out.

        Raises:
            InvalidRequest: `UNKNOWN_SERVICE`, `UNKNOWN_STAFF`, `UNKNOWN_LOCATION`, `NOT_OFFERED`,
                `NOT_A_DATE`, `OUT_OF_RANGE`, `END_BEFORE_START` or `TOO_MANY_DAYS`.
        """
        check_dates(first, last)
        if (count := (last - first).days + 1) > MOST_DAYS:
            raise InvalidRequest("TOO_MANY_DAYS", f"{count} days; list at most {MOST_DAYS}.")

        def days(zone: ZoneInfo) -> tuple[datetime, datetime]:
            return instant(first, time(), zone), instant(last + DAY, time(), zone) - TICK

        begins, ends = (datetime.combine(day, time(), UTC) for day in (first, last))
        whose = team(service_id, staff_id, location_id)
        return list(self._free(whose, begins - DAY, ends + 2 * DAY, days))

    def alternatives(  # noqa: PLR0913 - what a lost slot is, and what is wanted instead
        self,
        service_id: int,
        start: datetime,
        time_zone: str,
        *,
        staff_id: int = 0,
        location_id: int | None = None,
        moves: Appointment | None = None,
        refused: Iterable[FreeSlot] = (),
        limit: int = ENOUGH,
    ) -> list[FreeSlot]:
        """Return free slots instead of a lost one, the best first.

        Nearest in time first; at equal distance the same staff member before others, earlier
        before later, then by name. From the morning of the wanted day on: the same day and the
        following week where they hold enough, later ones where they don't.

        Args:
            service_id: Which service.
            start: When it was to start.
            time_zone: On whose wall the wanted day begins, an IANA name.
            staff_id: With whom, if with somebody.
            location_id: Where; everywhere if left out.
            moves: The appointment that is to be moved: it is not in its own way, and where it is
                now is no alternative.
            refused: Slots that the client does not want either.
            limit: How many are wanted.

        Raises:
            InvalidRequest: `BAD_REFUSAL` where something is refused that can't have been offered.
        """
        start, place = in_utc(start), ZoneInfo(time_zone)
        wanted = (start - EPOCH) / SECOND
        morning = instant(start.astimezone(place).date(), time(), place)
        unwanted = {(each.staff_id, seconds(each.slot.start)) for each in check_refused(refused)}
        unwanted |= {(moves.staff_id, seconds(moves.slot.start))} if moves else set()
        whose = team(service_id, None, location_id)
        best: list[tuple[float, bool, int, str, int, FreeTime]] = []
        inside = -1.0
        for outside in RINGS:
            free = self._free(whose, max(morning, start - outside), start + outside, moves=moves)
            best += nsmallest(
                limit - len(best),
                (
                    (abs(at - wanted), it.staff_id != staff_id, at, it.staff, it.staff_id, it)
                    for it in free
                    for run in it.runs
                    for at in run
                    if abs(at - wanted) > inside and (it.staff_id, at) not in unwanted
                ),
            )
            if len(best) == limit:
                break
            inside = outside / SECOND
        return [it.slot(at) for _, _, at, _, _, it in best]

    def candidates(
        self,
        service_id: int,
        start: datetime,
        location_id: int | None = None,
        moves: Appointment | None = None,
    ) -> list[Candidate]:
        """Return who offers a service, and whether they could take a start, by name.

        Args:
            service_id: Which service.
            start: When it is to start, an aware datetime.
            location_id: Where; everywhere if left out.
            moves: The appointment that is to be moved: it is not in its own way.

        Raises:
            InvalidRequest: `UNKNOWN_SERVICE`, `UNKNOWN_LOCATION` or `NOT_OFFERED`.
        """
        start, now = in_utc(start), in_utc(self._clock())
        at = seconds(start)
        whose = team(service_id, None, location_id)
        return [
            Candidate(
                calendar.staff_id,
                calendar.refusal(service, service.slot(start), now),
                any(since < at < until for since, until in busy),
                sum(until - since - service.blocks // SECOND for since, until in busy),
            )
            for service, calendar, busy in self._team(
                whose, start - HALF_A_DAY, start + HALF_A_DAY, moves
            )
        ]

    def _free(
        self,
        whose: dict[str, Any],
        earliest: datetime,
        latest: datetime,
        days: Callable[[ZoneInfo], tuple[datetime, datetime]] | None = None,
        moves: Appointment | None = None,
    ) -> Iterator[FreeTime]:
        """Yield for each of a team when they are free in a window, or on days in it."""
        now = in_utc(self._clock())
        for service, calendar, busy in self._team(whose, earliest, latest, moves):
            window = days(calendar.zone) if days else (earliest, latest)
            runs = tuple(without(calendar.starts(service, *window, now), busy))
            zone = calendar.zone.key
            yield FreeTime(calendar.staff_id, calendar.staff, zone, service.duration, runs)

    def _team(
        self, whose: dict[str, Any], earliest: datetime, latest: datetime, moves: Appointment | None
    ) -> Iterator[tuple[Service, Calendar, list[Busy]]]:
        """Yield for each of a team the rules and what keeps from starting in a window, by name."""
        lasts = (moves.slot.end - moves.slot.start) / SECOND if moves else None
        asked = {**whose, "earliest": earliest, "latest": latest, "lasts": lasts}
        with Session(self._engine, "READ COMMITTED", reads_only=True) as session:
            session.send(SETTINGS)
            rows = session.run(BLOCKED, asked, last=True)
        if not rows:
            raise self._rulebook.not_offered(**whose)
        booked = {who: zip(since or (), until or (), strict=True) for who, _, since, until in rows}
        versions = {who: version for who, version, _, _ in rows}
        rules = self._rulebook.team(whose["service_id"], versions).values()
        for service, calendar in sorted(rules, key=lambda each: (each[1].staff, each[1].staff_id)):
            own = moves if moves and moves.staff_id == calendar.staff_id else None
            service = service.as_booked(moves)  # noqa: PLW2901 - the same, with its own length
            yield service, calendar, list(_busy(service, booked[calendar.staff_id], own))


def _busy(
    service: Service, booked: Iterable[tuple[int, int]], moves: Appointment | None
) -> Iterator[Busy]:
    """Yield between which seconds a service can't start, in order.

    Args:
        service: Which.
        booked: What is blocked, in microseconds.
        moves: An appointment of these that is to be moved: it is not in its own way.
    """
    own = ((moves.slot.start - EPOCH) // TICK, (moves.slot.end - EPOCH) // TICK) if moves else None
    sets_up = service.buffer_before // TICK
    blocks = service.blocks // TICK - sets_up
    for since, until in booked:
        if not (own and since <= own[0] and own[1] <= until):
            yield (since - blocks) // MICROSECONDS, -(-(until + sets_up) // MICROSECONDS)


def team(service_id: int, staff_id: int | None, location_id: int | None) -> dict[str, Any]:
    """Return whom a question is about, if there can be anybody of that kind."""
    if staff_id is not None:
        check_id(staff_id, "UNKNOWN_STAFF", "staff member")
    if location_id is not None:
        check_id(location_id, "UNKNOWN_LOCATION", "location")
    check_id(service_id, "UNKNOWN_SERVICE", "service")
    return {"service_id": service_id, "staff_id": staff_id, "location_id": location_id}


def check_refused(refused: Iterable[FreeSlot]) -> tuple[FreeSlot, ...]:
    """Return what a client has turned down.

    Raises:
        InvalidRequest: `BAD_REFUSAL` where one of them can't have been offered, or they are too
            many.
    """
    if refused is None or isinstance(refused, str):
        raise InvalidRequest("BAD_REFUSAL", f"{refused!r} is no list of free slots.")
    slots = tuple(refused)
    if len(slots) > MOST_REFUSED:
        raise InvalidRequest("BAD_REFUSAL", f"More than {MOST_REFUSED} slots can't be turned down.")
    for each in slots:
        if not isinstance(each, FreeSlot):
            raise InvalidRequest("BAD_REFUSAL", f"{shortened(each)} was never offered.")
        check_id(each.staff_id, "BAD_REFUSAL", "staff member")
    return slots
