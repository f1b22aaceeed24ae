"""Lock, check and insert in one function inside the server: one round trip."""

from __future__ import annotations

from sqlalchemy import Integer, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, TSTZRANGE

from booking_core.strategies.advisory import CALENDARS
from booking_core.strategies.base import Strategy, Traits
from booking_core.transaction import BookingTransaction, as_range, not_confirmed

# Each statement of a volatile PL/pgSQL function takes a snapshot of its own in READ COMMITTED, so
# the check sees what was committed while the lock was waited for. In one plain SQL statement the
# snapshot would be older than the lock, and the check blind.
CREATE = f"""
CREATE FUNCTION claim_slot(
    touched integer[], wanted_staff integer, wanted_service integer, client_name text,
    wanted tstzrange, wanted_blocked tstzrange, key text, digest text, moved bigint,
    OUT appointment_id bigint, OUT rival_id bigint)
LANGUAGE plpgsql VOLATILE AS $$
DECLARE
    calendar integer;
BEGIN
    FOREACH calendar IN ARRAY touched LOOP
        PERFORM pg_advisory_xact_lock({CALENDARS}, calendar);
    END LOOP;
    SELECT id INTO rival_id FROM appointment
     WHERE staff_id = wanted_staff AND status = 'confirmed' AND blocked && wanted_blocked
       AND id IS DISTINCT FROM moved
     LIMIT 1;
    IF rival_id IS NOT NULL THEN
        RETURN;
    END IF;
    IF moved IS NULL THEN
        INSERT INTO appointment
            (staff_id, service_id, client, during, blocked, idempotency_key, request_digest)
        VALUES (wanted_staff, wanted_service, client_name, wanted, wanted_blocked, key, digest)
        RETURNING id INTO appointment_id;
    ELSE
        UPDATE appointment
           SET staff_id = wanted_staff, during = wanted, blocked = wanted_blocked
         WHERE id = moved AND status = 'confirmed'
        RETURNING id INTO appointment_id;
    END IF;
END $$
"""  # noqa: S608 - the number is ours
CLAIM = text("""
    SELECT appointment_id, rival_id
    FROM claim_slot(:touched, :staff_id, :service_id, :client, :during, :blocked,
                    :key, :digest, :moved)
""").bindparams(
    bindparam("touched", type_=ARRAY(Integer)),
    bindparam("during", type_=TSTZRANGE),
    bindparam("blocked", type_=TSTZRANGE),
)


class Function(Strategy):
    """Lock, check and insert in one PL/pgSQL function, a transaction by itself.

    How: as `advisory`, inside the server. The lock is held while the server checks, inserts and
    commits, never while an answer travels to the client and the next statement back.
    Cost: logic in the database, to be migrated like a table; nothing of the client's can happen
    between check and insert.
    Manual: 41.5 PL/pgSQL Basic Statements; 36.7 Function Volatility Categories.
    """

    name = "function"
    isolation = "AUTOCOMMIT"
    needs = (CREATE,)
    traits = Traits(round_trips=1, round_trips_under_lock=0)
    choose_when = (
        "A calendar is hot, or the database is far away: throughput is bounded by how long the "
        "lock is held, and nothing holds it shorter."
    )

    def claim(self, tx: BookingTransaction) -> int | None:
        """Call the function."""
        tx.before_record()
        request = tx.request
        answer = tx.connection.execute(
            CLAIM,
            {
                "touched": tx.staff_ids,
                "staff_id": request.staff_id,
                "service_id": request.service_id,
                "client": request.client,
                "during": as_range(request.slot),
                "blocked": as_range(request.blocked),
                "key": request.key,
                "digest": request.digest,
                "moved": request.moves.id if request.moves else None,
            },
        ).one()
        appointment_id: int | None = answer.appointment_id
        tx.taken_by = answer.rival_id
        if appointment_id is None and tx.taken_by is None and request.moves:
            raise not_confirmed(request.moves.id)
        return appointment_id
