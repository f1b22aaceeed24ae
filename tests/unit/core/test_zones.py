"""What the database is told about wall clocks is what they show, on every day of the year."""

# ruff: noqa: SIM300 - expected == actual

from datetime import UTC, datetime, time, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import example, given, settings
from hypothesis import strategies as st
from wall_clocks import CHANGES, Change, changes, minute_of, moment_of, walls_around

from booking_core.calendar.zones import Stretch, clocks, stretches
from booking_core.slots import Slot, instant

DAY = timedelta(days=1)
DAYS = 4  # before and after a change


def _around(change: Change) -> tuple[Stretch, ...]:
    day = change.moment.toordinal()
    return stretches(change.zone, day - DAYS, day + DAYS)


def _covers(written: str, moment: datetime) -> bool:
    """Read a range as PostgreSQL would."""
    since, until = written[1:-1].split(",")
    return (not since or datetime.fromisoformat(since) <= moment) and (
        not until or moment < datetime.fromisoformat(until)
    )


@settings(deadline=None)
@given(changes, st.integers(-DAYS * 1440, DAYS * 1440 - 1))
@example(CHANGES[0], 0)
@example(CHANGES[0], -1)
def test_every_instant_lies_in_one_stretch_with_the_offset_of_the_wall(
    change: Change, offset: int
) -> None:
    """Compared with what the wall shows, minute by minute."""
    minute = change.minute + offset
    wall = walls_around(change).at(minute).replace(tzinfo=UTC)
    aheads = [
        stretch.ahead for stretch in _around(change) if _covers(stretch.instants, moment_of(minute))
    ]
    assert [wall - moment_of(minute)] == aheads


@settings(deadline=None)
@given(changes, st.integers(-DAYS + 1, DAYS - 2), st.integers(0, 1439))
@example(CHANGES[0], 0, 150)
@example(CHANGES[1], 0, 150)
def test_every_wall_time_means_one_instant_as_it_does_in_python(
    change: Change, days: int, minutes: int
) -> None:
    """The first of two in autumn, and past the gap in spring: what `slots.instant` says."""
    day = change.moment.astimezone(change.zone_info).date() + days * DAY
    wall = datetime.combine(day, time(minutes // 60, minutes % 60))
    meant = [
        (wall - stretch.ahead).replace(tzinfo=UTC)
        for stretch in _around(change)
        if _covers(stretch.walls, wall)
    ]
    assert [instant(day, wall.time(), change.zone_info)] == meant


def test_no_zone_changes_its_clocks_in_a_way_that_is_overlooked() -> None:
    """Every zone, through a year in which many a law was changed.

    In steps of four hours: no law changes clocks and changes them back within that time.
    """
    first = datetime(2011, 1, 1, tzinfo=UTC)
    hours = [first + timedelta(hours=hour) for hour in range(0, 365 * 24 + 1, 4)]
    for zone in sorted(available_timezones()):
        place = ZoneInfo(zone)
        offsets = [hour.astimezone(place).utcoffset() for hour in hours]
        changed = sum(one != other for one, other in pairwise(offsets))
        told = stretches(zone, first.toordinal(), first.toordinal() + 365)
        assert changed == len(told) - 1, zone
        ends = [one.instants.strip("[)").split(",")[1] for one in told[:-1]]
        assert ends == [other.instants.strip("[)").split(",")[0] for other in told[1:]], zone


def test_a_query_is_told_of_all_zones() -> None:
    """Arrays of one length, one element for each stretch, with room for the shifts around."""
    moment = CHANGES[0].moment
    told = clocks(["Europe/Berlin", "UTC"], Slot(moment + 2 * DAY, moment + 3 * DAY))
    assert {
        "zones": '{"Europe/Berlin","Europe/Berlin","UTC"}',
        "instants": '{"[,2030-03-31T01:00:00+00:00)","[2030-03-31T01:00:00+00:00,)","[,)"}',
        "walls": '{"[,2030-03-31T03:00:00)","[2030-03-31T03:00:00,)","[,)"}',
        "ahead": '{"3600","7200","0"}',
    } == told
    assert minute_of(moment) * 60 == moment.timestamp()
