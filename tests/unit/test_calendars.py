"""Calendars: what is listed, what may be booked, and a slow oracle that must agree with both."""

# ruff: noqa: SIM300 - expected == actual

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from slow_calendar import SlowCalendar
from wall_clocks import CHANGES_WITHIN_A_DAY, MINUTE, Change, minute_of, moment_of

from booking_core.calendars import Calendar, Service, WeeklyHours
from booking_core.errors import InvalidRequest
from booking_core.slots import TICK, Slot

HOUR = 60 * MINUTE
QUARTER = 15 * MINUTE
WINDOW = 2 * 24 * 60  # minutes

# Mostly round times, since those meet each other and the hour of the change.
wall_times = st.one_of(
    st.sampled_from([time(), time(1, 30), time(2), time(2, 30), time(3), time(9), time(22)]),
    st.integers(0, 95).map(lambda quarter: time(quarter // 4, quarter % 4 * 15)),
    st.integers(0, 1439).map(lambda minute: time(minute // 60, minute % 60)),
)


def weekly_hours(kind: str, least: int, most: int) -> st.SearchStrategy[list[WeeklyHours]]:
    """Return shifts or breaks; half of them go on past midnight."""
    return st.lists(
        st.builds(WeeklyHours, st.integers(0, 6), st.just(kind), wall_times, wall_times),
        min_size=least,
        max_size=most,
    )


@st.composite
def slots_around(draw: st.DrawFn, change: Change, longest: int) -> Slot:
    """Return a slot near the change."""
    start = change.minute + 5 * draw(st.integers(-400, 400))
    return Slot(moment_of(start), moment_of(start + draw(st.integers(1, longest))))


@st.composite
def calendars(draw: st.DrawFn) -> SlowCalendar:
    """Return a calendar around a change of the clocks, a service and a present moment."""
    change = draw(st.sampled_from(CHANGES_WITHIN_A_DAY))
    service = Service(
        1,
        "Cut",
        duration=draw(st.sampled_from([5, 20, 45, 60, 120, 600])) * MINUTE,
        buffer_after=draw(st.sampled_from([0, 1, 10, 15, 60])) * MINUTE,
        grid=draw(st.sampled_from([1, 7, 10, 15, 30, 60, 90, 1440])) * MINUTE,
    )
    busy = draw(st.lists(slots_around(change, 90), max_size=6))
    disjoint: list[Slot] = []
    for slot in sorted(busy):
        if not disjoint or disjoint[-1].end <= slot.start:
            disjoint.append(slot)
    calendar = Calendar(
        staff_id=1,
        staff="Ada",
        zone=change.zone_info,
        minimum_notice=draw(st.sampled_from([0, 1, 60, 1440])) * MINUTE,
        horizon=draw(st.sampled_from([1440, 3 * 1440, 90 * 1440])) * MINUTE,
        hours=draw(weekly_hours("shift", 3, 12)) + draw(weekly_hours("break", 0, 4)),
        off=draw(st.lists(slots_around(change, 1000), max_size=2)),
        busy=disjoint,
    )
    ago = st.integers(-1500, 3000).map(lambda minutes: minutes * MINUTE)
    second = st.sampled_from([timedelta(), timedelta(seconds=30), TICK, -TICK])
    return SlowCalendar(change, calendar, service, change.moment - draw(ago) + draw(second))


@settings(max_examples=100, deadline=None)
@given(calendars(), st.integers(-WINDOW // 2 - 700, -WINDOW // 2 + 700))
def test_exactly_the_starts_that_the_rules_allow_are_listed(slow: SlowCalendar, ago: int) -> None:
    """What is offered can be booked and nothing else is: shifts, breaks, time off, buffers, all."""
    first = slow.change.minute + ago
    window = Slot(moment_of(first), moment_of(first + WINDOW))
    expected = [moment_of(minute) for minute in slow.starts(first, first + WINDOW)]
    event("some starts" if expected else "no start")
    assert expected == list(slow.calendar.starts(slow.service, window, slow.now))


def _may_be_booked(slow: SlowCalendar, minute: int) -> bool:
    """Ask `check`, as booking does: about one slot, without other appointments."""
    alone = replace(slow.calendar, busy=())
    try:
        alone.check(slow.service, slow.service.slot(moment_of(minute)), slow.now)
    except InvalidRequest:
        return False
    return True


@settings(max_examples=40, deadline=None)
@given(calendars(), st.integers(-WINDOW // 2 - 700, -WINDOW // 2 + 700))
def test_booking_allows_exactly_what_the_rules_do(slow: SlowCalendar, ago: int) -> None:
    """A slot that is listed passes the check of a booking, and one that is not does not."""
    first = slow.change.minute + ago
    allowed = [minute for minute in range(first, first + WINDOW) if slow.allows(minute)]
    # Each start and its neighbours, and every fifth minute.
    asked = {near for minute in allowed[:40] for near in (minute - 1, minute, minute + 1)}
    asked |= set(range(first, first + WINDOW, 25))
    known = set(allowed)
    assert {minute: slow.allows(minute) for minute in asked - known} == {
        minute: _may_be_booked(slow, minute) for minute in asked - known
    }
    assert dict.fromkeys(asked & known, True) == {
        minute: _may_be_booked(slow, minute) for minute in asked & known
    }


MONDAY = datetime(2030, 1, 7, tzinfo=UTC)
CUT = Service(1, "Cut", duration=HOUR, buffer_after=QUARTER, grid=QUARTER)


def _calendar(**different: object) -> Calendar:
    """Return a calendar: nine to five on Mondays in UTC, a break from one to half past."""
    plain = Calendar(
        staff_id=1,
        staff="Ada",
        zone=ZoneInfo("UTC"),
        minimum_notice=HOUR,
        horizon=timedelta(days=30),
        hours=[
            WeeklyHours(0, "shift", time(9), time(17)),
            WeeklyHours(0, "break", time(13), time(13, 30)),
        ],
        off=[Slot(MONDAY + 15 * HOUR, MONDAY + 15.5 * HOUR)],
    )
    return replace(plain, **different)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("hour", "now", "code"),
    [
        pytest.param(10, MONDAY + 10 * HOUR + TICK, "IN_THE_PAST", id="in the past"),
        pytest.param(10, MONDAY + 10 * HOUR, "TOO_SOON", id="now"),
        pytest.param(10, MONDAY + 9 * HOUR + TICK, "TOO_SOON", id="inside the notice"),
        pytest.param(10, MONDAY + 9 * HOUR, None, id="just outside the notice"),
        pytest.param(10, MONDAY + 10 * HOUR - timedelta(days=30), None, id="at the horizon"),
        pytest.param(
            10, MONDAY + 10 * HOUR - timedelta(days=30) - TICK, "TOO_FAR_AHEAD", id="beyond it"
        ),
        pytest.param(9, MONDAY, None, id="when the shift begins"),
        pytest.param(8.75, MONDAY, "OUTSIDE_HOURS", id="before the shift"),
        pytest.param(16, MONDAY, None, id="up to the end of the shift, the buffer beyond it"),
        pytest.param(16.25, MONDAY, "OUTSIDE_HOURS", id="past the end of the shift"),
        pytest.param(12, MONDAY, None, id="up to the break, the buffer in it"),
        pytest.param(12.25, MONDAY, "IN_A_BREAK", id="into the break"),
        pytest.param(13.25, MONDAY, "IN_A_BREAK", id="out of the break"),
        pytest.param(13.5, MONDAY, None, id="right after the break"),
        pytest.param(14.25, MONDAY, "TIME_OFF", id="into time off"),
        pytest.param(15.5, MONDAY, None, id="right after time off"),
        pytest.param(10.1, MONDAY, "OFF_GRID", id="off the grid"),
        pytest.param(24 + 10, MONDAY, "OUTSIDE_HOURS", id="a day without a shift"),
    ],
)
def test_the_first_rule_that_is_broken_is_named(
    hour: float, now: datetime, code: str | None
) -> None:
    """A refusal says which rule it was, so that the client can do something about it."""
    calendar = _calendar()
    slot = CUT.slot(MONDAY + hour * HOUR)
    if code is None:
        calendar.check(CUT, slot, now)
        assert [slot.start] == list(calendar.starts(CUT, Slot(slot.start, slot.start + TICK), now))
        return
    with pytest.raises(InvalidRequest) as refusal:
        calendar.check(CUT, slot, now)
    assert code == refusal.value.code


def test_a_slot_must_be_as_long_as_its_service() -> None:
    """A client that computed another end has another service in mind."""
    start = MONDAY + 9 * HOUR
    with pytest.raises(InvalidRequest) as refusal:
        _calendar().check(CUT, Slot(start, start + HOUR - TICK), MONDAY)
    assert "WRONG_DURATION" == refusal.value.code


@pytest.mark.parametrize(
    ("hour", "free"),
    [(10.75, True), (11, False), (12, False), (13, False), (13.25, True)],
)
def test_buffers_are_kept_on_both_sides(hour: float, free: bool) -> None:
    """Neither one's own buffer runs into the next appointment, nor one starts in another's."""
    busy = CUT.blocked(MONDAY + 12 * HOUR)
    calendar = _calendar(hours=[WeeklyHours(0, "shift", time(9), time(17))], busy=[busy])
    start = MONDAY + hour * HOUR
    listed = list(calendar.starts(CUT, Slot(start, start + TICK), MONDAY))
    assert ([start] if free else []) == listed


def test_a_check_does_not_look_at_other_appointments() -> None:
    """Who has the slot is for the strategy to say: a taken slot is a conflict, not a bad hour."""
    start = MONDAY + 9 * HOUR
    _calendar(busy=[CUT.blocked(start)]).check(CUT, CUT.slot(start), MONDAY)


def test_notice_and_horizon_count_from_the_instant_not_from_the_wall_clock() -> None:
    """An hour of notice is an hour, on the night when the clocks go back too."""
    zone = ZoneInfo("Europe/Berlin")
    always = [WeeklyHours(day, "shift", time(), time()) for day in range(7)]
    calendar = _calendar(zone=zone, hours=always, off=())
    now = datetime(2030, 10, 27, 2, tzinfo=zone)  # the first of two; 00:00 UTC
    window = Slot(now, now.astimezone(UTC) + 2 * HOUR)
    assert minute_of(now) + 60 == minute_of(next(calendar.starts(CUT, window, now)))
