"""One try at a request: the transaction, and what came of it."""

from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import Engine

from booking_core.calendar.rulebook import Rulebook
from booking_core.database.appointments import find_confirmed, find_twin
from booking_core.database.failures import OverlapRefused
from booking_core.database.session import Session
from booking_core.errors import InvalidRequest, SerializationFailure
from booking_core.requests import Appointment, Booking, Key, Request
from booking_core.strategies import Strategy
from booking_core.strategies.transaction import BookingTransaction


@dataclass(frozen=True, slots=True)
class Claims:
    """Claims slots, as the strategy does it.

    Attributes:
        engine: Where the salon's database is.
        strategy: How rivals are kept out.
        rulebook: Whose rules the requests were checked by.
        before_record: Called between check and insert.
    """

    engine: Engine
    strategy: Strategy
    rulebook: Rulebook
    before_record: Callable[[], None]

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
            with Session(self.engine, self.strategy.isolation) as session:
                tx = BookingTransaction(session, request, self.before_record)
                if statement := self.strategy.statement(request):
                    self.before_record()
                    ((appointment_id, tx.taken_by),) = tx.run(statement)
                else:
                    self.strategy.guard(tx)
                    appointment_id = self.strategy.claim(tx)
        except OverlapRefused:
            appointment_id = None
        except InvalidRequest:  # by its own twin, perhaps
            if twin := self.twin(request.key):
                return twin
            raise
        if appointment_id is None:
            return self.twin(request.key) or tx.taken_by or self.rival(request)
        who = request.staff_id, request.service_id, request.client
        return Booking(Appointment(appointment_id, *who, request.slot, client_id=request.client_id))

    def rival(self, request: Request) -> int:
        """Return the id of the appointment that is in the way of a request.

        Raises:
            InvalidRequest: `NOT_CONFIRMED` where there is nothing left to move.
            SerializationFailure: Whatever it was, it has changed meanwhile.
        """
        with Session(self.engine, "AUTOCOMMIT", reads_only=True) as session:
            taken_by = BookingTransaction(session, request).rival()
            if taken_by is None and request.moves:
                find_confirmed(session, request.moves.id)
        if taken_by is None:
            self.rulebook.forget(request.service_id, request.staff_id)
            raise SerializationFailure("What stood in the way has changed; try again.")
        return taken_by

    def twin(self, key: Key | None) -> Booking | None:
        """Return the answer to an earlier request with the same idempotency key, if there was one.

        Raises:
            InvalidRequest: `KEY_REUSED` where the earlier one asked for something else.
        """
        if key is None:
            return None
        with Session(self.engine, "AUTOCOMMIT", reads_only=True) as session:
            return find_twin(session, key)
