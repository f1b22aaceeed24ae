"""What a virtual user asks for next: an operation of the mix, at a place drawn with the skew."""

from __future__ import annotations

from bisect import bisect
from itertools import accumulate
from typing import TYPE_CHECKING, NamedTuple

from experiments.scenes.places import GRID
from experiments.scenes.shapes import OPENING

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime
    from random import Random

    from experiments.load.plan import Plan

STARTS_A_DAY = 24 * 4  # staff members of a plain salon work around the clock


class Target(NamedTuple):
    """A calendar and a start.

    Attributes:
        staff_id: Whose calendar.
        start: The how manieth start it is, counted in steps of the grid; in the small world, so
            many minutes after the opening.
        instant: When that is.
        service_id: What is booked, where there are several services.
    """

    staff_id: int
    start: int
    instant: datetime
    service_id: int = 0


class Workload:
    """Draws operations and targets; one may be shared by threads.

    Args:
        plan: Has the mix and the skew.
        staff_ids: The staff members, the one asked for most often first.
    """

    def __init__(self, plan: Plan, staff_ids: Sequence[int]) -> None:
        mix = {operation: weight for operation, weight in plan.mix.items() if weight}
        self._operations = list(mix)
        # Drawn with bisect, which takes a fraction of the time of random.choices.
        self._weights = list(accumulate(mix.values()))
        self._staff_ids = staff_ids if plan.skew != "one_slot" else staff_ids[:1]
        ranks = range(1, len(self._staff_ids) + 1)
        self._popularity = list(accumulate(1 / n if plan.skew == "zipf" else 1 for n in ranks))
        starts = range(plan.days * STARTS_A_DAY if plan.skew != "one_slot" else 1)
        self._instants = [OPENING + start * GRID for start in starts]

    def operation(self, source: Random) -> str:
        """Draw what to do."""
        if len(self._operations) == 1:
            return self._operations[0]
        return self._operations[bisect(self._weights, source.random() * self._weights[-1])]

    def target(self, source: Random) -> Target:
        """Draw where."""
        whose = bisect(self._popularity, source.random() * self._popularity[-1])
        start = int(source.random() * len(self._instants))
        return Target(self._staff_ids[whose], start, self._instants[start])
