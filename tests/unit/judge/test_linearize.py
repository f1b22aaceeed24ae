"""Replies are right if one order of the requests explains them all: good and bad histories."""

from datetime import timedelta

import pytest

from experiments.judge.linearize import NEVER, Operation, linearizable
from experiments.scenes.places import STEP, Place
from experiments.scenes.replies import CLIENT_ELSEWHERE, Reply
from experiments.scenes.rows import Row
from experiments.scenes.shapes import OPENING, Call

HERE = Place(0, OPENING)
LATER = Place(0, OPENING + STEP)
OVERLAPPING = Place(0, OPENING + timedelta(minutes=15))
THERE = Place(1, OPENING)
THERE_LATER = Place(1, OPENING + STEP)
THERE_LAST = Place(1, OPENING + 2 * STEP)
LAST = Place(0, OPENING + 2 * STEP)
THERE_BETWEEN = Place(1, OPENING + timedelta(minutes=15))

BOOKED_1, BOOKED_2 = Reply("booked", 1), Reply("booked", 2)
CANCELLED = Reply("cancelled", 1)


def rows(
    *places: Place | None, key: str | None = None, client_id: str | None = None
) -> dict[int, Row]:
    """Appointments 1, 2 and so on: where they are, None for a cancelled one of HERE."""
    return {
        number: Row(number, place or HERE, "confirmed" if place else "cancelled", key, client_id)
        for number, place in enumerate(places, 1)
    }


def book(
    place: Place, reply: Reply, invoked: float = 0, replied: float = 1, key: str | None = None
) -> Operation:
    """A booking."""
    return Operation(Call("book", place, key=key), reply, invoked, replied)


def cancel(reply: Reply, invoked: float = 0, replied: float = 1) -> Operation:
    """A cancel of appointment 1."""
    return Operation(Call("cancel", existing=0), reply, invoked, replied, existing=1)


def move(
    which: int, place: Place, reply: Reply, invoked: float = 0, replied: float = 1
) -> Operation:
    """A reschedule."""
    return Operation(Call("reschedule", place, which), reply, invoked, replied, existing=which)


def hand_over(place: Place, invoked: float = 0, replied: float = 1) -> Operation:
    """A reschedule of appointment 1 that names a member of staff, and was told that it is there."""
    return move(1, place, Reply("booked", 1, place=place), invoked, replied)


def shift(place: Place, reply: Reply, invoked: float = 0, replied: float = 1) -> Operation:
    """A reschedule of appointment 1 that names nobody; of the place, only the start is asked."""
    call = Call("reschedule", place, 1, keeps_staff=True)
    return Operation(call, reply, invoked, replied, existing=1)


def put(place: Place) -> Reply:
    """Appointment 1 is there, a client was told."""
    return Reply("booked", 1, place=place)


def of_one_client(place: Place, reply: Reply, invoked: float = 0, replied: float = 1) -> Operation:
    """A booking of a client who can't be in two places."""
    call = Call("book", place, client_id="somebody")
    return Operation(call, reply, invoked, replied)


CONFLICT_1, CONFLICT_2 = Reply("conflict", taken_by=1), Reply("conflict", taken_by=2)
LOST, BUSY = Reply("unknown"), Reply("busy")
SOMEWHERE_ELSE = Reply("invalid", code=CLIENT_ELSEWHERE)

