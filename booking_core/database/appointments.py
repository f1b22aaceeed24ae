"""Appointments that are stored, and how to find them."""

# ruff: noqa: S608 - what is put together here is ours; values are parameters

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from booking_core.database.session import Session
from booking_core.invalid import InvalidRequest
from booking_core.requests import LARGEST_BIGINT, Appointment, Booking, Key, check_id
from booking_core.slots import Slot

STORED = "id, staff_id, service_id, client, lower(during), upper(during), status, client_id"
BY_ID = f"SELECT {STORED} FROM appointment WHERE id = %(id)s"
# What was booked under a key, or moved or cancelled.
BY_KEY = f"""
    SELECT {STORED}, request_digest FROM appointment
     WHERE key_scope = %(scope)s AND idempotency_key = %(key)s
     UNION ALL
    SELECT {STORED}, change.request_digest
      FROM change JOIN appointment ON appointment.id = appointment_id
     WHERE change.key_scope = %(scope)s AND change.idempotency_key = %(key)s"""
UPCOMING = f"""
    SELECT {STORED} FROM appointment
     WHERE status = 'confirmed' AND upper(during) > %(now)s
       AND coalesce(staff_id = %(staff_id)s::integer, true)
     ORDER BY lower(during), id"""
# Under which key an appointment was changed, if under one; {} is where its id is found.
NOTED = """
    INSERT INTO change (key_scope, idempotency_key, request_digest, appointment_id)
    SELECT %(key_scope)s, %(key)s, %(digest)s, id FROM {} WHERE %(key)s::text IS NOT NULL"""
NOTE = f"{NOTED.format('appointment')} AND id = %(id)s RETURNING 1"
FORGET = """
    WITH booked AS (
         UPDATE appointment SET idempotency_key = NULL
          WHERE idempotency_key IS NOT NULL AND created_at < %(before)s RETURNING 1),
    changed AS (DELETE FROM change WHERE created_at < %(before)s RETURNING 1)
    SELECT (SELECT count(*) FROM booked) + (SELECT count(*) FROM changed)"""


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
    for row in session.run(BY_ID, {"id": appointment_id}):
        return _stored(row)
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


def find_twin(session: Session, key: Key) -> Booking | None:
    """Return the answer to an earlier request with the same idempotency key, if there was one.

    Raises:
        InvalidRequest: `KEY_REUSED` where the earlier one asked for something else.
    """
    for *row, digest in session.run(BY_KEY, {"scope": key.scope, "key": key.value}):
        if digest != key.digest:
            raise InvalidRequest("KEY_REUSED", f"The key {key.value!r} belongs to another request.")
        return Booking(_stored(row), replayed=True)
    return None


def find_upcoming(session: Session, now: datetime, staff_id: int | None) -> list[Appointment]:
    """Return the confirmed appointments that are not over, of one staff member or all."""
    return [_stored(row) for row in session.run(UPCOMING, {"now": now, "staff_id": staff_id})]


def note(session: Session, key: Key | None, appointment_id: int) -> None:
    """Remember under which key an appointment was cancelled, or left where it was."""
    if key:
        asked = {"key_scope": key.scope, "key": key.value, "digest": key.digest}
        session.run(NOTE, asked | {"id": appointment_id})


def forget_keys(session: Session, before: datetime) -> int:
    """Forget the keys of requests from before an instant; return how many there were."""
    return int(session.run(FORGET, {"before": before})[0][0])


def _stored(row: Sequence[Any]) -> Appointment:
    appointment_id, staff_id, service_id, client, start, end, *rest = row
    return Appointment(appointment_id, staff_id, service_id, client, Slot(start, end), *rest)
