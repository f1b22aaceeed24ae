"""The ledger of a load in the small world, where users share appointments and keys.

It asks what `experiments.judge.ledger` asks, and means by a stay what that means. But here anybody
may move and cancel an appointment, so two changes of it can be open at one time, and nobody knows
which came first. What then is certain: a change came after another one that was answered before it
was asked for. So a stay is certain only if no other change of its appointment was open beside the
one that began it, until the next one was asked for; it was possible until one was answered that
certainly came later. And what the rows show is what any change said that may have been the last.

A row under a key belongs to whoever was told of it first; who was given it again says so.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import text

from experiments.judge.ledger import found
from experiments.load.measurements import in_words
from experiments.load.world_users import ANYBODY, MINUTE
from experiments.scenes.shapes import OPENING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from sqlalchemy import Connection

    from experiments.judge.ledger import Judgement

COLUMNS = (
    "vu",
    "number",
    "staff_id",
    "start",
    "service_id",
    "appointment_id",
    "taken_by",
    "started",
    "ended",
)

_TOLD = f"""
    CREATE TEMP TABLE told (
        operation text, outcome text, {", ".join(f"{name} bigint" for name in COLUMNS)}
    ) ON COMMIT DROP
"""
_REPLY = text("""
    CREATE TEMP TABLE reply ON COMMIT DROP AS
    SELECT row_number() OVER () AS id, operation, outcome, vu || '-' || number AS client,
           nullif(told.staff_id, :anybody)::integer AS staff_id,
           tstzrange(:opening + start * :minute - buffer_before,
                     :opening + start * :minute + duration + buffer_after) AS place,
           nullif(appointment_id, 0) AS appointment_id, taken_by, started, ended
      FROM told
      LEFT JOIN service ON service.id = told.service_id
""")
# All that may have changed an appointment. A booking whose answer was lost is found by its client.
_CHANGE = """
    CREATE TEMP TABLE change ON COMMIT DROP AS
    SELECT reply.id, coalesce(reply.appointment_id, row.id) AS appointment_id,
           operation, outcome, reply.staff_id, place, started, ended
      FROM reply
      LEFT JOIN appointment AS row ON outcome = 'unknown' AND row.client = reply.client
     WHERE outcome IN ('booked', 'cancelled', 'unknown')
"""
_STAY = """
    CREATE TEMP TABLE stay ON COMMIT DROP AS
    SELECT change.appointment_id, change.staff_id, change.place,
           int8range(change.started, min(other.ended) FILTER (
               WHERE other.started > change.ended AND other.outcome <> 'unknown')) AS possible,
           CASE WHEN change.outcome <> 'unknown'
                     AND bool_and(other.id IS NULL OR other.started > change.ended
                                  OR other.ended < change.started AND other.outcome <> 'unknown')
                THEN int8range(change.ended, min(other.started) FILTER (
                    WHERE other.started > change.ended))
           END AS certain
      FROM change
      LEFT JOIN change AS other
        ON other.appointment_id = change.appointment_id AND other.id <> change.id
     WHERE change.operation <> 'cancel'
     GROUP BY change.id, change.appointment_id, change.staff_id, change.place, change.started,
              change.ended, change.outcome
"""
_PREPARE = (
    _CHANGE,
    "CREATE INDEX ON change (appointment_id)",
    "ANALYZE reply, change, appointment",
    _STAY,
    "CREATE INDEX ON stay USING gist (staff_id, place, certain)",
    "CREATE INDEX ON stay (appointment_id)",
    "ANALYZE stay",
)
_BOOKINGS_WITHOUT_ROW = text("""
    SELECT count(*)
      FROM reply
      LEFT JOIN appointment AS row
        ON row.id = appointment_id
           AND (row.idempotency_key IS NOT NULL OR outcome = 'booked' AND row.client = reply.client)
     WHERE operation = 'book' AND outcome IN ('booked', 'replayed') AND row.id IS NULL
""")
_ROWS_WITHOUT_BOOKING = text("""
    SELECT (SELECT count(*)
              FROM appointment AS row
             WHERE client <> :practice AND NOT EXISTS (
                   SELECT FROM reply
                    WHERE operation = 'book'
                      AND (outcome = 'booked' AND appointment_id = row.id
                           OR outcome = 'unknown' AND (row.client = reply.client
                                                       OR row.idempotency_key IS NOT NULL))))
         + (SELECT count(*) - count(DISTINCT appointment_id)
              FROM reply WHERE operation = 'book' AND outcome = 'booked')
         + (SELECT count(*) - count(DISTINCT (key_scope, idempotency_key))
              FROM appointment WHERE idempotency_key IS NOT NULL)
""")
_ROWS_OTHERWISE = text("""
    SELECT count(*)
      FROM appointment AS row
     WHERE id IN (SELECT appointment_id FROM change) AND NOT EXISTS (
           SELECT FROM change
            WHERE appointment_id = row.id
              AND NOT EXISTS (
                  SELECT FROM change AS later
                   WHERE later.appointment_id = row.id AND later.outcome <> 'unknown'
                     AND later.started > change.ended AND change.outcome <> 'unknown')
              AND CASE operation
                  WHEN 'cancel' THEN row.status = 'cancelled'
                  ELSE row.status = 'confirmed' AND row.blocked = place
                       AND row.staff_id = coalesce(change.staff_id, row.staff_id) END)
""")


def judge(connection: Connection, replies: NDArray[np.void], *, practice: str) -> Judgement:
    """Hold the replies to a load in the small world against the rows.

    Args:
        connection: To the database, when everybody is done. Temporary tables are made and go with
            the transaction.
        replies: One record a reply, as `experiments.load.measurements.columns` returns them.
        practice: The client of rows that nobody asked for in the load.

    Returns:
        What was found. A row more than one under a key, and one that two were told is theirs, are
        rows without a booking.
    """
    connection.exec_driver_sql(_TOLD)
    _copy(connection, replies)
    words = {"anybody": ANYBODY, "opening": OPENING, "minute": MINUTE}
    connection.execute(_REPLY, words)
    for statement in _PREPARE:
        connection.exec_driver_sql(statement)

    return found(
        connection,
        bookings_without_row=_BOOKINGS_WITHOUT_ROW,
        rows_without_booking=_ROWS_WITHOUT_BOOKING,
        rows_otherwise=_ROWS_OTHERWISE,
        practice=practice,
    )


def _copy(connection: Connection, replies: NDArray[np.void]) -> None:
    session = connection.connection.driver_connection
    assert session is not None
    words = in_words(replies)
    with session.cursor() as cursor, cursor.copy("COPY told FROM STDIN") as copy:
        for operation, outcome, told in zip(
            words["operation"], words["outcome"], replies, strict=True
        ):
            copy.write_row((operation, outcome, *told[list(COLUMNS)].tolist()))