GOOD = {
    "nothing happened": ([], {}, {}),
    "one is booked, the other is told by whom": (
        [book(HERE, BOOKED_1), book(OVERLAPPING, CONFLICT_1)],
        {},
        rows(HERE),
    ),
    "busy has no effect": ([book(HERE, BOOKED_1), book(HERE, BUSY)], {}, rows(HERE)),
    "neighbours": ([book(HERE, BOOKED_1), book(LATER, BOOKED_2)], {}, rows(HERE, LATER)),
    "a conflict before the cancel": (
        [cancel(CANCELLED), book(HERE, CONFLICT_1)],
        rows(HERE),
        rows(None),
    ),
    "booked after the cancel": (
        [cancel(CANCELLED), book(HERE, BOOKED_2)],
        rows(HERE),
        rows(None, HERE),
    ),
    "one of two cancels is told that it came too late": (
        [cancel(CANCELLED), cancel(Reply("invalid"))],
        rows(HERE),
        rows(None),
    ),
    "a swap keeps both": (
        [move(1, THERE, CONFLICT_2), move(2, HERE, CONFLICT_1)],
        rows(HERE, THERE),
        rows(HERE, THERE),
    ),
    "a chain of moves across staff": (
        [move(2, HERE, BOOKED_2), move(1, LATER, BOOKED_1)],
        rows(HERE, THERE),
        rows(LATER, HERE),
    ),
    "one key, given twice": (
        [
            book(HERE, BOOKED_1, key="k"),
            book(HERE, Reply("booked", 1, replayed=True), key="k"),
        ],
        {},
        rows(HERE, key="k"),
    ),
    "a lost answer that took effect": ([book(HERE, LOST, 0, NEVER)], {}, rows(HERE)),
    "a lost answer that never did": ([book(HERE, LOST, 0, NEVER)], {}, {}),
    "a lost answer that took effect late": (
        [book(HERE, LOST, 0, NEVER), cancel(CANCELLED, 2, 3)],
        rows(HERE),
        rows(None, HERE),
    ),
    "a conflict with a booking whose answer was lost": (
        [book(HERE, LOST, 0, NEVER), book(HERE, CONFLICT_1, 5, 6)],
        {},
        rows(HERE),
    ),
    "handed over, then moved in time: it stays with whom it was handed over to": (
        [hand_over(THERE_LATER), shift(LAST, put(THERE_LAST))],
        rows(HERE),
        rows(THERE_LAST),
    ),
    "moved in time, then handed over": (
        [hand_over(THERE_LATER), shift(LAST, put(LAST))],
        rows(HERE),
        rows(THERE_LATER),
    ),
    "moved in time, to a start that is taken with whom it was handed over to": (
        [hand_over(THERE_LATER), shift(LAST, CONFLICT_2)],
        rows(HERE, THERE_LAST),
        rows(THERE_LATER, THERE_LAST),
    ),
    "moved in time before it was handed over to who has no time": (
        [hand_over(THERE_LATER), shift(LAST, put(LAST))],
        rows(HERE, THERE_LAST),
        rows(THERE_LATER, THERE_LAST),
    ),
    "moved in time, nobody was told": (
        [hand_over(THERE_LATER), shift(LAST, LOST, 0, NEVER)],
        rows(HERE),
        rows(THERE_LAST),
    ),
    "a client is somewhere else already": (
        [of_one_client(HERE, BOOKED_1), of_one_client(THERE_BETWEEN, SOMEWHERE_ELSE)],
        {},
        rows(HERE, client_id="somebody"),
    ),
    "a client goes from one to the other": (
        [of_one_client(HERE, BOOKED_1), of_one_client(THERE_LATER, BOOKED_2)],
        {},
        rows(HERE, THERE_LATER, client_id="somebody"),
    ),
    "a client was somewhere else until that was cancelled": (
        [cancel(CANCELLED), of_one_client(THERE_BETWEEN, SOMEWHERE_ELSE)],
        rows(HERE, client_id="somebody"),
        rows(None, client_id="somebody"),
    ),
    "two clients, at one time": (
        [of_one_client(HERE, BOOKED_1), book(THERE, BOOKED_2)],
        {},
        rows(HERE, client_id="somebody") | {2: Row(2, THERE, "confirmed", None)},
    ),
}
BAD = {
    "handed over, and given back by a move that named nobody": (
        [hand_over(THERE_LATER), shift(LAST, put(LAST))],
        rows(HERE),
        rows(LAST),
    ),
    "handed over and moved in time, and told where it is not": (
        [hand_over(THERE_LATER), shift(LAST, put(LAST))],
        rows(HERE),
        rows(THERE_LAST),
    ),
    "given back although the handover was answered before": (
        [hand_over(THERE_LATER, 0, 1), shift(LAST, put(LAST), 2, 3)],
        rows(HERE),
        rows(LAST),
    ),
    "told that it was handed over, and it was not": (
        [hand_over(THERE_LATER), shift(LAST, put(LAST))],
        rows(HERE),
        rows(THERE_LATER) | {2: Row(2, LAST, "confirmed", None)},
    ),
    "moved in time with whom it never was": (
        [shift(LAST, put(THERE_LAST))],
        rows(HERE),
        rows(THERE_LAST),
    ),
    "a conflict with somebody who never had it": (
        [shift(LAST, CONFLICT_2)],
        rows(HERE, THERE_LAST),
        rows(HERE, THERE_LAST),
    ),
    "a client in two places": (
        [of_one_client(HERE, BOOKED_1), of_one_client(THERE_BETWEEN, BOOKED_2)],
        {},
        rows(HERE, THERE_BETWEEN, client_id="somebody"),
    ),
    "a client who is nowhere else": ([of_one_client(HERE, SOMEWHERE_ELSE)], {}, {}),
    "a client who goes there only later": (
        [of_one_client(HERE, BOOKED_1), of_one_client(THERE_LATER, SOMEWHERE_ELSE)],
        {},
        rows(HERE, client_id="somebody"),
    ),
    "a client who was not there yet": (
        [of_one_client(HERE, BOOKED_1, 2, 3), of_one_client(THERE, SOMEWHERE_ELSE, 0, 1)],
        {},
        rows(HERE, client_id="somebody"),
    ),
    "somebody else is elsewhere": (
        [book(HERE, BOOKED_1), of_one_client(THERE, SOMEWHERE_ELSE)],
        {},
        rows(HERE),
    ),
    "a double booking": (
        [book(HERE, BOOKED_1), book(OVERLAPPING, BOOKED_2)],
        {},
        rows(HERE, OVERLAPPING),
    ),
    "booked, and no row": ([book(HERE, BOOKED_1)], {}, {}),
    "a row that nobody booked": ([], {}, rows(HERE)),
    "a conflict with nobody": ([book(HERE, CONFLICT_1)], {}, {}),
    "a conflict with a neighbour": (
        [book(HERE, BOOKED_1), book(LATER, CONFLICT_1)],
        {},
        rows(HERE),
    ),
    "a conflict with what was booked only afterwards": (
        [book(HERE, CONFLICT_1, 0, 1), book(HERE, BOOKED_1, 2, 3)],
        {},
        rows(HERE),
    ),
    "a conflict with what was cancelled before": (
        [cancel(CANCELLED, 0, 1), book(HERE, CONFLICT_1, 2, 3)],
        rows(HERE),
        rows(None),
    ),
    "booked before the cancel that made room": (
        [book(HERE, BOOKED_2, 0, 1), cancel(CANCELLED, 2, 3)],
        rows(HERE),
        rows(None, HERE),
    ),
    "a swap through which both moved": (
        [move(1, THERE, BOOKED_1), move(2, HERE, BOOKED_2)],
        rows(HERE, THERE),
        rows(THERE, HERE),
    ),
    "moved and not moved": ([move(1, LATER, BOOKED_1)], rows(HERE), rows(HERE)),
    "busy that booked": ([book(HERE, BUSY)], {}, rows(HERE)),
    "a lost answer that took effect before it was asked": (
        [cancel(CANCELLED, 0, 1), book(HERE, CONFLICT_2, 2, 3), book(HERE, LOST, 4, NEVER)],
        rows(HERE),
        rows(None, HERE),
    ),
    "a key that booked twice": (
        [book(HERE, BOOKED_1, key="k"), book(LATER, BOOKED_2, key="k")],
        {},
        rows(HERE, LATER, key="k"),
    ),
}


