"""Metrics, of k6's four types and under k6's names, such as a load has.

A counter adds up, a gauge is a last value, a rate is a share of cases, a trend is a distribution
of milliseconds. A trend's percentiles come from an HDR histogram (three significant digits, from
a microsecond to an hour); its smallest, largest and average value are exact.

k6's manual: Using k6, Metrics. HDR histograms: Gil Tene, hdrhistogram.org.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from hdrh.histogram import HdrHistogram  # type: ignore[import-untyped]  # ships no types

if TYPE_CHECKING:
    from numpy.typing import NDArray

TREND_STATS = ("avg", "min", "med", "max", "p(90)", "p(95)", "p(99)")
_HOUR_US = 3_600_000_000
_PERCENTILE = re.compile(r"p\((\d+(?:\.\d+)?)\)")


@dataclass(frozen=True, slots=True)
class Metric:
    """What the four types have in common.

    Attributes:
        kind: k6's name of the type.
        contains: k6's word for what is measured.
        main: The aggregate that is meant where none is named, if any.
    """

    kind: ClassVar[str]
    contains: ClassVar[str] = "default"
    main: ClassVar[str] = ""

    def values(self) -> dict[str, float]:
        """Return every aggregate that a summary shows, by name."""
        raise NotImplementedError

    def aggregate(self, name: str) -> float:
        """Return one aggregate.

        Raises:
            KeyError: There is none of that name.
        """
        return self.values()[name]


@dataclass(frozen=True, slots=True)
class Counter(Metric):
    """How many, and how many a second."""

    kind = "counter"
    main = "count"
    count: int
    rate: float

    def values(self) -> dict[str, float]:
        """Return count and rate."""
        return {"count": self.count, "rate": self.rate}


@dataclass(frozen=True, slots=True)
class Gauge(Metric):
    """A value at the end, and between which it was."""

    kind = "gauge"
    main = "value"
    value: float
    least: float | None = None
    most: float | None = None

    def values(self) -> dict[str, float]:
        """Return value, min and max."""
        least = self.value if self.least is None else self.least
        most = self.value if self.most is None else self.most
        return {"value": self.value, "min": least, "max": most}


@dataclass(frozen=True, slots=True)
class Rate(Metric):
    """In how many cases something was so; k6 calls these passes, whatever it was."""

    kind = "rate"
    main = "rate"
    passes: int
    cases: int

    def values(self) -> dict[str, float]:
        """Return rate, passes and fails."""
        rate = self.passes / self.cases if self.cases else 0.0
        return {"rate": rate, "passes": self.passes, "fails": self.cases - self.passes}


@dataclass(frozen=True, slots=True)
class Trend(Metric):
    """A distribution of durations.

    Attributes:
        count: How many there were.
        avg: In milliseconds, as `least` and `most`; not a number where there were none.
        histogram: Of microseconds.
    """

    kind = "trend"
    contains = "time"
    count: int
    avg: float
    least: float
    most: float
    histogram: HdrHistogram = field(repr=False, compare=False)

    @classmethod
    def of(cls, nanoseconds: NDArray[np.int64]) -> Trend:
        """Measure durations."""
        histogram = HdrHistogram(1, _HOUR_US, 3)
        microseconds, counts = np.unique(nanoseconds // 1000, return_counts=True)
        for value, count in zip(microseconds.tolist(), counts.tolist(), strict=True):
            histogram.record_value(min(value, _HOUR_US), count)
        if not nanoseconds.size:
            return cls(0, math.nan, math.nan, math.nan, histogram)
        least, most = float(nanoseconds.min()), float(nanoseconds.max())
        return cls(
            nanoseconds.size, float(nanoseconds.mean()) / 1e6, least / 1e6, most / 1e6, histogram
        )

    def percentile(self, percent: float) -> float:
        """Return the milliseconds that so many percent of the durations do not exceed."""
        if not self.count:
            return math.nan
        # The histogram answers with the upper end of a bucket, which may lie beyond the last value.
        return min(float(self.histogram.get_value_at_percentile(percent)) / 1000, self.most)

    def values(self) -> dict[str, float]:
        """Return what `TREND_STATS` names."""
        return {name: self.aggregate(name) for name in TREND_STATS}

    def aggregate(self, name: str) -> float:
        """Return an aggregate, any percentile among them."""
        if (match := _PERCENTILE.fullmatch(name)) and float(match[1]) <= 100:  # noqa: PLR2004 - %
            return self.percentile(float(match[1]))
        known = {"avg": self.avg, "min": self.least, "max": self.most, "count": self.count}
        return self.percentile(50) if name == "med" else known[name]
