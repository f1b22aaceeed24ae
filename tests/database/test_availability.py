"""What is offered: every free slot and no other, and the nearest ones first."""

# ruff: noqa: SIM300 - expected == actual

from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from desk import BERLIN, BROOKLYN, MINUTE, NOW, TEN, Desk, desk_in, open_desk, refused
from sqlalchemy.exc import IntegrityError

from booking_core import (
    DEFAULT,
    BookingConflict,
    BookingError,
    BookingService,
    InvalidRequest,
)
from booking_core.availability import FreeSlot
from booking_core.errors import PoolTimeout
from booking_core.requests import Request
from booking_core.rulebook import Rulebook
from booking_core.slots import Slot
from booking_core.wire import Wire
from experiments.postgres import Database

HOUR = 60 * MINUTE
DAY = timedelta(days=1)
TUESDAY = date(2030, 1, 8)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Open the desk."""
    with open_desk() as opened:
        yield opened


def _at(moment: datetime) -> Callable[[], datetime]:
    """Return a clock that has stopped."""
    return lambda: moment


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


def _everything(desk: Desk, service: BookingService, days: range, name: str) -> list[FreeSlot]:
    """Return what is free on so many days after Tuesday, for everybody, day by day."""
    return [
        free
        for days_later in days
        for free in service.free_slots(
            desk.salon.services[name], TUESDAY + timedelta(days=days_later)
        )
    ]


def _request(desk: Desk, **different: Any) -> Request:  # noqa: ANN401 - as `ask`
    asked = desk.ask(**different)
    slot = Slot(asked["start"], asked["start"] + 45 * MINUTE)
    blocked = Slot(slot.start, slot.end + 15 * MINUTE)
    return Request(asked["staff_id"], asked["service_id"], "Ada", slot, blocked)


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
    service = desk.service(clock=_at(now))
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
    service = desk.service(clock=_at(now))
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
    soon = desk.service(clock=_at(TEN - HOUR)).free_slots(haircut, TUESDAY, amara)
    assert soon[0].slot.start == TEN
    late = desk.service(clock=_at(TEN - HOUR + timedelta(microseconds=1)))
    assert late.free_slots(haircut, TUESDAY, amara)[0].slot.start == TEN + 15 * MINUTE
    far = desk.service(clock=_at(TEN - 90 * DAY)).free_slots(haircut, TUESDAY, amara)
    assert far[-1].slot.start == TEN
    far = desk.service(clock=_at(TEN + 30 * MINUTE)).free_slots(haircut, TUESDAY, amara)
    assert far[0].slot.start == TEN + 90 * MINUTE


def _fill(desk: Desk, seed: int) -> BookingService:
    """Book at random for a week, and return the service."""
    source = Random(seed)
    service = desk.service()
    for days_later in range(7):
        for name in ("Haircut", "Colour", "Beard trim"):
            day = TUESDAY + timedelta(days=days_later)
            found = service.free_slots(desk.salon.services[name], day)
            if found:
                chosen = source.choice(found)
                service.book(
                    staff_id=chosen.staff_id,
                    service_id=desk.salon.services[name],
                    start=chosen.slot.start,
                    client="Ada",
                )
    return service


@pytest.mark.parametrize("name", ["Haircut", "Colour", "Beard trim"])
def test_what_is_listed_can_be_booked_and_nothing_else(desk: Desk, name: str) -> None:
    """Each listed slot is booked (and given back); a sample of the others is refused."""
    service = _fill(desk, seed=len(name))
    source = Random(7)
    asked: dict[str, Any] = {"service_id": desk.salon.services[name], "client": "Bob"}
    found = _everything(desk, service, range(5), name)
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
        (free.staff_id, free.slot.start) for free in _everything(desk, service, range(5), name)
    }


def _places(desk: Desk, service: BookingService) -> set[tuple[int, datetime]]:
    found = _everything(desk, service, range(5), "Haircut")
    return {(free.staff_id, free.slot.start) for free in found}


def test_what_is_refused_as_taken_keeps_every_rule(desk: Desk) -> None:
    """A conflict is said only of a slot that the rules allow: without the rival it is free."""
    service = _fill(desk, seed=3)
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


def _in_order(wanted: Request, found: list[FreeSlot]) -> list[FreeSlot]:
    """Sort by the promise: nearest, same staff first, earlier, name. The oracle's own words."""
    (city,) = {free.time_zone for free in found if free.staff_id == wanted.staff_id}
    day = wanted.slot.start.astimezone(ZoneInfo(city)).date()
    return sorted(
        (free for free in found if free.time_zone == city and free.local_start.date() >= day),
        key=lambda free: (
            max(free.slot.start, wanted.slot.start) - min(free.slot.start, wanted.slot.start),
            0 if free.staff_id == wanted.staff_id else 1,
            free.slot.start,
            free.staff,
        ),
    )