GOOD["moved away and back, by one who could have been first"] = (
    [move(1, HERE, BOOKED_1), move(1, LATER, BOOKED_1)],
    rows(HERE),
    rows(HERE),
)


@pytest.mark.parametrize("history", GOOD.values(), ids=GOOD)
def test_a_good_history_is_explained(
    history: tuple[list[Operation], dict[int, Row], dict[int, Row]],
) -> None:
    """No false alarm: a sound strategy is never refuted."""
    assert linearizable(*history)


@pytest.mark.parametrize("history", BAD.values(), ids=BAD)
def test_a_bad_history_is_not(
    history: tuple[list[Operation], dict[int, Row], dict[int, Row]],
) -> None:
    """Honest replies, safety: what no order explains is found."""
    assert not linearizable(*history)


def test_a_large_race_is_judged_at_once() -> None:
    """The same checker judges races: one winner and hundreds who lost."""
    requests = [book(HERE, BOOKED_1), *(book(HERE, CONFLICT_1) for _ in range(300))]

    assert linearizable(requests, {}, rows(HERE))


def test_many_moves_of_one_appointment_are_judged_at_once() -> None:
    """Who asks for the same, and is told the same, needs no order among themselves."""
    moves = [move(1, place, BOOKED_1) for place in (HERE, LATER, THERE, THERE_LATER) * 10]

    assert linearizable(moves, rows(HERE), rows(LATER))
    assert not linearizable(moves, rows(HERE), rows(LAST))


@pytest.mark.parametrize("fault", [False, True])
def test_many_appointments_are_judged_apart(*, fault: bool) -> None:
    """Each is moved by two at once, in either order: together there are more orders than time."""
    asked, before, after = [], {}, {}
    for number in range(1, 61):
        first = OPENING + 4 * number * STEP
        here, later = Place(0, first), Place(0, first + 2 * STEP)
        there, there_later = Place(1, first + STEP), Place(1, first + 2 * STEP)
        back = fault and number == 1
        stays = later if back else there_later
        for call, place in (
            (Call("reschedule", there, number), there),
            (Call("reschedule", later, number, keeps_staff=True), stays),
        ):
            asked.append(Operation(call, Reply("booked", number, place=place), 0, 1, number))
        before[number] = Row(number, here, "confirmed", None)
        after[number] = Row(number, stays, "confirmed", None)

    assert linearizable(asked, before, after) != fault
