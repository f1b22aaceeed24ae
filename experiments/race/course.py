"""The course: clients who wait at a barrier and are released together.

Every client is a thread with a connection of its own, opened and used before. When the last one
arrives at the barrier all are released, and how far apart they really started is measured.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Self

import pandas as pd

from experiments.judge.history import judge_round
from experiments.server.connection import backend_pid
from experiments.waiting.waits import LockWaits

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from experiments.scenes.replies import Answer
    from experiments.scenes.stage import Stage


@dataclass(frozen=True, slots=True)
class Run:
    """One client's part in a round; times are in seconds of one clock."""

    pid: int
    released: float
    answered: float
    answer: Answer


class Course:
    """Clients that are ready to start, one thread and one warm connection each.

    A context manager. As many clients are made ready as the stage's scene has; a later scene may
    have fewer.

    Args:
        stage: What is played.
        engine: Gives each thread a connection of its own.
        control: For watching waits.
        hold_ms: Milliseconds between check and insert.
        seed: For the jitter between tries.
    """

    def __init__(
        self, stage: Stage, engine: Engine, control: Engine, *, hold_ms: float, seed: int
    ) -> None:
        self._stage = stage
        self._engine = engine
        self._control = control
        self._services = [
            stage.service(
                engine,
                source=Random(f"{seed}, client {client}"),  # noqa: S311 - jitter is no secret
                before_record=lambda: time.sleep(hold_ms / 1000),
            )
            for client in range(len(stage.scene.calls))
        ]
        self._session = threading.local()

    def __enter__(self) -> Self:
        self._threads = ThreadPoolExecutor(len(self._services), initializer=self._open)
        self._waits: LockWaits | None = None
        # A practice round: afterwards connections are open and statements compiled.
        practised = self._round()
        self._waits = LockWaits(self._control, {run.pid for run in practised})
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()
        if self._waits:
            self._waits.close()

    def play(self, names: dict[str, Any]) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Play one round of the stage's scene.

        Args:
            names: What to call it, as further columns.

        Returns:
            Its requests, one row each, and its summary.
        """
        runs = self._round()
        times = [(run.released, run.answered) for run in runs]
        faults = judge_round(self._stage, [run.answer for run in runs], times)
        first = min(run.released for run in runs)
        waited = self._waits.milliseconds if self._waits else {}
        requests = pd.DataFrame(
            {
                **names,
                "client": client,
                "operation": self._stage.scene.calls[client].operation,
                "outcome": run.answer.reply.outcome,
                "attempts": run.answer.attempts,
                "start_us": (run.released - first) * 1e6,
                "latency_ms": (run.answered - run.released) * 1000,
                "waited_ms": waited.get(run.pid, 0.0),
                "alternatives": run.answer.alternatives,
                "appointment_id": run.answer.reply.appointment_id,
                "detail": run.answer.detail,
            }
            for client, run in enumerate(runs)
        )
        return requests, {**names, "release_skew_us": requests["start_us"].max(), **asdict(faults)}

    def _round(self) -> list[Run]:
        self._stage.reset()
        clients = range(len(self._stage.scene.calls))
        # Every thread that is busy waits at the barrier, so no thread runs two clients.
        run = partial(self._run, threading.Barrier(len(clients)))
        with self._waits or nullcontext():
            return list(self._threads.map(run, clients))

    def _open(self) -> None:
        with self._engine.connect() as connection:
            self._session.pid = backend_pid(connection)

    def _run(self, barrier: threading.Barrier, client: int) -> Run:
        barrier.wait()
        released = time.perf_counter()
        answer = self._stage.perform(self._services[client], client)
        return Run(self._session.pid, released, time.perf_counter(), answer)
