"""Calendars: what may be booked, and a slow oracle that must agree."""

# ruff: noqa: SIM300 - expected == actual

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from itertools import chain
from zoneinfo import ZoneInfo

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from random_salons import calendars
from slow_calendar import SlowCalendar
from wall_clocks import MINUTE, moment_of

from booking_core.calendar.rules import Calendar, Hours, Service
from booking_core.errors import InvalidRequest
from booking_core.slots import TICK, Slot

HOUR = 60 * MINUTE
QUARTER = 15 * MINUTE
WINDOW = 2 * 24 * 60  # minutes


def _may_be_booked(slow: SlowCalendar, minute: int) -> bool:
    """Ask `check`, as booking does: about one slot, without other appointments."""
    try:
        slow.calendar.check(slow.service, slow.service.slot(moment_of(minute)), slow.now)
    except InvalidRequest:
        return False
    return True


@settings(deadline=None)
@given(calendars(), st.integers(-WINDOW // 2 - 700, -WINDOW // 2 + 700))
def test_booking_allows_exactly_what_the_rules_do(slow: SlowCalendar, ago: int) -> None:
    """A slot that is listed passes the check of a booking, and one that is not does not."""
    first = slow.change.minute + ago
    allowed = [minute for minute in range(first, first + WINDOW) if slow.allows(minute)]
    event("from the opening" if slow.service.grid_from_opening else "from midnight")
    event("some starts" if allowed else "no start")
    window = moment_of(first), moment_of(first + WINDOW) - TICK
    listed = chain(*slow.calendar.starts(slow.service, *window, slow.now))
    assert [60 * minute for minute in allowed] == list(listed)
    # Some starts and their neighbours, and every now and then a minute.
    some = [*allowed[:10], *allowed[:: len(allowed) // 20 + 1], *allowed[-10:]]
    asked = {near for minute in some for near in (minute - 1, minute, minute + 1)}
    asked |= set(range(first, first + WINDOW, 25))
    assert {minute: slow.allows(minute) for minute in asked} == {
        minute: _may_be_booked(slow, minute) for minute in asked
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
        hours=(
            Hours.weekly(0, "shift", time(9), time(17)),
            Hours.weekly(0, "break", time(13), time(13, 30)),
        ),
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


def test_what_is_blocked_is_the_slot_and_its_buffers() -> None:
    """Set-up before it and buffer after it; the client is promised what lies between."""
    service = replace(CUT, buffer_before=QUARTER)
    assert Slot(MONDAY - QUARTER, MONDAY + HOUR + QUARTER) == service.blocked(MONDAY)
    assert Slot(MONDAY, MONDAY + HOUR) == service.slot(MONDAY)


def test_a_closed_day_is_named() -> None:
    """On a public holiday nobody works, whatever their hours say."""
    calendar = _calendar(closed=[Slot(MONDAY, MONDAY + 12 * HOUR)])
    with pytest.raises(InvalidRequest) as refusal:
        calendar.check(CUT, CUT.slot(MONDAY + 11.5 * HOUR), MONDAY)
    assert "CLOSED" == refusal.value.code
    calendar.check(CUT, CUT.slot(MONDAY + 12 * HOUR), MONDAY)


def test_notice_and_horizon_count_from_the_instant_not_from_the_wall_clock() -> None:
    """An hour of notice is an hour, on the night when the clocks go back too."""
    zone = ZoneInfo("Europe/Berlin")
    always = tuple(Hours.weekly(day, "shift", time(), time()) for day in range(7))
    calendar = _calendar(zone=zone, hours=always, off=())
    now = datetime(2030, 10, 27, 2, tzinfo=zone)  # the first of two; 00:00 UTC
    in_an_hour = CUT.slot(now.astimezone(UTC) + HOUR)  # the wall shows two o'clock again
    calendar.check(CUT, in_an_hour, now)
    with pytest.raises(InvalidRequest, match="too soon"):
        calendar.check(CUT, CUT.slot(in_an_hour.start - QUARTER), now)
