"""What replies amount to: every one counted once, every duration from when it was due."""

from __future__ import annotations

import numpy as np
import pytest
from replies import Told

from experiments.judge.ledger import Judgement
from experiments.load.measurements import ENDS, NOUNS, blank, in_words, measure, outcomes
from experiments.load.metrics import Counter, Metric, Trend
from experiments.load.plan import OPERATIONS, Plan
from experiments.load.replies import OUTCOMES


def _count(metrics: dict[str, Metric], name: str) -> float:
    return metrics[name].aggregate("count")


def _measured(told: Told, **plan: object) -> dict[str, Metric]:
    return measure(Plan(**plan), [], told.replies, Judgement())  # type: ignore[arg-type]  # by name


@pytest.mark.parametrize("outcome", OUTCOMES)
def test_every_reply_to_a_booking_has_one_end(outcome: str) -> None:
    """So successes, conflicts, busy and errors always add up to the iterations."""
    told = Told()
    told.add("book", outcome)
    metrics = _measured(told)
    ends = [_count(metrics, f"booking_{end}") for end in ENDS]
    assert sorted(ends) == [0, 0, 0, 1]
    assert _count(metrics, "iterations") == 1
    assert metrics["iterations_failed"].aggregate("rate") == ends[ENDS.index("errors")]


def test_a_mix_is_counted_by_operation_and_adds_up() -> None:
    """The counters of all operations together are the iterations."""
    told = Told()
    for operation in OPERATIONS:
        for outcome in OUTCOMES:
            told.add(operation, outcome)
    metrics = _measured(told)
    counts = {f"{noun}_{end}": 0.0 for noun in NOUNS.values() for end in ENDS}
    counts = {name: _count(metrics, name) for name in counts}
    assert len(OPERATIONS) * len(OUTCOMES) == sum(counts.values()) == _count(metrics, "iterations")
    assert counts["cancel_conflicts"] == 1
    assert {"list: booked": 1, "book: deadlock": 1}.items() <= outcomes(told.replies).items()


def test_durations_count_from_when_an_iteration_was_due() -> None:
    """Who begins 50 ms late because of others has waited for 50 ms (no coordinated omission)."""
    told = Told()
    told.add("book", "booked", late=50, took=10)
    told.add("cancel", "cancelled", took=10)
    metrics = _measured(told)
    assert metrics["booking_duration"].aggregate("max") == pytest.approx(60)
    assert metrics["cancel_duration"].aggregate("max") == pytest.approx(10)
    assert metrics["iteration_duration"].aggregate("avg") == pytest.approx(35)
    assert metrics["iteration_delay"].aggregate("max") == pytest.approx(50)
    assert pytest.approx([10, 60]) == sorted(in_words(told.replies)["latency_ms"])


def test_percentiles_agree_with_those_of_all_values() -> None:
    """Three significant digits of an HDR histogram are as good as a sorted list."""
    nanoseconds = np.random.default_rng(1).lognormal(15, 1.5, 10_000).astype(np.int64)
    trend = Trend.of(nanoseconds)
    for percent in (1, 50, 90, 95, 99, 99.9):
        low, high = (
            np.percentile(nanoseconds, percent, method=method) / 1e6
            for method in ("lower", "higher")
        )
        assert low * 0.998 <= trend.percentile(percent) <= high * 1.002
    assert trend.aggregate("avg") == pytest.approx(nanoseconds.mean() / 1e6)
    assert trend.aggregate("max") == nanoseconds.max() / 1e6


def test_release_skew_is_measured_on_the_first_requests_alone() -> None:
    """How far apart the users started, and what that is beside the latency."""
    told = Told()
    told.add("book", "booked", vu=0, number=1, at=0, took=10)
    told.add("book", "conflict", vu=1, number=1, at=2, took=10)
    told.add("book", "conflict", vu=1, number=2, at=50, took=10)
    metrics = _measured(told)
    assert metrics["release_skew_us"].aggregate("value") == 2000
    assert metrics["release_skew_share"].aggregate("value") == pytest.approx(0.2)
    open_loop = _measured(told, executor="constant-arrival-rate", rate=1.0)
    assert "release_skew_us" not in open_loop


def test_a_counter_that_was_never_touched_is_zero() -> None:
    """All metrics exist before anything happens, so thresholds can be checked beforehand."""
    metrics = blank(Plan())
    assert {0} == {
        metric.aggregate("count") for metric in metrics.values() if isinstance(metric, Counter)
    }
    assert metrics["double_bookings"].aggregate("value") == 0
