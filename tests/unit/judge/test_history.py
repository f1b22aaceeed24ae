"""The judgement of a round: every fault is seen, under its name, and nothing else is."""

# ruff: noqa: SIM300 - expected == actual

from dataclasses import asdict
from datetime import timedelta
from itertools import combinations

import pytest

from experiments.judge.history import Faults, judge
from experiments.scenes.places import STEP, Place
from experiments.scenes.replies import CLIENT_ELSEWHERE, Reply
from experiments.scenes.rows import Row
from experiments.scenes.shapes import OPENING, SHAPES, Call, Shape

HERE = Place(0, OPENING)
OVERLAPPING = Place(0, OPENING + timedelta(minutes=30))
NEXT = Place(0, OPENING + STEP)
ELSEWHERE = Place(1, OPENING)

BOOK = Call("book", HERE)
KEYED = Call("book", HERE, key="one key")
CANCEL = Call("cancel", existing=0)
MOVE = Call("reschedule", NEXT, existing=0)

THERE = Place(1, OPENING + STEP)
LAST = Place(1, OPENING + 2 * STEP)
HAND_OVER = Call("reschedule", THERE, existing=0)
SHIFT = Call("reschedule", Place(0, LAST.start), existing=0, keeps_staff=True)

BETWEEN = Place(1, OPENING + timedelta(minutes=30))
MINE = Call("book", HERE, client_id="me")
MINE_TOO = Call("book", BETWEEN, client_id="me")
MINE_LATER = Call("book", NEXT, client_id="me")
AWAY = Reply("invalid", code=CLIENT_ELSEWHERE)

BOOKED = Reply("booked", 1)
CONFLICT = Reply("conflict", taken_by=1)
BUSY = Reply("busy")


def _rows(*rows: Row) -> dict[int, Row]:
    return {row.id: row for row in rows}


def _row(
    number: int,
    place: Place = HERE,
    status: str = "confirmed",
    key: str | None = None,
    client_id: str | None = None,
) -> Row:
    return Row(number, place, status, key, client_id)


def _judge(
    *asked: tuple[Call, Reply],
    before: dict[int, Row] | None = None,
    after: dict[int, Row],
    double_bookings: int = 0,
) -> dict[str, int]:
    """Return the faults that were seen, less the counters that are zero."""
    before = before or {}
    faults = judge(
        [call for call, _ in asked],
        [reply for _, reply in asked],
        sorted(before),
        before,
        after,
        double_bookings=double_bookings,
    )
    seen = {name: count for name, count in asdict(faults).items() if count}
    assert bool(seen) == bool(faults)
    return seen


