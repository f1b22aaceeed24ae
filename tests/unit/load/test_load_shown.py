"""What the load page shows and concludes: nothing that speaks against a claim gets lost."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from booking_core.strategies import DEFAULT, STRATEGIES, Strategy
from booking_core.strategies.advisory import AdvisoryTry
from experiments.bench.curves import apart, latency, throughput
from experiments.load.choice import which_when
from experiments.load.endurance import Endurance
from experiments.report import profiles
from experiments.scenes.choosing import choose_when
from experiments.scenes.exhibits import NoLock
from experiments.show.verdicts import Verdicts
from experiments.waiting.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.figure import Figure

LEAST = 500_000
CLEAN = {
    "requests": 50, "booked": 20, "cancelled": 10, "moved": 5, "listed": 0, "conflicts": 15,
    "busy": 0, "errors": 0, "attempts": 1.0, "double_bookings": 0, "dishonest_replies": 0,
    "seconds": 2.0, "per_second": 25.0, "p50_ms": 1.0, "p95_ms": 4.0, "client_cpu_share": 0.5,
}  # fmt: skip


def endurance(wanted: int = 100, **changes: dict[str, float]) -> Endurance:
    """Make up two clean loads and a control that is caught, then change what is named."""
    strategies: list[Strategy] = [DEFAULT(), AdvisoryTry()]
    rows = [
        {"strategy": each.name, "control": False} | CLEAN | changes.get(each.name, {})
        for each in strategies
    ]
    caught = {"strategy": NoLock.name, "control": True} | CLEAN | {"double_bookings": 3}
    rows.append(caught | changes.get(NoLock.name, {}))
    return Endurance(strategies, [NoLock()], {}, wanted, pd.DataFrame(rows))


def failed(seen: Endurance) -> list[int]:
    """Return the places of the claims that did not hold."""
    verdicts = Verdicts("test")
    seen.record(verdicts)
    assert len(verdicts.all) == 5
    return [place for place, each in enumerate(verdicts.all) if not each.held]


def test_clean_loads_and_a_caught_control_make_all_claims_hold() -> None:
    """The control of all the following; a strategy that may say busy may say it."""
    assert failed(endurance()) == []
    assert failed(endurance(advisory_try={"busy": 9, "conflicts": 6})) == []


@pytest.mark.parametrize(
    ("name", "change", "broken"),
    [
        ("advisory", {"requests": 49}, [0]),
        ("advisory", {"moved": 0}, [0]),
        ("advisory_try", {"double_bookings": 1}, [1]),
        ("advisory_try", {"double_bookings": 5000}, [1]),
        ("advisory", {"dishonest_replies": 1}, [2]),
        ("advisory", {"busy": 1}, [3]),
        ("advisory_try", {"errors": 1}, [3]),
        ("no_lock", {"double_bookings": 0}, [4]),
        ("no_lock", {"double_bookings": 0, "dishonest_replies": 1}, []),
        ("no_lock", {"requests": 1, "moved": 0, "errors": 40}, []),
    ],
)
def test_whatever_breaks_a_promise_fails_its_claim(
    name: str, change: dict[str, float], broken: list[int]
) -> None:
    """A fault fails the claim that it contradicts and no other; a control's faults are wanted."""
    assert failed(endurance(**{name: change})) == broken


def test_the_table_adds_up_what_was_tested_and_keeps_controls_apart() -> None:
    """A reader finds the total of the requests that the verdicts rest on."""
    table = endurance().table()
    assert list(table["strategy"]) == [
        "advisory",
        "advisory_try",
        "all under test",
        "no_lock (control)",
    ]
    assert list(table["requests"]) == [50, 50, 100, 50]
    assert list(table["double bookings"]) == [0, 0, 0, 3]
    assert "errors" in table  # shown although there are none
    assert "listed" not in table


def test_the_full_profile_loads_every_sound_strategy_with_half_a_million_requests() -> None:
    """What the page promises of the full profile is what its parameters say."""
    (planned,) = [each for each in profiles.load("full").notebooks if each.name == "05_load"]
    assert planned.parameters["requests"] >= LEAST
    assert set(planned.parameters["strategies"]) == set(STRATEGIES)
    assert planned.parameters["exhibits"]


def test_which_strategy_when_is_told_from_what_was_measured() -> None:
    """Ratios to the default, shares of the latency, and a fault shows as NO."""
    rounds = pd.DataFrame(
        {
            "strategy": ["advisory", "advisory_try"],
            "attempts": 1.0,
            "latency_ms": 10.0,
            "lock_ms": [4.0, 0.0],
            "pool_ms": [5.0, 1.0],
            "pause_ms": 0.0,
            "work_ms": [1.0, 9.0],
        }
    )
    waiting = Waiting(pd.DataFrame(), rounds, pd.DataFrame(), {})
    seen = endurance(advisory_try={"per_second": 50.0, "p95_ms": 2.0, "dishonest_replies": 1})
    default, other = which_when(seen, waiting).to_dict("records")
    assert default["strategy"] == "advisory (default)"
    assert default["choose when"] == choose_when(DEFAULT())
    assert [default[each] for each in ("held", "a second", "lock", "pool")] == [
        "yes",
        "1.00",
        "40%",
        "50%",
    ]
    assert [other[each] for each in ("held", "a second", "p95", "lock", "says busy")] == [
        "NO",
        "2.00",
        "0.50",
        "0%",
        "yes",
    ]


def curves() -> pd.DataFrame:
    """Make up a strategy and pgbench at two numbers of clients, which end close to each other."""
    rows = [
        {
            "workload": "hot_slot", "contender": contender, "clients": clients,
            "per_second": rate, "per_second_low": rate, "per_second_high": rate,
            "latency_ms": 1000 * clients / rate, "latency_ms_low": 1000 * clients / rate,
            "latency_ms_high": 1000 * clients / rate,
        }
        for contender, clients, rate in (
            ("pgbench:function", 1, 3000.0), ("pgbench:function", 20, 9000.0),
            ("service:function", 1, 1000.0), ("service:function", 20, 8990.0),
        )
    ]  # fmt: skip
    return pd.DataFrame(rows)


@pytest.mark.parametrize("draw", [throughput, latency])
def test_each_line_is_named_where_it_ends(draw: Callable[[pd.DataFrame], Figure]) -> None:
    """Nobody has to match colours with a legend, and no name stands on another."""
    (axis,) = draw(curves()).axes
    named = {text.get_text(): text.xyann[1] for text in axis.texts if text.get_alpha() != 0}
    assert named.keys() == {"function", "pgbench: function"}
    heights = sorted(named.values())
    assert heights[1] - heights[0] > 0.04
    styles = {(line.get_color(), line.get_linestyle(), line.get_marker()) for line in axis.lines}
    assert len({style[1:] for style in styles if style[2] not in ("", "None")}) == 2


@given(st.lists(st.floats(0, 1), min_size=1, max_size=12), st.floats(0.01, 0.2))
def test_names_keep_their_order_and_their_distance(places: list[float], gap: float) -> None:
    """However close lines end, their names can be read, and stand around where they end."""
    moved = apart(sorted(places), gap)
    assert all(upper - lower >= gap - 1e-9 for lower, upper in pairwise(moved))
    assert sum(moved) == pytest.approx(sum(places))


def test_names_that_have_room_stay_where_they_are() -> None:
    """What need not be moved is not."""
    assert apart([0.1, 0.5, 0.9], 0.1) == [0.1, 0.5, 0.9]
