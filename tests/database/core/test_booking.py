"""Booking, cancelling and moving, under every sound strategy."""

# ruff: noqa: SIM300 - expected == actual

from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta, timezone
from threading import Barrier
from typing import Any

import pytest
from desk import MINUTE, NOW, PATIENCE, TEN, Desk, open_desk, refused

from booking_core import (
    STRATEGIES,
    Appointment,
    Booking,
    BookingConflict,
    BookingError,
    Slot,
)

HOUR = 60 * MINUTE


@pytest.fixture(params=list(STRATEGIES))
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Open the desk under each sound strategy."""
    with open_desk(request.param) as opened:
        yield opened


def _together(*calls: Callable[[], Any]) -> list[Any]:
    """Make the calls at the same moment and return what each returned, or raised."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], Any]) -> Any:  # noqa: ANN401 - whatever was called
        barrier.wait(PATIENCE)
        try:
            return call()
        except BookingError as error:
            return error

    with ThreadPoolExecutor(len(calls)) as threads:
        return list(threads.map(run, calls))


def _outcomes(answers: list[Any]) -> Counter[str]:
    return Counter("booked" if isinstance(each, Booking) else each.outcome for each in answers)


def test_what_is_booked_is_stored_as_it_was_asked_for(desk: Desk) -> None:
    """The reply and the row agree, in every column."""
    booking = desk.service().book(**desk.ask(client="  Ada ", key=" a key "))
    (row,) = desk.rows()
    expected = Appointment(
        row.id,
        desk.salon.staff["Amara"],
        desk.salon.services["Haircut"],
        "Ada",
        Slot(TEN, TEN + 45 * MINUTE),
    )
    assert Booking(expected, attempts=1, replayed=False) == booking
    assert expected == desk.service().find(row.id)
    assert (
        expected.staff_id,
        expected.service_id,
        "Ada",
        (TEN, TEN + 45 * MINUTE, "[)"),
        (TEN, TEN + HOUR, "[)"),
        "confirmed",
        "a key",
        64,
    ) == (
        row.staff_id,
        row.service_id,
        row.client,
        (row.during.lower, row.during.upper, row.during.bounds),
        (row.blocked.lower, row.blocked.upper, row.blocked.bounds),
        row.status,
        row.idempotency_key,
        len(row.request_digest),
    )


def test_a_lost_slot_names_who_has_it_and_offers_others(desk: Desk) -> None:
    """Whoever is too late learns by whom, is offered three slots at least, and writes nothing."""
    first = desk.service().book(**desk.ask()).appointment
    before = desk.rows()
    with pytest.raises(BookingConflict) as conflict:
        desk.service().book(**desk.ask(client="Bob"))
    lost = conflict.value
    assert ("TIME_CONFLICT", "conflict", 1) == (lost.code, lost.outcome, lost.attempts)
    assert (first.slot, first.id) == (lost.slot, lost.taken_by)
    assert len(lost.alternatives) >= 3
    assert before == desk.rows()


def test_buffers_are_kept_on_both_sides(desk: Desk) -> None:
    """A haircut takes 45 minutes and the buffer 15: within an hour of it nothing else fits."""
    service = desk.service()
    service.book(**desk.ask(start=TEN))
    for minutes in (-45, -15, 0, 15, 45):
        with pytest.raises(BookingConflict):
            service.book(**desk.ask(start=TEN + minutes * MINUTE))
    for minutes in (-60, 60):
        service.book(**desk.ask(start=TEN + minutes * MINUTE))
    assert 3 == len(desk.rows())


def test_another_staff_member_is_no_rival(desk: Desk) -> None:
    """Three chairs, three haircuts at the same time."""
    for name in ("Amara", "Bruno"):
        desk.service().book(**desk.ask(staff=name))
    desk.service().book(**desk.ask(staff="Chidi", start=TEN + HOUR))
    assert 3 == len(desk.rows())


