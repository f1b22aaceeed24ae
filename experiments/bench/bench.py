"""The rounds and the ratios."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, dataclass, field
from itertools import product
from random import Random
from typing import TYPE_CHECKING, Any

import pandas as pd
from tqdm.auto import tqdm

from booking_core.errors import UnsupportedServer
from experiments.bench.calendars import Calendars
from experiments.bench.contenders import PGBENCH, Contender, everybody, find_contender
from experiments.bench.pgbench import find_pgbench
from experiments.bench.workloads import Cell, workloads
from experiments.scenes.parameters import check_limits, check_words
from experiments.show.environment import cores
from experiments.show.stats import spread

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from experiments.server.postgres import EmbeddedServer, Server

CELL = ["workload", "clients", "contender"]
REFERENCES = ("pgbench_statements", "pgbench_function", "pgbench_advisory", "bare_insert")
TURN_SECONDS = 1.0  # what a turn takes besides: processes, connections, empty calendars
SALON_SECONDS = 1.5
LIMITS = {
    "clients": (1, 1000),
    "seconds": (1, 3600),
    "warm_seconds": (0, 60),
    "rounds": (1, 1000),
    "processes": (1, 64),
    "staff": (1, 10_000),
}


@dataclass(frozen=True)
class Plan:
    """What is to be measured.

    Attributes:
        contenders: Their names; `contenders.everybody()` if left out.
        workloads: `hot_slot`, `spread`.
        clients: How many at once.
        seconds: How long each turn is measured, in whole seconds, for pgbench knows no others.
        warm_seconds: How long it runs before that, uncounted.
        rounds: How many turns each contender has with each workload and number of clients.
        processes: Over how many processes the service's clients are spread, at most one a
            client; pgbench has as many threads.
        staff: How many staff members the salons have.
        seed: For the order of turns, the choice of slots and the jitter of retries.

    Raises:
        BadExperiment: A number is out of range, or there is no such workload, or no pgbench.
        UnknownStrategy: There is no such contender.
    """

    contenders: Sequence[str] = field(default_factory=everybody)
    workloads: Sequence[str] = ("hot_slot", "spread")
    clients: Sequence[int] = (1, 20, 100)
    seconds: int = 2
    warm_seconds: int = 1
    rounds: int = 5
    processes: int = 2
    staff: int = 1000
    seed: int = 1

    def __post_init__(self) -> None:
        given = [(name, getattr(self, name)) for name in LIMITS if name != "clients"]
        for name, value in [*given, *(("clients", level) for level in self.clients)]:
            check_limits(name, value, *LIMITS[name])
        check_words("workload", self.workloads, workloads(self.staff))
        for name in self.contenders:
            find_contender(name)
        if PGBENCH.keys() & set(self.contenders):
            find_pgbench()

    @property
    def turns(self) -> int:
        """How many turns there are in all."""
        cells = len(self.contenders) * len(self.workloads) * len(self.clients)
        return cells * self.rounds

    @property
    def estimated_seconds(self) -> float:
        """About how long it will take."""
        schemas = {_schema(find_contender(name)) for name in self.contenders}
        turn = self.seconds + self.warm_seconds + TURN_SECONDS
        return self.turns * turn + len(schemas) * SALON_SECONDS


@dataclass(frozen=True)
class Benchmark:
    """What was measured.

    Attributes:
        plan: What was to be measured.
        frame: One row a turn: round, workload, clients, contender, sound (whether it
            promises to be), constrained (whether its table has the exclusion constraint), the
            attributes of `Measured`, and
            client_cpu_share (what the clients took of all processors, from 0 to 1), stored and
            double_bookings (rows, and pairs of them that overlap, when the turn was over).
        skipped: Why a contender could not run on this server, by name.
    """

    plan: Plan
    frame: pd.DataFrame
    skipped: Mapping[str, str] = field(default_factory=dict)

    def wrong(self) -> list[str]:
        """Return what is wrong with those who promise to be sound; their speed means nothing.

        One sentence a turn in which a slot was booked twice, or in which there are more or fewer
        rows than replies that say so.
        """
        found = []
        for turn in self.frame[self.frame["sound"]].to_dict("records"):
            where = ", ".join(f"{name} {turn[name]}" for name in (*CELL, "round"))
            if doubles := turn["double_bookings"]:
                found.append(f"{where}: {doubles} pairs of appointments overlap.")
            replied, stored = turn["replied"], turn["stored"]
            if not pd.isna(replied) and replied != stored:
                found.append(f"{where}: {replied:.0f} were booked, {stored} are stored.")
        return found

    def ratios(self) -> pd.DataFrame:
        """Return one row a workload, number of clients and contender: medians over the rounds.

        Columns: workload, clients, contender, per_second; for each of `REFERENCES` ratio_to_…,
        which is the median of the ratios within the rounds, and its quartiles ratio_to_…_low and
        ratio_to_…_high, NaN where the reference did not run; client_cpu_us, client_cpu_share,
        latency_ms; failed and double_bookings, summed up. A bare insert is compared on a table
        with the same indexes.
        """
        # One column a cell: workload, clients, contender; one row a round.
        rates = self.frame.pivot_table("per_second", "round", CELL)
        rows = []
        for (workload, clients, contender), turns in self.frame.groupby(CELL, sort=False):
            constrained = bool(turns["constrained"].iloc[0])
            row: dict[str, Any] = dict(zip(CELL, (workload, clients, contender), strict=True))
            row["per_second"] = turns["per_second"].median()
            for reference in REFERENCES:
                cell = (workload, clients, _reference(reference, constrained=constrained))
                name = f"ratio_to_{reference}"
                row |= dict.fromkeys((name, f"{name}_low", f"{name}_high"), float("nan"))
                if cell in rates:
                    seen = spread(rates[workload, clients, contender] / rates[cell])
                    row |= {name: seen.median, f"{name}_low": seen.low, f"{name}_high": seen.high}
            for name in ("latency_ms", "client_cpu_us", "client_cpu_share"):
                row[name] = turns[name].median()
            for name in ("failed", "double_bookings"):
                row[name] = int(turns[name].sum())
            rows.append(row)
        return pd.DataFrame(rows)

    def records(self) -> list[dict[str, Any]]:
        """Return the ratios as JSON can hold them: one object a row, None for what is missing."""
        return [
            {str(name): None if pd.isna(value) else _rounded(value) for name, value in row.items()}
            for row in self.ratios().to_dict("records")
        ]


def bench(
    plan: Plan | None = None,
    *,
    on: Server | EmbeddedServer | None = None,
    progress: bool = False,
) -> Benchmark:
    """Measure, round by round, every contender in another order each time.

    What was measured is to be believed only where `Benchmark.wrong` is empty.

    Args:
        plan: What to measure.
        on: Which server; the process's own if left out.
        progress: Whether to show a progress bar.

    Raises:
        PgbenchFailed: pgbench did not come to an end.
    """
    plan = plan or Plan()
    source = Random(plan.seed)  # noqa: S311 - no secret
    chosen = workloads(plan.staff)
    skipped: dict[str, str] = {}
    salons: dict[object, Calendars] = {}
    contenders = []
    rows = []
    with ExitStack() as stack:
        for contender in map(find_contender, plan.contenders):
            try:
                if _schema(contender) not in salons:
                    calendars = Calendars(contender.strategy, plan.staff, on)
                    salons[_schema(contender)] = stack.enter_context(calendars)
                contenders.append(contender)
            except UnsupportedServer as error:
                skipped[contender.name] = str(error)
        turns = len(contenders) * len(plan.workloads) * len(plan.clients) * plan.rounds
        bar = stack.enter_context(tqdm(total=turns, desc="bench", disable=not progress))
        for number, workload, clients in product(
            range(1, plan.rounds + 1), plan.workloads, plan.clients
        ):
            for contender in source.sample(contenders, len(contenders)):
                cell = Cell(
                    chosen[workload], clients, plan.processes, plan.seconds, plan.warm_seconds,
                    seed=f"{plan.seed}, round {number}",
                )  # fmt: skip
                names = {"round": number, "workload": workload, "clients": clients}
                rows.append(names | _turn(contender, salons[_schema(contender)], cell))
                bar.update()
    return Benchmark(plan, pd.DataFrame(rows), skipped)


def _turn(contender: Contender, calendars: Calendars, cell: Cell) -> dict[str, Any]:
    calendars.empty()
    measured = contender.run(calendars, cell)
    stored = calendars.look()
    busy = measured.client_cpu_us / 1e6 * measured.per_second
    return {
        "contender": contender.name,
        "sound": contender.sound,
        "constrained": contender.strategy.needs_constraint,
        **asdict(measured),
        "stored": stored.booked,
        "double_bookings": stored.double_bookings,
        "client_cpu_share": busy / cores(),
    }


def _schema(contender: Contender) -> object:
    """Return what tells the schema that a contender needs from another's."""
    return contender.strategy.needs, contender.strategy.needs_constraint


def _reference(reference: str, *, constrained: bool) -> str:
    if reference == "bare_insert":
        return "pgbench:bare_insert_constrained" if constrained else "pgbench:bare_insert"
    return reference.replace("_", ":", 1)


def _rounded(value: Any) -> Any:  # noqa: ANN401 - a cell of a frame
    return round(value, 4) if isinstance(value, float) else value
