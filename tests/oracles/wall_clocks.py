"""Wall clocks, read minute by minute: the slow way that fast answers are compared with.

Nothing of booking_core is used here, nor its arithmetic: an instant is a whole number of minutes
since 1970, and what a wall clock shows is looked up for each of them.
"""

from bisect import bisect_left
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, lru_cache
from itertools import accumulate, pairwise
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import strategies as st

MINUTE = timedelta(minutes=1)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
HALF_WIDTH = 6 * 24 * 60  # minutes that are looked at before and after a moment


@dataclass(frozen=True)
class Change:
    """A moment at which the clocks of a zone change, or one like any other."""

    zone: str
    moment: datetime

    @property
    def zone_info(self) -> ZoneInfo:
        """The zone."""
        return ZoneInfo(self.zone)

    @property
    def minute(self) -> int:
        """The moment as a number of minutes."""
        return minute_of(self.moment)


CHANGES = (
    Change("Europe/Berlin", datetime(2030, 3, 31, 1, tzinfo=UTC)),
    Change("Europe/Berlin", datetime(2030, 10, 27, 1, tzinfo=UTC)),
    Change("America/New_York", datetime(2030, 3, 10, 7, tzinfo=UTC)),
    Change("America/New_York", datetime(2030, 11, 3, 6, tzinfo=UTC)),
    # By half an hour.
    Change("Australia/Lord_Howe", datetime(2030, 4, 6, 15, tzinfo=UTC)),
    Change("Australia/Lord_Howe", datetime(2030, 10, 5, 15, 30, tzinfo=UTC)),
    # By two hours.
    Change("Antarctica/Troll", datetime(2030, 3, 31, 1, tzinfo=UTC)),
    Change("Antarctica/Troll", datetime(2030, 10, 27, 1, tzinfo=UTC)),
    # At midnight: a date begins at one o'clock, or its first hour or its last one occurs twice.
    Change("Africa/Cairo", datetime(2030, 4, 25, 22, tzinfo=UTC)),
    Change("Africa/Cairo", datetime(2030, 10, 31, 21, tzinfo=UTC)),
    Change("America/Santiago", datetime(2030, 4, 7, 3, tzinfo=UTC)),
    Change("America/Santiago", datetime(2030, 9, 8, 4, tzinfo=UTC)),
    Change("America/Havana", datetime(2030, 3, 10, 5, tzinfo=UTC)),
    Change("America/Havana", datetime(2030, 11, 3, 5, tzinfo=UTC)),
    Change("Asia/Beirut", datetime(2030, 3, 30, 22, tzinfo=UTC)),
    Change("Asia/Beirut", datetime(2030, 10, 26, 21, tzinfo=UTC)),
    # By a quarter of an hour, at midnight.
    Change("Asia/Kathmandu", datetime(1985, 12, 31, 18, 15, tzinfo=UTC)),
    Change("Asia/Kathmandu", datetime(2030, 6, 1, tzinfo=UTC)),
    # For good, since the law was changed: by half an hour, and by an hour.
    Change("Asia/Pyongyang", datetime(2018, 5, 4, 15, tzinfo=UTC)),
    Change("America/Caracas", datetime(2016, 5, 1, 7, tzinfo=UTC)),
    Change("Europe/Moscow", datetime(2014, 10, 25, 22, tzinfo=UTC)),
    # By a day: the 30th was left out.
    Change("Pacific/Apia", datetime(2011, 12, 30, 10, tzinfo=UTC)),
    Change("Pacific/Apia", datetime(2011, 9, 24, 14, tzinfo=UTC)),
    Change("UTC", datetime(2030, 1, 7, tzinfo=UTC)),
)

changes = st.sampled_from(CHANGES)


def minute_of(moment: datetime) -> int:
    """Return the whole minutes since 1970."""
    return (moment - EPOCH) // MINUTE


def moment_of(minute: int) -> datetime:
    """Return the instant."""
    return EPOCH + minute * MINUTE


@dataclass(frozen=True)
class Walls:
    """What the wall clocks of a zone show around a moment, for each minute."""

    first: int
    shown: list[datetime]

    def at(self, minute: int) -> datetime:
        """Return the date and time on the wall, without a zone."""
        return self.shown[minute - self.first]

    def minutes_of_day(self, minute: int) -> int:
        """Return how much the wall clock shows since midnight."""
        wall = self.at(minute)
        return wall.hour * 60 + wall.minute

    def when(self, day: date, wall: time) -> int:
        """Return the first minute at which the clock shows this or anything later.

        Where it never shows this, that is the moment at which it jumps over it.
        """
        return self.first + bisect_left(self._latest_shown, datetime.combine(day, wall))

    def days(self) -> list[date]:
        """Return the dates, less those at the rim; those that were left out are among them."""
        first, last = self.shown[0].date(), self.shown[-1].date()
        return [first + timedelta(days=n) for n in range(2, (last - first).days - 1)]

    @cached_property
    def _latest_shown(self) -> list[datetime]:
        """What the clock has shown up to each minute at the latest."""
        return list(accumulate(self.shown, max))


@lru_cache(maxsize=100)  # a megabyte each
def walls_around(change: Change) -> Walls:
    """Read the clocks around a change."""
    first = change.minute - HALF_WIDTH
    zone = change.zone_info
    return Walls(
        first,
        [
            moment_of(minute).astimezone(zone).replace(tzinfo=None, fold=0)
            for minute in range(first, first + 2 * HALF_WIDTH)
        ],
    )


@lru_cache(maxsize=100)
def changes_of(zone: str) -> list[Change]:
    """Return the changes of a zone from 1971 to 2040, to the second."""
    where = ZoneInfo(zone)
    days = [datetime(1971, 1, 1, tzinfo=UTC) + timedelta(days=n) for n in range(70 * 365)]
    return [
        Change(zone, _change_between(where, one, other))
        for one, other in pairwise(days)
        if _ahead(where, one) != _ahead(where, other)
    ]


def _change_between(zone: ZoneInfo, before: datetime, after: datetime) -> datetime:
    old = _ahead(zone, before)
    while after - before > timedelta(seconds=1):
        middle = before + (after - before) // timedelta(seconds=2) * timedelta(seconds=1)
        before, after = (middle, after) if _ahead(zone, middle) == old else (before, middle)
    return after


def _ahead(zone: ZoneInfo, moment: datetime) -> timedelta | None:
    return moment.astimezone(zone).utcoffset()


@st.composite
def changes_anywhere(draw: st.DrawFn) -> Change:
    """Return a change of any zone there is; of those that have none, a moment like any other."""
    zone = draw(st.sampled_from(sorted(available_timezones())))
    ordinary = Change(zone, datetime(2030, 3, 10, 7, tzinfo=UTC))
    return draw(st.sampled_from(changes_of(zone) or [ordinary]))
