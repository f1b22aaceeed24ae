"""Thresholds: conditions on a result, in the manner of k6."""

from __future__ import annotations

import pytest

from experiments.thresholds import BadThreshold, Threshold

RESULT = {"booked": 1, "conflict": 19, "rate": 0.05, "strategy": "advisory"}


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


@pytest.mark.parametrize("written", ["", "booked", "booked=1", "booked==one", "==1", "a b==1"])
def test_what_is_no_threshold_is_refused(written: str) -> None:
    """A typing error never becomes a threshold that always holds."""
    with pytest.raises(BadThreshold, match="is no threshold"):
        Threshold.parse(written)


@pytest.mark.parametrize("written", ["boked==1", "strategy==1"])
def test_a_number_that_the_result_lacks_is_an_error(written: str) -> None:
    """A misspelt name fails loudly and says which numbers there are."""
    with pytest.raises(BadThreshold, match="booked, conflict, rate"):
        Threshold.parse(written).holds(RESULT)
