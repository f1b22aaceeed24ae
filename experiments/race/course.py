"""The course: rounds, one after the other; whoever is released together, and what came of it.

Every client has a connection of its own, opened and used before. All are released at once, and how
far apart they really started is measured.

A round ends, whatever the strategy does: whoever is not answered in time has the session ended. A
lock that is still held when everybody is done counts as one who is never answered, since the next
who wants it would wait for ever; so does everybody in a round that can't begin.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, replace
from time import perf_counter
from typing import TYPE_CHECKING, Any, Self

import pandas as pd
from sqlalchemy import text

from experiments.judge.history import Faults, judge_round
from experiments.race.clients import NAME, Run
from experiments.scenes.replies import Answer, Reply
from experiments.waiting.waits import LockWaits

if TYPE_CHECKING:
    from collections.abc import Iterator

    from sqlalchemy import Engine

    from experiments.race.clients import Manner, Racers
    from experiments.scenes.stage import Stage

PATIENCE_S = 30.0
"""How long a round may take, apart from what its clients hold; then the sessions are ended."""

PREPARING = {"options": "-c lock_timeout=5s"}
"""How the engine connects that prepares rounds: it does not wait for ever for a lock either."""

_SESSIONS = f"pg_stat_activity WHERE application_name = '{NAME}' AND datname = current_database()"
_END = text(f"SELECT pg_terminate_backend(pid) FROM {_SESSIONS}")  # noqa: S608 - ours
_STILL_HELD = text(
    f"SELECT count(*) FROM pg_locks WHERE granted AND pid IN (SELECT pid FROM {_SESSIONS})"  # noqa: S608 - ours
)


class Course:
    """Rounds of the stage's scenes, each played and judged.

    A context manager.

    Args:
        stage: What is played; a round plays the scene that it has then.
        racers: The clients, made for the largest of the scenes.
        control: For watching waits.
        manner: How the clients behave.
    """

    def __init__(self, stage: Stage, racers: Racers, control: Engine, manner: Manner) -> None:
        self._stage = stage
        self._racers = racers
        self._control = control
        self._manner = manner
        self._waits: LockWaits | None = None
        self._pids: set[int] = set()

    def __enter__(self) -> Self:
        self._racers.__enter__()
        # A practice round: afterwards connections are open and statements compiled.
        self._watch(self._round())
        return self

    def __exit__(self, *words: object) -> None:
        self._racers.__exit__(*words)
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
        answers = [run.answer for run in runs]
        begun = any(run.pid for run in runs)
        faults = judge_round(self._stage, answers, times) if begun else Faults(unanswered=len(runs))
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
        self._watch(runs)
        return requests, {**names, "release_skew_us": requests["start_us"].max(), **asdict(faults)}

    def _round(self) -> list[Run]:
        calls = self._stage.scene.calls
        try:
            self._stage.reset()
        except Exception as error:  # noqa: BLE001 - a strategy under test may raise anything
            self._end_sessions()
            answer = Answer(Reply("error"), detail=f"The round could not begin: {error}")
            return [Run(0, perf_counter(), perf_counter(), answer) for _ in calls]
        with self._waits or nullcontext(), self._guarded(len(calls)) as ended:
            runs = self._racers.play()
        return [_unanswered(run) if ended and run.answered >= ended[0] else run for run in runs]

    def _watch(self, runs: list[Run]) -> None:
        """Watch these sessions from now on; those that were ended have been replaced."""
        pids = {run.pid for run in runs if run.pid}
        if pids <= self._pids:
            return
        if self._waits:
            self._waits.close()
        self._pids = pids
        self._waits = LockWaits(self._control, pids)

    @contextmanager
    def _guarded(self, clients: int) -> Iterator[list[float]]:
        """End all sessions when it takes too long; note when."""
        ended: list[float] = []

        def end() -> None:
            ended.append(perf_counter())
            self._end_sessions()

        guard = threading.Timer(PATIENCE_S + 5 * clients * self._manner.hold_ms / 1000, end)
        guard.daemon = True
        guard.start()
        try:
            yield ended
        finally:
            guard.cancel()

    def _something_is_held(self) -> bool:
        with self._control.connect() as connection:
            return bool(connection.execute(_STILL_HELD).scalar_one())

    def _end_sessions(self) -> None:
        with self._control.connect() as connection:
            connection.execute(_END)


def _unanswered(run: Run) -> Run:
    reply = Reply("unanswered")
    return replace(run, answer=Answer(reply, detail="There was no answer; the session was ended."))
