"""Hours that real places have, as they are stored: what is listed, what is booked, what is seen."""

# ruff: noqa: SIM300 - expected == actual

from collections.abc import Iterator
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from desk import MINUTE, refused
from sqlalchemy import Engine, insert, text
from sqlalchemy.exc import DBAPIError

from booking_core import DEFAULT, BookingService, Slot, schema, whole_days
from experiments.server.postgres import Database

NEW_YORK = ZoneInfo("America/New_York")
NOW = datetime(2030, 3, 4, 12, tzinfo=UTC)  # a Monday
SUNDAY = date(2030, 3, 10)  # the clocks change
HALF_AN_HOUR, HOUR = 30 * MINUTE, 60 * MINUTE


@pytest.fixture(scope="module")
def engine(database: Database) -> Engine:
    """Return an engine for a place with one staff member and one service."""
    made = database.engine()
    with made.begin() as connection:
        schema.create(connection, DEFAULT(), backstop=True)
        connection.execute(
            insert(schema.location).values(
                name="Here",
                time_zone="America/New_York",
                minimum_notice=timedelta(),
                horizon=timedelta(days=365),
            )
        )
        connection.execute(insert(schema.staff).values(location_id=1, name="Ada"))
        connection.execute(
            insert(schema.service).values(
                name="Cut",
                duration=HALF_AN_HOUR,
                buffer_after=timedelta(),
                grid=15 * MINUTE,
            )
        )
        connection.execute(insert(schema.offering).values(service_id=1, staff_id=1))
    return made


class Shop:
    """The place, whose hours each test writes."""

    def __init__(self, engine: Engine, now: datetime = NOW) -> None:
        self.engine = engine
        self.service = BookingService(engine, clock=lambda: now)

    def execute(self, statement: str, **values: object) -> None:
        """Change a rule."""
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)

    def weekly(self, weekday: int, starts: str, ends: str, kind: str = "shift") -> None:
        """Add hours of every week."""
        self._add(schema.working_hours, weekday=weekday, kind=kind, starts=starts, ends=ends)

    def other(self, first: date, starts: str = "00:00", ends: str = "00:00", **more: Any) -> None:  # noqa: ANN401 - columns
        """Add other hours."""
        self._add(schema.other_hours, first=first, starts=starts, ends=ends, **more)

    def _add(self, table: Any, *, starts: str, ends: str, **values: Any) -> None:  # noqa: ANN401 - a table, and its columns
        wall = {"starts": time.fromisoformat(starts), "ends": time.fromisoformat(ends)}
        with self.engine.begin() as connection:
            connection.execute(insert(table).values(staff_id=1, **wall, **values))

    def starts(self, day: date) -> list[str]:
        """Return what is listed, which can be booked, on the wall; what is between can't be."""
        listed = [free.local_start for free in self.service.free_slots(1, day)]
        midnight = datetime.combine(day, time(), NEW_YORK).astimezone(UTC)
        quarters = [midnight + number * 15 * MINUTE for number in range(100)]
        tried = [at for at in quarters if at.astimezone(NEW_YORK).date() == day]
        assert [at.astimezone(UTC) for at in listed] == [at for at in tried if self._books(at)]
        return [f"{at:%H:%M}" for at in listed]

    def _books(self, start: datetime) -> bool:
        try:
            booked = self.service.book(staff_id=1, service_id=1, start=start, client="Bob")
        except ValueError:
            return False
        self.service.cancel(booked.appointment.id, by_staff=True)
        return True


@pytest.fixture
def shop(engine: Engine) -> Iterator[Shop]:
    """Open the place without hours; afterwards everything is as it was."""
    yield Shop(engine)
    with engine.begin() as connection:
        for table in ("working_hours", "other_hours", "time_off", "closure", "appointment"):
            connection.exec_driver_sql(f"DELETE FROM {table}")
        connection.exec_driver_sql(
            "UPDATE service SET grid = '15 minutes', duration = '30 minutes',"
            " grid_from_opening = false"
        )
        connection.exec_driver_sql("UPDATE location SET notice_days = NULL, horizon_days = NULL")


@pytest.mark.parametrize(
    ("starts", "ends", "expected"),
    [
        ("02:00", "02:30", []),
        ("02:00", "03:00", []),
        ("01:30", "02:30", ["01:30"]),
        ("01:30", "03:30", ["01:30", "01:45", "03:00"]),
        ("02:15", "04:00", ["03:00", "03:15", "03:30"]),
    ],
)
def test_a_shift_has_nothing_of_the_hour_that_is_not_there(
    shop: Shop, starts: str, ends: str, expected: list[str]
) -> None:
    """A wall time in the gap is the moment of the change, wherever it stands.

    Reported: slots are offered that do not exist, on the day the clocks change (Nextcloud).
    """
    shop.weekly(6, starts, ends)
    assert expected == shop.starts(SUNDAY)


