"""What is offered instead of a lost slot: the nearest free ones first."""

# ruff: noqa: SIM300 - expected == actual

from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from desk import (
    BERLIN,
    MINUTE,
    NOW,
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

from booking_core import (
    DEFAULT,
    BookingConflict,
    BookingService,
)
from booking_core.booking import MOST_OFFERS
from booking_core.calendar.availability import Availability
from booking_core.calendar.rulebook import Rulebook
from booking_core.errors import PoolTimeout
from booking_core.slots import FreeSlot
from experiments.server.postgres import Database

HOUR = 60 * MINUTE
DAY = timedelta(days=1)


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Open the desk."""
    with open_desk() as opened:
        yield opened


def _in_order(staff_id: int, start: datetime, found: list[FreeSlot]) -> list[FreeSlot]:
    """Sort by the promise: nearest, same staff first, earlier, name. The oracle's own words."""
    (city,) = {free.time_zone for free in found if free.staff_id == staff_id}
    day = start.astimezone(ZoneInfo(city)).date()
    return sorted(
        (free for free in found if free.time_zone == city and free.local_start.date() >= day),
        key=lambda free: (
            max(free.slot.start, start) - min(free.slot.start, start),
            0 if free.staff_id == staff_id else 1,
            free.slot.start,
            free.staff,
        ),
    )


@pytest.mark.parametrize("seed", range(4))
def test_alternatives_are_the_nearest_of_all_free_slots(desk: Desk, seed: int) -> None:
    """Compared with everything that is listed for a fortnight: the same ones, in the same order."""
    service = fill(desk, seed)
    listed = everything(desk, service, range(-2, 12), "Haircut")
    source = Random(seed)
    rows = [row for row in desk.rows() if row.service_id == desk.salon.services["Haircut"]]
    for row in source.sample(rows, 3):
        lost = {"staff_id": row.staff_id, "start": row.during.lower}
        with pytest.raises(BookingConflict) as conflict:
            service.book(service_id=row.service_id, client="Bob", **lost)
        assert _in_order(found=listed, **lost)[:5] == list(conflict.value.alternatives)


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


def _crowd(desk: Desk, keep: list[tuple[str, datetime]], until: datetime = NOW + 200 * DAY) -> None:
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
            end=until,
            keep=[moment for kept, moment in keep if kept == name],
        )


