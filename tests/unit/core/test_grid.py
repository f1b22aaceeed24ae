"""Starts on the grid, against wall clocks that are read minute by minute, and runs that are cut."""

# ruff: noqa: SIM300 - expected == actual

from collections import Counter
from datetime import UTC, datetime, timedelta
from itertools import chain

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from wall_clocks import CHANGES, MINUTE, Change, changes, minute_of, walls_around

from booking_core.calendar.grid import cut, from_midnight, from_opening, without
from booking_core.slots import Slot

GRIDS = [1, 7, 15, 30, 45, 60, 90, 1440]
SPRING = Change("Europe/Berlin", datetime(2030, 3, 31, 1, tzinfo=UTC))
AUTUMN = Change("Europe/Berlin", datetime(2030, 10, 27, 1, tzinfo=UTC))


def _in_order(found: list[tuple[int, int, int]]) -> list[range]:
    """Return runs one after the other: the gap before each, how many starts, how far apart."""
    ordered, at = [], 0
    for gap, count, step in found:
        ordered.append(range(at + gap, at + gap + count * step, step))
        at = ordered[-1].stop
    return ordered


runs = st.lists(st.tuples(st.integers(0, 50), st.integers(1, 12), st.integers(1, 9))).map(_in_order)


@settings(deadline=None)
@given(changes, st.integers(-1800, 1500), st.sampled_from(GRIDS))
@example(SPRING, -60, 15)
@example(AUTUMN, -60, 15)
def test_the_grid_is_the_one_of_the_wall_clock(change: Change, offset: int, grid: int) -> None:
    """A moment is on it when the wall clock shows a whole multiple since midnight."""
    first = change.minute + offset
    expected = [
        minute
        for minute in range(first, first + 300)
        if walls_around(change).minutes_of_day(minute) % grid == 0
    ]
    found = chain(
        *from_midnight(grid * MINUTE, change.zone_info, 60 * first, 60 * (first + 300) - 1)
    )
    assert expected == [start / 60 for start in found]


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_wall_times_that_do_not_exist_or_exist_twice(change: Change) -> None:
    """As many starts as quarters of an hour pass: none in the gap, two for a time shown twice."""
    first = change.minute - 240
    found = from_midnight(15 * MINUTE, change.zone_info, 60 * first, 60 * (first + 480) - 1)
    starts = [start // 60 for start in chain(*found)]
    shown = Counter(walls_around(change).shown)
    listed = Counter(walls_around(change).at(minute) for minute in starts)
    assert 480 // 15 == len(starts)
    assert {wall: shown[wall] for wall in listed} == listed


@given(
    st.lists(st.tuples(st.integers(-100, 100), st.integers(1, 90)), max_size=4),
    st.integers(1, 40),
    st.integers(-100, 100),
    st.integers(0, 100),
)
def test_a_grid_may_count_from_the_opening_of_each_shift(
    shifts: list[tuple[int, int]], grid: int, first: int, more: int
) -> None:
    """Wherever shifts overlap, a start on the grid of one of them is one, and is listed once."""
    opened = datetime(2030, 1, 7, 12, 30, tzinfo=UTC)
    slots = [Slot(opened + at * MINUTE, opened + (at + lasts) * MINUTE) for at, lasts in shifts]
    expected = {
        minute
        for at, lasts in shifts
        for minute in range(at, at + lasts, grid)
        if first <= minute <= first + more
    }
    base = minute_of(opened)
    found = from_opening(grid * MINUTE, slots, 60 * (base + first), 60 * (base + first + more))
    assert sorted(expected) == [start // 60 - base for start in chain(*found)]


@given(st.integers(-50, 50), st.integers(0, 20), st.integers(1, 9), st.integers(), st.integers())
def test_a_run_is_cut_at_both_ends(start: int, count: int, step: int, a: int, b: int) -> None:
    """Both ends are included, wherever they lie."""
    run = range(start, start + count * step, step)
    first, last = a % 300 - 150, b % 300 - 150
    assert [at for at in run if first <= at <= last] == list(cut(run, first, last))


@given(runs, st.lists(st.tuples(st.integers(-20, 300), st.integers(1, 200))))
def test_nothing_starts_while_somebody_is_busy(
    starts: list[range], busy: list[tuple[int, int]]
) -> None:
    """At the ends of what is busy something may start; what is busy may overlap."""
    ordered = sorted((since, since + lasts) for since, lasts in busy)
    expected = [
        at for at in chain(*starts) if not any(since < at < until for since, until in ordered)
    ]
    assert expected == list(chain(*without(starts, ordered)))


def test_a_length_of_no_whole_seconds_is_cut_down() -> None:
    """A grid is of whole minutes; a shift may begin at a part of a second."""
    late = datetime(2030, 1, 7, 9, tzinfo=UTC) + timedelta(microseconds=1)
    (run,) = from_opening(15 * MINUTE, [Slot(late, late + 60 * MINUTE)], 0, 2**40)
    assert 4 == len(run)
