"""What a notebook ends with: claims, whether they held, and on how much evidence.

A notebook collects its verdicts and concludes in its last cell. Concluding shows them as one
table, saves them for the publisher, and only then fails the notebook if a claim did not hold:
a failure is a result too, and the report must be able to tell it.

    verdicts = Verdicts("04_contention")
    verdicts.add("No strategy books a slot twice", held=doubles == 0,
                 evidence="double bookings", failures=doubles, trials=1200, unit="rounds")
    verdicts.conclude()

The table holds no timings, so that nbval can compare it with the committed one.
"""

from dataclasses import asdict, dataclass, field

import numpy as np
import pandas as pd
from markupsafe import Markup

from experiments.show import results, tables
from experiments.show.stats import worded_rate

# A symbol and a word, so that nothing hangs on a colour.
HELD = Markup("<strong class='badge held'>✓ held</strong>")
FAILED = Markup("<strong class='badge failed'>✗ failed</strong>")


class VerdictFailed(Exception):
    """A claim did not hold. Everything was recorded before this was raised."""

    def _render_traceback_(self) -> list[str]:
        # IPython's hook: a failed claim has no traceback that would help anybody.
        return [f"VerdictFailed: {self}"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """One claim and what became of it.

    Attributes:
        claim: A sentence that is true or false.
        held: Whether it was true.
        evidence: What was seen, with numbers.
        trials: How many attempts, rounds or schedules the verdict rests on; None where it does
            not rest on a count.
        failures: How many of them spoke against the claim.
        unit: What a trial was, in the plural.
    """

    claim: str
    held: bool
    evidence: str
    trials: int | None = None
    failures: int = 0
    unit: str = "attempts"


@dataclass
class Verdicts:
    """The verdicts of one notebook.

    Attributes:
        notebook: The notebook's name without its suffix.
        all: The verdicts in the order in which they were added.
    """

    notebook: str
    all: list[Verdict] = field(default_factory=list)

    def add(  # noqa: PLR0913 - a verdict has that many parts, and all but the claim go by name
        self,
        claim: str,
        *,
        held: bool,
        evidence: str = "",
        trials: int | None = None,
        failures: int = 0,
        unit: str = "attempts",
    ) -> None:
        """Record a claim and whether it held.

        Args:
            claim: A sentence that is true or false; unique in the notebook.
            held: Whether it was true.
            evidence: What was seen or, with `trials`, what was counted: "double bookings".
            trials: How many trials there were; the count and its interval are then worded here.
            failures: How many of the trials spoke against the claim.
            unit: What a trial was, in the plural: "rounds", "schedules".

        Raises:
            TypeError: `held` is no truth value. A NaN, for one, would count as true.
            ValueError: The claim was made before, or there is no evidence, or no trial.
        """
        if not isinstance(held, bool | np.bool_):
            raise TypeError(f"{claim!r}: held must be True or False, not {held!r}")
        if claim in (verdict.claim for verdict in self.all):
            raise ValueError(f"{claim!r} was claimed twice")
        if trials is not None:
            counted = worded_rate(failures, trials, unit)
            evidence = f"{evidence}: {counted}" if evidence else counted
        if not evidence:
            raise ValueError(f"{claim!r} has no evidence")
        # pandas counts in numpy's types, which JSON refuses.
        counted_trials = None if trials is None else int(trials)
        self.all.append(Verdict(claim, bool(held), evidence, counted_trials, int(failures), unit))

    def conclude(self) -> None:
        """Show the verdicts, save them for the publisher, fail the notebook if one failed.

        Raises:
            ValueError: Nothing was claimed.
            VerdictFailed: A claim did not hold; raised after everything was recorded.
        """
        if not self.all:
            raise ValueError(f"{self.notebook} concludes without a claim")
        frame, caption = as_frame(self.all), summary(self.all)
        as_words = frame.map(lambda cell: cell.striptags() if isinstance(cell, Markup) else cell)
        results.show_html(tables.to_html(frame, caption), tables.to_text(as_words, caption))
        results.save(
            f"{self.notebook}.verdicts.json",
            {"notebook": self.notebook, "verdicts": [asdict(verdict) for verdict in self.all]},
        )
        failed = [verdict.claim for verdict in self.all if not verdict.held]
        if failed:
            raise VerdictFailed("; ".join(failed))


def as_frame(verdicts: list[Verdict]) -> pd.DataFrame:
    """Lay verdicts out as a table for people.

    Args:
        verdicts: Any verdicts.

    Returns:
        One row a verdict: the claim, the word for how it went, the evidence.
    """
    return pd.DataFrame(
        {
            "claim": [verdict.claim for verdict in verdicts],
            "verdict": [HELD if verdict.held else FAILED for verdict in verdicts],
            "evidence": [verdict.evidence for verdict in verdicts],
        }
    )


def summary(verdicts: list[Verdict]) -> str:
    """Say in one phrase how the claims went.

    Args:
        verdicts: Any verdicts.

    Returns:
        For instance "3 of 3 claims held".
    """
    held = sum(verdict.held for verdict in verdicts)
    return f"{held} of {len(verdicts)} claims held"
