"""The race: clients on warm connections, released together, each making one call.

A race is a number of rounds of one shape with one strategy and so many clients (`race`); races
over many shapes and numbers of clients share one database per strategy (`races`). A shape may be a
pair of the small world of requests, whose calls the clients make in turns, or the word `world`:
then each round draws a pair. After each round the database is asked whether two confirmed
appointments overlap, and every reply is compared with the rows (`judge.history`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd
from sqlalchemy import text
from tqdm.auto import tqdm

from experiments.race.clients import Clients, Manner, connections
from experiments.race.course import PREPARING, Course
from experiments.race.processes import Processes, check_travels
from experiments.race.programme import programme
from experiments.race.result import FAULTS, HOLD_MS, REPLIES, RaceResult
from experiments.scenes.catalogue import find_strategy
from experiments.scenes.parameters import BadExperiment, check_limits
from experiments.scenes.stage import Stage
from experiments.server.postgres import lent_database

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from sqlalchemy import Engine

    from booking_core.strategies import Strategy
    from experiments.race.clients import Racers
    from experiments.race.programme import Round
    from experiments.server.postgres import Database, EmbeddedServer, Server

__all__ = ["FAULTS", "HOLD_MS", "REPLIES", "SPARE_CONNECTIONS", "RaceResult", "race", "races"]

LIMITS = {
    "clients": (1, 1000),
    "rounds": (1, 100_000),
    "hold_ms": (0, 60_000),
    "processes": (1, 64),
}
# Besides the clients': one to prepare and look, two to watch waits, some for other users.
SPARE_CONNECTIONS = 8


def race(  # noqa: PLR0913 - an experiment has as many parameters
    strategy: str | Strategy | type[Strategy],
    *,
    clients: int = 20,
    rounds: int = 5,
    shape: str = "same_slot",
    weights: Mapping[str, float] | None = None,
    hold_ms: float = HOLD_MS,
    processes: int = 1,
    seed: int = 1,
    on: Server | EmbeddedServer | None = None,
    progress: bool = False,
) -> RaceResult:
    """Race clients in a fresh database.

    Args:
        strategy: A strategy, its class, its name, or `module:attribute`.
        clients: How many make a call at once, 1 to 1000.
        rounds: How often, each time on calendars that hold what the shape begins with.
        shape: A name of `experiments.scenes.shapes.SHAPES`, a pair of requests in
            `experiments.scenes.world`, or `world`: then each round draws a pair.
        weights: How often each dimension of the world is drawn, in relation to the others; all
            alike if left out.
        hold_ms: Milliseconds that a client spends between check and insert. A real booking does
            something there, and it is what makes a fault likely to show.
        processes: Over how many Python processes the clients are spread; one is this process.
        seed: For what is drawn, and for the jitter between tries.
        on: Which server; the process's own if left out.
        progress: Whether to show a progress bar.

    Raises:
        BadExperiment: A parameter is out of range, or the strategy can't be sent to a process.
        UnknownStrategy: There is no such strategy.
        UnsupportedServer: The server is too old for it.
    """
    return races(
        strategy,
        levels=[clients],
        rounds=rounds,
        shapes=[shape],
        weights=weights,
        hold_ms=hold_ms,
        processes=processes,
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
    weights: Mapping[str, float] | None = None,
    hold_ms: float = HOLD_MS,
    processes: int = 1,
    seed: int = 1,
    on: Server | EmbeddedServer | Database | None = None,
    progress: bool = False,
) -> RaceResult:
    """Race every shape at every level in one database; otherwise as `race`.

    Args:
        strategy: A strategy, its class, its name, or `module:attribute`.
        levels: Numbers of clients, each 1 to 1000.
        rounds: How often each shape is raced at each level.
        shapes: Names, as `race` takes one.
        weights: How often each dimension of the world is drawn.
        hold_ms: Milliseconds that a client spends between check and insert.
        processes: Over how many Python processes the clients are spread.
        seed: For what is drawn, and for the jitter between tries.
        on: Which server, or an empty database; the process's own server if left out.
        progress: Whether to show a progress bar.

    Raises:
        BadExperiment: A parameter is out of range, or the strategy can't be sent to a process.
        UnknownStrategy: There is no such strategy.
        UnsupportedServer: The server is too old for it.
    """
    chosen = find_strategy(strategy)
    _check(levels, rounds, hold_ms, processes)
    salons = programme(shapes, levels, rounds, weights=weights, seed=seed)
    if processes > 1:
        check_travels(chosen)
    played = []
    with (
        lent_database(on) as database,
        tqdm(total=sum(map(len, salons)), desc=chosen.name, disable=not progress) as bar,
    ):
        for number, planned in enumerate(salons):
            if number:
                database.clear()
            for each in _play(chosen, planned, database, Manner(hold_ms, seed), processes):
                played.append(each)
                bar.update()
    requests, summaries = zip(*played, strict=True)
    return RaceResult(
        pd.concat(requests, ignore_index=True), pd.DataFrame(summaries), hold_ms, processes
    )


def _play(
    strategy: Strategy, planned: Sequence[Round], database: Database, manner: Manner, processes: int
) -> Iterator[tuple[pd.DataFrame, dict[str, Any]]]:
    """Play the rounds that happen in one salon."""
    scenes = [each.scene for each in planned]
    most = max(len(scene.calls) for scene in scenes)
    control = database.engine(connect_args=PREPARING)
    _check_connections(control, most)
    stage = Stage(
        control,
        strategy,
        next(scene for scene in scenes if len(scene.calls) == most),
        staff=max(scene.staff for scene in scenes),
        client_once=any(scene.client_once for scene in scenes),
    )
    racers: Racers
    if processes == 1:
        racers = Clients(stage, database.engine(**connections(most)), range(most), manner)
    else:
        racers = Processes(stage, database.url, most, processes, manner)
    with Course(stage, racers, control, manner) as course:
        for each in planned:
            stage.scene = each.scene
            yield course.play(
                {
                    "strategy": strategy.name,
                    "shape": each.shape,
                    "clients": each.clients,
                    "round": each.number,
                    "played": each.played,
                }
            )


def _check(levels: Sequence[int], rounds: int, hold_ms: float, processes: int) -> None:
    given = [("clients", level) for level in levels]
    given += [("rounds", rounds), ("processes", processes)]
    for name, value in [*given, ("hold_ms", hold_ms)]:
        check_limits(name, value, *LIMITS[name])
    if processes > min(levels, default=processes):
        raise BadExperiment(f"{processes} processes need a client each; there are {min(levels)}.")


def _check_connections(control: Engine, clients: int) -> None:
    with control.connect() as connection:
        allowed = int(connection.execute(text("SHOW max_connections")).scalar_one())
    if clients + SPARE_CONNECTIONS > allowed:
        raise BadExperiment(
            f"{clients} clients need {clients + SPARE_CONNECTIONS} connections; this server "
            f"allows {allowed}. Use fewer clients, or raise its max_connections."
        )
