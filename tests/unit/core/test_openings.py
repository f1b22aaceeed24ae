"""What the rules allow, remembered: who may start when, in the order in which it is offered."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from booking_core.openings import Openings

HOUR = 3600
STEP = HOUR // 2
HALF_AN_HOUR = timedelta(seconds=STEP)
MIDNIGHT = datetime(2030, 5, 7, tzinfo=UTC)
ZERO = int(MIDNIGHT.timestamp())
A_SECOND = 1_000_000
YEAR = 365 * 24 * HOUR * A_SECOND


def _row(
    staff_id: int, runs: list[tuple[int, int]], *, notice: int = 0, horizon: int = YEAR, step: int
) -> tuple[object, ...]:
    """Return a row as the database sends it; runs in seconds since midnight."""
    shifted = [(ZERO + first, ZERO + stop) for first, stop in runs]
    allowed = [7, step, notice, horizon, 600, HOUR, shifted]
    return "UTC", staff_id, f"Staff {staff_id}", 45 * 60 * A_SECOND, None, json.dumps(allowed)


def _half_hours(team: list[set[int]], notice: int = 0) -> Openings:
    """Return who may start when, in half hours since midnight; the horizon is twenty hours."""
    rows = [
        _row(
            number + 1,
            [(run.start * STEP, (run.stop - 1) * STEP + 1) for run in _runs(starts)],
            notice=notice * STEP * A_SECOND,
            horizon=40 * STEP * A_SECOND,
            step=STEP,
        )
        for number, starts in enumerate(team)
    ]
    openings = Openings.read(rows, MIDNIGHT + 48 * HALF_AN_HOUR)
    assert openings
    return openings


def _runs(starts: set[int]) -> list[range]:
    """Return the same numbers as ranges."""
    begins = sorted(start for start in starts if start - 1 not in starts)
    ends = sorted(start for start in starts if start + 1 not in starts)
    return [range(first, last + 1) for first, last in zip(begins, ends, strict=True)]


TEAMS = st.lists(st.sets(st.integers(0, 48)), min_size=1, max_size=4)


@given(TEAMS, st.integers(0, 60), st.integers(0, 4), st.integers(0, 20), st.integers(-10, 50))
def test_the_nearest_come_first_and_none_is_left_out(
    team: list[set[int]], wanted: int, first: int, notice: int, present: int
) -> None:
    """Nearest, the same staff member, earlier, by name; as far as all that is nearer is known."""
    openings = _half_hours(team, notice)
    until = 48
    everything = {
        (number + 1, start)
        for number, starts in enumerate(team)
        for start in starts
        if notice <= start - present <= 40 and abs(start - wanted) < until - wanted
    }
    expected = sorted(
        everything, key=lambda each: (abs(each[1] - wanted), each[0] != first, each[1], each[0])
    )
    now = MIDNIGHT + present * HALF_AN_HOUR
    found = list(openings.nearest(ZERO + wanted * STEP, first, now))
    assert [(who, ZERO + start * STEP) for who, start in expected] == found


@given(TEAMS, st.integers(-5, 50), st.integers(-5, 50), st.integers(0, 20), st.integers(-10, 50))
def test_runs_hold_the_starts_between_two_instants(
    team: list[set[int]], first: int, last: int, notice: int, present: int
) -> None:
    """Both included; notice and horizon counted, wherever between two starts these end."""
    openings = _half_hours(team, notice)
    for moved in (0, 1, -1):  # seconds
        now = MIDNIGHT + present * HALF_AN_HOUR + timedelta(seconds=moved)
        between = ZERO + first * STEP + moved, ZERO + last * STEP + moved
        expected = {
            (number + 1, ZERO + start * STEP)
            for number, starts in enumerate(team)
            for start in starts
            if between[0] <= ZERO + start * STEP <= between[1]
            and notice * STEP <= (start - present) * STEP - moved <= 40 * STEP
        }
        found = [
            (who, start)
            for who, opens, closes in openings.runs_between(*between, now)
            for start in range(opens, closes + 1, STEP)
        ]
        assert sorted(expected) == sorted(found)


@given(TEAMS, st.integers(-5, 50), st.integers(-5, 50), st.integers(1, 100))
def test_who_may_start_when_is_counted(
    team: list[set[int]], first: int, last: int, most: int
) -> None:
    """Between two instants, everybody for themselves; exactly, unless they are too many."""
    openings = _half_hours(team)
    count = sum(first < start < last for starts in team for start in starts)
    found = openings.count(ZERO + first * STEP, ZERO + last * STEP, most)
    assert min(count, found) > most or count == found


def test_notice_and_horizon_are_counted_to_the_microsecond() -> None:
    """Half a day ahead is far enough, a microsecond less is not; the same at the other end."""
    rows = [_row(1, [(12 * HOUR, 12 * HOUR + 1)], notice=12 * HOUR * A_SECOND, step=HOUR)]
    openings = Openings.read(rows, MIDNIGHT + timedelta(days=2))
    assert openings
    moment = timedelta(microseconds=1)
    for now, allowed in ((MIDNIGHT, True), (MIDNIGHT + moment, False)):
        assert allowed == bool(list(openings.nearest(ZERO, 0, now)))
    far = [_row(1, [(12 * HOUR, 12 * HOUR + 1)], horizon=12 * HOUR * A_SECOND, step=HOUR)]
    openings = Openings.read(far, MIDNIGHT + timedelta(days=2))
    assert openings
    for now, allowed in ((MIDNIGHT, True), (MIDNIGHT - moment, False)):
        assert allowed == bool(list(openings.nearest(ZERO, 0, now)))


def test_nobody_is_nothing_to_remember() -> None:
    """A service that nobody offers has no rules."""
    assert Openings.read([], MIDNIGHT) is None


def test_whoever_works_the_same_hours_is_remembered_once() -> None:
    """A large team must not fill the memory with copies of one list."""
    rows = [_row(number, [(9 * HOUR, 17 * HOUR)], step=HOUR // 4) for number in range(1, 21)]
    openings = Openings.read(rows, MIDNIGHT + timedelta(days=2))
    assert openings
    assert len(openings.starts) == 32
    assert all(a is b for a, b in pairwise(openings.who.values()))
