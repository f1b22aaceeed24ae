"""A salon of one: a staff member who works the same hours on each of some weekdays."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from sqlalchemy import insert
from sqlalchemy.dialects.postgresql import Range

from booking_core import DEFAULT, schema
from booking_core.slots import instant

if TYPE_CHECKING:
    from sqlalchemy import Connection, Engine, Table

    from experiments.server.postgres import Database

MINUTE = timedelta(minutes=1)
HORIZON = timedelta(days=30)
EVERY_DAY = tuple(range(7))
NOBODY_ELSE = "Ada"
Span = tuple[str, str]


@dataclass(frozen=True, slots=True)
class TinySalon:
    """The rules of a salon of one; wall times are local.

    Attributes:
        name: Unique in its database.
        zone: Where it is, an IANA name.
        shifts: From and to, `09:00`; one that does not end after its start ends the next day.
        breaks: The same.
        off: Time off, from and to: `2030-03-31T00:30`.
        weekdays: On which there are shifts and breaks, Monday is 0.
    """

    name: str
    zone: str
    shifts: tuple[Span, ...]
    breaks: tuple[Span, ...] = ()
    off: tuple[Span, ...] = ()
    weekdays: tuple[int, ...] = EVERY_DAY

    def open(self, connection: Connection) -> int:
        """Store the salon.

        Args:
            connection: To a database with the schema, in a transaction that the caller commits.

        Returns:
            The id of the staff member.
        """
        place = _insert(
            connection,
            schema.location,
            name=self.name,
            time_zone=self.zone,
            minimum_notice=timedelta(),
            horizon=HORIZON,
        )
        staff = _insert(connection, schema.staff, name=NOBODY_ELSE, location_id=place)
        hours = [("shift", span) for span in self.shifts] + [("break", s) for s in self.breaks]
        rows = [
            {
                "staff_id": staff,
                "weekday": weekday,
                "kind": kind,
                "starts": time.fromisoformat(begins),
                "ends": time.fromisoformat(ends),
            }
            for kind, (begins, ends) in hours
            for weekday in self.weekdays
        ]
        connection.execute(insert(schema.working_hours), rows)
        for begins, ends in self.off:
            during = Range(self._local(begins), self._local(ends), bounds="[)")
            _insert(connection, schema.time_off, staff_id=staff, during=during, reason="off")
        return staff

    def _local(self, written: str) -> datetime:
        wall = datetime.fromisoformat(written)
        return instant(wall.date(), wall.time(), ZoneInfo(self.zone))


def open_tiny_salons(database: Database) -> Engine:
    """Make an empty database ready for any number of such salons.

    Args:
        database: An empty one.
    """
    engine = database.engine()
    with engine.begin() as connection:
        schema.create(connection, DEFAULT(), backstop=True)
    return engine


def offer(  # noqa: PLR0913 - a service has as many parts
    connection: Connection,
    staff_id: int,
    name: str,
    *,
    minutes: int,
    grid: int,
    before: int = 0,
    after: int = 0,
) -> int:
    """Store a service that a staff member offers, and return its id.

    Args:
        connection: As for `TinySalon.open`.
        staff_id: Who offers it.
        name: Of the service, unique in its database.
        minutes: How long it takes.
        grid: Minutes between two starts.
        before: Minutes of set-up before it.
        after: Minutes of buffer after it.
    """
    service = _insert(
        connection,
        schema.service,
        name=name,
        duration=minutes * MINUTE,
        buffer_before=before * MINUTE,
        buffer_after=after * MINUTE,
        grid=grid * MINUTE,
    )
    connection.execute(insert(schema.offering).values(service_id=service, staff_id=staff_id))
    return service


def _insert(connection: Connection, table: Table, **values: object) -> int:
    key = connection.execute(insert(table).values(**values)).inserted_primary_key
    assert key is not None
    return int(key[0])
