"""Exhibits that book soundly and move wrongly."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from booking_core.strategies import statements
from booking_core.strategies.advisory import LOCK
from experiments.scenes.exhibit import Exhibit, KeptApart
from experiments.scenes.exhibits_of_checks import without_buffers

if TYPE_CHECKING:
    from booking_core.requests import Appointment
    from booking_core.strategies.transaction import BookingTransaction

RESTORE = "UPDATE appointment SET status = 'confirmed' WHERE id = %(appointment_id)s"
MOVE_ANYTHING = statements.RECORD_MOVE.replace(
    "WHERE id = %(moved_id)s AND status = 'confirmed'", "WHERE id = %(moved_id)s"
).replace("SET staff_id", "SET status = 'confirmed', staff_id")


class OldCalendarOnly(Exhibit):
    """A move that locks the calendar that it leaves, and not the one that it goes to.

    There somebody books the same slot.
    """

    name = "old_calendar_only"
    seen = "code reviews: the appointment's own calendar was locked"

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the calendar in which the appointment is."""
        tx.send(LOCK, {"staff_ids": [(tx.request.moves or tx.request).staff_id]})


class LowerCalendarOnly(Exhibit):
    """A move that locks the calendar with the lower id of the two.

    Somebody books in the other one what it moves to.
    """

    name = "lower_calendar_only"
    seen = "code reviews: the first of the sorted ids was taken for all of them"

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for one calendar."""
        tx.send(LOCK, {"staff_ids": tx.staff_ids[:1]})


class HigherCalendarOnly(Exhibit):
    """A move that locks the calendar with the higher id of the two.

    Somebody books in the other one what it moves to.
    """

    name = "higher_calendar_only"
    seen = "code reviews: the last of the sorted ids was taken for all of them"

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for one calendar."""
        tx.send(LOCK, {"staff_ids": tx.staff_ids[-1:]})


class OwnMove(KeptApart):
    """An exhibit that moves in a way of its own."""

    def claim(self, tx: BookingTransaction) -> int | None:
        """Move, or book as others do."""
        moves = tx.request.moves
        if moves:
            return self.move(tx, moves)
        return None if tx.rival() is not None else tx.record(last=True)

    def move(self, tx: BookingTransaction, moves: Appointment) -> int | None:
        """Move the appointment, as `claim` does."""
        raise NotImplementedError


class CountsItself(OwnMove):
    """A move that counts the appointment as its own rival.

    To move by half an hour is refused, since the appointment itself is in the way.
    """

    name = "counts_itself"
    seen = "calcom/cal.diy pull request 10424 mends it"
    fault = "refused_neighbours"

    def move(self, tx: BookingTransaction, moves: Appointment) -> int | None:  # noqa: ARG002
        """Check without leaving the appointment out."""
        found = tx.run(statements.LOOK)
        tx.taken_by = found[0][0] if found else None
        return None if tx.taken_by is not None else tx.record()


class FreesFirst(OwnMove):
    """A move that frees the old slot, commits, and takes the old slot again where it loses.

    Meanwhile somebody has booked the old slot.
    """

    name = "frees_first"
    seen = "code reviews: a cancel and a booking, one after the other"

    def move(self, tx: BookingTransaction, moves: Appointment) -> int | None:
        """Cancel; then, in another transaction, restore and move."""
        tx.send(statements.CANCEL, {"appointment_id": moves.id})
        tx.run("COMMIT")
        tx.send("BEGIN")
        tx.send(LOCK, {"staff_ids": tx.staff_ids})
        tx.send(RESTORE, {"appointment_id": moves.id})
        return None if tx.rival() is not None else tx.record()


class BooksAnew(OwnMove):
    """A move that cancels the appointment and books another one.

    The client has an id that stands for nothing any more.
    """

    name = "books_anew"
    seen = "code reviews: a cancel and a booking, in one transaction"
    breaks_in = "book_against_reschedule"
    fault = "dishonest_replies"
    leaves: ClassVar[bool] = True

    def move(self, tx: BookingTransaction, moves: Appointment) -> int | None:
        """Insert, and cancel the old one."""
        if tx.rival() is not None:
            return None
        if self.leaves:
            tx.send(statements.CANCEL, {"appointment_id": moves.id})
        tx.before_record()
        return next((row[0] for row in tx.run(statements.RECORD)), None)


class BooksAsWell(BooksAnew):
    """A move that books another appointment, and leaves the old one where it is.

    The client has two, and nobody else can have the old slot.
    """

    name = "books_as_well"
    seen = "code reviews: the cancel was forgotten"
    leaves = False


class MoveRevives(OwnMove):
    """A move that writes back what it read, the status too.

    An appointment that was cancelled in between is confirmed again, and both were told that all
    went well.
    """

    name = "move_revives"
    seen = "code reviews: a mapper that saves whole rows"
    fault = "dishonest_replies"

    def move(self, tx: BookingTransaction, moves: Appointment) -> int | None:  # noqa: ARG002
        """Check, then move whatever its status is."""
        if tx.rival() is not None:
            return None
        tx.before_record()
        return next((row[0] for row in tx.run(MOVE_ANYTHING)), None)


class MoveForgetsBuffers(OwnMove):
    """A move that stores as blocked what it promises.

    After it somebody can book what should be its buffer.
    """

    name = "move_forgets_buffers"
    seen = "code reviews: buffers were thought of where appointments are made"

    def move(self, tx: BookingTransaction, moves: Appointment) -> int | None:  # noqa: ARG002
        """Check, then store too little."""
        return None if tx.rival() is not None else without_buffers(tx).record()


class ForgetsItsLoss(OwnMove):
    """A move that finds the slot taken, moves nothing, and says that it moved."""

    name = "forgets_its_loss"
    seen = "code reviews: a return value that is always the appointment"
    breaks_in = "swap"
    fault = "dishonest_replies"

    def move(self, tx: BookingTransaction, moves: Appointment) -> int | None:
        """Move if nobody is in the way; say so in any case."""
        if tx.rival() is None:
            tx.record()
        return moves.id


EXHIBITS_OF_CHANGES = (
    OldCalendarOnly,
    LowerCalendarOnly,
    HigherCalendarOnly,
    CountsItself,
    FreesFirst,
    BooksAnew,
    BooksAsWell,
    MoveRevives,
    MoveForgetsBuffers,
    ForgetsItsLoss,
)
