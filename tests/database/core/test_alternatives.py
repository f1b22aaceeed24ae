"""What is offered instead of a lost slot: the nearest free ones first."""

# ruff: noqa: SIM300 - expected == actual

from collections.abc import Iterator
from contextlib import suppress
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
    BookingError,
    BookingService,
    alternatives,
    nearest,
)
from booking_core.availability import Availability
from booking_core.booking import MOST_OFFERS
from booking_core.errors import PoolTimeout
from booking_core.free_slots import FreeSlot
from booking_core.requests import Request
from booking_core.rulebook import Rulebook
from booking_core.slots import Slot
from experiments.server.postgres import Database

HOUR = 60 * MINUTE
DAY = timedelta(days=1)
# How those are answered who lose a slot on one day, one after the other; the team is small.
ONE_AFTER_THE_OTHER = ("everybody is looked at", "the rules are learned", "they are remembered")


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Open the desk."""
    with open_desk() as opened:
        yield opened


def _request(desk: Desk, **different: Any) -> Request:  # noqa: ANN401 - as `ask`
    asked = desk.ask(**different)
    slot = Slot(asked["start"], asked["start"] + 45 * MINUTE)
    blocked = Slot(slot.start, slot.end + 15 * MINUTE)
    return Request(asked["staff_id"], asked["service_id"], "Ada", slot, blocked)


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
    service = fill(desk, seed)
    listed = everything(desk, service, range(-2, 12), "Haircut")
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
        assert _in_order(request, listed)[:5] == list(conflict.value.alternatives)


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
    for _ in ONE_AFTER_THE_OTHER:
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


def test_alternatives_take_one_query(desk: Desk, queries: list[str]) -> None:
    """Be they near or far, or none at all, and whether or not the rules are remembered."""
    desk.service().book(**desk.ask())
    far = [("Amara", TEN + 7 * DAY + hours * HOUR) for hours in (0, 1)]
    for keep in (None, far, []):
        if keep is not None:
            desk.empty()
            _crowd(desk, keep)
        services = [desk.service(offers=offers) for offers in (0, 2)]
        for again in ("before a change of the rules", "after it"):
            for _ in ONE_AFTER_THE_OTHER:
                asked = []
                for service in services:
                    queries.clear()
                    offered = _lose(desk, service)
                    asked.append(len(queries))
                assert bool(offered) == (keep != [])
                assert asked[0] + 1 == asked[1], again
            desk.execute("UPDATE service SET name = name")


def test_what_the_rules_allow_is_remembered_until_they_change(
    desk: Desk, queries: list[str]
) -> None:
    """It pays from the third loser on; and nobody is answered by rules that are out of force."""
    service = desk.service()
    service.book(**desk.ask())
    read = _lose(desk, service)
    assert nearest.NEAREST == queries[-1]
    assert read == _lose(desk, service)
    assert nearest.LEARN == queries[-1]
    assert read == _lose(desk, service)
    assert nearest.FIRST_FREE == queries[-1]
    bruno = {"staff_id": desk.salon.staff["Bruno"], "start": TEN - HOUR, "end": TEN + 2 * HOUR}
    desk.execute(
        "INSERT INTO time_off (staff_id, during, reason)"
        " VALUES (:staff_id, tstzrange(:start, :end), 'dentist')",
        **bruno,
    )
    try:
        for query in (nearest.NEAREST, nearest.LEARN, nearest.FIRST_FREE):
            assert TEN not in {free.slot.start for free in _lose(desk, service)}
            assert query == queries[-1]
    finally:
        desk.execute("DELETE FROM time_off WHERE reason = 'dentist'")
    assert read == _lose(desk, service)


def test_a_day_that_is_booked_up_is_not_tried_start_by_start(
    desk: Desk, queries: list[str]
) -> None:
    """Who loses there is answered from memory too, as far as the last one had to go."""
    keep = [("Amara", TEN + 7 * DAY + hours * HOUR) for hours in (1, 3, 4.5)]
    _crowd(desk, keep)
    service = desk.service(offers=2)

    def expect(first: datetime, second: datetime, query: str) -> None:
        found = _lose(desk, service)
        assert [first, second] == [free.slot.start for free in found]
        assert query == queries[-1]

    one, two, three = (start for _, start in keep)
    for query in (nearest.NEAREST, nearest.LEARN, nearest.FREE_RUNS, nearest.FREE_RUNS):
        expect(one, two, query)
    # One of them is taken, and what is nearest now is a little farther away.
    desk.service().book(**desk.ask(start=one))
    expect(two, three, nearest.FREE_RUNS)
    # Somebody is free again long before that.
    desk.execute("DELETE FROM appointment WHERE client = 'crowd' AND staff_id = 2")
    expect(TEN, TEN - 15 * MINUTE, nearest.FREE_RUNS)


@pytest.mark.parametrize("hours", [-1, 0])  # -1: when they open, and there are few starts around
def test_an_empty_afternoon_does_not_hide_a_full_morning(
    desk: Desk, queries: list[str], hours: int
) -> None:
    """Who loses in the morning, after others who lost in the afternoon, is answered as quickly."""
    morning = TEN + hours * HOUR
    service = desk.service(offers=2)
    _take_all(desk, TEN - 2 * HOUR, TEN + 4 * HOUR)
    afternoon = TEN + 6 * HOUR
    service.book(**desk.ask(staff="Chidi", start=afternoon))
    for _ in ONE_AFTER_THE_OTHER:
        expected = _lose(desk, service, start=morning)
    for _ in range(3):
        _lose(desk, service, staff="Chidi", start=afternoon)
        assert expected == _lose(desk, service, start=morning)
        assert nearest.FREE_RUNS == queries[-1]


@pytest.fixture
def only_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have nothing tried start by start, as where much is taken."""
    monkeypatch.setattr(alternatives, "TRIES", 0)


