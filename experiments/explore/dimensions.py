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
    """What each dimension of the world was good for."""

    refuted: list[Refuted]

    @property
    def unneeded(self) -> list[str]:
        """The dimensions without which every exhibit is refuted all the same."""
        needed = {each.needs for each in self.refuted}
        return [name for name in DIMENSIONS if name not in needed]

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
                for name in DIMENSIONS
            ]
        )

    def record(self, verdicts: Verdicts) -> None:
        """Add what follows."""
        missed = [each.exhibit for each in self.refuted if not each.pair]
        verdicts.add(
            "A pair of requests refutes every exhibit that two clients can refute",
            held=not missed and bool(self.refuted),
            evidence=", ".join(missed) or f"{len(self.refuted)} of {len(self.refuted)}",
        )


def leave_out(exhibits: Sequence[str | Strategy], *, progress: bool = True) -> Dimensions:
    """Leave out one dimension of the world at a time, and see which exhibits then pass.

    Args:
        exhibits: Unsound strategies, each of which two clients can show to be so.
        progress: Whether to show a progress bar.

    Raises:
        UnknownStrategy: There is no such strategy.
    """
    refuted = []
    for exhibit in tqdm(exhibits, "exhibits", disable=not progress):
        first = explore_pairs(exhibit, stop_at_first=True)
        pair = _breaks(first)
        otherwise = ""
        if pair:
            dimension = EVERYTHING[pair].dimension
            rest = [name for name, each in WORLD.items() if each.dimension != dimension]
            otherwise = _breaks(explore_pairs(exhibit, pairs=rest, stop_at_first=True))
        refuted.append(Refuted(first.strategy, pair, otherwise))
    return Dimensions(refuted)


def _breaks(explored: Explored) -> str:
    return next((result.shape for result in explored.broken), "")
