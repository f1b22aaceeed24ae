"""What is listed: every free slot and no other."""

# ruff: noqa: SIM300 - expected == actual

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any

import pytest
from desk import (
    BERLIN,
    BROOKLYN,
    MINUTE,
    TEN,
    TUESDAY,
    Desk,
    desk_in,
    everything,
    fill,
    open_desk,
    refused,
    stopped_at,
)
from sqlalchemy.exc import IntegrityError

from booking_core import (
    DEFAULT,
    BookingConflict,
    BookingError,
    BookingService,
    InvalidRequest,
)
from booking_core.slots import FreeSlot
from experiments.server.postgres import Database

HOUR = 60 * MINUTE
DAY = timedelta(days=1)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Open the desk."""
    with open_desk() as opened:
        yield opened


def _starts(found: list[FreeSlot]) -> list[str]:
    return [f"{free.local_start:%H:%M %z}" for free in found]


def _quarters(*spans: tuple[str, str]) -> list[str]:
    """Return the quarters of an hour from one wall time up to and including another."""
    minutes = [[int(wall[:2]) * 60 + int(wall[3:]) for wall in span] for span in spans]
    return [
        f"{minute // 60:02}:{minute % 60:02}"
        for first, last in minutes
        for minute in range(first, last + 1, 15)
    ]


def test_a_day_of_one_staff_member(desk: Desk) -> None:
    """Amara: nine to five, a break from half past twelve to one, grid a quarter of an hour."""
    service = desk.service()
    found = service.free_slots(desk.salon.services["Haircut"], TUESDAY, desk.salon.staff["Amara"])
    expected = _quarters(("09:00", "11:45"), ("13:00", "16:15"))
    assert [f"{wall} +0100" for wall in expected] == _starts(found)
    assert {("Amara", "Europe/Berlin", 45 * MINUTE)} == {
        (free.staff, free.time_zone, free.slot.end - free.slot.start) for free in found
    }


def test_an_appointment_takes_its_slot_and_its_buffers_out(desk: Desk) -> None:
    """Ten to a quarter to eleven, a quarter after it, and one's own hour before it."""
    desk.service().book(**desk.ask())
    found = desk.service().free_slots(
        desk.salon.services["Haircut"], TUESDAY, desk.salon.staff["Amara"]
    )
    expected = _quarters(("09:00", "09:00"), ("11:00", "11:45"), ("13:00", "16:15"))
    assert [f"{wall} +0100" for wall in expected] == _starts(found)


def test_a_day_of_all_who_offer_the_service(desk: Desk) -> None:
    """Both cities, in order of instants, then of names; nobody who does not offer it."""
    found = desk.service().free_slots(desk.salon.services["Haircut"], TUESDAY)
    assert {"Amara", "Bruno", "Chidi", "Dolores"} == {free.staff for free in found}
    assert sorted(found, key=lambda free: (free.slot.start, free.staff)) == found
    assert {TUESDAY} == {free.local_start.date() for free in found}
    trims = desk.service().free_slots(desk.salon.services["Beard trim"], TUESDAY)
    assert {"Bruno", "Chidi"} == {free.staff for free in trims}


def test_a_day_without_shifts_has_no_slots(desk: Desk) -> None:
    """On Sundays only the night shift of Saturday is still there, in Brooklyn."""
    found = desk.service().free_slots(desk.salon.services["Colour"], date(2030, 1, 13))
    assert [] == found


@pytest.mark.parametrize(
    ("day", "now", "expected"),
    [
        pytest.param(
            date(2030, 3, 9),
            datetime(2030, 3, 1, tzinfo=UTC),
            [*(f"{wall} -0500" for wall in _quarters(("00:00", "05:15"), ("22:00", "23:45")))],
            id="the day before clocks change",
        ),
        pytest.param(
            date(2030, 3, 10),
            datetime(2030, 3, 1, tzinfo=UTC),
            [
                *(f"{wall} -0500" for wall in _quarters(("00:00", "01:45"))),
                *(f"{wall} -0400" for wall in _quarters(("03:00", "05:15"))),
            ],
            id="spring: the hour from two to three is missing",
        ),
        pytest.param(
            date(2030, 11, 3),
            datetime(2030, 10, 20, tzinfo=UTC),
            [
                *(f"{wall} -0400" for wall in _quarters(("00:00", "01:45"))),
                *(f"{wall} -0500" for wall in _quarters(("01:00", "05:15"))),
            ],
            id="autumn: the hour from one to two is there twice",
        ),
    ],
)
def test_the_night_shift_when_clocks_change(
    desk: Desk, day: date, now: datetime, expected: list[str]
) -> None:
    """Eli works from ten to six: seven hours in spring, nine in autumn, all of them bookable."""
    service = desk.service(clock=stopped_at(now))
    eli = desk.salon.staff["Eli"]
    found = service.free_slots(desk.salon.services["Haircut"], day, eli)
    assert expected == _starts(found)
    # Every hour's worth of them fits, and nothing is left over.
    booked = 0
    while found:
        service.book(**desk.ask(staff="Eli", start=found[0].slot.start))
        booked += 1
        left = service.free_slots(desk.salon.services["Haircut"], day, eli)
        assert len(left) < len(found)
        found = left
    assert (len(expected) + 3) // 4 == booked


