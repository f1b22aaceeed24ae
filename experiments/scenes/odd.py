"""Odd strategies: nobody would choose them, and they are sound.

They are kept so that every experiment has controls that must pass: an instrument that blames one of
them blames what is unusual, not what is wrong.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar

from booking_core.slots import EPOCH, TICK
from booking_core.strategies import Strategy, Traits, staff_row
from booking_core.strategies.advisory import CALENDARS, LOCK
from booking_core.strategies.base import Guarded
from booking_core.strategies.constraint import Exclusion
from booking_core.strategies.optimistic import Serializable

if TYPE_CHECKING:
    from booking_core.strategies.transaction import BookingTransaction

LOCK_FOR_UPDATE = "SELECT id FROM staff WHERE id = ANY(%(staff_ids)s) ORDER BY id FOR UPDATE"
LOCK_BUCKETS = """
    SELECT pg_advisory_xact_lock(calendar, bucket)
      FROM unnest(%(calendars)s::integer[], %(buckets)s::integer[]) AS locks (calendar, bucket)
"""
LOCK_ITSELF = "SELECT pg_advisory_xact_lock(pg_backend_pid())"
LOCK_HASHED = """
    SELECT pg_advisory_xact_lock(hashtextextended(calendar::text, 0))
      FROM unnest(%(staff_ids)s::integer[]) AS calendar
"""
LOCK_ALL = f"SELECT pg_advisory_xact_lock({CALENDARS}, 0)"
HOUR = 3_600  # seconds
DAY = 24 * HOUR


class CheckedTwice(Strategy):
    """The calendar's lock, and the check made twice under it."""

    name = "checked_twice"
    traits = Traits(round_trips=3, round_trips_under_lock=2)

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the calendars."""
        tx.send(LOCK, {"staff_ids": tx.staff_ids})

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check, check again, record."""
        return None if tx.rival() is not None or tx.rival() is not None else tx.record(last=True)


class StaffForUpdate(Strategy):
    """FOR UPDATE over the staff row, which keeps more out than it has to."""

    name = "staff_for_update"

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the staff rows."""
        tx.send(LOCK_FOR_UPDATE, {"staff_ids": tx.staff_ids})


class Hours(Guarded):
    """A lock for each hour that is touched, of each calendar that is, all in one order."""

    name = "hours"
    length: ClassVar[int] = HOUR

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the buckets."""
        blocked = tx.request.blocked
        first, last = (
            int((each - EPOCH).total_seconds()) // self.length
            for each in (blocked.start, blocked.end - TICK)
        )
        locks = [(each, bucket) for each in tx.staff_ids for bucket in range(first, last + 1)]
        calendars, buckets = map(list, zip(*locks, strict=True))
        tx.send(LOCK_BUCKETS, {"calendars": calendars, "buckets": buckets})


class Days(Hours):
    """A lock for each day of UTC that is touched, of each calendar that is, all in one order."""

    name = "days"
    length = DAY


class Nested(Guarded):
    """Two locks, one in the other: the staff rows, then the calendars."""

    name = "nested"

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the rows, then for the calendars."""
        tx.send(staff_row.LOCK, {"staff_ids": tx.staff_ids})
        tx.send(LOCK, {"staff_ids": tx.staff_ids})


class CheckedConstraint(Strategy):
    """The exclusion constraint, with a check before it."""

    name = "checked_constraint"
    needs_constraint = True
    traits = replace(Exclusion.traits, round_trips=2)

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check, then insert or learn that the slot is taken."""
        return None if tx.rival() is not None else tx.record(or_nothing=True, last=True)


class SerializableAndLocked(Serializable):
    """SERIALIZABLE, and a lock that is named after the session and keeps nobody out."""

    name = "serializable_and_locked"

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for oneself."""
        tx.send(LOCK_ITSELF)


class HashedKey(Guarded):
    """An advisory lock on the staff id as a text, hashed to 64 bits."""

    name = "hashed_key"

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the hashes, in the order of the calendars."""
        tx.send(LOCK_HASHED, {"staff_ids": tx.staff_ids})


class StaffTable(Guarded):
    """`LOCK TABLE staff IN SHARE ROW EXCLUSIVE MODE`: one booking at a time, readers go on."""

    name = "staff_table"
    traits = replace(Guarded.traits, neighbours_wait="everybody")

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the table."""
        tx.send("LOCK TABLE staff IN SHARE ROW EXCLUSIVE MODE", {})


class OneKey(Guarded):
    """One advisory lock for everything."""

    name = "one_key"
    traits = replace(Guarded.traits, neighbours_wait="everybody")

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for everybody."""
        tx.send(LOCK_ALL, {})


ODD: dict[str, type[Strategy]] = {
    each.name: each
    for each in (
        CheckedTwice,
        StaffForUpdate,
        Hours,
        Days,
        Nested,
        CheckedConstraint,
        SerializableAndLocked,
        HashedKey,
        StaffTable,
        OneKey,
    )
}
