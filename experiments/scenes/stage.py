"""The stage: a database made for one strategy, on which a scene is played again and again.

Whatever sets clients off (a barrier, a load generator, an explorer of schedules) uses the same
stage: reset it, let every client `perform` its call, and look at the `rows`.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sqlalchemy import QueuePool, create_engine, text

from booking_core import schema
from booking_core.booking import BookingService
from booking_core.errors import BookingConflict, BookingError
from experiments.scenes import salon, world
from experiments.scenes.places import VISIT, Place
from experiments.scenes.replies import Answer, Reply
from experiments.scenes.rows import read_rows
from experiments.scenes.shapes import Call

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from booking_core.requests import Booking
    from booking_core.strategies import Strategy
    from experiments.scenes.rows import Row
    from experiments.scenes.shapes import Scene

# Whoever comes afterwards does not wait for ever.
_IMPATIENT = "-c lock_timeout=2s -c statement_timeout=5s -c application_name=visitor"
_END_VISITORS = text("""
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
     WHERE application_name = 'visitor' AND datname = current_database()
""")
_TIME_OFF = text("""
    INSERT INTO time_off (staff_id, during, reason)
    VALUES (:staff_id, tstzrange(:from, :until), 'a free day')
""")


class Stage:
    """A scene's salon in an empty database.

    Args:
        control: An engine to the database, for preparing rounds and looking at rows.
        strategy: What the schema is made for.
        scene: What is played.
        staff: How many staff members there are at least, for scenes that come later.
        client_once: Whether a client must be in one place, for scenes that come later.
        backstop: Whether the exclusion constraint stands behind the strategy. By default only
            where the strategy needs it, or the constraint would hide its faults.

    Attributes:
        strategy: What the schema was made for.
        scene: What the next `reset` begins; another scene may be put here.
        control: The engine.
        staff: The number that scenes use for each staff id.
        services: The service that scenes use for each service id.
        existing: The ids of the scene's appointments, as the last `reset` left them.
        before: All rows that it left, by id.
    """

    def __init__(  # noqa: PLR0913 - a stage has as many parts
        self,
        control: Engine,
        strategy: Strategy,
        scene: Scene,
        *,
        staff: int = 0,
        client_once: bool = False,
        backstop: bool | None = None,
    ) -> None:
        self.control = control
        self.strategy = strategy
        self.scene = scene
        with control.begin() as connection:
            schema.create(connection, strategy, backstop=backstop)
            size, once = max(scene.staff, staff), client_once or scene.client_once
            stored = (
                world.make_salon(connection)
                if scene.in_world
                else salon.plain(connection, size, client_once=once)
            )
        offered = world.SERVICES if scene.in_world else (VISIT,)
        self._staff_ids = list(stored.staff.values())
        self._service_ids = list(stored.services.values())
        self.staff = {staff_id: number for number, staff_id in enumerate(self._staff_ids)}
        self.services = dict(zip(self._service_ids, offered, strict=True))
        self._engines: dict[BookingService, Engine] = {}
        self._visitor: BookingService | None = None
        self._usher = self.service(control, offers=0)
        self.existing: list[int] = []
        self.before: dict[int, Row] = {}

    def service(self, engine: Engine, **options: Any) -> BookingService:  # noqa: ANN401 - its own
        """Return a booking service for a client.

        Args:
            engine: The client's connections.
            options: What else the service is to be told.
        """
        made = BookingService(engine, self.strategy, clock=salon.now, **options)
        self._engines[made] = engine
        return made

    def reset(self) -> None:
        """Empty the calendars and book what the scene begins with."""
        with self.control.begin() as connection:
            connection.execute(text("TRUNCATE appointment RESTART IDENTITY CASCADE"))
        scene = self.scene
        self.existing = []
        for number, place in enumerate(scene.existing):
            key, client_id = scene.keys.get(number), scene.whose.get(number)
            call = Call("book", place, key=key, client_id=client_id)
            self.existing.append(self._book(self._usher, call, f"Early {number}").appointment.id)
        for number in scene.cancelled:
            self._usher.cancel(self.existing[number])
        self.before = self.rows()

    def perform(self, service: BookingService, client: int) -> Answer:
        """Make a client's call and return how it ended, whatever happens.

        Args:
            service: The client's.
            client: Its number, which says what the scene lets it ask.
        """
        return self._answered(service, self.scene.calls[client], f"Client {client}")

    def visit(self, call: Call, client: str) -> Answer:
        """Make a call that is none of the scene's, while nobody else does anything."""
        if self._visitor is None:
            options = {"options": _IMPATIENT}
            self._visitor = self.service(
                create_engine(self.control.url, connect_args=options), offers=0
            )
        engine = self._engines[self._visitor]
        answer = self._answered(self._visitor, call, client)
        # Whatever it kept, a lock or a connection, must not meet others later.
        if isinstance(engine.pool, QueuePool) and engine.pool.checkedout():
            engine.dispose()
            with self.control.connect() as connection:
                connection.execute(_END_VISITORS)
        else:
            with engine.connect() as connection:
                connection.execute(text("SELECT pg_advisory_unlock_all()"))
        return answer

    def leave(self) -> None:
        """Close what visitors have opened."""
        if self._visitor is not None:
            self._engines[self._visitor].dispose()

    def _answered(self, service: BookingService, call: Call, client: str) -> Answer:
        try:
            return self._perform(service, call, client)
        except BookingConflict as error:
            reply = Reply(error.outcome, taken_by=error.taken_by)
            return Answer(reply, error.attempts, len(error.alternatives), str(error))
        except BookingError as error:
            reply = Reply(error.outcome, code=error.code)
            return Answer(reply, error.attempts, detail=f"{error.code}: {error}")
        except Exception as error:  # noqa: BLE001 - a strategy under test may raise anything
            return Answer(Reply("error"), detail=f"{type(error).__name__}: {error}")

    def rows(self) -> dict[int, Row]:
        """Return what is stored now, by id."""
        with self.control.connect() as connection:
            return read_rows(connection, self.staff, self.services)

    def _perform(self, service: BookingService, call: Call, client: str) -> Answer:
        if call.operation == "cancel":
            assert call.existing is not None
            cancelled = service.cancel(self.existing[call.existing])
            return Answer(Reply("cancelled", cancelled.id))
        assert call.place is not None
        if call.operation == "close":
            self._close(self._engines[service], call.place)
            return Answer(Reply("closed"))
        if call.operation == "reschedule":
            assert call.existing is not None
            booking = service.reschedule(
                self.existing[call.existing],
                start=call.place.start,
                staff_id=None if call.keeps_staff else self._staff_ids[call.place.staff],
            )
        else:
            booking = self._book(service, self._listed(service, call), client)
        stored = booking.appointment
        place = Place(
            self.staff[stored.staff_id], stored.slot.start, self.services[stored.service_id]
        )
        reply = Reply("booked", stored.id, replayed=booking.replayed, place=place)
        return Answer(reply, booking.attempts)

    def _listed(self, service: BookingService, call: Call) -> Call:
        """Return what a client books who looks at a list first: the start that is nearest."""
        if not call.lists:
            return call
        assert call.place is not None
        wanted = call.place.start
        listed = service.free_slots(
            self._service_ids[call.place.service.number],
            wanted.date(),
            self._staff_ids[call.place.staff],
        )
        nearest = min((each.slot.start for each in listed), key=lambda start: abs(start - wanted))
        return replace(call, place=replace(call.place, start=nearest))

    def _book(self, service: BookingService, call: Call, client: str) -> Booking:
        assert call.place is not None
        return service.book(
            staff_id=None if call.team else self._staff_ids[call.place.staff],
            service_id=self._service_ids[call.place.service.number],
            start=call.place.start,
            # One key means one request, so it must come from one client.
            client=call.key or client,
            client_id=call.client_id,
            key=call.key,
            key_scope=call.scope,
        )

    def _close(self, engine: Engine, place: Place) -> None:
        """Give a member of staff time off."""
        off = {
            "staff_id": self._staff_ids[place.staff],
            "from": place.during.start,
            "until": place.during.end,
        }
        with engine.begin() as connection:
            connection.execute(_TIME_OFF, off)