@pytest.mark.parametrize("seed", range(4))
def test_alternatives_are_the_nearest_of_all_free_slots(desk: Desk, seed: int) -> None:
    """Compared with everything that is listed for a fortnight: the same ones, in the same order."""
    service = _fill(desk, seed)
    everything = _everything(desk, service, range(-2, 12), "Haircut")
    source = Random(seed)
    rows = [row for row in desk.rows() if row.service_id == desk.salon.services["Haircut"]]
    for row in source.sample(rows, 3):
        request = _request(desk, staff=_name(desk, row.staff_id), start=row.during.lower)
        with pytest.raises(BookingConflict) as conflict:
            service.book(
                staff_id=row.staff_id,
                service_id=request.service_id,
                start=request.slot.start,
                client="Bob",
            )
        assert _in_order(request, everything)[:5] == list(conflict.value.alternatives)


def _name(desk: Desk, staff_id: int) -> str:
    return next(name for name, number in desk.salon.staff.items() if number == staff_id)


def test_every_alternative_can_be_booked(desk: Desk) -> None:
    """What is offered instead of a lost slot is no second disappointment."""
    service = desk.service()
    service.book(**desk.ask())
    with pytest.raises(BookingConflict) as conflict:
        service.book(**desk.ask(client="Bob"))
    offered = conflict.value.alternatives
    assert 5 == len(offered)
    for free in offered:
        booked = service.book(**desk.ask(start=free.slot.start) | {"staff_id": free.staff_id})
        assert free.slot == booked.appointment.slot
        service.cancel(booked.appointment.id)


