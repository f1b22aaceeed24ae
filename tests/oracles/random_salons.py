"""Random salons around a day on which the clocks change, or one like any other."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, time, timedelta

from hypothesis import strategies as st
from slow_calendar import Appointment, SlowCalendar
from wall_clocks import MINUTE, Change, changes, moment_of

from booking_core.calendar.rules import Calendar, Hours, Service
from booking_core.slots import TICK, Slot

DAY = 24 * 60  # minutes
WEEK = timedelta(weeks=1)

# Mostly round times, since those meet each other and the hour of the change.
ROUND = [0, 30, 60, 90, 120, 150, 180, 9 * 60, 22 * 60, 23 * 60, 23 * 60 + 30]
minutes_of_day = st.one_of(
    st.sampled_from(ROUND),
    st.integers(0, 95).map(lambda quarter: quarter * 15),
    st.integers(0, DAY - 1),
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


def wall_time(minute: int) -> time:
    """Return what the wall shows so many minutes after midnight, on whatever date."""
    return time(minute // 60 % 24, minute % 60)


@st.composite
def spans(draw: st.DrawFn, kind: str) -> tuple[time, time]:
    """Return when a shift or a break begins and ends; many go on past midnight.

    Most breaks are short, some are empty, and a few leave hardly anything of a day.
    """
    starts = draw(minutes_of_day)
    if kind == "shift" or draw(st.integers(0, 3)) == 0:
        return wall_time(starts), wall_time(draw(minutes_of_day))
    return wall_time(starts), wall_time(starts + draw(st.sampled_from([0, 15, 30, 60, 61])))


@st.composite
def weekly_hours(draw: st.DrawFn, kind: str, least: int, most: int) -> list[Hours]:
    """Return shifts or breaks of every week."""
    found = draw(
        st.lists(
            st.tuples(st.integers(0, 6), spans(kind)),
            min_size=least,
            max_size=most,
            unique_by=lambda each: (each[0], each[1][0]),
        )
    )
    return [Hours.weekly(weekday, kind, *span) for weekday, span in found]


@st.composite
def nights(draw: st.DrawFn) -> list[Hours]:
    """Return a night shift with a break in it, under the one date or under the other."""
    weekday = draw(st.integers(0, 6))
    break_begins = draw(st.integers(0, 16)) * 15
    later = draw(st.integers(0, 1))
    return [
        Hours.weekly(weekday, "shift", time(21, 7), time(6)),
        Hours.weekly(
            (weekday + later) % 7, "break", wall_time(break_begins), wall_time(break_begins + 30)
        ),
    ]


@st.composite
def other_hours(draw: st.DrawFn, change: Change) -> list[Hours]:
    """Return hours of some dates around a change, on which nobody works or at other times."""
    today = change.moment.astimezone(change.zone_info).date()
    found: dict[tuple[date, date], list[Hours]] = {}
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 4]))):
        first = today + timedelta(days=draw(st.integers(-3, 3)))
        first -= draw(st.sampled_from([0, 0, 1, 2, 3, 52])) * WEEK
        length = draw(st.sampled_from([0, 1, 7, 13, 14, 21, 400]))
        last = draw(st.sampled_from([date.max, first + timedelta(days=length)]))
        every = draw(st.sampled_from([1, 1, 2, 3]))
        kinds = draw(
            st.sampled_from(
                [["closed"], ["break"], ["shift"], ["shift", "break"], ["shift", "shift", "break"]]
            )
        )
        rows = []
        for kind in kinds:
            span = (time(), time()) if kind == "closed" else draw(spans(kind))
            # Those that hold together need not come back together.
            weeks = draw(st.sampled_from([every, every, every, 2]))
            rows.append(Hours(first, kind, *span, last, weeks))
        found[first, last] = rows
    return [row for rows in found.values() for row in rows]


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
        grid_from_opening=draw(st.booleans()),
    )


@st.composite
def salons(
    draw: st.DrawFn,
    sizes: Sequence[int] = SIZES,
    around: st.SearchStrategy[Change] = changes,
) -> RandomSalon:
    """Return a salon around a change of the clocks, at a present moment.

    Args:
        draw: Hypothesis's.
        sizes: How many staff members there may be.
        around: Changes of the clocks.
    """
    change = draw(around)
    elsewhere = Change(draw(around).zone, change.moment)
    service = draw(services())
    now = change.moment - MINUTE * draw(st.integers(-500, 3000))
    now += draw(st.sampled_from([timedelta(), timedelta(seconds=30), TICK, -TICK]))
    places = [
        (
            number,
            place,
            {
                "minimum_notice": MINUTE * draw(st.sampled_from([0, 0, 1, 60, DAY])),
                "horizon": MINUTE * draw(st.sampled_from([DAY, 2 * DAY, 3600])),
                "notice_days": draw(st.sampled_from([None, None, 0, 1, 2])),
                # What lies further away than three days, the oracle does not see well.
                "horizon_days": draw(st.sampled_from([None, None, 0, 1])),
                "closed": draw(st.lists(slots_around(change, 1000), max_size=1)),
            },
        )
        for number, place in ((1, change), (2, elsewhere))
    ]
    size = draw(st.sampled_from(sizes))
    weeks = draw(
        st.lists(
            st.tuples(weekly_hours("shift", 5, 14), other_hours(change)),
            min_size=1,
            max_size=min(size, 3),
        )
    )
    calendars = []
    for staff_id in range(1, size + 1):
        location_id, place, rules = draw(st.sampled_from(places))
        shifts, others = draw(st.sampled_from(weeks))
        night = draw(st.one_of(st.just([]), nights()))
        breaks = draw(weekly_hours("break", 0, 4))
        calendar = Calendar(
            staff_id=staff_id,
            staff=f"Staff {staff_id:02}",
            location_id=location_id,
            zone=place.zone_info,
            hours=(*_one_at_a_time([*night, *shifts, *breaks]), *others),
            off=draw(st.lists(slots_around(change, 1000), max_size=2)),
            **rules,
        )
        busy = draw(appointments_around(change))
        calendars.append(SlowCalendar(place, calendar, service, now, busy))
    return RandomSalon(change, service, calendars)


def _one_at_a_time(hours: Sequence[Hours]) -> list[Hours]:
    """Return one of those that are filed alike, as the table keeps no other."""
    return list({(each.first, each.kind, each.starts): each for each in hours}.values())


def calendars(around: st.SearchStrategy[Change] = changes) -> st.SearchStrategy[SlowCalendar]:
    """Return the calendar of somebody who works alone."""
    return salons(sizes=[1], around=around).map(lambda salon: salon.calendars[0])
