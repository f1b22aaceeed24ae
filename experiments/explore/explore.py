"""Explore a strategy, or any calls; and play a counterexample again."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, LiteralString

from tqdm.auto import tqdm

from experiments.catalogue import find_strategy
from experiments.explore import narrate
from experiments.explore.explorer import GUARD_SECONDS, MOST_STEPS, Explorer, Learnt, Run
from experiments.explore.plays import BookingPlay, CallsPlay
from experiments.explore.result import Result
from experiments.explore.schedules import Counterexample
from experiments.explore.search import Following, Sampled, Systematic
from experiments.postgres import Database, fresh_database
from experiments.race import BadExperiment
from experiments.shapes import SHAPES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from sqlalchemy import Engine

    from booking_core.strategies import Strategy
    from experiments.postgres import EmbeddedServer, Server

Search = Literal["exhaustive", "reduced", "bounded", "sampled"]
SEARCHES: tuple[Search, ...] = ("exhaustive", "reduced", "bounded", "sampled")

ATTEMPTS = 3
"""Tries of a request. A strategy that tries a thousand times has endless schedules."""

LIMIT = 20_000
"""Schedules after which a search ends, incomplete."""

REPEATS = 2
"""How often a schedule is repeated in which an order is the server's decision."""

MOST_BROKEN = 3
"""Runs that did not end by themselves after which a search ends, incomplete."""


class NotReproduced(Exception):
    """A counterexample could not be played again as it was."""


def explore(  # noqa: PLR0913 - an experiment has as many parameters
    strategy: str | Strategy | type[Strategy],
    *,
    shape: str = "same_slot",
    clients: int = 2,
    search: Search = "exhaustive",
    preemptions: int = 2,
    schedules: int = 500,
    depth: int = 3,
    seed: int = 1,
    attempts: int = ATTEMPTS,
    backstop: bool | None = None,
    limit: int = LIMIT,
    stop_at_first: bool = False,
    guard_seconds: float = GUARD_SECONDS,
    most_steps: int = MOST_STEPS,
    on: Server | EmbeddedServer | Database | None = None,
    progress: bool = False,
) -> Result:
    """Play the schedules of some clients under a strategy, and judge each.

    Args:
        strategy: A strategy, its class, its name, or `module:attribute`.
        shape: A name of `experiments.shapes.SHAPES`.
        clients: How many.
        search: `exhaustive`: every schedule. `reduced`: one of each kind. `bounded`: those with
            a few preemptions. `sampled`: some drawn at random.
        preemptions: How many a bounded search allows.
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
        on: Which server, or an empty database; the process's own server if left out.
        progress: Whether to show a progress bar.

    Raises:
        BadExperiment: A parameter is out of range.
        UnknownStrategy: There is no such strategy.
        UnsupportedServer: The server is too old for it.
    """
    chosen = find_strategy(strategy)
    if shape not in SHAPES:
        raise BadExperiment(f"There is no shape {shape!r}. There are: {', '.join(SHAPES)}.")
    if search not in SEARCHES:
        raise BadExperiment(f"There is no search {search!r}. There are: {', '.join(SEARCHES)}.")
    if clients < 1 or attempts < 1:
        raise BadExperiment("At least one client is needed, and one attempt.")
    name = strategy if isinstance(strategy, str) else chosen.name
    result = Result(name, shape, clients, search)
    started = time.perf_counter()
    with _database(on) as database:
        play = BookingPlay(
            database.engine(),
            chosen,
            SHAPES[shape].scene(clients),
            attempts=attempts,
            backstop=backstop,
        )
        result.attempts, result.attempts_bounded = play.attempts, play.bounded
        with Explorer(
            database, play, guard_seconds=guard_seconds, most_steps=most_steps
        ) as explorer:

            def written(run: Run) -> Counterexample:
                return _counterexample(run, result, explorer, play, backstop)

            campaign = _Campaign(explorer, result, written, limit, stop_at_first=stop_at_first)
            campaign.run(
                lambda: (
                    Sampled(explorer, schedules=schedules, seed=seed, depth=depth)
                    if search == "sampled"
                    else Systematic(
                        explorer,
                        reduce=search == "reduced",
                        preemptions=preemptions if search == "bounded" else None,
                    )
                ),
                progress=progress,
            )
            if search == "bounded":
                result.bound = f"{preemptions} preemptions"
    result.seconds = time.perf_counter() - started
    return result


