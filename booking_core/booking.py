"""The booking service: book, cancel, reschedule.

A request runs like this. The rules are checked first, in memory; the transaction makes sure that
they have not changed since they were read. The transaction is tried as often as the strategy's
policy allows: guard, claim, commit, or one statement that does it all. Between two tries no
connection is held. A slot that is lost is answered with alternatives, which are computed when
every lock has been let go.

A request with an idempotency key is looked up before each try, and once more where it meets a
rival, which may be its own twin.
"""

from __future__ import annotations

import time
from datetime import UTC, date, datetime
from random import Random
from typing import TYPE_CHECKING, TypeVar

from booking_core.appointments import check_appointment_id, find, find_confirmed, find_twin
from booking_core.availability import ENOUGH, FreeSlot, alternatives, free_slots, load_calendars
from booking_core.errors import (
    BookingConflict,
    BookingError,
    Deadlock,
    InvalidRequest,
    SerializationFailure,
    SlotBusy,
)
from booking_core.failures import OverlapRefused, transaction
from booking_core.requests import (
    Appointment,
    Booking,
    Request,
    check_id,
    check_text,
    digest,
)
from booking_core.rulebook import Rulebook
from booking_core.session import Session
from booking_core.slots import END_OF_TIME, Slot, in_utc
from booking_core.strategies import DEFAULT, Strategy
from booking_core.transaction import BookingTransaction, do_nothing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from sqlalchemy import Engine

    from booking_core.calendars import Calendar, Service

TRIED_AGAIN = (SlotBusy, SerializationFailure, Deadlock)

T = TypeVar("T")


def utc_now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


