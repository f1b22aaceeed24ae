"""Detection power: how long each method takes to see what is wrong with a lock.

A method is tried on exhibits, which are unsound, and on controls, which are not: sound strategies,
and one that was changed harmlessly. It has a budget of trials. What counts is after how many of
them it saw a fault, whether it missed one, and whether it raised a false alarm.

- `origin_test`: what the origin's integration test does. Twenty requests for one identical slot,
  released together; a trial is one such race.
- `shaped_race`: the same number of clients, but the shape of the race is varied from trial to
  trial, and each client spends a few milliseconds between check and insert.
- `sampled`: schedules of three clients drawn at random, in each shape in turn (see
  `experiments.explore`); a trial is a schedule.
- `explorer`: every schedule of two clients in each shape, those with fewest preemptions first,
  then one of each kind with three. A trial is a schedule. Its budget is what there is.
- `world`: every pair of requests, in every order of their statements. A trial is a schedule.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import pandas as pd
from sqlalchemy import func, select
from tqdm.auto import tqdm

from booking_core.strategies.advisory import Advisory
from experiments.explore import explore
from experiments.explore.pairs import explore_pairs
from experiments.race.race import FAULTS, HOLD_MS, races
from experiments.scenes.catalogue import find_strategy
from experiments.scenes.world import WORLD
from experiments.show.figures import HELD, INK, STYLE, VERMILION, panel

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from matplotlib.figure import Figure

    from booking_core.strategies import Strategy
    from booking_core.strategies.transaction import BookingTransaction
    from experiments.explore import Result


@dataclass(frozen=True, slots=True)
class Budget:
    """What the methods may spend on each subject.

    Attributes:
        clients: How many race.
        runs: Races of `origin_test`, and of `shaped_race` in each shape.
        shapes: What clients ask for, where a method varies it.
        schedules: Schedules that `sampled` draws in each shape.
        seed: For whatever is drawn.
        dimensions: Of the world of pairs; all of them if there are none.
    """

    clients: int
    runs: int
    shapes: tuple[str, ...]
    schedules: int
    seed: int
    dimensions: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Finding:
    """What a method made of a subject.

    Attributes:
        method: Which method.
        subject: The strategy's name.
        sound: Whether there was nothing to find.
        trials: How many were made; where a fault was seen, how many up to that one.
        caught: Whether it saw a fault.
        seconds: How long that took.
    """

    method: str
    subject: str
    sound: bool
    trials: int
    caught: bool
    seconds: float


class OtherKey(Advisory):
    """The strategy `advisory`, changed harmlessly: another number stands for "calendars"."""

    name = "advisory, other key"

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the calendars' locks, by another name."""
        for staff_id in tx.staff_ids:
            tx.connection.execute(select(func.pg_advisory_xact_lock(4_627, staff_id)))


HARMLESS = OtherKey()


def origin_test(subject: Strategy, budget: Budget) -> tuple[int, bool]:
    """Race for one identical slot."""
    return _race(subject, budget, ("same_slot",), hold_ms=0)


def shaped_race(subject: Strategy, budget: Budget) -> tuple[int, bool]:
    """Race in every shape."""
    return _race(subject, budget, budget.shapes, hold_ms=HOLD_MS)


def sampled(subject: Strategy, budget: Budget) -> tuple[int, bool]:
    """Draw schedules."""
    return _explore(
        [
            {"shape": shape, "clients": 3, "search": "sampled", "schedules": budget.schedules}
            for shape in budget.shapes
        ],
        subject,
        budget,
    )


def explorer(subject: Strategy, budget: Budget) -> tuple[int, bool]:
    """Play every schedule."""
    return _explore(
        [{"shape": shape} for shape in budget.shapes]
        + [
            {"shape": shape, "clients": 3, "search": "reduced", "attempts": 2}
            for shape in budget.shapes
        ],
        subject,
        budget,
    )


def world(subject: Strategy, budget: Budget) -> tuple[int, bool]:
    """Play every pair of requests."""
    pairs = [
        name
        for name, pair in WORLD.items()
        if not budget.dimensions or pair.dimension in budget.dimensions
    ]
    explored = explore_pairs(subject, pairs=pairs, stop_at_first=True)
    return explored.schedules, not explored.holds


METHODS: dict[str, Callable[[Strategy, Budget], tuple[int, bool]]] = {
    "origin_test": origin_test,
    "shaped_race": shaped_race,
    "sampled": sampled,
    "explorer": explorer,
    "world": world,
}


