"""A campaign: a search played to its end, and what it showed counted."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tqdm.auto import tqdm

from experiments.explore import narrate
from experiments.explore.explorer import Explorer, Learnt, Run
from experiments.explore.sampling import Following, Sampled
from experiments.schedules.schedule import Counterexample

if TYPE_CHECKING:
    from collections.abc import Callable

    from experiments.explore.plays import BookingPlay
    from experiments.explore.result import Result
    from experiments.explore.search import Systematic

REPEATS = 2
"""How often a schedule is repeated in which an order is the server's decision."""

MOST_BROKEN = 3
"""Runs that did not end by themselves after which a search ends, incomplete."""


class Campaign:
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
        if search.lost > search.wayward:
            result.notes.append(
                f"{search.lost - search.wayward} paths began with a decision of the server that it"
                " did not repeat"
            )
        self._doubt(search)
        if isinstance(search, Sampled):
            result.bound = f"each run shows a fault with probability {search.bound:.2g} or more"
        if not self._explorer.deadlock_timeout_lowered and result.deadlocks:
            result.notes.append("deadlock_timeout could not be lowered: deadlocks took long")

    def _doubt(self, search: Systematic | Sampled) -> None:
        """Say what makes a search inconclusive."""
        if search.wayward:
            self._result.doubt(
                f"{search.wayward} paths could not be followed again: told the same, the program"
                " sent something else"
            )
        if not self._explorer.heard:
            self._result.doubt(
                "nothing was explored: not one statement came through the hub; does the program use"
                " the URL that it is given?"
            )
        for note in self._explorer.notes:
            self._result.doubt(note)
        self._result.notes += self._explorer.remarks

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
        if varied and result.counterexample and result.counterexample.choices == run.choices:
            result.counterexample = replace(result.counterexample, varied=True)


def counterexample(
    run: Run, result: Result, explorer: Explorer, play: BookingPlay | None, backstop: bool | None
) -> Counterexample:
    """Return a run as a value.

    Args:
        run: The run.
        result: What was explored, and how.
        explorer: Who played it.
        play: The play, where it is one for the booking service.
        backstop: Whether the exclusion constraint stood behind the strategy.
    """
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
        stored=run.judgement.stored,
    )
