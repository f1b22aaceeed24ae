"""Appointments that are stored, and how to find them."""

from booking_core.database.session import Session
from booking_core.invalid import InvalidRequest
from booking_core.requests import LARGEST_BIGINT, Appointment, Booking, Wish, check_id
from booking_core.slots import Slot

BY = """
    SELECT request_digest, id, staff_id, service_id, client, lower(during), upper(during), status
      FROM appointment WHERE {} = %(it)s"""
BY_ID, BY_KEY = BY.format("id"), BY.format("idempotency_key")


def check_appointment_id(appointment_id: object) -> None:
    """Make sure that it can be an appointment's id.

    Raises:
        InvalidRequest: `UNKNOWN_APPOINTMENT`.
    """
    check_id(appointment_id, "UNKNOWN_APPOINTMENT", "appointment", LARGEST_BIGINT)


def find(session: Session, appointment_id: int) -> Appointment:
    """Return an appointment.

    Raises:
        InvalidRequest: `UNKNOWN_APPOINTMENT`.
    """
    check_appointment_id(appointment_id)
    for _, found in _stored(session, BY_ID, appointment_id):
        return found
    raise InvalidRequest("UNKNOWN_APPOINTMENT", f"There is no appointment {appointment_id}.")


def find_confirmed(session: Session, appointment_id: int) -> Appointment:
    """Return an appointment that can be moved or cancelled.

    Raises:
        InvalidRequest: `UNKNOWN_APPOINTMENT`, or `NOT_CONFIRMED` where it was cancelled.
    """
    found = find(session, appointment_id)
    if found.status != "confirmed":
        raise InvalidRequest(
            "NOT_CONFIRMED", f"Appointment {appointment_id} is not confirmed (any more)."
        )
    return found


def find_twin(session: Session, wish: Wish) -> Booking | None:
    """Return what an earlier request with the same idempotency key has booked, if it has.

    Raises:
        InvalidRequest: `KEY_REUSED` where the earlier one asked for something else.
    """
    for digest, found in _stored(session, BY_KEY, wish.key):
        if digest != wish.digest:
            raise InvalidRequest("KEY_REUSED", f"The key {wish.key!r} belongs to another request.")
        return Booking(found, replayed=True)
    return None


def _stored(session: Session, query: str, it: object) -> list[tuple[str, Appointment]]:
    """Return what is stored, with the digest of what was asked for."""
    return [
        (digest, Appointment(each, staff_id, service_id, client, Slot(start, end), status))
        for digest, each, staff_id, service_id, client, start, end, status in session.run(
            query, {"it": it}
        )
    ]