GOOD = {
    "one is booked, the others conflict": (
        [(BOOK, BOOKED), (BOOK, CONFLICT), (Call("book", OVERLAPPING), CONFLICT)],
        {},
        _rows(_row(1)),
    ),
    "a rival is told to try again": ([(BOOK, BOOKED), (BOOK, BUSY)], {}, _rows(_row(1))),
    "neighbours are booked": (
        [
            (BOOK, BOOKED),
            (Call("book", NEXT), Reply("booked", 2)),
            (Call("book", ELSEWHERE), Reply("booked", 3)),
        ],
        {},
        _rows(_row(1), _row(2, NEXT), _row(3, ELSEWHERE)),
    ),
    "cancelled, and booked again": (
        [(CANCEL, Reply("cancelled", 1)), (BOOK, Reply("booked", 2)), (BOOK, CONFLICT)],
        _rows(_row(1)),
        _rows(_row(1, status="cancelled"), _row(2)),
    ),
    "cancelled too late for anybody": (
        [(CANCEL, Reply("cancelled", 1)), (BOOK, CONFLICT)],
        _rows(_row(1)),
        _rows(_row(1, status="cancelled")),
    ),
    "moved, and the slot that was left is booked": (
        [(MOVE, Reply("booked", 1)), (BOOK, Reply("booked", 2))],
        _rows(_row(1)),
        _rows(_row(1, NEXT), _row(2)),
    ),
    "moved, and whoever wanted either slot conflicts": (
        [(MOVE, Reply("booked", 1)), (BOOK, CONFLICT), (Call("book", NEXT), CONFLICT)],
        _rows(_row(1)),
        _rows(_row(1, NEXT)),
    ),
    "not moved, since the slot is taken": (
        [(MOVE, Reply("conflict", taken_by=2))],
        _rows(_row(1), _row(2, NEXT)),
        _rows(_row(1), _row(2, NEXT)),
    ),
    "moved by half a slot, onto itself": (
        [(Call("reschedule", OVERLAPPING, existing=0), Reply("booked", 1))],
        _rows(_row(1)),
        _rows(_row(1, OVERLAPPING)),
    ),
    "a swap that both are refused": (
        [
            (Call("reschedule", ELSEWHERE, existing=0), Reply("conflict", taken_by=2)),
            (Call("reschedule", HERE, existing=1), Reply("conflict", taken_by=1)),
        ],
        _rows(_row(1), _row(2, ELSEWHERE)),
        _rows(_row(1), _row(2, ELSEWHERE)),
    ),
    "one key, one appointment, everybody is given it": (
        [(KEYED, BOOKED), (KEYED, Reply("booked", 1, replayed=True))],
        {},
        _rows(_row(1, key="one key")),
    ),
    "an answer was lost, the booking was not": (
        [(BOOK, Reply("unknown")), (BOOK, CONFLICT)],
        {},
        _rows(_row(1)),
    ),
    "an answer was lost, and so was the booking": ([(BOOK, Reply("unknown"))], {}, {}),
    "a lost answer, then the key again": (
        [(KEYED, Reply("unknown")), (KEYED, Reply("booked", 1, replayed=True))],
        {},
        _rows(_row(1, key="one key")),
    ),
    "what was not allowed is no lost sale": ([(BOOK, Reply("invalid"))], {}, {}),
    "moved by two, one after the other": (
        [(HAND_OVER, Reply("booked", 1, place=THERE)), (SHIFT, Reply("booked", 1, place=LAST))],
        _rows(_row(1)),
        _rows(_row(1, LAST)),
    ),
    "moved in time, to what is taken with whom it was handed over to": (
        [(HAND_OVER, Reply("booked", 1, place=THERE)), (SHIFT, Reply("conflict", taken_by=2))],
        _rows(_row(1), _row(2, LAST)),
        _rows(_row(1, THERE), _row(2, LAST)),
    ),
    "in the way of a move in between": (
        [
            (HAND_OVER, Reply("booked", 1, place=THERE)),
            (SHIFT, Reply("booked", 1, place=LAST)),
            (Call("book", THERE), CONFLICT),
        ],
        _rows(_row(1)),
        _rows(_row(1, LAST)),
    ),
    "one client, one place": (
        [(MINE, BOOKED), (MINE_TOO, AWAY), (MINE_LATER, Reply("booked", 2))],
        {},
        _rows(_row(1, client_id="me"), _row(2, NEXT, client_id="me")),
    ),
    "one client, one is told to try again": (
        [(MINE, BOOKED), (MINE_TOO, BUSY)],
        {},
        _rows(_row(1, client_id="me")),
    ),
}


@pytest.mark.parametrize(("asked", "before", "after"), GOOD.values(), ids=list(GOOD))
def test_a_good_round_raises_no_alarm(
    asked: list[tuple[Call, Reply]], before: dict[int, Row], after: dict[int, Row]
) -> None:
    """An instrument that cries wolf is switched off."""
    assert {} == _judge(*asked, before=before, after=after)


