"""Slots: half-open, compared as instants, right also when clocks change."""

# ruff: noqa: SIM300 - expected == actual

from datetime import UTC, datetime, time, timedelta, timezone
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from wall_clocks import (
    CHANGES,
    EPOCH,
    MINUTE,
    Change,
    changes,
    minute_of,
    moment_of,
    walls_around,
)

from booking_core.errors import InvalidRequest
from booking_core.slots import Slot, in_utc, instant, merge, subtract

BERLIN = ZoneInfo("Europe/Berlin")
SPRING = CHANGES[0]
AUTUMN = CHANGES[1]

MOMENT = datetime(2030, 1, 7, tzinfo=UTC)
pairs = st.tuples(st.integers(0, 40), st.integers(1, 12))
plain_slots = pairs.map(lambda pair: _slot(pair[0], pair[0] + pair[1]))
lists_of_slots = st.lists(plain_slots, max_size=8)


def _slot(start: int, end: int, unit: timedelta = MINUTE) -> Slot:
    return Slot(MOMENT + start * unit, MOMENT + end * unit)


def _ticks(*slots: Slot, unit: timedelta = MINUTE) -> set[int]:
    """Return the slots as a set of numbers, the oracle of every interval arithmetic."""
    return {
        tick
        for slot in slots
        for tick in range((slot.start - MOMENT) // unit, (slot.end - MOMENT) // unit)
    }


@settings(deadline=None)
@given(pairs, pairs)
def test_overlap_is_sharing_an_instant(one: tuple[int, int], other: tuple[int, int]) -> None:
    """Slots that touch are neighbours, not rivals; to the microsecond."""
    unit = timedelta(microseconds=1)
    first, second = (_slot(start, start + length, unit) for start, length in (one, other))
    shared = bool(_ticks(first, unit=unit) & _ticks(second, unit=unit))
    assert (shared, shared) == (first.overlaps(second), second.overlaps(first))


@settings(deadline=None)
@given(pairs, pairs)
def test_containing_is_having_every_instant(one: tuple[int, int], other: tuple[int, int]) -> None:
    """A slot that ends with the shift lies inside it."""
    first, second = (_slot(start, start + length) for start, length in (one, other))
    assert (_ticks(first) >= _ticks(second)) == first.contains(second)


@settings(deadline=None)
@given(lists_of_slots)
def test_merging_keeps_every_instant_and_adds_none(slots: list[Slot]) -> None:
    """Two shifts that touch are one stretch of work in which a service may run on."""
    merged = merge(slots)
    assert _ticks(*slots) == _ticks(*merged)
    assert all(one.end < other.start for one, other in pairwise(merged))


@settings(deadline=None)
@given(lists_of_slots, lists_of_slots)
def test_subtracting_takes_exactly_the_holes(slots: list[Slot], holes: list[Slot]) -> None:
    """Breaks and time off are left out of the working hours, and nothing else is."""
    rest = subtract(slots, holes)
    assert _ticks(*slots) - _ticks(*holes) == _ticks(*rest)
    assert rest == merge(rest)


def test_a_slot_keeps_instants_not_wall_clocks() -> None:
    """The hour that occurs twice in autumn is an hour long, though the wall clock stands still."""
    first = datetime(2030, 10, 27, 2, 30, tzinfo=BERLIN)
    slot = Slot(first, first.replace(fold=1))
    assert timedelta(hours=1) == slot.end - slot.start
    assert Slot(AUTUMN.moment - 30 * MINUTE, AUTUMN.moment + 30 * MINUTE) == slot
    assert slot.start.tzinfo is UTC


@pytest.mark.parametrize("length", [timedelta(), timedelta(microseconds=-1), timedelta(days=-1)])
def test_an_end_must_come_after_the_start(length: timedelta) -> None:
    """An empty slot would overlap nothing and could be booked for ever."""
    with pytest.raises(InvalidRequest) as refusal:
        Slot(MOMENT, MOMENT + length)
    assert refusal.value.code == "END_BEFORE_START"


def test_the_end_is_compared_as_an_instant() -> None:
    """An end whose wall clock is later but whose instant is not is no end."""
    start = datetime(2030, 1, 7, 9, tzinfo=UTC)
    end = datetime(2030, 1, 7, 10, tzinfo=timezone(timedelta(hours=2)))
    with pytest.raises(InvalidRequest) as refusal:
        Slot(start, end)
    assert refusal.value.code == "END_BEFORE_START"


@pytest.mark.parametrize(
    ("value", "code"),
    [
        pytest.param(datetime(2030, 1, 7, 9), "NAIVE_DATETIME", id="naive"),  # noqa: DTZ001 - that is the point
        pytest.param("2030-01-07T09:00+00:00", "NOT_A_DATETIME", id="text"),
        pytest.param(MOMENT.date(), "NOT_A_DATETIME", id="date"),
        pytest.param(1_893_000_000, "NOT_A_DATETIME", id="number"),
        pytest.param(None, "NOT_A_DATETIME", id="none"),
        pytest.param(datetime.max.replace(tzinfo=UTC), "OUT_OF_RANGE", id="last"),
        pytest.param(datetime.min.replace(tzinfo=UTC), "OUT_OF_RANGE", id="first"),
        pytest.param(
            datetime.max.replace(tzinfo=timezone(-timedelta(hours=23))),
            "OUT_OF_RANGE",
            id="last, in a zone where UTC would overflow",
        ),
    ],
)
def test_what_is_no_instant_is_refused(value: object, code: str) -> None:
    """A datetime without a zone, or none at all, is never guessed at."""
    with pytest.raises(InvalidRequest) as refusal:
        in_utc(value)  # type: ignore[arg-type]
    assert refusal.value.code == code


@settings(deadline=None)
@given(
    changes,
    st.integers(-36 * 60, 36 * 60),
    st.integers(0, 1439).map(lambda minute: time(minute // 60, minute % 60)),
    st.integers(0, 1),
)
def test_local_times_become_instants_as_rfc_5545_says(
    change: Change, around: int, wall: time, fold: int
) -> None:
    """A local time that occurs twice means the first, one that never occurs moves past the gap."""
    day = (change.moment + around * MINUTE).astimezone(change.zone_info).date()
    expected = moment_of(walls_around(change).when(day, wall))
    actual = instant(day, wall.replace(fold=fold), change.zone_info)
    assert (expected, UTC) == (actual, actual.tzinfo)


def test_the_two_days_on_which_clocks_change() -> None:
    """The README's examples: 02:30 in spring is the change, 02:30 in autumn the first one."""
    spring = instant(SPRING.moment.date(), time(2, 30), BERLIN)
    autumn = instant(AUTUMN.moment.date(), time(2, 30), BERLIN)
    assert datetime(2030, 3, 31, 1, tzinfo=UTC) == spring
    assert "03:00+0200" == f"{spring.astimezone(BERLIN):%H:%M%z}"
    assert datetime(2030, 10, 27, 0, 30, tzinfo=UTC) == autumn


@settings(deadline=None)
@given(st.datetimes(datetime(1900, 1, 1), datetime(2100, 1, 1)), st.integers(-1439, 1439))  # noqa: DTZ001 - Hypothesis wants them so
def test_the_same_instant_in_any_zone_is_the_same_slot(naive: datetime, offset: int) -> None:
    """What a client's time zone is makes no difference."""
    assume(offset)
    moment = naive.replace(tzinfo=UTC)
    elsewhere = moment.astimezone(timezone(offset * MINUTE))
    assert Slot(moment, moment + MINUTE) == Slot(elsewhere, elsewhere + MINUTE)
    assert minute_of(moment) == (in_utc(elsewhere) - EPOCH) // MINUTE
