"""Whether a plan makes a load: what is wrong with it is said before anything starts."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from experiments.load.plan import EXECUTORS, OPERATIONS, SKEWS, WORKLOADS, Plan
from experiments.load.world_workload import REQUESTED
from experiments.race.processes import check_travels, travels
from experiments.race.race import SPARE_CONNECTIONS
from experiments.scenes.parameters import (
    BadExperiment,
    check_limits,
    check_weights,
    check_words,
)

if TYPE_CHECKING:
    from booking_core.strategies import Strategy

LIMITS = {
    "vus": (1, 1000),
    "max_vus": (1, 1000),
    "iterations": (1, 1_000_000),
    "duration_s": (0.01, 86_400),
    "rate": (0.01, 100_000),
    "staff": (1, 10_000),
    "days": (1, 300),
    "processes": (1, 64),
    "pool_size": (1, 1000),
    "hold_ms": (0, 60_000),
    "offers": (0, 100),
}


def feasible(plan: Plan, strategy: Strategy) -> Plan:
    """Return the plan, in one process where the strategy can't travel to others.

    Raises:
        BadExperiment: It makes no load.
    """
    _check_limits(plan)
    check_words("workload", [plan.workload], WORKLOADS)
    _check_mix(plan)
    _check_world(plan)
    _check_executor(plan)
    if plan.most_vus < plan.vus:
        raise BadExperiment(f"max_vus is {plan.max_vus}, less than vus, which is {plan.vus}.")
    if plan.crew > min(plan.vus, plan.connections):
        raise BadExperiment(
            f"{plan.crew} processes need a VU and a connection each; there are {plan.vus} VUs "
            f"and {plan.connections} connections."
        )
    if plan.processes not in (None, 1):
        check_travels(strategy)
    return plan if travels(strategy) else replace(plan, processes=1)


def check_connections(plan: Plan, allowed: int) -> None:
    """Make sure that a server which allows so many connections has enough.

    Raises:
        BadExperiment: It has not.
    """
    needed = plan.connections + SPARE_CONNECTIONS
    if needed > allowed:
        raise BadExperiment(
            f"{plan.connections} connections for the VUs and {SPARE_CONNECTIONS} to spare are "
            f"{needed}; this server allows {allowed}. Use fewer VUs or a smaller pool, or raise "
            "its max_connections."
        )


def _check_limits(plan: Plan) -> None:
    for name, limits in LIMITS.items():
        if (value := getattr(plan, name)) is not None:
            check_limits(name, value, *limits)


def _check_mix(plan: Plan) -> None:
    check_weights("operation", plan.mix, OPERATIONS)
    check_words("skew", [plan.skew], SKEWS)
    if plan.skew == "one_slot" and plan.mix.get("reschedule"):
        raise BadExperiment("With one slot there is nowhere to reschedule to; use another skew.")


def _check_world(plan: Plan) -> None:
    if plan.workload != "world":
        if plan.weights is not None:
            raise BadExperiment("Only the workload world draws pairs by weight.")
        return
    if plan.weights is not None:
        check_weights("dimension", plan.weights, REQUESTED)
    usual = Plan()
    for name in ("staff", "days", "skew", "mix"):
        if getattr(plan, name) != getattr(usual, name):
            raise BadExperiment(f"The workload world has its own salon and requests: no {name}.")


def _check_executor(plan: Plan) -> None:
    check_words("executor", [plan.executor], EXECUTORS)
    counted = plan.executor == "per-vu-iterations"
    open_loop = plan.executor == "constant-arrival-rate"
    for name, fits, needed in (
        ("iterations", counted, False),
        ("duration_s", True, not counted),
        ("rate", open_loop, open_loop),
        ("max_vus", open_loop, False),
    ):
        given = getattr(plan, name) is not None
        if given and not fits:
            raise BadExperiment(f"The executor {plan.executor} has no {name}.")
        if needed and not given:
            raise BadExperiment(f"The executor {plan.executor} needs {name}.")
