"""A bystander: a query that wants no lock, beside a crowd that wants one.

A hundred clients with one small pool want a slot whose lock somebody holds. A strategy that
waits does so inside the server, each waiter with a connection; when the pool is used up, a query
of the same program that has nothing to do with bookings waits for the lock too. A strategy that
tries and gives the connection back leaves the pool to everybody.

The bystander asks `SELECT 1` at fixed intervals, each time in a thread of its own, and its
latency counts from the intended start: a query that could not be asked in time is a slow one.
The lock is held for as long as the bystander's questions are asked; on a very slow machine, until
the first is answered where that can happen. The control is the same pool and the same holder,
without the crowd. Rounds alternate.

All are threads of one process, as in a web server. Those who try come back again and again, the
more often the earlier, so their first tries are a burst that the bystander feels as well.
"""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import pandas as pd
from sqlalchemy import text
from tqdm.auto import tqdm

from experiments.scenes.catalogue import find_strategy
from experiments.scenes.shapes import SHAPES
from experiments.scenes.stage import Stage
from experiments.server.postgres import fresh_database
from experiments.show.stats import percentile, spread
from experiments.waiting.crowd import Crowd, crowd_engine
from experiments.waiting.onlooker import Onlooker, held

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from sqlalchemy import Engine

    from booking_core.strategies import Strategy
    from experiments.show.verdicts import Verdicts
    from experiments.waiting.crowd import Request

WAITING = ("advisory", "staff_row")
TRYING = ("advisory_try", "staff_row_nowait", "staff_row_skip_locked")
CONTROL = "no crowd"
ANSWER_SECONDS = 10.0
_QUESTION = text("SELECT 1")


@dataclass(frozen=True)
class Bystander:
    """What became of a query that wants no lock.

    Attributes:
        asks: One row a query: crowd (the strategy's name or "no crowd"), round, number,
            latency_ms (from the intended start), while_held (whether it was answered while the
            lock was still held).
        requests: One row a request of the crowds: crowd, round, and the fields of
            `crowd.Request`.
        waiting: The crowds whose strategy waits inside the server.
        pool: How many connections everybody shared.
    """

    asks: pd.DataFrame
    requests: pd.DataFrame
    waiting: list[str]
    pool: int

    def table(self) -> pd.DataFrame:
        """Return one row a crowd: how many queries were answered, and how late."""
        rows = []
        for crowd, asks in self.asks.groupby("crowd", sort=False):
            latency = asks["latency_ms"]
            middle = spread(latency)
            rows.append(
                {
                    "crowd": crowd,
                    "queries": len(asks),
                    "answered while the lock was held": int(asks["while_held"].sum()),
                    "median, ms": middle.median,
                    "quartiles, ms": f"{middle.low:,.1f} to {middle.high:,.1f}",
                    "95th percentile, ms": percentile(latency, 95),
                    "longest, ms": latency.max(),
                }
            )
        return pd.DataFrame(rows)

    def worded(self) -> str:
        """Say what the picture of the latencies shows, for who can't see it."""
        return " ".join(
            f"{crowd}: median {asks['latency_ms'].median():,.1f} ms, longest"
            f" {asks['latency_ms'].max():,.1f} ms."
            for crowd, asks in self.asks.groupby("crowd", sort=False)
        )

    def record(self, verdicts: Verdicts) -> None:
        """Add what the queries say about waiting and trying; no timing decides."""
        waits = self.asks["crowd"].isin(self.waiting)
        stuck, free = self.asks[waits], self.asks[~waits]
        if not stuck.empty:
            freed = stuck.groupby(["crowd", "round"])["while_held"].any()
            verdicts.add(
                "Where a crowd waits in the server, a query that wants no lock waits for the lock",
                held=not freed.any(),
                evidence="a query answered while the lock was held",
                trials=len(freed),
                failures=int(freed.sum()),
                unit="rounds",
            )
        answered = free.groupby("crowd", sort=False)["while_held"].any()
        verdicts.add(
            "Where a crowd tries and lets go, and where there is none, such a query is answered",
            held=bool(answered.all()),
            evidence=f"queries were answered while the lock was held in {answered.sum()} of"
            f" {len(answered)} cases",
        )


