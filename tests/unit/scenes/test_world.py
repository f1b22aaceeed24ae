"""The world of pairs is whole, and holds nothing twice."""

from __future__ import annotations

from itertools import combinations

import pytest

from experiments.scenes.allen import relation
from experiments.scenes.parameters import BadExperiment
from experiments.scenes.places import VISIT, Place
from experiments.scenes.words import asked
from experiments.scenes.world import (
    BRIEF,
    EDGES,
    EVERYTHING,
    LONG,
    QUIET,
    STAFF,
    STAY,
    WORLD,
    find_shape,
    meetings,
)


def test_names_and_requests_are_there_once() -> None:
    """Two pairs that ask for the same, in either order, would be played twice for nothing."""
    scenes = [
        (
            tuple(sorted(map(str, pair.scene.calls))),
            str(pair.scene.existing),
            pair.scene.cancelled,
            str(pair.scene.keys),
            pair.scene.apart,
        )
        for pair in WORLD.values()
    ]
    assert len(set(scenes)) == len(scenes)


@pytest.mark.parametrize("pair", EVERYTHING.values(), ids=lambda pair: pair.name)
def test_what_exists_can_exist(pair: object) -> None:
    """No scene begins with a double booking, and cancels and moves are of what exists."""
    scene = pair.scene  # type: ignore[attr-defined]
    kept = [p for n, p in enumerate(scene.existing) if n not in scene.cancelled]
    assert not any(one.overlaps(other) for one, other in combinations(kept, 2))
    assert all(call.existing is None or call.existing < len(scene.existing) for call in scene.calls)
    assert all(asked(call) for call in scene.calls)


@pytest.mark.parametrize("services", [(VISIT, VISIT), (VISIT, LONG), (BRIEF, LONG), (VISIT, STAY)])
def test_every_relation_of_two_slots_is_there(services: tuple[object, object]) -> None:
    """However two slots lie to each other, some pair of the world lies so."""
    one, other = services
    there = {
        frozenset(
            [
                (relation(a.during, b.during), relation(a.blocked, b.blocked)),
                (relation(b.during, a.during), relation(b.blocked, a.blocked)),
            ]
        )
        for pair in WORLD.values()
        for a, b in [[call.place for call in pair.scene.calls]]
        if a and b and a.staff == b.staff and (a.service, b.service) == (one, other)
    }
    for lies in meetings(one, other):  # type: ignore[arg-type]
        assert any(lies in each for each in there), lies


def test_every_edge_is_crossed_by_slots_that_overlap() -> None:
    """A name for a lock that changes at an edge must change between two who overlap."""
    for instant in EDGES.values():
        assert any(
            a and b and a.overlaps(b) and min(a.start, b.start) < instant <= max(a.start, b.start)
            for pair in WORLD.values()
            for a, b in [[call.place for call in pair.scene.calls]]
        )


def test_ids_and_names_meet() -> None:
    """Joined, lowered or shortened, those of two people are one."""
    (one, first, _), (eleven, second, _), (_, third, _) = STAFF
    assert f"{one}{11}" == f"{eleven}{1}"
    assert first.lower() == second.lower()
    assert first != second
    assert first[:7] == third[:7]


def test_an_unknown_shape_is_answered_with_what_is_like_it() -> None:
    """A typing error shows the way out."""
    with pytest.raises(BadExperiment, match="same_slot"):
        find_shape("same_slt", 2)
    with pytest.raises(BadExperiment, match="2 requests, too many for 1"):
        find_shape("a cancel, twice", 1)
    assert find_shape("a cancel, twice", 2).scene(2).existing == [Place(0, QUIET)]
