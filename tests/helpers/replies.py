"""Replies to a load, written down instead of measured."""

import numpy as np
from numpy.typing import NDArray

from experiments.load.measurements import columns
from experiments.load.replies import Replies
from experiments.load.workload import Target
from experiments.scenes.shapes import OPENING

MILLISECOND = 1_000_000


class Told:
    """Collects what virtual users were told; times are in milliseconds."""

    def __init__(self) -> None:
        self._replies = Replies()
        self._numbers = 0

    def add(  # noqa: PLR0913 - a reply has as many parts
        self,
        operation: str,
        outcome: str,
        *,
        at: float = 0,
        took: float = 1,
        late: float = 0,
        vu: int = 0,
        number: int | None = None,
        staff_id: int = 1,
        start: int = 0,
        appointment_id: int = 0,
        taken_by: int = 0,
    ) -> None:
        """Add a reply to the next request, unless its number is given."""
        self._numbers += 1
        due, started, ended = ((at + more) * MILLISECOND for more in (0, late, late + took))
        self._replies.add(
            vu,
            self._numbers if number is None else number,
            operation,
            outcome,
            1,
            Target(staff_id, start, OPENING),
            appointment_id,
            taken_by,
            (int(due), int(started), int(ended)),
        )

    @property
    def replies(self) -> NDArray[np.void]:
        """All of them."""
        return columns([self._replies.records()])