@pytest.mark.usefixtures("only_runs")
@pytest.mark.parametrize(
    ("busy_from", "busy_until", "wanted"),
    [
        (8, 8 + 55 / 60, 9.5),  # over when the first one begins, but not ten minutes before
        (20 + 5 / 60, 21, 17.5),  # begins when the last one is over, but not yet cleared away
    ],
)
def test_what_is_booked_outside_the_opening_hours_is_in_the_way(
    desk: Desk, queries: list[str], busy_from: float, busy_until: float, wanted: float
) -> None:
    """Set-up and buffer reach beyond the first and the last start of the day."""
    _take_all(desk, TEN + (busy_from - 10) * HOUR, TEN + (busy_until - 10) * HOUR)
    availability = Availability(desk.engine, stopped_at(NOW))
    colour = desk.salon.services["Colour"]  # two hours, ten minutes before, fifteen after
    asked: dict[str, Any] = {"location_id": 1, "version": _version(desk)}
    listed = availability.free_time(colour, TUESDAY, TUESDAY + 2 * DAY, location_id=1)
    free = {(slot.staff, slot.slot.start) for time in listed for slot in time.slots()}
    for query in (nearest.NEAREST, nearest.LEARN, nearest.FREE_RUNS):
        start = TEN + (wanted - 10) * HOUR
        found = availability.alternatives(colour, start, "Europe/Berlin", **asked)
        assert free >= {(slot.staff, slot.slot.start) for slot in found}
        assert query == queries[-1]


