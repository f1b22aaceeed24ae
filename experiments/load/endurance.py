"""Endurance: a long mixed load for every strategy, judged row by row, with controls beside it.

A race asks once and looks. Here virtual users book, cancel and move what they booked, one call
after the other, so calendars fill up, are freed again and stay in use: a slot is sold, given back
and sold anew, and a move holds two places of which one is freed. The users want some calendars far
more often than others (Zipf), and nothing is slowed down artificially.

How many requests there are is decided beforehand, not by the clock: every user of every strategy
makes the same number, so that in all at least as many are made as were asked for, on any machine.
The database then judges every reply (`experiments.judge.ledger`). The controls are exhibits under
the same load, before the same judge; where they were not caught, the rest would mean nothing. How
often rivals meet is luck, so a control that got away is put under the load again, up to `PATIENCE`
times.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pandas as pd
from tqdm.auto import tqdm

from booking_core.errors import UnsupportedServer
from experiments.load.load import load
from experiments.load.measurements import NOUNS
from experiments.scenes.catalogue import find_strategy
from experiments.server.postgres import fresh_database

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from booking_core.strategies import Strategy
    from experiments.load.load import LoadResult
    from experiments.show.verdicts import Verdicts

# More is cancelled than can be booked in full calendars, so they never quite fill up.
MIX = {"book": 5.0, "cancel": 3.0, "reschedule": 2.0}
DONE = {"booking": "booked", "cancel": "cancelled", "reschedule": "moved", "list": "listed"}
REFUSED = ("conflicts", "busy", "errors")
FAULTS = ("double_bookings", "dishonest_replies")
PATIENCE = 10


@dataclass(frozen=True)
class Endurance:
    """What came of the loads.

    Attributes:
        strategies: Those under test that the server can run.
        controls: The exhibits beside them.
        skipped: Why a strategy could not be tried on this server, by name.
        wanted: How many requests were to be made under test, at least.
        frame: One row a strategy, the controls last: strategy, control (whether it is one),
            requests; how many of them were booked, cancelled, moved, listed, or ended in
            conflicts, busy, errors; attempts (mean a request); double_bookings and
            dishonest_replies, as `ledger.Judgement` counts them; seconds, per_second (requests),
            p50_ms and p95_ms (of a booking), client_cpu_share.
        details: The text of the first error of each kind, by strategy.
    """

    strategies: list[Strategy]
    controls: list[Strategy]
    skipped: Mapping[str, str]
    wanted: int
    frame: pd.DataFrame
    details: Mapping[str, Mapping[str, str]] = field(default_factory=dict)

    @property
    def tested(self) -> pd.DataFrame:
        """The rows of the strategies under test."""
        return self.frame[~self.frame["control"]]

    def table(self) -> pd.DataFrame:
        """Return the frame as readers see it, with a line for all that were tested together."""
        tested = self.tested
        # What never happened needs no column, unless it is the very thing that must not happen.
        counts = [
            name
            for name in ("requests", *DONE.values(), *REFUSED)
            if name == "errors" or self.frame[name].any()
        ]
        summed = tested[[*counts, *FAULTS]].sum()
        together = {"strategy": "all under test", **summed}
        shown = ["strategy", *counts, *FAULTS, "per_second"]
        marks = self.frame["control"].map({True: " (control)", False: ""})
        frame = self.frame.assign(strategy=self.frame["strategy"] + marks)
        frame["per_second"] = frame["per_second"].round()
        rows = [frame[~frame["control"]], pd.DataFrame([together]), frame[frame["control"]]]
        table = pd.concat(rows, ignore_index=True)[shown]
        table = table.astype(dict.fromkeys([*counts, *FAULTS], int))
        words = {"per_second": "a second", "dishonest_replies": "untrue replies"}
        return table.rename(columns=words).rename(columns=lambda name: name.replace("_", " "))

    def record(self, verdicts: Verdicts) -> None:
        """Add what the judge says; no timing decides."""
        tested = self.tested
        made = int(tested["requests"].sum())
        mixed = bool((tested[["cancelled", "moved"]] > 0).all(axis=None))
        verdicts.add(
            "As many requests were made as were asked for, with cancels and moves in every load",
            held=made >= self.wanted and mixed,
            evidence=f"at least {self.wanted:,} were asked for",
        )
        for claim, fault in (
            ("Under a long mixed load no slot is booked twice (safety)", "double_bookings"),
            ("Under a long mixed load every reply agrees with the rows (honest replies)",
             "dishonest_replies"),
        ):  # fmt: skip
            broken = tested[tested[fault] > 0]
            verdicts.add(
                claim,
                held=broken.empty,
                evidence=_by(broken, fault) or "no request broke it",
                trials=made,
                # One reply can be in several others' way.
                failures=min(int(broken[fault].sum()), made),
                unit="requests",
            )
        may_be_busy = [each.name for each in self.strategies if each.traits.may_answer_busy]
        unannounced = tested["busy"].where(~tested["strategy"].isin(may_be_busy), 0)
        wrong = tested.assign(wrong=tested["errors"] + unannounced)
        verdicts.add(
            "Under a long mixed load no request ends in an error, nor in busy where that is not"
            " announced",
            held=not wrong["wrong"].any(),
            evidence=_by(wrong[wrong["wrong"] > 0], "wrong") or "no request contradicts it",
            trials=made,
            failures=int(wrong["wrong"].sum()),
            unit="requests",
        )
        self._judge_controls(verdicts)

    def _judge_controls(self, verdicts: Verdicts) -> None:
        controls = self.frame[self.frame["control"]]
        if controls.empty:
            return
        caught = (controls[list(FAULTS)] > 0).any(axis=1)
        missed = ", ".join(controls.loc[~caught, "strategy"])
        verdicts.add(
            "Every control is caught by the same judge under the same load",
            held=not missed,
            evidence=f"{caught.sum()} of {len(controls)} caught"
            + (f"; missed: {missed}" if missed else ""),
        )


def _by(broken: pd.DataFrame, fault: str) -> str:
    """Say which strategies broke something, and how often."""
    counts = zip(broken["strategy"], broken[fault], strict=True)
    return ", ".join(f"{name} broke it {count} times" for name, count in counts)


def endure(  # noqa: PLR0913 - an experiment has as many parameters
    strategies: Sequence[str | Strategy],
    exhibits: Sequence[str | Strategy],
    *,
    requests: int,
    control_requests: int,
    vus: int = 16,
    staff: int = 5,
    days: int = 1,
    mix: Mapping[str, float] | None = None,
    seed: int = 1,
) -> Endurance:
    """Put strategies and controls under a long mixed load.

    Args:
        strategies: Those under test, as `race` takes them.
        exhibits: The controls.
        requests: How many are made at least, over all strategies under test.
        control_requests: How many are made at least of each control.
        vus: Virtual users at a time; each makes the same number of requests.
        staff: Calendars; the n-th is wanted 1/n times as often as the first.
        days: Over how many days starts are spread.
        mix: Operations with their weights; `MIX` if left out.
        seed: For all that is drawn.

    Raises:
        BadExperiment: A parameter is out of range.
        UnknownStrategy: There is no such strategy.
    """
    controls = [find_strategy(each) for each in exhibits]
    tested, skipped = _supported([find_strategy(each) for each in strategies])
    shared: dict[str, Any] = {"vus": vus, "staff": staff, "days": days, "skew": "zipf"}
    rows = []
    details = {}
    for strategy in tqdm([*tested, *controls], "loads"):
        control = strategy in controls
        share = control_requests if control else -(-requests // len(tested))
        for drawn in range(seed, seed + (PATIENCE if control else 1)):
            result = load(
                strategy,
                iterations=-(-share // vus),
                mix=mix or MIX,
                hold_ms=0,
                offers=0,  # alternatives are not what is judged here
                seed=drawn,
                **shared,
            )
            row = _row(result)
            if any(row[fault] for fault in FAULTS):
                break
        rows.append({"strategy": strategy.name, "control": control, **row})
        if result.details:
            details[strategy.name] = result.details
    return Endurance(tested, controls, skipped, requests, pd.DataFrame(rows), details)


def _supported(strategies: Sequence[Strategy]) -> tuple[list[Strategy], dict[str, str]]:
    """Return those that the server can run, and why it can't run the others.

    This is asked first, for the others then make the requests of those left out.
    """
    supported, skipped = [], {}
    with fresh_database() as database, database.engine().connect() as connection:
        for strategy in strategies:
            try:
                strategy.check_server(connection)
                supported.append(strategy)
            except UnsupportedServer as error:
                skipped[strategy.name] = str(error)
    return supported, skipped


def _row(result: LoadResult) -> dict[str, Any]:
    measured = result.row()
    requests = int(measured["iterations"])
    return {
        "requests": requests,
        **{done: int(measured[f"{noun}_successes"]) for noun, done in DONE.items()},
        **{end: sum(int(measured[f"{noun}_{end}"]) for noun in NOUNS.values()) for end in REFUSED},
        "attempts": measured["attempts"] / requests,
        **{fault: int(measured[fault]) for fault in FAULTS},
        "seconds": result.seconds,
        "per_second": measured["per_second"],
        "p50_ms": measured["booking_duration_p50_ms"],
        "p95_ms": measured["booking_duration_p95_ms"],
        "client_cpu_share": measured["client_cpu_share"],
    }
