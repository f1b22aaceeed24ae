"""What is stored: appointments as rows, at the places that scenes speak of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from experiments.scenes.shapes import Place

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import Connection

_ROWS = text("""
    SELECT id, staff_id, lower(blocked) AS starts, status, idempotency_key, client_id
      FROM appointment
""")


@dataclass(frozen=True, slots=True)
class Row:
    """A stored appointment."""

    id: int
    place: Place
    status: str
    key: str | None
    client_id: str | None = None


def read_rows(connection: Connection, staff: Mapping[int, int]) -> dict[int, Row]:
    """Return the stored appointments by id.

    Args:
        connection: To the database.
        staff: The number that shapes use for each staff id.
    """
    return {
        row.id: Row(
            row.id,
            Place(staff[row.staff_id], row.starts),
            row.status,
            row.idempotency_key,
            row.client_id,
        )
        for row in connection.execute(_ROWS)
    }
