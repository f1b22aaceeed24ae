"""Every pair of requests in the world, and every order of their statements.

All pairs of a part of the world are played on one stage, one after the other: the tables are made
once, connections are opened once, and what a strategy writes is learnt once. Several stages stand
beside each other, each in a database and a thread of its own; while one waits for the server, the
next one goes on.

Pairs are played in an order in which a broken lock is refuted soon: `FIRST` names those that broke
most of the exhibits. What two clients can't show is not in the world: a few scenes of three stand
beside it, and faults, and more than two calendars at once, are not in here.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from threading import Event, Lock
from typing import TYPE_CHECKING, Any

import pandas as pd
from tqdm.auto import tqdm

from experiments.explore.apart import Apart, booking_play
from experiments.explore.campaign import Campaign, counterexample
from experiments.explore.explore import ATTEMPTS
from experiments.explore.explorer import GUARD_SECONDS, Explorer
from experiments.explore.result import Result
from experiments.explore.search import Systematic
from experiments.scenes.catalogue import find_strategy
from experiments.scenes.places import Place
from experiments.scenes.shapes import Call, Scene
from experiments.scenes.world import (
    APART,
    EVERYTHING,
    LATER,
    QUIET,
    RULES,
    THREE,
    TRIPLES,
    WORLD,
    Pair,
)
from experiments.server.postgres import fresh_database

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from booking_core.strategies import Strategy
    from experiments.explore.explorer import Run
    from experiments.explore.plays import BookingPlay
    from experiments.schedules.schedule import Counterexample
    from experiments.server.database import Database
    from experiments.server.embedded import EmbeddedServer
    from experiments.server.postgres import Server

_NOT_APART = (
    "the clients were threads of one process: others can't import the strategy; put it into a"
    " module of its own"
)
LIMIT = 2_000
"""Schedules of one pair after which it is left incomplete."""

FIRST: tuple[str, ...] = (
    "a move to another, and a booking whose set-up needs it",
    "visit, long visit: during, a month",
    "one key, another person",
    "a cancel, and a move overlapping itself",
    "long visit, long visit: met by and overlapped by, a month",
    "a cancel, twice",
    "a move to a later time, and a move of 1's to there",
    "brief visit, long visit: starts and during, the clocks go back",
    "visits of 0 and 2",
    "hours that join with ids alike",
    "equal, and one is there",
    "equal, and one was cancelled there",
    "one key of two owners",
    "a move to another, and a move that crosses it",
    "three: twice book one slot, once another",
    "three: cancel, and twice book its slot",
    "three: book it, book it, book it",
)


@dataclass
class Explored:
    """What all pairs showed.

    Attributes:
        strategy: What was explored.
        results: One for each pair that was played; its `shape` is the pair's name.
        left: How many pairs were not played, since one before them broke.
        seconds: How long it took.
    """

    strategy: str
    results: list[Result] = field(default_factory=list)
    left: int = 0
    seconds: float = 0.0

    @property
    def broken(self) -> list[Result]:
        """The pairs that broke something."""
        return [result for result in self.results if not result.holds]

    @property
    def holds(self) -> bool:
        """Whether no pair broke anything."""
        return not self.broken

    @property
    def complete(self) -> bool:
        """Whether every order of every pair was played, one of each kind."""
        return not self.left and all(result.complete for result in self.results)

    @property
    def schedules(self) -> int:
        """How many schedules were played."""
        return sum(result.schedules for result in self.results)

    @property
    def apart(self) -> int:
        """In how many pairs no statement of one request depends on any of the other's."""
        return sum(result.schedules == 1 and result.complete for result in self.results)

    @property
    def alike(self) -> int:
        """How many pairs of requests those that were played stand for."""
        return sum(EVERYTHING[result.shape].alike for result in self.results)

    @property
    def counterexample(self) -> Counterexample | None:
        """The shortest schedule that breaks a property, if there is any."""
        found = [each.counterexample for each in self.results if each.counterexample]
        return min(found, key=lambda each: len(each.steps), default=None)

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for JSON."""
        found = self.counterexample
        return {
            "strategy": self.strategy,
            "holds": self.holds,
            "complete": self.complete,
            "pairs": len(self.results),
            "stand_for": self.alike,
            "apart": self.apart,
            "left": self.left,
            "schedules": self.schedules,
            "broken": {
                result.shape: dict(result.violations) | dict(result.broken)
                for result in self.broken
            },
            "incomplete": [result.shape for result in self.results if not result.complete],
            "seconds": round(self.seconds, 3),
            "counterexample": found.as_dict() if found else None,
        }

    def table(self) -> pd.DataFrame:
        """Return one row for each dimension of the world: what is there for it, and what broke."""
        by: dict[str, list[Result]] = {}
        for result in self.results:
            by.setdefault(EVERYTHING[result.shape].dimension, []).append(result)
        return pd.DataFrame(
            [
                {
                    "pairs of requests": dimension,
                    "how many": len(results),
                    "stand for": sum(EVERYTHING[result.shape].alike for result in results),
                    "schedules": sum(result.schedules for result in results),
                    "complete": "yes" if all(result.complete for result in results) else "no",
                    "waits": sum(result.waits for result in results),
                    "retries": sum(result.retries for result in results),
                    "broken": sum(not result.holds for result in results),
                }
                for dimension, results in by.items()
            ]
        )

    @property
    def words(self) -> str:
        """What it rests on, in a sentence."""
        names = {result.shape for result in self.results}
        asked = len(names) + self.left
        what = (
            "scenes of three requests" if names and names <= TRIPLES.keys() else "pairs of requests"
        )
        whole = len(TRIPLES if names <= TRIPLES.keys() else WORLD)
        some = f"all {asked:,}" if asked == whole else f"{asked:,} of the {whole:,}"
        orders = (
            f"{some} {what}, all orders of their statements:"
            if self.complete
            else f"{len(names):,} of {some.removeprefix('all ')} {what}:"
        )
        apart = (
            f", one each where nothing depends on the other ({self.apart})" if self.apart else ""
        )
        return f"{orders} {self.schedules:,} schedules{apart}"


def explore_pairs(  # noqa: PLR0913 - an experiment has as many parameters
    strategy: str | Strategy | type[Strategy],
    *,
    pairs: Iterable[str] = tuple(WORLD),
    attempts: int = ATTEMPTS,
    limit: int = LIMIT,
    stop_at_first: bool = False,
    one_each: bool = False,
    stages: int | None = None,
    guard_seconds: float = GUARD_SECONDS,
    on: Server | EmbeddedServer | None = None,
    progress: bool = False,
) -> Explored:
    """Play every order of statements of every pair of requests.

    Args:
        strategy: A strategy, its class, its name, or `module:attribute`.
        pairs: Names of `experiments.scenes.world.WORLD`; the whole world if left out. Names of
            `TRIPLES`, with three clients, are not part of it.
        attempts: Tries of a request; fewer where the strategy's policy says so. Where there are
            three clients it is one, for tries multiply.
        limit: Schedules after which a pair is left incomplete.
        stop_at_first: Whether to end at the first schedule that breaks something.
        one_each: Whether to leave a pair at the first schedule of it that breaks something.
        stages: How many pairs are played at a time; as many as there are cores if left out.
        guard_seconds: How long one step may take that nobody blocks.
        on: Which server; the process's own if left out.
        progress: Whether to show a progress bar.

    Raises:
        UnknownStrategy: There is no such strategy.
        UnsupportedServer: The server is too old for it.
    """
    chosen = find_strategy(strategy)
    name = strategy if isinstance(strategy, str) else chosen.name
    work = _Work(_in_order(pairs), stop_at_first=stop_at_first)
    started = time.perf_counter()
    count = stages or os.cpu_count() or 1

    def play(bar: tqdm) -> None:  # type: ignore[type-arg]  # it is not generic when it runs
        try:
            with fresh_database(on) as database:
                stage = _Stage(database, chosen, name, attempts, limit, guard_seconds)
                for part in work.parts():
                    for result in stage.results(part, work, one_each=one_each or stop_at_first):
                        work.take(result)
                        bar.update()
        except BaseException:
            work.stop()
            raise

    with (
        tqdm(total=work.left, desc=f"{name}: pairs", disable=not progress) as bar,
        ThreadPoolExecutor(count) as pool,
    ):
        try:
            for future in [pool.submit(play, bar) for _ in range(count)]:
                future.result()
        except BaseException:  # nobody goes on where one has failed, or the user has had enough
            work.stop()
            raise
    order = {pair: number for number, pair in enumerate(EVERYTHING)}
    results = sorted(work.results, key=lambda result: order[result.shape])
    return Explored(name, results, work.left, time.perf_counter() - started)


class _Work:
    """The pairs that are still to be played, shared by the stages."""

    def __init__(self, pairs: Sequence[Pair], *, stop_at_first: bool) -> None:
        self._lock = Lock()
        self._over = Event()
        self._stop = stop_at_first
        self._todo: dict[str, list[Pair]] = {}
        for pair in pairs:
            self._todo.setdefault(pair.part, []).append(pair)
        self._first_there: dict[str, object] = {}
        self.results: list[Result] = []

    @property
    def left(self) -> int:
        """How many have not been played."""
        return sum(map(len, self._todo.values()))

    def parts(self) -> list[str]:
        """The parts of the world."""
        return list(self._todo)

    def next(self, part: str, stage: object) -> Pair | None:
        """The next pair of a part, if there is one for a stage."""
        with self._lock:
            # Interpreters take longer to begin than their few pairs take: one stage has them all.
            alone = part == APART and self._first_there.setdefault(part, stage) is not stage
            nothing = self._over.is_set() or not self._todo[part] or alone
            return None if nothing else self._todo[part].pop(0)

    def stop(self) -> None:
        """Have nothing more played."""
        self._over.set()

    def take(self, result: Result) -> None:
        """Note what a pair showed."""
        with self._lock:
            self.results.append(result)
        if self._stop and not result.holds:
            self._over.set()


class _Stage:
    """Plays pairs in a database of its own."""

    def __init__(  # noqa: PLR0913, PLR0917 - as many as the function's
        self,
        database: Database,
        strategy: Strategy,
        name: str,
        attempts: int,
        limit: int,
        guard_seconds: float,
    ) -> None:
        self._database = database
        self._strategy = strategy
        self._name = name
        self._attempts = attempts
        self._limit = limit
        self._guard = guard_seconds

    def results(self, part: str, work: _Work, *, one_each: bool) -> Iterator[Result]:
        """Play pairs of a part of the world, as long as there are any."""
        pair = work.next(part, self)
        if pair is None:
            return
        engine = self._database.clear().engine()
        attempts = 1 if part == THREE else self._attempts
        # What the first pair begins with may be more than the strategy can book.
        calls = [Call("book", Place(0, QUIET + n * LATER)) for n in range(len(pair.scene.calls))]
        plain = Scene([], calls, in_world=True, apart=pair.scene.apart)
        play = booking_play(engine, self._strategy, plain, attempts=attempts)
        # Time off sets off triggers that write many rows, each of which would be a step.
        gates = part != RULES
        with Explorer(self._database, play, guard_seconds=self._guard, gates=gates) as explorer:
            while pair is not None:
                try:
                    play.change(pair.scene)
                except Exception as error:  # noqa: BLE001 - a strategy may raise anything
                    result = Result(self._name, pair.name, play.clients, "reduced")
                    result.broken[f"what is there before can't be booked: {error}"] += 1
                else:
                    result = self._played(pair, play, explorer, one_each=one_each)
                yield result
                pair = work.next(part, self)

    def _played(
        self, pair: Pair, play: BookingPlay, explorer: Explorer, *, one_each: bool
    ) -> Result:
        result = Result(self._name, pair.name, play.clients, "reduced")
        result.attempts, result.attempts_bounded = play.attempts, play.bounded
        started = time.perf_counter()

        def written(run: Run) -> Counterexample:
            return counterexample(run, result, explorer, play, None)

        campaign = Campaign(explorer, result, written, self._limit, stop_at_first=one_each)
        campaign.run(lambda: Systematic(explorer, reduce=True))
        result.seconds = time.perf_counter() - started
        if pair.scene.apart and not isinstance(play, Apart):
            result.notes.append(_NOT_APART)
        return result


def _in_order(names: Iterable[str]) -> list[Pair]:
    """The pairs that break most first, then those that begin alike beside each other."""
    first = {name: number for number, name in enumerate(FIRST)}
    pairs = [EVERYTHING[name] for name in names]
    return sorted(
        pairs,
        key=lambda pair: (first.get(pair.name, len(first)), _beginning(pair)),
    )


def _beginning(pair: Pair) -> str:
    scene = pair.scene
    return repr((scene.existing, sorted(scene.cancelled), scene.keys, scene.whose))