@pytest.mark.parametrize(
    ("starts", "ends"), [("02:00", "02:30"), ("02:00", "03:00"), ("02:30", "02:45")]
)
def test_a_break_of_the_hour_that_is_not_there_closes_nothing(
    shop: Shop, starts: str, ends: str
) -> None:
    """Nor does one that begins when it ends, which is no break of 24 hours."""
    shop.weekly(6, "01:00", "05:00")
    before = shop.starts(SUNDAY)
    assert "03:00" in before
    shop.weekly(6, starts, ends, "break")
    shop.weekly(6, "04:00", "04:00", "break")
    assert before == shop.starts(SUNDAY)


@pytest.mark.parametrize("weekday", [1, 2])
def test_a_break_after_midnight_belongs_to_the_night_shift(shop: Shop, weekday: int) -> None:
    """Whether it is filed under Tuesday, on which the shift begins, or under Wednesday."""
    shop.weekly(1, "22:00", "06:00")
    shop.weekly(weekday, "02:00", "02:30", "break")
    found = shop.starts(date(2030, 3, 6))
    assert ["01:30", "02:30"] == [at for at in found if "01:15" < at < "02:45"]
    assert [] == [at for at in shop.starts(date(2030, 3, 5)) if at < "22:00"]


def test_a_date_has_hours_of_its_own(shop: Shop) -> None:
    """A late Thursday, an open Sunday, closed early on the 24th; the week after it is as ever."""
    for weekday in range(5):
        shop.weekly(weekday, "09:00", "10:00")
    thursday = date(2030, 3, 7)
    shop.other(thursday, "09:00", "20:00", last=thursday)
    shop.other(SUNDAY, "12:00", "13:00", last=SUNDAY)
    early = date(2030, 3, 12)
    shop.other(early, "09:00", "09:30", last=early)
    shut = date(2030, 3, 13)
    shop.other(shut, kind="closed", last=shut)
    assert "19:30" == shop.starts(thursday)[-1]
    assert ["12:00", "12:15", "12:30"] == shop.starts(SUNDAY)
    assert (["09:00"], []) == (shop.starts(early), shop.starts(shut))
    for day in (thursday, early, shut):
        assert ["09:00", "09:15", "09:30"] == shop.starts(day + timedelta(days=7))
    assert [] == shop.starts(SUNDAY + timedelta(days=7))


def test_hours_hold_from_a_date_and_until_one(shop: Shop) -> None:
    """The summer's Thursdays stand above the weekly ones, and one date above the summer."""
    shop.weekly(3, "09:00", "10:00")
    first, last = date(2030, 4, 4), date(2030, 5, 30)
    shop.other(first, "16:00", "17:00", last=last)
    shop.other(date(2030, 4, 18), "18:00", "18:30", last=date(2030, 4, 18))
    week = timedelta(days=7)
    opening = [shop.starts(day)[:1] for day in (first - week, first, last, last + week)]
    assert [["09:00"], ["16:00"], ["16:00"], ["09:00"]] == opening
    assert ["18:00"] == shop.starts(date(2030, 4, 18))
    assert ["16:00"] == shop.starts(date(2030, 4, 25))[:1]


def test_weeks_may_alternate(shop: Shop) -> None:
    """Every other Saturday, for ever."""
    saturday = date(2030, 3, 9)
    shop.other(saturday, "09:00", "10:00", weeks=2)
    open_on = [bool(shop.starts(saturday + timedelta(days=7 * week))) for week in range(5)]
    assert [True, False, True, False, True] == open_on


def test_the_grid_may_count_from_the_opening(shop: Shop) -> None:
    """Half past twelve to half past five, an hour each, every hour: from half past twelve on."""
    shop.weekly(3, "12:30", "17:30")
    shop.execute("UPDATE service SET duration = '1 hour', grid = '1 hour'")
    thursday = date(2030, 3, 7)
    assert ["13:00", "14:00", "15:00", "16:00"] == shop.starts(thursday)
    shop.execute("UPDATE service SET grid_from_opening = true")
    assert ["12:30", "13:30", "14:30", "15:30", "16:30"] == shop.starts(thursday)
    start = datetime(2030, 3, 7, 13, tzinfo=NEW_YORK)
    with refused("OFF_GRID"):
        shop.service.book(staff_id=1, service_id=1, start=start, client="Bob")


def test_notice_and_horizon_may_be_whole_days(engine: Engine, shop: Shop) -> None:
    """Until the end of the seventh day, not to the minute; from tomorrow on, not 24 hours ahead."""
    for weekday in range(7):
        shop.weekly(weekday, "00:00", "00:00")
    shop.execute("UPDATE location SET notice_days = 1, horizon_days = 7")
    late = Shop(engine, datetime(2030, 3, 4, 23, 50, tzinfo=NEW_YORK))
    monday = date(2030, 3, 4)
    counts = [len(late.service.free_slots(1, monday + timedelta(days=n))) for n in range(9)]
    # The seventh day is a Monday, the sixth the Sunday of 23 hours.
    assert [0, *[96] * 5, 92, 96, 0] == counts
    last = datetime(2030, 3, 11, 23, 45, tzinfo=NEW_YORK)
    late.service.book(staff_id=1, service_id=1, start=last, client="Bob")
    with refused("TOO_FAR_AHEAD"):
        late.service.book(staff_id=1, service_id=1, start=last + 15 * MINUTE, client="Bob")
    with refused("TOO_SOON"):
        soon = datetime(2030, 3, 4, 23, 55, tzinfo=NEW_YORK)
        late.service.book(staff_id=1, service_id=1, start=soon, client="Bob")


