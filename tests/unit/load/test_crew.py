"""A crew starts together, returns what each member found, and survives those who fail."""

from __future__ import annotations

import os
import time

import pytest

from experiments.load.crew import CrewError, Gate, run_crew


def _times(share: int, gate: Gate) -> tuple[int, float, float]:
    arrived = time.perf_counter()
    gate.wait()
    return share, arrived, time.perf_counter()


def _fail_if_odd(share: int, gate: Gate) -> int:
    if share % 2:
        raise ValueError(f"share {share} is odd")
    gate.wait()
    return share


def _die(share: int, gate: Gate) -> None:
    if share:
        os._exit(1)
    gate.wait()


def test_results_come_in_order_and_nobody_starts_before_the_last_has_arrived() -> None:
    """The gate is a rendezvous across processes, on one clock."""
    answers = run_crew(_times, [7, 8, 9])

    assert [share for share, _, _ in answers] == [7, 8, 9]
    last = max(arrived for _, arrived, _ in answers)
    assert all(started >= last for _, _, started in answers)


def test_a_single_share_is_worked_on_here() -> None:
    """One process needs no other."""
    ((share, _, _),) = run_crew(_times, [3])

    assert share == 3


def test_a_failure_is_raised_and_nobody_waits_for_it() -> None:
    """The error of the process that failed, not the others' broken gate."""
    with pytest.raises(ValueError, match="share 1 is odd"):
        run_crew(_fail_if_odd, [0, 1, 2])


def test_a_process_that_dies_is_noticed() -> None:
    """Whoever is killed sends no result; the others are not left waiting."""
    with pytest.raises(CrewError, match="without a result"):
        run_crew(_die, [0, 1])
