"""How sure a count or a timing makes us.

A lab that fires a thousand requests and sees no double booking has not seen that double
bookings never happen: it has seen that they are rare. Every count here therefore comes with
the interval of true rates that could well have produced it, and every timing with its spread.

Rates carry Wilson's score interval. It stays inside 0..1, is never empty, and keeps its promise
at small counts, where the textbook interval (rate ± 1.96 standard errors) collapses to a point.
Where nothing was seen the upper bound is exact: the rate at which N trials would still all
have been clean with a chance of 5%. The well-known "rule of three", 3/N, is that bound rounded
up a little, and is not used, since it exceeds 1 below four trials.

Timings are medians with the quartiles around them: a queue's waiting times have a long tail,
which makes a mean and its standard deviation describe no request that anybody made.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from math import sqrt
from statistics import NormalDist
from typing import NamedTuple

import numpy as np

CONFIDENCE = 0.95


class Interval(NamedTuple):
    """The smallest and the largest value that the evidence leaves likely."""

    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Spread:
    """Where the middle of some measurements lies and how wide their middle half is.

    Attributes:
        median: Half of the measurements are at most this, in the unit that was measured.
        low: The first quartile.
        high: The third quartile.
    """

    median: float
    low: float
    high: float

    def __str__(self) -> str:
        """Word it as `12.3 (11 to 14.2)`: the median and the quartiles."""
        median, low, high = (_three_digits(each) for each in (self.median, self.low, self.high))
        return f"{median} ({low} to {high})"


def wilson(seen: int, trials: int, *, confidence: float = CONFIDENCE) -> Interval:
    """Give the range of true rates that agrees with a count.

    Args:
        seen: In how many trials the thing happened.
        trials: How many trials there were, at least one.
        confidence: How often such an interval holds the true rate, between 0 and 1.

    Returns:
        The score interval of E. B. Wilson (1927), as rates between 0 and 1.

    Raises:
        ValueError: There were no trials, or more was seen than tried.
    """
    _check(seen, trials)
    z = NormalDist().inv_cdf((1 + confidence) / 2)
    rate = seen / trials
    centre = rate + z * z / (2 * trials)
    reach = z * sqrt(rate * (1 - rate) / trials + (z / (2 * trials)) ** 2)
    scale = 1 + z * z / trials
    # Rounding alone would leave 1e-18 where the interval touches an end.
    low = 0.0 if seen == 0 else (centre - reach) / scale
    high = 1.0 if seen == trials else (centre + reach) / scale
    return Interval(low, high)


def bound_when_none_seen(trials: int, *, confidence: float = CONFIDENCE) -> float:
    """Give the largest true rate at which all trials could well have been clean.

    Args:
        trials: How many trials there were, none of which showed the thing.
        confidence: How sure the bound is to lie above the true rate, between 0 and 1.

    Returns:
        The exact bound `1 - (1 - confidence) ** (1 / trials)`, just under 3 / trials: Clopper
        and Pearson's one-sided limit for a count of zero.

    Raises:
        ValueError: There were no trials.
    """
    _check(0, trials)
    return float(1 - (1 - confidence) ** (1 / trials))


def percentile(values: Iterable[float], percent: float) -> float:
    """Give the value that `percent` of the measurements do not exceed.

    Args:
        values: Measurements, all in one unit; at least one.
        percent: From 0 (the smallest) to 100 (the largest).

    Returns:
        The percentile in the unit of the measurements, interpolated between neighbours.

    Raises:
        ValueError: There are no measurements, or `percent` is out of range.
    """
    measured = np.fromiter(values, dtype=float)
    if measured.size == 0:
        raise ValueError("no measurements, hence no percentile")
    return float(np.percentile(measured, percent))


def spread(values: Iterable[float]) -> Spread:
    """Give the median of some measurements and the quartiles around it.

    Args:
        values: Measurements, all in one unit; at least one.

    Returns:
        Median and quartiles in the unit of the measurements.

    Raises:
        ValueError: There are no measurements.
    """
    measured = list(values)
    return Spread(
        median=percentile(measured, 50),
        low=percentile(measured, 25),
        high=percentile(measured, 75),
    )


def worded_rate(seen: int, trials: int, unit: str) -> str:
    """Word a count so that it can't be read as more than it is.

    Args:
        seen: In how many trials the thing happened.
        trials: How many trials there were, at least one.
        unit: What a trial was, in the plural: "rounds", "schedules".

    Returns:
        "0 in 1,200 rounds (at most 0.25%, 95% confidence)" where nothing was seen, else
        "3 in 50 rounds (6.0%, 95% interval 2.1 to 16.2%)".

    Raises:
        ValueError: There were no trials, or more was seen than tried.
    """
    _check(seen, trials)
    counted = f"{seen:,} in {trials:,} {unit}"
    if seen == 0:
        return f"{counted} (at most {_percent(bound_when_none_seen(trials))}%, 95% confidence)"
    low, high = wilson(seen, trials)
    rate, low_, high_ = (f"{100 * share:.1f}" for share in (seen / trials, low, high))
    return f"{counted} ({rate}%, 95% interval {low_} to {high_}%)"


def _three_digits(value: float) -> str:
    # 0.0123, 12.3, 123 and 1,234: never in scientific notation.
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"  # noqa: PLR2004 - three digits


def _percent(rate: float) -> str:
    # Two significant digits, never in scientific notation: 95, 5.8, 0.25, 0.000030.
    return np.format_float_positional(100 * rate, precision=2, fractional=False, trim="-")


def _check(seen: int, trials: int) -> None:
    if trials < 1:
        raise ValueError(f"a rate needs at least one trial, not {trials}")
    if not 0 <= seen <= trials:
        raise ValueError(f"{seen} of {trials} is no count of trials")