def test_a_cancelled_slot_is_free_at_once(desk: Desk) -> None:
    """The appointment stays on record as cancelled, and its slot can be booked again."""
    service = desk.service()
    first = service.book(**desk.ask()).appointment
    cancelled = service.cancel(first.id)
    assert (first.id, first.slot, "cancelled") == (
        cancelled.id,
        cancelled.slot,
        cancelled.status,
    )
    assert cancelled == service.find(first.id)
    second = service.book(**desk.ask(client="Bob")).appointment
    assert second.id != first.id
    assert ["cancelled", "confirmed"] == [row.status for row in desk.rows()]


def test_what_is_not_confirmed_is_neither_cancelled_nor_moved(desk: Desk) -> None:
    """A second click on "cancel" must not look like a second success."""
    service = desk.service()
    appointment = service.book(**desk.ask()).appointment
    service.cancel(appointment.id)
    before = desk.rows()
    with refused("NOT_CONFIRMED"):
        service.cancel(appointment.id)
    with refused("NOT_CONFIRMED"):
        service.reschedule(appointment.id, start=TEN + HOUR)
    assert before == desk.rows()


def test_an_unknown_appointment_is_neither_found_cancelled_nor_moved(desk: Desk) -> None:
    """An id that was never given out, or one that never could be."""
    service = desk.service()
    for appointment_id in (2**31 - 1, 0, -1, True, "1", None, 1.0):
        with refused("UNKNOWN_APPOINTMENT"):
            service.find(appointment_id)  # type: ignore[arg-type]
        with refused("UNKNOWN_APPOINTMENT"):
            service.cancel(appointment_id)  # type: ignore[arg-type]
        with refused("UNKNOWN_APPOINTMENT"):
            service.reschedule(appointment_id, start=TEN)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("staff", "minutes"),
    [
        pytest.param("Amara", 60, id="later"),
        pytest.param("Amara", 15, id="onto itself, a little later"),
        pytest.param("Amara", 0, id="nowhere"),
        pytest.param("Bruno", 0, id="to another staff member"),
        pytest.param("Bruno", -60, id="to another staff member, earlier"),
    ],
)
def test_a_moved_appointment_keeps_its_id_and_leaves_its_slot(
    desk: Desk, staff: str, minutes: int
) -> None:
    """The new slot is taken, the old one is free, and there is still one appointment."""
    service = desk.service()
    first = service.book(**desk.ask(key="a key")).appointment
    moved = service.reschedule(
        first.id, start=TEN + minutes * MINUTE, staff_id=desk.salon.staff[staff]
    )
    slot = Slot(TEN + minutes * MINUTE, TEN + (minutes + 45) * MINUTE)
    expected = Appointment(first.id, desk.salon.staff[staff], first.service_id, "Ada", slot)
    assert Booking(expected) == moved
    assert expected == service.find(first.id)
    (row,) = desk.rows()
    assert (slot.start, slot.end + 15 * MINUTE) == (row.blocked.lower, row.blocked.upper)
    with pytest.raises(BookingConflict) as conflict:
        service.book(**desk.ask(staff=staff, start=slot.start, client="Bob"))
    assert first.id == conflict.value.taken_by
    if staff != "Amara" or abs(minutes) >= 60:
        service.book(**desk.ask(client="Bob"))


@pytest.mark.parametrize("staff", ["Amara", "Bruno"])
def test_a_move_onto_a_taken_slot_keeps_the_old_one(desk: Desk, staff: str) -> None:
    """Both or nothing: nobody is left without an appointment because they asked for a better."""
    service = desk.service()
    mine = service.book(**desk.ask()).appointment
    other = service.book(**desk.ask(staff=staff, start=TEN + HOUR, client="Bob")).appointment
    before = desk.rows()
    with pytest.raises(BookingConflict) as conflict:
        service.reschedule(
            mine.id, start=TEN + HOUR - 15 * MINUTE, staff_id=desk.salon.staff[staff]
        )
    assert other.id == conflict.value.taken_by
    assert len(conflict.value.alternatives) >= 3
    assert before == desk.rows()
    with pytest.raises(BookingConflict):
        service.book(**desk.ask(client="Cleo"))