@pytest.mark.parametrize(
    ("day", "now", "offset"),
    [
        (date(2030, 3, 29), datetime(2030, 3, 20, tzinfo=UTC), "+0100"),
        (date(2030, 4, 1), datetime(2030, 3, 20, tzinfo=UTC), "+0200"),
        (date(2030, 10, 25), datetime(2030, 10, 20, tzinfo=UTC), "+0200"),
        (date(2030, 10, 28), datetime(2030, 10, 20, tzinfo=UTC), "+0100"),
    ],
    ids=str,
)
def test_opening_hours_follow_the_wall_in_berlin(
    desk: Desk, day: date, now: datetime, offset: str
) -> None:
    """Nine o'clock is nine o'clock, before and after clocks change."""
    service = desk.service(clock=stopped_at(now))
    amara = desk.salon.staff["Amara"]
    found = service.free_slots(desk.salon.services["Haircut"], day, amara)
    walls = _quarters(("09:00", "11:45"), ("13:00", "16:15"))
    assert [f"{wall} {offset}" for wall in walls] == _starts(found)
    booked = service.book(**desk.ask(start=found[0].slot.start)).appointment
    assert f"09:00 {offset}" == f"{booked.slot.start.astimezone(BERLIN):%H:%M %z}"


def test_a_date_is_the_one_on_the_wall_of_each_location(desk: Desk) -> None:
    """Thursday's night shift in Brooklyn is Friday in Berlin, and listed under Thursday."""
    found = desk.service().free_slots(
        desk.salon.services["Haircut"], date(2030, 1, 10), desk.salon.staff["Eli"]
    )
    assert [f"{wall} -0500" for wall in _quarters(("22:00", "23:45"))] == _starts(found)
    assert {date(2030, 1, 11)} == {free.slot.start.astimezone(BERLIN).date() for free in found}
    assert {date(2030, 1, 10)} == {free.slot.start.astimezone(BROOKLYN).date() for free in found}


def test_notice_and_horizon_bound_what_is_listed(desk: Desk) -> None:
    """An hour's notice and ninety days, to the minute, also in the middle of a day."""
    haircut, amara = desk.salon.services["Haircut"], desk.salon.staff["Amara"]
    soon = desk.service(clock=stopped_at(TEN - HOUR)).free_slots(haircut, TUESDAY, amara)
    assert soon[0].slot.start == TEN
    late = desk.service(clock=stopped_at(TEN - HOUR + timedelta(microseconds=1)))
    assert late.free_slots(haircut, TUESDAY, amara)[0].slot.start == TEN + 15 * MINUTE
    far = desk.service(clock=stopped_at(TEN - 90 * DAY)).free_slots(haircut, TUESDAY, amara)
    assert far[-1].slot.start == TEN
    far = desk.service(clock=stopped_at(TEN + 30 * MINUTE)).free_slots(haircut, TUESDAY, amara)
    assert far[0].slot.start == TEN + 90 * MINUTE


@pytest.mark.parametrize("name", ["Haircut", "Colour", "Beard trim"])
def test_what_is_listed_can_be_booked_and_nothing_else(desk: Desk, name: str) -> None:
    """Each listed slot is booked (and given back); a sample of the others is refused."""
    service = fill(desk, seed=len(name))
    source = Random(7)
    asked: dict[str, Any] = {"service_id": desk.salon.services[name], "client": "Bob"}
    found = everything(desk, service, range(5), name)
    for free in source.sample(found, 40):
        place = {"staff_id": free.staff_id, "start": free.slot.start}
        service.cancel(service.book(**asked | place).appointment.id)
    listed = {(free.staff_id, free.slot.start) for free in found}
    first = min(start for _, start in listed)
    refused_ = 0
    while refused_ < 60:
        start = first + source.randrange(4 * 24 * 12) * 5 * MINUTE
        staff_id = source.choice(list(desk.salon.staff.values()))
        if (staff_id, start) not in listed:
            with pytest.raises(BookingError) as refusal:
                service.book(**asked | {"staff_id": staff_id, "start": start})
            assert refusal.value.outcome in ("invalid", "conflict")
            refused_ += 1
    assert listed == {
        (free.staff_id, free.slot.start) for free in everything(desk, service, range(5), name)
    }


