"""A payment inside the lock, before the booking, and after it.

Whoever calls a payment provider between check and insert holds the lock for as long as the
provider takes, and a calendar books one client a payment. Two orders avoid that. Who pays first
and books then may have paid for a slot that is lost, and is owed a refund. Who books first (a
hold, cancelled where the payment fails) pays for nothing in vain.

Each slot is wanted by two clients; the slots touch, they don't overlap.
"""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from booking_core.strategies import DEFAULT
from experiments.hazards.hazard import Hazard, never, side
from experiments.hazards.together import together
from experiments.scenes.places import STEP, Place
from experiments.scenes.shapes import OPENING, Call, Scene
from experiments.scenes.stage import Stage
from experiments.server.postgres import fresh_database
from experiments.show.verdicts import Verdict

if TYPE_CHECKING:
    from booking_core.booking import BookingService
    from experiments.scenes.replies import Answer

INSIDE, BEFORE, AFTER = "inside the lock", "pay, then book", "book, then pay"


class Till:
    """Where clients pay.

    Attributes:
        payments: How many were made.
        most_at_once: How many clients were seen paying at a time.
    """

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._mutex = threading.Lock()
        self._paying = 0
        self.payments = 0
        self.most_at_once = 0

    def pay(self) -> None:
        """Take as long as a payment takes."""
        with self._mutex:
            self._paying += 1
            self.payments += 1
            self.most_at_once = max(self.most_at_once, self._paying)
        time.sleep(self._seconds)
        with self._mutex:
            self._paying -= 1


def payment(*, slots: int = 3, payment_ms: float = 200.0, rounds: int = 2) -> Hazard:
    """Let two clients want each of some neighbouring slots, and pay.

    Args:
        slots: How many slots of one calendar.
        payment_ms: How long a payment takes, in milliseconds.
        rounds: How often, the variants in turn.
    """
    calls = [Call("book", Place(0, OPENING + n // 2 * STEP)) for n in range(2 * slots)]
    rows = []
    with fresh_database() as database:
        engine = database.engine(pool_size=len(calls))
        stage = Stage(database.engine(), DEFAULT(), Scene([], calls))
        services = {variant: stage.service(engine, offers=0) for variant in (BEFORE, AFTER)}
        # A practice round: afterwards connections are open and statements compiled.
        together([partial(stage.perform, services[AFTER], n) for n in range(len(calls))])
        for number in range(1, rounds + 1):
            for variant in (INSIDE, BEFORE, AFTER):
                till = Till(payment_ms / 1000)
                service = services.get(variant) or stage.service(
                    engine, offers=0, before_record=till.pay
                )
                stage.reset()
                answers, took = together(
                    [
                        partial(_pay_and_book, variant, till, stage, service, client)
                        for client in range(len(calls))
                    ]
                )
                booked = [ms for answer, ms in answers if answer.reply.outcome == "booked"]
                rows.append(
                    {
                        "variant": variant,
                        "round": number,
                        "booked": len(booked),
                        "paid_in_vain": till.payments - len(booked),
                        "paying_at_once": float(till.most_at_once),
                        "booked_per_second": 1000 * len(booked) / took,
                        "slowest_booking_ms": max(booked, default=float("nan")),
                    }
                )
    return _judged(pd.DataFrame(rows), slots, payment_ms)


def _pay_and_book(
    variant: str, till: Till, stage: Stage, service: BookingService, client: int
) -> Answer:
    if variant == BEFORE:
        till.pay()
    answer = stage.perform(service, client)
    if variant == AFTER and answer.reply.outcome == "booked":
        till.pay()
    return answer


def _judged(runs: pd.DataFrame, slots: int, payment_ms: float) -> Hazard:
    by = runs.groupby("variant")
    speed = by["booked_per_second"].median()
    in_vain = by["paid_in_vain"].sum().to_dict()
    inside, outside = runs[runs["variant"] == INSIDE], runs[runs["variant"] != INSIDE]
    return Hazard(
        name="payment",
        question="What does a payment inside the lock cost?",
        setting=f"{2 * slots} clients want {slots} neighbouring slots of one calendar, two each;"
        f" a payment takes {payment_ms:.0f} ms",
        runs=runs,
        sentence=f"One calendar took {speed[INSIDE]:.1f} bookings a second with the payment"
        f" inside the lock, {speed[AFTER]:.1f} with the payment after the booking and"
        f" {speed[BEFORE]:.1f} with the payment before it, which {in_vain[BEFORE]} clients"
        " made in vain.",
        sides=(
            side(INSIDE, inside, "slowest_booking_ms"),
            side(AFTER, runs[runs["variant"] == AFTER], "slowest_booking_ms"),
        ),
        verdicts=(
            never(
                "A payment inside the lock makes a calendar's clients pay one after another",
                inside["paying_at_once"] > 1,
                "two paid at once",
                "rounds",
            ),
            never(
                "Outside the lock they pay at the same time",
                outside["paying_at_once"] == 1,
                "nobody paid beside somebody else",
                "rounds",
            ),
            Verdict(
                "Only who pays before booking pays for a slot that is lost",
                in_vain == {INSIDE: 0, AFTER: 0, BEFORE: slots * len(inside)},
                "; ".join(f"{name}: {in_vain[name]} in vain" for name in (INSIDE, BEFORE, AFTER)),
            ),
        ),
    )
