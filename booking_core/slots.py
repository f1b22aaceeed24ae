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
            raise InvalidRequest(
                "END_BEFORE_START",
                f"The end {self.end.isoformat()} must come after the start "
                f"{self.start.isoformat()}.",
            )

    def __str__(self) -> str:
        return f"{self.start:%Y-%m-%d %H:%M}-{self.end:%H:%M} UTC"

    def overlaps(self, other: Self) -> bool:
        """Whether the two share an instant; touching slots do not."""
        return self.start < other.end and other.start < self.end

    def contains(self, other: Self) -> bool:
        """Whether every instant of the other lies in this one."""
        return self.start <= other.start and other.end <= self.end


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

    @classmethod
    def starting(
        cls, seconds: int, duration: timedelta, staff_id: int, staff: str, time_zone: str
    ) -> Self:
        """Return the free slot that starts so many seconds after the beginning of 1970."""
        start = datetime.fromtimestamp(seconds, UTC)
        return cls(staff_id, staff, Slot(start, start + duration), time_zone)

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

    def slots(self) -> Iterator[FreeSlot]:
        """Yield the free slots, in order."""
        for seconds in chain(*self.runs):
            yield FreeSlot.starting(
                seconds, self.duration, self.staff_id, self.staff, self.time_zone
            )


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
        raise InvalidRequest(
            "NAIVE_DATETIME",
            f"{moment.isoformat()} has no time zone; say which instant is meant, "
            "for example 2030-01-07T09:00+00:00.",
        )
    if moment.year not in USABLE_YEARS:
        raise InvalidRequest("OUT_OF_RANGE", f"{moment.isoformat()} is no usable date.")
    return moment if moment.tzinfo is UTC else moment.astimezone(UTC)


def instant(day: date, wall: time, zone: ZoneInfo) -> datetime:
    """Return the instant, in UTC, at which a wall clock in `zone` shows `day` and `wall`.

    As RFC 5545 (section 3.3.5) reads local times: one that occurs twice, in autumn, means the
    first; one that never occurs, in spring, is read with the offset before the gap, so 02:30
    becomes 03:30. That is what `fold=0` does (PEP 495). PostgreSQL's AT TIME ZONE would take
    the later of the two in autumn.
    """
    return datetime.combine(day, wall, tzinfo=zone).replace(fold=0).astimezone(UTC)


def seconds(moment: datetime) -> int:
    """Return how many seconds after the beginning of 1970 an instant is, parts of one left out."""
    return (moment - EPOCH) // timedelta(seconds=1)


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
    holes = merge(holes)
    rest: list[Slot] = []
    for slot in merge(slots):
        start = slot.start
        for hole in holes:
            if hole.end <= start:
                continue
            if hole.start >= slot.end:
                break
            if hole.start > start:
                rest.append(Slot(start, hole.start))
            start = hole.end
        if start < slot.end:
            rest.append(Slot(start, slot.end))
    return rest


def on_grid(moment: datetime, grid: timedelta, zone: ZoneInfo) -> bool:
    """Whether the wall clock in `zone` shows a whole multiple of `grid` since midnight.

    So a wall time that occurs twice has two starts, one that never occurs has none.
    """
    wall = moment.astimezone(zone).replace(tzinfo=None)
    return not (wall - datetime.combine(wall, time())) % grid
