"""Waiting, attributed: where the time of a request goes when many want one calendar.

A request waits for a connection of the pool, for locks inside the server, and between two tries;
the rest of its time is work, the client's and the server's. The client's clock tells how long it
asked the pool and how long it paused. A look into the server every few milliseconds
(`waits.SessionTime`) tells how long the pool's sessions waited for locks. The four parts of a
round are means over its requests, because means add up to the latency, and medians don't.

"Work" includes what Python's threads wait for each other. What the sessions did meanwhile, also
sampled, tells how much of it was the server's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd
from tqdm.auto import tqdm

from booking_core.errors import UnsupportedServer
from experiments.scenes.catalogue import find_strategy
from experiments.scenes.shapes import SHAPES
from experiments.scenes.stage import Stage
from experiments.server.postgres import fresh_database
from experiments.waiting.crowd import Crowd, crowd_engine
from experiments.waiting.waits import SessionTime

if TYPE_CHECKING:
    from collections.abc import Sequence

    from booking_core.strategies import Strategy

PARTS = ["lock_ms", "pool_ms", "pause_ms", "work_ms"]


@dataclass(frozen=True)
class Waiting:
    """Where the time of requests went.

    Attributes:
        requests: One row a request: strategy, round, and the fields of `crowd.Request`.
        rounds: One row a round: strategy, round, attempts (mean a request),
            latency_ms (mean) and its four parts, lock_ms, pool_ms, pause_ms and work_ms.
        sessions: One row a round and state: strategy, round, state (a type of wait event,
            "Client", "CPU" or "idle"), sessions (how many were in it at a time, on average).
        skipped: Why a strategy could not be tried on this server, by name.
    """

    requests: pd.DataFrame
    rounds: pd.DataFrame
    sessions: pd.DataFrame
    skipped: dict[str, str]

    def parts(self) -> pd.DataFrame:
        """Return one row a strategy: the mean latency in ms over all rounds, and its parts."""
        columns = ["attempts", "latency_ms", *PARTS]
        return self.rounds.groupby("strategy", sort=False)[columns].mean().reset_index()

    def server(self) -> pd.DataFrame:
        """Return one row a strategy: how many of the pool's sessions were at what, on average."""
        return (
            self.sessions.pivot_table(
                "sessions", "strategy", "state", aggfunc="sum", fill_value=0, sort=False
            )
            .div(self.rounds.groupby("strategy")["round"].nunique(), axis=0)
            .reindex(self.rounds["strategy"].unique())
            .reset_index()
            .rename_axis(columns=None)
        )

    def worded(self) -> str:
        """Say what the picture of the parts shows, for who can't see it."""
        return " ".join(
            f"{row.strategy}: {row.latency_ms:.0f} ms, of it lock {row.lock_ms:.0f},"
            f" pool {row.pool_ms:.0f}, pause {row.pause_ms:.0f}, work {row.work_ms:.0f}."
            for row in self.parts().itertuples()
        )


def divide(requests: pd.DataFrame, lock_ms: float) -> dict[str, float]:
    """Divide the mean latency of a round's requests into its parts.

    Args:
        requests: Columns latency_ms, pool_ms, pause_ms.
        lock_ms: What all of them together waited for locks. It is sampled, so it may exceed what
            the client's clock leaves for it by a little; what exceeds it is dropped.

    Returns:
        latency_ms and the parts, whose sum it is.
    """
    latency, pool, pause = (
        float(requests[name].mean()) for name in ("latency_ms", "pool_ms", "pause_ms")
    )
    inside = latency - pool - pause
    lock = min(lock_ms / len(requests), inside)
    parts = dict(zip(PARTS, (lock, pool, pause, inside - lock), strict=True))
    return {"latency_ms": latency, **parts}


def attribute(  # noqa: PLR0913 - an experiment has as many parameters
    strategies: Sequence[str | Strategy],
    *,
    clients: int = 16,
    pool: int = 6,
    rounds: int = 2,
    shape: str = "adjacent",
    seed: int = 1,
) -> Waiting:
    """Let a crowd book with each strategy, and divide its time.

    Args:
        strategies: As `race` takes them.
        clients: How many ask at once.
        pool: How many connections they share.
        rounds: How often.
        shape: A name of `experiments.scenes.shapes.SHAPES`. In "adjacent" all want one calendar and
            everybody is booked, so everybody does the same work.
        seed: For the jitter between tries.
    """
    requests, summaries, sessions = [], [], []
    skipped: dict[str, str] = {}
    with fresh_database() as database:
        engine, control = crowd_engine(database, pool), database.engine()
        for strategy in tqdm([find_strategy(each) for each in strategies], "waiting"):
            database.clear()
            try:
                stage = Stage(control, strategy, SHAPES[shape].scene(clients))
            except UnsupportedServer as error:
                skipped[strategy.name] = str(error)
                continue
            with Crowd(stage, engine, seed=seed) as crowd:
                watch = SessionTime(control, crowd.pids)
                crowd.ask()  # a practice round: afterwards statements are compiled and prepared
                for number in range(1, rounds + 1):
                    names: dict[str, Any] = {"strategy": strategy.name, "round": number}
                    stage.reset()
                    with watch:
                        asked = pd.DataFrame(crowd.ask())
                    spent = watch.milliseconds
                    divided = divide(asked, spent.get("Lock", 0.0))
                    requests.append(asked.assign(**names))
                    summaries.append({**names, "attempts": asked["attempts"].mean(), **divided})
                    duration = sum(spent.values()) / pool
                    sessions += [
                        {**names, "state": state, "sessions": milliseconds / duration}
                        for state, milliseconds in spent.items()
                    ]
                watch.close()
    return Waiting(
        pd.concat(requests, ignore_index=True),
        pd.DataFrame(summaries),
        pd.DataFrame(sessions),
        skipped,
    )
