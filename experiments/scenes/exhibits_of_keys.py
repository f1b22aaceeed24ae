"""Exhibits whose lock has the wrong name.

A lock keeps two requests apart only if both give it the same name. Here two requests for one
person's time give it different ones. Where two people's requests give it the same one, see
`exhibits_of_names`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from booking_core.slots import TICK
from experiments.scenes.exhibit import Exhibit

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from booking_core.strategies.transaction import BookingTransaction

LOCK_TEXT = "SELECT pg_advisory_xact_lock(hashtextextended(%(name)s::text, 0))"
LOCK_NUMBER = "SELECT pg_advisory_xact_lock(%(number)s::bigint)"
LOCK_SERVICE = "SELECT id FROM service WHERE id = %(service_id)s::integer FOR UPDATE"
LOCK_LOCAL_DAY = """
    SELECT pg_advisory_xact_lock(
               staff.id, (%(starts)s::timestamptz AT TIME ZONE time_zone)::date - date '2000-01-01')
      FROM staff JOIN location ON location.id = location_id
     WHERE staff.id = ANY(%(staff_ids)s::integer[])
     ORDER BY staff.id
"""
LOCK_OWN_ROW = """
    SELECT staff_id FROM staff_lock WHERE staff_id = ANY(%(staff_ids)s::integer[])
     ORDER BY staff_id FOR UPDATE
"""


class KeyOfService(Exhibit):
    """FOR UPDATE over the service's row.

    Two services that one person offers are two rows, and the person has one calendar.
    """

    name = "key_of_service"
    seen = "code reviews: the row at hand was locked"

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the service."""
        tx.send(LOCK_SERVICE)


class NamedKey(Exhibit):
    """An exhibit that waits for locks named by texts."""

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the locks, in the order of their names."""
        for name in sorted({name for each in tx.staff_ids for name in self.names(tx, each)}):
            tx.send(LOCK_TEXT, {"name": name})

    def names(self, tx: BookingTransaction, staff_id: int) -> Iterable[str]:
        """Return the names of the locks in one calendar."""
        raise NotImplementedError


class KeyOfServiceAndStaff(NamedKey):
    """A lock on service and staff member together.

    Two services of one person take two locks.
    """

    name = "key_of_service_and_staff"
    seen = "code reviews: the key had everything in it that the request had"

    def names(self, tx: BookingTransaction, staff_id: int) -> Iterable[str]:
        """Return the pair's name."""
        return [f"{tx.request.service_id}:{staff_id}"]


class KeyOfDay(NamedKey):
    """A lock on the staff member and the day of the start, in UTC.

    An appointment across midnight and one after midnight take different locks.
    """

    name = "key_of_day"
    seen = "code reviews: a calendar is shown by the day"

    def names(self, tx: BookingTransaction, staff_id: int) -> Iterable[str]:
        """Return the day's name."""
        return [_named(staff_id, tx.request.slot.start, "%Y-%m-%d")]


class KeyOfDaysPromised(NamedKey):
    """A lock on the staff member and each day of what is promised; buffers have no lock.

    Where only the buffer reaches beyond midnight, it meets nobody there.
    """

    name = "key_of_days_promised"
    seen = "code reviews: a key of days that looks at start and end"

    def names(self, tx: BookingTransaction, staff_id: int) -> Iterable[str]:
        """Return the names of the first and the last day."""
        slot = tx.request.slot
        return [_named(staff_id, each, "%Y-%m-%d") for each in (slot.start, slot.end - TICK)]


class KeyOfFirstAndLastDay(NamedKey):
    """Locks on the days in which the time that is blocked begins and ends, and on none between.

    Who stays over two nights meets nobody in the middle of it.
    """

    name = "key_of_first_and_last_day"
    seen = "code reviews: a key of the day, repaired while all appointments were short"

    def names(self, tx: BookingTransaction, staff_id: int) -> Iterable[str]:
        """Return the names of the first and the last day."""
        blocked = tx.request.blocked
        days = (blocked.start, blocked.end - TICK)
        return [_named(staff_id, each, "%Y-%m-%d") for each in days]


