"""Thresholds: conditions on a result, in the manner of k6."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.load.metrics import Counter, Gauge, Rate, Trend
from experiments.load.thresholds import BadThreshold, Threshold

RESULT = {"booked": 1, "conflict": 19, "rate": 0.05, "strategy": "advisory"}
METRICS = {
    "successes": Counter(1, 0.5),
    "conflicts": Counter(99, 49.5),
    "iterations": Counter(100, 50.0),
    "failed": Rate(3, 400),
    "vus": Gauge(100, 1, 100),
    "duration": Trend.of(np.arange(1, 101) * 1_000_000),  # 1 to 100 ms
    "idle_duration": Trend.of(np.array([], dtype=np.int64)),
}


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("booked==1", True),
        ("booked != 1", False),
        ("conflict>=19", True),
        ("conflict>19", False),
        ("conflict<=18", False),
        ("conflict<20", True),
        ("rate<0.06", True),
        ("rate<0.05", False),
    ],
)
def test_a_threshold_compares_as_it_reads(written: str, expected: bool) -> None:
    """Every operator does what it says, with blanks around it or without."""
    assert expected is Threshold.parse(written).holds(RESULT)


@pytest.mark.parametrize(
    "written",
    [
        "",
        "booked",
        "booked=1",
        "==1",
        "a b==1",
        "1==1",
        "booked==1==1",
        "booked==True",
        "booked**9==1",
        "booked in (1, 2)",
        "print(1)==1",
        "booked.real==1",
        "__import__('os').getcwd()==1",
        "duration:p(95)",
        "(" * 1000 + "booked==1",
    ],
)
def test_what_is_no_threshold_is_refused(written: str) -> None:
    """A typing error never becomes a threshold that always holds."""
    with pytest.raises(BadThreshold, match="is no threshold"):
        Threshold.parse(written)


@pytest.mark.parametrize("written", ["boked==1", "booked==one", "strategy==1"])
def test_a_number_that_the_result_lacks_is_an_error(written: str) -> None:
    """A misspelt name fails loudly and says which numbers there are."""
    with pytest.raises(BadThreshold, match="booked, conflict, rate"):
        Threshold.parse(written).holds(RESULT)


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        ("successes:count==1", True),
        ("successes:count===1", True),
        ("successes : count != 1", False),
        ("conflicts:rate>49", True),
        ("conflicts:rate>50", False),
        ("failed:rate<0.01", True),
        ("vus:value<=99", False),
        ("vus:min==1", True),
        ("duration:p(95)<95.1", True),
        ("duration:p( 99.5 )<99", False),
        ("duration:avg==50.5", True),
        ("duration:min<1", False),
        ("duration:med<=50.1", True),
        ("duration:max==100", True),
        ("successes + conflicts == iterations", True),
        ("successes + conflicts + 1 == iterations", False),
        ("iterations - conflicts*1 == -(-1)", True),
        ("failed < 1/100", True),
        ("duration:p(99) < 3 * duration:med", True),
        ("duration:max / duration:min == 100", True),
    ],
)
def test_metrics_are_asked_in_the_grammar_of_k6_and_across_each_other(
    written: str, expected: bool
) -> None:
    """Aggregates as in k6, arithmetic beyond it; a bare name means what the metric is about."""
    assert expected is Threshold.parse(written).holds(METRICS)


@pytest.mark.parametrize("written", ["idle_duration:p(95)<200", "idle_duration:p(95)!=200"])
def test_nothing_holds_of_what_never_happened(written: str) -> None:
    """A load in which nobody booked has not booked fast."""
    assert not Threshold.parse(written).holds(METRICS)


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("duration<5", "duration:avg"),
        ("duration:p95<5", "avg, min, med, max, p\\(90\\)"),
        ("duration:p(101)<5", "no aggregate"),
        ("successes:value==1", "count, rate"),
        ("misses:count==0", "There is no number 'misses'"),
        ("successes + misses == 1", "There is no number 'misses'"),
    ],
)
def test_an_aggregate_that_a_metric_lacks_is_an_error_and_never_a_pass(
    written: str, said: str
) -> None:
    """It is found before anything runs, and the message says what there is."""
    with pytest.raises(BadThreshold, match=said):
        Threshold.parse(written).check(METRICS)


def test_a_plain_number_has_no_aggregates() -> None:
    """A race's counts are numbers; k6's form does not pass for them."""
    with pytest.raises(BadThreshold, match="plain number"):
        Threshold.parse("booked:count==1").holds(RESULT)


def test_what_cannot_be_computed_is_an_error() -> None:
    """A division by zero is neither held nor failed."""
    with pytest.raises(BadThreshold, match="division by zero"):
        Threshold.parse("booked / (booked - 1) == 1").holds(RESULT)


def test_a_threshold_tells_what_it_saw() -> None:
    """Each side that names something, with its value."""
    assert Threshold.parse("successes:count==2").seen(METRICS) == {"successes:count": 1}
    seen = Threshold.parse("successes + conflicts == iterations").seen(METRICS)
    assert seen == {"successes + conflicts": 100, "iterations": 100}
    failure = Threshold.parse("booked==2").failure(RESULT)
    assert failure == "threshold failed: booked==2 (booked is 1)"


@pytest.mark.parametrize(
    ("written", "condition"),
    [
        ("successes:count==1", "count==1"),
        (" duration:p(95) < 200 ", "p(95) < 200"),
        ("booked==1", "booked==1"),
        ("vus:value + 1 == 2", "vus:value + 1 == 2"),
        ("vus:value == iterations", "vus:value == iterations"),
    ],
)
def test_only_the_condition_of_one_metric_is_written_without_its_name(
    written: str, condition: str
) -> None:
    """As k6 writes it under the metric."""
    assert condition == Threshold.parse(written).condition
