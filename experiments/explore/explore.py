"""Explore a strategy, or any program."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from experiments.explore.apart import booking_play
from experiments.explore.campaign import Campaign, counterexample
from experiments.explore.explorer import GUARD_SECONDS, MOST_STEPS, Explorer, Run
from experiments.explore.program import Program, ProgramPlay
from experiments.explore.result import Result
from experiments.explore.sampling import Sampled
from experiments.explore.search import Systematic
from experiments.scenes.catalogue import find_strategy
from experiments.scenes.parameters import BadExperiment, check_words
from experiments.scenes.world import find_shape
from experiments.schedules.schedule import PROGRAM
from experiments.server.postgres import lent_database

if TYPE_CHECKING:
    from booking_core.strategies import Strategy
    from experiments.schedules.schedule import Counterexample
    from experiments.server.postgres import Database, EmbeddedServer, Server

Search = Literal["exhaustive", "reduced", "bounded", "sampled"]
SEARCHES: tuple[Search, ...] = ("exhaustive", "reduced", "bounded", "sampled")

ATTEMPTS = 3
"""Tries of a request. A strategy that tries a thousand times has endless schedules."""

LIMIT = 20_000
"""Schedules after which a search ends, incomplete."""


def explore(  # noqa: PLR0913 - an experiment has as many parameters
    strategy: str | Strategy | type[Strategy],
    *,
    shape: str = "same_slot",
    clients: int = 2,
    search: Search = "exhaustive",
    preemptions: int = 2,
    faults: int = 0,
    schedules: int = 500,
    depth: int = 3,
    seed: int = 1,
    attempts: int = ATTEMPTS,
    backstop: bool | None = None,
    limit: int = LIMIT,
    stop_at_first: bool = False,
    guard_seconds: float = GUARD_SECONDS,
    most_steps: int = MOST_STEPS,
    gates: bool = True,
    on: Server | EmbeddedServer | Database | None = None,
    progress: bool = False,
) -> Result:
    """Play the schedules of some clients under a strategy, and judge each.

    Args:
        strategy: A strategy, its class, its name, or `module:attribute`.
        shape: A name of `experiments.scenes.shapes.SHAPES`, or of `experiments.scenes.world.WORLD`.
        clients: How many.
        search: `exhaustive`: every schedule. `reduced`: one of each kind. `bounded`: those with
            a few preemptions. `sampled`: some drawn at random.
        preemptions: How many a bounded search allows.
        faults: How many things may go wrong in a schedule, anywhere: a connection breaks, an answer
            is lost, the server ends a session. Bookings then have keys, and are asked for again
            until their clients know what came of them.
        schedules: How many a sampled search draws.
        depth: How many steps in a certain order a fault may need that a sampled search is to find.
        seed: What a sampled search draws depends on.
        attempts: Tries of a request; fewer where the strategy's policy says so.
        backstop: Whether the exclusion constraint stands behind the strategy; by default only
            where the strategy needs it.
        limit: Schedules after which the search ends, incomplete.
        stop_at_first: Whether to end at the first counterexample.
        guard_seconds: How long one step may take that nobody blocks.
        most_steps: Steps after which a client is taken not to end.
        gates: Whether a statement that looks and writes is two steps.
        on: Which server, or an empty database; the process's own server if left out.
        progress: Whether to show a progress bar.

    Raises:
        BadExperiment: A parameter is out of range.
        UnknownStrategy: There is no such strategy.
        UnsupportedServer: The server is too old for it.
    """
    chosen = find_strategy(strategy)
    asked = find_shape(shape, clients)
    check_words("search", [search], SEARCHES)
    if clients < 1 or attempts < 1:
        raise BadExperiment("At least one client is needed, and one attempt.")
    name = strategy if isinstance(strategy, str) else chosen.name
    result = Result(name, shape, clients, search)
    started = time.perf_counter()
    with lent_database(on) as database:
        play = booking_play(
            database.engine(),
            chosen,
            asked.scene(clients),
            attempts=attempts,
            backstop=backstop,
            persistent=faults > 0,
        )
        result.attempts, result.attempts_bounded = play.attempts, play.bounded
        with Explorer(
            database, play, guard_seconds=guard_seconds, most_steps=most_steps, gates=gates
        ) as explorer:

            def written(run: Run) -> Counterexample:
                return counterexample(run, result, explorer, play, backstop)

            campaign = Campaign(explorer, result, written, limit, stop_at_first=stop_at_first)
            campaign.run(
                lambda: (
                    Sampled(explorer, schedules=schedules, seed=seed, depth=depth)
                    if search == "sampled"
                    else Systematic(
                        explorer,
                        reduce=search == "reduced",
                        preemptions=preemptions if search == "bounded" else None,
                        faults=faults,
                    )
                ),
                progress=progress,
            )
            result.bound = result.bound or _bound(search, preemptions, faults)
    result.seconds = time.perf_counter() - started
    return result


def explore_program(  # noqa: PLR0913 - an experiment has as many parameters
    program: Program,
    *,
    search: Search = "exhaustive",
    preemptions: int = 2,
    faults: int = 0,
    limit: int = LIMIT,
    stop_at_first: bool = False,
    guard_seconds: float = GUARD_SECONDS,
    most_steps: int = MOST_STEPS,
    gates: bool = True,
    on: Server | EmbeddedServer | Database | None = None,
    progress: bool = False,
) -> Result:
    """Play the schedules of somebody's program: any schema, any language, any driver.

    Args:
        program: Its clients, its set-up, and what must never be.
        search: As for `explore`, but not sampled.
        preemptions: How many a bounded search allows.
        faults: How many things may go wrong in a schedule, anywhere: a connection breaks, an answer
            is lost, the server ends a session.
        limit: Schedules after which the search ends, incomplete.
        stop_at_first: Whether to end at the first counterexample.
        guard_seconds: How long one step may take that nobody blocks.
        most_steps: Steps after which a client is taken not to end.
        gates: Whether a statement that looks and writes is two steps.
        on: Which server, or an empty database; the process's own server if left out.
        progress: Whether to show a progress bar.

    Raises:
        BadExperiment: The set-up fails, or an invariant can't be asked or is broken by it.
        ProgramError: A program can't be started.
    """
    check_words("search", [search], [each for each in SEARCHES if each != "sampled"])
    result = Result(program.name, PROGRAM, len(program.clients), search)
    started = time.perf_counter()
    with lent_database(on) as database:
        play = ProgramPlay(program, database)
        with Explorer(
            database, play, guard_seconds=guard_seconds, most_steps=most_steps, gates=gates
        ) as explorer:
            Campaign(
                explorer,
                result,
                lambda run: counterexample(run, result, explorer, None, None),
                limit,
                stop_at_first=stop_at_first,
            ).run(
                lambda: Systematic(
                    explorer,
                    reduce=search == "reduced",
                    preemptions=preemptions if search == "bounded" else None,
                    faults=faults,
                ),
                progress=progress,
            )
            result.bound = _bound(search, preemptions, faults)
    if play.all_failed:
        result.doubt(f"every client failed in every schedule: {'; '.join(sorted(play.failures))}")
    result.seconds = time.perf_counter() - started
    return result


def _bound(search: Search, preemptions: int, faults: int) -> str:
    """Say within which bound a search was to be complete."""
    bounds = [f"{preemptions} preemptions"] if search == "bounded" else []
    if faults:
        bounds.append(f"at most {faults} fault{'s' if faults > 1 else ''}")
    return ", ".join(bounds)
