"""The clients of one process: threads with a connection each, who make their calls at one instant.

They wait for each other at a barrier, so that no thread makes the calls of two. Clients of several
processes can't meet there; they are told an instant on the clock that all processes share.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Protocol, Self

from sqlalchemy import SingletonThreadPool
from sqlalchemy.exc import DBAPIError

from experiments.server.connection import backend_pid

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from booking_core.booking import BookingService
    from experiments.scenes.replies import Answer
    from experiments.scenes.stage import Stage

NAME = "racer"
"""What PostgreSQL is told that each client's session is called."""


@dataclass(frozen=True, slots=True)
class Run:
    """One client's part in a round; times are in seconds of one clock."""

    pid: int
    released: float
    answered: float
    answer: Answer


@dataclass(frozen=True, slots=True)
class Manner:
    """How clients behave.

    Attributes:
        hold_ms: Milliseconds that they spend between check and insert.
        seed: For the jitter between tries.
    """

    hold_ms: float
    seed: int


class Racers(Protocol):
    """Whoever can play a round of the stage's scene; a context manager."""

    def __enter__(self) -> Self:
        """Make ready."""

    def __exit__(self, *_: object) -> None:
        """Let go of connections, threads and processes."""

    def play(self) -> list[Run]:
        """Let every client of the scene make its call, all at once; in the order of the calls."""


class Clients:
    """The clients of this process.

    Args:
        stage: What is played.
        engine: Gives each thread a connection of its own; `connections` makes one.
        seats: How many clients there can be, and what their jitter is drawn after.
        manner: How they behave.
    """

    def __init__(self, stage: Stage, engine: Engine, seats: range, manner: Manner) -> None:
        self._stage = stage
        self._engine = engine
        self._services = [
            stage.service(
                engine,
                source=Random(f"{manner.seed}, client {seat}"),  # noqa: S311 - jitter is no secret
                before_record=lambda: time.sleep(manner.hold_ms / 1000),
            )
            for seat in seats
        ]

    def __enter__(self) -> Self:
        self._threads = ThreadPoolExecutor(len(self._services))
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    def play(self, clients: range | None = None, instant: float = 0) -> list[Run]:
        """Let clients make their calls at once.

        Args:
            clients: Which of the scene's clients; all if left out.
            instant: When, in seconds of `time.perf_counter`; when all are ready if it has passed.
        """
        clients = range(len(self._stage.scene.calls)) if clients is None else clients
        # Every thread that is busy waits at the barrier, so no thread runs two clients.
        barrier = threading.Barrier(len(clients), partial(_sleep_until, instant))
        return list(self._threads.map(partial(self._run, barrier), self._services, clients))

    def _run(self, barrier: threading.Barrier, service: BookingService, client: int) -> Run:
        pid = self._pid()
        barrier.wait()
        released = time.perf_counter()
        answer = self._stage.perform(service, client)
        return Run(pid, released, time.perf_counter(), answer)

    def _pid(self) -> int:
        """Use the connection, which is open and warm then; one that was broken is replaced."""
        with suppress(DBAPIError), self._engine.connect() as connection:
            return backend_pid(connection)
        with self._engine.connect() as connection:
            return backend_pid(connection)


def connections(most: int) -> dict[str, Any]:
    """Return the options of an engine that gives up to so many threads a connection each."""
    return {
        "poolclass": SingletonThreadPool,
        "pool_size": most,
        "connect_args": {"application_name": NAME},
    }


def _sleep_until(instant: float) -> None:
    if (ahead := instant - time.perf_counter()) > 0:
        time.sleep(ahead)
