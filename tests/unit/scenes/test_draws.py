"""Pairs are drawn by the weights of their dimensions; and names lead to pairs."""

from __future__ import annotations

from collections import Counter
from random import Random

import pytest

from experiments.scenes.catalogue import HIDDEN
from experiments.scenes.draws import Draws
from experiments.scenes.kept import KEPT
from experiments.scenes.parameters import BadExperiment
from experiments.scenes.shapes import SHAPES
from experiments.scenes.world import DIMENSIONS, EVERYTHING, find_shape


def test_each_dimension_is_as_likely_as_the_next() -> None:
    """However many pairs it has: the many across edges don't drown the few lists."""
    source, draws = Random(1), Draws()
    drawn = Counter(draws.pair(source).dimension for _ in range(200 * len(DIMENSIONS)))
    assert drawn.keys() == set(DIMENSIONS)
    assert all(count == pytest.approx(200, rel=0.35) for count in drawn.values())


def test_weights_say_how_often_and_those_left_out_are_never_drawn() -> None:
    """As in a mix of operations."""
    source, draws = Random(1), Draws({"keys": 3, "lists": 1})
    drawn = Counter(draws.pair(source).dimension for _ in range(2000))
    assert drawn.keys() == {"keys", "lists"}
    assert drawn["keys"] == pytest.approx(1500, rel=0.1)


@pytest.mark.parametrize(
    ("weights", "said"),
    [({"kes": 1}, "no dimension 'kes'"), ({"keys": 0}, "not 0"), ({"keys": -1}, "not 0")],
)
def test_what_can_not_be_drawn_is_refused(weights: dict[str, float], said: str) -> None:
    """Before anything starts."""
    with pytest.raises(BadExperiment, match=said):
        Draws(weights)


@pytest.mark.parametrize("clients", [2, 3, 20])
def test_clients_make_the_requests_of_a_pair_in_turns(clients: int) -> None:
    """Twenty clients are ten of each; what exists is what the pair says."""
    pair = EVERYTHING["one key, another person"].scene
    scene = find_shape("one key, another person", clients).scene(clients)
    assert clients == len(scene.calls)
    assert all(call == pair.calls[number % 2] for number, call in enumerate(scene.calls))
    assert (scene.existing, scene.in_world) == (pair.existing, True)


def test_kept_pairs_have_names_of_their_own_that_lead_to_them() -> None:
    """One way of being found, for the shapes of today, for what is kept, and for every pair."""
    assert not KEPT.keys() & (SHAPES.keys() | EVERYTHING.keys())
    assert len({kept.pair for kept in KEPT.values()}) == len(KEPT)
    for kept in KEPT.values():
        scene = EVERYTHING[kept.pair].scene
        assert find_shape(kept.name, len(scene.calls)).scene(len(scene.calls)) == scene
        assert set(kept.broke) <= HIDDEN.keys()
