"""A chain with many staff members, and appointments for months: what lists of free slots cost."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Self

from sqlalchemy import text

from booking_core import DEFAULT, schema
from booking_core.calendar.availability import Availability
from experiments.server.postgres import fresh_database

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from experiments.server.postgres import EmbeddedServer, Server

STAFF = 500
AT_ONE_PLACE = 20
SERVICE = 1
FIRST = date(2030, 1, 8)  # a Tuesday; no clocks change in the month that begins with it
NOW = datetime(2030, 1, 6, 12, tzinfo=UTC)

_STORE = """
    INSERT INTO location (name, time_zone, minimum_notice, horizon)
    SELECT 'Place ' || number, (ARRAY['Europe/Berlin', 'America/New_York'])[1 + number % 2],
           '1 hour', '365 days'
      FROM generate_series(1, :places) AS number;
    INSERT INTO service (name, duration, buffer_after, grid)
    VALUES ('Haircut', '45 minutes', '15 minutes', '15 minutes');
    INSERT INTO staff (location_id, name)
    SELECT 1 + number / :at_one_place, 'Staff ' || number
      FROM generate_series(0, :staff - 1) AS number;
    INSERT INTO offering SELECT service.id, staff.id FROM service, staff;
    INSERT INTO working_hours (staff_id, weekday, kind, starts, ends)
    SELECT id, weekday, kind, starts, ends
      FROM staff, generate_series(0, 5) AS weekday,
           (VALUES ('shift', time '09:00', time '17:30'), ('break', '12:30', '13:00'))
               AS hours (kind, starts, ends)
"""
# As many for each, a day's worth of them a day, around the days that are listed. Not at random:
# they must not overlap, as appointments don't.
_BOOK = """
    INSERT INTO appointment (staff_id, service_id, client, during, blocked, request_digest)
    SELECT staff.id, :service, 'Ada', tstzrange(starts, starts + interval '45 minutes'),
           tstzrange(starts, starts + interval '1 hour'), ''
      FROM staff
     CROSS JOIN generate_series(0, :each - 1) AS number
     CROSS JOIN LATERAL (
           SELECT timestamptz '2029-09-01 08:00+00'
                  + number * 365 / :each * interval '24 hours'
                  + (number * 365 % :each * 8 / :each + staff.id) % 8 * interval '1 hour'
                  AS starts) AS spread
"""


class LargeSalon:
    """A chain in a database of its own; a context manager.

    Args:
        appointments: How many, spread over a year and all staff members; a multiple of 500.
        on: Which server; the process's own if left out.
    """

    def __init__(self, appointments: int, on: Server | EmbeddedServer | None = None) -> None:
        self.appointments = appointments
        self._database = fresh_database(on)
        self.engine = self._database.engine()
        try:
            with self.engine.begin() as connection:
                schema.create(connection, DEFAULT())
                _store(connection, appointments)
            maintenance = self.engine.execution_options(isolation_level="AUTOCOMMIT")
            with maintenance.connect() as connection:
                connection.execute(text("VACUUM (ANALYZE)"))
        except BaseException:
            self._database.drop()
            raise
        self.availability = Availability(self.engine, lambda: NOW)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._database.drop()


def _store(connection: Connection, appointments: int) -> None:
    places = {"places": -(-STAFF // AT_ONE_PLACE), "at_one_place": AT_ONE_PLACE, "staff": STAFF}
    for statement in _STORE.split(";"):
        used = {name: value for name, value in places.items() if f":{name}" in statement}
        connection.execute(text(statement), used)
    if appointments:
        connection.execute(text(_BOOK), {"service": SERVICE, "each": appointments // STAFF})
