"""What every exhibit is: an unsound strategy that says what is wrong with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from sqlalchemy import func, select

from booking_core.strategies import Strategy

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


def lock_text(tx: BookingTransaction, key: str) -> None:
    """Wait for a lock that is named by a text."""
    tx.connection.execute(select(func.pg_advisory_xact_lock(func.hashtextextended(key, 0))))
