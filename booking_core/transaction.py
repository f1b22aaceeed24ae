"""The booking transaction, as a strategy sees it.

It carries the request and the two statements that nearly every strategy shares: `rival` looks
for an appointment that overlaps, `record` stores the request. Between the two lies the gap into
which a rival can slip; closing it is what a strategy is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, literal_column, select, text, update
from sqlalchemy.dialects.postgresql import TSTZRANGE, Range

from booking_core.schema import appointment, rulebook

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from sqlalchemy import Connection

    from booking_core.requests import Request
    from booking_core.slots import Slot

# A literal: a parameter would hide the index's WHERE clause from a prepared statement's plan.
CONFIRMED = appointment.c.status == literal_column("'confirmed'")

RIVAL = (
    select(appointment.c.id)
    .where(
        appointment.c.staff_id == bindparam("staff_id"),
        CONFIRMED,
        appointment.c.blocked.overlaps(bindparam("blocked")),
    )
    .limit(1)
)
RIVAL_OF_MOVE = RIVAL.where(appointment.c.id != bindparam("moved_id"))
SAME_RULES = select(rulebook.c.version).scalar_subquery() == bindparam("rules_version")
_INSERT = """
    INSERT INTO appointment
        (staff_id, service_id, client, during, blocked, idempotency_key, request_digest)
    SELECT :staff_id, :service_id, :client, :during, :blocked, :key, :digest
     WHERE (SELECT version FROM rulebook) = :rules_version
    {or_nothing} RETURNING id
"""
_RANGES = [bindparam(name, type_=TSTZRANGE) for name in ("during", "blocked")]
INSERT = text(_INSERT.format(or_nothing="")).bindparams(*_RANGES)
INSERT_OR_NOTHING = text(_INSERT.format(or_nothing="ON CONFLICT DO NOTHING")).bindparams(*_RANGES)
MOVE = (
    update(appointment)
    .where(appointment.c.id == bindparam("moved_id"), CONFIRMED, SAME_RULES)
    .returning(appointment.c.id)
)


def do_nothing() -> None:
    """Spend no time between check and record."""


class BookingTransaction:
    """One try at a request, inside the transaction that the service owns.

    Attributes:
        connection: For whatever the strategy has to send; it never commits.
        request: What is asked for.
        before_record: Called between check and record; experiments spend time there.
        taken_by: The id of an overlapping appointment, once one was seen.
    """

    def __init__(
        self,
        connection: Connection,
        request: Request,
        before_record: Callable[[], None] = do_nothing,
    ) -> None:
        self.connection = connection
        self.request = request
        self.before_record = before_record
        self.taken_by: int | None = None

    @property
    def staff_ids(self) -> list[int]:
        """The calendars to guard, in the one order in which guards are taken."""
        return self.request.staff_ids

    def rival(self) -> int | None:
        """Return the id of a confirmed appointment that overlaps the request, if one is seen.

        One round trip. The appointment that is being rescheduled is no rival of itself.
        """
        request = self.request
        asked = {"staff_id": request.staff_id, "blocked": as_range(request.blocked)}
        if request.moves is None:
            self.taken_by = self.connection.scalar(RIVAL, asked)
        else:
            asked["moved_id"] = request.moves.id
            self.taken_by = self.connection.scalar(RIVAL_OF_MOVE, asked)
        return self.taken_by

    def record(self, *, or_nothing: bool = False) -> int | None:
        """Store the request: insert an appointment, or move the one that is rescheduled.

        One round trip.

        Args:
            or_nothing: Whether an insert that a constraint forbids is left out silently
                (`ON CONFLICT DO NOTHING`) instead of failing the transaction. An UPDATE has no
                such clause, so a move fails in any case.

        Returns:
            The appointment's id; None where it was left out, where the rules have changed since
            the request was checked, or where the appointment to move was cancelled meanwhile.
        """
        self.before_record()
        request = self.request
        values = {
            "staff_id": request.staff_id,
            "during": as_range(request.slot),
            "blocked": as_range(request.blocked),
            "rules_version": request.rules_version,
        }
        if request.moves is not None:
            moved: int | None = self.connection.scalar(
                MOVE, values | {"moved_id": request.moves.id}
            )
            return moved
        inserted: int | None = self.connection.scalar(
            INSERT_OR_NOTHING if or_nothing else INSERT,
            values
            | {
                "service_id": request.service_id,
                "client": request.client,
                "key": request.key,
                "digest": request.digest,
            },
        )
        return inserted


def as_range(slot: Slot) -> Range[datetime]:
    """Return the slot as PostgreSQL's half-open range."""
    return Range(slot.start, slot.end, bounds="[)")
