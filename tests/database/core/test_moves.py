"""Moves and cancels: what is kept, what is too late, and what may have changed meanwhile.

Each promise stands for a fault that users of other booking systems reported.
"""

# ruff: noqa: SIM300 - expected == actual

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from desk import FAMILIES, MINUTE, NOW, TEN, Desk, open_desk, refused, stopped_at

from booking_core import Appointment, BookingConflict, BookingService

HOUR = 60 * MINUTE
DAY = 24 * HOUR


@pytest.fixture(params=FAMILIES)
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Open the desk under a strategy of each family."""
    with open_desk(request.param) as opened:
        yield opened


@pytest.fixture
def shorter(desk: Desk) -> Iterator[Desk]:
    """Return the desk, at which haircuts take half an hour since Ada booked hers."""
    desk.service().book(**desk.ask())
    desk.execute("UPDATE service SET duration = '30 minutes' WHERE name = 'Haircut'")
    yield desk
    desk.execute("UPDATE service SET duration = '45 minutes' WHERE name = 'Haircut'")


def test_a_move_keeps_the_length_that_was_booked(shorter: Desk) -> None:
    """Whoever booked three quarters of an hour has them, though the service is shorter now.

    Reported: a reschedule silently takes the event type's new length (cal.com).
    """
    (row,) = shorter.rows()
    service = shorter.service()
    moved = service.reschedule(row.id, start=TEN + HOUR).appointment
    assert (TEN + HOUR, TEN + HOUR + 45 * MINUTE) == (moved.slot.start, moved.slot.end)
    with refused("WRONG_DURATION"):
        service.reschedule(row.id, start=TEN, end=TEN + 30 * MINUTE)
    back = service.reschedule(row.id, start=TEN, end=TEN + 45 * MINUTE).appointment
    assert TEN == back.slot.start
    fresh = service.book(**shorter.ask(start=TEN + 4 * HOUR)).appointment.slot
    assert 30 * MINUTE == fresh.end - fresh.start


def test_alternatives_of_a_lost_move_have_the_length_that_was_booked(shorter: Desk) -> None:
    """An offer that would be refused when it is taken is none."""
    (row,) = shorter.rows()
    service = shorter.service()
    service.book(**shorter.ask(start=TEN + 4 * HOUR))
    with pytest.raises(BookingConflict) as conflict:
        service.reschedule(row.id, start=TEN + 4 * HOUR)
    assert {45 * MINUTE} == {
        each.slot.end - each.slot.start for each in conflict.value.alternatives
    }
    offered = conflict.value.alternatives[0]
    moved = service.reschedule(row.id, start=offered.slot.start, staff_id=offered.staff_id)
    assert offered.slot == moved.appointment.slot


@pytest.mark.parametrize("later", [timedelta(), 30 * MINUTE, DAY], ids=str)
def test_what_has_begun_stays_unless_staff_says_otherwise(desk: Desk, later: timedelta) -> None:
    """From its first minute on; a client who did not come can't cancel it away afterwards.

    Reported: past bookings can be cancelled and rescheduled by the attendee (cal.com, Nextcloud).
    """
    booked = desk.service().book(**desk.ask()).appointment
    service = desk.service(clock=stopped_at(TEN + later))
    tomorrow = TEN + 2 * DAY
    with refused("ALREADY_STARTED"):
        service.reschedule(booked.id, start=tomorrow)
    with refused("ALREADY_STARTED"):
        service.cancel(booked.id)
    assert [("confirmed", TEN)] == [(row.status, row.during.lower) for row in desk.rows()]
    moved = service.reschedule(booked.id, start=tomorrow, by_staff=True).appointment
    assert tomorrow == moved.slot.start
    desk.empty()
    booked = desk.service().book(**desk.ask()).appointment
    assert "cancelled" == service.cancel(booked.id, by_staff=True).status


def test_a_minute_before_it_can_still_be_cancelled(desk: Desk) -> None:
    """The limit is the start itself."""
    booked = desk.service().book(**desk.ask()).appointment
    assert "cancelled" == desk.service(clock=stopped_at(TEN - MINUTE)).cancel(booked.id).status


def _overtaken(desk: Desk, booked: Appointment) -> BookingService:
    """Return a service that reads an appointment just before it is handed over to Bruno."""
    service = desk.service()
    read = service.find_confirmed
    handovers = iter([{"start": TEN, "staff_id": desk.salon.staff["Bruno"]}])

    def read_and_wait(appointment_id: int) -> Appointment:
        found = read(appointment_id)
        for handover in handovers:
            desk.service().reschedule(booked.id, **handover)
        return found

    service.find_confirmed = read_and_wait  # type: ignore[method-assign]
    return service


def test_a_move_in_time_stays_with_whoever_has_it_then(desk: Desk) -> None:
    """Handed over from Amara to Bruno meanwhile, it is moved in Bruno's calendar.

    Reported: a reschedule gives the booking back to its first host (cal.com round robin).
    """
    booked = desk.service().book(**desk.ask()).appointment
    bruno = desk.salon.staff["Bruno"]
    moved = _overtaken(desk, booked).reschedule(booked.id, start=TEN + HOUR)
    assert (bruno, TEN + HOUR) == (moved.appointment.staff_id, moved.appointment.slot.start)
    assert moved.attempts > 1
    assert [(bruno, TEN + HOUR)] == [(row.staff_id, row.during.lower) for row in desk.rows()]


def test_a_move_in_time_is_lost_where_the_new_staff_member_is_taken(desk: Desk) -> None:
    """The conflict is with Bruno's calendar then; the appointment stays where it was handed."""
    booked = desk.service().book(**desk.ask()).appointment
    bruno = desk.salon.staff["Bruno"]
    in_the_way = desk.service().book(**desk.ask(staff="Bruno", start=TEN + HOUR)).appointment
    with pytest.raises(BookingConflict) as conflict:
        _overtaken(desk, booked).reschedule(booked.id, start=TEN + HOUR)
    assert in_the_way.id == conflict.value.taken_by
    assert (bruno, TEN) == (desk.rows()[0].staff_id, desk.rows()[0].during.lower)


