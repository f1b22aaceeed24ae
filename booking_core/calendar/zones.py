"""What wall clocks show, told to the database.

Python and PostgreSQL both carry a copy of the time zone database, seldom the same one, and they
read an hour that occurs twice differently: Python takes the first, AT TIME ZONE the second. What
one of them offers the other could refuse. So the database is not asked: each query is given the
stretches of time between two changes of the clocks, with the offset that holds there, and only
adds and compares. `slots.instant` and these stretches say the same.

PEP 495 tells which stretch a wall time belongs to: the first in which it occurs; where it never
occurs, the one before the gap.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple
from zoneinfo import ZoneInfo

from booking_core.invalid import InvalidRequest
from booking_core.slots import Slot

SECOND = timedelta(seconds=1)
MARGIN = 7  # days around a window whose wall times matter: the longest service, a shift, any offset


class Stretch(NamedTuple):
    """A time in which the clocks of a zone don't change.

    Attributes:
        instants: Its instants, as PostgreSQL writes a tstzrange.
        walls: The wall times that mean one of them, as PostgreSQL writes a tsrange.
        ahead: The offset from UTC.
    """

    instants: str
    walls: str
    ahead: timedelta


def place_of(time_zone: str) -> ZoneInfo:
    """Return a time zone by its IANA name.

    Raises:
        InvalidRequest: `UNKNOWN_TIME_ZONE`, where a location was stored with another name.
    """
    try:
        return ZoneInfo(time_zone)
    except (KeyError, OSError, ValueError):
        raise InvalidRequest(
            "UNKNOWN_TIME_ZONE",
            f"A location is stored with the time zone {time_zone!r}, and there is none of that "
            "name; use one such as Europe/Berlin.",
        ) from None


def clocks(zones: Iterable[str], window: Slot) -> Mapping[str, str]:
    """Return the parameters of a query that tell it what wall clocks show around a window.

    They are arrays of one length, written out: `zones`, `instants`, `walls` and, in seconds,
    `ahead`.
    """
    first, last = window.start.toordinal() - MARGIN, window.end.toordinal() + MARGIN
    return _clocks(tuple(sorted(zones)), first, last)


@lru_cache(maxsize=1000)
def _clocks(zones: tuple[str, ...], first: int, last: int) -> Mapping[str, str]:
    known = [(zone, stretch) for zone in zones for stretch in stretches(zone, first, last)]
    return {
        "zones": _array(zone for zone, _ in known),
        "instants": _array(stretch.instants for _, stretch in known),
        "walls": _array(stretch.walls for _, stretch in known),
        "ahead": _array(str(stretch.ahead // SECOND) for _, stretch in known),
    }


@lru_cache(maxsize=10_000)
def stretches(zone: str, first: int, last: int) -> tuple[Stretch, ...]:
    """Return the stretches between two days in UTC; the outer ones go on for ever.

    Args:
        zone: An IANA name.
        first: The first day, as `date.toordinal` counts.
        last: The day at whose beginning they end.
    """
    place = ZoneInfo(zone)
    days = [datetime.fromordinal(day).replace(tzinfo=UTC) for day in range(first, last + 1)]
    changes = [
        _change(midnight, following, place)
        for midnight, following in pairwise(days)
        if _ahead(midnight, place) != _ahead(following, place)
    ]
    aheads = [_ahead(moment, place) for moment in (days[0], *changes)]
    # On the wall a stretch begins where the later of the two clocks that meet there stands.
    walls = [
        change.replace(tzinfo=None) + max(around)
        for change, around in zip(changes, pairwise(aheads), strict=True)
    ]
    return tuple(map(Stretch, _between(changes), _between(walls), aheads))


def _change(earlier: datetime, later: datetime, place: ZoneInfo) -> datetime:
    """Return the one moment between two instants at which the clocks change, to the second."""
    before = _ahead(earlier, place)
    while later - earlier > SECOND:
        middle = earlier + (later - earlier) // (2 * SECOND) * SECOND
        if _ahead(middle, place) == before:
            earlier = middle
        else:
            later = middle
    return later


def _ahead(moment: datetime, place: ZoneInfo) -> timedelta:
    return moment.astimezone(place).utcoffset() or timedelta()


def _between(bounds: Iterable[datetime]) -> list[str]:
    """Return the ranges that are left between bounds, the first and the last without an end."""
    return [f"[{a},{b})" for a, b in pairwise(["", *(each.isoformat() for each in bounds), ""])]


def _array(values: Iterable[str]) -> str:
    return "{" + ",".join(f'"{value}"' for value in values) + "}"
