"""What PostgreSQL and the connection pool report, in the words of this package.

SQLSTATE codes: manual, appendix A. A connection that is lost before COMMIT was sent wrote
nothing; one that is lost afterwards leaves the outcome unknown.
"""

from collections.abc import Callable

import psycopg
from sqlalchemy import exc

from booking_core import errors


class OverlapRefused(errors.BookingError):
    """A constraint kept the request out; by whom the slot is taken is still to be looked up."""

    outcome = "conflict"


MEANINGS: dict[str, Callable[[], errors.BookingError]] = {
    "40001": lambda: errors.SerializationFailure("Concurrent bookings got in each other's way."),
    "40P01": lambda: errors.Deadlock("Two transactions waited for each other."),
    "26000": lambda: errors.SerializationFailure("Prepared statements were deallocated meanwhile."),
    "55P03": errors.SlotBusy,
    # statement_timeout, the only limit there is on some servers to waiting for a lock
    "57014": lambda: errors.SlotBusy("The database did not answer in time; try again."),
    "23P01": OverlapRefused,
    "23503": lambda: errors.InvalidRequest("GONE", "The staff member or service was removed."),
    "25006": lambda: errors.DatabaseUnavailable("The database takes no changes; none was made."),
    # raised by the trigger `one_place`
    "ZC001": lambda: errors.InvalidRequest("CLIENT_ELSEWHERE", "The client is elsewhere then."),
}


def explain(error: BaseException | None, *, sent_commit: bool) -> errors.BookingError | None:
    """Return what an error of the driver's means; nothing where it is a fault of ours."""
    if isinstance(error, exc.TimeoutError):
        return errors.PoolTimeout("No database connection became free in time.")
    error = error.orig if isinstance(error, exc.DBAPIError) else error
    sqlstate = getattr(error, "sqlstate", None)
    if sqlstate in MEANINGS:
        return MEANINGS[sqlstate]()
    if sqlstate == "23505" and "idempotency_key" in str(error):
        return errors.SerializationFailure("A request with the same key was booked meanwhile.")
    if not _is_lost(error, sqlstate):
        return None
    if sent_commit:
        return errors.OutcomeUnknown(
            "The answer was lost; repeat it with the same idempotency key."
        )
    return errors.DatabaseUnavailable("The database can't be reached; nothing was written.")


def _is_lost(error: BaseException | None, sqlstate: str | None) -> bool:
    """Whether the session is gone: no answer at all, or ended by the server.

    Classes 57P and 08; 25P03 and 25P04 are sessions and transactions that were too slow.
    """
    if sqlstate is None:
        return isinstance(error, psycopg.OperationalError)
    return sqlstate.startswith(("57P", "08")) or sqlstate in {"25P03", "25P04"}
