"""Users of the small world ask for what its pairs ask for, and share what they have booked."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

import pytest

from booking_core.strategies import DEFAULT
from experiments.load.feasibility import feasible
from experiments.load.plan import Plan
from experiments.load.world_workload import REQUESTED, TURN, Standing, WorldWorkload
from experiments.scenes.parameters import BadExperiment
from experiments.scenes.world import DIMENSIONS, WORLD

if TYPE_CHECKING:
    from experiments.scenes.shapes import Call

MOVES = {"moves": 1.0}


def _calls(seed: int, weights: dict[str, float] | None = None, times: int = 60) -> list[Call]:
    workload, source = WorldWorkload(weights, seed, Standing()), Random(1)
    return [workload.call(iteration, source)[0] for iteration in range(times)]


def test_a_seed_repeats_what_is_asked() -> None:
    """Another one asks for something else."""
    assert _calls(1) == _calls(1) != _calls(2)


def test_all_users_play_one_pair_at_a_time() -> None:
    """Two meet at a slot only where they want it at about the same time."""
    workload = WorldWorkload(None, 1, Standing())
    for turn in range(20):
        wanted = {
            workload.call(turn * TURN + iteration, Random(user))[0].place
            for iteration in range(TURN)
            for user in range(10)
        }
        assert any(
            wanted <= {call.place for call in pair.scene.calls} | {*pair.scene.existing, None}
            for pair in WORLD.values()
        )


def test_what_is_cancelled_and_moved_was_booked_whoever_did() -> None:
    """As long as nobody has booked it, users book it."""
    standing, source = Standing(), Random(1)
    workload = WorldWorkload(MOVES, 3, standing)
    booked, about = 0, set()
    for iteration in range(400):
        call, appointment_id = workload.call(iteration, source)
        if appointment_id is not None:
            assert standing.place(appointment_id) is not None
            about.add(call.operation)
            if call.place is None:
                standing.remove(appointment_id)
        else:
            assert call.operation == "book"
            assert call.place is not None
            booked += 1
            standing.put(booked, call.place)
    assert about == {"cancel", "reschedule"}


def test_a_key_is_for_one_request_of_one_turn() -> None:
    """Pairs come again; a key of theirs would have been spent."""
    keys = [call.key for call in _calls(1, {"keys": 1.0}) if call.key]
    assert len(set(keys)) > 3
    assert len(keys) > len(set(keys))


def test_days_off_are_left_out() -> None:
    """They would stay, and close the salon."""
    assert set(DIMENSIONS) - set(REQUESTED) == {"rules"}
    assert {call.operation for call in _calls(1)} <= {"book", "cancel", "reschedule"}


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"workload": "wrld"}, "There is no workload 'wrld'"),
        ({"workload": "world", "weights": {"rules": 1}}, "There is no dimension 'rules'"),
        ({"workload": "world", "weights": {"keys": 0}}, "one is not 0"),
        ({"workload": "world", "staff": 5}, "has its own salon and requests: no staff"),
        ({"weights": {"keys": 1}}, "Only the workload world draws pairs by weight"),
    ],
)
def test_what_makes_no_load_of_the_world_is_refused(
    parameters: dict[str, object], said: str
) -> None:
    """Before anything starts."""
    with pytest.raises(BadExperiment, match=said):
        feasible(Plan(**parameters), DEFAULT())  # type: ignore[arg-type]  # that is the point
