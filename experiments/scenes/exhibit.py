"""What every exhibit is: an unsound strategy that says what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sqlalchemy import func, select

from booking_core.strategies import Strategy
from booking_core.strategies.advisory import LOCK

if TYPE_CHECKING:
    from booking_core.strategies.transaction import BookingTransaction


class Exhibit(Strategy):
    """An unsound strategy.

    Attributes:
        seen: Where it was seen.
        breaks_in: The shape of race that breaks it.
        breaks_with: How many clients it takes.
        fault: What then shows, as a name of `experiments.judge.history.Faults`.
    """

    sound = False
    seen: ClassVar[str] = ""
    breaks_in: ClassVar[str] = "same_slot"
    breaks_with: ClassVar[int] = 20
    fault: ClassVar[str] = "double_bookings"


class KeptApart(Exhibit):
    """An exhibit that keeps the rivals for a calendar apart, soundly: its fault is another one."""

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the calendars."""
        tx.send(LOCK, {"staff_ids": tx.staff_ids})


def lock_text(tx: BookingTransaction, key: str) -> None:
    """Wait for a lock that is named by a text."""
    tx.connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))
