"""What a whole report says, computed from its runs and never typed.

The answer is only as good as its weakest part: one failed claim or one crashed notebook and the
report is not ok, however much else held.
"""

from collections import Counter
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from experiments.report.runs import Run

FORMAT = "booking lock lab report, version 1"


@dataclass(frozen=True)
class Report:
    """What was run, and what came of it.

    Attributes:
        folder: Where it is published.
        profile: The profile's name.
        runs: One for each notebook, in the order in which they ran.
        started: When the first one started, in UTC.
        seconds: How long all of them took.
        facts: Versions, machine and settings.
    """

    folder: Path
    profile: str
    runs: tuple[Run, ...]
    started: datetime
    seconds: float
    facts: dict[str, str]

    @property
    def ok(self) -> bool:
        """Whether no claim failed and no notebook crashed."""
        return all(run.status in ("held", "no verdicts") for run in self.runs)

    @property
    def headline(self) -> str:
        """The answer in one sentence."""
        held, claims = self.held
        crashed = sum(run.error is not None for run in self.runs)
        bad = [f"{claims - held} of {_counted(claims, 'claim')} failed"] if held < claims else []
        if crashed:
            bad.append(f"{_counted(crashed, 'notebook')} crashed")
        if bad:
            return " and ".join(bad) + "."
        if not claims:
            return "Nothing was claimed."
        return "The one claim held." if claims == 1 else f"All {claims} claims held."

    @property
    def held(self) -> tuple[int, int]:
        """How many claims held, and how many there were."""
        held = [verdict.held for run in self.runs for verdict in run.verdicts]
        return sum(held), len(held)

    @property
    def evidence(self) -> dict[str, int]:
        """How many rounds, schedules and so on the verdicts rest on, by unit.

        Several claims of a notebook may rest on the same rounds. Of each notebook, therefore,
        only the largest count of a unit is taken: too little rather than too much.
        """
        total: Counter[str] = Counter()
        for run in self.runs:
            largest: Counter[str] = Counter()
            for verdict in run.verdicts:
                largest[verdict.unit] = max(largest[verdict.unit], verdict.trials or 0)
            total += largest
        return dict(total)

    def record(self) -> dict[str, Any]:
        """The report for programs.

        Returns:
            What verdicts.json holds. Its `format` is how a folder is known to be a report.
        """
        return {
            "format": FORMAT,
            "ok": self.ok,
            "headline": self.headline,
            "profile": self.profile,
            "started": self.started.isoformat(timespec="seconds"),
            "seconds": round(self.seconds, 1),
            "evidence": self.evidence,
            "notebooks": [
                {
                    "name": run.name,
                    "title": run.title,
                    "status": run.status,
                    "error": run.error,
                    "seconds": round(run.seconds, 1),
                    "parameters": run.parameters,
                    "verdicts": [asdict(verdict) for verdict in run.verdicts],
                }
                for run in self.runs
            ],
            "facts": self.facts,
        }


def _counted(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"