def test_days_off_are_dates(shop: Shop) -> None:
    """The package knows when they begin and end on the wall, also when one has 23 hours."""
    assert timedelta(hours=23) == _length(whole_days(SUNDAY, SUNDAY, "America/New_York"))
    assert timedelta(hours=71) == _length(
        whole_days(date(2030, 3, 9), date(2030, 3, 11), "America/New_York")
    )
    for weekday in range(7):
        shop.weekly(weekday, "00:00", "00:00")
    off = whole_days(SUNDAY, SUNDAY, "America/New_York")
    shop.execute(
        "INSERT INTO time_off (staff_id, during, reason) VALUES (1, tstzrange(:a, :b), 'off')",
        a=off.start,
        b=off.end,
    )
    days = [date(2030, 3, 9), SUNDAY, date(2030, 3, 11)]
    assert [95, 0, 96] == [len(shop.service.free_slots(1, day)) for day in days]
    for wrong, code in (
        ((SUNDAY, date(2030, 3, 9)), "END_BEFORE_START"),
        ((NOW, NOW), "NOT_A_DATE"),
    ):
        with refused(code):
            whole_days(*wrong, "America/New_York")
    with refused("UNKNOWN_TIME_ZONE"):
        whole_days(SUNDAY, SUNDAY, "America/Springfield")


def _length(slot: Slot) -> timedelta:
    return slot.end - slot.start


def test_absence_over_bookings_is_not_silent(shop: Shop) -> None:
    """What time off, a closure or other hours no longer cover is listed, what they do is not.

    Reported: time off is entered over appointments, and nobody is told (Easy!Appointments).
    """
    for weekday in range(5):
        shop.weekly(weekday, "09:00", "17:00")
    begins = [datetime(2030, 3, day, 10, tzinfo=NEW_YORK) for day in (4, 5, 6, 7, 8)]
    now = Shop(shop.engine, datetime(2030, 3, 4, 9, tzinfo=NEW_YORK))
    booked = [
        now.service.book(staff_id=1, service_id=1, start=start, client="Bob").appointment
        for start in begins
    ]
    assert [] == now.service.uncovered()
    for table, owner, start in (
        ("time_off", "staff", begins[1]),
        ("closure", "location", begins[2]),
    ):
        shop.execute(
            f"INSERT INTO {table} ({owner}_id, during, reason)"
            " VALUES (1, tstzrange(:a, :b), 'away')",
            a=start - HOUR,
            b=start + 15 * MINUTE,
        )
    shop.other(date(2030, 3, 7), "12:00", "17:00", last=date(2030, 3, 7))
    assert booked[1:4] == now.service.uncovered()
    assert booked[1:4] == now.service.uncovered(staff_id=1)
    assert [] == now.service.uncovered(staff_id=2)
    assert booked[2:4] == Shop(shop.engine, begins[1] + HOUR).service.uncovered(), "what is over"
    now.service.cancel(booked[2].id)
    assert [booked[1], booked[3]] == now.service.uncovered()
    shop.execute("DELETE FROM offering")
    assert [booked[1], booked[3]] == now.service.uncovered(), "who offers it no more still has it"
    shop.execute("INSERT INTO offering VALUES (1, 1)")


@pytest.mark.parametrize(
    "values",
    [
        {"weeks": 0},
        {"last": date(2030, 3, 6)},
        {"kind": "holiday"},
        {"first": date(999, 1, 1)},
        {"ends": "24:00"},
    ],
    ids=str,
)
def test_hours_that_mean_nothing_are_refused_by_the_table(
    engine: Engine, values: dict[str, object]
) -> None:
    """Whoever writes them is told, not whoever books."""
    given = {"staff_id": 1, "first": date(2030, 3, 7), "starts": "09:00", "ends": "10:00"} | values
    columns = ", ".join(given)
    with pytest.raises(DBAPIError, match="other_hours_"), engine.begin() as connection:
        connection.execute(
            text(f"INSERT INTO other_hours ({columns}) VALUES (:{', :'.join(given)})"), given
        )


def test_the_named_days_are_what_they_are_said_to_be() -> None:
    """The clocks of New York change on that Sunday, and on no other day here."""
    hours = [datetime(2030, 3, 10, hour, tzinfo=UTC).astimezone(NEW_YORK) for hour in (6, 7, 8)]
    assert [timedelta(hours=2), timedelta(hours=1)] == [
        later.replace(tzinfo=None) - earlier.replace(tzinfo=None)
        for earlier, later in pairwise(hours)
    ]