def stand_by(  # noqa: PLR0913 - an experiment has as many parameters
    strategies: Sequence[str | Strategy] = (*WAITING, *TRYING),
    *,
    clients: int = 100,
    pool: int = 10,
    rounds: int = 2,
    asks: int = 30,
    every_ms: float = 10.0,
    seed: int = 1,
) -> Bystander:
    """Ask an unrelated query beside a crowd of each strategy, and beside none.

    Args:
        strategies: As `race` takes them; they must work on one and the same schema.
        clients: How many want the slot; more than the pool holds.
        pool: How many connections they and the query share.
        rounds: How often, in turn.
        asks: Queries a round.
        every_ms: Milliseconds between two of them. The lock is held for `asks` times as long.
        seed: For the jitter between tries.
    """
    chosen = [find_strategy(each) for each in strategies]
    questions: list[pd.DataFrame] = []
    requests: list[pd.DataFrame] = []
    with fresh_database() as database, ExitStack() as closing:
        engine, control = crowd_engine(database, pool), database.engine()
        onlooker = closing.enter_context(Onlooker(control))
        stage = Stage(control, chosen[0], SHAPES["same_slot"].scene(clients))
        asker = closing.enter_context(Asker(engine, asks, every_ms / 1000))
        crowds: dict[str, Crowd] = {}
        for strategy in chosen:
            stage.strategy = strategy
            crowds[strategy.name] = closing.enter_context(Crowd(stage, engine, seed=seed))
        crowds[chosen[0].name].ask()  # a practice round, thrown away
        turns = [(number, each) for number in range(1, rounds + 1) for each in (None, *chosen)]
        for number, rivals in tqdm(turns, "rounds"):
            stage.strategy = rivals or chosen[0]
            stage.reset()
            asked: list[Future[Request]] = []
            with held(stage, control):
                if rivals:
                    asked = crowds[rivals.name].start()
                    if rivals.traits.waits:
                        onlooker.until_waiting(pool)
                asker.start()
                # How long the lock is held is the experiment's choice, not a condition.
                time.sleep(asks * every_ms / 1000)
                if rivals is None or not rivals.traits.waits:
                    asker.until_answered()
                let_go = time.perf_counter()
            names: dict[str, Any] = {"crowd": rivals.name if rivals else CONTROL, "round": number}
            questions.append(asker.answers(let_go).assign(**names))
            requests.append(pd.DataFrame([each.result() for each in asked]).assign(**names))
    return Bystander(
        pd.concat(questions, ignore_index=True),
        pd.concat(requests, ignore_index=True),
        [each.name for each in chosen if each.traits.waits],
        pool,
    )


class Asker:
    """Asks a query at fixed intervals, each time in a thread of its own. A context manager.

    Args:
        engine: Whose pool lends the connections.
        asks: How often.
        every: Seconds between two times.
    """

    def __init__(self, engine: Engine, asks: int, every: float) -> None:
        self._engine = engine
        self._asks = asks
        self._every = every

    def __enter__(self) -> Self:
        self._threads = ThreadPoolExecutor(self._asks)
        return self

    def __exit__(self, *_: object) -> None:
        self._threads.shutdown()

    def start(self) -> None:
        """Ask from now on."""
        now = time.perf_counter()
        self._intended = [now + number * self._every for number in range(self._asks)]
        self._asked = [self._threads.submit(self._ask, each) for each in self._intended]

    def until_answered(self) -> None:
        """Wait for the first answer, but not for ever."""
        wait(self._asked, timeout=ANSWER_SECONDS, return_when=FIRST_COMPLETED)

    def answers(self, let_go: float) -> pd.DataFrame:
        """Wait for all answers; return one row each: number, latency_ms, while_held."""
        answered = pd.Series([each.result() for each in self._asked])
        return pd.DataFrame(
            {
                "number": range(self._asks),
                "latency_ms": 1000 * (answered - self._intended),
                "while_held": answered < let_go,
            }
        )

    def _ask(self, intended: float) -> float:
        time.sleep(max(0.0, intended - time.perf_counter()))
        with self._engine.connect() as connection:
            connection.execute(_QUESTION)
        return time.perf_counter()
