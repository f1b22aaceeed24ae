"""Row locks on the staff member: the calendar's mutex is a row that always exists.

Locking the appointments instead would fail where it matters most, before the first one exists.
The lock is FOR NO KEY UPDATE: every insert of an appointment takes FOR KEY SHARE on its staff
row for the foreign key, which FOR UPDATE would block and FOR NO KEY UPDATE lets through.
"""

from dataclasses import replace

from booking_core.errors import SlotBusy
from booking_core.retry import PATIENT
from booking_core.strategies.base import REFUSES, Guarded
from booking_core.strategies.transaction import BookingTransaction

# Rows are locked as they leave the sort, so two calendars are always locked in the same order.
LOCK = "SELECT id FROM staff WHERE id = ANY(%(staff_ids)s) ORDER BY id FOR NO KEY UPDATE"
LOCK_NOWAIT = f"{LOCK} NOWAIT"
LOCK_SKIP_LOCKED = f"{LOCK} SKIP LOCKED"


class StaffRow(Guarded):
    """`SELECT … FOR NO KEY UPDATE` on the staff row, in READ COMMITTED.

    How: rivals for one calendar queue at its staff row; the check after it has a fresh snapshot.
    Cost: as `advisory`, and the lock is written into the row (a dirtied page, some WAL).
    Anything else that updates the staff row waits too.
    Manual: 13.3.2 Row-Level Locks.
    """

    name = "staff_row"

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the staff rows."""
        tx.send(LOCK, {"staff_ids": tx.staff_ids})


class StaffRowNowait(Guarded):
    """The same lock with NOWAIT: an error instead of a wait, tried again, then `busy`.

    How: PostgreSQL answers 55P03 (lock_not_available) at once; the service rolls back and
    tries again a bounded number of times.
    Cost: spurious `busy`; each refusal fails a transaction, which costs a round trip to roll back.
    Manual: SELECT, The Locking Clause.
    """

    name = "staff_row_nowait"
    retry = PATIENT
    traits = replace(REFUSES, round_trips=1, round_trips_under_lock=0)

    def guard(self, tx: BookingTransaction) -> None:
        """Take the staff rows or fail at once."""
        tx.send(LOCK_NOWAIT, {"staff_ids": tx.staff_ids})


class StaffRowSkipLocked(Guarded):
    """The same lock with SKIP LOCKED: a row that is missing is `busy`, never "free" or "taken".

    How: a locked row is left out of the result. What is left out tells nothing about the slot,
    only that somebody is at work; so the request is tried again, then answered `busy`.
    Cost: as `staff_row_nowait`, without the failed transaction.
    Manual: SELECT, The Locking Clause ("an inconsistent view of the data … not suitable for
    general purpose work").
    """

    name = "staff_row_skip_locked"
    retry = PATIENT
    traits = REFUSES

    def guard(self, tx: BookingTransaction) -> None:
        """Take the staff rows or give up at once."""
        taken = tx.run(LOCK_SKIP_LOCKED, {"staff_ids": tx.staff_ids})
        if len(taken) < len(tx.staff_ids):
            raise SlotBusy