def _places(desk: Desk, service: BookingService) -> set[tuple[int, datetime]]:
    found = everything(desk, service, range(5), "Haircut")
    return {(free.staff_id, free.slot.start) for free in found}


def test_what_is_refused_as_taken_keeps_every_rule(desk: Desk) -> None:
    """A conflict is said only of a slot that the rules allow: without the rival it is free."""
    service = fill(desk, seed=3)
    source = Random(11)
    haircut = desk.salon.services["Haircut"]
    before = _places(desk, service)
    conflicts = set()
    for _ in range(120):
        start = TEN + source.randrange(3 * 24 * 4) * 15 * MINUTE
        staff_id = source.choice(list(desk.salon.staff.values()))
        if (staff_id, start) in before:
            continue
        try:
            service.book(staff_id=staff_id, service_id=haircut, start=start, client="Bob")
        except BookingConflict:
            conflicts.add((staff_id, start))
        except BookingError:
            continue
    assert conflicts
    desk.empty()
    assert conflicts <= _places(desk, service)


def test_listing_takes_one_query(desk: Desk, queries: list[str]) -> None:
    """Whatever the number of staff and days; another one when a time zone is met first."""
    service = desk.service()
    service.free_slots(desk.salon.services["Haircut"], TUESDAY)
    queries.clear()
    assert service.free_slots(desk.salon.services["Haircut"], TUESDAY, last=TUESDAY + 30 * DAY)
    assert 1 == len(queries)


def test_set_up_reaches_back_over_midnight(fresh: Database) -> None:
    """What ended before the days that are listed may still be in the way of the first set-up."""
    desk = desk_in(fresh, DEFAULT)
    desk.execute("UPDATE service SET buffer_before = '20 minutes' WHERE name = 'Haircut'")
    desk.execute("UPDATE working_hours SET starts = '00:00', ends = '00:00' WHERE staff_id = 1")
    desk.execute("DELETE FROM working_hours WHERE kind = 'break'")
    midnight = datetime(2030, 1, 9, tzinfo=BERLIN).astimezone(UTC)
    service = desk.service()
    haircut, amara = desk.salon.services["Haircut"], desk.salon.staff["Amara"]
    service.book(**desk.ask(start=midnight - HOUR))  # blocked until midnight
    found = service.free_slots(haircut, TUESDAY + DAY, amara)
    assert midnight + 30 * MINUTE == found[0].slot.start
    # And it reaches out of a shift: the first of the day needs none of its own.
    dolores = service.free_slots(haircut, TUESDAY, desk.salon.staff["Dolores"])
    assert "10:00" == f"{dolores[0].local_start:%H:%M}"


def test_an_empty_or_endless_list_is_refused(desk: Desk) -> None:
    """A page that asks for too much is told so before the database is."""
    service = desk.service()
    haircut = desk.salon.services["Haircut"]
    for days in (400, 100_000):
        with refused("TOO_MANY_DAYS"):
            service.free_time(haircut, TUESDAY, TUESDAY + days * DAY)
    with refused("END_BEFORE_START"):
        service.free_time(haircut, TUESDAY, TUESDAY - DAY)
    with refused("NOT_A_DATE"):
        service.free_time(haircut, TUESDAY, "2030-01-09")  # type: ignore[arg-type]
    with refused("UNKNOWN_LOCATION"):
        service.free_time(haircut, TUESDAY, TUESDAY, location_id=99)
    with refused("NOT_OFFERED"):  # Amara works in Berlin
        service.free_time(
            haircut, TUESDAY, TUESDAY, staff_id=desk.salon.staff["Amara"], location_id=2
        )


def test_a_time_zone_that_does_not_exist_is_named_and_can_be_mended(fresh: Database) -> None:
    """Whoever stored it reads which one it was; afterwards everything is as before."""
    desk = desk_in(fresh, DEFAULT)
    service = desk.service()
    haircut = desk.salon.services["Haircut"]
    before = service.free_slots(haircut, TUESDAY)
    desk.execute("UPDATE location SET time_zone = 'Europe/Kijw' WHERE name = 'Brooklyn'")
    with pytest.raises(InvalidRequest, match="Europe/Kijw") as refusal:
        service.free_slots(haircut, TUESDAY)
    assert "UNKNOWN_TIME_ZONE" == refusal.value.code
    assert service.free_slots(haircut, TUESDAY, desk.salon.staff["Amara"])
    desk.execute("UPDATE location SET time_zone = 'America/New_York' WHERE name = 'Brooklyn'")
    assert before == service.free_slots(haircut, TUESDAY)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE location SET horizon = '1 year'",
        "UPDATE location SET horizon = '10000 days'",
        "UPDATE location SET minimum_notice = '-1 hour'",
        "UPDATE service SET duration = '3 days'",
        "UPDATE service SET buffer_before = '-1 minute'",
        (
            "INSERT INTO time_off (staff_id, during, reason)"
            " VALUES (1, '[2031-01-01 00:00+00, 9999-12-31 00:00+00)', 'for good')"
        ),
        (
            "INSERT INTO closure (location_id, during, reason)"
            " VALUES (1, '[2031-01-01 00:00+00, infinity)', 'for good')"
        ),
        (
            "INSERT INTO closure (location_id, during, reason)"
            " VALUES (1, '(2031-01-01 00:00+00, 2031-01-02 00:00+00]', 'inside out')"
        ),
    ],
)
def test_rules_that_would_be_read_in_two_ways_are_not_stored(desk: Desk, statement: str) -> None:
    """A year has 365 days here and 365.25 there; what is stored means the same to both."""
    with pytest.raises(IntegrityError, match="violates check constraint"):
        desk.execute(statement)