@dataclass(frozen=True)
class Detection:
    """What all methods made of all subjects."""

    findings: list[Finding]

    def __getitem__(self, place: tuple[str, str]) -> Finding:
        """Return what a method made of a subject."""
        return next(each for each in self.findings if (each.method, each.subject) == place)

    def missed(self, method: str) -> list[str]:
        """Return the exhibits in which a method saw nothing wrong."""
        return [f.subject for f in self.findings if f.method == method and not f.sound | f.caught]

    def false_alarms(self, method: str) -> list[str]:
        """Return the controls in which a method saw a fault."""
        return [f.subject for f in self.findings if f.method == method and f.sound and f.caught]

    def table(self) -> pd.DataFrame:
        """Return one row a method: what it caught, missed and got wrong, and how fast."""
        rows = []
        for method in dict.fromkeys(finding.method for finding in self.findings):
            mine = [finding for finding in self.findings if finding.method == method]
            caught = [finding for finding in mine if finding.caught and not finding.sound]
            rows.append(
                {
                    "method": method,
                    "caught": len(caught),
                    "missed": ", ".join(self.missed(method)) or "none",
                    "false alarms": len(self.false_alarms(method)),
                    "controls": sum(finding.sound for finding in mine),
                    "trials until caught (median)": pd.Series([f.trials for f in caught]).median(),
                    "seconds until caught (median)": round(
                        pd.Series([f.seconds for f in caught]).median(), 2
                    ),
                }
            )
        return pd.DataFrame(rows)

    def figure(self) -> Figure:
        """Draw a field for each subject and method."""
        methods = list(dict.fromkeys(finding.method for finding in self.findings))
        subjects = list(dict.fromkeys(finding.subject for finding in self.findings))
        with mpl.rc_context(STYLE):
            figure, axis = panel(2.4 + 1.5 * len(methods), 0.9 + 0.38 * len(subjects))
            for finding in self.findings:
                row, column = subjects.index(finding.subject), methods.index(finding.method)
                colour, ink, words = _field(finding)
                axis.barh(row, 0.96, left=column + 0.02, height=0.9, color=colour)
                axis.text(column + 0.5, row, words, ha="center", va="center",
                          color=ink, fontsize=8.5)  # fmt: skip
            sound = {finding.subject for finding in self.findings if finding.sound}
            axis.set_yticks(
                range(len(subjects)),
                [f"{name} (sound)" if name in sound else name for name in subjects],
            )
            axis.set_xticks(
                [column + 0.5 for column in range(len(methods))],
                [method.replace("_", "\n") for method in methods],
            )
            axis.xaxis.tick_top()
            axis.tick_params(length=0)
            axis.spines[:].set_visible(False)
            axis.set_xlim(0, len(methods))
            axis.set_ylim(len(subjects) - 0.45, -0.55)
        return figure

    def described(self) -> str:
        """Say what the figure shows, for who can't see it."""
        return "Table of subjects against methods. " + " ".join(
            f"{method}: missed {', '.join(self.missed(method)) or 'none'},"
            f" {len(self.false_alarms(method))} false alarms."
            for method in dict.fromkeys(finding.method for finding in self.findings)
        )


def detect(
    exhibits: Sequence[str | Strategy], controls: Sequence[str | Strategy], budget: Budget
) -> Detection:
    """Try every method on every subject.

    Args:
        exhibits: The unsound ones.
        controls: The sound ones.
        budget: What each method may spend on each.
    """
    subjects = [(find_strategy(each), False) for each in exhibits]
    subjects += [(find_strategy(each), True) for each in controls]
    findings = []
    for subject, sound in tqdm(subjects, "subjects"):
        for name, method in METHODS.items():
            started = time.perf_counter()
            trials, caught = method(subject, budget)
            seconds = time.perf_counter() - started
            findings.append(Finding(name, subject.name, sound, trials, caught, seconds))
    return Detection(findings)


def _race(
    subject: Strategy, budget: Budget, shapes: Sequence[str], *, hold_ms: float
) -> tuple[int, bool]:
    raced = races(
        subject,
        levels=[budget.clients],
        rounds=budget.runs,
        shapes=shapes,
        hold_ms=hold_ms,
        seed=budget.seed,
    ).rounds
    # As if the shapes had been raced in turn, one round of each.
    in_turn = (raced[FAULTS] > 0).any(axis=1)[raced["round"].argsort(kind="stable")].tolist()
    return (in_turn.index(True) + 1, True) if any(in_turn) else (len(in_turn), False)


def _explore(
    wanted: Sequence[dict[str, Any]], subject: Strategy, budget: Budget
) -> tuple[int, bool]:
    trials = 0
    for options in wanted:
        result: Result = explore(subject, stop_at_first=True, seed=budget.seed, **options)
        trials += result.schedules
        if result.counterexample is not None:
            return trials, True
    return trials, False


def _field(finding: Finding) -> tuple[str, str, str]:
    unit = "run" if finding.method in ("origin_test", "shaped_race") else "schedule"
    if finding.caught and finding.sound:
        return VERMILION, "white", f"FALSE ALARM, {unit} {finding.trials:,}"
    if finding.caught:
        return HELD, INK, f"✓ caught, {unit} {finding.trials:,}"
    if finding.sound:
        return HELD, INK, f"✓ nothing in {finding.trials:,}"
    return VERMILION, "white", f"✗ missed in {finding.trials:,}"