class BookingService:
    """Books slots of staff members, safely beside any number of others who do the same.

    One service may be shared by threads. The schema must have been made for the same strategy
    (`booking_core.schema.create`).

    Args:
        engine: Where the salon's database is; its pool bounds how many requests run at a time.
        strategy: How rivals are kept out.
        clock: Tells the present instant, an aware datetime.
        source: Where the jitter between tries comes from; seed it to repeat a run.
        offers: How many alternatives a lost slot is answered with; 0 saves looking for them.
        sleep: Waits for a number of seconds.
        before_record: Called between check and insert; experiments spend time there.
    """

    def __init__(  # noqa: PLR0913 - what an experiment must be able to steer
        self,
        engine: Engine,
        strategy: Strategy | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
        source: Random | None = None,
        offers: int = ENOUGH,
        sleep: Callable[[float], None] = time.sleep,
        before_record: Callable[[], None] = do_nothing,
    ) -> None:
        self.strategy = strategy or DEFAULT()
        self._engine = engine
        self._reading = engine.execution_options(isolation_level="AUTOCOMMIT")
        self._writing = engine.execution_options(isolation_level=self.strategy.isolation)
        self._clock = clock
        self._source = source or Random()  # noqa: S311 - jitter is no secret
        self._offers = offers
        self._sleep = sleep
        self._before_record = before_record
        self._rulebook = Rulebook(self._rules)

    def free_slots(self, service_id: int, day: date, staff_id: int | None = None) -> list[FreeSlot]:
        """Return the slots of a day that can be booked now, in order.

        Args:
            service_id: Which service.
            day: The date on the wall where the staff member works.
            staff_id: Whose slots alone; those of all who offer the service if left out.

        Raises:
            InvalidRequest: `UNKNOWN_SERVICE`, `UNKNOWN_STAFF` or `NOT_OFFERED`.
        """
        with transaction(self._reading, reads_only=True) as connection:
            return free_slots(connection, service_id, day, self._clock(), staff_id)

    def find(self, appointment_id: int) -> Appointment:
        """Return an appointment.

        Raises:
            InvalidRequest: `UNKNOWN_APPOINTMENT`.
        """
        with transaction(self._reading, reads_only=True) as connection:
            return find(connection, appointment_id)

    def book(  # noqa: PLR0913 - a booking has as many parts
        self,
        *,
        staff_id: int,
        service_id: int,
        start: datetime,
        client: str,
        end: datetime | None = None,
        key: str | None = None,
    ) -> Booking:
        """Book a slot.

        Args:
            staff_id: Whose calendar.
            service_id: What for.
            start: When it starts, an aware datetime.
            client: Who comes, 1 to 200 characters.
            end: When it ends, if the client says so; it must match the service.
            key: Idempotency key, 1 to 200 characters. A request that is repeated with its key
                is given the same appointment again, however it has fared since.

        Raises:
            BookingConflict: Somebody else has the slot; carries alternatives.
            SlotBusy: The lock could not be had in time.
            InvalidRequest: The rules do not allow it, or the key belongs to another request.
            BookingError: Any other outcome; see `booking_core.errors`.
        """
        client = check_text(client, "BAD_CLIENT", "client's name")
        start = in_utc(start)
        if end is not None:
            end = Slot(start, end).end
        if key is not None:
            key = check_text(key, "BAD_KEY", "idempotency key")
        check_id(staff_id, "UNKNOWN_STAFF", "staff member")
        check_id(service_id, "UNKNOWN_SERVICE", "service")

        def request() -> Request:
            return self._checked(staff_id, service_id, client, start, end, key=key)

        asked = digest(staff_id, service_id, client, start) if key else ""
        return self._settle(request, key, asked)

    def reschedule(
        self,
        appointment_id: int,
        *,
        start: datetime,
        staff_id: int | None = None,
        end: datetime | None = None,
    ) -> Booking:
        """Move an appointment to another time, another staff member, or both; or not at all.

        Args:
            appointment_id: Which appointment; it keeps its id.
            start: When it starts, an aware datetime.
            staff_id: Who takes over; the same staff member if left out.
            end: When it ends, if the client says so; it must match the service.

        Raises:
            BookingConflict: The new slot is taken; the old one is kept.
            SlotBusy: The lock could not be had in time; the old slot is kept.
            InvalidRequest: `UNKNOWN_APPOINTMENT`, `NOT_CONFIRMED`, or the rules do not allow it.
            BookingError: Any other outcome; see `booking_core.errors`.
        """
        start = in_utc(start)
        if end is not None:
            end = Slot(start, end).end
        with transaction(self._reading, reads_only=True) as connection:
            moves = find_confirmed(connection, appointment_id)
        wanted = moves.staff_id if staff_id is None else staff_id
        check_id(wanted, "UNKNOWN_STAFF", "staff member")

        def request() -> Request:
            return self._checked(wanted, moves.service_id, moves.client, start, end, moves=moves)

        return self._settle(request)

    def cancel(self, appointment_id: int) -> Appointment:
        """Cancel a confirmed appointment and return it; its slot is free at once.

        Raises:
            InvalidRequest: `UNKNOWN_APPOINTMENT`, or `NOT_CONFIRMED` where it was cancelled.
            BookingError: Any other outcome; see `booking_core.errors`.
        """
        check_appointment_id(appointment_id)

        def release(_: int) -> Appointment:
            with transaction(self._writing) as connection:
                if self.strategy.release(connection, appointment_id):
                    return find(connection, appointment_id)
            with transaction(self._reading, reads_only=True) as connection:
                find_confirmed(connection, appointment_id)
            raise SerializationFailure("It was not confirmed a moment ago, and is now; try again.")

        return self._tried(release)

    def _rules(self, service_id: int, staff_id: int) -> tuple[Service, Calendar]:
        """Read a service and a calendar, with whatever will matter in future."""
        with transaction(self._reading, reads_only=True) as connection:
            service, (calendar,) = load_calendars(
                connection,
                service_id,
                Slot(self._clock(), END_OF_TIME),
                staff_id=staff_id,
                with_busy=False,
            )
        return service, calendar

    def _checked(  # noqa: PLR0913 - a request has as many parts
        self,
        staff_id: int,
        service_id: int,
        client: str,
        start: datetime,
        end: datetime | None,
        *,
        key: str | None = None,
        moves: Appointment | None = None,
    ) -> Request:
        """Return the request, if the rules as they are known allow it."""
        known = self._rulebook.knows(service_id, staff_id)
        service, calendar = self._rulebook.rules(service_id, staff_id)
        slot = Slot(start, end) if end else service.slot(start)
        try:
            calendar.check(service, slot, self._clock())
        except InvalidRequest:
            if not known:
                raise
            # Perhaps the rules have changed since they were read; nobody is refused by old ones.
            self._rulebook.forget_calendar(service_id, staff_id)
            return self._checked(staff_id, service_id, client, start, end, key=key, moves=moves)
        return Request(
            staff_id,
            service_id,
            client,
            slot,
            service.blocked(start),
            key,
            moves,
            calendar.version,
        )

    def _settle(
        self, checked: Callable[[], Request], key: str | None = None, asked: str = ""
    ) -> Booking:
        """Try to claim a request until it is answered.

        Args:
            checked: Checks the request against the rules, anew for each try, and returns it.
            key: Its idempotency key.
            asked: Its digest.
        """

        def claim(attempt: int) -> Booking:
            if key:
                twin = self._twin(key, asked, attempt)
                if twin:
                    return twin
            request = checked()
            appointment_id, taken_by = self._claim(request)
            if appointment_id is None:
                return self._lost(request, taken_by, attempt)
            return Booking(
                Appointment(
                    appointment_id,
                    request.staff_id,
                    request.service_id,
                    request.client,
                    request.slot,
                ),
                attempt,
            )

        return self._tried(claim)

    def _claim(self, request: Request) -> tuple[int | None, int | None]:
        """Run the transaction once; return the appointment's id, or whose the slot is."""
        try:
            with Session(self._engine, self.strategy.isolation) as session:
                tx = BookingTransaction(session, request, self._before_record)
                statement = self.strategy.statement(request)
                if statement:
                    self._before_record()
                    ((appointment_id, taken_by),) = tx.run(statement)
                    return appointment_id, taken_by
                self.strategy.guard(tx)
                appointment_id = self.strategy.claim(tx)
        except OverlapRefused:
            return None, None
        return appointment_id, tx.taken_by

    def _lost(self, request: Request, taken_by: int | None, attempt: int) -> Booking:
        """Find out why nothing was stored; return what the request's twin has booked.

        Raises:
            BookingConflict: Somebody has the slot.
            InvalidRequest: `NOT_CONFIRMED` where there is nothing left to move.
            SerializationFailure: Whatever it was, it has changed meanwhile.
        """
        if request.key:
            twin = self._twin(request.key, request.digest, attempt)
            if twin:
                return twin
        if taken_by is None:
            with Session(self._engine, "AUTOCOMMIT", reads_only=True) as session:
                taken_by = BookingTransaction(session, request).rival()
        if taken_by is None:
            if request.moves:
                with transaction(self._reading, reads_only=True) as connection:
                    find_confirmed(connection, request.moves.id)
            self._rulebook.forget()
            raise SerializationFailure("What stood in the way has changed; try again.")
        raise BookingConflict(request.slot, taken_by, self._alternatives(request))

    def _twin(self, key: str, asked: str, attempt: int) -> Booking | None:
        with transaction(self._reading, reads_only=True) as connection:
            return find_twin(connection, key, asked, attempt)

    def _alternatives(self, request: Request) -> Sequence[FreeSlot]:
        if not self._offers:
            return ()
        with transaction(self._reading, reads_only=True) as connection:
            return alternatives(connection, request, self._clock(), self._offers)

    def _tried(self, work: Callable[[int], T]) -> T:
        """Do the work as often as the strategy's policy allows, and count."""
        attempt = 0
        while True:
            attempt += 1
            try:
                return work(attempt)
            except BookingError as error:
                error.attempts = attempt
                if not isinstance(error, TRIED_AGAIN):
                    raise
                if attempt >= self.strategy.retry.attempts:
                    self._rulebook.forget()  # a staff member who was removed looks busy, too
                    raise
            self._sleep(self.strategy.retry.pause(attempt, self._source))
