"""The stage: a database made for one strategy, on which a scene is played again and again.

Whatever sets clients off (a barrier, a load generator, an explorer of schedules) uses the same
stage: reset it, let every client `perform` its call, and look at the `rows`.
"""

from __future__ import annotations

from dataclasses import replace
from threading import Thread
from typing import TYPE_CHECKING, Any

from sqlalchemy import QueuePool, create_engine, delete, exists, inspect, select, table, text

from booking_core import schema
from booking_core.booking import BookingService
from booking_core.errors import BookingConflict, BookingError
from experiments.scenes import salon, world
from experiments.scenes.places import VISIT, Place
from experiments.scenes.replies import Answer, Reply
from experiments.scenes.rows import read_rows
from experiments.scenes.shapes import Call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from sqlalchemy import Engine

    from booking_core.requests import Booking
    from booking_core.strategies import Strategy
    from experiments.scenes.rows import Row
    from experiments.scenes.shapes import Scene

VISIT_SECONDS = 20.0
"""How long whoever comes afterwards waits inside of the program at most."""
NOTHING = Answer(Reply("nothing"))

# In the server they wait less long.
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
        self._visitors: list[BookingService] = []
        self._usher = self.service(control, offers=0)
        self._emptied = self._to_be_emptied()
        self.existing: list[int] = []
        self.before: dict[int, Row] = {}

    def __getstate__(self) -> dict[str, object]:
        """Go to another process without connections: clients perform there, and no more."""
        return self.__dict__ | {"control": None, "_engines": {}, "_usher": None, "_visitors": []}

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
        self.empty()
        scene = self.scene
        self.existing = []
        for number, place in enumerate(scene.existing):
            key, client_id = scene.keys.get(number), scene.whose.get(number)
            call = Call("book", place, key=key, client_id=client_id)
            self.existing.append(self._book(self._usher, call, f"Early {number}").appointment.id)
        for number in scene.cancelled:
            self._usher.cancel(self.existing[number])
        self.before = self.rows()

    def empty(self) -> None:
        """Empty the calendars, and what else the strategy has written."""
        with self.control.begin() as connection:
            connection.execute(text(f"TRUNCATE {self._emptied} RESTART IDENTITY CASCADE"))
            connection.execute(delete(schema.time_off))

    def _to_be_emptied(self) -> str:
        """The calendars, and tables of the strategy's own that are empty before anybody books."""
        with self.control.connect() as connection:
            quoted = connection.dialect.identifier_preparer.quote
            own = set(inspect(connection).get_table_names()) - schema.metadata.tables.keys()
            return ", ".join(
                ["appointment"]
                + [
                    quoted(name)
                    for name in sorted(own)
                    if connection.execute(select(exists().select_from(table(name)))).scalar()
                    is False
                ]
            )

    def perform(self, service: BookingService, client: int) -> Answer:
        """Make a client's call and return how it ended, whatever happens.

        Args:
            service: The client's.
            client: Its number, which says what the scene lets it ask.
        """
        return self._answered(service, self.scene.calls[client], f"Client {client}")

    def visit(self, calls: Sequence[Call]) -> list[Answer]:
        """Make calls that are none of the scene's, one after the other, while nobody else does.

        Args:
            calls: What is asked for, each time by somebody else.

        Returns:
            How they ended. Who waits for ever is answered nothing: the outcome is `nothing`.
        """
        while len(self._visitors) < len(calls):
            engine = create_engine(self.control.url, connect_args={"options": _IMPATIENT})
            self._visitors.append(self.service(engine, offers=0))
        answers = list(map(self._visited, self._visitors, calls, range(len(calls))))
        for visitor in self._visitors[: len(calls)]:
            self._let_go(self._engines[visitor])
        if NOTHING in answers:
            self._visitors.clear()
        return answers

    def _visited(self, visitor: BookingService, call: Call, number: int) -> Answer:
        # In a thread, since nobody can be made to stop waiting for a lock of the program's.
        answers = [NOTHING]
        work = Thread(
            target=lambda: answers.append(self._answered(visitor, call, f"Visitor {number}")),
            daemon=True,
        )
        work.start()
        work.join(VISIT_SECONDS)
        return answers[-1]

    def _let_go(self, engine: Engine) -> None:
        """Whatever a visitor kept, a lock or a connection, must not meet others later."""
        if isinstance(engine.pool, QueuePool) and engine.pool.checkedout():
            engine.dispose()
            with self.control.connect() as connection:
                connection.execute(_END_VISITORS)
        else:
            with engine.connect() as connection:
                connection.execute(text("SELECT pg_advisory_unlock_all()"))

    def leave(self) -> None:
        """Close what visitors have opened."""
        for visitor in self._visitors:
            self._engines[visitor].dispose()

    def _answered(self, service: BookingService, call: Call, client: str) -> Answer:
        place = None
        try:
            if call.lists:
                call = self._listed(service, call)
                place = call.place
            return self._perform(service, call, client)
        except BookingConflict as error:
            reply = Reply(error.outcome, taken_by=error.taken_by, place=place)
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
            booking = self._book(service, call, client)
        stored = booking.appointment
        place = Place(
            self.staff[stored.staff_id], stored.slot.start, self.services[stored.service_id]
        )
        reply = Reply("booked", stored.id, replayed=booking.replayed, place=place)
        return Answer(reply, booking.attempts)

    def _listed(self, service: BookingService, call: Call) -> Call:
        """Return what a client books who looks at a list first: the start that is nearest."""
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
