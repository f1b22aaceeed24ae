"""Executors begin iterations when k6's would, and drop what k6's would drop."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from experiments.load import executors
from experiments.load.executors import SECOND, ClosedLoop, ConstantArrivalRate, clock, executor
from experiments.load.plan import Plan

if TYPE_CHECKING:
    import pytest


def _open_loop(**parameters: object) -> Plan:
    return Plan(executor="constant-arrival-rate", rate=10, duration_s=1, **parameters)  # type: ignore[arg-type]  # by name


def test_per_vu_iterations_gives_every_user_the_same_number() -> None:
    """Unlike k6's shared-iterations, in which the fast take what the slow leave."""
    loop = executor(Plan(iterations=3), 0)
    assert [len(list(loop.due(clock()))) for _ in range(2)] == [3, 3]
    assert loop.dropped == 0


def test_iterations_for_which_there_is_no_time_left_are_dropped() -> None:
    """K6 counts what maxDuration cut off."""
    loop = ClosedLoop(seconds=1, iterations=5)
    over = clock() - 2 * SECOND
    assert list(loop.due(over)) == []
    assert loop.dropped == 5


def test_constant_vus_goes_on_until_its_time_is_over_and_drops_nothing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One iteration after the other, each due when it is asked for."""
    instants = iter([100, 100 + SECOND // 50, 100 + SECOND // 20 - 1, 100 + SECOND // 20])
    monkeypatch.setattr(executors, "clock", lambda: next(instants))
    loop = executor(Plan(executor="constant-vus", duration_s=0.05), 0)
    assert list(loop.due(100)) == [100, 100 + SECOND // 50, 100 + SECOND // 20 - 1]
    assert loop.dropped == 0


def test_an_iteration_without_a_free_user_is_dropped_and_a_user_is_asked_for() -> None:
    """Nobody is free, so all ten are dropped, and each asks for one more user, as in k6."""
    loop = ConstantArrivalRate(_open_loop(processes=1), 0)
    asked: list[None] = []
    loop.drive(clock() - SECOND, lambda: asked.append(None))
    assert loop.dropped == 10
    assert len(asked) == 10


def test_every_iteration_of_an_open_loop_is_due_at_its_instant_or_dropped() -> None:
    """Instants are fixed by the rate alone, and divided among the processes."""
    start = clock() - SECOND  # all are overdue, so nobody sleeps
    begun: list[int] = []
    dropped = 0
    for process in range(2):
        loop = ConstantArrivalRate(_open_loop(processes=2), process)
        users = [
            threading.Thread(target=lambda loop=loop: begun.extend(loop.due(start)))
            for _ in range(3)
        ]
        for user in users:
            user.start()
        loop.drive(start, lambda: None)
        for user in users:
            user.join()
        dropped += loop.dropped
    assert len(begun) + dropped == 10
    assert {start + number * SECOND // 10 for number in range(10)} >= set(begun)
    assert len(set(begun)) == len(begun)
