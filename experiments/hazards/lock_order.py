"""Two calendars, locked in opposite orders and in one fixed order.

A move from one staff member to another touches two calendars. Where each request locks them in
the order in which it names them, two moves that swap take one lock each and wait for the other's:
a deadlock. PostgreSQL lets both wait for `deadlock_timeout` (a second by default) before it looks,
and then ends one (40P01). In one fixed order the second simply waits for the first.

Nothing is left to luck: between its two locks a client waits until both clients are seen in
`pg_locks`, each with a lock that it holds or waits for.

Manual: 13.3.4 Deadlocks.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
from sqlalchemy import bindparam, exc, func, select, text

from booking_core.strategies import DEFAULT
from booking_core.strategies.advisory import CALENDARS, Advisory
from experiments.hazards.deadlocks import deadlock_engine
from experiments.hazards.hazard import Hazard, never, side
from experiments.hazards.together import together
from experiments.scenes.shapes import SHAPES
from experiments.scenes.stage import Stage
from experiments.server.postgres import fresh_database
from experiments.waiting.onlooker import until

if TYPE_CHECKING:
    from booking_core.strategies.transaction import BookingTransaction

OPPOSITE, FIXED = "in the order of the request", "in one fixed order"
_LOCK = select(func.pg_advisory_xact_lock(CALENDARS, bindparam("calendar")))
_ALONE = text("""
    SELECT count(DISTINCT pid) = 1 FROM pg_locks JOIN pg_stat_activity USING (pid)
     WHERE locktype = 'advisory' AND classid = :calendars AND datname = current_database()
""").bindparams(calendars=CALENDARS)


class OneByOne(Advisory):
    """Locks calendars one by one, and stops between them until its rival is there.

    In the order of the request it is no strategy for bookings: it deadlocks.

    Args:
        fixed: Whether in one fixed order.
    """

    name = "one_by_one"

    def __init__(self, *, fixed: bool) -> None:
        self._fixed = fixed
        self.begin()

    def begin(self) -> None:
        """Forget the last round."""
        self._met = threading.Event()
        self.victims_waited: list[float] = []

    def guard(self, tx: BookingTransaction) -> None:
        """Lock the calendar that is moved to, meet the rival, lock the other one."""
        assert tx.request.moves is not None
        named = [tx.request.staff_id, tx.request.moves.staff_id]
        first, second = tx.staff_ids if self._fixed else named
        tx.connection.execute(_LOCK, {"calendar": first})
        until(lambda: self._met.is_set() or not tx.connection.scalar(_ALONE))
        self._met.set()  # whoever tries again has nobody to meet
        started = time.perf_counter()
        try:
            tx.connection.execute(_LOCK, {"calendar": second})
        except exc.OperationalError:
            self.victims_waited.append(1000 * (time.perf_counter() - started))
            raise


def lock_order(*, deadlock_timeout_ms: int = 200, rounds: int = 3) -> Hazard:
    """Let two clients move appointments onto each other's calendars.

    Args:
        deadlock_timeout_ms: How long PostgreSQL lets them wait, where we may say so.
        rounds: How often, the variants in turn.
    """
    variants = {OPPOSITE: OneByOne(fixed=False), FIXED: OneByOne(fixed=True)}
    rows = []
    with fresh_database() as database:
        engine, timeout_ms = deadlock_engine(database, deadlock_timeout_ms, 2)
        stage = Stage(database.engine(), DEFAULT(), SHAPES["swap"].scene(2))
        for number in range(rounds + 1):
            for variant, strategy in variants.items():
                strategy.begin()
                stage.strategy = strategy
                stage.reset()
                service = stage.service(engine, offers=0)
                _, took = together([partial(stage.perform, service, client) for client in (0, 1)])
                victims = strategy.victims_waited
                rows.append(
                    {
                        "variant": variant,
                        "round": number,
                        "deadlocks": len(victims),
                        "victim_waited_ms": max(victims, default=float("nan")),
                        "both_answered_ms": took,
                    }
                )
    runs = pd.DataFrame(rows)
    runs = runs[runs["round"] > 0]  # the first one is practice
    seen = {variant: runs[runs["variant"] == variant]["deadlocks"] for variant in variants}
    ended = {variant: int((deadlocks > 0).sum()) for variant, deadlocks in seen.items()}
    median = runs.groupby("variant")[["victim_waited_ms", "both_answered_ms"]].median()
    return Hazard(
        name="lock_order",
        question="What if two moves lock their two calendars in opposite orders?",
        setting=f"two moves that swap; deadlock_timeout {timeout_ms} ms",
        runs=runs,
        sentence=f"Locked {OPPOSITE}, {ended[OPPOSITE]} of {rounds} rounds ended in a"
        f" deadlock, whose victim had waited {median['victim_waited_ms'][OPPOSITE]:.0f} ms; locked"
        f" {FIXED}, {ended[FIXED]} did, and both were answered after"
        f" {median['both_answered_ms'][FIXED]:.0f} ms.",
        sides=(
            side(OPPOSITE, runs[runs["variant"] == OPPOSITE], "both_answered_ms"),
            side(FIXED, runs[runs["variant"] == FIXED], "both_answered_ms"),
        ),
        verdicts=(
            never(
                "Two calendars locked in opposite orders deadlock",
                seen[OPPOSITE] == 0,
                "no deadlock",
                "rounds",
            ),
            never(
                "Two calendars locked in one fixed order never do",
                seen[FIXED] > 0,
                "deadlocks",
                "rounds",
            ),
        ),
    )
