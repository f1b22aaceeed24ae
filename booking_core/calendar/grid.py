"""Starts: the seconds at which something may begin.

They are kept as runs, each a first start and the following ones at equal distances, in seconds
since 1970, so that a month of starts is a few dozen ranges. Whatever narrows them down cuts ranges,
and never goes from start to start.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from functools import lru_cache
from itertools import chain, pairwise
from zoneinfo import ZoneInfo

from booking_core.slots import DAY, EPOCH, SECOND, Slot, change, seconds

DAY_SECONDS = 86_400

Busy = tuple[int, int]  # between two seconds, neither of them included, nothing may start


def cut(run: range, first: int, last: int) -> range:
    """Return the starts of a run from one second to another, both included."""
    return run[
        max(0, -((run.start - first) // run.step)) : max(0, (last - run.start) // run.step + 1)
    ]


def from_midnight(grid: timedelta, zone: ZoneInfo, first: int, last: int) -> Iterator[range]:
    """Yield the starts at which the wall clock shows a whole multiple of the grid.

    They begin anew at every midnight. A wall time that occurs twice has two starts, one that never
    occurs has none.
    """
    for day in range(first // DAY_SECONDS, last // DAY_SECONDS + 1):
        for run in _of_day(day, grid // SECOND, zone):
            yield cut(run, first, last)


@lru_cache(maxsize=20_000)
def _of_day(day: int, step: int, zone: ZoneInfo) -> tuple[range, ...]:
    """Return the starts within a day of UTC, in which the clocks change once at most."""
    begins = EPOCH + day * DAY
    ends = begins + DAY
    changes = [] if _ahead(begins, zone) == _ahead(ends, zone) else [change(begins, ends, zone)]
    runs = []
    for since, until in pairwise((begins, *changes, ends)):
        first, last, ahead = seconds(since), seconds(until) - 1, _ahead(since, zone)
        for wall_day in range((first + ahead) // DAY_SECONDS, (last + ahead) // DAY_SECONDS + 1):
            midnight = wall_day * DAY_SECONDS - ahead
            runs.append(cut(range(midnight, midnight + DAY_SECONDS, step), first, last))
    return tuple(runs)


def from_opening(grid: timedelta, shifts: Iterable[Slot], first: int, last: int) -> Iterator[range]:
    """Yield the starts at which a shift has lasted a whole multiple of the grid."""
    runs = [range(seconds(each.start), seconds(each.end), grid // SECOND) for each in shifts]
    runs.sort(key=lambda run: run.start)
    if any(earlier.stop > later.start for earlier, later in pairwise(runs)):
        runs = [range(start, start + 1) for start in sorted(set(chain(*runs)))]
    for run in runs:
        yield cut(run, first, last)


def without(runs: Iterable[range], busy: Sequence[Busy]) -> Iterator[range]:
    """Yield the starts at which nobody is busy.

    Args:
        runs: Starts, in order.
        busy: In order of their beginnings.
    """
    over = 0  # so many ended before the run
    for run in runs:
        while over < len(busy) and busy[over][1] <= run.start:
            over += 1
        rest = run
        for since, until in busy[over:]:
            if not rest or since >= rest[-1]:
                break
            yield cut(rest, rest.start, since)
            rest = cut(rest, until, rest[-1])
        yield rest


def _ahead(moment: datetime, zone: ZoneInfo) -> int:
    return (moment.astimezone(zone).utcoffset() or timedelta()) // SECOND
