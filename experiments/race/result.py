"""What a race showed: every request and every round, and what they came to."""

from __future__ import annotations

from dataclasses import dataclass, fields
from shlex import join
from typing import TYPE_CHECKING, Any

from experiments.judge.history import Faults
from experiments.scenes.draws import DRAWN

if TYPE_CHECKING:
    import pandas as pd

HOLD_MS = 5.0
# Every other outcome is an error.
REPLIES = ("booked", "conflict", "busy", "cancelled", "closed", "invalid")
FAULTS = [fault.name for fault in fields(Faults)]


@dataclass(frozen=True, slots=True)
class RaceResult:
    """What a race showed.

    Attributes:
        requests: One row a request: strategy, shape, clients, round, played (the shape, or the
            pair that was drawn), client, operation, outcome, attempts, start_us (since the round's
            first release), latency_ms, waited_ms (for locks, as PostgreSQL saw it), alternatives
            (how many a conflict offered), appointment_id, detail (an error's text).
        rounds: One row a round: strategy, shape, clients, round, played, release_skew_us and a
            count for each fault.
        hold_ms: Milliseconds that clients spent between check and insert.
        processes: Over how many processes they were spread.
    """

    requests: pd.DataFrame
    rounds: pd.DataFrame
    hold_ms: float = HOLD_MS
    processes: int = 1

    def broken_by(self) -> dict[str, int]:
        """Return the shapes and pairs that broke something, with the number of such rounds."""
        broken = self.rounds[(self.rounds[FAULTS] > 0).any(axis=1)]
        return {str(name): int(n) for name, n in broken["played"].value_counts().items()}

    def again(self, strategy: str) -> list[str]:
        """Return the commands that race each of them alone.

        Args:
            strategy: What commands call the strategy.
        """
        options = {
            "--strategy": strategy,
            "--clients": self.rounds["clients"].max(),
            "--rounds": 20,
            "--hold-ms": f"{self.hold_ms:g}",
            "--processes": self.processes,
        }
        words = [str(word) for option in options.items() for word in option]
        return [join(["booking-lab", "race", "--shape", name, *words]) for name in self.broken_by()]

    def summary(self) -> dict[str, Any]:
        """Return one object for the whole race; counts are summed over the rounds."""
        requests, rounds = self.requests, self.rounds
        outcomes = {str(name): int(n) for name, n in requests["outcome"].value_counts().items()}
        errors = {name: count for name, count in outcomes.items() if name not in REPLIES}
        first = requests.iloc[0]
        shape = str(first["shape"])
        conflicts = requests[requests["outcome"] == "conflict"]
        return {
            "strategy": str(first["strategy"]),
            "shape": shape,
            "clients": int(first["clients"]),
            "rounds": len(rounds),
            **({"drawn": rounds["played"].tolist()} if shape == DRAWN else {}),
            **{reply: outcomes.get(reply, 0) for reply in REPLIES},
            "error": sum(errors.values()),
            "errors": errors,
            **{fault: int(rounds[fault].sum()) for fault in FAULTS},
            "rounds_broken": sum(self.broken_by().values()),
            "broken_by": self.broken_by(),
            "conflicts_without_alternatives": int((conflicts["alternatives"] == 0).sum()),
            "attempts": int(requests["attempts"].sum()),
            "release_skew_us": round(float(rounds["release_skew_us"].median()), 1),
            "latency_ms_median": round(float(requests["latency_ms"].median()), 3),
            "latency_ms_p95": round(float(requests["latency_ms"].quantile(0.95)), 3),
            "waited_ms_median": round(float(requests["waited_ms"].median()), 3),
        }
