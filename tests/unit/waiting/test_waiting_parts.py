"""Where a request's time went: the parts add up, and nothing is attributed twice."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.waiting.waiting import PARTS, divide

milliseconds = st.floats(0, 1e5)
requests = st.lists(st.tuples(milliseconds, milliseconds, milliseconds), min_size=1, max_size=20)


@given(requests, st.floats(0, 1e7))
def test_the_parts_add_up_to_the_latency(
    seen: list[tuple[float, float, float]], lock_ms: float
) -> None:
    """Whatever was sampled: no part is negative, and their sum is the client's latency."""
    frame = pd.DataFrame(
        [(pool + pause + inside, pool, pause) for pool, pause, inside in seen],
        columns=["latency_ms", "pool_ms", "pause_ms"],
    )
    divided = divide(frame, lock_ms)

    assert sum(divided[part] for part in PARTS) == pytest.approx(divided["latency_ms"])
    assert all(divided[part] >= -1e-6 for part in PARTS)


def test_what_was_waited_for_locks_is_shared_by_all_requests() -> None:
    """Three requests that waited 30 ms together waited 10 each; the rest was work."""
    frame = pd.DataFrame({"latency_ms": [40.0] * 3, "pool_ms": [5.0] * 3, "pause_ms": [1.0] * 3})

    assert divide(frame, 30.0) == {
        "latency_ms": 40.0,
        "lock_ms": 10.0,
        "pool_ms": 5.0,
        "pause_ms": 1.0,
        "work_ms": 24.0,
    }