def test_lists_are_the_same_where_statements_are_not_prepared(desk: Desk) -> None:
    """As some poolers want it; then the settings and the query are one transaction, too."""
    with desk.engine.connect() as connection:
        assert "on" == connection.exec_driver_sql("SHOW enable_seqscan").scalar_one()
    engine = desk.database.engine(connect_args={"prepare_threshold": None})
    service = desk.service(engine=engine)
    haircut = desk.salon.services["Haircut"]
    for _ in range(2):  # the second time on a connection that has been used
        assert desk.service().free_slots(haircut, TUESDAY) == service.free_slots(haircut, TUESDAY)
    with engine.connect() as connection:
        assert "on" == connection.exec_driver_sql("SHOW enable_seqscan").scalar_one()
    service.cancel(service.book(**desk.ask()).appointment.id)


@pytest.mark.parametrize("style", ["iso_8601", "sql_standard", "postgres_verbose"])
def test_lists_are_the_same_whatever_style_intervals_are_written_in(desk: Desk, style: str) -> None:
    """It is a setting of the server's or of the database's, and may be anything."""
    engine = desk.database.engine(connect_args={"options": f"-c intervalstyle={style}"})
    service, plain = desk.service(engine=engine), desk.service()
    haircut = desk.salon.services["Haircut"]
    assert plain.free_slots(haircut, TUESDAY) == service.free_slots(haircut, TUESDAY)
    assert repr(plain.candidates(haircut, TEN)) == repr(service.candidates(haircut, TEN))
    near = [each.alternatives(haircut, TEN, "Europe/Berlin") for each in (plain, service)]
    assert near[0] == near[1]
    engine.dispose()


def test_what_is_no_date_service_or_staff_member_is_refused(desk: Desk) -> None:
    """Listing answers bad questions in the same words as booking does."""
    service = desk.service()
    haircut = desk.salon.services["Haircut"]
    for day in (datetime(2030, 1, 8, tzinfo=UTC), "2030-01-08", None, 20300108):
        with refused("NOT_A_DATE"):
            service.free_slots(haircut, day)  # type: ignore[arg-type]
    with refused("OUT_OF_RANGE"):
        service.free_slots(haircut, date.max)
    for service_id in (0, -1, 99, 2**63, True, "1", None):
        with refused("UNKNOWN_SERVICE"):
            service.free_slots(service_id, TUESDAY)  # type: ignore[arg-type]
    for staff_id in (0, 0.0, -1, 99, 2**63, True, "1", 1.5):
        with refused("UNKNOWN_STAFF"):
            service.free_slots(haircut, TUESDAY, staff_id)  # type: ignore[arg-type]
    with refused("NOT_OFFERED"):
        service.free_slots(desk.salon.services["Colour"], TUESDAY, desk.salon.staff["Bruno"])


@pytest.mark.parametrize("staff_id", [False, "", []], ids=repr)
def test_what_is_falsy_is_no_staff_member_either(desk: Desk, staff_id: object) -> None:
    """Only None means everybody."""
    with refused("UNKNOWN_STAFF"):
        desk.service().free_slots(
            desk.salon.services["Haircut"],
            TUESDAY,
            staff_id,  # type: ignore[arg-type]
        )


def test_a_service_that_nobody_offers(desk: Desk) -> None:
    """It exists, but there is nobody to do it."""
    desk.execute(
        "INSERT INTO service (name, duration, buffer_after, grid)"
        " VALUES ('Perm', '1 hour', '0', '1 hour') ON CONFLICT DO NOTHING"
    )
    with desk.engine.connect() as connection:
        perm = connection.exec_driver_sql("SELECT id FROM service WHERE name = 'Perm'").scalar_one()
    with refused("NOT_OFFERED"):
        desk.service().free_slots(perm, TUESDAY)
