"""Hours on the wall: more of them never take a start away, more breaks never open one.

Whatever the clocks do, in every zone. And small cases, one for each thing that hours can say.
"""

# ruff: noqa: SIM300 - expected == actual

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from itertools import chain
from zoneinfo import ZoneInfo

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st
from wall_clocks import CHANGES, Change, changes, changes_anywhere

from booking_core.calendar.rules import Calendar, Hours, Service
from booking_core.errors import InvalidRequest
from booking_core.slots import Slot

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
WHOLE_DAY = 24 * 60  # minutes
MONDAY = date(2030, 1, 7)
UTC_ZONE = ZoneInfo("UTC")
NEW_YORK = ZoneInfo("America/New_York")
APIA = ZoneInfo("Pacific/Apia")
CAIRO = ZoneInfo("Africa/Cairo")
SPRING = date(2030, 3, 10)
AUTUMN = date(2030, 11, 3)
LEFT_OUT = date(2011, 12, 30)
HALF_AN_HOUR = Service(1, "Cut", 30 * MINUTE, timedelta(), 15 * MINUTE)
AN_HOUR = Service(1, "Cut", HOUR, timedelta(), HOUR)
FROM_OPENING = replace(AN_HOUR, grid_from_opening=True)


@dataclass(frozen=True)
class Shop:
    """One calendar, and what is asked of it around a moment.

    Attributes:
        change: Around which moment.
        service: What is to be booked.
        hours: Shifts, breaks and what else holds.
    """

    change: Change
    service: Service
    hours: tuple[Hours, ...]

    def calendar(self, *more: Hours) -> Calendar:
        """Return the rules."""
        return _calendar([*self.hours, *more], self.change.zone_info)

    def starts(self) -> set[int]:
        """Return the starts for two days before and after."""
        moment = self.change.moment
        window = moment - 2 * DAY, moment + 2 * DAY
        return set(chain(*self.calendar().starts(self.service, *window, moment - 3 * DAY)))

    def can_start(self, second: int) -> bool:
        """Ask as booking does, about one start."""
        slot = self.service.slot(datetime.fromtimestamp(second, UTC))
        try:
            self.calendar().check(self.service, slot, self.change.moment - 3 * DAY)
        except InvalidRequest:
            return False
        return True


def _calendar(hours: Sequence[Hours], zone: ZoneInfo = UTC_ZONE, **different: object) -> Calendar:
    return Calendar(
        staff_id=1,
        staff="Ada",
        zone=zone,
        hours=tuple(hours),
        **{"minimum_notice": timedelta(), "horizon": 3000 * DAY, **different},  # type: ignore[arg-type]
    )


