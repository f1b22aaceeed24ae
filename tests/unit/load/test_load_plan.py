"""A plan that makes no load is refused in a sentence, before anything starts."""

from __future__ import annotations

import pytest

from booking_core.strategies import DEFAULT, Strategy
from experiments.load.feasibility import check_connections, feasible
from experiments.load.plan import Plan
from experiments.scenes.parameters import BadExperiment


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"vus": 0}, "vus is 0; it must lie between 1 and 1000"),
        ({"iterations": 0}, "iterations is 0"),
        ({"hold_ms": float("nan")}, "hold_ms is nan"),
        ({"staff": 10_001}, "staff is 10001"),
        ({"pool_size": 0}, "pool_size is 0"),
        ({"executor": "ramping-vus"}, "There is no executor 'ramping-vus'"),
        ({"executor": "constant-vus"}, "constant-vus needs duration_s"),
        ({"executor": "constant-arrival-rate", "duration_s": 1}, "needs rate"),
        ({"rate": 5}, "per-vu-iterations has no rate"),
        ({"max_vus": 200}, "per-vu-iterations has no max_vus"),
        ({"executor": "constant-vus", "duration_s": 1, "iterations": 2}, "has no iterations"),
        (
            {"executor": "constant-arrival-rate", "duration_s": 1, "rate": 5, "max_vus": 50},
            "max_vus is 50, less than vus, which is 100",
        ),
        ({"skew": "normal"}, "There is no skew 'normal'"),
        ({"mix": {"books": 1}}, "There is no operation 'books'"),
        ({"mix": {"book": 0}}, "one is not 0"),
        ({"mix": {"book": -1}}, "weight of each operation lies between 0"),
        ({"mix": {"book": float("inf")}}, "weight of each operation lies between 0"),
        ({"mix": {"book": 1, "reschedule": 1}}, "nowhere to reschedule to"),
        ({"vus": 2, "processes": 3}, "3 processes need a VU and a connection each"),
        ({"pool_size": 1, "processes": 2}, "there are 100 VUs and 1 connections"),
    ],
)
def test_what_makes_no_load_is_refused_in_a_sentence(
    parameters: dict[str, object], said: str
) -> None:
    """The message names the value and what would do."""
    with pytest.raises(BadExperiment, match=said):
        feasible(Plan(**parameters), DEFAULT())  # type: ignore[arg-type]  # that is the point


def test_a_server_must_allow_as_many_connections_as_the_users_share() -> None:
    """A pool makes do with fewer."""
    with pytest.raises(BadExperiment, match="100 connections for the VUs and 8 to spare are 108"):
        check_connections(Plan(), 100)
    check_connections(Plan(pool_size=20), 100)


def test_a_strategy_that_others_cannot_import_stays_in_this_process() -> None:
    """As one that was written in a notebook; asked for more processes, it is refused."""

    class Local(Strategy):
        name = "local"

    assert feasible(Plan(), Local()).crew == 1
    with pytest.raises(BadExperiment, match="can't import the strategy local"):
        feasible(Plan(processes=2), Local())


@pytest.mark.parametrize("amount", [2, 5, 100])
def test_users_and_connections_are_divided_among_processes_without_a_rest(amount: int) -> None:
    """Every process has one at least, and all of them together have them all."""
    plan = Plan(processes=2)
    shares = [plan.divided(amount, process) for process in range(2)]
    assert amount == sum(shares)
    assert max(shares) - min(shares) <= 1
