"""A staff member's calendar: the rules of what may be booked.

A slot may be booked when it lies wholly inside the working hours (shifts less breaks, less time
off, less the days on which the location is closed), starts on the service's grid, is neither too
soon (minimum notice) nor too far away (horizon), and when what it blocks, that is the set-up
before it, the slot and the buffer after it, overlaps nothing that another appointment blocks.
Buffers are time between appointments; they may reach out of a shift or into a break.

Booking asks `Calendar.check` about one slot. Listing goes by the same rules in the database
(`availability`), so what is offered can be booked and what can't isn't offered. Whether somebody
else was faster is for the strategy to say.

So the rules are written twice, here and in SQL (`free_time`), and a test compares the two. One of
them alone would not do. In SQL they would cost every booking a second query, or their evaluation
while a lock is held; here they are in memory. In Python a list would have to fetch the rules of
a whole team, and whoever has lost a slot all that is booked until something is free, however far
that is: more than one query, and `bench availability` shows what the sweep over it costs.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

from booking_core.invalid import InvalidRequest
from booking_core.slots import Slot, in_utc, instant, on_grid, subtract

DAY = timedelta(days=1)


class WeeklyHours(NamedTuple):
    """A shift or a break, every week, on the wall clock of the location."""

    weekday: int
    kind: str
    starts: time
    ends: time


def shifts(
    hours: Iterable[WeeklyHours], zone: ZoneInfo, first: date, last: date, kind: str = "shift"
) -> Iterator[Slot]:
    """Yield the instants of the shifts (or breaks) that may touch these days."""
    day = first - DAY  # a shift of the day before may reach past midnight
    while day <= last:
        for each in hours:
            if each.kind == kind and each.weekday == day.weekday():
                overnight = DAY if each.ends <= each.starts else timedelta()
                start = instant(day, each.starts, zone)
                end = instant(day + overnight, each.ends, zone)
                if start < end:  # the gap in spring can swallow one
                    yield Slot(start, end)
        day += DAY


# People share their hours, and the same dates are asked for again and again.
@lru_cache(maxsize=2_000)
def working(
    hours: tuple[WeeklyHours, ...], zone: ZoneInfo, first: date, last: date
) -> tuple[Slot, ...]:
    """Return the shifts less the breaks around these days, disjoint and in order."""
    breaks = shifts(hours, zone, first, last, "break")
    return tuple(subtract(shifts(hours, zone, first, last), breaks))


@dataclass(frozen=True, slots=True)
class Service:
    """What is booked.

    Attributes:
        duration: Of what the client is promised.
        buffer_after: How long nothing else may be booked after it.
        grid: The distance between possible starts, counted from midnight on the wall.
        buffer_before: How long nothing else may be booked before it, for setting up.
    """

    id: int
    name: str
    duration: timedelta
    buffer_after: timedelta
    grid: timedelta
    buffer_before: timedelta = timedelta()

    def slot(self, start: datetime) -> Slot:
        """Return what the client is promised."""
        return Slot(start, start + self.duration)

    def blocked(self, start: datetime) -> Slot:
        """Return what must be free: the slot and its buffers."""
        return Slot(start - self.buffer_before, start + self.duration + self.buffer_after)


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
        version: Of the rules, as the rulebook counts.
    """

    staff_id: int
    staff: str
    zone: ZoneInfo
    minimum_notice: timedelta
    horizon: timedelta
    hours: tuple[WeeklyHours, ...]
    off: Sequence[Slot] = ()
    closed: Sequence[Slot] = ()
    location_id: int = 0
    version: int = 0

    def shifts(self, window: Slot, kind: str = "shift") -> Iterator[Slot]:
        """Yield the instants of the shifts (or breaks) that may touch the window."""
        return shifts(self.hours, self.zone, *self._days(window), kind)

    def open(self, window: Slot) -> Sequence[Slot]:
        """Return the working hours around the window, less time off and closed days."""
        days = working(self.hours, self.zone, *self._days(window))
        return subtract(days, [*self.off, *self.closed]) if self.off or self.closed else days

    def _days(self, window: Slot) -> tuple[date, date]:
        """Return dates on the wall around the window, one more at either end: a date can jump."""
        return (
            window.start.astimezone(self.zone).date() - DAY,
            window.end.astimezone(self.zone).date() + DAY,
        )

    def check(self, service: Service, slot: Slot, now: datetime) -> None:
        """Make sure that the rules allow the slot; other appointments are not looked at.

        Raises:
            InvalidRequest: They don't; `code` and message name the first rule that is broken.
        """
        if slot.end - slot.start != service.duration:
            raise InvalidRequest(
                "WRONG_DURATION", f"{service.name} takes {service.duration}, {slot} does not."
            )
        now = in_utc(now)
        allowed = (
            now + self.minimum_notice <= slot.start <= now + self.horizon
            and on_grid(slot.start, service.grid, self.zone)
            and any(shift.contains(slot) for shift in self.open(slot))
        )
        if not allowed:
            raise InvalidRequest(*self._refusal(service, slot, now))

    def _refusal(self, service: Service, slot: Slot, now: datetime) -> tuple[str, str]:
        start = f"{slot.start.astimezone(self.zone):%Y-%m-%d %H:%M %Z}"
        if slot.start < now:
            return "IN_THE_PAST", f"{start} is in the past."
        if slot.start < now + self.minimum_notice:
            return "TOO_SOON", f"{start} is too soon; book at least {self.minimum_notice} ahead."
        if slot.start > now + self.horizon:
            return "TOO_FAR_AHEAD", f"{start} is too far ahead; book at most {self.horizon} ahead."
        if any(slot.overlaps(off) for off in self.off):
            return "TIME_OFF", f"{self.staff} is off at {start}."
        if any(slot.overlaps(closed) for closed in self.closed):
            return "CLOSED", f"The place where {self.staff} works is closed at {start}."
        if any(slot.overlaps(pause) for pause in self.shifts(slot, "break")):
            return "IN_A_BREAK", f"{slot} runs into a break of {self.staff}."
        if not on_grid(slot.start, service.grid, self.zone):
            return "OFF_GRID", f"{service.name} starts every {service.grid}; {start} is in between."
        return "OUTSIDE_HOURS", f"{slot} lies outside the working hours of {self.staff}."
