"""A crowd: many clients with one pool, smaller than they are many.

The pool notes for each client how long it waited for a connection, and the clients note how long
they paused between two tries, so that what is left of a request's latency is known to be spent
with a connection in hand.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING, Self, cast

from sqlalchemy import PoolProxiedConnection, QueuePool

from experiments.server.connection import backend_pid

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sqlalchemy import Engine

    from booking_core.booking import BookingService
    from experiments.scenes.replies import Answer
    from experiments.scenes.stage import Stage
    from experiments.server.postgres import Database

POOL_SECONDS = 60  # how long a request may wait for a connection


class Meter(threading.local):
    """What the present thread has waited for, in seconds.

    Attributes:
        pool: For connections of a `MeteredPool`.
        pause: Between two tries.
    """

    pool = 0.0
    pause = 0.0

    def sleep(self, seconds: float) -> None:
        """Pause; the service is given this in place of `time.sleep`."""
        started = time.perf_counter()
        time.sleep(seconds)
        self.pause += time.perf_counter() - started


METER = Meter()


class MeteredPool(QueuePool):
    """A pool that notes how long it was asked for a connection."""

    def connect(self) -> PoolProxiedConnection:
        """Lend a connection."""
        started = time.perf_counter()
        try:
            return super().connect()
        finally:
            METER.pool += time.perf_counter() - started


@dataclass(frozen=True, slots=True)
class Request:
    """One request as its client saw it; times in milliseconds, `start_ms` since the release."""

    client: int
    outcome: str
    attempts: int
    start_ms: float
    latency_ms: float
    pool_ms: float
    pause_ms: float


class Crowd:
    """Clients with one pool, which may be smaller than they are many.

    A context manager. All connections are opened before anybody asks.

    Args:
        stage: What is played; every call of its scene is a client.
        engine: With a `MeteredPool`; see `crowd_engine`.
        seed: For the jitter between tries.
    """

    def __init__(self, stage: Stage, engine: Engine, *, seed: int = 1) -> None:
        self._stage = stage
        self._clients = len(stage.scene.calls)
        self._service: BookingService = stage.service(
            engine,
            offers=0,
            sleep=METER.sleep,
            source=Random(seed),  # noqa: S311 - jitter is no secret
        )
        pool = cast("QueuePool", engine.pool)
        with ExitStack() as opened:
            lent = [opened.enter_context(engine.connect()) for _ in range(pool.size())]
            self.pids = [backend_pid(connection) for connection in lent]

    def __enter__(self) -> Self:
        self._threads = ThreadPoolExecutor(self._clients)
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    def ask(self) -> list[Request]:
        """Let all clients ask at once; return when all are answered."""
        return [request.result() for request in self.start()]

    def start(self) -> list[Future[Request]]:
        """Let all clients ask at once, and don't wait for their answers."""
        ready = threading.Barrier(self._clients, action=self._release)
        return [self._threads.submit(self._ask, ready, n) for n in range(self._clients)]

    def _release(self) -> None:
        self._released = time.perf_counter()

    def _ask(self, ready: threading.Barrier, client: int) -> Request:
        ready.wait()
        started, pool, pause = time.perf_counter(), METER.pool, METER.pause
        answer: Answer = self._stage.perform(self._service, client)
        return Request(
            client,
            answer.reply.outcome,
            answer.attempts,
            1000 * (started - self._released),
            1000 * (time.perf_counter() - started),
            1000 * (METER.pool - pool),
            1000 * (METER.pause - pause),
        )


def crowd_engine(database: Database, pool: int) -> Engine:
    """Make an engine whose pool holds so many connections and meters who waits for them."""
    return database.engine(
        poolclass=MeteredPool, pool_size=pool, max_overflow=0, pool_timeout=POOL_SECONDS
    )
