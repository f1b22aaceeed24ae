"""The race: clients on warm connections, released together, each making one call.

Every client is a thread with a connection of its own, opened and used before. All wait at a
barrier; when the last one arrives they are released, and how far apart they really started is
measured and reported as the release skew. After each round the database is asked whether two
confirmed appointments overlap, and every reply is compared with the rows (`history.judge`).
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import asdict, dataclass, fields
from random import Random
from typing import TYPE_CHECKING, Any, Self

import pandas as pd
from sqlalchemy import SingletonThreadPool, text
from tqdm.auto import tqdm

from experiments.catalogue import find_strategy
from experiments.history import Faults
from experiments.postgres import fresh_database
from experiments.shapes import SHAPES
from experiments.stage import Answer, Stage
from experiments.waits import LockWaits

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from booking_core.strategies import Strategy
    from experiments.postgres import EmbeddedServer, Server

HOLD_MS = 5.0
LIMITS = {"clients": (1, 1000), "rounds": (1, 100_000), "hold_ms": (0, 60_000)}
# Besides the clients': one to prepare and look, two to watch waits, some for other users.
SPARE_CONNECTIONS = 8
REPLIES = ("booked", "conflict", "busy", "cancelled")  # every other outcome is an error
FAULTS = [fault.name for fault in fields(Faults)]


class BadExperiment(ValueError):
    """A parameter makes no experiment."""


@dataclass(frozen=True, slots=True)
class RaceResult:
    """What a race showed.

    Attributes:
        requests: One row a request: strategy, shape, clients, round, client, operation, outcome,
            attempts, start_us (since the round's first release), latency_ms, waited_ms (for
            locks, as PostgreSQL saw it), alternatives (how many a conflict offered),
            appointment_id, detail (an error's text).
        rounds: One row a round: strategy, shape, clients, round, release_skew_us and a count for
            each fault.
    """

    requests: pd.DataFrame
    rounds: pd.DataFrame

    def summary(self) -> dict[str, Any]:
        """Return one object for the whole race; counts are summed over the rounds."""
        requests, rounds = self.requests, self.rounds
        outcomes = {str(name): int(n) for name, n in requests["outcome"].value_counts().items()}
        errors = {name: count for name, count in outcomes.items() if name not in REPLIES}
        first = requests.iloc[0]
        conflicts = requests[requests["outcome"] == "conflict"]
        return {
            "strategy": str(first["strategy"]),
            "shape": str(first["shape"]),
            "clients": int(first["clients"]),
            "rounds": len(rounds),
            **{reply: outcomes.get(reply, 0) for reply in REPLIES},
            "error": sum(errors.values()),
            "errors": errors,
            **{fault: int(rounds[fault].sum()) for fault in FAULTS},
            "conflicts_without_alternatives": int((conflicts["alternatives"] == 0).sum()),
            "attempts": int(requests["attempts"].sum()),
            "release_skew_us": round(float(rounds["release_skew_us"].median()), 1),
            "latency_ms_median": round(float(requests["latency_ms"].median()), 3),
            "latency_ms_p95": round(float(requests["latency_ms"].quantile(0.95)), 3),
            "waited_ms_median": round(float(requests["waited_ms"].median()), 3),
        }


def race(  # noqa: PLR0913 - an experiment has as many parameters
    strategy: str | Strategy | type[Strategy],
    *,
    clients: int = 20,
    rounds: int = 5,
    shape: str = "same_slot",
    hold_ms: float = HOLD_MS,
    seed: int = 1,
    on: Server | EmbeddedServer | None = None,
    progress: bool = False,
) -> RaceResult:
    """Race clients in a fresh database.

    Args:
        strategy: A strategy, its class, its name, or `module:attribute`.
        clients: How many make a call at once, 1 to 1000.
        rounds: How often, each time on calendars that hold what the shape begins with.
        shape: A name of `experiments.shapes.SHAPES`.
        hold_ms: Milliseconds that a client spends between check and insert. A real booking does
            something there, and it is what makes a fault likely to show.
        seed: For the jitter between tries.
        on: Which server; the process's own if left out.
        progress: Whether to show a progress bar.

    Raises:
        BadExperiment: A parameter is out of range.
        UnknownStrategy: There is no such strategy.
        UnsupportedServer: The server is too old for it.
    """
    chosen = find_strategy(strategy)
    if shape not in SHAPES:
        raise BadExperiment(f"There is no shape {shape!r}. There are: {', '.join(SHAPES)}.")
    for name, value in {"clients": clients, "rounds": rounds, "hold_ms": hold_ms}.items():
        least, most = LIMITS[name]
        if not least <= value <= most:
            raise BadExperiment(f"{name} is {value}; it must lie between {least} and {most}.")
    with fresh_database(on) as database:
        engine = database.engine(poolclass=SingletonThreadPool, pool_size=clients)
        control = database.engine()
        _check_connections(control, clients)
        stage = Stage(control, chosen, SHAPES[shape].scene(clients))
        names = {"strategy": chosen.name, "shape": shape, "clients": clients}
        with Course(stage, engine, control, hold_ms=hold_ms, seed=seed) as course:
            label = " ".join(map(str, names.values()))
            played = [
                course.play({**names, "round": number})
                for number in tqdm(range(1, rounds + 1), label, disable=not progress)
            ]
    requests, summaries = zip(*played, strict=True)
    return RaceResult(pd.concat(requests, ignore_index=True), pd.DataFrame(summaries))


def _check_connections(control: Engine, clients: int) -> None:
    with control.connect() as connection:
        allowed = int(connection.execute(text("SHOW max_connections")).scalar_one())
    if clients + SPARE_CONNECTIONS > allowed:
        raise BadExperiment(
            f"{clients} clients need {clients + SPARE_CONNECTIONS} connections; this server "
            f"allows {allowed}. Use fewer clients, or raise its max_connections."
        )


class Course:
    """Clients that are ready to start, one thread and one warm connection each.

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
        self._barrier = threading.Barrier(len(self._services))
        self._session = threading.local()

    def __enter__(self) -> Self:
        self._threads = ThreadPoolExecutor(len(self._services), initializer=self._open)
        self._waits: LockWaits | None = None
        # A practice round: afterwards connections are open and statements compiled.
        practised = self._round()
        self._waits = LockWaits(self._control, {started.pid for started in practised})
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()
        if self._waits:
            self._waits.close()

    def play(self, names: dict[str, Any]) -> tuple[pd.DataFrame, dict[str, Any]]:
        """Play one round.

        Args:
            names: What to call it, as further columns.

        Returns:
            Its requests, one row each, and its summary.
        """
        runs = self._round()
        faults = self._stage.judge([run.answer for run in runs])
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
        with self._waits or nullcontext():
            return list(self._threads.map(self._run, range(len(self._services))))

    def _open(self) -> None:
        with self._engine.connect() as connection:
            self._session.pid = connection.execute(text("SELECT pg_backend_pid()")).scalar_one()

    def _run(self, client: int) -> Run:
        self._barrier.wait()
        released = time.perf_counter()
        answer = self._stage.perform(self._services[client], client)
        return Run(self._session.pid, released, time.perf_counter(), answer)


@dataclass(frozen=True, slots=True)
class Run:
    """One client's part in a round; times are in seconds of one clock."""

    pid: int
    released: float
    answered: float
    answer: Answer
