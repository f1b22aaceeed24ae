"""Exhibits whose lock has the name of somebody else's.

To share a lock with a neighbour means to wait for them, which is no fault. It becomes one where a
lock that is taken is told as a slot that is taken.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from booking_core.errors import BookingConflict
from booking_core.strategies import Traits
from experiments.scenes.exhibit import KeptApart

if TYPE_CHECKING:
    from booking_core.strategies.transaction import BookingTransaction

TRY_NAME = "SELECT pg_try_advisory_xact_lock(hashtextextended(%(name)s::text, 0))"
NAME = "SELECT name FROM staff WHERE id = %(staff_id)s::integer"


class TriedName(KeptApart):
    """An exhibit with a second lock, which is tried: where it is taken, so is the slot, it says.

    The calendar's lock comes first, so those who want one calendar never meet at the second.
    """

    fault = "refused_neighbours"
    traits = Traits(round_trips=3, round_trips_under_lock=2)

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the calendars, then try the second lock.

        Raises:
            BookingConflict: Somebody has it.
        """
        super().guard(tx)
        if tx.run(TRY_NAME, {"name": self.second(tx)}) != [(True,)]:
            raise BookingConflict(tx.request.slot, 0)

    def second(self, tx: BookingTransaction) -> str:
        """Return the second lock's name."""
        raise NotImplementedError


class JoinedKey(TriedName):
    """Staff id and hour written one after the other: 1 at 11 o'clock is 11 at 1 o'clock.

    Two people are then told that they took each other's slot.
    """

    name = "joined_key"
    seen = "code reviews: str(staff) + str(hour)"

    def second(self, tx: BookingTransaction) -> str:
        """Return the two numbers as one."""
        return f"{tx.request.staff_id}{tx.request.slot.start.hour}"


class LoweredName(TriedName):
    """The staff member's name in small letters: two people whose names differ in capitals are one.

    One of them is refused because somebody books the other.
    """

    name = "lowered_name"
    seen = "code reviews: keys that people read are written in small letters"
    traits = Traits(round_trips=4, round_trips_under_lock=3)

    def second(self, tx: BookingTransaction) -> str:
        """Return the name in small letters."""
        return f"{tx.run(NAME)[0][0]}".lower()


class ShortenedName(TriedName):
    """The first seven letters of the staff member's name: longer names that begin alike are one.

    One of them is refused because somebody books the other.
    """

    name = "shortened_name"
    seen = "code reviews: keys were cut to the length of a column"
    traits = Traits(round_trips=4, round_trips_under_lock=3)
    length: ClassVar[int] = 7

    def second(self, tx: BookingTransaction) -> str:
        """Return the beginning of the name."""
        return f"{tx.run(NAME)[0][0]}"[: self.length]


EXHIBITS_OF_NAMES = (JoinedKey, LoweredName, ShortenedName)
