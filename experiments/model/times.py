"""How long something takes: not one number but a spread, kept as percentiles.

A simulation draws from it as often as it likes, and it is short enough to be saved as JSON.
Beyond the 99th percentile nothing is kept: on a machine with other things to do the longest of a
few hundred measurements says more about them than about PostgreSQL.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable
    from random import Random

PERCENTS = (1, *range(5, 100, 5), 99)


@dataclass(frozen=True, slots=True)
class Times:
    """A spread of durations.

    Attributes:
        seconds: The percentiles `PERCENTS`, rising; a single value stands for "always this".
    """

    seconds: tuple[float, ...]

    @classmethod
    def of(cls, seconds: Iterable[float]) -> Self:
        """Keep the percentiles of some measurements, in seconds; at least one."""
        measured = np.maximum(np.fromiter(seconds, float), 0)
        return cls(tuple(float(each) for each in np.percentile(measured, PERCENTS)))

    @classmethod
    def always(cls, seconds: float) -> Self:
        """Return a duration without spread."""
        return cls((seconds,))

    def draw(self, source: Random) -> float:
        """Return a duration in seconds, drawn between the percentiles."""
        last = len(self.seconds) - 1
        place = source.random() * last
        below = int(place)
        low = self.seconds[below]
        return low + (place - below) * (self.seconds[min(below + 1, last)] - low)

    @property
    def mean(self) -> float:
        """The mean of what is drawn, in seconds."""
        middles = [(a + b) / 2 for a, b in zip(self.seconds, self.seconds[1:], strict=False)]
        return sum(middles) / len(middles) if middles else self.seconds[0]

    @property
    def median(self) -> float:
        """The median in seconds."""
        return self.seconds[len(self.seconds) // 2]

    def less(self, seconds: float) -> Times:
        """Return the durations that are left when so many seconds are taken off each."""
        return Times(tuple(max(0.0, each - seconds) for each in self.seconds))
