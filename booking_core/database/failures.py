"""What PostgreSQL and the connection pool report, in the words of this package.

SQLSTATE codes: manual, appendix A. A connection that is lost before COMMIT was sent wrote
nothing; one that is lost afterwards leaves the outcome unknown.
"""

from collections.abc import Callable

import psycopg
from sqlalchemy import exc

from booking_core.errors import (
    BookingError,
    DatabaseUnavailable,
    Deadlock,
    InvalidRequest,
    OutcomeUnknown,
    PoolTimeout,
    SerializationFailure,
    SlotBusy,
)


class OverlapRefused(BookingError):
    """A constraint kept the request out; by whom the slot is taken is still to be looked up."""

    outcome = "conflict"


MEANINGS: dict[str, Callable[[], BookingError]] = {
    "40001": lambda: SerializationFailure("Concurrent bookings got in each other's way."),
    "40P01": lambda: Deadlock("Two transactions waited for each other."),
    "26000": lambda: SerializationFailure("Prepared statements were deallocated meanwhile."),
    "55P03": SlotBusy,
    # statement_timeout, the only limit there is on some servers to waiting for a lock
    "57014": lambda: SlotBusy("The database did not answer in time, and was stopped; try again."),
    "23P01": OverlapRefused,
    "23503": lambda: InvalidRequest("GONE", "The staff member or service was removed meanwhile."),
    "25006": lambda: DatabaseUnavailable("The database takes no changes; nothing was written."),
}


def explain(error: BaseException | None, *, sent_commit: bool) -> BookingError | None:
    """Return what an error of the driver's means; nothing where it is a fault of ours."""
    if isinstance(error, exc.TimeoutError):
        return PoolTimeout()
    error = error.orig if isinstance(error, exc.DBAPIError) else error
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate in MEANINGS:
        return MEANINGS[sqlstate]()
    if sqlstate == "23505" and "idempotency_key" in str(error):
        return SerializationFailure("A request with the same key was booked meanwhile.")
    if not _is_lost(error, sqlstate):
        return None
    if sent_commit:
        return OutcomeUnknown(
            "The connection was lost before the answer came; the request may have been booked. "
            "Repeat it with the same idempotency key."
        )
    return DatabaseUnavailable("The database can't be reached; nothing was written.")


def _is_lost(error: BaseException | None, sqlstate: str | None) -> bool:
    """Whether the session is gone: no answer at all, or ended by the server.

    Classes 57P and 08; 25P03 and 25P04 are sessions and transactions that were too slow.
    """
    if sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return sqlstate.startswith(("57P", "08")) or sqlstate in {"25P03", "25P04"}
