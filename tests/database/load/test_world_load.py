"""Loads in the small world: what ordinary loads can't see is seen, and nobody else is blamed."""

from __future__ import annotations

from dataclasses import asdict, replace
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text

from booking_core.strategies import DEFAULT
from experiments.load import measurements
from experiments.load.load import LoadResult, load
from experiments.load.replies import Replies
from experiments.load.users import PRACTICE
from experiments.load.workload import Target
from experiments.load.world_ledger import judge
from experiments.load.world_users import ANYBODY, MINUTE
from experiments.scenes.places import Place
from experiments.scenes.shapes import OPENING, Scene
from experiments.scenes.stage import Stage
from experiments.scenes.world import LONG, QUIET

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Connection

    from experiments.server.postgres import Database

SEED = 1


def _loaded(strategy: str, **parameters: object) -> LoadResult:
    return load(strategy, vus=10, iterations=40, processes=1, seed=SEED, **parameters)


def _count(result: LoadResult, name: str) -> float:
    return result.metrics[name].aggregate(result.metrics[name].main)


def test_a_lock_named_after_the_service_is_caught_by_the_world_alone() -> None:
    """With one service it is a lock for everybody; with two, it keeps nobody of the other out."""
    plain = _loaded("key_of_service", skew="uniform", days=1, mix={"book": 2, "cancel": 1})
    assert _count(plain, "double_bookings") == 0
    assert any(
        _count(_loaded("key_of_service", workload="world"), "double_bookings") for _ in range(5)
    )


@pytest.mark.parametrize("strategy", ["advisory", "exclusion", "staff_row_skip_locked"])
def test_a_sound_strategy_is_not_blamed(strategy: str) -> None:
    """Whoever keeps rivals out, replies what the rows say, with keys, moves and cancels of all."""
    result = _loaded(strategy, workload="world")
    assert _count(result, "iterations") == 400
    assert _count(result, "double_bookings") == _count(result, "dishonest_replies") == 0
    seen = set(result.outcomes)
    assert {"book: booked", "book: conflict", "cancel: cancelled", "reschedule: booked"} <= seen
    assert seen <= {
        f"{operation}: {outcome}"
        for operation in ("book", "cancel", "reschedule", "list")
        for outcome in ("booked", "replayed", "cancelled", "listed", "conflict", "busy", "invalid")
    }


class Told:
    """Two appointments that are told truly, and replies that may not be.

    The first is a long visit; the second follows it, and was booked under a key.
    """

    def __init__(self, connection: Connection, stage: Stage) -> None:
        self._connection = connection
        self._replies = Replies()
        self._staff = list(stage.staff)
        self._services = list(stage.services)
        self.first, self.second = stage.existing
        self.here, self.there = stage.scene.existing
        self.reply("book", "booked", self.here, self.first, 10, client=(1, 1))
        self.reply("book", "booked", self.there, self.second, 20)
        self.reply("book", "replayed", self.there, self.second, 30)

    def reply(  # noqa: PLR0913, PLR0917 - a reply has as many parts
        self,
        operation: str,
        outcome: str,
        place: Place,
        appointment_id: int,
        at: int,
        until: int | None = None,
        *,
        taken_by: int = 0,
        anybody: bool = False,
        client: tuple[int, int] = (9, 9),
    ) -> None:
        """Add a reply."""
        target = Target(
            ANYBODY if anybody else self._staff[place.staff],
            (place.start - OPENING) // MINUTE,
            place.start,
            self._services[place.service.number],
        )
        instants = (at, at, at + 5 if until is None else until)
        self._replies.add(
            *client, operation, outcome, 1, target, appointment_id, taken_by, instants
        )

    def judged(self) -> dict[str, int]:
        """Return what the ledger finds."""
        with self._connection.begin_nested() as savepoint:
            replies = measurements.columns([self._replies.records()])
            found = judge(self._connection, replies, practice=PRACTICE)
            savepoint.rollback()  # with it go the ledger's tables
        return {name: count for name, count in asdict(found).items() if count}


@pytest.fixture
def told(fresh: Database) -> Iterator[Told]:
    """Give a true history in the world's salon."""
    here, there = Place(0, QUIET, LONG), Place(0, QUIET + LONG.duration + LONG.after)
    stage = Stage(fresh.engine(), DEFAULT(), Scene([here, there], [], keys={1: "k"}, in_world=True))
    stage.reset()
    with fresh.engine().connect() as connection:
        connection.execute(
            text("UPDATE appointment SET client = '1-1' WHERE id = :first"),
            {"first": stage.existing[0]},
        )
        yield Told(connection, stage)


def _later(place: Place, minutes: int) -> Place:
    return replace(place, start=place.start + minutes * MINUTE)


def test_a_true_history_is_not_accused(told: Told) -> None:
    """Buffers of two lengths touch; conflicts name whoever is there, with somebody or anybody."""
    told.reply("book", "conflict", _later(told.here, -30), 0, 40, taken_by=told.first)
    told.reply("book", "conflict", told.there, 0, 40, taken_by=told.second, anybody=True)
    told.reply("cancel", "invalid", told.there, told.second, 40)
    assert told.judged() == {}


def test_two_moves_at_one_time_may_have_come_in_either_order(told: Told) -> None:
    """One of them was the last; which one, the row says."""
    away = _later(told.here, 600)
    told.reply("reschedule", "booked", away, told.first, 40, 60)
    told.reply("reschedule", "booked", told.here, told.first, 45, 55)
    assert told.judged() == {}
    told.reply("reschedule", "booked", away, told.first, 70)
    assert told.judged() == {"rows_otherwise": 1}


def test_a_conflict_with_somebody_who_was_not_there_is_found(told: Told) -> None:
    """Touching is no overlap; the lengths of services count, and the buffers."""
    told.reply("book", "conflict", _later(told.there, 75), 0, 40, taken_by=told.second)
    assert told.judged() == {"false_conflicts": 1}


def test_two_who_stood_in_each_others_way_are_found_though_one_is_gone(told: Told) -> None:
    """According to the replies, both were there at one time."""
    told.reply("reschedule", "booked", told.there, told.first, 40)
    told.reply("reschedule", "booked", told.here, told.first, 50)
    assert told.judged() == {"double_bookings": 1}


def test_a_replayed_reply_without_a_row_is_found(told: Told) -> None:
    """What a key is given again must be stored under a key."""
    told.reply("book", "replayed", told.here, told.first, 40)
    assert told.judged() == {"bookings_without_row": 1}


def test_a_row_that_two_were_told_is_theirs_is_found(told: Told) -> None:
    """Only one can have booked it; whoever is given it again is told so."""
    told.reply("book", "booked", told.there, told.second, 40)
    assert told.judged() == {"rows_without_booking": 1}
