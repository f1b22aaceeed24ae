"""What the clients ask for: one slot, again and again, or any of very many."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from experiments.scenes.places import BUFFER, DURATION

if TYPE_CHECKING:
    from random import Random

FIRST = datetime(2030, 1, 7, tzinfo=UTC)  # the Monday after experiments happen
STEP = DURATION + BUFFER  # slots that touch without overlapping
# As many as fit into the horizon of a plain salon. A second of 15,000 bookings takes 0.2% of the
# slots of 1,000 staff members, so even a long cell meets few that are taken.
PLACES = timedelta(days=364) // STEP


@dataclass(frozen=True, slots=True)
class Workload:
    """Which slots are asked for: each of so many staff members has so many places.

    Attributes:
        name: What commands and tables call it.
        staff: How many staff members; their ids begin with 1.
        places: How many slots of each, one after the other from `FIRST`.
    """

    name: str
    staff: int
    places: int

    def pick(self, source: Random) -> tuple[int, datetime]:
        """Return the next request's staff id and start."""
        return source.randint(1, self.staff), FIRST + source.randrange(self.places) * STEP


def workloads(staff: int) -> dict[str, Workload]:
    """Return the workloads on a salon of so many staff members, by name.

    `hot_slot` is booked by the first attempt; all others are conflicts. In `spread` nearly all
    are bookings.
    """
    return {
        each.name: each for each in (Workload("hot_slot", 1, 1), Workload("spread", staff, PLACES))
    }


@dataclass(frozen=True, slots=True)
class Cell:
    """One turn of a contender.

    Attributes:
        workload: What is asked for.
        clients: How many at once.
        processes: Over how many processes (the service) or threads (pgbench) they are spread.
        seconds: How long is measured; pgbench knows whole seconds only.
        warm_seconds: How long before that is not counted.
        seed: For the choice of slots and the jitter of retries.
    """

    workload: Workload
    clients: int
    processes: int
    seconds: int
    warm_seconds: int
    seed: str
