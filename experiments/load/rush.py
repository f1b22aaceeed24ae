"""A rush: a hundred users, one slot, one request each. The origin's k6 script, asked for more.

The origin's script counted successes, conflicts and errors. The same thresholds stand here, and
those that k6 can't state: that the ends of all requests add up, and what the database says after
the run. An exhibit is put to the same test, for thresholds that nothing fails prove nothing.

How far apart the users really started is measured, too: when the first is answered before the
last one starts, a hundred users never were a hundred at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from tqdm.auto import tqdm

from experiments.load import summary
from experiments.load.load import LoadResult, load
from experiments.load.thresholds import Threshold
from experiments.show.stats import spread

if TYPE_CHECKING:
    from collections.abc import Sequence

    from booking_core.strategies import Strategy
    from experiments.show.verdicts import Verdicts

# What is shown of every run: the words, the metric, and by how much it is multiplied.
MEASURED = (
    ("release skew, ms", "release_skew_us", 0.001),
    ("release skew, % of the median latency", "release_skew_share", 100.0),
    ("median latency, ms", "booking_duration_p50_ms", 1.0),
    ("95th percentile, ms", "booking_duration_p95_ms", 1.0),
    ("longest, ms", "booking_duration_max_ms", 1.0),
    ("clients' CPU time, µs a request", "client_cpu_us_per_iteration", 1.0),
    ("clients' share of all cores, %", "client_cpu_share", 100.0),
)


@dataclass(frozen=True)
class Rush:
    """What became of the crowd, round by round, and of the control.

    Attributes:
        results: One a round.
        control: The exhibit's.
        thresholds: What was asked of each.
    """

    results: list[LoadResult]
    control: LoadResult
    thresholds: list[Threshold]

    def text(self) -> str:
        """Return the last round's summary as k6 would print it."""
        return summary.as_text(self.results[-1], self.thresholds)

    def table(self) -> pd.DataFrame:
        """Return what was measured: medians over the rounds, with quartiles."""
        runs = pd.DataFrame([result.row() for result in self.results])
        rows = []
        for label, name, factor in MEASURED:
            rows.append((label, str(spread(runs[name] * factor))))
        return pd.DataFrame(rows, columns=["measured", "median (quartiles)"])

    def record(self, verdicts: Verdicts) -> None:
        """Add whether the thresholds held, and whether the control failed them."""
        users = self.results[0].plan.vus
        failed = dict.fromkeys(
            threshold.written
            for result in self.results
            for threshold in self.thresholds
            if not threshold.holds(result.metrics)
        )
        verdicts.add(
            f"Of {users} users who want one slot one is booked, the others conflict, none errs,"
            " and the rows agree",
            held=not failed,
            evidence=f"failed: {'; '.join(failed)}"
            if failed
            else f"all {len(self.thresholds)} thresholds held in every round",
        )
        caught = not all(each.holds(self.control.metrics) for each in self.thresholds)
        verdicts.add(
            f"The control, {self.control.strategy}, fails the same thresholds",
            held=caught,
            evidence="a threshold failed" if caught else "no threshold failed",
        )


def rush(
    strategy: str | Strategy,
    exhibit: str | Strategy,
    *,
    users: int = 100,
    rounds: int = 1,
    seed: int = 1,
) -> Rush:
    """Let users want one slot, all at the same instant.

    Args:
        strategy: As `race` takes it.
        exhibit: The control, likewise.
        users: How many.
        rounds: How often; the control has one.
        seed: For the jitter between tries.

    Raises:
        BadExperiment: A parameter is out of range.
        UnknownStrategy: There is no such strategy.
    """
    results = [
        load(each, vus=users, seed=seed)
        for each in tqdm([*[strategy] * rounds, exhibit], f"{users} users")
    ]
    return Rush(results[:-1], results[-1], [Threshold.parse(each) for each in thresholds(users)])


def thresholds(users: int) -> Sequence[str]:
    """Return what must hold of so many users who want one slot."""
    return (
        "booking_successes:count==1",
        f"booking_conflicts:count=={users - 1}",
        "booking_errors:count==0",
        "booking_successes + booking_conflicts + booking_busy + booking_errors == iterations",
        "double_bookings==0",
        "dishonest_replies==0",
    )