def _take_all(desk: Desk, start: datetime, end: datetime) -> None:
    """Take everybody's time from one moment to another."""
    desk.execute(
        "INSERT INTO appointment (staff_id, service_id, client, during, blocked, request_digest)"
        " SELECT id, 1, 'crowd', taken, taken, '' FROM staff, tstzrange(:start, :end) AS taken",
        start=start,
        end=end,
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


def _lose(desk: Desk, service: BookingService, **different: Any) -> list[FreeSlot]:  # noqa: ANN401 - as `ask`
    """Ask for what is taken, and return what is offered instead."""
    with pytest.raises(BookingConflict) as conflict:
        service.book(**desk.ask(client="Bob", **different))
    return list(conflict.value.alternatives)


def test_alternatives_take_a_query_for_each_ring_that_is_looked_at(
    desk: Desk, queries: list[str]
) -> None:
    """One if they are near, whoever works there, and whether or not the rules have changed."""
    desk.service().book(**desk.ask())
    far = [("Amara", TEN + 7 * DAY + hours * HOUR) for hours in (0, 1)]
    for keep, rings in ((None, 1), (far, 2), ([], 5)):
        if keep is not None:
            desk.empty()
            _crowd(desk, keep)
        services = [desk.service(offers=offers) for offers in (0, 2)]
        for service in services:
            _lose(desk, service)  # everybody's rules are known then
        for again in ("before a change of the rules", "after it"):
            asked = []
            for service in services:
                queries.clear()
                offered = _lose(desk, service)
                asked.append(len(queries))
            assert bool(offered) == (keep != [])
            read = again == "after it"  # the others' rules, too
            assert asked[0] + rings + read == asked[1], again
            desk.execute("UPDATE service SET name = name")


@pytest.mark.parametrize(
    ("busy_from", "busy_until", "wanted"),
    [
        (8, 8 + 55 / 60, 9.5),  # over when the first one begins, but not ten minutes before
        (20 + 5 / 60, 21, 17.5),  # begins when the last one is over, but not yet cleared away
    ],
)
def test_what_is_booked_outside_the_opening_hours_is_in_the_way(
    desk: Desk, busy_from: float, busy_until: float, wanted: float
) -> None:
    """Set-up and buffer reach beyond the first and the last start of the day."""
    _take_all(desk, TEN + (busy_from - 10) * HOUR, TEN + (busy_until - 10) * HOUR)
    availability = Availability(desk.engine, stopped_at(NOW))
    colour = desk.salon.services["Colour"]  # two hours, ten minutes before, fifteen after
    listed = availability.free_time(colour, TUESDAY, TUESDAY + 2 * DAY, location_id=1)
    free = {(slot.staff, slot.slot.start) for time in listed for slot in time.slots()}
    start = TEN + (wanted - 10) * HOUR
    found = availability.alternatives(colour, start, "Europe/Berlin", location_id=1)
    assert free >= {(slot.staff, slot.slot.start) for slot in found}


def test_who_asks_for_anybody_finds_a_location_in_its_new_time_zone(fresh: Database) -> None:
    """It was stored under the wrong one, say, and nobody there is free."""
    desk = desk_in(fresh, DEFAULT)
    service = desk.service()
    for staff in ("Amara", "Bruno"):
        service.book(**desk.ask(staff=staff))
    anybody = {"staff_id": None, "location_id": 1}
    before = _lose(desk, service, **anybody)
    desk.execute("UPDATE location SET time_zone = 'Europe/Paris' WHERE id = 1")
    assert [replace(free, time_zone="Europe/Paris") for free in before] == _lose(
        desk, service, **anybody
    )


def test_the_rules_of_the_moment_count(desk: Desk) -> None:
    """A service that has answered before is asked again after they have changed."""
    service = desk.service()
    service.book(**desk.ask())
    before = _lose(desk, service)
    desk.execute(
        "INSERT INTO closure (location_id, during, reason)"
        " VALUES (1, tstzrange(:start, :end), 'flood')",
        start=TEN + MINUTE,
        end=TEN + 6 * HOUR,
    )
    availability = Availability(desk.engine, stopped_at(NOW))
    try:
        after = availability.alternatives(1, TEN, "Europe/Berlin", location_id=1)
    finally:
        desk.execute("DELETE FROM closure WHERE reason = 'flood'")
    assert after
    assert not any(TEN <= free.slot.start < TEN + 6 * HOUR for free in after)
    assert before == _lose(desk, service)


def test_fewer_than_wanted_are_an_answer_too(desk: Desk) -> None:
    """Where nobody may start later than the horizon; and more where that is moved."""
    service = desk.service(offers=MOST_OFFERS)
    first = service.free_slots(1, (NOW + 90 * DAY).date())[0]
    service.book(**desk.ask(start=first.slot.start) | {"staff_id": first.staff_id})
    lost = {"start": first.slot.start, "staff_id": first.staff_id}
    expected = _lose(desk, service, **lost)
    assert 0 < len(expected) < MOST_OFFERS
    desk.execute("UPDATE location SET horizon = horizon + interval '1 day'")
    try:
        assert len(_lose(desk, service, **lost)) > len(expected)
    finally:
        desk.execute("UPDATE location SET horizon = horizon - interval '1 day'")


def test_a_large_team_is_answered_like_a_small_one(fresh: Database) -> None:
    """All who are free at that very time, the one who was asked for first, then by name."""
    desk = desk_in(fresh, DEFAULT)
    desk.execute(
        "WITH temp AS (INSERT INTO staff (location_id, name) SELECT 1, 'Temp ' || 10 + number"
        " FROM generate_series(1, 17) AS number RETURNING id),"
        " offered AS (INSERT INTO offering SELECT 1, id FROM temp)"
        " INSERT INTO working_hours (staff_id, weekday, kind, starts, ends)"
        " SELECT id, weekday, 'shift', '09:00', '17:00' FROM temp, generate_series(0, 6) AS weekday"
    )
    service = desk.service(offers=20)
    service.book(**desk.ask())
    offered = _lose(desk, service)
    assert ["Bruno", *(f"Temp {number}" for number in range(11, 28))] == [
        free.staff for free in offered[:18]
    ]
    assert {TEN} == {free.slot.start for free in offered[:18]}
    _take_all(desk, TEN, TEN + 5 * HOUR)
    later = _lose(desk, service)
    assert [HOUR] * 18 == [TEN - free.slot.start for free in later[:18]]


def test_where_there_is_no_such_location_it_is_said(desk: Desk) -> None:
    """As in every other question about what is free."""
    availability = Availability(desk.engine, stopped_at(NOW))
    haircut = desk.salon.services["Haircut"]
    for location_id in (2**40, "Berlin", True):
        with refused("UNKNOWN_LOCATION"):
            availability.alternatives(haircut, TEN, "Europe/Berlin", location_id=location_id)  # type: ignore[arg-type]


def test_where_no_location_is_named_all_of_them_count(desk: Desk) -> None:
    """In whatever time zone they are."""
    availability = Availability(desk.engine, stopped_at(NOW))
    haircut = desk.salon.services["Haircut"]
    four = TEN + 6 * HOUR  # ten in Brooklyn
    found = availability.alternatives(haircut, four, "Europe/Berlin", limit=12)
    assert {"Amara", "Bruno", "Chidi", "Dolores"} == {free.staff for free in found}


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
    assert list(offered[3:]) == _lose(desk, service, refused=offered[:3])[:5]
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


def test_a_conflict_is_said_even_where_no_alternatives_can_be_looked_for(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """That the slot is taken is known by then."""
    service = desk.service()
    service.book(**desk.ask())

    def fail(*_: object, **__: object) -> None:
        raise PoolTimeout

    monkeypatch.setattr("booking_core.calendar.availability.Availability.alternatives", fail)
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
