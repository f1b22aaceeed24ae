"""What an exploration showed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from experiments.judge.history import Faults

if TYPE_CHECKING:
    from collections.abc import Hashable

    from experiments.schedules.schedule import Counterexample

PROPERTIES = [each.name for each in fields(Faults)]


@dataclass(slots=True)
class Result:
    """What an exploration showed.

    Attributes:
        strategy: What was explored.
        shape: The shape of the race.
        clients: How many.
        search: `exhaustive`, `reduced`, `bounded` or `sampled`.
        bound: What the search was bounded by, in words; empty where it was not.
        attempts: How many tries a request had.
        attempts_bounded: Whether that is fewer than the strategy would have made.
        complete: Whether every schedule within the bound was played (one of each kind, where the
            search is reduced), as far as the explorer decides: what the server decides is
            repeated, and counted in `varied`. A sampled search is never complete.
        schedules: How many were played.
        steps: How many steps they had.
        cut: Runs of a reduced search that turned out to be like an earlier one on their way.
        violations: In how many schedules each property broke.
        deadlocks: Transactions that the server ended because all waited in a circle.
        busy: Replies `busy`.
        retries: Tries beyond each client's first.
        most_attempts: The most tries that any request had.
        waits: Steps that waited in the server.
        repeated: Schedules that were repeated, since an order in them is the server's decision.
        varied: How many of them came to something else when repeated, or could not be repeated.
        broken: What was wrong with the code under test, and how often.
        outcomes: What the schedules came to; one entry for each outcome, with the number of
            schedules.
        seconds: How long it took.
        counterexample: A schedule that breaks a property, one with the fewest preemptions.
        notes: What else the reader should know.
        doubts: Those of them that say why nothing is proven.
    """

    strategy: str
    shape: str
    clients: int
    search: str
    bound: str = ""
    attempts: int = 0
    attempts_bounded: bool = False
    complete: bool = False
    schedules: int = 0
    steps: int = 0
    cut: int = 0
    violations: Counter[str] = field(default_factory=Counter)
    deadlocks: int = 0
    busy: int = 0
    retries: int = 0
    most_attempts: int = 0
    waits: int = 0
    repeated: int = 0
    varied: int = 0
    broken: Counter[str] = field(default_factory=Counter)
    outcomes: Counter[Hashable] = field(default_factory=Counter)
    seconds: float = 0.0
    counterexample: Counterexample | None = None
    notes: list[str] = field(default_factory=list)
    doubts: list[str] = field(default_factory=list)

    def start_again(self) -> None:
        """Forget what was counted, but not what was asked."""
        asked = {
            name: getattr(self, name)
            for name in ("strategy", "shape", "clients", "search", "attempts", "attempts_bounded")
        }
        fresh = Result(**asked)
        for each in fields(Result):
            setattr(self, each.name, getattr(fresh, each.name))

    def doubt(self, why: str) -> None:
        """Say why nothing is proven, although nothing is left to play."""
        self.complete = False
        self.doubts.append(why)
        self.notes.append(why)

    @property
    def holds(self) -> bool:
        """Whether no schedule broke a property, and none broke the code under test."""
        return not self.violations and not self.broken

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, for tables and JSON."""
        return {
            "strategy": self.strategy,
            "shape": self.shape,
            "clients": self.clients,
            "search": self.search,
            "bound": self.bound,
            "attempts": self.attempts,
            "attempts_bounded": self.attempts_bounded,
            "complete": self.complete,
            "holds": self.holds,
            "schedules": self.schedules,
            "steps": self.steps,
            "cut": self.cut,
            "violations": {name: self.violations[name] for name in PROPERTIES}
            | dict(self.violations),
            "deadlocks": self.deadlocks,
            "busy": self.busy,
            "retries": self.retries,
            "most_attempts": self.most_attempts,
            "waits": self.waits,
            "repeated": self.repeated,
            "varied": self.varied,
            "broken": dict(self.broken),
            "outcomes": len(self.outcomes),
            "seconds": round(self.seconds, 3),
            "notes": self.notes,
            "counterexample": self.counterexample.as_dict() if self.counterexample else None,
        }
