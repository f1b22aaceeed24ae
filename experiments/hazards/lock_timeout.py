"""A lock that somebody holds for longer than a client can wait.

Without `lock_timeout` the client waits for as long as the lock is held, and nobody tells it
anything. With it PostgreSQL gives up (55P03), the service tries again as often as the strategy's
policy says, and then answers `busy` with the code SLOT_BUSY. So the time until the client is told
is about `lock_timeout` times the tries, and the pauses between them: the two belong together.

Manual: 19.11.1 Statement Behavior, lock_timeout.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd

from booking_core.retry import RetryPolicy
from booking_core.strategies import DEFAULT
from experiments.hazards.hazard import Hazard, never, side
from experiments.hazards.together import timed
from experiments.scenes.shapes import SHAPES
from experiments.scenes.stage import Stage
from experiments.server.postgres import fresh_database
from experiments.waiting.onlooker import Onlooker, held

if TYPE_CHECKING:
    from typing import Any

    from experiments.scenes.replies import Answer

WITHOUT, WITH, ONE_TRY = "no lock_timeout", "lock_timeout", "lock_timeout, one try"
TOLD = "SLOT_BUSY"


def lock_timeout(*, timeout_ms: int = 50, rounds: int = 3) -> Hazard:
    """Let clients meet a lock that is held until all who can give up have given up.

    Args:
        timeout_ms: `lock_timeout`, in milliseconds.
        rounds: How often.
    """
    impatient = DEFAULT()
    impatient.retry = RetryPolicy(attempts=1)
    rows: list[dict[str, Any]] = []
    with fresh_database() as database, ThreadPoolExecutor(1) as threads:
        control = database.engine()
        limited = database.engine(connect_args={"options": f"-c lock_timeout={timeout_ms}ms"})
        stage = Stage(control, DEFAULT(), SHAPES["same_slot"].scene(2))
        services = {WITHOUT: stage.service(database.engine()), WITH: stage.service(limited)}
        stage.strategy = impatient
        services[ONE_TRY] = stage.service(limited)
        asks = {name: partial(stage.perform, service, 1) for name, service in services.items()}
        for practise in asks.values():
            practise()
        with Onlooker(control) as onlooker:
            for number in range(1, rounds + 1):
                stage.reset()
                with held(stage, control):
                    patient = threads.submit(timed, asks[WITHOUT])
                    onlooker.until_waiting(1)
                    rows += [
                        _row(name, number, *timed(asks[name]), answered_while_held=True)
                        for name in (WITH, ONE_TRY)
                    ]
                    answered = patient.done()
                rows.append(_row(WITHOUT, number, *patient.result(), answered_while_held=answered))
    runs = pd.DataFrame(rows)
    limited_runs = runs[runs["variant"] != WITHOUT]
    median = runs.groupby("variant")["told_after_ms"].median()
    return Hazard(
        name="lock_timeout",
        question="What is a client told, and when, while somebody else holds the lock?",
        setting=f"the lock is held until all others have given up; lock_timeout {timeout_ms} ms;"
        f" the strategy tries {DEFAULT.retry.attempts} times",
        runs=runs,
        sentence=f"With lock_timeout a client was told {TOLD} after {median[WITH]:.0f} ms in"
        f" {DEFAULT.retry.attempts} tries, after {median[ONE_TRY]:.0f} ms in one; without it,"
        f" nothing until the lock was let go after {median[WITHOUT]:.0f} ms.",
        sides=(
            side(WITHOUT, runs[runs["variant"] == WITHOUT], "told_after_ms"),
            side(WITH, runs[runs["variant"] == WITH], "told_after_ms"),
        ),
        verdicts=(
            never(
                "With lock_timeout a client is told SLOT_BUSY while the lock is still held",
                limited_runs["told"] != TOLD,
                "told something else",
                "requests",
            ),
            never(
                "Without it a client is told nothing for as long as the lock is held",
                runs[runs["variant"] == WITHOUT]["answered_while_held"] > 0,
                "answered before",
                "requests",
            ),
        ),
    )


def _row(
    variant: str, number: int, answer: Answer, told_after_ms: float, *, answered_while_held: bool
) -> dict[str, Any]:
    # What a refusal says begins with its code; a conflict's text is a sentence.
    code, colon, _ = answer.detail.partition(":")
    return {
        "variant": variant,
        "round": number,
        "told": code if colon and code.isupper() else answer.reply.outcome,
        "attempts": float(answer.attempts),
        "told_after_ms": told_after_ms,
        "answered_while_held": int(answered_while_held),
    }
