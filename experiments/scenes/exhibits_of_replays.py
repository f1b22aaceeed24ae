"""Exhibits that get wrong what was asked or read before: keys, and rules.

A request with a key is the same request when it comes again. Rules are read before a booking, and
may have changed when it is written. All of these keep slots from being booked twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from booking_core.strategies import Traits, statements
from experiments.scenes.exhibit import KeptApart

if TYPE_CHECKING:
    from booking_core.strategies.transaction import BookingTransaction

NO_INDEX = "DROP INDEX appointment_idempotency_key"
LOOK_FOR_KEY = """
    SELECT id FROM appointment
     WHERE idempotency_key = %(key)s AND key_scope = %(key_scope)s AND id <> %(recorded)s
"""
TAKE_BACK = "DELETE FROM appointment WHERE id = %(recorded)s"
SPEND = """
    INSERT INTO spent_key VALUES (%(key_scope)s, %(key)s) ON CONFLICT DO NOTHING RETURNING 1
"""
RECORD_BY_ANY_RULES = statements.RECORD.replace(statements.RULES_HOLD, "true")
RECORD_MOVE_BY_ANY_RULES = statements.RECORD_MOVE.replace(statements.RULES_HOLD, "true")


class KeyNotStored(KeptApart):
    """A booking that does not store its key: the same request meets itself.

    It is told that the slot is taken, by its own appointment.
    """

    name = "key_not_stored"
    seen = "code reviews: the key was checked at the door and forgotten"
    breaks_in = "same_key"
    fault = "dishonest_replies"

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check, then record without the key."""
        if tx.rival() is not None:
            return None
        tx.parameters = tx.parameters | {"key": None}
        return tx.record(last=True)


class KeyNotUnique(KeptApart):
    """A key that is looked up before the booking, and no index that keeps it from coming twice.

    Two requests with one key look at the same time, and each books somebody else or another slot.
    """

    name = "key_not_unique"
    seen = "code reviews: find or create"
    fault = "repeated_bookings"
    needs = (NO_INDEX,)


class KeyLookedUpLate(KeptApart):
    """A key that is looked up after the insert, which is taken back where the key was there.

    In READ COMMITTED the other's uncommitted row is not seen, so both stay.
    """

    name = "key_looked_up_late"
    seen = "code reviews: insert, look for others, take it back"
    fault = "repeated_bookings"
    needs = (NO_INDEX,)
    traits = Traits(round_trips=4, round_trips_under_lock=3)

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check, record, look for the key."""
        recorded = super().claim(tx)
        asked = tx.parameters | {"recorded": recorded}
        if tx.request.moves or recorded is None or not tx.run(LOOK_FOR_KEY, asked):
            return recorded
        tx.send(TAKE_BACK, asked)
        return None


class KeySpent(KeptApart):
    """A key that is written down for every outcome, and an answer that is kept for bookings alone.

    Whoever asks again after a conflict, or asks for something else, finds the key spent, and gets
    nothing although the slot is free.
    """

    name = "key_spent"
    seen = "LerianStudio/midaz issue 709"
    fault = "lost_sales"
    needs = ("CREATE TABLE spent_key (key_scope text, key text, PRIMARY KEY (key_scope, key))",)
    traits = Traits(round_trips=3, round_trips_under_lock=2)

    def claim(self, tx: BookingTransaction) -> int | None:
        """Spend the key, if there is one, then check and record."""
        if tx.request.key and not tx.run(SPEND):
            return None
        return super().claim(tx)


class AnyRules(KeptApart):
    """A booking that does not ask whether the rules are still those by which it was checked.

    Somebody is booked while they are away, since that was entered a moment ago.
    """

    name = "any_rules"
    seen = "code reviews: hours are validated before the transaction"
    fault = "dishonest_replies"

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check for rivals alone, then record."""
        if tx.rival() is not None:
            return None
        tx.before_record()
        record = RECORD_MOVE_BY_ANY_RULES if tx.request.moves else RECORD_BY_ANY_RULES
        return next((row[0] for row in tx.run(record, last=True)), None)


EXHIBITS_OF_REPLAYS = (
    KeyNotStored,
    KeyNotUnique,
    KeyLookedUpLate,
    KeySpent,
    AnyRules,
)
