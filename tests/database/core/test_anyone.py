"""Requests for anybody: booked with whoever is free, fairly, and refused only when nobody is."""

# ruff: noqa: SIM300 - expected == actual

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from random import Random
from threading import Barrier
from typing import Any

import pytest
from desk import MINUTE, TEN, Desk, desk_in, open_desk, refused

from booking_core import DEFAULT, STRATEGIES, BookingConflict, BookingError
from booking_core.calendar.availability import Availability
from experiments.server.postgres import Database

HOUR = 60 * MINUTE
BERLIN_STAFF = ("Amara", "Bruno", "Chidi")


@pytest.fixture(params=list(STRATEGIES))
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Open the desk under each sound strategy."""
    with open_desk(request.param) as opened:
        yield opened


@pytest.fixture
def plain() -> Iterator[Desk]:
    """Open the desk under one strategy, where it makes no difference which."""
    with open_desk() as opened:
        yield opened


def _anyone(desk: Desk, **different: Any) -> dict[str, Any]:  # noqa: ANN401 - `book`'s own
    return desk.ask(start=TEN + HOUR) | {"staff_id": None} | different


def test_as_many_are_booked_as_are_free_and_then_it_is_a_conflict(desk: Desk) -> None:
    """At eleven three of them cut hair in Berlin, and nobody in Brooklyn is up."""
    service = desk.service()
    who = {service.book(**_anyone(desk)).appointment.staff_id for _ in BERLIN_STAFF}
    assert {desk.salon.staff[name] for name in BERLIN_STAFF} == who
    with pytest.raises(BookingConflict) as conflict:
        service.book(**_anyone(desk))
    assert conflict.value.taken_by in {row.id for row in desk.rows()}
    assert 5 == len(conflict.value.alternatives)
    for free in conflict.value.alternatives:
        again = service.book(**_anyone(desk, staff_id=free.staff_id, start=free.slot.start))
        service.cancel(again.appointment.id)


def test_a_crowd_gets_every_free_one_and_not_one_more(desk: Desk) -> None:
    """Eight at once for anybody: three are booked with three, five are told of a conflict."""
    service = desk.service()
    service.free_slots(desk.salon.services["Haircut"], TEN.date())
    together = Barrier(8)

    def ask(client: int) -> str:
        together.wait()
        try:
            service.book(**_anyone(desk, client=f"Client {client}"))
        except BookingError as error:
            return error.outcome
        return "booked"

    with ThreadPoolExecutor(8) as crowd:
        outcomes = Counter(crowd.map(ask, range(8)))
    rows = desk.rows()
    assert len(rows) == outcomes["booked"] == len({row.staff_id for row in rows})
    # A strategy that gives up may say busy; whoever says conflict, says so truly.
    if desk.strategy.traits.may_answer_busy:
        assert {"booked", "conflict", "busy"} >= set(outcomes)
        assert outcomes["booked"] >= 1
    else:
        assert {"booked": 3, "conflict": 5} == outcomes


def test_the_least_busy_one_is_asked_first(plain: Desk) -> None:
    """Amara and Chidi have been booked for that day, so Bruno is."""
    service = plain.service()
    for name, hours in (("Amara", 3), ("Chidi", 6)):
        service.book(**plain.ask(staff=name, start=TEN + hours * HOUR))
    booked = service.book(**_anyone(plain)).appointment
    assert plain.salon.staff["Bruno"] == booked.staff_id


def test_ties_are_settled_by_lot(plain: Desk) -> None:
    """Over many days nobody is always the first, and the same lots give the same answer."""
    drawn = []
    for seed in range(30):
        service = plain.service(source=Random(seed))
        drawn.append(service.book(**_anyone(plain)).appointment.staff_id)
        plain.empty()
    assert {plain.salon.staff[name] for name in BERLIN_STAFF} == set(drawn)
    again = plain.service(source=Random(7)).book(**_anyone(plain)).appointment.staff_id
    assert drawn[7] == again


def test_anybody_at_one_location(plain: Desk) -> None:
    """At four in Berlin it is ten in Brooklyn, and the client says where."""
    four = TEN + 6 * HOUR
    with plain.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT name, id FROM location").all()
    places = {str(name): int(number) for name, number in rows}
    service = plain.service()
    booked = service.book(**_anyone(plain, start=four, location_id=places["Brooklyn"]))
    assert plain.salon.staff["Dolores"] == booked.appointment.staff_id
    with pytest.raises(BookingConflict) as conflict:
        service.book(**_anyone(plain, start=four, location_id=places["Brooklyn"]))
    assert {"America/New_York"} == {free.time_zone for free in conflict.value.alternatives}


def test_a_key_books_once_with_whomever(desk: Desk) -> None:
    """The same request again is given the same appointment, and the same staff member."""
    service = desk.service()
    first = service.book(**_anyone(desk, key="once"))
    again = service.book(**_anyone(desk, key="once"))
    assert (first.appointment, True) == (again.appointment, again.replayed)
    with refused("KEY_REUSED"):
        service.book(**_anyone(desk, key="once", staff_id=first.appointment.staff_id))
    assert 1 == len(desk.rows())


def test_twins_that_ask_at_once_are_given_one_appointment(desk: Desk) -> None:
    """Where one is free and two ask with one key, neither is told that the other is in the way."""
    service = desk.service()
    for name in BERLIN_STAFF[:2]:
        service.book(**_anyone(desk, staff_id=desk.salon.staff[name]))
    together = Barrier(4)

    def ask(_: int) -> int:
        together.wait()
        return service.book(**_anyone(desk, key="once", client="Bob")).appointment.id

    with ThreadPoolExecutor(4) as crowd:
        given = set(crowd.map(ask, range(4)))
    assert 1 == len(given)
    assert 3 == len(desk.rows())


def test_whoever_has_just_gone_off_is_passed_over(
    plain: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rules change between the look and the claim: others can still be had."""
    service = plain.service()
    for name in ("Bruno", "Chidi"):  # so Amara is asked first
        service.book(**plain.ask(staff=name, start=TEN + 6 * HOUR))
    service.book(**_anyone(plain, start=TEN + timedelta(days=1)))  # everybody's rules are known
    find = Availability.candidates

    def then_amara_leaves(*asked: Any) -> Any:  # noqa: ANN401 - as the method
        found = find(*asked)
        plain.execute(
            "INSERT INTO time_off (staff_id, during, reason) SELECT id,"
            " '[2030-01-08 09:00+00, 2030-01-08 12:00+00)', 'ill' FROM staff WHERE name = 'Amara'"
        )
        return found

    monkeypatch.setattr(Availability, "candidates", then_amara_leaves)
    try:
        booked = service.book(**_anyone(plain)).appointment
    finally:
        plain.execute("DELETE FROM time_off WHERE reason = 'ill'")
    assert booked.staff_id in {plain.salon.staff["Bruno"], plain.salon.staff["Chidi"]}


@pytest.mark.parametrize(
    ("different", "code"),
    [
        ({"start": TEN - timedelta(days=10)}, "IN_THE_PAST"),
        ({"start": TEN + timedelta(minutes=1)}, "OFF_GRID"),
        ({"start": TEN + timedelta(days=200)}, "TOO_FAR_AHEAD"),
        ({"start": TEN - 7 * HOUR}, "NOBODY_WORKS"),
        ({"service_id": 99}, "UNKNOWN_SERVICE"),
        ({"location_id": 99}, "UNKNOWN_LOCATION"),
    ],
)
def test_what_nobody_can_do_is_no_conflict(
    plain: Desk, different: dict[str, Any], code: str
) -> None:
    """It is refused with the reason, and nothing is written."""
    with refused(code):
        plain.service().book(**_anyone(plain, **different))
    assert [] == plain.rows()


def test_a_service_that_nobody_offers(fresh: Database) -> None:
    """Neither a conflict nor a crash."""
    desk = desk_in(fresh, DEFAULT)
    desk.execute("DELETE FROM offering WHERE service_id = 1")
    with refused("NOT_OFFERED"):
        desk.service().book(**_anyone(desk))