BAD: dict[
    str, tuple[list[tuple[Call, Reply]], dict[int, Row], dict[int, Row], int, dict[str, int]]
] = {
    "double booking": (
        [(BOOK, BOOKED), (Call("book", OVERLAPPING), Reply("booked", 2))],
        {},
        _rows(_row(1), _row(2, OVERLAPPING)),
        1,
        {"double_bookings": 1},
    ),
    "told booked, no row": (
        [(BOOK, BOOKED)],
        {},
        {},
        0,
        {"dishonest_replies": 1},
    ),
    "told booked, the row is cancelled": (
        [(BOOK, BOOKED)],
        {},
        _rows(_row(1, status="cancelled")),
        0,
        {"dishonest_replies": 1},
    ),
    "told booked, the row is elsewhere": (
        [(BOOK, BOOKED)],
        {},
        _rows(_row(1, NEXT)),
        0,
        {"dishonest_replies": 1},
    ),
    "two own one row": (
        [(BOOK, BOOKED), (BOOK, BOOKED)],
        {},
        _rows(_row(1)),
        0,
        {"dishonest_replies": 1},
    ),
    "a row that nobody was told about": (
        [(BOOK, BOOKED), (Call("book", NEXT), Reply("conflict", taken_by=2))],
        {},
        _rows(_row(1), _row(2, NEXT)),
        0,
        {"dishonest_replies": 1},
    ),
    "a failure was reported, and booked all the same": (
        [(BOOK, Reply("serialization_failure"))],
        {},
        _rows(_row(1)),
        0,
        {"dishonest_replies": 1, "unanswered": 1},
    ),
    "told cancelled, and still confirmed": (
        [(CANCEL, Reply("cancelled", 1))],
        _rows(_row(1)),
        _rows(_row(1)),
        0,
        {"dishonest_replies": 1},
    ),
    "told moved, and still where it was": (
        [(MOVE, Reply("booked", 1))],
        _rows(_row(1)),
        _rows(_row(1)),
        0,
        {"dishonest_replies": 1},
    ),
    "told moved, but given another's row": (
        [(MOVE, Reply("booked", 2))],
        _rows(_row(1), _row(2, NEXT)),
        _rows(_row(1), _row(2, NEXT)),
        0,
        {"dishonest_replies": 1},
    ),
    "all are told that it is taken, nobody has it": (
        [(BOOK, CONFLICT), (BOOK, CONFLICT)],
        {},
        {},
        0,
        {"dishonest_replies": 2, "lost_sales": 1, "refused_neighbours": 2},
    ),
    "all are told to try again": ([(BOOK, BUSY), (BOOK, BUSY)], {}, {}, 0, {"lost_sales": 1}),
    "all failed, at two slots": (
        [(BOOK, Reply("deadlock")), (Call("book", ELSEWHERE), Reply("pool_timeout"))],
        {},
        {},
        0,
        {"lost_sales": 2, "unanswered": 2},
    ),
    "the row that is in the way overlaps nothing": (
        [(BOOK, BOOKED), (Call("book", NEXT), CONFLICT)],
        {},
        _rows(_row(1)),
        0,
        {"dishonest_replies": 1, "lost_sales": 1, "refused_neighbours": 1},
    ),
    "refused because of another staff member": (
        [(BOOK, BOOKED), (Call("book", ELSEWHERE), CONFLICT)],
        {},
        _rows(_row(1)),
        0,
        {"dishonest_replies": 1, "lost_sales": 1, "refused_neighbours": 1},
    ),
    "refused because of itself": (
        [(Call("reschedule", OVERLAPPING, existing=0), CONFLICT)],
        _rows(_row(1)),
        _rows(_row(1)),
        0,
        {"dishonest_replies": 1, "lost_sales": 1, "refused_neighbours": 1},
    ),
    "one key is given two appointments, of which one is gone": (
        [(KEYED, BOOKED), (KEYED, Reply("booked", 2, replayed=True))],
        {},
        _rows(_row(1, key="one key")),
        0,
        {"dishonest_replies": 1, "repeated_bookings": 1},
    ),
    "moved in time only, and with somebody else": (
        [(SHIFT, Reply("booked", 1, place=LAST))],
        _rows(_row(1)),
        _rows(_row(1, LAST)),
        0,
        {"dishonest_replies": 1},
    ),
    "handed over to somebody who was not asked for": (
        [(HAND_OVER, Reply("booked", 1, place=NEXT)), (SHIFT, BUSY)],
        _rows(_row(1)),
        _rows(_row(1, NEXT)),
        0,
        {"dishonest_replies": 1},
    ),
    "one client in two places": (
        [(MINE, BOOKED), (MINE_TOO, Reply("booked", 2))],
        {},
        _rows(_row(1, client_id="me"), _row(2, BETWEEN, client_id="me")),
        0,
        {"clients_in_two_places": 1},
    ),
    "a client is refused everywhere": (
        [(MINE, AWAY), (MINE_TOO, AWAY)],
        {},
        {},
        0,
        {"dishonest_replies": 2, "lost_sales": 1, "refused_neighbours": 2},
    ),
    "a client is told to try again everywhere": (
        [(MINE, BUSY), (MINE_TOO, BUSY)],
        {},
        {},
        0,
        {"lost_sales": 1},
    ),
    "a client is refused because of what comes later": (
        [(MINE, BOOKED), (MINE_LATER, AWAY)],
        {},
        _rows(_row(1, client_id="me")),
        0,
        {"dishonest_replies": 1, "lost_sales": 1, "refused_neighbours": 1},
    ),
    "a client is refused because of another client": (
        [(Call("book", HERE), BOOKED), (MINE_TOO, AWAY)],
        {},
        _rows(_row(1)),
        0,
        {"dishonest_replies": 1, "lost_sales": 1, "refused_neighbours": 1},
    ),
    "one key, two rows, two answers lost": (
        [(KEYED, Reply("unknown")), (KEYED, Reply("unknown"))],
        {},
        _rows(_row(1, key="one key"), _row(2, NEXT, key="one key")),
        0,
        {"repeated_bookings": 1},
    ),
}