class KeyOfHalfDay(NamedKey):
    """A lock on the staff member's morning or afternoon, by the start.

    What begins before noon and ends after it meets nobody in the afternoon.
    """

    name = "key_of_half_day"
    seen = "code reviews: mornings and afternoons are planned apart"

    def names(self, tx: BookingTransaction, staff_id: int) -> Iterable[str]:
        """Return the half day's name."""
        return [_named(staff_id, tx.request.slot.start, "%Y-%m-%d %p")]


class KeyOfTwoHours(NamedKey):
    """A lock on the staff member and the two hours in which the start lies.

    Two starts on both sides of an even hour take different locks.
    """

    name = "key_of_two_hours"
    seen = "code reviews: the longest service had two hours"
    breaks_in = "overlapping"

    def names(self, tx: BookingTransaction, staff_id: int) -> Iterable[str]:
        """Return the bucket's name."""
        start = tx.request.slot.start
        return [_named(staff_id, start.replace(hour=start.hour // 2 * 2))]


class KeyOfEnd(NamedKey):
    """A lock on the staff member and the hour in which the slot ends, its buffer included.

    Two slots that overlap can end in different hours.
    """

    name = "key_of_end"
    seen = "code reviews"

    def names(self, tx: BookingTransaction, staff_id: int) -> Iterable[str]:
        """Return the name of the hour."""
        return [_named(staff_id, tx.request.blocked.end)]


class KeyOfBothEnds(NamedKey):
    """Locks on the hour of the start and on the hour of the end, and on none between them.

    A short slot in the middle of a long one takes a third lock.
    """

    name = "key_of_both_ends"
    seen = "code reviews: a key of the start, repaired"

    def names(self, tx: BookingTransaction, staff_id: int) -> Iterable[str]:
        """Return the names of the first and the last hour."""
        blocked = tx.request.blocked
        return [_named(staff_id, each) for each in (blocked.start, blocked.end - TICK)]


class KeyOfLocalDay(Exhibit):
    """A lock on the staff member and the day of the start, as it is called where they work.

    As with the day of UTC, an appointment across that midnight meets nobody after it.
    """

    name = "key_of_local_day"
    seen = "code reviews: a key of the day, repaired for time zones"

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the local days."""
        tx.send(LOCK_LOCAL_DAY, tx.parameters | {"staff_ids": tx.staff_ids})


class LockRowsForSome(Exhibit):
    """A row to lock for each staff member, in a table that was filled once.

    Whoever came later has no row. To lock none is no error, so nobody waits.
    """

    name = "lock_rows_for_some"
    seen = "code reviews: a table of locks, filled by a migration"
    needs = (
        "CREATE TABLE staff_lock (staff_id integer PRIMARY KEY)",
        "INSERT INTO staff_lock VALUES (1), (2)",
    )

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the rows that there are."""
        tx.send(LOCK_OWN_ROW, {"staff_ids": tx.staff_ids})


class HashOfName(Exhibit):
    """A key made by Python's `hash()` of a text.

    Each process has its own (PYTHONHASHSEED), so only clients in one process meet at the lock. It
    breaks when clients are processes of their own.
    """

    name = "hash_of_name"
    seen = "onyx-dot-app/onyx pull request 10048, found in review"

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the calendars, as this process calls them."""
        for staff_id in tx.staff_ids:
            tx.send(LOCK_NUMBER, {"number": hash(f"staff {staff_id}")})


class KeyOfMonth(NamedKey):
    """A lock on the staff member and the month of the start, in UTC.

    In the night in which a month ends it keeps nobody apart.
    """

    name = "key_of_month"
    seen = "code reviews: one table a month, and one lock a table"

    def names(self, tx: BookingTransaction, staff_id: int) -> Iterable[str]:
        """Return the month's name."""
        return [_named(staff_id, tx.request.slot.start, "%Y-%m")]


def _named(staff_id: int, instant: datetime, of: str = "%Y-%m-%d %H") -> str:
    return f"{staff_id}:{instant:{of}}"


EXHIBITS_OF_KEYS = (
    KeyOfService,
    KeyOfServiceAndStaff,
    KeyOfDay,
    KeyOfDaysPromised,
    KeyOfFirstAndLastDay,
    KeyOfLocalDay,
    KeyOfHalfDay,
    KeyOfTwoHours,
    KeyOfEnd,
    KeyOfBothEnds,
    LockRowsForSome,
    HashOfName,
    KeyOfMonth,
)
