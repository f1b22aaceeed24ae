"""A lock on the whole table: sound, and a bad neighbour."""

from booking_core.strategies.base import Guarded, Traits
from booking_core.strategies.transaction import BookingTransaction

LOCK = "LOCK TABLE appointment IN SHARE ROW EXCLUSIVE MODE"


class TableLock(Guarded):
    """`LOCK TABLE appointment IN SHARE ROW EXCLUSIVE MODE`.

    How: the mode conflicts with itself and with every writer, so one booking runs at a time,
    in the whole company. Readers go on.
    Cost: everybody waits for everybody; autovacuum of the table waits too.
    Manual: 13.3.1 Table-Level Locks.
    """

    name = "table_lock"
    traits = Traits(neighbours_wait="everybody", round_trips=1, round_trips_under_lock=0)

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the table."""
        tx.send(LOCK, {})
