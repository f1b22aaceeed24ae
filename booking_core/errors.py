"""What can go wrong with a request, in words for the person who sent it.

Every error carries a `code` for programs and an `outcome`, the word under which experiments
count it. Messages say what was wrong, which value it was and what to do about it.
"""

from collections.abc import Sequence

from booking_core.invalid import BookingError as BookingError  # noqa: PLC0414 - passed on
from booking_core.invalid import InvalidRequest as InvalidRequest  # noqa: PLC0414 - likewise
from booking_core.slots import FreeSlot, Slot


class BookingConflict(BookingError):
    """Somebody else has the slot.

    Attributes:
        slot: The slot that was asked for.
        taken_by: The id of an appointment that overlapped it while the request was open.
        alternatives: Free slots instead, the nearest first; each was free when it was computed.
    """

    code = "TIME_CONFLICT"
    outcome = "conflict"

    def __init__(self, slot: Slot, taken_by: int, alternatives: Sequence[FreeSlot] = ()) -> None:
        super().__init__(slot, taken_by, alternatives)
        self.slot = slot
        self.taken_by = taken_by
        self.alternatives = tuple(alternatives)

    def __str__(self) -> str:
        # Worded when it is read: on a hot slot nearly every answer is one.
        offer = ", ".join(str(each) for each in self.alternatives) or "none were found"
        return f"{self.slot} is taken. Alternatives: {offer}."


class SlotBusy(BookingError):
    """The lock could not be had in time; whether the slot is free was not found out."""

    code = "SLOT_BUSY"
    outcome = "busy"

    def __init__(self, message: str = "Somebody is booking here right now; try again.") -> None:
        super().__init__(message)


class SerializationFailure(BookingError):
    """Concurrent bookings made the transaction fail more often than the policy retries."""

    code = "SERIALIZATION_FAILURE"
    outcome = "serialization_failure"


class Deadlock(BookingError):
    """PostgreSQL ended the transaction to break a deadlock, more often than the policy retries."""

    code = "DEADLOCK"
    outcome = "deadlock"


class PoolTimeout(BookingError):
    """No database connection became free in time; nothing was written."""

    code = "POOL_TIMEOUT"
    outcome = "pool_timeout"


class OutcomeUnknown(BookingError):
    """The connection was lost before PostgreSQL answered: booked or not, nobody told us.

    Repeat the request with the same idempotency key: it books once at most.
    """

    code = "OUTCOME_UNKNOWN"
    outcome = "unknown"


class DatabaseUnavailable(BookingError):
    """The database could not be reached; nothing was written."""

    code = "DATABASE_UNAVAILABLE"
    outcome = "unavailable"


class UnsupportedServer(BookingError):
    """The PostgreSQL server is too old for what a strategy needs."""

    code = "UNSUPPORTED_SERVER"
    outcome = "unavailable"
