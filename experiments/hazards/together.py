"""Clients that start together, each with a thread of its own."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

Result = TypeVar("Result")


def together(calls: Sequence[Callable[[], Result]]) -> tuple[list[tuple[Result, float]], float]:
    """Make all calls at once.

    Args:
        calls: One a client.

    Returns:
        What each returned and after how many milliseconds, and how long all of it took.
    """
    released: list[float] = []
    ready = threading.Barrier(len(calls), action=lambda: released.append(time.perf_counter()))

    def run(call: Callable[[], Result]) -> tuple[Result, float]:
        ready.wait()
        return timed(call)

    with ThreadPoolExecutor(len(calls)) as threads:
        answers = list(threads.map(run, calls))
    return answers, 1000 * (time.perf_counter() - released[0])


def timed(call: Callable[[], Result]) -> tuple[Result, float]:
    """Return what a call returns, and how many milliseconds it took."""
    started = time.perf_counter()
    result = call()
    return result, 1000 * (time.perf_counter() - started)
