"""Whether each dimension of the world of pairs is needed: a mutation test of the world itself.

A dimension is left out, and an exhibit that was refuted passes: then that dimension was needed for
it. So for each exhibit the first pair is found that breaks it, and then the rest of the world is
asked, without that pair's dimension. What breaks in two dimensions needs neither of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from tqdm.auto import tqdm

from experiments.explore.pairs import Explored, explore_pairs
from experiments.scenes.parameters import check_words
from experiments.scenes.world import DIMENSIONS, EVERYTHING, WORLD

if TYPE_CHECKING:
    from collections.abc import Sequence

    from booking_core.strategies import Strategy
    from experiments.show.verdicts import Verdicts


@dataclass(frozen=True, slots=True)
class Refuted:
    """What the world made of an exhibit.

    Attributes:
        exhibit: Its name.
        pair: The first pair that broke it; empty where none did.
        otherwise: A pair of another dimension that broke it; empty where none did.
    """

    exhibit: str
    pair: str
    otherwise: str

    @property
    def dimension(self) -> str:
        """The dimension of the pair that broke it first."""
        return EVERYTHING[self.pair].dimension if self.pair else ""

    @property
    def needs(self) -> str:
        """The dimension without which it passes; empty where there is none."""
        return "" if self.otherwise else self.dimension


@dataclass(frozen=True, slots=True)
class Dimensions:
    """What each dimension of the world was good for.

    Attributes:
        refuted: What became of each exhibit.
        dimensions: What the world consisted of.
    """

    refuted: list[Refuted]
    dimensions: tuple[str, ...]

    def table(self) -> pd.DataFrame:
        """Return one row for each dimension: who is refuted there first, and who passes without."""
        return pd.DataFrame(
            [
                {
                    "left out": name,
                    "pairs": sum(pair.dimension == name for pair in WORLD.values()),
                    "broke first": sum(each.dimension == name for each in self.refuted),
                    "then pass": ", ".join(e.exhibit for e in self.refuted if e.needs == name)
                    or "none",
                }
                for name in self.dimensions
            ]
        )

    def record(self, verdicts: Verdicts) -> None:
        """Add what follows."""
        missed = [each.exhibit for each in self.refuted if not each.pair]
        verdicts.add(
            "With all of these dimensions a pair of requests refutes every exhibit",
            held=not missed and bool(self.refuted),
            evidence=", ".join(missed)
            or f"{len(self.refuted)} of {len(self.refuted)};"
            f" {sum(bool(each.needs) for each in self.refuted)} need one of the dimensions",
        )


def leave_out(
    exhibits: Sequence[str | Strategy],
    dimensions: Sequence[str] = (),
    *,
    progress: bool = True,
) -> Dimensions:
    """Leave out one dimension of the world at a time, and see which exhibits then pass.

    Args:
        exhibits: Unsound strategies, each of which two clients can show to be so.
        dimensions: What the world consists of; everything if left out.
        progress: Whether to show a progress bar.

    Raises:
        BadExperiment: There is no such dimension.
        UnknownStrategy: There is no such strategy.
    """
    check_words("dimension", dimensions, DIMENSIONS)
    there = tuple(dimensions) or DIMENSIONS
    pairs = [name for name, each in WORLD.items() if each.dimension in there]
    refuted = []
    for exhibit in tqdm(exhibits, "exhibits", disable=not progress):
        first = explore_pairs(exhibit, pairs=pairs, stop_at_first=True)
        pair = _breaks(first)
        otherwise = ""
        if pair:
            dimension = EVERYTHING[pair].dimension
            rest = [name for name in pairs if EVERYTHING[name].dimension != dimension]
            otherwise = _breaks(explore_pairs(exhibit, pairs=rest, stop_at_first=True))
        refuted.append(Refuted(first.strategy, pair, otherwise))
    return Dimensions(refuted, there)


def _breaks(explored: Explored) -> str:
    return next((result.shape for result in explored.broken), "")