@pytest.mark.usefixtures("only_runs")
def test_runs_know_moves_and_refusals_too(desk: Desk, queries: list[str]) -> None:
    """An appointment is not in its own way, and nobody is offered what they turned down."""
    service = desk.service(offers=16)
    mine = service.book(**desk.ask(start=TEN)).appointment
    service.book(**desk.ask(start=TEN + HOUR, client="Bob"))
    for _ in ONE_AFTER_THE_OTHER:
        _lose(desk, service, start=TEN + HOUR)
    offered: list[FreeSlot] = []
    for _ in range(2):
        with pytest.raises(BookingConflict) as conflict:
            service.reschedule(mine.id, start=TEN + 30 * MINUTE, refused=offered)
        assert nearest.FREE_RUNS == queries[-1]
        assert not set(offered) & set(conflict.value.alternatives)
        offered += conflict.value.alternatives
    with_amara = [(free.slot.start - TEN) // MINUTE for free in offered if free.staff == "Amara"]
    assert [-15, -30, -45, -60] == [minutes for minutes in with_amara if abs(minutes) <= 60]


def test_all_that_is_left_before_the_horizon_is_remembered(desk: Desk, queries: list[str]) -> None:
    """Fewer than wanted is an answer, too, where nobody may start later."""
    service = desk.service(offers=MOST_OFFERS)
    first = service.free_slots(1, (NOW + 90 * DAY).date())[0]
    service.book(**desk.ask(start=first.slot.start) | {"staff_id": first.staff_id})
    lost = {"start": first.slot.start, "staff_id": first.staff_id}
    expected = _lose(desk, desk.service(offers=MOST_OFFERS), **lost)
    assert 0 < len(expected) < MOST_OFFERS
    for query in (nearest.NEAREST, nearest.LEARN, nearest.FREE_RUNS, nearest.FREE_RUNS):
        assert expected == _lose(desk, service, **lost)
        assert query == queries[-1]
    # The rules change, and it is not enough any more, whatever is remembered.
    availability = Availability(desk.engine, stopped_at(NOW))
    asked: dict[str, Any] = {"location_id": 1, "version": _version(desk), "limit": MOST_OFFERS}
    for _ in ONE_AFTER_THE_OTHER:
        availability.alternatives(1, first.slot.start, "Europe/Berlin", **asked)
    assert nearest.FREE_RUNS == queries[-1]
    desk.execute("UPDATE location SET horizon = horizon + interval '1 day' WHERE id = 1")
    try:
        more = availability.alternatives(1, first.slot.start, "Europe/Berlin", **asked)
        assert nearest.FREE_RUNS == queries[-1]
    finally:
        desk.execute("UPDATE location SET horizon = horizon - interval '1 day' WHERE id = 1")
    assert len(more) > len(expected)


def test_what_is_remembered_of_a_day_is_one_service_at_one_location(desk: Desk) -> None:
    """Another service takes longer, and elsewhere are others."""
    version = _version(desk)
    colour, haircut = (desk.salon.services[name] for name in ("Colour", "Haircut"))

    def opened() -> Availability:
        availability = Availability(desk.engine, stopped_at(NOW))
        availability.free_time(haircut, TUESDAY, TUESDAY)  # Brooklyn has been met
        return availability

    def ask(availability: Availability, service_id: int, location_id: int | None) -> list[FreeSlot]:
        four = TEN + 6 * HOUR  # ten in Brooklyn
        return availability.alternatives(
            service_id, four, "Europe/Berlin", location_id=location_id, version=version, limit=12
        )

    asked = (haircut, 1), (colour, 1), (haircut, None)
    answers = [ask(opened(), *each) for each in asked]
    assert answers[0] != answers[1] != answers[2] != answers[0]
    availability = opened()
    for _ in ONE_AFTER_THE_OTHER:
        assert answers == [ask(availability, *each) for each in asked]


@pytest.mark.parametrize("wanted", [2, 30])  # 30: then all that is known would be tried
def test_days_that_are_booked_up_later_are_learned_too(
    desk: Desk, queries: list[str], wanted: int
) -> None:
    """What was remembered of two days does not tell where the next free start is, a week later."""
    service = desk.service(offers=wanted)
    service.book(**desk.ask())
    for _ in ONE_AFTER_THE_OTHER:
        _lose(desk, service)
    desk.empty()
    free_again = TEN + 7 * DAY
    _crowd(desk, [], until=free_again)
    expected = _lose(desk, desk.service(offers=wanted))
    assert min(free.slot.start for free in expected) == free_again
    # The first of these tries start by start, as for the others it would have been enough.
    for query in (nearest.FIRST_FREE, nearest.NEAREST, nearest.LEARN, nearest.FREE_RUNS):
        assert expected == _lose(desk, service)
        assert query == queries[-1]


def test_what_a_large_team_may_do_is_learned_later(fresh: Database, queries: list[str]) -> None:
    """It takes longer than a search, so slots must be lost more often before it pays."""
    desk = desk_in(fresh, DEFAULT)
    desk.execute(
        "WITH temp AS (INSERT INTO staff (location_id, name) SELECT 1, 'Temp ' || number"
        " FROM generate_series(1, 17) AS number RETURNING id),"
        " offered AS (INSERT INTO offering SELECT 1, id FROM temp)"
        " INSERT INTO working_hours (staff_id, weekday, kind, starts, ends)"
        " SELECT id, weekday, 'shift', '09:00', '17:00' FROM temp, generate_series(0, 6) AS weekday"
    )
    service = desk.service()
    service.book(**desk.ask())
    expected = _lose(desk, service)
    asked = [queries[-1]]
    for _ in range(5):
        assert expected == _lose(desk, service)
        asked.append(queries[-1])
    assert [nearest.NEAREST] * 4 + [nearest.LEARN, nearest.FIRST_FREE] == asked
    # Where all are taken that could be tried, they are not tried again. A fortnight of a large team
    # is too much to remember.
    for hours, then in ((5, nearest.FREE_RUNS), (14 * 24, nearest.NEAREST)):
        desk.empty()
        _take_all(desk, TEN - 2 * HOUR, TEN + hours * HOUR)
        expected = _lose(desk, desk.service())
        assert expected == _lose(desk, service)
        for _ in range(6):
            assert expected == _lose(desk, service)
            assert then == queries[-1]


def test_who_does_not_know_the_rules_version_does_not_learn_them(
    desk: Desk, queries: list[str]
) -> None:
    """What could never be used again is not paid for."""
    availability = Availability(desk.engine, stopped_at(NOW))
    haircut = desk.salon.services["Haircut"]
    for _ in ONE_AFTER_THE_OTHER:
        availability.alternatives(haircut, TEN, "Europe/Berlin", location_id=1)
        assert nearest.NEAREST == queries[-1]


def test_days_are_forgotten_in_turn(desk: Desk, queries: list[str]) -> None:
    """The memory does not grow with the calendar; the oldest day goes first."""
    availability = Availability(desk.engine, stopped_at(NOW))
    haircut, version = desk.salon.services["Haircut"], _version(desk)

    def ask(day: int) -> str:
        availability.alternatives(
            haircut, TEN + day * DAY, "Europe/Berlin", location_id=1, version=version
        )
        return queries[-1]

    for query in (nearest.NEAREST, nearest.LEARN, nearest.FIRST_FREE):
        assert query == ask(0)
    for day in range(1, alternatives.MOST_REMEMBERED):
        assert nearest.NEAREST == ask(day)
    assert nearest.FIRST_FREE == ask(0)
    ask(alternatives.MOST_REMEMBERED)
    assert nearest.NEAREST == ask(0)
    assert nearest.LEARN == ask(2)


def test_who_asks_for_anybody_is_told_of_new_rules_too(desk: Desk, queries: list[str]) -> None:
    """No claim is made where nobody is free, so nothing else would notice that they changed."""
    service = desk.service()
    for staff in ("Amara", "Bruno"):
        service.book(**desk.ask(staff=staff))
    anybody = {"staff_id": None, "location_id": 1}
    for _ in ("before a change", "after it"):
        offered = []
        for query in (nearest.NEAREST, nearest.LEARN, nearest.FIRST_FREE):
            offered.append(_lose(desk, service, **anybody))
            assert query == queries[-1]
        assert offered[0] == offered[1] == offered[2]
        desk.execute("UPDATE service SET name = name")


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


def test_where_there_is_no_such_location_it_is_said(desk: Desk) -> None:
    """As in every other question about what is free."""
    availability = Availability(desk.engine, stopped_at(NOW))
    haircut = desk.salon.services["Haircut"]
    for location_id in (2**40, "Berlin", True):
        with refused("UNKNOWN_LOCATION"):
            availability.alternatives(haircut, TEN, "Europe/Berlin", location_id=location_id)  # type: ignore[arg-type]


def _version(desk: Desk) -> int:
    with desk.engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT version FROM rulebook").scalar_one())


def test_rules_that_change_while_alternatives_are_looked_for_count(desk: Desk) -> None:
    """Whoever still believes in the old version is answered by the new rules all the same."""
    availability = Availability(desk.engine, stopped_at(NOW))
    version = _version(desk)
    haircut = desk.salon.services["Haircut"]
    asked: dict[str, Any] = {"location_id": 1, "version": version}
    before = [
        availability.alternatives(haircut, TEN, "Europe/Berlin", **asked)
        for _ in ONE_AFTER_THE_OTHER
    ]
    desk.execute(
        "INSERT INTO closure (location_id, during, reason)"
        " VALUES (1, tstzrange(:start, :end), 'flood')",
        start=TEN - DAY,
        end=TEN + 2 * HOUR,
    )
    try:
        after = availability.alternatives(haircut, TEN, "Europe/Berlin", **asked)
        anew = Availability(desk.engine, stopped_at(NOW))
        expected = anew.alternatives(haircut, TEN, "Europe/Berlin", location_id=1)
    finally:
        desk.execute("DELETE FROM closure WHERE reason = 'flood'")
    assert before[0] == before[1] == before[2] != after
    assert expected == after
    assert min(free.local_start.hour for free in after) == 12


@pytest.mark.parametrize("hours", [-30, -3, -1, 0, 1, 5, 12])
def test_what_is_remembered_does_not_age(desk: Desk, hours: int) -> None:
    """Notice and horizon count from the present instant, not from when the rules were read."""
    service = desk.service()
    service.book(**desk.ask())
    present = [NOW]
    old = Availability(desk.engine, lambda: present[0])
    haircut = desk.salon.services["Haircut"]
    asked: dict[str, Any] = {"location_id": 1, "version": _version(desk), "limit": 12}
    for _ in ONE_AFTER_THE_OTHER:
        old.alternatives(haircut, TEN, "Europe/Berlin", **asked)
    for later in (TEN + hours * HOUR, TEN + hours * HOUR - 90 * DAY):
        present[0] = later
        new = Availability(desk.engine, stopped_at(later))
        assert new.alternatives(haircut, TEN, "Europe/Berlin", **asked) == old.alternatives(
            haircut, TEN, "Europe/Berlin", **asked
        )


@pytest.mark.parametrize("share", [0.3, 0.6, 0.9, 1.0])
def test_a_crowd_is_answered_alike_from_memory(desk: Desk, share: float) -> None:
    """However many of the nearest starts are taken, and by whatever is left."""
    source = Random(int(10 * share))
    service = desk.service(offers=0)
    for quarter in range(-8, 40):
        for staff in ("Amara", "Bruno", "Chidi"):
            if source.random() < share:
                with suppress(BookingError):
                    service.book(**desk.ask(staff=staff, start=TEN + quarter * 15 * MINUTE))
    taken = [row for row in desk.rows() if row.service_id == desk.salon.services["Haircut"]]
    old = desk.service()
    for row in source.sample(taken, 6):
        lost = {"staff": _name(desk, row.staff_id), "start": row.during.lower}
        expected = _lose(desk, desk.service(), **lost)
        for _ in ONE_AFTER_THE_OTHER:
            assert expected == _lose(desk, old, **lost)


def test_a_time_zone_that_is_met_later_is_not_forgotten(desk: Desk) -> None:
    """Where no location is named, all that have been met count, whenever they were."""
    availability = Availability(desk.engine, stopped_at(NOW))
    haircut = desk.salon.services["Haircut"]
    four = TEN + 6 * HOUR  # ten in Brooklyn
    asked: dict[str, Any] = {"version": _version(desk), "limit": 12}
    for _ in ONE_AFTER_THE_OTHER:
        found = availability.alternatives(haircut, four, "Europe/Berlin", **asked)
        assert {"Amara", "Bruno", "Chidi"} == {free.staff for free in found}
    availability.free_time(haircut, TUESDAY, TUESDAY)
    for _ in ONE_AFTER_THE_OTHER:
        found = availability.alternatives(haircut, four, "Europe/Berlin", **asked)
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
    for _ in ONE_AFTER_THE_OTHER:
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
