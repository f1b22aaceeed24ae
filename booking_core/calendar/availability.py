"""What is free, what to offer when a slot is lost, and who could take one.

Each question is one query (`free_time`), whatever the number of staff and days; no lock is held
meanwhile, and nothing keeps the answer true. Whoever books finds out.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo

from sqlalchemy import Engine

from booking_core.calendar import free_time
from booking_core.calendar.rulebook import not_offered
from booking_core.calendar.rules import DAY
from booking_core.calendar.zones import clocks, place_of
from booking_core.database.session import Session
from booking_core.database.wire import Rows
from booking_core.invalid import InvalidRequest
from booking_core.requests import Appointment, check_id, shortened
from booking_core.slots import EPOCH, TICK, FreeSlot, FreeTime, Slot, in_utc, instant, seconds

ENOUGH = 5
MOST_DAYS = 400  # that are listed at a time
MOST_REFUSED = 1_000  # slots that a client can turn down
EPOCH_DAY = EPOCH.toordinal()

# A query for free time is long, and its cost looks high: PostgreSQL would compile it for longer
# than it takes to run, and plan it anew each time. A plan that is kept must not read a whole table
# because that was empty when it was made.
SETTINGS = """
    SELECT set_config('jit', 'off', true), set_config('enable_seqscan', 'off', true),
           set_config('plan_cache_mode', 'force_generic_plan', true)
"""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A staff member who offers a service, at one start.

    Attributes:
        allowed: Whether the rules allow it.
        taken_by: The id of an appointment that is in the way, if there is one.
        load: How long the appointments are that block some of the twelve hours before and after.
        version: Of the rules, as the rulebook counted when they were asked.
    """

    staff_id: int
    allowed: bool
    taken_by: int | None
    load: timedelta
    version: int


class Availability:
    """Asks the database what is free; may be shared by threads.

    Args:
        engine: Where the salon's database is.
        clock: Tells the present instant, from which minimum notice and horizon count.
    """

    def __init__(self, engine: Engine, clock: Callable[[], datetime]) -> None:
        self._engine = engine
        self._clock = clock
        self._zones = {"UTC"}  # in which staff members have been met

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
        _check_days(first, last)
        days = {
            "first_day": first.toordinal() - EPOCH_DAY,
            "last_day": last.toordinal() - EPOCH_DAY,
        }
        rows = self._ask_everybody(
            free_time.RUNS,
            lambda zones: _widest(first, last, zones),
            days | team(service_id, staff_id, location_id),
        )
        if not rows:
            raise not_offered(self._engine, service_id, staff_id, location_id)
        return [
            FreeTime(
                who,
                name,
                zone,
                lasts * TICK,
                tuple(range(first, stop, step) for first, stop in sorted(runs or ())),
            )
            for zone, who, name, lasts, step, runs in rows
        ]

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
            location_id: Where, in the same time zone; wherever locations have been met if left out.
            moves: The appointment that is to be moved: it is not in its own way, and where it is
                now is no alternative.
            refused: Slots that the client does not want either.
            limit: How many are wanted.

        Raises:
            InvalidRequest: `BAD_REFUSAL` where something is refused that can't have been offered.
        """
        start = in_utc(start)
        place = ZoneInfo(time_zone)
        morning = instant(start.astimezone(place).date(), time(), place)
        unwanted = [(each.staff_id, each.slot.start) for each in check_refused(refused)]
        unwanted += [(moves.staff_id, moves.slot.start)] if moves else []
        self._zones.add(time_zone)
        asked = {
            "now": in_utc(self._clock()),
            "wanted": start,
            "preferred": staff_id,
            "moved_id": moves.id if moves else None,
            "refused_staff": [who for who, _ in unwanted],
            "refused_starts": [seconds(at) for _, at in unwanted],
            "limit": limit,
            **team(service_id, None, location_id),
            # All zones: a location may have moved to another one.
            **_window(Slot(morning, start + free_time.FARTHEST * DAY), self._zones.copy()),
        }
        return [
            FreeSlot.starting(at, lasts * TICK, who, name, zone)
            for zone, who, name, lasts, at in self._ask(free_time.NEAREST, asked)
        ]

    def candidates(
        self, service_id: int, start: datetime, location_id: int | None = None
    ) -> list[Candidate]:
        """Return who offers a service, and whether they could take a start, by name.

        Args:
            service_id: Which service.
            start: When it is to start, an aware datetime.
            location_id: Where; everywhere if left out.

        Raises:
            InvalidRequest: `UNKNOWN_SERVICE`, `UNKNOWN_LOCATION` or `NOT_OFFERED`.
        """
        wanted = in_utc(start)
        rows = self._ask_everybody(
            free_time.CANDIDATES,
            lambda _: Slot(wanted, wanted + DAY),
            {"wanted": wanted, **team(service_id, None, location_id)},
        )
        if not rows:
            raise not_offered(self._engine, service_id, None, location_id)
        return [
            Candidate(who, allowed, taken_by, timedelta(seconds=load), version)
            for _, who, allowed, taken_by, load, version in rows
        ]

    def _ask_everybody(
        self, query: str, window: Callable[[Iterable[str]], Slot], asked: dict[str, object]
    ) -> Rows:
        """Ask a query that has a row for each staff member, with the time zone in front.

        Args:
            query: The query.
            window: Returns the instants that matter, from the time zones.
            asked: Its other parameters.
        """
        while True:
            known = frozenset(self._zones)
            now = {"now": in_utc(self._clock())}
            rows = self._ask(query, asked | now | _window(window(known), known))
            new = {place_of(zone).key for zone, *_ in rows} - known
            if not new:
                return rows
            self._zones |= new  # once more: without its clock, nothing was found there

    def _ask(self, query: str, asked: dict[str, object]) -> Rows:
        with Session(self._engine, "READ COMMITTED", reads_only=True) as session:
            session.send(SETTINGS)
            return session.run(query, asked, last=True)


def team(service_id: int, staff_id: int | None, location_id: int | None) -> dict[str, object]:
    """Return the parameters that say whom a query is about; None stands for all."""
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


def _check_days(first: date, last: date) -> None:
    for day in (first, last):
        if not isinstance(day, date) or isinstance(day, datetime):
            raise InvalidRequest("NOT_A_DATE", f"{day!r} is not a date.")
        in_utc(datetime.combine(day, time(), UTC))
    count = (last - first).days + 1
    if count < 1:
        raise InvalidRequest("END_BEFORE_START", f"The last day, {last}, is before {first}.")
    if count > MOST_DAYS:
        raise InvalidRequest(
            "TOO_MANY_DAYS",
            f"From {first} to {last} it is {count} days; {MOST_DAYS} can be listed at a time.",
        )


def _widest(first: date, last: date, zones: Iterable[str]) -> Slot:
    """Return the instants that are one of these days somewhere."""
    places = [ZoneInfo(zone) for zone in zones]
    return Slot(
        min(instant(first, time(), place) for place in places),
        max(instant(last + DAY, time(), place) for place in places),
    )


def _window(window: Slot, zones: Iterable[str]) -> dict[str, object]:
    """Return the parameters that tell a query of a window and its clocks."""
    return {"earliest": window.start, "latest": window.end, **clocks(zones, window)}
