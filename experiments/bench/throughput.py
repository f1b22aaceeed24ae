"""Throughput and latency against the number of clients, beside pgbench.

This is the benchmark (`experiments.bench`) in another light: there, ratios within a round; here,
how each contender goes on as clients are added. More clients than cores don't make a server
faster, so a curve soon is flat, and from there on each further client only waits longer: in a
closed loop the mean latency is the number of clients over the throughput (Little's law).

pgbench is the reference that needs no Python: the origin's statements one by one, and the call of
one function. The service's figures include its own checks, and the client's interpreter, whose
share of the processors stands beside them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from experiments.bench import Benchmark, Plan, bench

if TYPE_CHECKING:
    from collections.abc import Sequence

    from experiments.show.verdicts import Verdicts

SERVICE, PGBENCH = "service:", "pgbench:"
TITLES = {
    "hot_slot": "One hot slot: nearly every answer is a conflict",
    "spread": "Many calendars: nearly every answer is a booking",
}


@dataclass(frozen=True)
class Throughput:
    """What the contenders did at each number of clients.

    Attributes:
        benchmark: The turns, their ratios, and whom the server could not run.
    """

    benchmark: Benchmark

    def curves(self) -> pd.DataFrame:
        """Return one row a workload, contender and number of clients: medians over the rounds.

        Columns: workload, contender, clients; per_second and latency_ms, each with the quartiles
        _low and _high beside it; client_cpu_us, client_cpu_share.
        """
        by = ["workload", "contender", "clients"]
        grouped = self.benchmark.frame.groupby(by, sort=False)
        measured = {}
        for name in ("per_second", "latency_ms"):
            measured[name] = grouped[name].median()
            measured[f"{name}_low"] = grouped[name].quantile(0.25)
            measured[f"{name}_high"] = grouped[name].quantile(0.75)
        for name in ("client_cpu_us", "client_cpu_share"):
            measured[name] = grouped[name].median()
        return pd.DataFrame(measured).reset_index().sort_values(by, ignore_index=True)

    def table(self) -> pd.DataFrame:
        """Return the curves as readers see them, the fastest first."""
        frame = self.benchmark.ratios().sort_values(
            ["workload", "clients", "per_second"], ascending=[True, True, False]
        )
        shown = {
            "workload": "workload",
            "clients": "clients",
            "contender": "contender",
            "per_second": "a second",
            "latency_ms": "mean ms",
            "ratio_to_pgbench_statements": "of statements",
            "ratio_to_pgbench_function": "of function",
            "ratio_to_bare_insert": "of bare insert",
            "client_cpu_share": "clients' CPU, %",
        }
        frame = frame.assign(
            workload=frame["workload"].str.replace("_", " "),
            contender=frame["contender"].str.removeprefix(SERVICE).str.replace(":", ": "),
            client_cpu_share=(100 * frame["client_cpu_share"]).round(),
            per_second=frame["per_second"].round(),
        )
        return frame[list(shown)].dropna(axis="columns", how="all").rename(columns=shown)

    def worded(self, column: str, unit: str) -> str:
        """Say what a picture of the curves shows, for who can't see it.

        Args:
            column: per_second or latency_ms.
            unit: What that is in: "a second".
        """
        return " ".join(
            f"{str(workload).replace('_', ' ')}, {contender}: "
            + ", ".join(f"{row[column]:,.3g} {unit} with {row['clients']}" for row in rows)
            + "."
            for (workload, contender), rows in (
                (names, curve.to_dict("records"))
                for names, curve in self.curves().groupby(["workload", "contender"], sort=False)
            )
        )

    def record(self, verdicts: Verdicts) -> None:
        """Add whether those that promise to be sound were so at full speed."""
        sound = self.benchmark.frame["sound"]
        wrong = self.benchmark.wrong()
        verdicts.add(
            "At full speed nobody books a slot twice, and as many rows are stored as were booked",
            held=not wrong,
            evidence=" ".join(wrong) or f"nothing wrong in {int(sound.sum())} turns",
        )


def measure(
    strategies: Sequence[str],
    references: Sequence[str],
    **parameters: Any,  # noqa: ANN401 - as Plan's attributes
) -> Throughput:
    """Measure strategies and references at every number of clients, in rounds that alternate.

    Args:
        strategies: Names of strategies, which the service books with.
        references: What pgbench runs: `statements`, `advisory`, `function`, `bare_insert`.
        parameters: The other attributes of `experiments.bench.Plan`.

    Raises:
        BadExperiment: A number is out of range, or there is no such workload.
        UnknownStrategy: There is no such strategy.
    """
    contenders = [SERVICE + name for name in strategies] + [PGBENCH + name for name in references]
    return Throughput(bench(Plan(contenders=contenders, **parameters), progress=True))
