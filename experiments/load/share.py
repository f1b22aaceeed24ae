"""What one process of a load is to do, and what came of it; both travel between processes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sqlalchemy import URL

    from booking_core.strategies import Strategy
    from experiments.load.plan import Plan


@dataclass(frozen=True, slots=True)
class Share:
    """What one process is to do.

    Attributes:
        url: The database.
        strategy: How rivals are kept out.
        plan: Of the whole load.
        process: The process's number, from 0.
        staff_ids: The salon's staff.
        service_ids: What is booked: the services by their numbers in scenes.
    """

    url: URL = field(repr=False)
    strategy: Strategy
    plan: Plan
    process: int
    staff_ids: list[int]
    service_ids: list[int]

    @property
    def service_id(self) -> int:
        """What is booked in a salon that offers one service, and to practise."""
        return self.service_ids[0]


@dataclass(frozen=True, slots=True)
class Part:
    """What came of a process's share.

    Attributes:
        records: The replies, as `experiments.load.replies` packs them.
        details: The text of the first error of each kind.
        dropped: Iterations that were due and did not begin.
        vus: How many virtual users there were at the end.
        cpu_s: Seconds of CPU that the process took from the start to its last reply.
    """

    records: bytes
    details: dict[str, str]
    dropped: int
    vus: int
    cpu_s: float