def test_the_same_lost_slot_gets_the_same_offer(desk: Desk) -> None:
    """Ties are settled the same way every time; here by name, then by who asked."""
    service = desk.service()
    service.book(**desk.ask())
    offers = set()
    for client in ("Bob", "Cleo", "Bob"):
        with pytest.raises(BookingConflict) as conflict:
            service.book(**desk.ask(client=client))
        offers.add(conflict.value.alternatives)
    (offer,) = offers
    assert ["Bruno", "Bruno", "Bruno", "Bruno", "Bruno"] == [free.staff for free in offer]
    assert [0, -15, 15, -30, 30] == [(free.slot.start - TEN) // MINUTE for free in offer]


def test_the_same_staff_member_comes_first_at_equal_distance(desk: Desk) -> None:
    """An hour away the one who was asked for is free again, and is offered before the others."""
    service = desk.service()
    service.book(**desk.ask())
    service.book(**desk.ask(staff="Bruno"))
    with pytest.raises(BookingConflict) as conflict:
        service.book(**desk.ask(client="Bob"))
    offered = conflict.value.alternatives
    assert [("Amara", -60), ("Amara", 60), ("Bruno", -60), ("Bruno", 60), ("Chidi", 60)] == [
        (free.staff, (free.slot.start - TEN) // MINUTE) for free in offered
    ]


def _crowd(desk: Desk, keep: list[tuple[str, datetime]]) -> None:
    """Take every calendar up, but for the hours that begin at the given moments."""
    for name, staff_id in desk.salon.staff.items():
        desk.execute(
            "INSERT INTO appointment"
            " (staff_id, service_id, client, during, blocked, request_digest)"
            " SELECT :staff_id, 1, 'crowd', taken, taken, '' FROM unnest("
            " tstzmultirange(tstzrange(:start, :end)) - (SELECT coalesce("
            " range_agg(tstzrange(kept, kept + interval '1 hour')), '{}')"
            " FROM unnest(CAST(:keep AS timestamptz[])) AS hours (kept))) AS rest (taken)",
            staff_id=staff_id,
            start=NOW - DAY,
            end=NOW + 200 * DAY,
            keep=[moment for kept, moment in keep if kept == name],
        )


@pytest.mark.parametrize("days", [1, 6, 20, 80])
def test_alternatives_are_found_however_far_away(desk: Desk, days: int) -> None:
    """At least three where they exist, be they weeks away."""
    there = TEN.astimezone(BERLIN) + timedelta(days=days)
    there -= timedelta(days=there.weekday() - 1)  # a Tuesday
    keep = [("Amara", there + hours * HOUR) for hours in (1, 3, 4.5)]
    _crowd(desk, keep)
    with pytest.raises(BookingConflict) as conflict:
        desk.service().book(**desk.ask())
    assert sorted(moment for _, moment in keep) == sorted(
        free.slot.start for free in conflict.value.alternatives
    )


def test_where_nothing_is_free_nothing_is_offered(desk: Desk) -> None:
    """A conflict without alternatives is an answer too."""
    _crowd(desk, [])
    with pytest.raises(BookingConflict, match="none were found") as conflict:
        desk.service().book(**desk.ask())
    assert () == conflict.value.alternatives


def test_the_same_staff_member_comes_first_at_the_edge_of_the_search_too(desk: Desk) -> None:
    """Six hours earlier with Chidi, six hours later with Amara: the one asked for comes first."""
    desk.execute("UPDATE working_hours SET starts = '04:00' WHERE kind = 'shift' AND staff_id = 3")
    friday = TEN + 3 * DAY
    keep = [("Amara", friday + hours * HOUR) for hours in (-1, 1, 3, 4.5, 6)]
    _crowd(desk, [*keep, ("Chidi", friday - 6 * HOUR)])
    try:
        with pytest.raises(BookingConflict) as conflict:
            desk.service(offers=6).book(**desk.ask(start=friday))
    finally:
        desk.execute(
            "UPDATE working_hours SET starts = '11:00' WHERE kind = 'shift' AND staff_id = 3"
        )
    assert [("Amara", hours) for hours in (-1, 1, 3, 4.5, 6)] + [("Chidi", -6)] == [
        (free.staff, (free.slot.start - friday) / HOUR) for free in conflict.value.alternatives
    ]


def test_alternatives_to_a_move_are_offered_too(desk: Desk) -> None:
    """Whoever wants to move is told where to, nearest to where they wanted to be."""
    service = desk.service()
    mine = service.book(**desk.ask(staff="Bruno", start=TEN + 3 * HOUR)).appointment
    service.book(**desk.ask())
    with pytest.raises(BookingConflict) as conflict:
        service.reschedule(mine.id, start=TEN, staff_id=desk.salon.staff["Amara"])
    assert ("Bruno", TEN) == (
        conflict.value.alternatives[0].staff,
        conflict.value.alternatives[0].slot.start,
    )


def test_an_appointment_is_not_in_the_way_of_its_own_move(desk: Desk) -> None:
    """Half an hour later is taken; a quarter of an hour later overlaps only where it was."""
    service = desk.service(offers=40)
    mine = service.book(**desk.ask(start=TEN)).appointment
    service.book(**desk.ask(start=TEN + HOUR, client="Bob"))
    with pytest.raises(BookingConflict) as conflict:
        service.reschedule(mine.id, start=TEN + 30 * MINUTE)
    with_amara = [
        (free.slot.start - TEN) // MINUTE
        for free in conflict.value.alternatives
        if free.staff == "Amara" and abs(free.slot.start - TEN) <= HOUR
    ]
    assert [-15, -30, -45, -60] == with_amara  # and not where it is now
    moved = service.reschedule(mine.id, start=TEN - 15 * MINUTE)
    assert moved.appointment.id == mine.id


def test_so_many_are_offered_as_are_wanted(desk: Desk) -> None:
    """An experiment that does not look at alternatives need not pay for them."""
    desk.service().book(**desk.ask())
    for wanted in (0, 1, 12):
        with pytest.raises(BookingConflict) as conflict:
            desk.service(offers=wanted).book(**desk.ask(client="Bob"))
        assert wanted == len(conflict.value.alternatives)


@pytest.fixture
def queries(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect the queries that are asked; each is a round trip, its transaction included."""
    asked: list[str] = []
    add = Wire.add

    def note(wire: Wire, sql: str, *parameters: Any) -> None:  # noqa: ANN401 - as the wire's own
        asked.extend([sql] * ("FROM" in sql))  # more than a setting
        add(wire, sql, *parameters)

    monkeypatch.setattr(Wire, "add", note)
    return asked


def test_listing_takes_one_query(desk: Desk, queries: list[str]) -> None:
    """Whatever the number of staff and days; another one when a time zone is met first."""
    service = desk.service()
    service.free_slots(desk.salon.services["Haircut"], TUESDAY)
    queries.clear()
    assert service.free_slots(desk.salon.services["Haircut"], TUESDAY, last=TUESDAY + 30 * DAY)
    assert 1 == len(queries)


def test_alternatives_take_one_query(desk: Desk, queries: list[str]) -> None:
    """Be they near or far, or none at all; what booking itself takes is not counted here."""
    service = desk.service()
    service.book(**desk.ask())
    for crowded in (False, True):
        if crowded:
            _crowd(desk, [])
        asked = {}
        for offers in (0, 5):
            queries.clear()
            with pytest.raises(BookingConflict) as conflict:
                desk.service(offers=offers).book(**desk.ask(client="Bob"))
            asked[offers] = len(queries)
        assert bool(conflict.value.alternatives) != crowded
        assert {0: asked[0], 5: asked[0] + 1} == asked


def test_what_was_refused_is_not_offered_again(desk: Desk) -> None:
    """Whoever turns three down is offered the next best, in the same order."""
    service = desk.service(offers=8)
    service.book(**desk.ask())
    with pytest.raises(BookingConflict) as conflict:
        service.book(**desk.ask(client="Bob"))
    offered = conflict.value.alternatives
    with pytest.raises(BookingConflict) as conflict:
        desk.service().book(**desk.ask(client="Bob", refused=offered[:3]))
    assert offered[3:] == conflict.value.alternatives
    elsewhere = replace(offered[0], staff_id=2**40)
    for wrong in (["Tuesday"], "Tuesday", None, [elsewhere], offered[:1] * 1001):
        with refused("BAD_REFUSAL"):
            service.book(**desk.ask(client="Bob", refused=wrong))


def test_nobody_is_sent_to_another_city_nor_to_yesterday(desk: Desk) -> None:
    """Alternatives are at the same location, from the morning of the wanted day on."""
    brooklyn = TEN + 6 * HOUR  # ten in New York, where Dolores is alone; it is four in Berlin
    service = desk.service(offers=30)
    service.book(**desk.ask(staff="Dolores", start=brooklyn))
    with pytest.raises(BookingConflict) as conflict:
        service.book(**desk.ask(staff="Dolores", start=brooklyn))
    offered = conflict.value.alternatives
    assert {"Dolores"} == {free.staff for free in offered}
    assert TUESDAY == min(free.local_start.date() for free in offered)
    # Monday is full of free slots, and nearer than what is offered last.
    assert max(free.slot.start for free in offered) - brooklyn > 16 * HOUR


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


def test_a_conflict_is_said_even_where_no_alternatives_can_be_looked_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the slot is taken is known by then."""
    service = desk.service()
    service.book(**desk.ask())

    def fail(*_: object, **__: object) -> None:
        raise PoolTimeout

    monkeypatch.setattr("booking_core.availability.Availability.alternatives", fail)
    with pytest.raises(BookingConflict) as conflict:
        service.book(**desk.ask(client="Bob"))
    assert () == conflict.value.alternatives


def test_a_conflict_is_said_even_where_the_rules_can_not_be_read_again(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may have been forgotten meanwhile, and the pool be empty."""
    service = desk.service()
    service.book(**desk.ask())
    read = Rulebook.rules
    calls = iter([True])

    def once(rulebook: Rulebook, *asked: int) -> Any:  # noqa: ANN401 - as the method
        if next(calls, False):
            return read(rulebook, *asked)
        raise PoolTimeout

    monkeypatch.setattr(Rulebook, "rules", once)
    with pytest.raises(BookingConflict) as conflict:
        service.book(**desk.ask(client="Bob"))
    assert () == conflict.value.alternatives


@pytest.mark.parametrize("offers", [-1, 2**31])
def test_an_absurd_number_of_offers_is_refused_at_once(desk: Desk, offers: int) -> None:
    """Not when the first slot is lost."""
    with pytest.raises(ValueError, match="must lie between 0 and 1000"):
        desk.service(offers=offers)


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
