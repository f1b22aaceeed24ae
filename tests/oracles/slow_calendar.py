"""What may be booked, worked out minute by minute: the oracle for calendars and free time.

It follows the rules as they are written down, with sets of minutes, and shares no arithmetic
with booking_core; only the plain records that hold a calendar are its own.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta

from wall_clocks import MINUTE, Change, Walls, minute_of, moment_of, walls_around

from booking_core.calendar.rules import Calendar, Hours, Service
from booking_core.slots import Slot


@dataclass(frozen=True)
class Appointment:
    """What somebody else has booked: what they were promised, and what it blocks."""

    promised: Slot
    blocked: Slot


@dataclass
class SlowCalendar:
    """A calendar as sets of minutes.

    Attributes:
        change: Around which moment.
        calendar: The rules.
        service: What is to be booked.
        now: When it is to be booked.
        busy: Other appointments.
        open: The minutes of work.
        on_grid: The minutes at which a service may start that counts from the opening.
        blocked: The minutes that other appointments block.
    """

    change: Change
    calendar: Calendar
    service: Service
    now: datetime
    busy: Sequence[Appointment] = ()
    open: set[int] = field(init=False)
    on_grid: set[int] = field(init=False)
    blocked: set[int] = field(init=False)

    def __post_init__(self) -> None:
        self.open = set()
        self.on_grid = set()
        breaks = {
            minute
            for day in self.walls.days()
            for pause in self._filed(day, "break")
            for minute in self._break_on(day, pause)
        }
        for day in self.walls.days():
            for shift in self._filed(day, "shift"):
                minutes = self._shift_on(day, shift)
                self.open |= set(minutes) - breaks - self._late_breaks(day, shift)
                self.on_grid.update(minutes[:: _minutes(self.service.grid)])
        self.open -= _covered(self.calendar.off) | _covered(self.calendar.closed)
        self.blocked = _covered([each.blocked for each in self.busy])

    @property
    def walls(self) -> Walls:
        """The wall clocks of the location."""
        return walls_around(self.change)

    def allows(self, minute: int) -> bool:
        """Whether the rules, other appointments aside, let the service start at this minute."""
        return (
            self._starts_on_grid(minute)
            and self._is_in_time(minute)
            and all(inside in self.open for inside in self._minutes_of_service(minute))
        )

    def is_free(self, minute: int) -> bool:
        """Whether the service and its buffers meet nothing that other appointments block."""
        before = _minutes(self.service.buffer_before)
        after = _minutes(self.service.duration + self.service.buffer_after)
        return self.blocked.isdisjoint(range(minute - before, minute + after))

    def starts(self, first: int, last: int) -> list[int]:
        """Return the minutes in [first, last) at which the service can be booked."""
        return [
            minute for minute in range(first, last) if self.allows(minute) and self.is_free(minute)
        ]

    def _minutes_of_service(self, minute: int) -> range:
        return range(minute, minute + _minutes(self.service.duration))

    def _starts_on_grid(self, minute: int) -> bool:
        if self.service.grid_from_opening:
            return minute in self.on_grid
        return self.walls.minutes_of_day(minute) % _minutes(self.service.grid) == 0

    def _is_in_time(self, minute: int) -> bool:
        """Whether it is neither too soon nor too far away."""
        rules = self.calendar
        start = moment_of(minute)
        today = self.walls.at(minute_of(self.now)).date()
        if rules.notice_days is None:
            late_enough = start - self.now >= rules.minimum_notice
        else:
            late_enough = minute >= self._midnight(today, rules.notice_days)
        if rules.horizon_days is None:
            near_enough = start - self.now <= rules.horizon
        else:
            near_enough = minute < self._midnight(today, rules.horizon_days + 1)
        return start >= self.now and late_enough and near_enough

    def _midnight(self, day: date, later: int) -> int:
        return self.walls.when(day + timedelta(days=later), time())

    def _filed(self, day: date, kind: str) -> Iterator[Hours]:
        """Return the hours in force on a date: what began last, and of this what ends first."""
        rows = [hours for hours in self.calendar.hours if _falls_on(hours, day)]
        if rows:
            first = max(hours.first for hours in rows)
            last = min(hours.last for hours in rows if hours.first == first)
            for hours in rows:
                if (hours.first, hours.last, hours.kind) == (first, last, kind):
                    yield hours

    def _shift_on(self, day: date, shift: Hours) -> range:
        end = day + timedelta(days=1) if _is_overnight(shift) else day
        return range(self.walls.when(day, shift.starts), self.walls.when(end, shift.ends))

    def _break_on(self, day: date, pause: Hours) -> range:
        end = day + timedelta(days=1) if pause.ends < pause.starts else day
        return range(self.walls.when(day, pause.starts), self.walls.when(end, pause.ends))

    def _late_breaks(self, day: date, shift: Hours) -> set[int]:
        """Return the breaks of a night shift that are filed under the date on which it begins."""
        next_day = day + timedelta(days=1)
        return {
            minute
            for pause in self._filed(day, "break")
            if _is_overnight(shift)
            for minute in self._break_on(next_day, pause)
        }


def _falls_on(hours: Hours, day: date) -> bool:
    weeks, rest = divmod((day - hours.first).days, 7)
    return hours.first <= day <= hours.last and rest == 0 and weeks % hours.weeks == 0


def _is_overnight(shift: Hours) -> bool:
    return shift.ends <= shift.starts


def _covered(slots: Sequence[Slot]) -> set[int]:
    return {
        minute for slot in slots for minute in range(minute_of(slot.start), minute_of(slot.end))
    }


def _minutes(length: timedelta) -> int:
    return length // MINUTE
