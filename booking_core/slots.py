"""Slots: half-open intervals of instants, and the arithmetic on them.

A slot `[start, end)` contains its start and not its end, so that two appointments which touch do
not overlap. Instants are kept in UTC: Python compares two datetimes of one time zone by their
wall clocks, which run backwards once a year, whereas instants in UTC never do.

Local rules ("Tuesdays from nine to five") become instants in `instant`, the one place where a
wall clock is read.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from typing import Self
from zoneinfo import ZoneInfo

from booking_core.invalid import InvalidRequest

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)  # the smallest step, PostgreSQL's and Python's
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)  # from which PostgreSQL's date_part('epoch', …) counts
USABLE_YEARS = range(1000, 9000)  # far enough from both ends for any arithmetic


@dataclass(frozen=True, order=True, slots=True)
class Slot:
    """The half-open interval of instants `[start, end)`.

    Args:
        start: The first instant, an aware datetime; kept in UTC.
        end: The first instant after it, an aware datetime; kept in UTC.

    Raises:
        InvalidRequest: `NAIVE_DATETIME` where a time zone is missing, `END_BEFORE_START` where
            the end does not come after the start.
    """

    start: datetime
    end: datetime

    def __post_init__(self) -> None:
        object.__setattr__(self, "start", in_utc(self.start))
        object.__setattr__(self, "end", in_utc(self.end))
        if self.end <= self.start:
            start, end = self.start.isoformat(), self.end.isoformat()
            raise InvalidRequest("END_BEFORE_START", f"The end {end} must come after {start}.")

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M}-{self.end:%H:%M} UTC"

    def overlaps(self, other: Self) -> bool:
        """Whether the two share an instant; touching slots do not."""
        return self.start < other.end and other.start < self.end

    def contains(self, other: Self) -> bool:
        """Whether every instant of the other lies in this one."""
        return self.start <= other.start and other.end <= self.end

    def without(self, hole: Self) -> list[Self]:
        """Return what a hole leaves of it, in order."""
        if not self.overlaps(hole):
            return [self]
        ends = (self.start, hole.start), (hole.end, self.end)
        return [type(self)(start, end) for start, end in ends if start < end]


@dataclass(frozen=True, slots=True)
class FreeSlot:
    """A slot that was free when it was looked for.

    Attributes:
        staff: The staff member's name.
        time_zone: Where the staff member works, as an IANA name.
    """

    staff_id: int
    staff: str
    slot: Slot
    time_zone: str

    @property
    def local_start(self) -> datetime:
        """The start on the wall clock of the location."""
        return self.slot.start.astimezone(ZoneInfo(self.time_zone))

    def __str__(self) -> str:
        return f"{self.local_start:%a %d %b %H:%M} with {self.staff}"


@dataclass(frozen=True, slots=True)
class FreeTime:
    """When a service could start with one staff member.

    Attributes:
        staff: The staff member's name.
        time_zone: Where the staff member works, as an IANA name.
        duration: The service's.
        runs: Starts on the grid, one after the other, in seconds since 1970; disjoint, in order.
    """

    staff_id: int
    staff: str
    time_zone: str
    duration: timedelta
    runs: tuple[range, ...]

    def __len__(self) -> int:
        return sum(map(len, self.runs))

    def slot(self, at: int) -> FreeSlot:
        """Return the free slot that starts so many seconds after the beginning of 1970."""
        slot = Slot(EPOCH + at * SECOND, EPOCH + at * SECOND + self.duration)
        return FreeSlot(self.staff_id, self.staff, slot, self.time_zone)

    def slots(self) -> Iterator[FreeSlot]:
        """Yield the free slots, in order."""
        return map(self.slot, chain(*self.runs))


def in_utc(moment: datetime) -> datetime:
    """Return the same instant in UTC.

    Raises:
        InvalidRequest: `NAIVE_DATETIME` where the time zone is missing, `NOT_A_DATETIME` or
            `OUT_OF_RANGE` where it can't be meant.
    """
    if not isinstance(moment, datetime):
        raise InvalidRequest("NOT_A_DATETIME", f"{moment!r} is not a datetime.")
    # Most often it is in UTC already; to ask a time zone takes its time.
    if moment.tzinfo is not UTC and moment.utcoffset() is None:
        said = f"{moment.isoformat()} has no time zone, such as +00:00 at its end; say which one."
        raise InvalidRequest("NAIVE_DATETIME", said)
    if moment.year not in USABLE_YEARS:
        raise InvalidRequest("OUT_OF_RANGE", f"{moment.isoformat()} is no usable date.")
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def instant(day: date, wall: time, zone: ZoneInfo) -> datetime:
    """Return the instant, in UTC, at which a wall clock in `zone` shows `day` and `wall`.

    One that occurs twice, in autumn, means the first (RFC 5545, section 3.3.5; PEP 495, fold 0).
    One that never occurs, in spring, means the moment of the change, whether something begins or
    ends there: so later on the wall is never earlier in time, and what lies in the gap is empty.
    """
    local = datetime.combine(day, wall, tzinfo=zone).replace(fold=0)
    moment = local.astimezone(UTC)
    if moment.astimezone(zone).replace(tzinfo=None) == local.replace(tzinfo=None):
        return moment
    # In a gap, the offsets before and after the change lead to either side of it.
    return change(local.replace(fold=1).astimezone(UTC), moment, zone)


def change(earlier: datetime, later: datetime, zone: ZoneInfo) -> datetime:
    """Return the one moment between two instants at which the clocks change, to the second."""
    earlier, later = earlier.replace(microsecond=0), later.replace(microsecond=0)
    before = earlier.astimezone(zone).utcoffset()
    while later - earlier > SECOND:
        middle = earlier + (later - earlier) // (2 * SECOND) * SECOND
        if middle.astimezone(zone).utcoffset() == before:
            earlier = middle
        else:
            later = middle
    return later


def seconds(moment: datetime) -> int:
    """Return how many seconds after the beginning of 1970 an instant is, parts of one left out."""
    return (moment - EPOCH) // SECOND


def merge(slots: Iterable[Slot]) -> list[Slot]:
    """Return the same instants as disjoint slots in order, touching ones joined."""
    merged: list[Slot] = []
    for slot in sorted(slots):
        if merged and slot.start <= merged[-1].end:
            merged[-1] = Slot(merged[-1].start, max(merged[-1].end, slot.end))
        else:
            merged.append(slot)
    return merged


def subtract(slots: Iterable[Slot], holes: Iterable[Slot]) -> list[Slot]:
    """Return the instants of `slots` that lie in none of `holes`, as disjoint slots in order."""
    rest = merge(slots)
    for hole in holes:
        rest = [part for slot in rest for part in slot.without(hole)]
    return rest
