"""The database in which contenders with one schema take turns, and the state it is left in."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Self

from sqlalchemy import text
from sqlalchemy.exc import ProgrammingError

from booking_core import schema
from experiments.bench.workloads import FIRST, STEP
from experiments.judge.history import DOUBLE_BOOKINGS
from experiments.scenes.salon import plain
from experiments.server.postgres import fresh_database

if TYPE_CHECKING:
    from sqlalchemy import URL

    from booking_core.strategies import Strategy
    from experiments.server.postgres import EmbeddedServer, Server

# Long before what is measured. Without a history the planner would believe in an empty table,
# read the whole of it for each check, and go on doing so in prepared statements as it grows.
HISTORY = text("""
    INSERT INTO appointment (staff_id, service_id, client, during, blocked, request_digest)
    SELECT staff.id, service.id, 'Somebody', tstzrange(starts, starts + duration),
           tstzrange(starts, starts + duration + buffer_after), ''
      FROM service, staff,
           LATERAL (SELECT CAST(:first AS timestamptz) - number * CAST(:step AS interval) AS starts
                      FROM generate_series(100, 109) AS number) AS earlier
""")
BOOKED = text("""
    SELECT count(*) FROM appointment WHERE status = 'confirmed' AND lower(during) >= :first
""")


@dataclass(frozen=True, slots=True)
class Stored:
    """What a turn left behind.

    Attributes:
        booked: Confirmed appointments, without the history.
        double_bookings: Pairs of them that overlap.
    """

    booked: int
    double_bookings: int


class Calendars:
    """A plain salon in a database of its own, made for one schema; a context manager.

    Attributes:
        staff: How many staff members it has; their ids begin with 1.

    Args:
        strategy: Whose schema.
        staff: How many staff members.
        on: Which server; the process's own if left out.

    Raises:
        UnsupportedServer: The server is too old for the strategy.
    """

    def __init__(
        self, strategy: Strategy, staff: int, on: Server | EmbeddedServer | None = None
    ) -> None:
        self.staff = staff
        self._database = fresh_database(on)
        engine = self._database.engine()
        try:
            with engine.begin() as connection:
                schema.create(connection, strategy)
                plain(connection, staff)
        except BaseException:
            self._database.drop()
            raise
        self._control = engine.execution_options(isolation_level="AUTOCOMMIT")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.drop()

    @property
    def url(self) -> URL:
        """Where clients find it, the password included: never print it unmasked."""
        return self._database.url

    def empty(self) -> None:
        """Leave no appointment but the history, and no work for the server to catch up on."""
        with self._control.connect() as connection:
            connection.execute(text("TRUNCATE appointment RESTART IDENTITY CASCADE"))
            connection.execute(HISTORY, {"first": FIRST, "step": STEP})
            connection.execute(text("VACUUM (ANALYZE) appointment, staff"))
            with suppress(ProgrammingError):  # who may not, does without
                connection.execute(text("CHECKPOINT"))

    def look(self) -> Stored:
        """Count what is stored, whatever the replies were."""
        with self._control.connect() as connection:
            return Stored(
                booked=connection.execute(BOOKED, {"first": FIRST}).scalar_one(),
                double_bookings=connection.execute(DOUBLE_BOOKINGS).scalar_one(),
            )
