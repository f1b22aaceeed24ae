"""Which way of looking for alternatives is chosen, with a database that is made up."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from threading import Event
from typing import Any

import pytest

from booking_core import nearest
from booking_core.alternatives import MARGIN, Alternatives, Key, Lost
from booking_core.slots import seconds

HOUR = timedelta(hours=1)
DAY = timedelta(days=1)
MORNING = datetime(2030, 5, 7, tzinfo=UTC)
TEN = MORNING + 10 * HOUR
NAMES = {
    nearest.NEAREST: "search",
    nearest.LEARN: "learn",
    nearest.FIRST_FREE: "tries",
    nearest.FREE_RUNS: "runs",
}
QUARTER = 900


@dataclass
class MadeUp:
    """A team that works round the clock, and is free again so long after any wanted start.

    Attributes:
        members: How many.
        free_after: When the first alternative starts; None where there is none.
        version: Of the rules.
        horizon: How far ahead they may start.
        crowded: Whether too few of the nearest starts are free that are tried.
        asked: What was asked, in words, and its parameters.
    """

    members: int = 3
    free_after: timedelta | None = timedelta(0)
    version: int = 7
    horizon: timedelta = 400 * DAY
    crowded: bool = False
    asked: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def ask(self, query: str, asked: dict[str, Any]) -> list[tuple[Any, ...]]:
        """Answer as the database would."""
        self.asked.append((NAMES[query], asked))
        rows = []
        if self.free_after is not None:
            start = seconds(asked["wanted"] + self.free_after)
            by_search = query in {nearest.NEAREST, nearest.LEARN}
            by_search |= query == nearest.FIRST_FREE and self.crowded
            one = ("UTC", 1, "Ada", 1) if by_search else (None, 1, None, None)
            rows = [(*one, start, self.members) for _ in range(asked["limit"])]
        if query == nearest.LEARN:
            run = [seconds(MORNING), seconds(asked["until"]) + 1]
            ahead = self.horizon // timedelta(microseconds=1)
            allowed = json.dumps([self.version, QUARTER, 0, ahead, 0, 3600, [run]])
            rows = [
                *((*row, None) for row in rows),
                *(
                    ("UTC", n, f"Staff {n}", 1, None, None, allowed)
                    for n in range(1, self.members + 1)
                ),
            ]
        return rows

    @property
    def ways(self) -> list[str]:
        """What was asked, in words."""
        return [way for way, _ in self.asked]


def lost(start: datetime = TEN, **different: Any) -> Lost:  # noqa: ANN401 - `Lost`'s own
    """Return a slot that was lost on Tuesday, five days ahead."""
    given: dict[str, Any] = {
        "day": Key(1, 1, MORNING, 1),
        "start": start,
        "staff_id": 1,
        "now": MORNING - 5 * DAY,
        "version": 7,
        "turned_down": set(),
        "limit": 5,
    } | different
    return Lost(**given, others={})


@pytest.mark.parametrize(("members", "searches"), [(1, 1), (5, 1), (6, 2), (20, 4), (100, 20)])
def test_the_rules_are_learned_when_so_many_searches_make_up_for_it(
    members: int, searches: int
) -> None:
    """The larger the team, the longer it takes to learn its rules."""
    made_up = MadeUp(members)
    alternatives = Alternatives(made_up.ask)
    for _ in range(searches + 3):
        alternatives.to(lost())
    assert ["search"] * searches + ["learn", "tries", "tries"] == made_up.ways


@pytest.mark.parametrize(
    ("members", "days", "ways"),
    [
        (3, 1, ["runs", "runs"]),  # within the two days that are learned of any day
        (3, 6, ["search", "learn", "runs"]),
        (3, 13, ["search", "learn", "runs"]),
        (3, 14, ["search", "search", "search"]),  # farther than is remembered
        (20, 7, ["search"] * 4 + ["learn", "runs"]),
        (20, 8, ["search"] * 6),  # too many days for so many people
    ],
)
def test_a_crowded_day_is_remembered_as_far_as_is_worth_it(
    members: int, days: int, ways: list[str]
) -> None:
    """Not start by start, where the last loser had to go far; nor without end."""
    made_up = MadeUp(members)
    alternatives = Alternatives(made_up.ask)
    while "tries" not in made_up.ways:
        alternatives.to(lost())
    made_up.free_after = days * DAY
    alternatives.to(lost())
    made_up.asked.clear()
    for _ in ways:
        alternatives.to(lost())
    assert ways == made_up.ways
    asked = made_up.asked[-1][1]
    if ways[-1] == "runs":
        # A little farther than the last one had to go, so that the next one finds something too.
        assert seconds(TEN + days * DAY + MARGIN) == asked["latest_run"]
        assert seconds(MORNING) == asked["earliest_run"]


def test_each_hour_has_its_own_distance() -> None:
    """A full morning and a free afternoon: neither is answered as if it were the other."""
    made_up = MadeUp()
    alternatives = Alternatives(made_up.ask)
    for _ in range(3):
        alternatives.to(lost())
    for _ in range(4):
        made_up.asked.clear()
        for start, free_after in ((MORNING + 9 * HOUR, 6 * HOUR), (MORNING + 15 * HOUR, 0 * HOUR)):
            made_up.free_after = free_after
            alternatives.to(lost(start))
    assert ["runs", "tries"] == made_up.ways


@pytest.mark.parametrize(("members", "searches", "then"), [(3, 1, "runs"), (100, 20, "search")])
def test_what_was_tried_in_vain_is_not_tried_again(members: int, searches: int, then: str) -> None:
    """Many are free at that very time, and more are not; until it changes how far one has to go."""
    made_up = MadeUp(members, crowded=True)
    alternatives = Alternatives(made_up.ask)
    for _ in range(searches + 4):
        alternatives.to(lost())
    assert ["tries", then, then] == made_up.ways[-3:]
    made_up.crowded = False
    for made_up.free_after in (HOUR / 4, 0 * HOUR):
        alternatives.to(lost())
    for _ in range(2):
        alternatives.to(lost())
    assert ["tries", "tries"] == made_up.ways[-2:]


def test_where_there_is_nothing_up_to_the_horizon_nobody_searches_again() -> None:
    """On the last days that may be booked all is known: fewer than wanted is an answer, too."""
    made_up = MadeUp(horizon=6 * DAY, free_after=None)
    alternatives = Alternatives(made_up.ask)
    for _ in range(4):
        assert [] == alternatives.to(lost())
    assert ["search", "learn", "runs", "runs"] == made_up.ways
    assert 0 == made_up.asked[-1][1]["enough"]
    # A few days earlier not all is known.
    made_up = MadeUp(horizon=12 * DAY, free_after=None)
    alternatives = Alternatives(made_up.ask)
    for _ in range(5):
        alternatives.to(lost())
    assert ["search", "learn", "search", "learn", "runs"] == made_up.ways
    assert seconds(MORNING - 5 * DAY + 12 * DAY) == made_up.asked[-1][1]["latest_run"]


def test_who_turns_much_down_does_not_make_it_farther_for_others() -> None:
    """What they had to go is no measure of what is free."""
    made_up = MadeUp()
    alternatives = Alternatives(made_up.ask)
    for _ in range(3):
        alternatives.to(lost())
    made_up.free_after = None
    alternatives.to(lost(turned_down={(1, seconds(TEN))}))
    made_up.free_after = timedelta(0)
    alternatives.to(lost())
    assert ["search", "learn", "tries", "tries", "tries"] == made_up.ways


def test_who_knows_older_rules_does_not_make_others_learn_anew() -> None:
    """They are out of date, and will notice; what the others remember stays."""
    made_up = MadeUp()
    alternatives = Alternatives(made_up.ask)
    for version in (7, 7, 6, 6, 6, 7, None, None, 7):
        alternatives.to(lost(version=version))
    ways = ["search", "learn", *["search"] * 3, "tries", *["search"] * 2, "tries"]
    assert ways == made_up.ways


def test_nothing_is_wanted_of_a_loser_who_wants_nothing() -> None:
    """No alternatives are an answer to that."""
    assert [] == Alternatives(MadeUp().ask).to(lost(limit=0))


def test_one_learns_while_the_others_search() -> None:
    """However slow it is; and where it fails, somebody else learns."""
    made_up = MadeUp()
    begun, go_on = Event(), Event()

    def slowly(query: str, asked: dict[str, Any]) -> list[tuple[Any, ...]]:
        rows = made_up.ask(query, asked)
        if query == nearest.LEARN and not go_on.is_set():
            begun.set()
            assert go_on.wait(20)
            raise ConnectionError
        return rows

    alternatives = Alternatives(slowly)
    alternatives.to(lost())
    with ThreadPoolExecutor(1) as pool:
        learner = pool.submit(alternatives.to, lost())
        assert begun.wait(20)
        for _ in range(5):
            alternatives.to(lost())
        assert ["search", "learn", *["search"] * 5] == made_up.ways
        go_on.set()
        with pytest.raises(ConnectionError):
            learner.result()
    made_up.asked.clear()
    for _ in range(3):
        alternatives.to(lost())
    assert ["search", "learn", "tries"] == made_up.ways