def explore_calls(  # noqa: PLR0913 - an experiment has as many parameters
    calls: Sequence[Callable[[Engine], object]],
    *,
    setup: str,
    table: LiteralString,
    check: Callable[[list[object], list[tuple[object, ...]]], str | None],
    name: str = "calls",
    search: Search = "exhaustive",
    preemptions: int = 2,
    limit: int = LIMIT,
    guard_seconds: float = GUARD_SECONDS,
    most_steps: int = MOST_STEPS,
    on: Server | EmbeddedServer | Database | None = None,
) -> Result:
    """Play the schedules of any calls: SQLAlchemy, its ORM, or plain psycopg.

    Args:
        calls: Each client's code, given an engine; `engine.raw_connection()` is psycopg's.
        setup: SQL that makes the tables and the rows with which every run begins.
        table: The table that is put back after each run; it has a serial `id`.
        check: Given what the calls returned (or raised) and the table's rows in the order of
            their ids, says what is wrong, or None.
        name: What to call it.
        search: As for `explore`, but not sampled.
        preemptions: How many a bounded search allows.
        limit: Schedules after which the search ends, incomplete.
        guard_seconds: How long one step may take that nobody blocks.
        most_steps: Steps after which a client is taken not to end.
        on: Which server, or an empty database; the process's own server if left out.
    """
    result = Result(name, "calls", len(calls), search)
    started = time.perf_counter()
    with _database(on) as database:
        play = CallsPlay(calls, setup, table, check)
        with Explorer(
            database, play, guard_seconds=guard_seconds, most_steps=most_steps
        ) as explorer:

            def written(run: Run) -> Counterexample:
                return _counterexample(run, result, explorer, None, None)

            _Campaign(explorer, result, written, limit, stop_at_first=False).run(
                lambda: Systematic(
                    explorer,
                    reduce=search == "reduced",
                    preemptions=preemptions if search == "bounded" else None,
                )
            )
    result.seconds = time.perf_counter() - started
    return result


def replay(
    counterexample: Counterexample | str | Path,
    *,
    on: Server | EmbeddedServer | Database | None = None,
) -> Counterexample:
    """Play a counterexample again, and return what was seen this time.

    Args:
        counterexample: It, or the path of the JSON file that holds it.
        on: Which server, or an empty database; the process's own server if left out.

    Raises:
        NotReproduced: The schedule could not be followed, or did not break the same properties.
        UnreadableSchedule: The file holds something else.
        UnknownStrategy: There is no such strategy here.
    """
    return next(replays(counterexample, 1, on=on))


def replays(
    counterexample: Counterexample | str | Path,
    times: int,
    *,
    on: Server | EmbeddedServer | Database | None = None,
) -> Iterator[Counterexample]:
    """Play a counterexample again, several times on one stage.

    Args:
        counterexample: It, or the path of the JSON file that holds it.
        times: How often.
        on: Which server, or an empty database; the process's own server if left out.

    Yields:
        What was seen each time.

    Raises:
        NotReproduced: The schedule could not be followed, or did not break the same properties.
    """
    known = (
        counterexample
        if isinstance(counterexample, Counterexample)
        else Counterexample.load(counterexample)
    )
    result = Result(known.strategy, known.shape, known.clients, known.search)
    with _database(on) as database:
        play = BookingPlay(
            database.engine(),
            find_strategy(known.strategy),
            SHAPES[known.shape].scene(known.clients),
            attempts=known.attempts,
            backstop=known.backstop,
        )
        result.attempts = play.attempts
        with Explorer(database, play) as explorer:
            for _ in range(times):
                following = Following(known.choices)
                run = explorer.run(following)
                seen = _counterexample(run, result, explorer, play, known.backstop)
                if following.diverged or seen.choices != known.choices:
                    raise NotReproduced("The schedule could not be followed to its end.")
                if {each.broke for each in seen.breaches} != {e.broke for e in known.breaches}:
                    raise NotReproduced("The schedule was followed, and broke something else.")
                yield seen


