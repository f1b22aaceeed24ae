"""Exhibits that look at the wrong thing before they write, or write the wrong thing.

All but the first two keep the rivals for a calendar apart. Whoever comes second has the lock, and
overlooks the first all the same.
"""

# ruff: noqa: S608 - what is put together here is ours; values are parameters

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from booking_core.errors import SerializationFailure
from booking_core.strategies import Traits
from booking_core.strategies.advisory import LOCK
from experiments.scenes.exhibit import Exhibit, KeptApart

if TYPE_CHECKING:
    from booking_core.strategies.transaction import BookingTransaction

COUNT = """
    SELECT count(*) FROM appointment
     WHERE staff_id = ANY(%(staff_ids)s::integer[]) AND status = 'confirmed'
"""
LOOK_AT_ONE = """
    SELECT id, status FROM appointment
     WHERE staff_id = %(staff_id)s::integer AND id IS DISTINCT FROM %(moved_id)s
       AND blocked && tstzrange(%(blocked_from)s, %(blocked_until)s)
     ORDER BY id LIMIT 1
"""
COUNT_AND_MOVES = f"""
    SELECT ({COUNT}), (SELECT sum(moves) FROM staff WHERE id = ANY(%(staff_ids)s::integer[]))
"""
COUNT_MOVE = "UPDATE staff SET moves = moves + 1 WHERE id = ANY(%(staff_ids)s::integer[])"
LOOK = """
    SELECT id FROM appointment
     WHERE staff_id = %(staff_id)s::integer AND id IS DISTINCT FROM %(moved_id)s AND {} LIMIT 1
"""
PROMISED = "tstzrange(%(starts)s, %(ends)s)"
BLOCKED = "tstzrange(%(blocked_from)s, %(blocked_until)s)"
CONFIRMED = "status = 'confirmed'"
_WALL = "({}::timestamptz AT TIME ZONE 'Europe/Berlin')"


class CountForVersion(Exhibit):
    """Optimistic, with the number of appointments in place of a version.

    A rival who moves an appointment into the slot leaves the number as it was, and so do one who
    cancels and one who books.
    """

    name = "count_for_version"
    seen = "code reviews: nothing has changed if there are as many as before"
    breaks_in = "book_against_reschedule"
    traits = Traits(round_trips=4, round_trips_under_lock=1)
    count: ClassVar[str] = COUNT

    def claim(self, tx: BookingTransaction) -> int | None:
        """Count, check, and record under the lock if there are as many."""
        calendars = {"staff_ids": tx.staff_ids}
        before = tx.run(self.count, calendars)
        if tx.rival() is not None:
            return None
        tx.send(LOCK, calendars)
        if tx.run(self.count, calendars) != before:
            raise SerializationFailure("There are more or fewer appointments than before.")
        return self.write(tx)

    def write(self, tx: BookingTransaction) -> int | None:
        """Record the request."""
        return tx.record(last=True)


class CountAndMovesForVersion(CountForVersion):
    """The same with the number of moves beside it.

    A rival who cancels and one who books leave both numbers as they were.
    """

    name = "count_and_moves_for_version"
    seen = "code reviews: a count for a version, repaired"
    breaks_in = "same_slot"
    needs = ("ALTER TABLE staff ADD COLUMN moves bigint NOT NULL DEFAULT 0",)
    count = COUNT_AND_MOVES

    def write(self, tx: BookingTransaction) -> int | None:
        """Count a move, then record."""
        if tx.request.moves:
            tx.send(COUNT_MOVE, {"staff_ids": tx.staff_ids})
        return super().write(tx)