def test_a_move_of_what_was_cancelled_meanwhile_moves_nothing(desk: Desk) -> None:
    """A cancelled appointment does not come back to life in another slot."""
    if desk.strategy.traits.neighbours_wait == "everybody":
        pytest.skip("nobody can cancel while this strategy holds its lock")
    mine = desk.service().book(**desk.ask()).appointment
    cancels = iter(["UPDATE appointment SET status = 'cancelled'"])

    def cancel_once() -> None:
        for statement in cancels:
            desk.execute(statement)

    with refused("NOT_CONFIRMED"):
        desk.service(before_record=cancel_once).reschedule(mine.id, start=TEN + HOUR)
    (row,) = desk.rows()
    assert ("cancelled", TEN) == (row.status, row.during.lower)


def test_a_key_gives_the_same_appointment_again(desk: Desk) -> None:
    """However the appointment has fared since: it is past, moved, cancelled, and still given."""
    service = desk.service()
    asked = desk.ask(key="a key")
    booked = service.book(**asked)
    assert not booked.replayed
    assert Booking(booked.appointment, replayed=True) == service.book(**asked)
    elsewhere = asked["start"].astimezone(timezone(timedelta(hours=5, minutes=45)))
    assert service.book(**asked | {"start": elsewhere}).replayed  # the same instant
    later = desk.service(clock=lambda: TEN + timedelta(days=1))
    assert Booking(booked.appointment, replayed=True) == later.book(**asked)
    moved = service.reschedule(booked.appointment.id, start=TEN + HOUR).appointment
    assert Booking(moved, replayed=True) == service.book(**asked)
    cancelled = service.cancel(moved.id)
    assert Booking(cancelled, replayed=True) == service.book(**asked)
    # Its slot is free now, and somebody else's; the key still has its answer.
    service.book(**desk.ask(client="Bob", start=TEN + HOUR))
    assert Booking(cancelled, replayed=True) == service.book(**asked)
    assert 2 == len(desk.rows())


def test_a_key_belongs_to_one_request(desk: Desk) -> None:
    """A key that comes with another request is a fault of the client's, and books nothing."""
    desk.service().book(**desk.ask(key="a key"))
    before = desk.rows()
    others: list[dict[str, Any]] = [
        {"staff": "Bruno"},
        {"service": "Colour"},
        {"client": "Bob"},
        {"start": TEN + 15 * MINUTE},
        {"start": TEN + 7 * MINUTE},
    ]
    for different in others:
        with refused("KEY_REUSED"):
            desk.service().book(**desk.ask(key="a key", **different))
    assert before == desk.rows()


def test_a_refused_request_leaves_its_key_unused(desk: Desk) -> None:
    """Only once booked does a key stand for something; a client may try the next slot with it."""
    service = desk.service()
    first = service.book(**desk.ask(client="Bob")).appointment
    with pytest.raises(BookingConflict):
        service.book(**desk.ask(key="a key"))
    service.cancel(first.id)
    assert not service.book(**desk.ask(key="a key")).replayed


def test_one_key_twice_at_the_same_moment_books_once(desk: Desk) -> None:
    """An impatient client clicks twice: one appointment, and both are given it."""
    for count, hour in enumerate([0, 1, 3, 4]):  # a break is in between
        asked = desk.ask(key=f"key {hour}", start=TEN + hour * HOUR)
        answers = _together(*[lambda asked=asked: desk.service().book(**asked)] * 3)
        assert Counter({"booked": 3}) == _outcomes(answers)
        assert 1 == len({answer.appointment.id for answer in answers})
        assert [False, True, True] == sorted(answer.replayed for answer in answers)
        assert count + 1 == len(desk.rows())