def _wall(minute: int) -> time:
    return time(minute // 60 % 24, minute % 60)


def _minute(wall: time) -> int:
    return wall.hour * 60 + wall.minute


@st.composite
def hours_around(draw: st.DrawFn, change: Change, kinds: Sequence[str]) -> Hours:
    """Return hours near a change, most of which begin or end where the clocks jump."""
    before = (change.moment - timedelta(seconds=1)).astimezone(change.zone_info) + MINUTE
    after = change.moment.astimezone(change.zone_info)
    jump = [_minute(before.time()), _minute(after.time())]
    times = st.one_of(
        st.builds(
            lambda at, quarters: (at + 15 * quarters) % WHOLE_DAY,
            st.sampled_from(jump),
            st.integers(-10, 10),
        ),
        st.integers(0, WHOLE_DAY - 1),
    )
    kind = draw(st.sampled_from(kinds))
    starts, ends = _wall(draw(times)), _wall(draw(times))
    day = before.date() + draw(st.integers(-2, 1)) * DAY
    if draw(st.integers(0, 3)):
        return Hours.weekly(day.weekday(), kind, starts, ends)
    first = day - draw(st.sampled_from([0, 0, 7, 14])) * DAY
    last = draw(st.sampled_from([date.max, day, day + 7 * DAY]))
    return Hours(first, kind, starts, ends, last, draw(st.sampled_from([1, 2])))


@st.composite
def shops(draw: st.DrawFn) -> Shop:
    """Return a shop with a few shifts and breaks, around a change in any zone."""
    change = draw(st.one_of(changes, changes_anywhere()))
    service = Service(
        1,
        "Cut",
        duration=draw(st.sampled_from([1, 15, 30, 60, 90, 240])) * MINUTE,
        buffer_after=timedelta(),
        grid=draw(st.sampled_from([5, 15, 30, 60, 90])) * MINUTE,
        grid_from_opening=draw(st.booleans()),
    )
    shifts = draw(st.lists(hours_around(change, ["shift"]), min_size=1, max_size=4))
    others = draw(st.lists(hours_around(change, ["shift", "break", "break", "closed"]), max_size=4))
    return Shop(change, service, (*shifts, *others))


@st.composite
def added_hours(draw: st.DrawFn, shop: Shop, kind: str) -> Hours:
    """Return hours that hold with others, in the place of none."""
    like = draw(st.sampled_from([each for each in shop.hours if each.kind != "closed"]))
    added = draw(hours_around(shop.change, [kind]))
    if draw(st.booleans()):
        return like._replace(kind=kind, starts=added.starts, ends=added.ends)
    return Hours.weekly(added.first.weekday(), kind, added.starts, added.ends)


def _only_more(few: Shop, many: Shop, data: st.DataObject) -> None:
    """Make sure that whatever can start with fewer open hours can with more."""
    some = few.starts()
    event("some starts" if some else "no start")
    assert set() == some - many.starts()
    moment = int(few.change.moment.timestamp())
    around = st.integers(-2 * WHOLE_DAY, 2 * WHOLE_DAY).map(lambda n: moment + 60 * n)
    asked = data.draw(st.lists(st.sampled_from(sorted(some)) if some else around, max_size=9))
    asked += data.draw(st.lists(around, max_size=9))
    assert {} == {at: few.can_start(at) for at in asked if few.can_start(at) > many.can_start(at)}


@settings(deadline=None)
@given(shops(), st.data())
def test_another_shift_takes_no_start_away(shop: Shop, data: st.DataObject) -> None:
    """Whoever works more can be booked at every time at which they could be before."""
    added = data.draw(added_hours(shop, "shift"))
    _only_more(shop, replace(shop, hours=(*shop.hours, added)), data)


@settings(deadline=None)
@given(shops(), st.data())
def test_a_longer_shift_takes_no_start_away(shop: Shop, data: st.DataObject) -> None:
    """Neither does it when somebody comes earlier, or stays longer."""
    index = data.draw(
        st.sampled_from([n for n, each in enumerate(shop.hours) if each.kind == "shift"])
    )
    shift = shop.hours[index]
    starts = _minute(shift.starts)
    spare = WHOLE_DAY - ((_minute(shift.ends) - starts) % WHOLE_DAY or WHOLE_DAY)
    # From another opening, the grid is another one.
    most = 0 if shop.service.grid_from_opening else min(starts, spare)
    longer = _longer(shift, most, spare, data)
    _only_more(shop, _with(shop, index, longer), data)


@settings(deadline=None)
@given(shops(), st.data())
def test_another_break_opens_nothing(shop: Shop, data: st.DataObject) -> None:
    """Whoever rests more can be booked at no time at which they could not be before."""
    added = data.draw(added_hours(shop, "break"))
    _only_more(replace(shop, hours=(*shop.hours, added)), shop, data)


@settings(deadline=None)
@given(shops(), st.data())
def test_a_longer_break_opens_nothing(shop: Shop, data: st.DataObject) -> None:
    """Neither does it where somebody's break begins earlier, or ends later."""
    added = data.draw(hours_around(shop.change, ["break"]))
    shop = replace(shop, hours=(*shop.hours, added))
    starts = _minute(added.starts)
    spare = WHOLE_DAY - 1 - (_minute(added.ends) - starts) % WHOLE_DAY
    longer = _longer(added, min(starts, spare), spare, data)
    _only_more(_with(shop, len(shop.hours) - 1, longer), shop, data)


def _longer(hours: Hours, most: int, spare: int, data: st.DataObject) -> Hours:
    """Return hours that begin on the same date and last longer."""
    earlier = data.draw(st.integers(0, most))
    later = data.draw(st.integers(0, spare - earlier))
    return hours._replace(
        starts=_wall(_minute(hours.starts) - earlier), ends=_wall(_minute(hours.ends) + later)
    )


def _with(shop: Shop, index: int, hours: Hours) -> Shop:
    return replace(shop, hours=(*shop.hours[:index], hours, *shop.hours[index + 1 :]))


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_a_shift_grows_in_small_steps(change: Change) -> None:
    """Five minutes more of work around a change of the clocks cost no start, whenever it is."""
    day = (change.moment - MINUTE).astimezone(change.zone_info).date()
    found: set[int] = set()
    for length in range(5, WHOLE_DAY + 1, 5):
        shift = Hours(day, "shift", time(18), _wall(18 * 60 + length), day)
        starts = Shop(change, HALF_AN_HOUR, (shift,)).starts()
        assert set() == found - starts
        found = starts
    assert found


def _listed(
    hours: Sequence[Hours],
    day: date,
    service: Service = HALF_AN_HOUR,
    zone: ZoneInfo = UTC_ZONE,
    **different: object,
) -> str:
    """Return when the wall shows which starts of a day."""
    calendar = _calendar(hours, zone, **different)
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    found = chain(*calendar.starts(service, noon - 2 * DAY, noon + 2 * DAY, noon - 3 * DAY))
    walls = [datetime.fromtimestamp(second, zone) for second in found]
    return " ".join(f"{wall:%H:%M}" for wall in walls if wall.date() == day)


def _every(minutes: int, first: str, last: str) -> str:
    """Return the times from the first to the last one."""
    begins, ends = (_minute(time.fromisoformat(at)) for at in (first, last))
    return " ".join(f"{_wall(at):%H:%M}" for at in range(begins, ends + 1, minutes))


def _on(day: date, kind: str, span: str, *, last: date | None = None, weeks: int = 1) -> Hours:
    """Return hours of one date, or from one on; a span is written 09:00-17:00."""
    starts, ends = (time.fromisoformat(at) for at in span.split("-"))
    return Hours(day, kind, starts, ends, last or day, weeks)


def _weekly(day: date, kind: str, span: str) -> Hours:
    return _on(date(1, 1, 1) + day.weekday() * DAY, kind, span, last=date.max)


@pytest.mark.parametrize(
    ("shift", "breaks", "expected"),
    [
        pytest.param("02:00-02:30", [], "", id="begins and ends in the gap"),
        pytest.param("02:00-03:00", [], "", id="is the gap"),
        pytest.param("01:30-02:30", [], "01:30", id="ends in the gap"),
        pytest.param("01:30-03:00", [], "01:30", id="ends with the gap"),
        pytest.param("02:15-04:00", [], _every(15, "03:00", "03:30"), id="begins in the gap"),
        pytest.param(
            "01:00-05:00",
            ["02:00-02:30"],
            f"{_every(15, '01:00', '01:45')} {_every(15, '03:00', '04:30')}",
            id="break in the gap",
        ),
        pytest.param(
            "01:00-05:00",
            ["02:00-03:00", "02:10-02:20"],
            f"{_every(15, '01:00', '01:45')} {_every(15, '03:00', '04:30')}",
            id="break that is the gap",
        ),
        pytest.param(
            "01:00-05:00",
            ["01:45-02:30"],
            f"01:00 01:15 {_every(15, '03:00', '04:30')}",
            id="break that ends in the gap",
        ),
        pytest.param(
            "01:00-05:00",
            ["02:45-03:15"],
            f"01:00 01:15 01:30 {_every(15, '03:15', '04:30')}",
            id="break that begins in the gap",
        ),
    ],
)
def test_a_time_that_is_left_out_is_the_moment_of_the_change(
    shift: str, breaks: list[str], expected: str
) -> None:
    """In spring nothing begins or ends in the hour that does not exist, and no time is lost."""
    hours = [_weekly(SPRING, "shift", shift), *(_weekly(SPRING, "break", it) for it in breaks)]
    assert expected == _listed(hours, SPRING, zone=NEW_YORK)


@pytest.mark.parametrize(
    ("shift", "breaks", "expected"),
    [
        pytest.param("00:30-01:30", [], "00:30 00:45 01:00", id="ends at the first of two"),
        pytest.param(
            "01:30-02:00",
            [],
            "01:30 01:45 01:00 01:15 01:30",
            id="begins at the first of two",
        ),
        pytest.param(
            "00:30-02:30",
            ["01:00-01:30"],
            "00:30 01:30 01:45 01:00 01:15 01:30 01:45 02:00",
            id="break in the first of two hours",
        ),
        pytest.param("00:30-02:30", ["01:00-02:00"], "00:30 02:00", id="break in both"),
    ],
)
def test_of_two_times_that_look_alike_the_first_one_counts(
    shift: str, breaks: list[str], expected: str
) -> None:
    """In autumn an hour comes twice; what ends in it ends early, what begins in it does too."""
    hours = [_weekly(AUTUMN, "shift", shift), *(_weekly(AUTUMN, "break", it) for it in breaks)]
    assert expected == _listed(hours, AUTUMN, zone=NEW_YORK)


def test_a_date_that_is_left_out_is_the_moment_of_the_change() -> None:
    """In Apia nobody worked on 30 December 2011, but a night shift filed under it ends well."""
    day_shift = _on(LEFT_OUT, "shift", "09:00-17:00")
    nights = [
        _on(LEFT_OUT - DAY, "shift", "22:00-03:00"),
        _on(LEFT_OUT, "shift", "22:00-02:00"),
    ]
    before, after = LEFT_OUT - DAY, LEFT_OUT + DAY
    for day in (before, LEFT_OUT, after):
        assert not _listed([day_shift], day, zone=APIA)
    assert _every(15, "22:00", "23:30") == _listed(nights[:1], before, zone=APIA)
    assert not _listed(nights[:1], after, zone=APIA)
    assert not _listed(nights[1:], before, zone=APIA)
    assert _every(15, "00:00", "01:30") == _listed(nights[1:], after, zone=APIA)
    assert _every(15, "22:00", "23:45") == _listed(nights, before, zone=APIA)
    always = [_weekly(MONDAY + number * DAY, "shift", "00:00-00:00") for number in range(7)]
    pause = _weekly(LEFT_OUT, "break", "08:00-20:00")
    assert _every(15, "00:00", "23:45") == _listed([*always, pause], before, zone=APIA)
    assert _every(15, "00:00", "23:45") == _listed([*always, pause], after, zone=APIA)


def test_a_date_may_begin_at_one() -> None:
    """In Cairo the clocks jump at midnight: what ends or begins there does so at the change."""
    day = date(2030, 4, 26)
    night = [_on(day - DAY, "shift", "23:00-00:30")]
    assert _every(15, "23:00", "23:30") == _listed(night, day - DAY, zone=CAIRO)
    assert not _listed(night, day, zone=CAIRO)
    morning = [_on(day, "shift", "00:00-02:00")]
    assert _every(15, "01:00", "01:30") == _listed(morning, day, zone=CAIRO)


def test_equal_times_are_a_shift_of_a_day_and_no_break() -> None:
    """Round the clock is filed as 00:00 to 00:00; a break of no length is none."""
    shift = _weekly(MONDAY, "shift", "06:00-06:00")
    pause = _weekly(MONDAY, "break", "12:00-12:00")
    assert _every(60, "06:00", "23:00") == _listed([shift, pause], MONDAY, AN_HOUR)
    assert _every(60, "00:00", "05:00") == _listed([shift, pause], MONDAY + DAY, AN_HOUR)


NIGHT = "22:00-06:00"
TUESDAY = MONDAY + DAY


@pytest.mark.parametrize("filed", [MONDAY, TUESDAY], ids=["the evening", "the morning"])
@pytest.mark.parametrize("file", [_weekly, _on])
def test_a_break_after_midnight_is_filed_under_either_date(
    file: Callable[[date, str, str], Hours], filed: date
) -> None:
    """Nobody is booked into the break of a night shift, whichever date it was written to."""
    hours = [file(MONDAY, "shift", NIGHT), file(filed, "break", "02:00-02:30")]
    assert _every(15, "22:00", "23:45") == _listed(hours, MONDAY)
    expected = f"{_every(15, '00:00', '01:30')} {_every(15, '02:30', '05:30')}"
    assert expected == _listed(hours, TUESDAY)


def test_a_break_filed_under_the_evening_is_that_night_shifts_alone() -> None:
    """Who begins on Tuesday has no break because Monday's night shift has one."""
    night = _weekly(MONDAY, "shift", NIGHT)
    early = _weekly(TUESDAY, "shift", "00:00-04:00")
    on_monday, on_tuesday = (_weekly(day, "break", "02:00-02:30") for day in (MONDAY, TUESDAY))
    assert _every(15, "00:00", "05:30") == _listed([night, early, on_monday], TUESDAY)
    cut = f"{_every(15, '00:00', '01:30')} {_every(15, '02:30', '05:30')}"
    assert cut == _listed([night, early, on_tuesday], TUESDAY)
    # On its own date it cuts whatever goes on there.
    sunday = _weekly(MONDAY - DAY, "shift", NIGHT)
    assert cut == _listed([sunday, night, on_monday], MONDAY)[: len(cut)]
    # A shift of the day does not carry its breaks into the next one.
    day_shift = _weekly(MONDAY, "shift", "00:00-12:00")
    assert _every(15, "00:00", "03:30") == _listed([day_shift, early, on_monday], TUESDAY)


def test_a_break_over_midnight_cuts_what_begins_on_the_next_date() -> None:
    """It goes on to its end, whichever shift it meets there, and whether one was cut before it."""
    pause = _weekly(MONDAY, "break", "23:30-01:30")
    early = _weekly(TUESDAY, "shift", "00:00-04:00")
    closed = _on(TUESDAY, "closed", "00:00-00:00")
    night = _weekly(MONDAY, "shift", NIGHT)
    assert _every(60, "02:00", "03:00") == _listed([pause, early], TUESDAY, AN_HOUR)
    assert _every(60, "02:00", "05:00") == _listed([pause, night, closed], TUESDAY, AN_HOUR)


WEEK = 7 * DAY
NINE = _weekly(MONDAY, "shift", "09:00-11:00")


@pytest.mark.parametrize(
    ("others", "expected"),
    [
        pytest.param([], ["09:00 10:00"] * 4, id="none"),
        pytest.param(
            [_on(MONDAY, "shift", "14:00-15:00")],
            ["14:00", *["09:00 10:00"] * 3],
            id="another shift on a date",
        ),
        pytest.param(
            [_on(MONDAY, "closed", "00:00-00:00")], ["", *["09:00 10:00"] * 3], id="closed"
        ),
        pytest.param(
            [_on(MONDAY, "break", "10:00-11:00")],
            ["", *["09:00 10:00"] * 3],
            id="a break alone",
        ),
        pytest.param(
            [_on(MONDAY, "shift", "09:00-11:00"), _on(MONDAY, "break", "10:00-11:00")],
            ["09:00", *["09:00 10:00"] * 3],
            id="a break and a shift",
        ),
        pytest.param(
            [_on(MONDAY, "shift", "14:00-15:00"), _on(MONDAY, "shift", "16:00-17:00")],
            ["14:00 16:00", *["09:00 10:00"] * 3],
            id="two shifts",
        ),
        pytest.param(
            [_on(MONDAY + WEEK, "shift", "14:00-15:00", last=date.max)],
            ["09:00 10:00", *["14:00"] * 3],
            id="from a date on",
        ),
        pytest.param(
            [_on(MONDAY - 10 * WEEK, "shift", "14:00-15:00", last=MONDAY + WEEK)],
            ["14:00", "14:00", "09:00 10:00", "09:00 10:00"],
            id="until a date, which is one of them",
        ),
        pytest.param(
            [_on(MONDAY - WEEK, "closed", "00:00-00:00", last=date.max, weeks=2)],
            ["09:00 10:00", "", "09:00 10:00", ""],
            id="every other week",
        ),
        pytest.param(
            [
                _on(MONDAY, "shift", "14:00-15:00", last=date.max),
                _on(MONDAY + WEEK, "closed", "00:00-00:00", last=MONDAY + 2 * WEEK),
            ],
            ["14:00", "", "", "14:00"],
            id="what begins last stands above",
        ),
        pytest.param(
            [
                _on(MONDAY, "shift", "14:00-15:00", last=date.max),
                _on(MONDAY, "shift", "16:00-17:00", last=MONDAY + WEEK),
                _on(MONDAY, "closed", "00:00-00:00"),
            ],
            ["", "16:00", "14:00", "14:00"],
            id="of these what ends first",
        ),
        pytest.param(
            [
                _on(MONDAY, "shift", "14:00-15:00", last=date.max),
                _on(MONDAY, "shift", "16:00-17:00", last=date.max, weeks=2),
            ],
            ["14:00 16:00", "14:00", "14:00 16:00", "14:00"],
            id="what began and ends alike holds together",
        ),
        pytest.param(
            [_on(TUESDAY, "shift", "14:00-15:00", last=date.max)],
            ["09:00 10:00"] * 4,
            id="another day of the week",
        ),
    ],
)
def test_other_hours_stand_above_the_weekly_ones(others: list[Hours], expected: list[str]) -> None:
    """Holidays, summers and every other Saturday: the four Mondays from 7 January 2030 on."""
    hours = [NINE, *others]
    assert expected == [_listed(hours, MONDAY + week * WEEK, AN_HOUR) for week in range(4)]
    hours.reverse()
    assert expected == [_listed(hours, MONDAY + week * WEEK, AN_HOUR) for week in range(4)]


def test_hours_belong_to_the_date_on_which_they_begin() -> None:
    """A closed Tuesday leaves the night shift of Monday, and has no night shift of its own."""
    hours = [
        _weekly(MONDAY, "shift", NIGHT),
        _weekly(TUESDAY, "shift", NIGHT),
        _weekly(TUESDAY, "break", "02:00-03:00"),
        _on(TUESDAY, "closed", "00:00-00:00"),
    ]
    assert _every(60, "00:00", "05:00") == _listed(hours, TUESDAY, AN_HOUR)
    assert not _listed(hours, TUESDAY + DAY, AN_HOUR)


@pytest.mark.parametrize(
    ("hours", "expected"),
    [
        pytest.param([("shift", "12:30-17:30")], _every(60, "12:30", "16:30"), id="one shift"),
        pytest.param(
            [("shift", "12:30-17:30"), ("break", "14:00-14:15")],
            "12:30 14:30 15:30 16:30",
            id="a break is no opening",
        ),
        pytest.param(
            [("shift", "12:30-17:30"), ("break", "12:30-13:00")],
            _every(60, "13:30", "16:30"),
            id="nor is one at the opening",
        ),
        pytest.param(
            [("shift", "09:00-11:00"), ("shift", "12:30-14:30")],
            "09:00 10:00 12:30 13:30",
            id="two shifts",
        ),
        pytest.param(
            [("shift", "09:00-10:30"), ("shift", "10:30-12:00")],
            "09:00 10:00 10:30",
            id="two shifts that touch",
        ),
        pytest.param(
            [("shift", "09:00-12:00"), ("shift", "10:15-13:15")],
            "09:00 10:00 10:15 11:00 11:15 12:15",
            id="two shifts that overlap",
        ),
    ],
)
def test_a_grid_may_count_from_the_opening(hours: list[tuple[str, str]], expected: str) -> None:
    """Who opens at half past is booked at half past, whatever is cut out of the day."""
    filed = [_weekly(MONDAY, kind, span) for kind, span in hours]
    assert expected == _listed(filed, MONDAY, FROM_OPENING)


def test_time_off_is_no_opening() -> None:
    """Nor does the grid begin anew where somebody comes back from the dentist."""
    off = Slot(datetime(2030, 1, 7, 12, tzinfo=UTC), datetime(2030, 1, 7, 13, 10, tzinfo=UTC))
    shift = _weekly(MONDAY, "shift", "12:30-16:30")
    for absence in ("off", "closed"):
        assert "13:30 14:30 15:30" == _listed([shift], MONDAY, FROM_OPENING, **{absence: [off]})


def test_a_grid_from_the_opening_counts_hours_that_pass() -> None:
    """An hour after half past one is half past three where the clocks have jumped."""
    spring, autumn = ([_weekly(SPRING, "shift", span)] for span in ("01:30-05:00", "01:30-04:00"))
    assert "01:30 03:30" == _listed(spring, SPRING, FROM_OPENING, NEW_YORK)
    in_the_gap = [_weekly(SPRING, "shift", "02:30-05:10")]
    assert "03:00 04:00" == _listed(in_the_gap, SPRING, FROM_OPENING, NEW_YORK)
    assert "01:30 01:30 02:30" == _listed(autumn, AUTUMN, FROM_OPENING, NEW_YORK)
    night = [_weekly(MONDAY, "shift", "22:40-02:00")]
    assert "22:40 23:40" == _listed(night, MONDAY, FROM_OPENING)
    assert "00:40" == _listed(night, TUESDAY, FROM_OPENING)


ALWAYS = [_weekly(MONDAY + number * DAY, "shift", "00:00-00:00") for number in range(7)]


@pytest.mark.parametrize(
    ("zone", "now", "rules", "expected"),
    [
        pytest.param(
            "UTC",
            "2030-01-07 10:20",
            {"notice_days": 0, "horizon_days": 0},
            ("01-07 11:00", "01-07 23:00"),
            id="today alone",
        ),
        pytest.param(
            "UTC",
            "2030-01-07 10:00",
            {"notice_days": 0, "horizon_days": 1},
            ("01-07 10:00", "01-08 23:00"),
            id="from now until tomorrow",
        ),
        pytest.param(
            "UTC",
            "2030-01-07 10:20",
            {"notice_days": 1, "horizon_days": 1},
            ("01-08 00:00", "01-08 23:00"),
            id="tomorrow alone",
        ),
        pytest.param(
            "UTC",
            "2030-01-07 23:59",
            {"notice_days": 2, "horizon_days": 2},
            ("01-09 00:00", "01-09 23:00"),
            id="late in the evening",
        ),
        pytest.param(
            "UTC",
            "2030-01-07 10:20",
            {"notice_days": 1},
            ("01-08 00:00", "01-09 10:00"),
            id="a horizon of hours",
        ),
        pytest.param(
            "UTC",
            "2030-01-07 10:20",
            {"horizon_days": 2},
            ("01-07 15:00", "01-09 23:00"),
            id="a notice of hours",
        ),
        pytest.param(
            "UTC", "2030-01-07 10:20", {}, ("01-07 15:00", "01-09 10:00"), id="both of hours"
        ),
        pytest.param(
            "America/New_York",
            "2030-03-10 03:00",
            {"notice_days": 1, "horizon_days": 1},
            ("03-10 00:00", "03-10 23:00"),
            id="today is the date on the wall",
        ),
        pytest.param(
            "Africa/Cairo",
            "2030-04-25 09:00",
            {"notice_days": 1, "horizon_days": 1},
            ("04-26 01:00", "04-26 23:00"),
            id="a date that begins at one",
        ),
        pytest.param(
            "Africa/Cairo",
            "2030-04-24 09:00",
            {"notice_days": 0, "horizon_days": 1},
            ("04-24 11:00", "04-25 23:00"),
            id="a date that ends where the clocks jump",
        ),
        pytest.param(
            "Africa/Cairo",
            "2030-10-31 09:00",
            {"notice_days": 0, "horizon_days": 0},
            ("10-31 12:00", "10-31 23:00"),
            id="a date with an hour more at its end",
        ),
        pytest.param(
            "Pacific/Apia",
            "2011-12-30 00:00",
            {"notice_days": 1, "horizon_days": 1},
            None,
            id="a date that was left out",
        ),
        pytest.param(
            "Pacific/Apia",
            "2011-12-30 00:00",
            {"notice_days": 1, "horizon_days": 2},
            ("12-31 00:00", "12-31 23:00"),
            id="the date after it",
        ),
    ],
)
def test_notice_and_horizon_may_be_dates(
    zone: str, now: str, rules: dict[str, int], expected: tuple[str, str] | None
) -> None:
    """From tomorrow on, or until Friday: whole dates on the wall, in place of so many hours."""
    calendar = _calendar(
        ALWAYS, ZoneInfo(zone), **{"minimum_notice": 4 * HOUR, "horizon": 2 * DAY, **rules}
    )
    present = datetime.fromisoformat(now).replace(tzinfo=UTC)
    window = present - 2 * DAY, present + 6 * DAY
    found = list(chain(*calendar.starts(AN_HOUR, *window, present)))
    walls = [f"{datetime.fromtimestamp(at, calendar.zone):%m-%d %H:%M}" for at in found]
    assert expected == ((walls[0], walls[-1]) if walls else None)
    if found:
        for at, code in ((found[0] - 3600, "TOO_SOON"), (found[-1] + 3600, "TOO_FAR_AHEAD")):
            start = datetime.fromtimestamp(at, UTC)
            with pytest.raises(InvalidRequest) as refusal:
                calendar.check(AN_HOUR, AN_HOUR.slot(start), present)
            assert ("IN_THE_PAST" if start < present else code) == refusal.value.code
