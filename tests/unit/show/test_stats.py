"""The intervals keep their promise: they hold the true rate as often as they say."""

import statistics
from math import comb, isclose, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.show.stats import (
    bound_when_none_seen,
    percentile,
    spread,
    wilson,
    worded_rate,
)

Z = 1.959963984540054  # the two-sided 95% point of the normal distribution, from tables

counts = st.integers(1, 10_000).flatmap(
    lambda trials: st.tuples(st.integers(0, trials), st.just(trials))
)
measurements = st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=50)


@pytest.mark.parametrize(
    ("seen", "trials", "low", "high"),
    [
        (81, 263, 0.2553, 0.3662),
        (15, 148, 0.0624, 0.1605),
        (0, 20, 0.0000, 0.1611),
        (1, 29, 0.0061, 0.1718),
    ],
)
def test_wilson_agrees_with_the_published_table(
    seen: int, trials: int, low: float, high: float
) -> None:
    """Newcombe (1998), table I, method 3, prints these to four digits."""
    assert wilson(seen, trials) == pytest.approx((low, high), abs=5e-5)


@given(counts)
def test_wilson_ends_where_the_score_test_stops_rejecting(count: tuple[int, int]) -> None:
    """Each end is a true rate whose distance to what was seen is exactly z standard errors."""
    seen, trials = count
    rate = seen / trials
    interval = wilson(seen, trials)
    assert 0 <= interval.low <= rate <= interval.high <= 1
    for end in interval:
        if 0 < end < 1:
            assert isclose(abs(rate - end), Z * sqrt(end * (1 - end) / trials), rel_tol=1e-6)


@pytest.mark.parametrize("true_rate", [0.001, 0.05, 0.5])
def test_wilson_covers_the_true_rate_about_as_often_as_it_says(true_rate: float) -> None:
    """Over everything that 400 trials can show, weighted by chance, 95% of intervals hold it."""
    trials = 400
    covered = sum(
        comb(trials, seen) * true_rate**seen * (1 - true_rate) ** (trials - seen)
        for seen in range(trials + 1)
        if wilson(seen, trials).low <= true_rate <= wilson(seen, trials).high
    )
    assert 0.93 < covered < 0.995


@given(st.integers(1, 100_000))
def test_at_the_zero_bound_all_clean_has_a_chance_of_five_percent(trials: int) -> None:
    """The bound is exact, and the rule of three lies just above it."""
    bound = bound_when_none_seen(trials)
    assert isclose((1 - bound) ** trials, 0.05, rel_tol=1e-6)
    assert bound < 3 / trials


@given(measurements)
def test_spread_is_the_median_and_the_quartiles(values: list[float]) -> None:
    """The standard library computes the same from its own formula."""
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    expected = pytest.approx((low, median, high), rel=1e-9, abs=1e-6)
    seen = spread(values)
    assert (seen.low, seen.median, seen.high) == expected


@given(measurements, st.integers(1, 99))
def test_percentile_agrees_with_the_standard_library(values: list[float], percent: int) -> None:
    """Percentiles are interpolated between the two nearest measurements."""
    expected = statistics.quantiles(values, n=100, method="inclusive")[percent - 1]
    assert percentile(values, percent) == pytest.approx(expected, rel=1e-9, abs=1e-6)


@pytest.mark.parametrize(
    ("seen", "trials", "words"),
    [
        (0, 1200, "0 in 1,200 rounds (at most 0.25%, 95% confidence)"),
        (0, 1, "0 in 1 rounds (at most 95%, 95% confidence)"),
        (0, 10_000_000, "0 in 10,000,000 rounds (at most 0.00003%, 95% confidence)"),
        (3, 50, "3 in 50 rounds (6.0%, 95% interval 2.1 to 16.2%)"),
        (50, 50, "50 in 50 rounds (100.0%, 95% interval 92.9 to 100.0%)"),
    ],
)
def test_a_count_is_worded_with_what_it_leaves_possible(seen: int, trials: int, words: str) -> None:
    """Zero seen is never worded as zero, and no number turns into scientific notation."""
    assert worded_rate(seen, trials, "rounds") == words


def test_a_spread_is_worded_as_median_and_quartiles() -> None:
    """Timings are told with their spread."""
    assert str(spread([10.0, 11.0, 12.0, 13.0, 14.0])) == "12 (11 to 13)"
    assert str(spread([0.012345])) == "0.0123 (0.0123 to 0.0123)"
    assert str(spread([98_765.4])) == "98,765 (98,765 to 98,765)"


@pytest.mark.parametrize(("seen", "trials"), [(0, 0), (3, 2), (-1, 2)])
def test_an_impossible_count_is_refused(seen: int, trials: int) -> None:
    """No rate is made up from nothing."""
    with pytest.raises(ValueError, match=r"trial"):
        wilson(seen, trials)


def test_no_measurement_has_no_percentile() -> None:
    """An empty experiment must not pass as one that took no time."""
    with pytest.raises(ValueError, match="no measurements"):
        spread([])
