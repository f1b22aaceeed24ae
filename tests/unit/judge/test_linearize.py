"""Replies are right if one order of the requests explains them all: good and bad histories."""

from datetime import timedelta

import pytest

from experiments.judge.linearize import NEVER, Operation, linearizable
from experiments.scenes.replies import Reply
from experiments.scenes.rows import Row
from experiments.scenes.shapes import OPENING, STEP, Call, Place

HERE = Place(0, OPENING)
LATER = Place(0, OPENING + STEP)
OVERLAPPING = Place(0, OPENING + timedelta(minutes=15))
THERE = Place(1, OPENING)

BOOKED_1, BOOKED_2 = Reply("booked", 1), Reply("booked", 2)
CANCELLED = Reply("cancelled", 1)


def rows(*places: Place | None, key: str | None = None) -> dict[int, Row]:
    """Appointments 1, 2 and so on: where they are, None for a cancelled one of HERE."""
    return {
        number: Row(number, place or HERE, "confirmed" if place else "cancelled", key)
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


CONFLICT_1, CONFLICT_2 = Reply("conflict", taken_by=1), Reply("conflict", taken_by=2)
LOST, BUSY = Reply("unknown"), Reply("busy")

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
}
BAD = {
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