class _Campaign:
    """Plays a search to its end and counts."""

    def __init__(
        self,
        explorer: Explorer,
        result: Result,
        written: Callable[[Run], Counterexample],
        limit: int,
        *,
        stop_at_first: bool,
    ) -> None:
        self._explorer = explorer
        self._result = result
        self._written = written
        self._limit = limit
        self._stop_at_first = stop_at_first

    def run(self, begin: Callable[[], Systematic | Sampled], *, progress: bool = False) -> None:
        """Play until nothing is left, the limit is reached or the code proves to be broken."""
        result = self._result
        label = f"{result.strategy} {result.shape} {result.clients}"
        while True:
            search = begin()
            try:
                with tqdm(desc=label, disable=not progress, leave=False) as bar:
                    for run in search.runs():
                        bar.update()
                        self._count(run)
                        if self._enough():
                            break
                    else:
                        result.complete = search.exhausted and not result.broken
            except Learnt:
                # What was no choice so far may be one: nothing that was counted counts.
                result.start_again()
                continue
            break
        result.varied += search.lost
        if search.lost:
            result.notes.append(
                f"{search.lost} paths began with a decision of the server that it did not repeat"
            )
        if isinstance(search, Sampled):
            result.bound = f"each run shows a fault with probability {search.bound:.2g} or more"
        if not self._explorer.deadlock_timeout_lowered and result.deadlocks:
            result.notes.append("deadlock_timeout could not be lowered: deadlocks took long")

    def _enough(self) -> bool:
        result = self._result
        return (
            result.schedules + result.cut >= self._limit
            or result.broken.total() >= MOST_BROKEN
            or (self._stop_at_first and result.counterexample is not None)
        )

    def _count(self, run: Run | None) -> None:
        result = self._result
        if run is None:
            result.cut += 1
            return
        result.schedules += 1
        self._tally(run)
        if run.server_decided and not run.broken:
            self._repeat(run)

    def _tally(self, run: Run) -> None:
        result = self._result
        judgement = run.judgement
        result.steps += len(run.choices)
        result.deadlocks += run.deadlocks
        result.waits += sum(bool(turn.waited_for) for turn in run.turns)
        result.busy += judgement.words.count("busy")
        result.retries += sum(judgement.attempts) - len(judgement.attempts)
        result.most_attempts = max((result.most_attempts, *judgement.attempts))
        if run.broken:
            result.broken[run.broken] += 1
            return
        result.outcomes[judgement.outcome] += 1
        result.violations.update(judgement.faults.keys())
        if judgement.faults and result.counterexample is None:
            result.counterexample = self._written(run)

    def _repeat(self, run: Run) -> None:
        result = self._result
        result.repeated += 1
        varied = False
        for _ in range(REPEATS):
            following = Following(run.choices)
            again = self._explorer.run(following)
            if following.diverged or again.judgement.outcome != run.judgement.outcome:
                varied = True
                self._tally(again)
        result.varied += varied


def _counterexample(
    run: Run, result: Result, explorer: Explorer, play: BookingPlay | None, backstop: bool | None
) -> Counterexample:
    return Counterexample(
        strategy=result.strategy,
        shape=result.shape,
        clients=result.clients,
        attempts=result.attempts,
        backstop=backstop,
        isolation=play.strategy.isolation if play else explorer.default_level,
        server_version=explorer.server_version,
        search=result.search,
        steps=narrate.steps(run),
        replies=run.judgement.replies,
        before=run.judgement.before,
        after=run.judgement.after,
        breaches=narrate.breaches(run),
    )


@contextmanager
def _database(on: Server | EmbeddedServer | Database | None) -> Iterator[Database]:
    if isinstance(on, Database):
        yield on
        return
    with fresh_database(on) as database:
        yield database
