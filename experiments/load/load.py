"""The load generator: many virtual users, for as long as it takes, judged by the database.

A load takes a fresh salon, lets virtual users loose on it as a plan says, and then asks the
database about every reply. Users are spread over client processes, so that the interpreter is
not what is measured; what share of the machine the clients took is part of the result. It speaks
k6's language (executors, metrics, thresholds, summary) and adds what k6 lacks: all users start at
the same instant, and how far apart they really started is reported; users cancel and move what
they booked before; and the rows are asked whether the replies were true.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd
from sqlalchemy import text
from tqdm.auto import tqdm

from booking_core import schema
from experiments.judge.ledger import judge
from experiments.load import measurements, world_ledger
from experiments.load.client_process import work
from experiments.load.crew import run_crew
from experiments.load.feasibility import check_connections, feasible
from experiments.load.metrics import Metric, Trend
from experiments.load.plan import OPERATIONS, Plan
from experiments.load.replies import OUTCOMES
from experiments.load.share import Share
from experiments.load.users import PRACTICE
from experiments.scenes import salon
from experiments.scenes.catalogue import find_strategy
from experiments.scenes.world import make_salon
from experiments.server.postgres import lent_database
from experiments.show.redaction import Redactor

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy as np
    from numpy.typing import NDArray
    from sqlalchemy import Engine

    from booking_core.strategies import Strategy
    from experiments.server.postgres import Database, EmbeddedServer, Server

SETTINGS = ("server_version", "fsync", "synchronous_commit", "shared_buffers", "max_connections")


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What a load showed.

    Attributes:
        strategy: The strategy's name.
        plan: What was asked for.
        metrics: By name. Those of the replies, see `experiments.load.measurements`. `vus` and
            `vus_max`. The counts of `experiments.judge.ledger.Judgement`, asked of the database
            afterwards. `release_skew_us`, how many microseconds apart the users started, and
            `release_skew_share`, that over the median latency of their first requests; an open
            loop has neither. `client_cpu_s`, `client_cpu_us_per_iteration` and
            `client_cpu_share`: the CPU time of the client processes in all, for one iteration,
            and as a share of what all cores have.
        seconds: From the first start to the last reply.
        outcomes: How often each operation ended in each outcome, as `book: deadlock`.
        details: The text of the first error of each kind.
        settings: The server's, under their names in PostgreSQL.
        replies: Every reply, as `measurements.columns` returns them.
    """

    strategy: str
    plan: Plan
    metrics: dict[str, Metric]
    seconds: float
    outcomes: dict[str, int]
    details: dict[str, str]
    settings: dict[str, str]
    replies: NDArray[np.void] = field(repr=False)

    def row(self) -> dict[str, Any]:
        """Return the load as one row of a table.

        Returns:
            What distinguishes it, iterations per_second, every counter's count and every
            gauge's value by its name, and of each duration that was measured the percentiles
            in milliseconds, such as booking_duration_p95_ms.
        """
        plan = self.plan
        row: dict[str, Any] = {
            "strategy": self.strategy,
            "executor": plan.executor,
            "skew": plan.skew,
            "staff": plan.staff,
            "processes": plan.crew,
            "connections": plan.connections,
            "seconds": self.seconds,
            "per_second": self.metrics["iterations"].aggregate("rate"),
        }
        for name, metric in self.metrics.items():
            if not isinstance(metric, Trend):
                row[name] = metric.aggregate(metric.main)
            elif metric.count:
                row |= {f"{name}_p{p}_ms": metric.percentile(p) for p in (50, 90, 95, 99)}
                row[f"{name}_max_ms"] = metric.most
        return row

    def requests(self) -> pd.DataFrame:
        """Return one row a reply; `measurements.in_words` tells the columns."""
        return pd.DataFrame(measurements.in_words(self.replies))


def load(
    strategy: str | Strategy | type[Strategy],
    *,
    on: Server | EmbeddedServer | Database | None = None,
    backstop: bool | None = None,
    progress: bool = False,
    **parameters: Any,  # noqa: ANN401 - as Plan's attributes
) -> LoadResult:
    """Run a load in an empty salon, and hold every reply against the rows.

    Args:
        strategy: A strategy, its class, its name, or `module:attribute`. One that was written in
            a notebook runs in one client process, since others could not import it.
        on: Which server, or an empty database; the process's own server if left out.
        backstop: Whether the exclusion constraint stands behind the strategy. By default only
            where the strategy needs it, or the constraint would hide its faults.
        progress: Whether to show a progress bar.
        parameters: The attributes of `experiments.load.plan.Plan`.

    Raises:
        BadExperiment: The plan makes no load, or the server has too few connections for it.
        UnknownStrategy: There is no such strategy.
        UnsupportedServer: The server is too old for it.
    """
    chosen = find_strategy(strategy)
    plan = feasible(Plan(**parameters), chosen)
    with lent_database(on) as database:
        control = database.engine()
        settings = _settings(control)
        check_connections(plan, int(settings["max_connections"]))
        with control.begin() as connection:
            schema.create(connection, chosen, backstop=backstop)
            in_world = plan.workload == "world"
            stored = make_salon(connection) if in_world else salon.plain(connection, plan.staff)
        service_ids, staff_ids = list(stored.services.values()), list(stored.staff.values())
        shares = [
            Share(database.url, chosen, plan, process, staff_ids, service_ids)
            for process in range(plan.crew)
        ]
        with _progress(plan, chosen.name, show=progress):
            parts = run_crew(work, shares)
        replies = measurements.columns(part.records for part in parts)
        with control.begin() as connection:
            judgement = (
                world_ledger.judge(connection, replies, practice=PRACTICE)
                if in_world
                else judge(
                    connection, replies, operations=OPERATIONS, outcomes=OUTCOMES, practice=PRACTICE
                )
            )
        control.dispose()
    redact = Redactor().text
    return LoadResult(
        strategy=chosen.name,
        plan=plan,
        metrics=measurements.measure(plan, parts, replies, judgement),
        seconds=measurements.lasted(replies),
        outcomes=measurements.outcomes(replies),
        details={kind: redact(text) for part in parts for kind, text in part.details.items()},
        settings=settings,
        replies=replies,
    )


def _settings(control: Engine) -> dict[str, str]:
    with control.connect() as connection:
        rows = connection.execute(
            text("SELECT name, current_setting(name) FROM pg_settings WHERE name = ANY(:names)"),
            {"names": list(SETTINGS)},
        )
        return {row.name: row.current_setting for row in rows}


@contextmanager
def _progress(plan: Plan, name: str, *, show: bool) -> Iterator[None]:
    """Show how many seconds have passed; how much is done, only the other processes know."""
    over = threading.Event()

    def tick() -> None:
        timed = "{l_bar}{bar}| {n_fmt}/{total_fmt} s" if plan.duration_s else "{desc}: {elapsed}"
        with tqdm(total=plan.duration_s, desc=name, bar_format=timed, leave=False) as bar:
            while not over.wait(1):
                bar.update()

    ticking = threading.Thread(target=tick, daemon=True)
    if show:
        ticking.start()
    try:
        yield
    finally:
        over.set()
        if show:
            ticking.join()
