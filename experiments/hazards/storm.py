"""Retry storms: SERIALIZABLE as clients grow, beside a lock.

All clients want different slots of one calendar, so all can be booked and nobody is in anybody's
way. PostgreSQL can't know: SERIALIZABLE notes which index pages were read, the calendar's
appointments share one, and of the transactions that overlap in time all but one fail (40001) and
start again, against each other. With a lock each is tried once, in turn.

Manual: 13.2.3 Serializable Isolation Level.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from booking_core.strategies import DEFAULT
from booking_core.strategies.optimistic import Serializable
from experiments.hazards.hazard import Hazard, never, side
from experiments.race.race import races
from experiments.server.postgres import fresh_database
from experiments.show.verdicts import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence


def storm(
    *, levels: Sequence[int] = (1, 4, 16), rounds: int = 2, hold_ms: float = 2.0, seed: int = 1
) -> Hazard:
    """Race for neighbouring slots under SERIALIZABLE and under the default strategy.

    Args:
        levels: Numbers of clients, rising; the first should be 1, the control of the control.
        rounds: How often at each level.
        hold_ms: Milliseconds between check and insert.
        seed: For the jitter between tries.
    """
    with fresh_database() as database:
        requests = pd.concat(
            races(
                strategy(),
                levels=levels,
                rounds=rounds,
                shapes=["adjacent"],
                hold_ms=hold_ms,
                seed=seed,
                on=database.clear(),
            ).requests
            for strategy in (Serializable, DEFAULT)
        )
    requests["answered_ms"] = requests["start_us"] / 1000 + requests["latency_ms"]
    grouped = requests.groupby(["strategy", "clients", "round"], sort=False)
    runs = pd.DataFrame(
        {
            "requests": grouped.size(),
            "failed_tries": grouped["attempts"].sum() - grouped.size(),
            "tries_a_request": grouped["attempts"].mean(),
            "booked": grouped["outcome"].agg(lambda outcome: (outcome == "booked").sum()),
            "all_answered_ms": grouped["answered_ms"].max(),
            "booked_per_second": 1000 * grouped.size() / grouped["answered_ms"].max(),
        }
    ).reset_index()
    runs = runs.rename(columns={"strategy": "variant"})
    top = runs[runs["clients"] == max(levels)].groupby("variant")
    tries, speed = top["tries_a_request"].median(), top["booked_per_second"].median()
    stormy, calm = Serializable.name, DEFAULT.name
    failed = runs.groupby(["variant", "clients"])["failed_tries"].sum()
    return Hazard(
        name="storm",
        question="What happens under SERIALIZABLE as clients grow, although nobody overlaps?",
        setting=f"{', '.join(map(str, levels))} clients want different slots of one calendar;"
        f" {hold_ms:.0f} ms between check and insert",
        runs=runs,
        sentence=f"With {max(levels)} clients {stormy} took {tries[stormy]:.1f} tries a request"
        f" and booked {speed[stormy]:.0f} a second; {calm} took {tries[calm]:.1f} and booked"
        f" {speed[calm]:.0f}.",
        by=("variant", "clients"),
        sides=(
            side(stormy, top.get_group(stormy), "all_answered_ms"),
            side(calm, top.get_group(calm), "all_answered_ms"),
        ),
        verdicts=(
            Verdict(
                "Under SERIALIZABLE clients who do not overlap fail each other's tries",
                bool(failed[stormy, max(levels)] > 0 == failed.get((stormy, 1), 0)),
                f"40001 was seen with {max(levels)} clients, and not with one",
            ),
            never(
                "With a lock each of them is tried once",
                requests[requests["strategy"] == calm]["attempts"] > 1,
                "tried again",
                "requests",
            ),
            never(
                "Tried often enough, all of them are booked",
                requests["outcome"] != "booked",
                "not booked",
                "requests",
            ),
        ),
    )