@pytest.mark.parametrize(
    ("asked", "before", "after", "double_bookings", "faults"), BAD.values(), ids=list(BAD)
)
def test_a_fault_is_counted_under_its_name(
    asked: list[tuple[Call, Reply]],
    before: dict[int, Row],
    after: dict[int, Row],
    double_bookings: int,
    faults: dict[str, int],
) -> None:
    """Each counter goes up for what it stands for, once each, and the others stay at zero."""
    assert faults == _judge(*asked, before=before, after=after, double_bookings=double_bookings)


@pytest.mark.parametrize(
    ("call", "reply", "after"),
    [
        pytest.param(
            MOVE,
            Reply("conflict", taken_by=2),
            _rows(_row(1, ELSEWHERE), _row(2, NEXT)),
            id="told that it stays, and moved",
        ),
        pytest.param(
            MOVE,
            Reply("conflict", taken_by=2),
            _rows(_row(1, status="cancelled"), _row(2, NEXT)),
            id="told that it stays, and cancelled",
        ),
        pytest.param(
            CANCEL,
            Reply("invalid"),
            _rows(_row(1, status="cancelled"), _row(2, NEXT)),
            id="told that it can't be cancelled, and cancelled",
        ),
        pytest.param(
            CANCEL,
            Reply("busy"),
            _rows(_row(2, NEXT)),
            id="gone",
        ),
    ],
)
def test_a_refusal_leaves_the_appointment_as_it_was(
    call: Call, reply: Reply, after: dict[int, Row]
) -> None:
    """The old slot is kept if the new one is taken; whoever loses it must be seen to lose it."""
    before = _rows(_row(1), _row(2, NEXT))
    assert {"dishonest_replies": 1} == _judge((call, reply), before=before, after=after)


def test_a_cancel_of_a_row_that_is_gone_is_counted() -> None:
    """A judge that breaks off records nothing of what it saw."""
    seen = _judge((CANCEL, Reply("cancelled", 1)), before=_rows(_row(1)), after={})
    assert {"dishonest_replies": 1} == seen


def test_cancelling_somebody_elses_appointment_is_counted() -> None:
    """The client asked for one appointment to be cancelled, and another one was."""
    before = _rows(_row(1), _row(2, NEXT))
    after = _rows(_row(1), _row(2, NEXT, "cancelled"))
    seen = _judge((CANCEL, Reply("cancelled", 2)), before=before, after=after)
    assert {"dishonest_replies": 1} == seen


def test_what_was_cancelled_before_is_in_nobodys_way() -> None:
    """A conflict names an appointment that overlapped while the request was open."""
    cancelled = _rows(_row(1, status="cancelled"))
    assert {"dishonest_replies": 1, "lost_sales": 1, "refused_neighbours": 1} == _judge(
        (BOOK, CONFLICT), before=cancelled, after=cancelled
    )


def test_two_appointments_under_one_key_are_one_repeated_booking() -> None:
    """`repeated_bookings` counts further appointments under one key: here there is one."""
    assert {"repeated_bookings": 1} == _judge(
        (KEYED, BOOKED),
        (Call("book", NEXT, key="one key"), Reply("booked", 2)),
        after=_rows(_row(1, key="one key"), _row(2, NEXT, key="one key")),
    )


@pytest.mark.parametrize("clients", [1, 2, 3, 20])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=list(SHAPES))
def test_a_scene_begins_without_a_fault(shape: Shape, clients: int) -> None:
    """A call a client, existing appointments that don't overlap, one cancel for each at most."""
    scene = shape.scene(clients)
    assert clients == len(scene.calls)
    assert not any(one.overlaps(other) for one, other in combinations(scene.existing, 2))
    named = [call.existing for call in scene.calls if call.existing is not None]
    assert shape.name == "two_moves" or sorted(set(named)) == sorted(named)
    assert set(named) <= set(range(len(scene.existing)))


def test_no_fault_is_falsy() -> None:
    """`if faults` asks whether there were any."""
    assert not Faults()
    assert all(Faults(**{name: 1}) for name in asdict(Faults()))
