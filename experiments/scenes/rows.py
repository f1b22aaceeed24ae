"""What is stored: appointments as rows, at the places that scenes speak of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy import text

from booking_core.slots import Slot
from experiments.scenes.places import Place
from experiments.scenes.shapes import full_key

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

    from experiments.scenes.places import Service

_ROWS = text("""
    SELECT id, staff_id, service_id, lower(during) AS starts, upper(during) AS ends,
           lower(blocked) AS blocked_from, upper(blocked) AS blocked_until,
           status, idempotency_key, key_scope, client_id
      FROM appointment
""")


@dataclass(frozen=True, slots=True)
class Row:
    """A stored appointment.

    Attributes:
        id: Its id.
        place: Where it is.
        status: `confirmed` or `cancelled`.
        key: The idempotency key that it was booked under, and whose that is.
        client_id: Whose it is, where clients have ids.
        strays: Whether it takes up anything else than its service says.
    """

    id: int
    place: Place
    status: str
    key: str | None
    client_id: str | None = None
    strays: bool = False


def read_rows(
    connection: Connection, staff: Mapping[int, int], services: Mapping[int, Service]
) -> dict[int, Row]:
    """Return the stored appointments by id.

    Args:
        connection: To the database.
        staff: The number that scenes use for each staff id.
        services: The service that scenes use for each service id.
    """
    return {row.id: as_row(row, staff, services) for row in connection.execute(_ROWS)}


def as_row(stored: Any, staff: Mapping[int, int], services: Mapping[int, Service]) -> Row:  # noqa: ANN401 - as SQLAlchemy's rows, or anything with the columns of `_ROWS`
    """Return a stored appointment as scenes speak of it."""
    place = Place(staff[stored.staff_id], stored.starts, services[stored.service_id])
    takes_up = Slot(stored.starts, stored.ends), Slot(stored.blocked_from, stored.blocked_until)
    return Row(
        stored.id,
        place,
        stored.status,
        stored.idempotency_key and full_key(stored.key_scope, stored.idempotency_key),
        stored.client_id,
        strays=takes_up != (place.during, place.blocked),
    )
