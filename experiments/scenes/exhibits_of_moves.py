"""Exhibits that get the appointment wrong: several move it, and one trusts what it once read.

A move reads whose the appointment is before it can lock anybody's calendar. Meanwhile another one
may hand it over. All of these keep slots from being booked twice; what breaks is what clients
were told.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from booking_core.errors import SerializationFailure
from booking_core.strategies import statements
from booking_core.strategies.advisory import LOCK
from experiments.scenes.exhibit import Exhibit, KeptApart

if TYPE_CHECKING:
    from booking_core.strategies.transaction import BookingTransaction

READ_AGAIN = """
    SELECT staff_id, lower(during) FROM appointment
     WHERE id = %(moved_id)s AND status = 'confirmed'
"""
MOVE_BY_ID = f"""
    UPDATE appointment
       SET staff_id = %(staff_id)s, during = tstzrange(%(starts)s, %(ends)s),
           blocked = tstzrange(%(blocked_from)s, %(blocked_until)s)
     WHERE id = %(moved_id)s AND status = 'confirmed' AND {statements.RULES_HOLD}
 RETURNING id
"""  # noqa: S608 - what is put together here is ours


class TrustedRead(KeptApart):
    """An update by the appointment's id alone, for what was read before the lock.

    Somebody hands the appointment over; a move to another time, which had read it before that,
    gives it back, and both are told that all went well.
    """

    name = "trusted_read"
    seen = "this project's own service, before its moves said what they had read"
    breaks_in = "two_moves"
    fault = "dishonest_replies"

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check, then move whatever has the id."""
        return _moved_by_id(tx) if tx.request.moves else super().claim(tx)


class TargetOnly(Exhibit):
    """A lock on the calendar that the appointment goes to, and none on the one that it leaves.

    To free a slot needs no lock; to find the appointment unchanged does. A handover and a move to
    another time lock different calendars, so each finds it as it was, even though they look again.
    """

    name = "target_only"
    seen = "code reviews: the calendar that is left can't be booked twice by that"
    breaks_in = "two_moves"
    fault = "dishonest_replies"

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for one calendar."""
        tx.send(LOCK, {"staff_ids": [tx.request.staff_id]})

    def claim(self, tx: BookingTransaction) -> int | None:
        """Read the appointment again, then move whatever has the id."""
        moves = tx.request.moves
        if not moves:
            return super().claim(tx)
        if tx.run(READ_AGAIN) != [(moves.staff_id, moves.slot.start)]:
            raise SerializationFailure("It was moved meanwhile.")
        return _moved_by_id(tx)


class IgnoredCount(KeptApart):
    """A move on the condition that nothing has changed, and nobody counts what was moved.

    The handover finds the appointment at another time, so it moves nothing and says that it did.
    """

    name = "ignored_count"
    seen = "code reviews: an UPDATE whose row count is thrown away"
    breaks_in = "two_moves"
    fault = "dishonest_replies"

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check, move, and say that it was done."""
        if not tx.request.moves:
            return super().claim(tx)
        if tx.rival() is not None:
            return None
        tx.record(last=True)
        return tx.request.moves.id


def _moved_by_id(tx: BookingTransaction) -> int | None:
    if tx.rival() is not None:
        return None
    tx.before_record()
    moved: int | None = next((row[0] for row in tx.run(MOVE_BY_ID, last=True)), None)
    return moved
