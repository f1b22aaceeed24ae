"""What clients were answered, measured or simulated: the same numbers are taken from both.

Counted is what was answered within the window of time, whenever it had begun. A queue that is
still growing at the end is cut off in both worlds at the same instant.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

BATCHES = 10
Row = tuple[float, float, str, int]
ANSWERED = ("booked", "conflict")
# Student's t for 95 % of nine degrees of freedom, from any table of it.
T_NINE = 2.262


@dataclass(frozen=True)
class Answers:
    """Requests and their ends.

    Attributes:
        window_s: From which 0 to which second answers count.
        started: When each request began, in seconds.
        ended: When it was answered.
        outcomes: With what.
        attempts: After how many tries.
    """

    window_s: float
    started: NDArray[np.float64]
    ended: NDArray[np.float64]
    outcomes: NDArray[np.str_]
    attempts: NDArray[np.int64]
    counted: NDArray[np.bool_] = field(init=False)

    def __post_init__(self) -> None:
        within = (self.ended >= 0) & (self.ended <= self.window_s)
        object.__setattr__(self, "counted", within & np.isin(self.outcomes, ANSWERED))

    @classmethod
    def of(cls, window_s: float, rows: Sequence[Row]) -> Self:
        """Collect answers: when each request began and ended, its outcome and its tries."""
        started, ended, outcomes, attempts = zip(*rows, strict=True) if rows else ((),) * 4
        return cls(
            window_s,
            np.array(started, float),
            np.array(ended, float),
            np.array(outcomes, dtype=np.str_),
            np.array(attempts, np.int64),
        )

    @property
    def per_second(self) -> float:
        """Requests answered a second, with a booking or a conflict."""
        return float(self.counted.sum()) / self.window_s

    @property
    def per_second_interval(self) -> tuple[float, float]:
        """Where the rate lies with 95 % confidence, by the means of ten batches.

        Source of the idea: batch means, as Law, "Simulation Modeling and Analysis", section 9.5.
        """
        edges = np.linspace(0, self.window_s, BATCHES + 1)
        counts, _ = np.histogram(self.ended[self.counted], edges)
        rates = counts * BATCHES / self.window_s
        reach = T_NINE * float(rates.std(ddof=1)) / BATCHES**0.5
        return self.per_second - reach, self.per_second + reach

    @property
    def latencies_ms(self) -> NDArray[np.float64]:
        """How long each answered request took, in milliseconds."""
        latencies: NDArray[np.float64] = 1000 * (self.ended - self.started)[self.counted]
        return latencies

    def latency_ms(self, percent: float) -> float:
        """Return a percentile of the latencies in milliseconds; NaN where nobody was answered."""
        latencies = self.latencies_ms
        return float(np.percentile(latencies, percent)) if latencies.size else float("nan")

    @property
    def mean_attempts(self) -> float:
        """Tries a request, on average."""
        return float(self.attempts[self.counted].mean()) if self.counted.any() else float("nan")

    def counts(self) -> dict[str, int]:
        """How often each outcome was answered, whenever."""
        outcomes, counts = np.unique(self.outcomes, return_counts=True)
        return dict(zip(outcomes.tolist(), counts.tolist(), strict=True))
