"""The summary: k6's JSON for programs, k6's text for people."""

from __future__ import annotations

import json

import pytest
from replies import Told

from experiments.judge.ledger import Judgement
from experiments.load import measurements, summary
from experiments.load.load import LoadResult
from experiments.load.plan import Plan
from experiments.load.thresholds import Threshold

THRESHOLDS = [
    Threshold.parse(written)
    for written in (
        "booking_successes:count==1",
        "booking_conflicts:count==99",
        "booking_duration:p(95)<200",
        "booking_successes + booking_conflicts == iterations",
        "double_bookings==0",
        "list_errors:count==0",
    )
]


@pytest.fixture
def result() -> LoadResult:
    """Two bookings and a conflict, none of them real."""
    told = Told()
    told.add("book", "booked", took=10)
    told.add("book", "booked", took=0.5)
    told.add("book", "conflict", took=1500)
    return LoadResult(
        strategy="advisory",
        plan=Plan(vus=3),
        metrics=measurements.measure(Plan(vus=3), [], told.replies, Judgement()),
        seconds=measurements.lasted(told.replies),
        outcomes=measurements.outcomes(told.replies),
        details={"error": "something went wrong"},
        settings={"fsync": "on"},
        replies=told.replies,
    )


def test_the_json_has_the_shape_of_k6(result: LoadResult) -> None:
    """What reads k6's summary reads this one."""
    told = json.loads(json.dumps(summary.as_dict(result, THRESHOLDS), allow_nan=False))
    assert {"metrics", "state", "options", "root_group"} <= told.keys()
    assert told["state"]["testRunDurationMs"] == pytest.approx(1500)
    successes = told["metrics"]["booking_successes"]
    assert successes["type"] == "counter"
    assert successes["contains"] == "default"
    assert successes["values"]["count"] == 2
    assert successes["thresholds"] == {
        "count==1": {"ok": False},
        "booking_successes + booking_conflicts == iterations": {"ok": True},
    }
    duration = told["metrics"]["booking_duration"]
    assert (duration["type"], duration["contains"]) == ("trend", "time")
    assert told["options"]["summaryTrendStats"] == list(duration["values"])
    assert duration["thresholds"] == {"p(95)<200": {"ok": False}}
    assert told["metrics"]["double_bookings"]["thresholds"] == {"double_bookings==0": {"ok": True}}
    assert {"value", "min", "max"} == told["metrics"]["vus"]["values"].keys()
    assert {"rate", "passes", "fails"} == told["metrics"]["iterations_failed"]["values"].keys()
    assert told["load"]["plan"]["vus"] == 3


def test_what_nobody_asked_for_is_left_out_unless_a_threshold_names_it(result: LoadResult) -> None:
    """As k6 leaves out what was never measured."""
    told = summary.as_dict(result, THRESHOLDS)["metrics"]
    assert "list_errors" in told
    assert {"list_duration", "list_successes", "cancel_successes"}.isdisjoint(told)


def test_the_text_begins_with_the_thresholds(result: LoadResult) -> None:
    """Each with a mark and the value that was seen, then metrics on dotted lines."""
    text = summary.as_text(result, THRESHOLDS)
    lines = text.splitlines()
    assert "THRESHOLDS" in lines[0]
    assert "    ✗ 'count==1' count=2" in lines
    assert "    ✓ 'double_bookings==0' double_bookings=0" in lines
    across = "booking_successes + booking_conflicts"
    assert f"    ✓ '{across} == iterations' {across}=3 iterations=3" in lines
    (successes,) = [line for line in lines if line.startswith("    booking_successes..")]
    assert successes.endswith("/s")
    (duration,) = [line for line in lines if line.startswith("    booking_duration..")]
    assert "min=500µs" in duration
    assert "max=1.5s" in duration
    assert "something went wrong" in text


def test_a_load_is_one_row_of_a_table(result: LoadResult) -> None:
    """What a notebook needs to compare loads, and every reply if it wants them."""
    row = result.row()
    assert row["per_second"] == pytest.approx(2)
    assert row["booking_duration_max_ms"] == 1500
    assert row["booking_conflicts"] == 1
    assert "list_duration_p50_ms" not in row
    requests = result.requests()
    assert requests["outcome"].tolist() == ["booked", "booked", "conflict"]
