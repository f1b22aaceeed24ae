"""What the benchmark of lists says on a page: the plan, the promises about time, the verdicts."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pandas as pd

from experiments.bench.listing import CELL, INDEX

if TYPE_CHECKING:
    from experiments.bench.listing import Listing
    from experiments.show.verdicts import Verdicts

LEAST_RATIO = 0.9  # of the best of the others
MOST_MILLISECONDS = 3.0  # for one staff member's day

# A line of EXPLAIN ANALYZE that reads a table: how, which, and what came of it.
_SCAN = re.compile(
    r"-> +(?P<how>(?:Index Only |Index |Bitmap Heap |Seq )Scan(?: using \w+)?) on (?P<table>\w+)"
    r".*?\((?:actual time=\S+ rows=(?P<rows>[\d.]+) loops=(?P<loops>\d+)|never executed)\)"
)


def scans(plan: str) -> pd.DataFrame:
    """Return a row for each table that a plan reads: how, how many rows, how often.

    Args:
        plan: As EXPLAIN ANALYZE prints it.
    """
    found = [match.groupdict() for match in map(_SCAN.search, plan.splitlines()) if match]
    frame = pd.DataFrame(found, columns=["table", "how", "rows", "loops"])
    return frame.astype({"rows": float, "loops": float})


def promises(listing: Listing) -> pd.DataFrame:
    """Return what was promised about time, what was measured, and whether it was kept here."""
    medians = listing.medians()
    ours = medians[medians["lister"] == "query"].to_dict("records")
    worst = min(ours, key=lambda row: row["ratio_to_best_other"])
    where = ", ".join(f"{worst[name]:,} {name}" for name in CELL)
    # The smallest list of the largest table.
    alone = min(ours, key=lambda row: (row["staff"], row["days"], -row["appointments"]))
    return pd.DataFrame(
        [
            _promise(
                f"never slower than {LEAST_RATIO} of the best of the others",
                f"{worst['ratio_to_best_other']:.2f} at worst ({where})",
                kept=worst["ratio_to_best_other"] >= LEAST_RATIO,
            ),
            _promise(
                f"one staff member's day under {MOST_MILLISECONDS:g} ms at the median",
                f"{alone['milliseconds']:.2f} ms, of {alone['appointments']:,} appointments",
                kept=alone["milliseconds"] < MOST_MILLISECONDS,
            ),
        ]
    )


def record(listing: Listing, verdicts: Verdicts) -> None:
    """State what does not depend on a clock.

    Args:
        listing: What was measured.
        verdicts: Where it is stated.
    """
    lists = len(listing.frame.drop_duplicates(CELL))
    verdicts.add(
        "Three ways to list what is free give one answer",
        held=not listing.differences and lists > 0,
        evidence=f"{lists} lists compared, start by start: {len(listing.differences)} differ",
    )
    verdicts.add(
        "A staff member's day is read through the index, no appointment beside it is looked at",
        held=listing.uses_index() and bool(listing.plans),
        evidence=f"{INDEX} in the plans for {', '.join(f'{n:,}' for n in listing.plans)}"
        " appointments",
    )


def _promise(promise: str, measured: str, *, kept: bool) -> dict[str, str]:
    return {
        "promised": promise,
        "measured": measured,
        "here": "✓ kept" if kept else "✗ not kept",
    }
