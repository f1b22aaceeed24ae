"""Which strategy when: what each claims, beside what it did under load.

Rates and times are relative to the default strategy's in the same run, since the milliseconds of
one machine say nothing about another's. Nothing here decides a verdict.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from booking_core.strategies import DEFAULT
from experiments.scenes.choosing import choose_when

if TYPE_CHECKING:
    from experiments.load.endurance import Endurance
    from experiments.waiting.waiting import Waiting

NEVER = "none"


def which_when(endurance: Endurance, waiting: Waiting) -> pd.DataFrame:
    """Return one row a strategy: when to choose it, what it claims, and how it did.

    Args:
        endurance: The mixed loads.
        waiting: Where the time of requests for one calendar went.
    """
    loads = endurance.frame.set_index("strategy")
    parts = waiting.parts().set_index("strategy")
    default = loads.loc[DEFAULT.name] if DEFAULT.name in loads.index else None
    rows = []
    for strategy in endurance.strategies:
        load = loads.loc[strategy.name]
        traits = strategy.traits
        faults = load["double_bookings"] + load["dishonest_replies"]
        row = {
            "strategy": strategy.name + " (default)" * (strategy.name == DEFAULT.name),
            "choose when": choose_when(strategy),
            "held": "NO" if faults else "yes",
            "makes wait": "nobody" if traits.neighbours_wait == NEVER else traits.neighbours_wait,
            "says busy": "yes" if traits.may_answer_busy else "no",
        }
        if default is not None:
            row["a second"] = f"{load['per_second'] / default['per_second']:.2f}"
            row["p95"] = f"{load['p95_ms'] / default['p95_ms']:.2f}"
        if strategy.name in parts.index:
            part = parts.loc[strategy.name]
            for column, words in (("lock_ms", "lock"), ("pool_ms", "pool")):
                row[words] = f"{part[column] / part['latency_ms']:.0%}"
        rows.append(row)
    return pd.DataFrame(rows)
