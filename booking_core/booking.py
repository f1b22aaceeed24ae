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

from booking_core import errors
from booking_core.calendar.availability import ENOUGH, Availability, Candidate, check_refused, team
from booking_core.claims import Claims
from booking_core.database import appointments
from booking_core.database.session import Session
from booking_core.requests import Appointment, Booking, Key, Request, Wish, check_text
from booking_core.slots import FreeSlot, Slot, in_utc
from booking_core.strategies import DEFAULT, Strategy
from booking_core.strategies.transaction import do_nothing

TRIED_AGAIN = (errors.SlotBusy, errors.SerializationFailure, errors.Deadlock)
MOST_LOOKS = 20  # at who is free, when others are faster each time
MOST_OFFERS = 1_000
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
        self._claims = Claims(engine, self.strategy, self._rulebook, before_record)

    def find(self, appointment_id: int) -> Appointment:
        """Return an appointment.

        Raises:
            InvalidRequest: `UNKNOWN_APPOINTMENT`.
        """
        with self._reading() as session:
            return appointments.find(session, appointment_id)

    def find_confirmed(self, appointment_id: int) -> Appointment:
        """Return an appointment that can be moved or cancelled.

        Raises:
            InvalidRequest: `UNKNOWN_APPOINTMENT`, or `NOT_CONFIRMED` where it was cancelled.
        """
        with self._reading() as session:
            return appointments.find_confirmed(session, appointment_id)

    def book(  # noqa: PLR0913 - a booking has as many parts
        self,
        *,
        staff_id: int | None,
        service_id: int,
        start: datetime,
        client: str,
        end: datetime | None = None,
        client_id: str | int | None = None,
        location_id: int | None = None,
        refused: Iterable[FreeSlot] = (),
        key: str | None = None,
        key_scope: str = "",
    ) -> Booking:
        """Book a slot.

        Args:
            staff_id: Whose calendar; None where anybody will do.
            service_id: What for.
            start: When it starts, an aware datetime.
            client: Who comes, 1 to 200 characters.
            end: When it ends, if the client says so; it must match the service.
            client_id: Which client, where clients have ids. Where the service wants it
                (`client_once`), nobody is in two places at once.
            location_id: Where; wherever the staff member, or anybody, works if left out.
            refused: Alternatives that the client has turned down; they are not offered again.
            key: Idempotency key, 1 to 200 characters. A request that is repeated with its key
                is given the same appointment again, however it has fared since.
            key_scope: Whose key it is, where clients choose their keys: those of two don't meet.

        Raises:
            BookingConflict: Somebody else has the slot; carries alternatives.
            SlotBusy: The lock could not be had in time.
            InvalidRequest: The rules do not allow it, or the key belongs to another request.
            BookingError: Any other outcome; see `booking_core.errors`.
        """
        client = check_text(client, "BAD_CLIENT", "client's name")
        if client_id is not None:
            client_id = check_text(f"{client_id}", "BAD_CLIENT", "client's id")
        start, end = _asked(start, end)
        team(service_id, staff_id, location_id)
        asked = ("book", staff_id, location_id, service_id, client, client_id, start, end)
        id_key = Key.of(key, key_scope, *asked)
        where = location_id, check_refused(refused)
        wish = Wish(service_id, client, start, end, id_key, None, client_id, *where)
        return self._tried(lambda: self._claims.twin(id_key) or self._claim(wish, staff_id))

    def reschedule(  # noqa: PLR0913 - a move has as many parts
        self,
        appointment_id: int,
        *,
        start: datetime,
        staff_id: int | None = None,
        anyone: bool = False,
        end: datetime | None = None,
        location_id: int | None = None,
        refused: Iterable[FreeSlot] = (),
        seen: datetime | None = None,
        by_staff: bool = False,
        key: str | None = None,
        key_scope: str = "",
    ) -> Booking:
        """Move an appointment to another time, another staff member, or both; or not at all.

        It keeps the length that was booked. Where it is already, it is left.

        Args:
            appointment_id: Which appointment; it keeps its id.
            start: When it starts, an aware datetime.
            staff_id: Who takes over; whoever has it when it is moved if left out.
            anyone: Whether anybody will do instead, as with a booking.
            end: When it ends, if the client says so; it must match the length.
            location_id: Where; wherever the staff member, or anybody, works if left out.
            refused: Alternatives that the client has turned down; they are not offered again.
            seen: The start that the client saw; where it is another one, nothing is moved.
            by_staff: Whether staff moves it, who may also when it has begun.
            key: Idempotency key, as for `book`.
            key_scope: Whose key it is, likewise.

        Raises:
            BookingConflict: The new slot is taken; the old one is kept.
            SlotBusy: The lock could not be had in time; the old slot is kept.
            InvalidRequest: `UNKNOWN_APPOINTMENT`, `NOT_CONFIRMED`, `ALREADY_STARTED`, `CHANGED`,
                or the rules do not allow it.
            BookingError: Any other outcome; see `booking_core.errors`.
        """
        appointments.check_appointment_id(appointment_id)
        start, end = _asked(start, end)
        seen = seen and in_utc(seen)
        if anyone and staff_id is not None:
            raise errors.InvalidRequest("UNKNOWN_STAFF", f"Is it {staff_id}, or anyone?")
        whose = "anyone" if anyone else staff_id
        asked = ("reschedule", appointment_id, whose, location_id, start, end, seen, by_staff)
        id_key = Key.of(key, key_scope, *asked)
        where = location_id, check_refused(refused)

        def move() -> Booking:
            if twin := self._claims.twin(id_key):
                return twin
            moves = self.find_confirmed(appointment_id)
            team(moves.service_id, staff_id, location_id)
            who = None if anyone else moves.staff_id if staff_id is None else staff_id
            there = Slot(start, end or start + (moves.slot.end - moves.slot.start))
            if (who, there) == (moves.staff_id, moves.slot):
                with Session(self._engine, "READ COMMITTED") as session:
                    appointments.note(session, id_key, appointment_id)
                return Booking(moves)
            self._check_unchanged(moves, seen, by_staff=by_staff)
            asking = moves.service_id, moves.client, start, end, id_key, moves, moves.client_id
            return self._claim(Wish(*asking, *where), who)

        return self._tried(move)

    def cancel(
        self,
        appointment_id: int,
        *,
        seen: datetime | None = None,
        by_staff: bool = False,
        key: str | None = None,
        key_scope: str = "",
    ) -> Appointment:
        """Cancel a confirmed appointment and return it; its slot is free at once.

        Args:
            appointment_id: Which appointment.
            seen: The start that the client saw; where it is another one, nothing is cancelled.
            by_staff: Whether staff cancels it, who may also when it has begun.
            key: Idempotency key: a cancel that is repeated with its key is answered as at first.
            key_scope: Whose key it is, as for `book`.

        Raises:
            InvalidRequest: `UNKNOWN_APPOINTMENT`, `NOT_CONFIRMED` where it was cancelled,
                `ALREADY_STARTED` or `CHANGED`.
            BookingError: Any other outcome; see `booking_core.errors`.
        """
        appointments.check_appointment_id(appointment_id)
        seen = seen and in_utc(seen)
        id_key = Key.of(key, key_scope, "cancel", appointment_id, seen, by_staff)

        def release() -> Appointment:
            if twin := self._claims.twin(id_key):
                return twin.appointment
            own = self.strategy.isolation
            isolation = "READ COMMITTED" if own == "AUTOCOMMIT" else own
            with Session(self._engine, isolation) as session:
                if self.strategy.release(session.connection, appointment_id):
                    released = appointments.find(session, appointment_id)
                    # Nobody else can change it now; what does not suit is rolled back.
                    self._check_unchanged(released, seen, by_staff=by_staff)
                    appointments.note(session, id_key, appointment_id)
                    return released
            self.find_confirmed(appointment_id)
            raise errors.SerializationFailure("It was not confirmed a moment ago; try again.")

        return self._tried(release)

    def uncovered(self, staff_id: int | None = None) -> list[Appointment]:
        """Return the confirmed appointments that their staff members' hours no longer cover.

        Time off, a closure or other hours may be entered over what is booked already; then
        somebody has to be called. What is over is left out.

        Args:
            staff_id: Whose; everybody's if left out.
        """
        now = in_utc(self._clock())
        with self._reading() as session:
            upcoming = appointments.find_upcoming(session, now, staff_id)
        read = self._rulebook.read(sorted({each.staff_id for each in upcoming}))
        calendars = {calendar.staff_id: calendar for _, calendar in read}
        return [each for each in upcoming if not calendars[each.staff_id].covers(each.slot)]

    def forget_keys(self, before: datetime) -> int:
        """Forget idempotency keys, and return how many there were.

        A request that is repeated afterwards is a new one: it books again. So keep them for as
        long as somebody may repeat.

        Args:
            before: The keys of requests that were answered before that, an aware datetime by the
                database's clock.
        """
        with Session(self._engine, "READ COMMITTED") as session:
            return appointments.forget_keys(session, in_utc(before))

    def _check_unchanged(
        self, stored: Appointment, seen: datetime | None, *, by_staff: bool
    ) -> None:
        """Make sure that an appointment is where the client saw it, and still to come.

        Raises:
            InvalidRequest: `CHANGED` or `ALREADY_STARTED`.
        """
        where = f"appointment {stored.id} is at {stored.slot}."
        if seen is not None and stored.slot.start != seen:
            raise errors.InvalidRequest("CHANGED", f"It was moved meanwhile: {where}")
        if stored.slot.start <= in_utc(self._clock()) and not by_staff:
            raise errors.InvalidRequest("ALREADY_STARTED", f"It has begun: {where}")

    def _reading(self) -> Session:
        return Session(self._engine, "AUTOCOMMIT", reads_only=True)

    def _claim(self, wish: Wish, staff_id: int | None) -> Booking:
        """Try to claim a slot with somebody, or with anybody.

        Raises:
            BookingConflict: Somebody else has it.
        """
        if staff_id is None:
            return self._claim_with_anyone(wish)
        request = self._rulebook.request(wish, staff_id)
        claimed = self._claims.claim(request)
        if isinstance(claimed, Booking):
            return claimed
        raise errors.BookingConflict(request.slot, claimed, self._alternatives(request, staff_id))

    def _claim_with_anyone(self, wish: Wish) -> Booking:
        """Try to claim a slot with whoever is free, the least busy first.

        Raises:
            BookingConflict: Nobody is free.
            SlotBusy: Whoever may be is locked.
        """
        for _ in range(MOST_LOOKS):
            offering = self.candidates(wish.service_id, wish.start, wish.location_id, wish.moves)
            working = [each for each in offering if not each.refusal]
            free = [each for each in working if not each.taken]
            if not free:
                # Whoever has it may be this request's own twin, asked at the same time.
                if twin := self._claims.twin(wish.key):
                    return twin
                if not working:
                    raise _nobody_works(wish, offering)
                lost = self._rulebook.request(wish, working[0].staff_id)
                rival = self._claims.rival(lost)
                raise errors.BookingConflict(lost.slot, rival, self._alternatives(lost, None))
            kept_out: errors.SlotBusy | errors.InvalidRequest | None = None
            for candidate in sorted(free, key=lambda each: (each.load, self._source.random())):
                try:
                    claimed = self._claims.claim(self._rulebook.request(wish, candidate.staff_id))
                except (errors.SlotBusy, errors.InvalidRequest) as error:
                    kept_out = error  # the next one may still be had
                    continue
                if isinstance(claimed, Booking):
                    return claimed
            if kept_out:
                raise kept_out
        raise errors.SerializationFailure("Others were faster each time; try again.")

    def _alternatives(self, lost: Request, staff_id: int | None) -> Sequence[FreeSlot]:
        """Return what to offer instead: where somebody works, or of anybody where it is said."""
        if not self._offers:
            return ()
        try:
            _, calendar = self._rulebook.rules(lost.service_id, lost.staff_id)
            return self.alternatives(
                lost.service_id,
                lost.slot.start,
                calendar.zone.key,
                staff_id=staff_id or 0,
                location_id=calendar.location_id if staff_id else lost.location_id,
                moves=lost.moves,
                refused=lost.refused,
                limit=self._offers,
            )
        except errors.BookingError:
            return ()  # that the slot is taken is known, whatever keeps the offers away

    def _tried(self, work: Callable[[], T]) -> T:
        """Do the work as often as the strategy's policy allows, and count."""
        attempt = 1
        while True:
            try:
                done = work()
            except errors.BookingError as error:
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


def _asked(start: datetime, end: datetime | None) -> tuple[datetime, datetime | None]:
    start = in_utc(start)
    return start, end and Slot(start, end).end


def _nobody_works(wish: Wish, offering: Sequence[Candidate]) -> errors.InvalidRequest:
    """Return why nobody can start then: the reason that they share, if they do."""
    reasons = {each.refusal.code: each.refusal for each in offering if each.refusal}
    if len(reasons) == 1 and reasons.keys() <= ABOUT_THE_START:
        return reasons.popitem()[1]
    start = f"{wish.start:%Y-%m-%d %H:%M} UTC"
    return errors.InvalidRequest("NOBODY_WORKS", f"Nobody who offers it can start at {start}.")
