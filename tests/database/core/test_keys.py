"""Idempotency keys: what belongs to one, whose they are, and when they are forgotten."""

# ruff: noqa: SIM300 - expected == actual

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from desk import FAMILIES, MINUTE, TEN, Desk, open_desk, refused, stopped_at
from lossy import Lossy, lossy_engine
from sqlalchemy import text

from booking_core.errors import OutcomeUnknown

HOUR = 60 * MINUTE


@pytest.fixture(params=FAMILIES)
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Open the desk under a strategy of each family."""
    with open_desk(request.param) as opened:
        yield opened


@pytest.mark.parametrize(
    "other",
    [
        {"end": TEN + 45 * MINUTE},
        {"location_id": 1},
        {"client": "Bob"},
        {"client_id": "c-7"},
        {"start": TEN + HOUR},
        {"staff_id": None},
    ],
    ids=lambda other: next(iter(other)),
)
def test_another_request_under_the_same_key_is_refused(desk: Desk, other: dict[str, Any]) -> None:
    """Whatever differs of what was asked: it is not the answer to this request.

    Reported: a key returns the first booking although the end differs (payment and booking APIs).
    """
    service = desk.service()
    first = service.book(**desk.ask(key="1"))
    with refused("KEY_REUSED"):
        service.book(**desk.ask(key="1") | other)
    again = service.book(**desk.ask(key="1"))
    assert (first.appointment, True) == (again.appointment, again.replayed)
    assert 1 == len(desk.rows())


def test_what_was_turned_down_is_no_part_of_the_request(desk: Desk) -> None:
    """It says which offers are wanted, not what is booked."""
    service = desk.service()
    free = service.free_slots(desk.salon.services["Haircut"], TEN.date())[:2]
    first = service.book(**desk.ask(key="1"))
    assert first.appointment == service.book(**desk.ask(key="1", refused=free)).appointment


def test_the_keys_of_two_owners_do_not_meet(desk: Desk) -> None:
    """Clients who count their requests all begin with 1.

    Reported: one user's idempotency key answers another user's request.
    """
    service = desk.service()
    ada = service.book(**desk.ask(key="1", key_scope="ada"))
    bob = service.book(**desk.ask(key="1", key_scope="bob", client="Bob", start=TEN + HOUR))
    assert ada.appointment.id != bob.appointment.id
    assert ada.appointment == service.book(**desk.ask(key="1", key_scope="ada")).appointment
    with refused("KEY_REUSED"):
        service.book(**desk.ask(key="1", key_scope="bob"))
    with refused("BAD_KEY"):
        service.book(**desk.ask(key="1", key_scope="\n"))


def test_a_move_is_answered_as_the_first_time(desk: Desk) -> None:
    """Repeated after notice has begun, and after it would be refused, it is still a success."""
    service = desk.service()
    booked = service.book(**desk.ask()).appointment
    moved = service.reschedule(booked.id, start=TEN + HOUR, key="move")
    late = desk.service(clock=stopped_at(TEN + HOUR - MINUTE))
    again = late.reschedule(booked.id, start=TEN + HOUR, key="move")
    assert (moved.appointment, False, True) == (again.appointment, moved.replayed, again.replayed)
    service.reschedule(booked.id, start=TEN + 4 * HOUR, key="another")
    replayed = service.reschedule(booked.id, start=TEN + HOUR, key="move")
    assert replayed.replayed
    assert TEN + 4 * HOUR == desk.rows()[0].during.lower, "it was not moved back"


def test_a_cancel_is_answered_as_the_first_time(desk: Desk) -> None:
    """Without a key the second one is refused, as it always was."""
    service = desk.service()
    booked = service.book(**desk.ask()).appointment
    cancelled = service.cancel(booked.id, key="cancel")
    assert cancelled == service.cancel(booked.id, key="cancel")
    with refused("NOT_CONFIRMED"):
        service.cancel(booked.id)
    with refused("NOT_CONFIRMED"):
        service.cancel(booked.id, key="another")


def test_one_key_is_one_request_whatever_is_asked(desk: Desk) -> None:
    """A booking's key does not cancel, nor does a cancel's book."""
    service = desk.service()
    booked = service.book(**desk.ask(key="1")).appointment
    with refused("KEY_REUSED"):
        service.cancel(booked.id, key="1")
    with refused("KEY_REUSED"):
        service.reschedule(booked.id, start=TEN + HOUR, key="1")
    service.reschedule(booked.id, start=TEN + HOUR, key="2")
    with refused("KEY_REUSED"):
        service.reschedule(booked.id, start=TEN, key="2")
    with refused("KEY_REUSED"):
        service.book(**desk.ask(key="2"))
    assert [("confirmed", TEN + HOUR)] == [(row.status, row.during.lower) for row in desk.rows()]


def test_a_move_whose_key_is_sent_by_many_at_once_is_one_move(desk: Desk) -> None:
    """Whoever comes second waits, starts again, and is given the answer of the first."""
    booked = desk.service().book(**desk.ask()).appointment
    with ThreadPoolExecutor(6) as pool:
        asked = [
            pool.submit(desk.service().reschedule, booked.id, start=TEN + HOUR, key="move")
            for _ in range(6)
        ]
        answers = [each.result() for each in asked]
    assert {(booked.id, TEN + HOUR)} == {
        (each.appointment.id, each.appointment.slot.start) for each in answers
    }
    assert 1 == sum(not each.replayed for each in answers)


@pytest.mark.parametrize("name", ["move", "cancel"])
def test_an_answer_that_was_lost_is_given_when_it_is_asked_for_again(desk: Desk, name: str) -> None:
    """The line breaks when the server has committed; the client repeats the request."""
    booked = desk.service().book(**desk.ask()).appointment
    engine = lossy_engine(desk)
    service = desk.service(engine=engine)

    def ask() -> datetime:
        if name == "cancel":
            return service.cancel(booked.id, key=name).slot.start
        return service.reschedule(booked.id, start=TEN + HOUR, key=name).appointment.slot.start

    Lossy.lose = True
    with pytest.raises(OutcomeUnknown):
        ask()
    after = desk.rows()
    assert ask() == after[0].during.lower
    assert after == desk.rows()
    engine.dispose()


def test_keys_are_forgotten_when_the_caller_says(desk: Desk) -> None:
    """Those from before an instant; a request that is repeated afterwards is a new one."""
    service = desk.service()
    booked = service.book(**desk.ask(key="1")).appointment
    service.reschedule(booked.id, start=TEN + HOUR, key="2")
    with desk.engine.connect() as connection:
        now: datetime = connection.execute(text("SELECT now()")).scalar_one().astimezone(UTC)
    assert 0 == service.forget_keys(now - timedelta(hours=1))
    assert service.reschedule(booked.id, start=TEN + HOUR, key="2").replayed
    assert 2 == service.forget_keys(now + timedelta(hours=1))
    assert 0 == service.forget_keys(now + timedelta(hours=1))
    second = service.book(**desk.ask(key="1"))
    assert (False, 2) == (second.replayed, len(desk.rows()))
    with refused("NAIVE_DATETIME"):
        service.forget_keys(now.replace(tzinfo=None))
