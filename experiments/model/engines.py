"""Which existing engine one would choose at each scale, and what changes for each strategy there.

The scales are the model's; what the engines do is what their manuals say, to be checked against
the version that is used:

- PgBouncer, "Features": what transaction pooling takes away. Locks of a transaction and prepared
  statements of the protocol (since 1.21) stay; locks of a session do not.
- PostgreSQL, "Transactions", PREPARE TRANSACTION; "Limitations" of partitioned tables.
- Citus, "SQL support and workarounds": SELECT … FOR UPDATE within one shard; unique and exclusion
  constraints include the distribution column.
- YugabyteDB, "Explicit locking", "Concurrency control"; CockroachDB, "PostgreSQL compatibility",
  "Transaction retry error reference": conflicts end in 40001 and clients try again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from experiments.model.cells import Cell
from experiments.model.law import law

if TYPE_CHECKING:
    from experiments.model.beyond import Model

ENGINES = {
    "one PostgreSQL": "nothing: every strategy as measured here",
    "a bigger PostgreSQL, and a pooler": (
        "locks of a transaction go through a pooler in transaction mode, locks of a session don't; "
        "send statements together, or a connection is held for each round trip"
    ),
    "PostgreSQL sharded by staff (Citus, or by the program)": (
        "keep one calendar's rows on one shard and all strategies hold there; advisory locks are "
        "a node's own; a constraint must contain the shard's key (staff_id WITH = does); a booking "
        "of two calendars may need two-phase commit, with both locks held meanwhile"
    ),
    "a distributed SQL database": (
        "40001 becomes the rule and every booking must be ready to be tried again; row locks on "
        "the staff row remain, but are round trips between nodes; exclusion constraints and "
        "advisory locks may be missing: ask the manual of the version"
    ),
}
PER_STRATEGY = (
    ("advisory, advisory_try, function", "same", "same; no session locks",
     "same where the whole transaction runs on the calendar's node; the lock is that node's own",
     "often not to be had; use the staff row"),
    ("staff_row and its kin", "same", "same", "same: the staff row lives beside its appointments",
     "the one lock to rely on; held across network round trips"),
    ("exclusion, one_statement, temporal_key", "same", "same",
     "same: the key begins with the staff member, by whom is sharded",
     "often not to be had; a table of slots with a primary key instead"),
    ("serializable", "same", "same", "holds on one node only; across nodes it promises nothing",
     "the default, and the rule: every booking is tried again on 40001"),
    ("version", "same", "same", "same", "works everywhere: it is one conditional UPDATE"),
    ("table_lock", "same", "same", "locks every shard", "never"),
)  # fmt: skip


def choice(model: Model, *, strategy: str, nodes: list[int], headroom: float = 0.5) -> pd.DataFrame:
    """Say up to which load which engine is enough, by the model.

    Args:
        model: What is known.
        strategy: Whose costs to reckon with.
        nodes: Numbers of nodes, rising; the largest is where sharding ends.
        headroom: Which part of what is possible is to be used.
    """
    cell = Cell(strategy=strategy, workload="spread", clients=1000)

    def most(cores: int) -> float:
        return law(cell, model.calibration, apart=True, cores=cores).bounds["the processors"]

    low, high = model.trust
    limits = [
        most(model.calibration.machine.cores),
        most(model.cores),
        most(model.cores) * nodes[-1],
    ]
    worded = [f"{each * headroom * low:,.0f} to {each * headroom * high:,.0f}" for each in limits]
    return pd.DataFrame(
        {
            "engine": list(ENGINES),
            "of": [
                f"{model.calibration.machine.cores} cores",
                f"{model.cores} cores",
                f"{nodes[-1]} nodes of {model.cores} cores",
                "beyond, or across continents",
            ],
            "enough up to, bookings a second": [*worded, "no bound that this model knows"],
            "what changes": list(ENGINES.values()),
        }
    )


def strategies_elsewhere() -> pd.DataFrame:
    """Say what becomes of each strategy on each engine."""
    return pd.DataFrame(PER_STRATEGY, columns=["strategy", *ENGINES])