def test_nothing_is_changed_that_is_not_where_the_client_saw_it(desk: Desk) -> None:
    """A page that was open for a while moves or cancels nothing that was moved since.

    Reported: a stale tab overwrites a newer reschedule (Easy!Appointments, LibreBooking).
    """
    service = desk.service()
    booked = service.book(**desk.ask()).appointment
    service.reschedule(booked.id, start=TEN + HOUR)
    with refused("CHANGED"):
        service.reschedule(booked.id, start=TEN + 4 * HOUR, seen=TEN)
    with refused("CHANGED"):
        service.cancel(booked.id, seen=TEN)
    assert [("confirmed", TEN + HOUR)] == [(row.status, row.during.lower) for row in desk.rows()]
    service.reschedule(booked.id, start=TEN + 4 * HOUR, seen=TEN + HOUR)
    assert "cancelled" == service.cancel(booked.id, seen=TEN + 4 * HOUR).status


def test_a_start_that_is_the_present_one_is_answered_with_the_appointment(desk: Desk) -> None:
    """No rule is asked: it is there already, whatever notice is wanted by now."""
    booked = desk.service().book(**desk.ask()).appointment
    late = desk.service(clock=stopped_at(TEN - MINUTE))
    assert booked == late.reschedule(booked.id, start=TEN).appointment
    assert booked == late.reschedule(booked.id, start=TEN, key="k").appointment
    assert late.reschedule(booked.id, start=TEN, key="k").replayed
    with refused("TOO_SOON"):
        late.reschedule(booked.id, start=TEN + HOUR // 4)


def test_a_move_may_go_to_whoever_is_free(desk: Desk) -> None:
    """As a booking does; its own slot is not in its way, and a conflict means nobody is free."""
    service = desk.service()
    booked = service.book(**desk.ask()).appointment
    for name in ("Amara", "Bruno"):
        service.book(**desk.ask(staff=name, start=TEN + 4 * HOUR))
    moved = service.reschedule(booked.id, start=TEN + 4 * HOUR, anyone=True).appointment
    assert desk.salon.staff["Chidi"] == moved.staff_id
    assert booked.id == moved.id
    second = service.book(**desk.ask()).appointment
    with pytest.raises(BookingConflict) as conflict:
        service.reschedule(
            second.id,
            start=TEN + 4 * HOUR,
            anyone=True,
            location_id=desk.salon.locations["Berlin Mitte"],
        )
    assert conflict.value.alternatives
    again = service.reschedule(booked.id, start=TEN + 4 * HOUR + 15 * MINUTE, anyone=True)
    assert desk.salon.staff["Chidi"] == again.appointment.staff_id
    with refused("UNKNOWN_STAFF"):
        service.reschedule(booked.id, start=TEN, anyone=True, staff_id=1)


def test_a_staff_member_and_a_place_must_go_together(desk: Desk) -> None:
    """Who asks for Amara in Brooklyn is told that she is not there.

    Reported: a location that the host does not work at is accepted (Easy!Appointments).
    """
    service = desk.service()
    berlin, brooklyn = (desk.salon.locations[name] for name in ("Berlin Mitte", "Brooklyn"))
    with refused("NOT_OFFERED"):
        service.book(**desk.ask(location_id=brooklyn))
    booked = service.book(**desk.ask(location_id=berlin)).appointment
    with refused("NOT_OFFERED"):
        service.reschedule(booked.id, start=TEN + HOUR, location_id=brooklyn)
    with refused("UNKNOWN_LOCATION"):
        service.book(**desk.ask(location_id=0))


def test_it_is_still_the_sunday_before() -> None:
    """The instants here are in the future of the clock that the desk's services have."""
    assert datetime(2030, 1, 6, 12, tzinfo=UTC) == NOW < TEN
