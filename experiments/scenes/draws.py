"""Pairs of requests, drawn at random: first a dimension of the world by its weight, then a pair.

The world has many pairs across its edges, and few in which somebody looks at a list. Where each
pair were as likely as the next, a race would hardly ever play the few; so each dimension is.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from experiments.scenes.parameters import check_weights
from experiments.scenes.world import DIMENSIONS, WORLD

if TYPE_CHECKING:
    from collections.abc import Mapping
    from random import Random

    from experiments.scenes.world import Pair

DRAWN = "world"
"""Stands where a shape can be named, for pairs that are drawn."""


class Draws:
    """Draws pairs of the world; may be shared by threads.

    Args:
        weights: How often each dimension is drawn, in relation to the others; those that are left
            out never. All alike if none is given.

    Raises:
        BadExperiment: There is no such dimension, or nothing to draw.
    """

    def __init__(self, weights: Mapping[str, float] | None = None) -> None:
        weights = weights or dict.fromkeys(DIMENSIONS, 1.0)
        check_weights("dimension", weights, DIMENSIONS)
        self._dimensions = [
            [pair for pair in WORLD.values() if pair.dimension == name] for name in weights
        ]
        self._weights = list(accumulate(weights.values()))

    def pair(self, source: Random) -> Pair:
        """Draw one.

        Args:
            source: What it depends on.
        """
        (pairs,) = source.choices(self._dimensions, cum_weights=self._weights)
        return source.choice(pairs)
