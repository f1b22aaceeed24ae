"""Two intervals are in one of thirteen relations, and the other way round in its mirror."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import combinations, product

from hypothesis import given
from hypothesis import strategies as st

from booking_core.slots import Slot
from experiments.scenes.allen import relation

NOON = datetime(2030, 1, 7, 12, tzinfo=UTC)
MIRROR = {
    "before": "after",
    "meets": "met by",
    "overlaps": "overlapped by",
    "starts": "started by",
    "during": "contains",
    "finishes": "finished by",
    "equals": "equals",
}
MIRROR |= {other: one for one, other in MIRROR.items()}


def slot(start: int, end: int) -> Slot:
    """A slot, in minutes after noon."""
    return Slot(NOON + timedelta(minutes=start), NOON + timedelta(minutes=end))


def by_minutes(one: Slot, other: Slot) -> tuple[bool, bool, bool, bool, bool]:
    """What the relations differ in, found out minute by minute."""
    minutes = [NOON + timedelta(minutes=minute) for minute in range(-1, 12)]
    inside = {each: {m for m in minutes if each.start <= m < each.end} for each in (one, other)}
    return (
        bool(inside[one] & inside[other]),
        inside[one] <= inside[other],
        inside[other] <= inside[one],
        min(inside[one]) == min(inside[other]),
        max(inside[one]) == max(inside[other]),
    )


edges = st.tuples(st.integers(0, 10), st.integers(0, 10)).filter(lambda pair: pair[0] < pair[1])


@given(edges, edges)
def test_the_other_way_round_it_is_the_mirror(one: tuple[int, int], other: tuple[int, int]) -> None:
    """Whoever swaps two requests must find the same pair."""
    assert relation(slot(*one), slot(*other)) == MIRROR[relation(slot(*other), slot(*one))]


def test_thirteen_relations_tell_everything_apart() -> None:
    """Slots in one relation share minutes, beginnings and ends alike; all thirteen occur."""
    slots = [slot(*pair) for pair in combinations(range(6), 2)]
    seen: dict[str, set[object]] = {}
    for one, other in product(slots, slots):
        seen.setdefault(relation(one, other), set()).add(by_minutes(one, other))
    assert seen.keys() == MIRROR.keys()
    assert all(len(each) == 1 for each in seen.values())