def test_one_key_for_two_slots_at_the_same_moment_books_one(desk: Desk) -> None:
    """Neither sees the other before it inserts: the key's own index must decide."""
    # Where everybody waits for everybody the two can't both be between check and insert.
    parties = 1 if desk.strategy.traits.neighbours_wait == "everybody" else 2
    meeting = Barrier(parties)

    def book(staff: str) -> Booking:
        meetings = iter([meeting])  # on the first try only

        def meet() -> None:
            for each in meetings:
                each.wait(PATIENCE)

        return desk.service(before_record=meet).book(**desk.ask(staff=staff, key="a key"))

    answers = _together(lambda: book("Amara"), lambda: book("Bruno"))
    assert Counter({"booked": 1, "invalid": 1}) == _outcomes(answers)
    (refusal,) = [answer for answer in answers if isinstance(answer, BookingError)]
    assert "KEY_REUSED" == refusal.code
    assert 1 == len(desk.rows())


def test_of_those_who_race_for_overlapping_slots_one_is_booked(desk: Desk) -> None:
    """Six clients, four starts within an hour, one chair; the losers' rival really overlaps."""
    calls = [
        lambda number=number: desk.service().book(
            **desk.ask(start=TEN + number % 4 * 15 * MINUTE, client=f"Client {number}")
        )
        for number in range(6)
    ]
    outcomes = _outcomes(answers := _together(*calls))
    (row,) = desk.rows()
    assert 1 == outcomes.pop("booked")
    allowed = {"conflict", "busy"} if desk.strategy.traits.may_answer_busy else {"conflict"}
    assert set(outcomes) <= allowed
    assert {row.id} >= {each.taken_by for each in answers if isinstance(each, BookingConflict)}


def test_two_who_change_chairs_at_the_same_moment_do_not_deadlock(desk: Desk) -> None:
    """Each takes both calendars' guards, in the same order although they move in opposite ones."""
    service = desk.service()
    amara, bruno = desk.salon.staff["Amara"], desk.salon.staff["Bruno"]
    one = service.book(**desk.ask(staff="Amara")).appointment
    other = service.book(**desk.ask(staff="Bruno")).appointment
    for round_ in range(3):
        there, back = (bruno, amara) if round_ % 2 == 0 else (amara, bruno)
        start = TEN + (round_ % 2 * 60 - 60) * MINUTE
        outcomes = _outcomes(
            _together(
                lambda: desk.service().reschedule(one.id, start=start, staff_id=there),  # noqa: B023
                lambda: desk.service().reschedule(other.id, start=start, staff_id=back),  # noqa: B023
            )
        )
        assert Counter({"booked": 2}) == outcomes
    assert {bruno, amara} == {row.staff_id for row in desk.rows()}


def test_a_swap_is_refused_to_both(desk: Desk) -> None:
    """Each wants the slot that the other still has; nobody may lose theirs."""
    service = desk.service()
    one = service.book(**desk.ask()).appointment
    other = service.book(**desk.ask(client="Bob", start=TEN + HOUR)).appointment
    before = desk.rows()
    outcomes = _outcomes(
        _together(
            lambda: desk.service().reschedule(one.id, start=TEN + HOUR),
            lambda: desk.service().reschedule(other.id, start=TEN),
        )
    )
    assert Counter({"conflict": 2}) == outcomes
    assert before == desk.rows()


def test_an_appointment_far_along_is_still_served() -> None:
    """Ids are counted in 64 bits: the two-thousand-millionth client can cancel too."""
    with open_desk() as desk:
        number = 2**31
        desk.service().book(**desk.ask())
        desk.execute("UPDATE appointment SET id = DEFAULT")
        desk.execute(f"ALTER TABLE appointment ALTER id RESTART WITH {number}")
        try:
            booked = desk.service().book(**desk.ask(staff="Bruno")).appointment
            assert number == booked.id
            assert "cancelled" == desk.service().cancel(number).status
        finally:
            desk.execute("ALTER TABLE appointment ALTER id RESTART WITH 1000000")


def test_it_is_always_now_unless_told_otherwise() -> None:
    """Without a clock of one's own the service goes by the real one: 2030 is too far ahead."""
    with open_desk() as desk:
        assert NOW.year == 2030
        with refused("TOO_FAR_AHEAD"):
            desk.service(clock=lambda: NOW - timedelta(days=1000)).book(**desk.ask())
