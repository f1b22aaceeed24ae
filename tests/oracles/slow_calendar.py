"""What may be booked, worked out minute by minute: the oracle for calendars and free time.

It follows the rules as they are written down, with sets of minutes, and shares no arithmetic
with booking_core; only the plain records that hold a calendar are its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta

from wall_clocks import MINUTE, Change, Walls, minute_of, walls_around

from booking_core.calendar.rules import Calendar, Service, WeeklyHours
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
    """

    change: Change
    calendar: Calendar
    service: Service
    now: datetime
    busy: Sequence[Appointment] = ()
    open: set[int] = field(init=False)
    blocked: set[int] = field(init=False)

    def __post_init__(self) -> None:
        away = _covered(self.calendar.off) | _covered(self.calendar.closed)
        self.open = self._weekly("shift") - self._weekly("break") - away
        self.blocked = _covered([each.blocked for each in self.busy])

    @property
    def walls(self) -> Walls:
        """The wall clocks of the location."""
        return walls_around(self.change)

    def allows(self, minute: int) -> bool:
        """Whether the rules, other appointments aside, let the service start at this minute."""
        start = self.change.moment + (minute - self.change.minute) * MINUTE
        return (
            self.walls.minutes_of_day(minute) % _minutes(self.service.grid) == 0
            and start - self.now >= self.calendar.minimum_notice
            and start - self.now <= self.calendar.horizon
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

    def _weekly(self, kind: str) -> set[int]:
        covered: set[int] = set()
        for day in self.walls.days():
            for hours in self.calendar.hours:
                if hours.kind == kind and hours.weekday == day.weekday():
                    covered.update(self._on(hours, day))
        return covered

    def _on(self, hours: WeeklyHours, day: date) -> range:
        next_day = day if hours.starts < hours.ends else day + timedelta(days=1)
        return range(self.walls.when(day, hours.starts), self.walls.when(next_day, hours.ends))


def _covered(slots: Sequence[Slot]) -> set[int]:
    return {
        minute for slot in slots for minute in range(minute_of(slot.start), minute_of(slot.end))
    }


def _minutes(length: timedelta) -> int:
    return length // MINUTE
