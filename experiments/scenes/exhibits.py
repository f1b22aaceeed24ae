"""Exhibits: unsound strategies that were seen in real systems.

They are kept so that every experiment has controls that must fail; an instrument that finds
nothing wrong with them finds nothing at all. Each says where it was seen, which shape of race
breaks it and which fault shows. Never use one for bookings.

Those here get the slot wrong. What goes wrong with an appointment that several move is in
`exhibits_of_moves`, with a client who wants to be in two places in `exhibits_of_clients`.
"""

from __future__ import annotations

import random
import time
from functools import cache
from typing import TYPE_CHECKING

from sqlalchemy import NullPool, create_engine, func, select

from booking_core.retry import RetryPolicy
from booking_core.schema import appointment, staff
from booking_core.strategies import Traits, statements
from booking_core.strategies.advisory import CALENDARS, LOCK, TRY_LOCK
from booking_core.strategies.optimistic import Serializable
from experiments.scenes.exhibit import Exhibit, KeptApart, lock_text
from experiments.scenes.exhibits_of_clients import (
    ClientCheckedEarly,
    ClientUnlocked,
    KeyOfClientAndStaff,
)
from experiments.scenes.exhibits_of_moves import IgnoredCount, TargetOnly, TrustedRead

if TYPE_CHECKING:
    from sqlalchemy import URL, Engine

    from booking_core.strategies.transaction import BookingTransaction


class NoLock(Exhibit):
    """Check, then insert, and hope.

    Two requests check before either inserts; both find the slot free.
    """

    name = "no_lock"
    seen = "everywhere"
    traits = Traits(waits=False, neighbours_wait="none", round_trips=2, round_trips_under_lock=0)


class AppointmentsForUpdate(Exhibit):
    """FOR UPDATE over the overlapping appointments.

    Before the first appointment there is no row to lock, so nobody waits for anybody.
    """

    name = "appointments_for_update"
    seen = "proposed in calcom/cal.diy pull request 28151"
    traits = Traits(neighbours_wait="none", round_trips=2, round_trips_under_lock=0)

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check with a locking read."""
        tx.taken_by = _check(tx, skip_locked=False)
        return None if tx.taken_by is not None else tx.record(last=True)


class AppointmentsSkipLocked(Exhibit):
    """FOR UPDATE SKIP LOCKED over the overlapping appointments.

    As above; and once a row exists, whoever checks it hides it from everybody else, who then
    finds the slot free. So even a slot that was booked long ago is booked again.
    """

    name = "appointments_skip_locked"
    seen = "the origin's first version"
    traits = Traits(waits=False, neighbours_wait="none", round_trips=2, round_trips_under_lock=0)

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check with a locking read that overlooks what others are checking."""
        tx.taken_by = _check(tx, skip_locked=True)
        return None if tx.taken_by is not None else tx.record(last=True)


class KeyOfStart(Exhibit):
    """An advisory lock keyed by the staff member and the hour of the start.

    Overlapping slots that start in different hours take different locks. Requests for one
    identical slot take the same one, which is why a test with identical requests passes.
    """

    name = "key_of_start"
    seen = "the origin's final key, without its SERIALIZABLE"
    breaks_in = "overlapping"

    def guard(self, tx: BookingTransaction) -> None:
        """Lock the hour instead of the calendar."""
        _lock_hour(tx)


class Origin(Exhibit):
    """SERIALIZABLE, an advisory key of staff and start hour, five retries: as it shipped.

    The isolation level keeps it safe; the key does not. What breaks are the five retries: of a
    hundred clients who all want different slots some run out of them, are told of a
    serialization failure, and leave a free slot unsold.
    """

    name = "origin"
    seen = "the origin as it shipped"
    isolation = "SERIALIZABLE"
    needs = Serializable.needs  # its tables had no GiST index either
    retry = RetryPolicy(attempts=6, first_pause=0.1, longest_pause=3.2)
    breaks_in = "adjacent"
    breaks_with = 100
    fault = "lost_sales"

    def guard(self, tx: BookingTransaction) -> None:
        """Lock the hour instead of the calendar."""
        _lock_hour(tx)


class StaleSnapshot(Exhibit):
    """An advisory lock on the calendar, in REPEATABLE READ.

    The transaction's snapshot is taken by its first statement, the one that waits for the lock.
    What the rival committed meanwhile is younger than the snapshot, and so not seen.
    """

    name = "stale_snapshot"
    seen = 'a common "upgrade" of the isolation level'
    isolation = "REPEATABLE READ"

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the lock, with a snapshot that grows old."""
        tx.send(LOCK, {"staff_ids": tx.staff_ids})


class UniqueStart(Exhibit):
    """A unique index on staff member and start.

    It stops identical starts; slots that overlap with different starts pass.
    """

    name = "unique_start"
    seen = "delta-whiplash/CloudMeet issue 43"
    breaks_in = "overlapping"
    needs = (
        """
        CREATE UNIQUE INDEX appointment_start ON appointment (staff_id, lower(during))
         WHERE status = 'confirmed'
        """,
    )
    traits = Traits(neighbours_wait="none", round_trips=2, round_trips_under_lock=0)

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check, then insert unless the start exists."""
        return None if tx.rival() is not None else tx.record(or_nothing=True, last=True)


class RandomSleep(Exhibit):
    """A random pause before the check, so that rivals "don't meet".

    They meet less often, which makes the fault rarer and harder to find.
    """

    name = "random_sleep"
    seen = "LibreBooking issue 147"
    longest = 0.02  # seconds
    traits = NoLock.traits

    def guard(self, tx: BookingTransaction) -> None:  # noqa: ARG002 - it looks at nothing
        """Sleep, and hope harder."""
        time.sleep(random.uniform(0, self.longest))  # noqa: S311 - no secret


