"""Replies, kept compactly: hundreds of thousands of them fit into a few dozen megabytes.

A reply is one record of fixed length in a buffer, written while the load runs (under a
microsecond) and read as columns afterwards.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING

from experiments.load.plan import OPERATIONS

if TYPE_CHECKING:
    from experiments.load.workload import Target

OUTCOMES = (
    "booked",
    "replayed",
    "cancelled",
    "listed",
    "conflict",
    "busy",
    "serialization_failure",
    "deadlock",
    "pool_timeout",
    "unknown",
    "unavailable",
    "invalid",
    "error",
)
# Names, and codes that struct and numpy share. Instants are nanoseconds of one clock; 0 is no
# appointment. An operation or outcome is its place in the list of them.
FIELDS = {
    "vu": "i",
    "number": "i",  # of the VU's request
    "operation": "B",
    "outcome": "B",
    "attempts": "H",
    "staff_id": "i",
    "start": "i",  # of what was asked for, or of what was cancelled
    "service_id": "i",  # 0 where there is one service
    "appointment_id": "q",
    "taken_by": "q",
    "due": "q",
    "started": "q",
    "ended": "q",
}
_RECORD = struct.Struct("<" + "".join(FIELDS.values()))
_OPERATION_CODES = {name: code for code, name in enumerate(OPERATIONS)}
_OUTCOME_CODES = {name: code for code, name in enumerate(OUTCOMES)}
_MOST_ATTEMPTS = 2**16 - 1


class Replies:
    """The replies to the virtual users of one process, who may add to them at the same time.

    Attributes:
        details: The text of the first error of each kind.
    """

    def __init__(self) -> None:
        self.details: dict[str, str] = {}
        self._records = bytearray()

    def add(  # noqa: PLR0913, PLR0917 - a record has as many fields
        self,
        vu: int,
        number: int,
        operation: str,
        outcome: str,
        attempts: int,
        target: Target,
        appointment_id: int,
        taken_by: int,
        instants: tuple[int, int, int],
    ) -> None:
        """Keep a reply.

        Args:
            vu: Who asked.
            number: For the how manieth time.
            operation: What for.
            outcome: How it ended; one that is not known counts as an error.
            attempts: How many tries it took.
            target: Where.
            appointment_id: What was booked, moved or cancelled, or would have been.
            taken_by: Whom a conflict named.
            instants: When it was due, started and ended.
        """
        # One call that does not let go of the interpreter: records never mix.
        self._records += _RECORD.pack(
            vu,
            number,
            _OPERATION_CODES[operation],
            _OUTCOME_CODES.get(outcome, _OUTCOME_CODES["error"]),
            min(attempts, _MOST_ATTEMPTS),
            target.staff_id,
            target.start,
            target.service_id,
            appointment_id,
            taken_by,
            *instants,
        )

    def records(self) -> bytes:
        """Return all records, one after the other."""
        return bytes(self._records)