class OwnLook(KeptApart):
    """An exhibit that looks for rivals on a condition of its own."""

    condition: ClassVar[str]

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check by the condition, then record."""
        found = tx.run(LOOK.format(self.condition))
        tx.taken_by = found[0][0] if found else None
        return None if tx.taken_by is not None else tx.record(last=True)


class FirstRowOnly(KeptApart):
    """Of the appointments in the way the oldest is read, and whether that one is cancelled.

    Where one was cancelled, whoever comes later finds that one, and the slot free.
    """

    name = "first_row_only"
    seen = "code reviews: LIMIT 1 before the condition"

    def claim(self, tx: BookingTransaction) -> int | None:
        """Look at one row, then record."""
        for found, status in tx.run(LOOK_AT_ONE):
            if status == "confirmed":
                tx.taken_by = found
                return None
        return tx.record(last=True)


class PromisesCompared(OwnLook):
    """What is promised is compared with what was promised; buffers are left out.

    A slot that begins in somebody's buffer is booked.
    """

    name = "promises_compared"
    seen = "calcom/cal.diy pull request 14871 mends it"
    condition = f"{CONFIRMED} AND during && {PROMISED}"


class PromiseAgainstBlocked(OwnLook):
    """What is promised is compared with what is blocked: the new appointment's buffers don't count.

    A slot whose buffer reaches into the next appointment is booked.
    """

    name = "promise_against_blocked"
    seen = "code reviews: the buffers of those that are stored were thought of"
    condition = f"{CONFIRMED} AND blocked && {PROMISED}"


class SetUpLeftOut(OwnLook):
    """The buffer after the new appointment counts, the one before it does not.

    A slot whose set-up begins in somebody's buffer is booked.
    """

    name = "set_up_left_out"
    seen = "code reviews: buffers before came later"
    condition = f"{CONFIRMED} AND blocked && tstzrange(%(starts)s, %(blocked_until)s)"


class StartAlone(OwnLook):
    """It is asked whether somebody has the start, and no more.

    A slot that begins before another one and ends in it is booked.
    """

    name = "start_alone"
    seen = "calcom/cal.diy issue 107"
    breaks_in = "overlapping"
    condition = f"{CONFIRMED} AND blocked @> %(blocked_from)s::timestamptz"


class BothEnds(OwnLook):
    """It is asked whether somebody has the start or the end.

    A long slot that has all of a short one in it is booked.
    """

    name = "both_ends"
    seen = "code reviews: start BETWEEN … OR end BETWEEN …"
    condition = f"""{CONFIRMED} AND (blocked @> %(blocked_from)s::timestamptz
        OR blocked @> %(blocked_until)s::timestamptz - interval '1 microsecond')"""


class StatusLeftOut(OwnLook):
    """A cancelled appointment counts like a confirmed one.

    A slot that was cancelled is never sold again.
    """

    name = "status_left_out"
    seen = "calcom/cal.diy issue 2134"
    breaks_in = "book_against_cancel"
    fault = "dishonest_replies"
    condition = f"blocked && {BLOCKED}"


class BuffersNotStored(KeptApart):
    """The check is right, and what is stored as blocked is what was promised.

    The next one sees no buffer, and begins in it.
    """

    name = "buffers_not_stored"
    seen = "code reviews: the form's end was stored"

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check, then store too little."""
        if tx.rival() is not None:
            return None
        return without_buffers(tx).record(last=True)


def without_buffers(tx: BookingTransaction) -> BookingTransaction:
    """Return the transaction, which from now on blocks what is promised."""
    slot = tx.request.slot
    tx.parameters = tx.parameters | {"blocked_from": slot.start, "blocked_until": slot.end}
    return tx


class WallClockCompared(OwnLook):
    """Slots are compared by what the clock on the wall shows.

    In the night in which the clocks go back, an hour comes twice: what begins in the first may
    look as if it began after what follows in the second.
    """

    name = "wall_clock_compared"
    seen = "code reviews: columns without a time zone"
    condition = (
        f"{CONFIRMED} AND {_WALL.format('lower(blocked)')} < {_WALL.format('%(blocked_until)s')}"
        f" AND {_WALL.format('upper(blocked)')} > {_WALL.format('%(blocked_from)s')}"
    )


EXHIBITS_OF_CHECKS = (
    CountForVersion,
    CountAndMovesForVersion,
    FirstRowOnly,
    PromisesCompared,
    PromiseAgainstBlocked,
    SetUpLeftOut,
    StartAlone,
    BothEnds,
    StatusLeftOut,
    BuffersNotStored,
    WallClockCompared,
)
