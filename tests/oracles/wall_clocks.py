"""Wall clocks, read minute by minute: the slow way that fast answers are compared with.

Nothing of booking_core is used here, nor its arithmetic: an instant is a whole number of minutes
since 1970, and what a wall clock shows is looked up for each of them.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cache, cached_property
from zoneinfo import ZoneInfo

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
# Those in which every date exists: what a shift on a day that was left out means, nobody knows.
CHANGES_WITHIN_A_DAY = tuple(change for change in CHANGES if change.zone != "Pacific/Apia")

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
        """Return the first minute at which the clock shows this.

        Where it never does, the clock has jumped over it; it is then counted on from the last
        minute before the jump, as if the clock had not changed (RFC 5545, section 3.3.5).
        """
        wanted = datetime.combine(day, wall)
        if wanted in self._first_shown:
            return self._first_shown[wanted]
        later = next(
            index
            for index, shown in enumerate(self.shown)
            if shown > wanted and self.shown[index - 1] < wanted
        )
        return self.first + later - 1 + (wanted - self.shown[later - 1]) // MINUTE

    def days(self) -> list[date]:
        """Return the dates, less those at the rim."""
        return sorted({shown.date() for shown in self.shown})[2:-2]

    @cached_property
    def _first_shown(self) -> dict[datetime, int]:
        times: dict[datetime, int] = {}
        for index, shown in enumerate(self.shown):
            times.setdefault(shown, self.first + index)
        return times


@cache
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
