"""One try at a request: the transaction, and what came of it."""

from collections.abc import Callable

from sqlalchemy import Engine

from booking_core.calendar.rulebook import Rulebook
from booking_core.database.appointments import find_confirmed, find_twin
from booking_core.database.failures import OverlapRefused
from booking_core.database.session import Session
from booking_core.errors import SerializationFailure
from booking_core.requests import Appointment, Booking, Request, Wish
from booking_core.strategies import Strategy
from booking_core.strategies.transaction import BookingTransaction


class Claims:
    """Claims slots, as the strategy does it.

    Args:
        engine: Where the salon's database is.
        strategy: How rivals are kept out.
        rulebook: Whose rules the requests were checked by.
        before_record: Called between check and insert.
    """

    def __init__(
        self,
        engine: Engine,
        strategy: Strategy,
        rulebook: Rulebook,
        before_record: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._strategy = strategy
        self._rulebook = rulebook
        self._before_record = before_record

    def claim(self, request: Request) -> Booking | int:
        """Try once to claim a slot.

        Args:
            request: Whose rules allow it.

        Returns:
            What was booked, by this request or by its twin; or else the id of the appointment that
            is in the way.

        Raises:
            BookingError: Any other outcome.
        """
        try:
            with Session(self._engine, self._strategy.isolation) as session:
                tx = BookingTransaction(session, request, self._before_record)
                if statement := self._strategy.statement(request):
                    self._before_record()
                    ((appointment_id, tx.taken_by),) = tx.run(statement)
                else:
                    self._strategy.guard(tx)
                    appointment_id = self._strategy.claim(tx)
        except OverlapRefused:
            appointment_id = None
        if appointment_id is None:
            return self.twin(request) or self._in_the_way(request, tx.taken_by)
        who = request.staff_id, request.service_id, request.client
        return Booking(Appointment(appointment_id, *who, request.slot))

    def _in_the_way(self, request: Request, taken_by: int | None) -> int:
        """Return who has the slot, where nothing was stored.

        Raises:
            InvalidRequest: `NOT_CONFIRMED` where there is nothing left to move.
            SerializationFailure: Whatever it was, it has changed meanwhile.
        """
        if taken_by is None:
            with Session(self._engine, "AUTOCOMMIT", reads_only=True) as session:
                taken_by = BookingTransaction(session, request).rival()
                if taken_by is None and request.moves:
                    find_confirmed(session, request.moves.id)
        if taken_by is None:
            self._rulebook.forget()
            raise SerializationFailure("What stood in the way has changed; try again.")
        return taken_by

    def twin(self, wish: Wish) -> Booking | None:
        """Return what an earlier request with the same idempotency key has booked, if it has.

        Raises:
            InvalidRequest: `KEY_REUSED` where the earlier one asked for something else.
        """
        if wish.key is None:
            return None
        with Session(self._engine, "AUTOCOMMIT", reads_only=True) as session:
            return find_twin(session, wish)
