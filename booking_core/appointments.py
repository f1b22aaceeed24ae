"""Appointments that are stored, and how to find them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sqlalchemy import bindparam, select

from booking_core.errors import InvalidRequest
from booking_core.requests import LARGEST_BIGINT, Appointment, Booking, check_id
from booking_core.schema import appointment
from booking_core.slots import Slot

if TYPE_CHECKING:
    from sqlalchemy import Connection, Row

BY_ID = select(appointment).where(appointment.c.id == bindparam("appointment_id"))
BY_KEY = select(appointment).where(appointment.c.idempotency_key == bindparam("key"))


def check_appointment_id(appointment_id: object) -> None:
    """Make sure that it can be an appointment's id.

    Raises:
        InvalidRequest: `UNKNOWN_APPOINTMENT`.
    """
    check_id(appointment_id, "UNKNOWN_APPOINTMENT", "appointment", LARGEST_BIGINT)


def find(connection: Connection, appointment_id: int) -> Appointment:
    """Return an appointment.

    Raises:
        InvalidRequest: `UNKNOWN_APPOINTMENT`.
    """
    check_appointment_id(appointment_id)
    row = connection.execute(BY_ID, {"appointment_id": appointment_id}).one_or_none()
    if row is None:
        raise InvalidRequest("UNKNOWN_APPOINTMENT", f"There is no appointment {appointment_id}.")
    return _stored(row)


def find_confirmed(connection: Connection, appointment_id: int) -> Appointment:
    """Return an appointment that can be moved or cancelled.

    Raises:
        InvalidRequest: `UNKNOWN_APPOINTMENT`, or `NOT_CONFIRMED` where it was cancelled.
    """
    found = find(connection, appointment_id)
    if found.status != "confirmed":
        raise InvalidRequest(
            "NOT_CONFIRMED", f"Appointment {appointment_id} is not confirmed (any more)."
        )
    return found


def find_twin(connection: Connection, key: str, digest: str, attempt: int = 1) -> Booking | None:
    """Return what an earlier request with the same idempotency key has booked, if it has.

    Args:
        connection: A connection to read with.
        key: The idempotency key.
        digest: What tells the request from others.
        attempt: How often it was tried so far.

    Raises:
        InvalidRequest: `KEY_REUSED` where the earlier one asked for something else.
    """
    row = connection.execute(BY_KEY, {"key": key}).one_or_none()
    if row is None:
        return None
    if row.request_digest != digest:
        raise InvalidRequest("KEY_REUSED", f"The key {key!r} belongs to another request.")
    return Booking(_stored(row), attempt, replayed=True)


def _stored(row: Row[Any]) -> Appointment:
    return Appointment(
        row.id,
        row.staff_id,
        row.service_id,
        row.client,
        Slot(row.during.lower, row.during.upper),
        row.status,
    )
