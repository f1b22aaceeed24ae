"""Advisory locks: PostgreSQL's mutexes for the application, keyed by the staff member.

The key has two parts, a number that stands for "calendars" and the staff id, so it neither
collides by hashing nor meets another use of advisory locks. It names the calendar, never the
slot: two slots that overlap but start at different times must meet at the same lock.
"""

from booking_core.errors import SlotBusy
from booking_core.retry import PATIENT
from booking_core.strategies.base import REFUSES, Guarded
from booking_core.strategies.transaction import BookingTransaction

CALENDARS = 7_264  # our half of the key space; any number that nothing else in the database uses

# The array is sorted, and unnest keeps its order, so the locks are taken in one fixed order.
LOCK = f"SELECT pg_advisory_xact_lock({CALENDARS}, unnest(%(staff_ids)s::integer[]))"
TRY_LOCK = f"""
    SELECT bool_and(pg_try_advisory_xact_lock({CALENDARS}, calendar))
      FROM unnest(%(staff_ids)s::integer[]) AS calendar
"""  # noqa: S608 - the number is ours


class Advisory(Guarded):
    """`pg_advisory_xact_lock` on the staff member, in READ COMMITTED.

    How: rivals for one calendar queue at the lock. Whoever gets it checks with a fresh snapshot
    (READ COMMITTED takes one per statement), so it sees what the one before it committed. In
    REPEATABLE READ the snapshot would be older than the lock, and the check blind.
    Cost: rivals of the same staff member wait, each holding a connection; the lock is held while
    the server checks, inserts and commits. Nothing is written for the lock itself.
    Manual: 13.3.5 Advisory Locks; 9.28.10 Advisory Lock Functions.
    """

    name = "advisory"

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the calendars' locks."""
        tx.send(LOCK, {"staff_ids": tx.staff_ids})


class AdvisoryTry(Guarded):
    """`pg_try_advisory_xact_lock`, tried again a bounded number of times, then `busy`.

    How: as `advisory`, but a lock that is taken is an answer instead of a wait. Between tries the
    connection goes back to the pool.
    Cost: under contention tries are wasted and the order of arrival is lost; a client may be told
    `busy` although the slot is free.
    Manual: 9.28.10 Advisory Lock Functions.
    """

    name = "advisory_try"
    retry = PATIENT
    traits = REFUSES

    def guard(self, tx: BookingTransaction) -> None:
        """Take the calendars' locks or give up at once."""
        if tx.run(TRY_LOCK, {"staff_ids": tx.staff_ids}) != [(True,)]:
            raise SlotBusy
