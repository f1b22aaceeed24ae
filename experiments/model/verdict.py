"""What the notebook claims: what must hold whenever it runs, and what this machine showed.

Only the first may fail a run. How close the model came is a matter of timing, and a machine that
has something else to do at that moment is no fault of the model's; so that is shown, with the
targets beside it, and decides nothing.
"""

from __future__ import annotations

from math import inf
from typing import TYPE_CHECKING

import pandas as pd

from experiments.model.law import law, mean_value
from experiments.model.sharding import crossing_share
from experiments.model.simulate import simulate
from experiments.scenes.catalogue import find_strategy
from experiments.show.verdicts import Verdicts

if TYPE_CHECKING:
    from experiments.model.plans import Plan
    from experiments.model.validation import Validation

THROUGHPUT, LATENCY, FACTOR = 15.0, 30.0, 1.25
SALE_S = 30.0


def targets(validation: Validation, sale_seconds: float) -> pd.DataFrame:
    """Compare what was seen with what was aimed at.

    Args:
        validation: What was seen.
        sale_seconds: How long a simulated sale took, on average.
    """
    held_out = validation.errors().iloc[0]
    ranking, factors = validation.ranking(), validation.slow_factors()
    separated, agreed = int(ranking["separated"].sum()), int(ranking["agreed"].sum())
    off = [
        _apart(each["factor measured"], each["by the law"])
        for each in factors.to_dict("records")
        if find_strategy(each["strategy"]).traits.round_trips == 1
    ]
    rows = [
        ("median error of throughput, cells kept out of the fitting, %",
         f"at most {THROUGHPUT:.0f}", f"{held_out['throughput, %']:.1f}",
         held_out["throughput, %"] <= THROUGHPUT),
        ("median error of the 95th percentile of latency, likewise, %",
         f"at most {LATENCY:.0f}", f"{held_out['95th percentile, %']:.1f}",
         held_out["95th percentile, %"] <= LATENCY),
        ("pairs of strategies that the measurement separates, in the model's order",
         "all", f"{agreed} of {separated}", agreed == separated),
        ("one round trip against one by one: factor measured over the law's",
         f"within {FACTOR:g}", f"within {max(off, default=1.0):.2f}",
         max(off, default=1.0) <= FACTOR),
        ("seconds to simulate a sale, on average over the strategies",
         f"under {SALE_S:.0f}", f"{sale_seconds:.1f}",
         sale_seconds < SALE_S),
    ]  # fmt: skip
    return pd.DataFrame(
        [(what, aim, seen, "yes" if met else "no") for what, aim, seen, met in rows],
        columns=["what", "aimed at", "seen in this run", "met"],
    )


def _apart(one: float, other: float) -> float:
    """By which factor two numbers differ; without end where a busy machine answered nobody."""
    return max(one, other) / min(one, other) if 0 < min(one, other) < inf else inf


def judge(
    notebook: str, plan: Plan, validation: Validation, sale: pd.DataFrame, clients: int
) -> Verdicts:
    """Return the claims that hold on any machine, or fail the run.

    Args:
        notebook: The notebook's name.
        plan: What was to be measured.
        validation: What was seen.
        sale: As `beyond.on_sale` returns it.
        clients: How many clients there were in it.
    """
    verdicts = Verdicts(notebook)
    tried = [name for name in plan.strategies if name not in validation.skipped]
    expected = len(plan.settings()) * len(tried)
    verdicts.add(
        "Every cell of the plan was measured and simulated, and stands in the table",
        held=len(validation.frame) == expected,
        evidence=f"{len(validation.frame)} of {expected} cells",
    )
    half = int(validation.frame["held_out"].sum())
    verdicts.add(
        "Half of the cells were kept out of the fitting",
        held=half == expected // 2,
        evidence=f"{half} of {expected}",
    )
    verdicts.add(
        "While all that was measured nobody booked a slot twice",
        held=validation.double_bookings == 0,
        evidence="overlapping pairs in the database: " + str(validation.double_bookings),
    )
    cells = [cell for cell, _ in plan.cells(validation.calibration)][: len(tried)]
    again = [
        [simulate(cell, validation.calibration, seed=plan.seed).ended.tolist() for _ in range(2)]
        for cell in cells
    ]
    verdicts.add(
        "The same seed gives the same answers",
        held=all(one == other for one, other in again),
        evidence=f"{len(cells)} strategies, each simulated twice, to the last answer's instant",
    )
    doubted = [
        cell for cell in cells if law(cell, validation.calibration).mean_value
        > law(cell, validation.calibration).most * (1 + 1e-9)
    ]  # fmt: skip
    verdicts.add(
        "Mean value analysis stays below the bounds, and alone it is the bound",
        held=not doubted and mean_value([0.5], 0.5, 1) == 1.0,
        evidence=f"{len(cells)} cells",
    )
    once = sale[sale["booked"] == 1]
    verdicts.add(
        "However many want it, one gets it: in the simulated sale too",
        held=len(once) == len(sale),
        evidence=f"{clients:,} clients, with and without a queue in front",
        trials=len(sale),
        failures=len(sale) - len(once),
        unit="simulated sales",
    )
    verdicts.add(
        "On one node nothing crosses; on n nodes 1 - 1/n of all bookings of two calendars",
        held=crossing_share(1000, 1) == 0.0 and abs(crossing_share(10**6, 4) - 0.75) < 1e-6,  # noqa: PLR2004 - as worked out by hand
        evidence="0 on one node, 75 % on four",
    )
    return verdicts
