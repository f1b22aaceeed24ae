"""Many database nodes: calendars are spread over them by staff member.

Bookings of different calendars don't meet, so nodes add up. What does not spread is a booking of
two calendars, and a calendar that everybody wants.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from experiments.model.beyond import WORKERS
from experiments.model.cells import Cell, Site
from experiments.model.law import law, meeting_somebody
from experiments.model.simulate import simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from experiments.model.beyond import Model


def over_nodes(  # noqa: PLR0913 - a question with as many parts
    model: Model,
    nodes: Sequence[int],
    *,
    strategy: str = "advisory",
    calendars: int = 1_000_000,
    pairs: float = 0.1,
    clients: int = 100,
    delay_ms: float = 1.0,
) -> pd.DataFrame:
    """Ask what database nodes add, when calendars are spread over them by staff member.

    A booking of two calendars (a reschedule to somebody else, a treatment by two) may need two
    nodes. Then it is committed in two phases: one round trip and one flush more, on both nodes,
    while both locks are held. What a node can do is simulated; that nodes do not hinder each other
    otherwise is assumed.

    Args:
        model: What is known.
        nodes: Numbers of nodes.
        strategy: Which strategy.
        calendars: How many calendars in all.
        pairs: The part of all bookings that touch two calendars, from 0 to 1.
        clients: How many clients each node serves at once.
        delay_ms: What the network adds to a round trip.
    """
    cell = Cell(
        strategy=strategy, workload="spread", clients=clients, delay_ms=delay_ms,
        processes=WORKERS, seconds=0.3,
    )  # fmt: skip
    site = Site(model.cores, apart=True)
    local = simulate(cell, model.calibration, seed=model.seed, site=site)
    two_phase = Site(model.cores, apart=True, two_phase=True)
    across = simulate(cell, model.calibration, seed=model.seed, site=two_phase)
    hot = Cell(strategy=strategy, clients=clients, delay_ms=delay_ms, processes=WORKERS)
    hottest = law(hot, model.calibration, apart=True, cores=model.cores).bounds["the lock"]
    rows = []
    for number in nodes:
        crossing = crossing_share(calendars, number)
        # A crossing booking is work for two nodes.
        cost = (1 - pairs * crossing) / local.per_second
        cost += 2 * pairs * crossing / across.per_second
        rate = number / cost
        opened = rate * local.latency_ms(50) / 1000
        rows.append(
            {
                "nodes": number,
                "calendars a node": calendars // number,
                "bookings a second": model.around(rate),
                "of two calendars, % that cross": 100 * crossing,
                "capacity lost to crossing, %": 100 * (1 - rate / (number * local.per_second)),
                "p95 ms, one node": local.latency_ms(95),
                "p95 ms, crossing": across.latency_ms(95),
                "meets a rival, 1 in": 1 / meeting_somebody(opened, calendars),
                "one hot calendar, at most": f"{hottest:,.0f}",
            }
        )
    return pd.DataFrame(rows)


def crossing_share(calendars: int, nodes: int) -> float:
    """Return which part of bookings of two calendars, chosen at random, needs two nodes.

    Of the other calendars, so many are on the same node: calendars / nodes - 1.
    """
    if calendars < 2:  # noqa: PLR2004 - it takes two
        return 0.0
    return 1 - max(0.0, calendars / nodes - 1) / (calendars - 1)
