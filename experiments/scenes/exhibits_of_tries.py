"""Exhibits that go wrong when something does not work at the first try.

As long as everybody gets the lock at once, they are sound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg import errors

from booking_core.strategies import Traits
from booking_core.strategies.advisory import CALENDARS, LOCK, TRY_LOCK
from booking_core.strategies.optimistic import Serializable
from experiments.scenes.exhibit import Exhibit, KeptApart

if TYPE_CHECKING:
    from booking_core.strategies.transaction import BookingTransaction

LOCK_SESSION = f"SELECT pg_advisory_lock({CALENDARS}, unnest(%(staff_ids)s::integer[]))"
UNLOCK_SESSION = f"SELECT pg_advisory_unlock({CALENDARS}, unnest(%(staff_ids)s::integer[]))"
WAITING = f"""
    SELECT count(*) FROM pg_locks
     WHERE locktype = 'advisory' AND NOT granted AND classid = {CALENDARS}
       AND objid::bigint = ANY(%(staff_ids)s::bigint[])
       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
"""  # noqa: S608 - the number is ours


class SwallowedDeadlock(Exhibit):
    """A move whose lock ended in a deadlock, and which says that it moved.

    The calendars are locked in the order of the move, so two moves in opposite directions can each
    wait for the other. PostgreSQL ends one of the waits; whoever had it is told that all went well.
    """

    name = "swallowed_deadlock"
    seen = "code reviews: an exception handler around the lock"
    fault = "dishonest_replies"
    traits = Traits(round_trips=4, round_trips_under_lock=2)

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check, lock, check again, record."""
        if tx.rival() is not None:
            return None
        moves = tx.request.moves
        tx.send("SAVEPOINT before_locks")
        try:
            for staff_id in dict.fromkeys(((moves or tx.request).staff_id, tx.request.staff_id)):
                tx.run(LOCK, {"staff_ids": [staff_id]})
        except errors.DeadlockDetected:
            tx.run("ROLLBACK TO before_locks")
            return moves.id if moves else None
        return None if tx.rival() is not None else tx.record(last=True)


class SwallowedTimeout(Exhibit):
    """A lock with a time limit, and whoever reaches it goes on without the lock.

    The error is undone with a savepoint, so the check and the insert work, beside whoever has it.
    """

    name = "swallowed_timeout"
    seen = "code reviews: rather a rare double booking than an error"
    traits = Traits(round_trips=3, round_trips_under_lock=2)

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the calendars, not for long."""
        tx.send("SET LOCAL lock_timeout = '20ms'")
        tx.send("SAVEPOINT before_lock")
        try:
            tx.run(LOCK, {"staff_ids": tx.staff_ids})
        except errors.LockNotAvailable:
            tx.run("ROLLBACK TO before_lock")
        tx.send("SET LOCAL lock_timeout = 0")


class ThreeTries(Exhibit):
    """A lock that is tried three times; whoever never got it goes on without."""

    name = "three_tries"
    seen = "code reviews: a loop that ends without looking why"
    traits = Traits(waits=False, neighbours_wait="none", round_trips=3, round_trips_under_lock=0)

    def guard(self, tx: BookingTransaction) -> None:
        """Try to lock, and go on in any case."""
        for _ in range(3):
            if tx.run(TRY_LOCK, {"staff_ids": tx.staff_ids}) == [(True,)]:
                break


class QueueTooLong(Exhibit):
    """A lock that is waited for unless somebody waits already; then it is done without.

    Two clients keep each other out; the third does not care.
    """

    name = "queue_too_long"
    seen = "code reviews: a limit to the queue, so that connections don't run out"
    traits = Traits(round_trips=3, round_trips_under_lock=1)

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the calendars, if nobody else does."""
        if tx.run(WAITING, {"staff_ids": tx.staff_ids}) == [(0,)]:
            tx.send(LOCK, {"staff_ids": tx.staff_ids})


class LostIsolation(Exhibit):
    """SERIALIZABLE, and a second try of its own that forgets to say so.

    In READ COMMITTED the second try is nobody's rival: PostgreSQL does not note what it reads.
    """

    name = "lost_isolation"
    seen = "code reviews: the level was set where the first transaction began"
    isolation = "SERIALIZABLE"
    needs = Serializable.needs
    retry = Serializable.retry
    traits = Traits(
        waits=False,
        neighbours_wait="none",
        neighbours_retry="everybody",
        round_trips=3,
        round_trips_under_lock=0,
    )

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check and record; once more where PostgreSQL refuses."""
        try:
            return super().claim(tx)
        except errors.SerializationFailure:
            tx.run("ROLLBACK")
            tx.run("BEGIN ISOLATION LEVEL READ COMMITTED")
            return super().claim(tx)


class LeakedLock(KeptApart):
    """A session lock that is released after COMMIT, and not where the slot is taken.

    The connection goes back to the pool with the lock. Everybody who wants that calendar later, on
    any other connection, waits for ever.
    """

    name = "leaked_lock"
    seen = "code reviews: a return before the unlock; much like epam/statgpt-backend issue 583"
    fault = "lost_sales"
    traits = Traits(round_trips=4, round_trips_under_lock=2)

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the calendars."""
        tx.send(LOCK_SESSION, {"staff_ids": tx.staff_ids})

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check, record, commit and unlock; or leave early."""
        claimed = super().claim(tx)
        if claimed is None:
            return None
        tx.run("COMMIT")
        tx.send("BEGIN")  # for the service's COMMIT
        tx.run(UNLOCK_SESSION, {"staff_ids": tx.staff_ids})
        return claimed


EXHIBITS_OF_TRIES = (
    SwallowedDeadlock,
    SwallowedTimeout,
    ThreeTries,
    QueueTooLong,
    LostIsolation,
    LeakedLock,
)
