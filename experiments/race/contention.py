"""The central experiment: every strategy, in every shape, at every number of clients.

The strategies under test are raced in all shapes. The exhibits beside them are controls: each is
raced in the shape that breaks it and in the easiest one, identical requests for one slot, which
some of them survive. Where a control is not caught, nothing else here is worth believing. Which
order a round plays is luck, so a control that survives its rounds is raced on, up to `PATIENCE`
times as long as those under test; those rounds count for this question alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from tqdm.auto import tqdm

from booking_core.errors import UnsupportedServer
from booking_core.strategies import DEFAULT
from experiments.race.race import FAULTS, REPLIES, races
from experiments.scenes.catalogue import find_strategy
from experiments.scenes.choosing import choose_when
from experiments.scenes.exhibit import Exhibit
from experiments.scenes.replies import CLIENT_ELSEWHERE
from experiments.scenes.shapes import SHAPES
from experiments.scenes.world import title_of
from experiments.server.postgres import fresh_database
from experiments.show.stats import percentile, wilson
from experiments.show.verdicts import Verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from booking_core.strategies import Strategy
    from experiments.race.race import RaceResult

EASIEST = "same_slot"
NEIGHBOURLY = ("adjacent", "other_staff")  # the shapes in which nobody overlaps
CELL = ["strategy", "shape", "clients"]
OUTCOMES = ["booked", "conflict", "busy", "error"]
PATIENCE = 100


@dataclass(frozen=True)
class Contention:
    """What the races showed.

    Attributes:
        strategies: Those under test.
        controls: The exhibits beside them.
        skipped: Why a strategy could not be raced on this server, by name.
        requests: One row a request, as `RaceResult.requests`.
        rounds: One row a round, as `RaceResult.rounds`.
        missed: The controls that no round caught, those raced on included.
    """

    strategies: list[Strategy]
    controls: list[Exhibit]
    skipped: dict[str, str]
    requests: pd.DataFrame
    rounds: pd.DataFrame
    missed: list[str]

    @property
    def tested(self) -> list[str]:
        """The names of the strategies under test."""
        return [strategy.name for strategy in self.strategies]

    @property
    def names(self) -> list[str]:
        """All names, strategies first."""
        return self.tested + [control.name for control in self.controls]

    def faulty(self) -> pd.DataFrame:
        """Return how many rounds broke a property: one row a strategy and shape.

        Columns: strategy, shape, rounds, faulty, and a column for each fault with the number of
        rounds that showed it.
        """
        seen = self.rounds[FAULTS] > 0
        frame = pd.concat([self.rounds[["strategy", "shape"]], seen], axis=1)
        frame["faulty"] = seen.any(axis=1)
        grouped = frame.groupby(["strategy", "shape"], sort=False)
        counted = grouped[["faulty", *FAULTS]].sum().astype(int)
        counted.insert(0, "rounds", grouped.size())
        return counted.reset_index()

    def rates(self) -> pd.DataFrame:
        """Return the rate of each outcome with its 95% interval: one row a cell and outcome.

        Cancels and days off are left out. Columns: strategy, shape, clients, outcome, seen,
        requests, rate, low, high.
        """
        asked = self.requests[~self.requests["operation"].isin(["cancel", "close"])]
        outcome = asked["outcome"].where(asked["outcome"].isin(REPLIES), "error")
        counted = asked.assign(outcome=outcome).groupby([*CELL, "outcome"], sort=False).size()
        rows = []
        for cell, seen in counted.groupby(CELL, sort=False):
            by_outcome = seen.reset_index(CELL, drop=True)
            total = int(by_outcome.sum())
            for name in OUTCOMES:
                count = int(by_outcome.get(name, 0))
                low, high = wilson(count, total)
                rows.append((*cell, name, count, total, count / total, low, high))
        columns = [*CELL, "outcome", "seen", "requests", "rate", "low", "high"]
        return pd.DataFrame(rows, columns=columns)

    def latencies(self) -> pd.DataFrame:
        """Return how long requests took at the highest level: one row a strategy and shape.

        Columns: strategy, shape, median_ms, p95_ms, waited_ms (median time waited for locks),
        attempts (mean a request), ratio (of the median to the default strategy's in that shape).
        """
        top = self.requests[self.requests["clients"] == self.requests["clients"].max()]
        grouped = top.groupby(["strategy", "shape"], sort=False)
        frame = pd.DataFrame(
            {
                "median_ms": grouped["latency_ms"].median(),
                "p95_ms": grouped["latency_ms"].apply(lambda values: percentile(values, 95)),
                "waited_ms": grouped["waited_ms"].median(),
                "attempts": grouped["attempts"].mean(),
            }
        ).reset_index()
        default = frame[frame["strategy"] == DEFAULT.name].set_index("shape")["median_ms"]
        frame["ratio"] = frame["median_ms"] / frame["shape"].map(default)
        return frame

    def medians(self) -> pd.DataFrame:
        """Return the median time of a request in ms: a row a strategy, a column a shape."""
        table = self.latencies().pivot_table("median_ms", "strategy", "shape", sort=False)
        return table.rename(columns={name: title_of(name) for name in table.columns})

    def summary(self) -> pd.DataFrame:
        """Return one row a strategy, for readers: what it answered and what broke."""
        requests, rounds = self.requests, self.rounds
        outcome = requests["outcome"].where(requests["outcome"].isin(REPLIES), "error")
        # Hardly any pair has a day off entered.
        told = [each for each in REPLIES if each != "closed" or each in set(outcome)]
        answers = pd.crosstab(requests["strategy"], outcome).reindex(
            index=self.names, columns=[*told, "error"], fill_value=0
        )
        broken = rounds.groupby("strategy")[FAULTS].sum().reindex(self.names)
        attempts = requests.groupby("strategy")["attempts"].mean().reindex(self.names)
        kinds = ["under test"] * len(self.tested) + ["control"] * len(self.controls)
        frame = pd.concat([answers, attempts.rename("attempts a request").round(2), broken], axis=1)
        frame.insert(0, "kind", kinds)
        frame.insert(1, "rounds", rounds.groupby("strategy").size().reindex(self.names))
        frame.columns = [column.replace("_", " ") for column in frame.columns]
        return frame.rename_axis("strategy").reset_index()

    def choose(self) -> pd.DataFrame:
        """Return one row a strategy under test: when to choose it, and what it cost here."""
        latencies = self.latencies().set_index(["strategy", "shape"])["ratio"]
        broken = self.faulty().groupby("strategy")["faulty"].sum()
        rows = [
            {
                "strategy": strategy.name + " (default)" * (strategy.name == DEFAULT.name),
                "held": "yes" if broken[strategy.name] == 0 else "NO",
                "choose when": choose_when(strategy),
                "makes wait": strategy.traits.neighbours_wait,
                **{
                    f"{title_of(shape)}: time": f"{ratio:.2f}"
                    for shape in (EASIEST, *NEIGHBOURLY)
                    if pd.notna(ratio := latencies.get((strategy.name, shape)))
                },
            }
            for strategy in self.strategies
        ]
        return pd.DataFrame(rows)

    def worded(self, names: Sequence[str]) -> str:
        """Say for each name how many rounds broke a property, for who can't see the picture."""
        counted = self.rounds.assign(faulty=(self.rounds[FAULTS] > 0).any(axis=1))
        by_name = counted.groupby("strategy")["faulty"].agg(["sum", "size"])
        return "; ".join(f"{n} {by_name['sum'][n]} of {by_name['size'][n]}" for n in names) + "."

    def verdicts(self, notebook: str) -> Verdicts:
        """Return what the races say about each property, and about the controls."""
        verdicts = Verdicts(notebook)
        rounds = self.rounds[self.rounds["strategy"].isin(self.tested)]
        for claim, fault in (
            ("No slot is booked twice, buffers included (safety)", "double_bookings"),
            ("Every reply agrees with the stored rows (honest replies)", "dishonest_replies"),
            ("A free slot that is raced for is booked by one (no lost sale)", "lost_sales"),
            ("Nobody is refused for a slot that is not taken (good neighbours)",
             "refused_neighbours"),
            ("One key books once (same key, one booking)", "repeated_bookings"),
            ("Nobody is booked in two places at one time (one client, one place)",
             "clients_in_two_places"),
        ):  # fmt: skip
            broken = rounds[rounds[fault] > 0]
            verdicts.add(
                claim,
                held=broken.empty,
                evidence=_by(broken) or "no round broke it",
                trials=len(rounds),
                failures=len(broken),
                unit="rounds",
            )
        requests = self.requests[self.requests["strategy"].isin(self.tested)]
        may_be_busy = [each.name for each in self.strategies if each.traits.may_answer_busy]
        outcome = requests["outcome"]
        elsewhere = requests["detail"].str.startswith(CLIENT_ELSEWHERE)
        # Where a pair lets somebody be refused, the judge has found the reason, or a fault.
        in_pairs = ~requests["shape"].isin(SHAPES)
        allowed = (
            outcome.isin(["booked", "conflict", "cancelled", "closed"])
            | ((outcome == "busy") & requests["strategy"].isin(may_be_busy))
            | ((outcome == "invalid") & (elsewhere | in_pairs))
        )
        bare = (requests["outcome"] == "conflict") & (requests["alternatives"] == 0)
        apart = requests["shape"].isin(NEIGHBOURLY) & (requests["outcome"] == "conflict")
        for claim, wrong in (
            ("No request ends in an error, nor in busy where that is not announced", ~allowed),
            ("Every conflict offers alternatives", bare),
            ("Adjacent slots and other staff never conflict", apart),
        ):
            verdicts.add(
                claim,
                held=not wrong.any(),
                evidence=_by(requests[wrong]) or "no request contradicts it",
                trials=len(requests),
                failures=int(wrong.sum()),
                unit="requests",
            )
        self._judge_controls(verdicts)
        return verdicts

    def _judge_controls(self, verdicts: Verdicts) -> None:
        if not self.controls:
            return
        caught = len(self.controls) - len(self.missed)
        verdicts.add(
            "Every control is caught in the shape that breaks it",
            held=not self.missed,
            evidence=f"{caught} of {len(self.controls)} caught"
            + (f"; missed: {', '.join(self.missed)}" if self.missed else ""),
        )


def _by(broken: pd.DataFrame) -> str:
    """Say which strategies broke something, and how often."""
    counts = broken["strategy"].value_counts()
    return ", ".join(f"{name} broke it {count} times" for name, count in counts.items())


def contend(  # noqa: PLR0913 - an experiment has as many parameters
    strategies: Sequence[str | Strategy],
    exhibits: Sequence[str | Strategy],
    *,
    levels: Sequence[int],
    shapes: Sequence[str],
    rounds: int,
    hold_ms: float,
    seed: int,
) -> Contention:
    """Race strategies and controls.

    Args:
        strategies: Those under test, as `race` takes them.
        exhibits: The controls.
        levels: Numbers of clients.
        shapes: Names of shapes and pairs, as `race` takes them.
        rounds: How often each cell is played.
        hold_ms: Milliseconds that a client spends between check and insert.
        seed: For the jitter between tries.

    Raises:
        BadExperiment: A parameter is out of range.
        UnknownStrategy: There is no such strategy.
    """
    tested = [find_strategy(strategy) for strategy in strategies]
    controls = [each for each in map(find_strategy, exhibits) if isinstance(each, Exhibit)]
    skipped: dict[str, str] = {}
    missed: list[str] = []
    results = {}
    with fresh_database() as database:
        # A process's first races are slower than the rest; these are thrown away.
        races(DEFAULT(), levels=[max(levels)], rounds=2, shapes=[EASIEST], on=database)
        for strategy in tqdm([*tested, *controls], "strategies"):
            raced_in = list(shapes)
            if strategy in controls:
                raced_in = list(dict.fromkeys((EASIEST, strategy.breaks_in)))
            try:
                raced = races(
                    strategy,
                    levels=levels,
                    rounds=rounds,
                    shapes=raced_in,
                    hold_ms=hold_ms,
                    seed=seed,
                    on=database.clear(),
                )
            except UnsupportedServer as error:
                skipped[strategy.name] = str(error)
                continue
            results[strategy.name] = raced
            if strategy in controls and not _caught(strategy, raced):
                raced_on = (
                    races(
                        strategy,
                        levels=[max(levels)],
                        rounds=rounds,
                        shapes=[strategy.breaks_in],
                        hold_ms=hold_ms,
                        seed=seed + 1 + number,
                        on=database.clear(),
                    )
                    for number in range(PATIENCE)
                )
                if not any(_caught(strategy, result) for result in raced_on):
                    missed.append(strategy.name)
    return Contention(
        [strategy for strategy in tested if strategy.name in results],
        [control for control in controls if control.name in results],
        skipped,
        pd.concat([result.requests for result in results.values()], ignore_index=True),
        pd.concat([result.rounds for result in results.values()], ignore_index=True),
        missed,
    )


def _caught(control: Exhibit, raced: RaceResult) -> bool:
    """Whether a round of the shape that breaks it showed its fault."""
    here = raced.rounds["shape"] == control.breaks_in
    return bool((raced.rounds.loc[here, control.fault] > 0).any())
