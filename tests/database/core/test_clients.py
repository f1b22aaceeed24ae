"""One client is in one place, where the service wants it, whatever keeps calendars apart."""

# ruff: noqa: SIM300 - expected == actual

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from desk import MINUTE, TEN, Desk, open_desk, refused

from booking_core import STRATEGIES, BookingConflict, BookingError

HOUR = 60 * MINUTE


@pytest.fixture(params=list(STRATEGIES))
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Open the desk under each sound strategy; whoever has a haircut has it in one place."""
    with open_desk(request.param) as opened:
        opened.execute("UPDATE service SET client_once = true WHERE name = 'Haircut'")
        yield opened
        opened.execute("UPDATE service SET client_once = false")


def _ada(desk: Desk, **different: Any) -> dict[str, Any]:  # noqa: ANN401 - as `ask`
    return desk.ask(**{"client_id": "c-1"} | different)


def test_a_client_is_refused_who_is_elsewhere_then(desk: Desk) -> None:
    """With Amara from ten to a quarter to eleven: not with Bruno at half past ten.

    Reported: the same attendee books two hosts for one hour (cal.com, LibreBooking).
    """
    service = desk.service()
    first = service.book(**_ada(desk)).appointment
    assert "c-1" == first.client_id == service.find(first.id).client_id
    with refused("CLIENT_ELSEWHERE"):
        service.book(**_ada(desk, staff="Bruno", start=TEN + 30 * MINUTE))
    # A buffer is the staff member's time, not the client's.
    touching = service.book(**_ada(desk, staff="Bruno", start=TEN + 45 * MINUTE)).appointment
    others = [{"client_id": "c-2"}, {"client_id": None}]
    for number, other in enumerate(others):
        service.book(**_ada(desk, staff="Bruno", start=TEN + (4 + number) * HOUR, **other))
    service.cancel(first.id)
    service.cancel(touching.id)
    service.book(**_ada(desk, staff="Bruno", start=TEN + 30 * MINUTE))


def test_a_slot_that_is_taken_is_a_conflict_for_its_own_client_too(desk: Desk) -> None:
    """Elsewhere means with somebody else; and a request that is repeated is answered again."""
    service = desk.service()
    first = service.book(**_ada(desk, key="1"))
    with pytest.raises(BookingConflict):
        service.book(**_ada(desk))
    assert first.appointment == service.book(**_ada(desk, key="1")).appointment


def test_a_move_does_not_take_a_client_to_two_places(desk: Desk) -> None:
    """In time or to another staff member; where it is already is no second place."""
    service = desk.service()
    service.book(**_ada(desk))
    later = service.book(**_ada(desk, staff="Bruno", start=TEN + 4 * HOUR)).appointment
    with refused("CLIENT_ELSEWHERE"):
        service.reschedule(later.id, start=TEN + 15 * MINUTE)
    moved = service.reschedule(later.id, start=TEN + 4 * HOUR + 15 * MINUTE).appointment
    assert later.id == moved.id


def test_services_that_do_not_mind_are_booked_beside_others(desk: Desk) -> None:
    """It is a choice of the service that is booked."""
    service = desk.service()
    service.book(**_ada(desk))
    desk.execute("UPDATE service SET client_once = false")
    service.book(**_ada(desk, staff="Bruno"))


def test_of_a_client_s_requests_at_once_one_is_booked(desk: Desk) -> None:
    """Two staff members, six requests of one client: one appointment, and clear answers."""
    names = ["Amara", "Bruno"] * 3
    with ThreadPoolExecutor(len(names)) as pool:
        asked = [pool.submit(_outcome, desk, name) for name in names]
        outcomes = sorted(each.result() for each in asked)
    assert "booked" == outcomes[0]
    assert set(outcomes[1:]) <= {"busy", "conflict", "invalid CLIENT_ELSEWHERE"}
    assert 1 == len(desk.rows())


def _outcome(desk: Desk, name: str) -> str:
    try:
        desk.service().book(**_ada(desk, staff=name))
    except BookingError as error:
        return f"{error.outcome} {error.code}" if error.outcome == "invalid" else error.outcome
    return "booked"


def test_a_request_of_anybody_that_is_sent_twice_is_booked_once(desk: Desk) -> None:
    """Its twin is with somebody else, and no reason to be refused."""
    asked = _ada(desk, staff_id=None, key="1")
    with ThreadPoolExecutor(4) as pool:
        futures = [pool.submit(desk.service().book, **asked) for _ in range(4)]
        answers = {future.result().appointment.id for future in futures}
    assert 1 == len(answers) == len(desk.rows())


def test_keys_of_many_clients_are_forgotten_at_once() -> None:
    """Nobody's place changes by that, so nobody is locked: locks are few, clients are many."""
    with open_desk("advisory") as desk:
        desk.execute(
            "INSERT INTO appointment (staff_id, service_id, client, client_id, during, blocked,"
            " idempotency_key, request_digest)"
            " SELECT 1, 1, 'Ada', number, during, during, number, ''"
            "   FROM generate_series(1, 100) AS number,"
            "        tstzrange('2029-01-01 00:00+00', '2029-01-01 01:00+00') AS during"
        )
        with desk.engine.begin() as connection:
            connection.exec_driver_sql("UPDATE appointment SET idempotency_key = NULL")
            locked = connection.exec_driver_sql(
                "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'"
                " AND pid = pg_backend_pid()"
            ).scalar_one()
        assert 0 == locked