class ReleasedEarly(Exhibit):
    """A session lock that is released before COMMIT.

    The next in line checks while the appointment is not yet committed, and does not see it. In
    between, real code does something else, such as sending an e-mail.
    """

    name = "released_early"
    seen = "code reviews: unlock in a finally block inside the transaction"
    traits = Traits(round_trips=6, round_trips_under_lock=2)

    def claim(self, tx: BookingTransaction) -> int | None:
        """Lock, check, insert, unlock; the service commits afterwards."""
        staff_id = tx.request.staff_id
        tx.connection.execute(select(func.pg_advisory_lock(CALENDARS, staff_id)))
        try:
            return super().claim(tx)
        finally:
            tx.connection.execute(select(func.pg_advisory_unlock(CALENDARS, staff_id)))
            tx.before_record()  # the time that an experiment spends in a booking


class IgnoredAnswer(Exhibit):
    """A try-lock whose answer nobody looks at."""

    name = "ignored_answer"
    seen = "code reviews"
    traits = Traits(waits=False, neighbours_wait="none")

    def guard(self, tx: BookingTransaction) -> None:
        """Try to lock, and go on in any case."""
        tx.send(TRY_LOCK, {"staff_ids": tx.staff_ids})


class ForShare(Exhibit):
    """FOR SHARE on the staff row: shared locks do not exclude each other."""

    name = "for_share"
    seen = "mailing lists"
    traits = Traits(waits=False, neighbours_wait="none")

    def guard(self, tx: BookingTransaction) -> None:
        """Share the staff row."""
        tx.connection.execute(
            select(staff.c.id).where(staff.c.id.in_(tx.staff_ids)).with_for_update(read=True)
        )


class KeyPerClient(Exhibit):
    """An advisory lock whose key has the client in it: everybody takes a lock of their own."""

    name = "key_per_client"
    seen = "code reviews: the lock was named after the request"
    traits = Traits(waits=False, neighbours_wait="none")

    def guard(self, tx: BookingTransaction) -> None:
        """Lock what nobody else wants."""
        lock_text(tx, f"{tx.request.staff_id}:{tx.request.client}")


class InsertThenCount(Exhibit):
    """Insert first, then count: who finds two, takes the row back.

    In READ COMMITTED the rival's uncommitted row is not seen, so both count one.
    """

    name = "insert_then_count"
    seen = "mailing lists"
    traits = Traits(waits=False, neighbours_wait="none", round_trips=2, round_trips_under_lock=0)

    def claim(self, tx: BookingTransaction) -> int | None:
        """Insert, look for others, and delete again."""
        if tx.request.moves:
            return super().claim(tx)
        recorded = tx.record()
        found = tx.run(statements.LOOK_FOR_OTHERS, tx.parameters | {"moved_id": recorded})
        tx.taken_by = found[0][0] if found else None
        if tx.taken_by is None:
            return recorded
        tx.connection.execute(appointment.delete().where(appointment.c.id == recorded))
        return None


class OtherTransaction(Exhibit):
    """The lock is taken in another transaction, which ends before the booking begins."""

    name = "other_transaction"
    seen = "code reviews: a lock helper with a session of its own"
    traits = Traits(round_trips=7, round_trips_under_lock=0)

    def guard(self, tx: BookingTransaction) -> None:
        """Lock and let go."""
        with _elsewhere(tx.connection.engine.url).begin() as connection:
            connection.exec_driver_sql(LOCK, {"staff_ids": tx.staff_ids})


CLOSED = """
    SELECT id FROM appointment
     WHERE staff_id = %(staff_id)s AND status = 'confirmed'
       AND id IS DISTINCT FROM %(moved_id)s
       AND tstzrange(lower(blocked), upper(blocked), '[]')
           && tstzrange(%(blocked_from)s, %(blocked_until)s, '[]')
     LIMIT 1
"""


class ClosedBounds(KeptApart):
    """Closed bounds, `[]`: slots that only touch count as overlapping.

    Nobody is booked twice; neighbours are refused, and half the salon stays empty.
    """

    name = "closed_bounds"
    seen = "mailing lists"
    breaks_in = "adjacent"
    fault = "refused_neighbours"

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check with both ends included."""
        found = tx.run(CLOSED)
        tx.taken_by = found[0][0] if found else None
        return None if tx.taken_by is not None else tx.record(last=True)


@cache
def _elsewhere(url: URL) -> Engine:
    return create_engine(url, poolclass=NullPool)


def _check(tx: BookingTransaction, *, skip_locked: bool) -> int | None:
    """Look for a rival with a locking read."""
    look = statements.LOOK_FOR_OTHERS if tx.request.moves else statements.LOOK
    locking = " FOR UPDATE SKIP LOCKED" if skip_locked else " FOR UPDATE"
    found = tx.run(look + locking)
    return found[0][0] if found else None


def _lock_hour(tx: BookingTransaction) -> None:
    lock_text(tx, f"{tx.request.staff_id}:{tx.request.slot.start:%Y-%m-%d %H}")


EXHIBITS: dict[str, type[Exhibit]] = {
    exhibit.name: exhibit
    for exhibit in (
        NoLock,
        AppointmentsForUpdate,
        AppointmentsSkipLocked,
        KeyOfStart,
        StaleSnapshot,
        UniqueStart,
        RandomSleep,
        ReleasedEarly,
        IgnoredAnswer,
        ForShare,
        KeyPerClient,
        InsertThenCount,
        OtherTransaction,
        ClosedBounds,
        TrustedRead,
        TargetOnly,
        IgnoredCount,
        ClientUnlocked,
        KeyOfClientAndStaff,
        ClientCheckedEarly,
        Origin,
    )
}
