"""The proof over the world of pairs: every strategy, every pair of requests, every order.

`explore_pairs` plays a strategy; here several are played one after the other, and what that rests
on is said beside the verdict. Scenes of three requests stand beside the pairs, for what two
can't show; some have more orders than time, so each is left after a number of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd

from booking_core.errors import UnsupportedServer
from experiments.explore.pairs import Explored, explore_pairs
from experiments.scenes.parameters import BadExperiment, check_words
from experiments.scenes.world import DIMENSIONS, TRIPLES, WORLD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from booking_core.strategies import Strategy
    from experiments.show.verdicts import Verdicts


@dataclass(frozen=True)
class Worlds:
    """What the pairs showed of several strategies.

    Attributes:
        explored: One for each strategy.
        controls: One for each exhibit, up to the first pair that breaks it.
        skipped: Why a strategy could not be explored on this server, by name.
        what: What is asked at once, in words.
        whole: Whether every order is to have been played.
    """

    explored: list[Explored]
    controls: list[Explored]
    skipped: dict[str, str]
    what: str = "pair of requests"
    whole: bool = True

    def table(self) -> pd.DataFrame:
        """Return one row a strategy, the controls last."""
        return pd.DataFrame(
            [
                {
                    "strategy": each.strategy + (" (control)" if each in self.controls else ""),
                    "played": len(each.results),
                    "stand for": each.alike,
                    "schedules": each.schedules,
                    "complete": "yes" if each.complete else "no",
                    "waits": sum(result.waits for result in each.results),
                    "retries": sum(result.retries for result in each.results),
                    "holds": "yes" if each.holds else "NO",
                    "broken by": each.broken[0].shape if each.broken else "nothing",
                    "seconds": round(each.seconds, 1),
                }
                for each in [*self.explored, *self.controls]
            ]
        )

    def record(self, verdicts: Verdicts) -> None:
        """Add what follows."""
        broken = [each for each in self.explored if not each.holds]
        schedules = sum(each.schedules for each in self.explored)
        pairs = sum(len(each.results) for each in self.explored)
        apart = sum(each.apart for each in self.explored)
        verdicts.add(
            f"No {self.what} breaks a strategy, in any order of their statements"
            if self.whole
            else f"No {self.what} breaks a strategy, in the orders that were played",
            held=not broken and bool(self.explored),
            evidence="; ".join(f"{each.strategy}: {each.broken[0].shape}" for each in broken)
            or f"{pairs:,} played, {schedules:,} schedules, {len(self.explored)} under test"
            + (f"; in {apart:,} nothing of one depends on the other" if apart else ""),
        )
        unfinished = [
            f"{each.strategy}: {result.shape}"
            for each in self.explored
            for result in each.results
            if not result.complete
        ]
        if self.whole:
            verdicts.add(
                f"Every {self.what} was played to its end, one schedule of each kind",
                held=not unfinished,
                evidence="; ".join(unfinished[:3]) or f"{pairs:,} played",
            )
        if self.controls:
            missed = [each.strategy for each in self.controls if each.holds]
            verdicts.add(
                f"A {self.what} refutes every control",
                held=not missed,
                evidence=", ".join(missed)
                or f"{len(self.controls)} of {len(self.controls)} refuted",
            )


def gather_pairs(
    strategies: Sequence[str | Strategy],
    exhibits: Sequence[str | Strategy] = (),
    *,
    dimensions: Sequence[str] = (),
    progress: bool = True,
) -> Worlds:
    """Play the pairs of requests under several strategies.

    Args:
        strategies: Those under test.
        exhibits: The controls, which are left at the first pair that breaks them.
        dimensions: Of the world, if not all; see `booking-lab shapes`.
        progress: Whether to show a progress bar.

    Raises:
        BadExperiment: There is no such dimension.
        UnknownStrategy: There is no such strategy.
    """
    check_words("dimension", dimensions, DIMENSIONS)
    pairs = [name for name, pair in WORLD.items() if not dimensions or pair.dimension in dimensions]
    explored, skipped = [], {}
    for strategy in strategies:
        try:
            explored.append(explore_pairs(strategy, pairs=pairs, progress=progress))
        except UnsupportedServer as error:
            skipped[str(strategy)] = str(error)
    controls = [
        explore_pairs(exhibit, stop_at_first=True, progress=progress) for exhibit in exhibits
    ]
    return Worlds(explored, controls, skipped)


def gather_triples(
    strategies: Sequence[str | Strategy],
    exhibits: Sequence[str | Strategy] = (),
    *,
    limit: int,
    step: int = 1,
    progress: bool = True,
) -> Worlds:
    """Play the scenes of three requests under several strategies.

    Args:
        strategies: Those under test.
        exhibits: The controls, which two requests don't break.
        limit: Schedules after which a scene is left.
        step: Of how many scenes one is played; the controls have all of them.
        progress: Whether to show a progress bar.

    Raises:
        BadExperiment: The step is less than 1.
        UnknownStrategy: There is no such strategy.
    """
    if step < 1:
        raise BadExperiment(f"A step is at least 1: {step}")
    scenes = list(TRIPLES)[::step]
    explored = [
        explore_pairs(each, pairs=scenes, limit=limit, progress=progress) for each in strategies
    ]
    controls = [
        explore_pairs(each, pairs=TRIPLES, limit=limit, stop_at_first=True, progress=progress)
        for each in exhibits
    ]
    return Worlds(explored, controls, {}, "scene of three requests", whole=False)
