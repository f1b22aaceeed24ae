"""The stage: a database made for one strategy, on which a scene is played again and again.

Whatever sets clients off (a barrier, a load generator, an explorer of schedules) uses the same
stage: reset it, let every client `perform` its call, and look at the `rows`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from booking_core import schema
from booking_core.booking import BookingService
from booking_core.errors import BookingConflict, BookingError
from experiments.scenes import salon
from experiments.scenes.replies import Answer, Reply
from experiments.scenes.rows import read_rows
from experiments.scenes.shapes import Place

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from booking_core.requests import Booking
    from booking_core.strategies import Strategy
    from experiments.scenes.rows import Row
    from experiments.scenes.shapes import Call, Scene


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
            plain = salon.plain(
                connection,
                max(scene.staff, staff),
                client_once=client_once or scene.client_once,
            )
        self._staff_ids = list(plain.staff.values())
        self.staff = {staff_id: number for number, staff_id in enumerate(self._staff_ids)}
        (self._service_id,) = plain.services.values()
        self._usher = BookingService(control, strategy, clock=salon.now)
        self.existing: list[int] = []
        self.before: dict[int, Row] = {}

    def service(self, engine: Engine, **options: Any) -> BookingService:  # noqa: ANN401 - its own
        """Return a booking service for a client.

        Args:
            engine: The client's connections.
            options: What else the service is to be told.
        """
        return BookingService(engine, self.strategy, clock=salon.now, **options)

    def reset(self) -> None:
        """Empty the calendars and book what the scene begins with."""
        with self.control.begin() as connection:
            connection.execute(text("TRUNCATE appointment RESTART IDENTITY CASCADE"))
        self.existing = [
            self._book(self._usher, place, f"Early {number}").appointment.id
            for number, place in enumerate(self.scene.existing)
        ]
        self.before = self.rows()

    def perform(self, service: BookingService, client: int) -> Answer:
        """Make a client's call and return how it ended, whatever happens.

        Args:
            service: The client's.
            client: Its number, which says what the scene lets it ask.
        """
        call = self.scene.calls[client]
        try:
            return self._perform(service, call, f"Client {client}")
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
            return read_rows(connection, self.staff)

    def _perform(self, service: BookingService, call: Call, client: str) -> Answer:
        if call.operation == "cancel":
            assert call.existing is not None
            cancelled = service.cancel(self.existing[call.existing])
            return Answer(Reply("cancelled", cancelled.id))
        assert call.place is not None
        if call.operation == "reschedule":
            assert call.existing is not None
            booking = service.reschedule(
                self.existing[call.existing],
                start=call.place.start,
                staff_id=None if call.keeps_staff else self._staff_ids[call.place.staff],
            )
        else:
            # One key means one request, so it must come from one client.
            who = call.key or client
            booking = self._book(service, call.place, who, call.key, call.client_id)
        reply = Reply(
            "booked",
            booking.appointment.id,
            replayed=booking.replayed,
            place=Place(self.staff[booking.appointment.staff_id], booking.appointment.slot.start),
        )
        return Answer(reply, booking.attempts)

    def _book(
        self,
        service: BookingService,
        place: Place,
        client: str,
        key: str | None = None,
        client_id: str | None = None,
    ) -> Booking:
        return service.book(
            staff_id=self._staff_ids[place.staff],
            service_id=self._service_id,
            start=place.start,
            client=client,
            client_id=client_id,
            key=key,
        )
