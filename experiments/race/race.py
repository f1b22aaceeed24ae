"""The race: clients on warm connections, released together, each making one call.

A race is a number of rounds of one shape with one strategy and so many clients (`race`); races
over many shapes and numbers of clients share one database per strategy (`races`). After each
round the database is asked whether two confirmed appointments overlap, and every reply is
compared with the rows (`judge.history`).
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from itertools import product
from typing import TYPE_CHECKING, Any

import pandas as pd
from sqlalchemy import SingletonThreadPool, text
from tqdm.auto import tqdm

from experiments.judge.history import Faults
from experiments.race.course import Course
from experiments.scenes.catalogue import find_strategy
from experiments.scenes.parameters import BadExperiment, check_limits, check_words
from experiments.scenes.shapes import SHAPES
from experiments.scenes.stage import Stage
from experiments.server.postgres import lent_database

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from booking_core.strategies import Strategy
    from experiments.server.postgres import Database, EmbeddedServer, Server

HOLD_MS = 5.0
LIMITS = {"clients": (1, 1000), "rounds": (1, 100_000), "hold_ms": (0, 60_000)}
# Besides the clients': one to prepare and look, two to watch waits, some for other users.
SPARE_CONNECTIONS = 8
# Every other outcome is an error.
REPLIES = ("booked", "conflict", "busy", "cancelled", "invalid")
FAULTS = [fault.name for fault in fields(Faults)]


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
        shape: A name of `experiments.scenes.shapes.SHAPES`.
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
    return races(
        strategy,
        levels=[clients],
        rounds=rounds,
        shapes=[shape],
        hold_ms=hold_ms,
        seed=seed,
        on=on,
        progress=progress,
    )


def races(  # noqa: PLR0913 - an experiment has as many parameters
    strategy: str | Strategy | type[Strategy],
    *,
    levels: Sequence[int],
    rounds: int,
    shapes: Sequence[str],
    hold_ms: float = HOLD_MS,
    seed: int = 1,
    on: Server | EmbeddedServer | Database | None = None,
    progress: bool = False,
) -> RaceResult:
    """Race every shape at every level in one database; otherwise as `race`.

    Args:
        strategy: A strategy, its class, its name, or `module:attribute`.
        levels: Numbers of clients, each 1 to 1000.
        rounds: How often each shape is raced at each level.
        shapes: Names of `experiments.scenes.shapes.SHAPES`.
        hold_ms: Milliseconds that a client spends between check and insert.
        seed: For the jitter between tries.
        on: Which server, or an empty database; the process's own server if left out.
        progress: Whether to show a progress bar.

    Raises:
        BadExperiment: A parameter is out of range.
        UnknownStrategy: There is no such strategy.
        UnsupportedServer: The server is too old for it.
    """
    chosen = find_strategy(strategy)
    _check(levels, shapes, rounds, hold_ms)
    scenes = {
        (shape, clients): SHAPES[shape].scene(clients) for shape, clients in product(shapes, levels)
    }
    largest = max(scenes.values(), key=lambda scene: len(scene.calls))
    with lent_database(on) as database:
        engine = database.engine(poolclass=SingletonThreadPool, pool_size=max(levels))
        control = database.engine()
        _check_connections(control, max(levels))
        stage = Stage(
            control,
            chosen,
            largest,
            staff=max(scene.staff for scene in scenes.values()),
            client_once=any(scene.client_once for scene in scenes.values()),
        )
        played = []
        with (
            Course(stage, engine, control, hold_ms=hold_ms, seed=seed) as course,
            tqdm(total=len(scenes) * rounds, desc=chosen.name, disable=not progress) as bar,
        ):
            for (shape, clients), scene in scenes.items():
                stage.scene = scene
                for number in range(1, rounds + 1):
                    names = {"strategy": chosen.name, "shape": shape, "clients": clients}
                    played.append(course.play({**names, "round": number}))
                    bar.update()
    requests, summaries = zip(*played, strict=True)
    return RaceResult(pd.concat(requests, ignore_index=True), pd.DataFrame(summaries))


def _check(levels: Sequence[int], shapes: Sequence[str], rounds: int, hold_ms: float) -> None:
    check_words("shape", shapes, SHAPES)
    if not levels or not shapes:
        raise BadExperiment("A race needs at least one number of clients and one shape.")
    given = [*(("clients", level) for level in levels), ("rounds", rounds), ("hold_ms", hold_ms)]
    for name, value in given:
        check_limits(name, value, *LIMITS[name])


def _check_connections(control: Engine, clients: int) -> None:
    with control.connect() as connection:
        allowed = int(connection.execute(text("SHOW max_connections")).scalar_one())
    if clients + SPARE_CONNECTIONS > allowed:
        raise BadExperiment(
            f"{clients} clients need {clients + SPARE_CONNECTIONS} connections; this server "
            f"allows {allowed}. Use fewer clients, or raise its max_connections."
        )
