"""A staff member's calendar: the rules of what may be booked.

A slot may be booked when it lies wholly inside the working hours (shifts less breaks, less time
off, less the days on which the location is closed), starts on the service's grid, is neither too
soon (minimum notice) nor too far away (horizon), and when what it blocks, that is the set-up
before it, the slot and the buffer after it, overlaps nothing that another appointment blocks.
Buffers are time between appointments; they may reach out of a shift or into a break.

`Calendar.starts` says when a service may begin. Whoever lists takes all of them, whoever books asks
whether one is among them, so what is offered can be booked and what can't isn't offered. Whether
somebody else was faster is for the strategy to say.

Hours belong to the date on which they begin. More hours never take a start away, and a break never
opens one: each shift is cut by its own breaks alone, and a wall clock that jumps leaves out what it
jumps over (`slots.instant`).
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple, Self
from zoneinfo import ZoneInfo

from booking_core.calendar.grid import from_midnight, from_opening
from booking_core.invalid import InvalidRequest
from booking_core.requests import Appointment
from booking_core.slots import DAY, SECOND, TICK, Slot, in_utc, instant, merge, seconds, subtract

A_MONDAY = date(1, 1, 1)


class Hours(NamedTuple):
    """A shift or a break on the wall clock of the location, once or again and again.

    It holds on the date `first` and every so many `weeks` after it, until `last`. Where several
    hold on one date, those do that began last, and of these those that end first; so what is said
    of one date or of a season stands above the weekly hours, which began long ago.

    Attributes:
        kind: "shift", "break", or "closed" where there is none of them.
        starts: When it begins.
        ends: When it ends, on the next date where that is not later; a break that ends when it
            begins is none.
    """

    first: date
    kind: str
    starts: time
    ends: time
    last: date = date.max
    weeks: int = 1

    @classmethod
    def weekly(cls, weekday: int, kind: str, starts: time, ends: time) -> Self:
        """Return what holds every week; Monday is 0."""
        return cls(A_MONDAY + weekday * DAY, kind, starts, ends)

    @property
    def overnight(self) -> bool:
        """Whether it ends on the next date."""
        return self.ends < self.starts or (self.ends == self.starts and self.kind == "shift")

    def on(self, day: date, zone: ZoneInfo) -> list[Slot]:
        """Return its instants, where it begins on a date; none where it is empty."""
        start = instant(day, self.starts, zone)
        end = instant(day + self.overnight * DAY, self.ends, zone)
        return [Slot(start, end)] if start < end else []


def _in_force(hours: Sequence[Hours], day: date) -> list[Hours]:
    """Return the hours that hold on a date."""
    held = [
        each
        for each in hours
        if each.first <= day <= each.last and (day - each.first).days % (7 * each.weeks) == 0
    ]
    above = max(((each.first, date.max - each.last) for each in held), default=None)
    return [each for each in held if (each.first, date.max - each.last) == above]


# People share their hours, and the same dates are asked for again and again.
@lru_cache(maxsize=2_000)
def shifts(
    hours: tuple[Hours, ...], zone: ZoneInfo, first: date, last: date
) -> tuple[tuple[Slot, Sequence[Slot]], ...]:
    """Return the shifts that may touch these days, each with what its breaks leave of it.

    A break after midnight may be filed under the date on which it is, or under the one on which
    the night shift begins in which it lies.
    """
    days = [first + number * DAY for number in range(-2, (last - first).days + 2)]
    held = {day: _in_force(hours, day) for day in days}
    breaks = {day: [each for each in rows if each.kind == "break"] for day, rows in held.items()}
    pauses = {
        day: [it for each in rows for it in each.on(day, zone)] for day, rows in breaks.items()
    }
    found = []
    for before, day, after in zip(days, days[1:], days[2:], strict=False):
        for shift in held[day]:
            if shift.kind == "shift":
                around = pauses[before] + pauses[day] + pauses[after]
                if shift.overnight:
                    around += [late for each in breaks[day] for late in each.on(after, zone)]
                found += [(it, subtract([it], around)) for it in shift.on(day, zone)]
    return tuple(found)


@lru_cache(maxsize=2_000)
def working(hours: tuple[Hours, ...], zone: ZoneInfo, first: date, last: date) -> tuple[Slot, ...]:
    """Return the shifts less the breaks around these days, disjoint and in order."""
    return tuple(merge(part for _, left in shifts(hours, zone, first, last) for part in left))


@dataclass(frozen=True, slots=True)
class Service:
    """What is booked.

    Attributes:
        duration: Of what the client is promised.
        buffer_after: How long nothing else may be booked after it.
        grid: The distance between possible starts.
        buffer_before: How long nothing else may be booked before it, for setting up.
        grid_from_opening: Whether the grid counts from the beginning of the shift, instead of from
            midnight on the wall.
    """

    id: int
    name: str
    duration: timedelta
    buffer_after: timedelta
    grid: timedelta
    buffer_before: timedelta = timedelta()
    grid_from_opening: bool = False

    def as_booked(self, moves: Appointment | None) -> Self:
        """Return the service as it is for an appointment that is moved: it keeps its length."""
        return replace(self, duration=moves.slot.end - moves.slot.start) if moves else self

    @property
    def blocks(self) -> timedelta:
        """How long must be free: as long as it takes, and its buffers."""
        return self.buffer_before + self.duration + self.buffer_after

    def slot(self, start: datetime) -> Slot:
        """Return what the client is promised."""
        return Slot(start, start + self.duration)

    def blocked(self, start: datetime) -> Slot:
        """Return what must be free: the slot and its buffers."""
        begins = start - self.buffer_before
        return Slot(begins, begins + self.blocks)


@dataclass(frozen=True, slots=True)
class Calendar:
    """One staff member's rules.

    Attributes:
        location_id: Where they work.
        minimum_notice: How long before its start a slot can last be booked.
        horizon: How far ahead a slot can be booked.
        hours: Shifts and breaks.
        off: Time off.
        closed: When the location is closed.
        notice_days: In place of the notice, how many dates must begin before a slot's.
        horizon_days: In place of the horizon, how many dates after today's can be booked.
        version: Of these rules and of the service with which they were read.
    """

    staff_id: int
    staff: str
    zone: ZoneInfo
    minimum_notice: timedelta
    horizon: timedelta
    hours: tuple[Hours, ...]
    off: Sequence[Slot] = ()
    closed: Sequence[Slot] = ()
    location_id: int = 0
    notice_days: int | None = None
    horizon_days: int | None = None
    version: int = 0

    def open(self, earliest: datetime, latest: datetime) -> Sequence[Slot]:
        """Return the working hours around a window, less time off and closed days."""
        days = working(self.hours, self.zone, *self._days(earliest, latest))
        return subtract(days, [*self.off, *self.closed]) if self.off or self.closed else days

    def covers(self, slot: Slot) -> bool:
        """Whether the slot lies wholly inside the open hours."""
        return any(piece.contains(slot) for piece in self.open(slot.start, slot.end))

    def bookable(self, now: datetime) -> tuple[datetime, datetime]:
        """Return the first and the last instant at which something may start."""
        first, last = now + self.minimum_notice, now + self.horizon
        if self.notice_days is not None:
            first = max(now, self._midnight(now, self.notice_days))
        if self.horizon_days is not None:
            last = self._midnight(now, self.horizon_days + 1) - TICK
        return first, last

    def _midnight(self, now: datetime, days: int) -> datetime:
        return instant(now.astimezone(self.zone).date() + days * DAY, time(), self.zone)

    def starts(
        self, service: Service, earliest: datetime, latest: datetime, now: datetime
    ) -> list[range]:
        """Return the starts between two instants, both included, that the rules allow, in order.

        Other appointments are not looked at.
        """
        soonest, farthest = self.bookable(now)
        earliest, latest = max(earliest, soonest), min(latest, farthest)
        if earliest > latest:
            return []
        runs: list[range] = []
        for piece in self.open(earliest, latest + service.duration):
            first = max(earliest, piece.start)
            last = min(latest, piece.end - service.duration)
            if first <= last:
                runs += self._on_grid(service, first, last)
        return runs

    def _on_grid(self, service: Service, earliest: datetime, latest: datetime) -> list[range]:
        """Return the starts on the service's grid between two instants, both included."""
        first, last = seconds(earliest + SECOND - TICK), seconds(latest)
        if service.grid_from_opening:
            days = self._days(earliest, latest)
            opening = (shift for shift, _ in shifts(self.hours, self.zone, *days))
            runs = from_opening(service.grid, opening, first, last)
        else:
            runs = from_midnight(service.grid, self.zone, first, last)
        return [run for run in runs if run]

    def _days(self, earliest: datetime, latest: datetime) -> tuple[date, date]:
        """Return dates on the wall around a window, one more at either end: a date can jump."""
        first, last = (each.astimezone(self.zone).date() for each in (earliest, latest))
        return first - DAY, last + DAY

    def check(self, service: Service, slot: Slot, now: datetime) -> None:
        """Make sure that the rules allow the slot; other appointments are not looked at.

        Raises:
            InvalidRequest: They don't; `code` and message name the first rule that is broken.
        """
        if refusal := self.refusal(service, slot, in_utc(now)):
            raise refusal

    def refusal(self, service: Service, slot: Slot, now: datetime) -> InvalidRequest | None:
        """Return why the rules don't allow the slot, where they don't."""
        if slot.end - slot.start != service.duration:
            return InvalidRequest("WRONG_DURATION", f"{slot} does not take {service.duration}.")
        if self.starts(service, slot.start, slot.start, now):
            return None
        return InvalidRequest(*self._reason(service, slot, now))

    def _reason(self, service: Service, slot: Slot, now: datetime) -> tuple[str, str]:
        start = self._wall(slot.start)
        earliest, latest = self.bookable(now)
        if slot.start < now:
            return "IN_THE_PAST", f"{start} is in the past."
        if slot.start < earliest:
            return "TOO_SOON", f"{start} is too soon; book from {self._wall(earliest)} on."
        if slot.start > latest:
            return "TOO_FAR_AHEAD", f"{start} is too far ahead; book until {self._wall(latest)}."
        if any(slot.overlaps(off) for off in self.off):
            return "TIME_OFF", f"{self.staff} is off at {start}."
        if any(slot.overlaps(closed) for closed in self.closed):
            return "CLOSED", f"The place where {self.staff} works is closed at {start}."
        around = shifts(self.hours, self.zone, *self._days(slot.start, slot.end))
        pauses = (pause for shift, left in around for pause in subtract([shift], left))
        if any(slot.overlaps(pause) for pause in pauses):
            return "IN_A_BREAK", f"{slot} runs into a break of {self.staff}."
        if not self._on_grid(service, slot.start, slot.start):
            counted = "the beginning of the shift" if service.grid_from_opening else "midnight"
            return "OFF_GRID", f"{start} is in between: it is every {service.grid} from {counted}."
        return "OUTSIDE_HOURS", f"{slot} lies outside the working hours of {self.staff}."

    def _wall(self, moment: datetime) -> str:
        return f"{moment.astimezone(self.zone):%Y-%m-%d %H:%M %Z}"
