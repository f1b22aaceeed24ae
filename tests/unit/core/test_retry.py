"""Retries: pauses that grow, stay below their bounds, and can be repeated."""

# ruff: noqa: SIM300 - expected == actual

from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from booking_core.retry import RetryPolicy

POLICY = RetryPolicy(attempts=9, first_pause=0.01, longest_pause=0.25)


class _Highest(Random):
    """Draws the upper bound."""

    def uniform(self, a: float, b: float) -> float:
        assert a == 0
        return b


def test_the_bound_of_a_pause_doubles_up_to_its_cap() -> None:
    """The more often a request has collided, the longer it steps aside."""
    bounds = [POLICY.pause(attempt, _Highest()) for attempt in range(1, 9)]
    assert [0.01, 0.02, 0.04, 0.08, 0.16, 0.25, 0.25, 0.25] == bounds


@settings(deadline=None)
@given(st.integers(1, 10**6), st.integers())
def test_a_pause_lies_between_nothing_and_its_bound(attempt: int, seed: int) -> None:
    """However often it is tried: no pause is negative, none is beyond the cap, none overflows."""
    assert 0 <= POLICY.pause(attempt, Random(seed)) <= POLICY.longest_pause


def test_the_same_seed_gives_the_same_pauses() -> None:
    """An experiment can be repeated with its jitter."""
    first, again, other = (
        [POLICY.pause(attempt, source) for attempt in range(1, 9)]
        for source in (Random(7), Random(7), Random(8))
    )
    assert first == again
    assert first != other


@pytest.mark.parametrize("attempt", [1, 3, 8])
def test_jitter_is_full(attempt: int) -> None:
    """Clients that collided once are spread over the whole pause, or they collide again."""
    source = Random(1)
    bound = POLICY.pause(attempt, _Highest())
    pauses = [POLICY.pause(attempt, source) / bound for _ in range(400)]
    tenths = {int(pause * 10) for pause in pauses}
    assert set(range(10)) == tenths
