"""The booking service: book, cancel, reschedule.

A request runs like this. The rules are checked first, in memory; the transaction makes sure that
they have not changed since they were read. The transaction is tried as often as the strategy's
policy allows: guard, claim, commit, or one statement that does it all. Between two tries no
connection is held. A slot that is lost is answered with alternatives, which are computed when
every lock has been let go.

A request with an idempotency key is looked up before each try, and once more where it meets a
rival, which may be its own twin.

Who does not mind with whom is given whoever has the least to do around that time. Where somebody
else was faster there, the next one is tried: it is a conflict only when nobody is free any more.
With a strategy that waits, whoever is chosen is waited for, even where others could be had at once.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from random import Random
from typing import TypeVar

from sqlalchemy import Engine

from booking_core.calendar.availability import ENOUGH, Availability, Candidate, check_refused
from booking_core.calendar.rulebook import Rulebook
from booking_core.claims import Claims
from booking_core.database.appointments import check_appointment_id, find, find_confirmed
from booking_core.database.session import Session
from booking_core.errors import (
    BookingConflict,
    BookingError,
    Deadlock,
    InvalidRequest,
    SerializationFailure,
    SlotBusy,
)
from booking_core.requests import Appointment, Booking, Request, Wish, check_id, check_text, digest
from booking_core.slots import FreeSlot, Slot, in_utc
from booking_core.strategies import DEFAULT, Strategy
from booking_core.strategies.transaction import do_nothing

TRIED_AGAIN = (SlotBusy, SerializationFailure, Deadlock)
MOST_LOOKS = 20  # at who is free, when others are faster each time
MOST_OFFERS = 1_000
MOST_ASKED = 10  # why they can't, where nobody can
ABOUT_THE_START = {"IN_THE_PAST", "TOO_SOON", "TOO_FAR_AHEAD", "OFF_GRID", "WRONG_DURATION"}

T = TypeVar("T")


def utc_now() -> datetime:
    """Return the present instant."""
    return datetime.now(UTC)


class BookingService(Availability):
    """Says what is free, and books it, safely beside any number of others who do the same.

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
        if not 0 <= offers <= MOST_OFFERS:
            raise ValueError(f"offers is {offers}; it must lie between 0 and {MOST_OFFERS}.")
        super().__init__(engine, clock)
        self.strategy = strategy or DEFAULT()
        self._source = source or Random()  # noqa: S311 - jitter is no secret
        self._offers = offers
        self._sleep = sleep
        self._rulebook = Rulebook(engine, clock)
        self._claims = Claims(engine, self.strategy, self._rulebook, before_record)

    def find(self, appointment_id: int) -> Appointment:
        """Return an appointment.

        Raises:
            InvalidRequest: `UNKNOWN_APPOINTMENT`.
        """
        with self._reading() as session:
            return find(session, appointment_id)

    def book(  # noqa: PLR0913 - a booking has as many parts
        self,
        *,
        staff_id: int | None,
        service_id: int,
        start: datetime,
        client: str,
        end: datetime | None = None,
        key: str | None = None,
        location_id: int | None = None,
        refused: Iterable[FreeSlot] = (),
    ) -> Booking:
        """Book a slot.

        Args:
            staff_id: Whose calendar; None where anybody will do.
            service_id: What for.
            start: When it starts, an aware datetime.
            client: Who comes, 1 to 200 characters.
            end: When it ends, if the client says so; it must match the service.
            key: Idempotency key, 1 to 200 characters. A request that is repeated with its key
                is given the same appointment again, however it has fared since.
            location_id: Where anybody is to be found; anywhere if left out.
            refused: Alternatives that the client has turned down; they are not offered again.

        Raises:
            BookingConflict: Somebody else has the slot; carries alternatives.
            SlotBusy: The lock could not be had in time.
            InvalidRequest: The rules do not allow it, or the key belongs to another request.
            BookingError: Any other outcome; see `booking_core.errors`.
        """
        client = check_text(client, "BAD_CLIENT", "client's name")
        start = in_utc(start)
        end = end and Slot(start, end).end
        key = None if key is None else check_text(key, "BAD_KEY", "idempotency key")
        if staff_id is not None:
            check_id(staff_id, "UNKNOWN_STAFF", "staff member")
        check_id(service_id, "UNKNOWN_SERVICE", "service")
        who = ("anyone", location_id) if staff_id is None else staff_id
        asked = digest(who, service_id, client, start.isoformat()) if key else ""
        wish = Wish(service_id, client, start, end, key, asked)
        turned_down = check_refused(refused)

        def claim() -> Booking:
            if twin := self._claims.twin(wish):
                return twin
            if staff_id is None:
                return self._with_anyone(wish, location_id, turned_down)
            return self._with(self._rulebook.request(wish, staff_id), turned_down)

        return self._tried(claim)

    def reschedule(
        self,
        appointment_id: int,
        *,
        start: datetime,
        staff_id: int | None = None,
        end: datetime | None = None,
        refused: Iterable[FreeSlot] = (),
    ) -> Booking:
        """Move an appointment to another time, another staff member, or both; or not at all.

        Args:
            appointment_id: Which appointment; it keeps its id.
            start: When it starts, an aware datetime.
            staff_id: Who takes over; the same staff member if left out.
            end: When it ends, if the client says so; it must match the service.
            refused: Alternatives that the client has turned down; they are not offered again.

        Raises:
            BookingConflict: The new slot is taken; the old one is kept.
            SlotBusy: The lock could not be had in time; the old slot is kept.
            InvalidRequest: `UNKNOWN_APPOINTMENT`, `NOT_CONFIRMED`, or the rules do not allow it.
            BookingError: Any other outcome; see `booking_core.errors`.
        """
        start = in_utc(start)
        end = end and Slot(start, end).end
        with self._reading() as session:
            moves = find_confirmed(session, appointment_id)
        wanted = moves.staff_id if staff_id is None else staff_id
        check_id(wanted, "UNKNOWN_STAFF", "staff member")
        wish = Wish(moves.service_id, moves.client, start, end, moves=moves)
        turned_down = check_refused(refused)
        return self._tried(lambda: self._with(self._rulebook.request(wish, wanted), turned_down))

    def cancel(self, appointment_id: int) -> Appointment:
        """Cancel a confirmed appointment and return it; its slot is free at once.

        Raises:
            InvalidRequest: `UNKNOWN_APPOINTMENT`, or `NOT_CONFIRMED` where it was cancelled.
            BookingError: Any other outcome; see `booking_core.errors`.
        """
        check_appointment_id(appointment_id)

        def release() -> Appointment:
            with Session(self._engine, self.strategy.isolation) as session:
                if self.strategy.release(session.connection, appointment_id):
                    return find(session, appointment_id)
            with self._reading() as session:
                find_confirmed(session, appointment_id)
            raise SerializationFailure("It was not confirmed a moment ago, and is now; try again.")

        return self._tried(release)

    def _reading(self) -> Session:
        return Session(self._engine, "AUTOCOMMIT", reads_only=True)

    def _with(self, request: Request, refused: Sequence[FreeSlot]) -> Booking:
        """Try to claim a slot with the one staff member who is asked for.

        Raises:
            BookingConflict: Somebody else has it.
        """
        claimed = self._claims.claim(request)
        if isinstance(claimed, Booking):
            return claimed
        raise BookingConflict(request.slot, claimed, self._alternatives(request, refused))

    def _with_anyone(
        self, wish: Wish, location_id: int | None, refused: Sequence[FreeSlot]
    ) -> Booking:
        """Try to claim a slot with whoever is free, the least busy first.

        Raises:
            BookingConflict: Nobody is free.
            SlotBusy: Whoever may be is locked.
        """
        for _ in range(MOST_LOOKS):
            offering = self.candidates(wish.service_id, wish.start, location_id)
            working = [each for each in offering if each.allowed]
            free = [each for each in working if each.taken_by is None]
            if not free:
                # Whoever has it may be this request's own twin, asked at the same time.
                if twin := self._claims.twin(wish):
                    return twin
                if not working:
                    raise self._nobody_works(wish, offering)
                lost = self._rulebook.request(wish, working[0].staff_id)
                if lost.rules_version != working[0].version:
                    self._rulebook.forget()  # no claim is made that would notice
                    lost = self._rulebook.request(wish, working[0].staff_id)
                offer = self._alternatives(lost, refused, anyone=True, location_id=location_id)
                raise BookingConflict(lost.slot, working[0].taken_by or 0, offer)
            kept_out: SlotBusy | InvalidRequest | None = None
            for candidate in sorted(free, key=lambda each: (each.load, self._source.random())):
                try:
                    claimed = self._claims.claim(self._rulebook.request(wish, candidate.staff_id))
                except (SlotBusy, InvalidRequest) as error:
                    kept_out = error  # the next one may still be had
                    continue
                if isinstance(claimed, Booking):
                    return claimed
            if kept_out:
                raise kept_out
        raise SerializationFailure("Others were faster each time; try again.")

    def _nobody_works(self, wish: Wish, offering: Sequence[Candidate]) -> InvalidRequest:
        """Return why nobody can start then: the reason that they share, if they do."""
        reasons: dict[str, InvalidRequest] = {}
        for candidate in offering[:MOST_ASKED]:
            try:
                self._rulebook.request(wish, candidate.staff_id)
            except InvalidRequest as refusal:
                reasons[refusal.code] = refusal
        if len(reasons) == 1 and reasons.keys() <= ABOUT_THE_START and len(offering) <= MOST_ASKED:
            return reasons.popitem()[1]
        return InvalidRequest(
            "NOBODY_WORKS", f"Nobody who offers it can start at {wish.start:%Y-%m-%d %H:%M} UTC."
        )

    def _alternatives(
        self,
        lost: Request,
        refused: Sequence[FreeSlot],
        *,
        anyone: bool = False,
        location_id: int | None = None,
    ) -> Sequence[FreeSlot]:
        """Return what to offer instead: at the same location, or of anybody where it is said."""
        if not self._offers:
            return ()
        try:
            _, calendar = self._rulebook.rules(lost.service_id, lost.staff_id)
            return self.alternatives(
                lost.service_id,
                lost.slot.start,
                calendar.zone.key,
                staff_id=0 if anyone else lost.staff_id,
                location_id=location_id if anyone else calendar.location_id,
                moves=lost.moves,
                refused=refused,
                limit=self._offers,
            )
        except BookingError:
            return ()  # that the slot is taken is known, whatever keeps the offers away

    def _tried(self, work: Callable[[], T]) -> T:
        """Do the work as often as the strategy's policy allows, and count."""
        attempt = 1
        while True:
            try:
                done = work()
            except BookingError as error:
                error.attempts = attempt
                if not isinstance(error, TRIED_AGAIN):
                    raise
                if attempt >= self.strategy.retry.attempts:
                    self._rulebook.forget()  # a staff member who was removed looks busy, too
                    raise
            else:
                return replace(done, attempts=attempt) if isinstance(done, Booking) else done
            self._sleep(self.strategy.retry.pause(attempt, self._source))
            attempt += 1
