"""What is free, what to offer when a slot is lost, and who could take one.

Each question is one query, whatever the number of staff and days (`free_time`, `nearest`); no lock
is held meanwhile, and nothing keeps the answer true. Whoever books finds out.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import repeat
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from booking_core import free_time
from booking_core.alternatives import FARTHEST, Alternatives, Key, Lost
from booking_core.calendars import DAY
from booking_core.errors import InvalidRequest
from booking_core.failures import transaction
from booking_core.free_slots import FreeSlot, FreeTime, check_refused
from booking_core.requests import check_id
from booking_core.rulebook import not_offered
from booking_core.session import Session
from booking_core.slots import EPOCH, Slot, in_utc, instant, seconds
from booking_core.zones import clocks, place_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from sqlalchemy import Engine

    from booking_core.requests import Appointment
    from booking_core.wire import Rows

ENOUGH = 5
MOST_DAYS = 400  # that are listed at a time
EPOCH_DAY = EPOCH.toordinal()
NO_BRACES = str.maketrans("", "", "{}")

# A query for free time is long, and its cost looks high: PostgreSQL would compile it for longer
# than it takes to run, and plan it anew each time. A plan that is kept must not read a whole table
# because that was empty when it was made.
SETTINGS = """
    SELECT set_config('jit', 'off', true), set_config('enable_seqscan', 'off', true),
           set_config('plan_cache_mode', 'force_generic_plan', true)
"""

TEAMS = (free_time.EVERYBODY, free_time.THERE)
WHOSE = (*TEAMS, free_time.ONE, free_time.ONE + free_time.THERE)
RUNS = {whose: free_time.runs(whose) for whose in WHOSE}
CANDIDATES = {whose: free_time.candidates(whose) for whose in TEAMS}


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
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._clock = clock
        self._zones = {"UTC"}  # in which staff members have been met
        self._alternatives = Alternatives(self._ask)

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
        whose, who = _whose(staff_id, location_id)
        days = {
            "first_day": first.toordinal() - EPOCH_DAY,
            "last_day": last.toordinal() - EPOCH_DAY,
        }

        def window(zones: Iterable[str]) -> Slot:
            return _widest(first, last, zones)

        rows = self._ask_everybody(RUNS[whose], window, _service(service_id) | who | days)
        if not rows:
            raise self._nobody(service_id, staff_id, location_id)
        return [_free_time(*row) for row in rows]

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
        version: int | None = None,
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
            version: Of the rules, if it is known. What is remembered under another one is worth
                nothing; the answer is the same in any case, and quicker where they agree.

        Raises:
            InvalidRequest: `BAD_REFUSAL` where something is refused that can't have been offered.
        """
        start = in_utc(start)
        place = ZoneInfo(time_zone)
        morning = instant(start.astimezone(place).date(), time(), place)
        _, where = _whose(None, location_id)
        unwanted = [(moves.staff_id, moves.slot.start)] if moves else []
        unwanted.extend((each.staff_id, each.slot.start) for each in check_refused(refused))
        turned_down = {(who, seconds(at)) for who, at in unwanted}
        self._zones.add(time_zone)
        zones = self._zones.copy()  # all of them: a location may have moved to another one
        others = _service(service_id) | {
            "location_id": None,  # anywhere
            **where,
            "moved_id": moves.id if moves else None,
            **_window(Slot(morning, start + FARTHEST), zones),
        }
        # Zones are only ever added, so that their number tells which they were.
        day = Key(service_id, location_id, morning, len(zones))
        now = in_utc(self._clock())
        lost = Lost(day, start, staff_id, now, version, turned_down, limit, others)
        return self._alternatives.to(lost)

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
        whose, where = _whose(None, location_id)
        wanted = in_utc(start)
        rows = self._ask_everybody(
            CANDIDATES[whose],
            lambda _: Slot(wanted, wanted + DAY),
            _service(service_id) | where | {"wanted": wanted},
        )
        if not rows:
            raise self._nobody(service_id, None, location_id)
        return [
            Candidate(staff_id, allowed, taken_by, timedelta(seconds=load), version)
            for _, staff_id, allowed, taken_by, load, version in rows
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
            new = {row[0] for row in rows} - known
            if not new:
                return rows
            for zone in new:
                place_of(zone)
            self._zones |= new  # once more: without its clock, nothing was found there

    def _ask(self, query: str, asked: dict[str, object]) -> Rows:
        with Session(self._engine, "AUTOCOMMIT", reads_only=True) as session:
            session.send(SETTINGS)
            return session.run(query, asked)

    def _nobody(
        self, service_id: int, staff_id: int | None, location_id: int | None
    ) -> InvalidRequest:
        with transaction(self._reading, reads_only=True) as connection:
            return not_offered(connection, service_id, staff_id, location_id)


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


def _service(service_id: int) -> dict[str, object]:
    return {"service_id": check_id(service_id, "UNKNOWN_SERVICE", "service")}


def _whose(staff_id: int | None, location_id: int | None) -> tuple[str, dict[str, object]]:
    """Return the condition and its parameters."""
    whose = free_time.EVERYBODY
    who: dict[str, object] = {}
    if staff_id is not None:
        whose += free_time.ONE
        who["staff_id"] = check_id(staff_id, "UNKNOWN_STAFF", "staff member")
    if location_id is not None:
        whose += free_time.THERE
        who["location_id"] = check_id(location_id, "UNKNOWN_LOCATION", "location")
    return whose, who


def _free_time(  # noqa: PLR0913, PLR0917 - as many columns
    time_zone: str, staff_id: int, staff: str, duration: int, step: int, written: str | None
) -> FreeTime:
    """Return what a row of `free_time.runs` says."""
    # Runs are disjoint, so their bounds can be put in order one by one.
    bounds = sorted(map(int, written.translate(NO_BRACES).split(","))) if written else []
    runs = tuple(map(range, bounds[::2], bounds[1::2], repeat(step)))
    return FreeTime(staff_id, staff, time_zone, timedelta(microseconds=duration), runs)
