"""Executors: when each virtual user begins an iteration. Their names and meanings are k6's.

A VU asks its executor when the next iteration is due, and makes it. In a closed loop
(`per-vu-iterations`, `constant-vus`) that is as soon as the last one has ended. In an open loop
(`constant-arrival-rate`) iterations are due at instants fixed beforehand, and are counted from
there, however late they really began: otherwise a server that stalls would be asked less often
just then, and the stall would hardly show (Gil Tene's "coordinated omission"). An iteration for
which no VU is free when it is due is dropped, and counted.

All instants are nanoseconds of `time.perf_counter_ns`, on Linux one clock for all processes.
k6's manual: Using k6, Scenarios, Executors; Arrival-rate VU allocation.
"""

from __future__ import annotations

import threading
import time
from queue import SimpleQueue
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from experiments.load.plan import Plan

SECOND = 1_000_000_000
clock = time.perf_counter_ns


class Executor(Protocol):
    """Says when iterations are due, for the VUs of one process.

    Attributes:
        dropped: Iterations that were due and did not begin.
    """

    dropped: int

    def due(self, start: int) -> Iterator[int]:
        """Yield when each iteration of one VU is due, until there are no more."""

    def drive(self, start: int, add_vu: Callable[[], None]) -> None:
        """Do what it takes besides, in a thread of its own, until there are no more."""


class ClosedLoop:
    """Each VU begins an iteration when its last one has ended: so often, or for so long.

    Args:
        seconds: For how long.
        iterations: How often; any number of times if left out.
    """

    def __init__(self, seconds: float, iterations: int | None = None) -> None:
        self.dropped = 0
        self._seconds = seconds
        self._iterations = iterations
        self._counting = threading.Lock()

    def due(self, start: int) -> Iterator[int]:
        """Yield the present instant as long as there is time and something left to do."""
        end = start + int(self._seconds * SECOND)
        done = 0
        while (now := clock()) < end and done != self._iterations:
            yield now
            done += 1
        if self._iterations:
            with self._counting:
                self.dropped += self._iterations - done

    def drive(self, start: int, add_vu: Callable[[], None]) -> None:
        """Do nothing; the VUs drive themselves."""


class ConstantArrivalRate:
    """Iterations are due at fixed instants; each is handed to a VU that is free just then.

    Args:
        plan: Has the rate, over all processes.
        process: Whose turns these are: every process takes each n-th iteration.
    """

    def __init__(self, plan: Plan, process: int) -> None:
        self.dropped = 0
        self._plan = plan
        self._process = process
        self._free = threading.Semaphore(0)
        self._begin: SimpleQueue[int | None] = SimpleQueue()

    def due(self, start: int) -> Iterator[int]:  # noqa: ARG002 - `drive` knows it
        """Be free, and yield what is handed over."""
        self._free.release()
        while (due := self._begin.get()) is not None:
            yield due
            self._free.release()
        self._begin.put(None)  # for the next VU

    def drive(self, start: int, add_vu: Callable[[], None]) -> None:
        """Hand each iteration over when it is due, or drop it and ask for another VU."""
        assert self._plan.rate
        pace = SECOND / self._plan.rate
        last = self._plan.seconds * self._plan.rate
        number = self._process
        while number < last:
            due = start + int(number * pace)
            sleep_until(due)
            if self._free.acquire(blocking=False):
                self._begin.put(due)
            else:
                self.dropped += 1
                add_vu()
            number += self._plan.crew
        self._begin.put(None)


def executor(plan: Plan, process: int) -> Executor:
    """Return a process's executor."""
    if plan.executor == "constant-arrival-rate":
        return ConstantArrivalRate(plan, process)
    if plan.executor == "constant-vus":
        return ClosedLoop(plan.seconds)
    return ClosedLoop(plan.seconds, plan.iterations or 1)


def sleep_until(instant: int) -> None:
    """Sleep until an instant of the clock, if it is still to come."""
    if (ahead := instant - clock()) > 0:
        time.sleep(ahead / SECOND)
