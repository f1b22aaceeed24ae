"""Random salons around a day on which the clocks change, or one like any other."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import time, timedelta

from hypothesis import strategies as st
from slow_calendar import Appointment, SlowCalendar
from wall_clocks import CHANGES_WITHIN_A_DAY, MINUTE, Change, moment_of

from booking_core.calendar.rules import Calendar, Service, WeeklyHours
from booking_core.slots import TICK, Slot

# Mostly round times, since those meet each other and the hour of the change.
wall_times = st.one_of(
    st.sampled_from([time(), time(1, 30), time(2), time(2, 30), time(3), time(9), time(22)]),
    st.integers(0, 95).map(lambda quarter: time(quarter // 4, quarter % 4 * 15)),
    st.integers(0, 1439).map(lambda minute: time(minute // 60, minute % 60)),
)


# Small teams most of the time; a large one is first asked who is free at that very time.
SIZES = [1, 1, 2, 2, 3, 3, 3, 10]


@dataclass
class RandomSalon:
    """Staff members at one location or two, who offer one service.

    Attributes:
        change: The moment around which everything happens.
        service: What they offer.
        calendars: Of the staff members; names are in order of ids.
    """

    change: Change
    service: Service
    calendars: list[SlowCalendar]

    def at(self, location_id: int) -> list[SlowCalendar]:
        """Return the calendars of those who work at a location."""
        return [slow for slow in self.calendars if slow.calendar.location_id == location_id]


def weekly_hours(kind: str, least: int, most: int) -> st.SearchStrategy[list[WeeklyHours]]:
    """Return shifts or breaks; half of them go on past midnight."""
    return st.lists(
        st.builds(WeeklyHours, st.integers(0, 6), st.just(kind), wall_times, wall_times),
        min_size=least,
        max_size=most,
        unique_by=lambda hours: (hours.weekday, hours.starts),
    )


@st.composite
def slots_around(draw: st.DrawFn, change: Change, longest: int) -> Slot:
    """Return a slot near the change."""
    start = change.minute + 5 * draw(st.integers(-400, 400))
    return Slot(moment_of(start), moment_of(start + draw(st.integers(1, longest))))


@st.composite
def appointments_around(draw: st.DrawFn, change: Change) -> list[Appointment]:
    """Return appointments that don't overlap; buffers of their own lie around some of them."""
    found: list[Appointment] = []
    for blocked in sorted(draw(st.lists(slots_around(change, 90), max_size=6))):
        if not found or found[-1].blocked.end <= blocked.start:
            spare = (blocked.end - blocked.start) // MINUTE - 1
            before = draw(st.integers(0, min(spare, 20)))
            after = draw(st.integers(0, min(spare - before, 20)))
            promised = Slot(blocked.start + before * MINUTE, blocked.end - after * MINUTE)
            found.append(Appointment(promised, blocked))
    return found


@st.composite
def services(draw: st.DrawFn) -> Service:
    """Return a service."""
    return Service(
        1,
        "Cut",
        duration=draw(st.sampled_from([5, 20, 45, 60, 120, 600])) * MINUTE,
        buffer_after=draw(st.sampled_from([0, 1, 10, 15, 60])) * MINUTE,
        grid=draw(st.sampled_from([1, 7, 10, 15, 30, 60, 90, 1440])) * MINUTE,
        buffer_before=draw(st.sampled_from([0, 0, 1, 10, 30])) * MINUTE,
    )


@st.composite
def salons(draw: st.DrawFn, sizes: Sequence[int] = SIZES) -> RandomSalon:
    """Return a salon around a change of the clocks, at a present moment.

    Args:
        draw: Hypothesis's.
        sizes: How many staff members there may be.
    """
    change = draw(st.sampled_from(CHANGES_WITHIN_A_DAY))
    elsewhere = Change(draw(st.sampled_from(CHANGES_WITHIN_A_DAY)).zone, change.moment)
    service = draw(services())
    now = change.moment - MINUTE * draw(st.integers(-500, 3000))
    now += draw(st.sampled_from([timedelta(), timedelta(seconds=30), TICK, -TICK]))
    places = [
        (
            number,
            place,
            MINUTE * draw(st.sampled_from([0, 0, 1, 60, 1440])),
            MINUTE * draw(st.sampled_from([1440, 2880, 3600])),
            draw(st.lists(slots_around(change, 1000), max_size=1)),
        )
        for number, place in ((1, change), (2, elsewhere))
    ]
    size = draw(st.sampled_from(sizes))
    weeks = draw(st.lists(weekly_hours("shift", 5, 14), min_size=1, max_size=min(size, 3)))
    calendars = []
    for staff_id in range(1, size + 1):
        location_id, place, notice, horizon, closed = draw(st.sampled_from(places))
        calendar = Calendar(
            staff_id=staff_id,
            staff=f"Staff {staff_id:02}",
            location_id=location_id,
            zone=place.zone_info,
            minimum_notice=notice,
            horizon=horizon,
            hours=(*draw(st.sampled_from(weeks)), *draw(weekly_hours("break", 0, 4))),
            off=draw(st.lists(slots_around(change, 1000), max_size=2)),
            closed=closed,
        )
        busy = draw(appointments_around(change))
        calendars.append(SlowCalendar(place, calendar, service, now, busy))
    return RandomSalon(change, service, calendars)


calendars = salons(sizes=[1]).map(lambda salon: salon.calendars[0])
