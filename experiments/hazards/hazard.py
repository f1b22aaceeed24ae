"""What a small experiment showed: a hazard beside its control."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from pandas.api.types import is_float_dtype, is_integer_dtype

from experiments.show.stats import Spread, spread
from experiments.show.verdicts import Verdict

if TYPE_CHECKING:
    from experiments.show.verdicts import Verdicts


@dataclass(frozen=True, slots=True)
class Side:
    """How long the hazard took, or its control.

    Attributes:
        label: What was done.
        ms: Milliseconds: median and quartiles over the rounds.
    """

    label: str
    ms: Spread


@dataclass(frozen=True)
class Hazard:
    """A question, what was measured, and what follows.

    Attributes:
        name: Lower case, as a file's.
        question: What was asked.
        setting: What was done, with the numbers.
        runs: One row a round of each variant, in the order played: the columns of `by`, round,
            and what was measured (float) or counted (int) or said (text).
        sentence: What was seen, computed from the runs.
        verdicts: What holds; no timing decides.
        sides: How long the hazard and its control took; none where that is not the point.
        by: The columns that tell variants apart.
    """

    name: str
    question: str
    setting: str
    runs: pd.DataFrame
    sentence: str
    verdicts: tuple[Verdict, ...]
    sides: tuple[Side, Side] | tuple[()] = ()
    by: tuple[str, ...] = ("variant",)

    @property
    def frame(self) -> pd.DataFrame:
        """One row a variant: counts are summed, measurements are medians with quartiles."""
        rows = []
        for key, runs in self.runs.groupby(list(self.by), sort=False):
            measured = runs.drop(columns=[*self.by, "round"])
            rows.append(
                dict(zip(self.by, key, strict=True))
                | {"rounds": len(runs)}
                | {str(name).replace("_", " "): _summed_up(measured[name]) for name in measured}
            )
        return pd.DataFrame(rows)

    def record(self, verdicts: Verdicts) -> None:
        """Add the verdicts to a notebook's."""
        for verdict in self.verdicts:
            verdicts.add(
                verdict.claim,
                held=verdict.held,
                evidence=verdict.evidence,
                trials=verdict.trials,
                failures=verdict.failures,
                unit=verdict.unit,
            )


def side(label: str, runs: pd.DataFrame, column: str) -> Side:
    """Sum up a column of milliseconds, without the rounds in which there was nothing to measure."""
    return Side(label, spread(runs[column].dropna()))


def never(claim: str, broken: pd.Series, what: str, unit: str) -> Verdict:
    """Return the verdict on a claim that nothing may contradict.

    Args:
        claim: A sentence that is true or false.
        broken: For each trial whether it contradicts the claim.
        what: What was counted: "deadlocks".
        unit: What a trial was, in the plural.
    """
    failures = int(broken.sum())
    return Verdict(claim, failures == 0, what, len(broken), failures, unit)


def _summed_up(values: pd.Series) -> object:
    if is_integer_dtype(values):
        return int(values.sum())
    if is_float_dtype(values):
        return str(spread(values.dropna())) if values.notna().any() else "none"
    return ", ".join(dict.fromkeys(values.astype(str)))
