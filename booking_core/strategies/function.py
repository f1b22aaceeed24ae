"""Lock, check and insert in one function inside the server: one round trip."""

from __future__ import annotations

from typing import TYPE_CHECKING

from booking_core.strategies.advisory import CALENDARS
from booking_core.strategies.base import Strategy, Traits

if TYPE_CHECKING:
    from booking_core.requests import Request

# Each statement of a volatile PL/pgSQL function takes a snapshot of its own in READ COMMITTED, so
# the check sees what was committed while the lock was waited for. In one plain SQL statement the
# snapshot would be older than the lock, and the check blind; as it would in any other isolation
# level, which a server may have as its default.
CREATE = f"""
CREATE FUNCTION claim_slot(
    wanted_staff integer, wanted_service integer, client_name text,
    wanted tstzrange, wanted_blocked tstzrange, key text, digest text,
    moved_id bigint, moved_from integer, rules_version bigint,
    OUT appointment_id bigint, OUT rival_id bigint)
LANGUAGE plpgsql VOLATILE AS $$
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_transaction_state',
            MESSAGE = 'claim_slot needs READ COMMITTED; default_transaction_isolation is '
                      || current_setting('default_transaction_isolation');
    END IF;
    -- In one fixed order; where nothing is moved, moved_from is null and overlooked by both.
    PERFORM pg_advisory_xact_lock({CALENDARS}, least(wanted_staff, moved_from));
    IF moved_from <> wanted_staff THEN
        PERFORM pg_advisory_xact_lock({CALENDARS}, greatest(wanted_staff, moved_from));
    END IF;
    SELECT id INTO rival_id FROM appointment
     WHERE staff_id = wanted_staff AND status = 'confirmed' AND blocked && wanted_blocked
       AND id IS DISTINCT FROM moved_id
       AND (SELECT version FROM rulebook) = rules_version
     LIMIT 1;
    IF rival_id IS NOT NULL THEN
        RETURN;
    END IF;
    IF moved_id IS NULL THEN
        INSERT INTO appointment
            (staff_id, service_id, client, during, blocked, idempotency_key, request_digest)
        SELECT wanted_staff, wanted_service, client_name, wanted, wanted_blocked, key, digest
         WHERE (SELECT version FROM rulebook) = rules_version
        RETURNING id INTO appointment_id;
    ELSE
        UPDATE appointment
           SET staff_id = wanted_staff, during = wanted, blocked = wanted_blocked
         WHERE id = moved_id AND status = 'confirmed'
           AND (SELECT version FROM rulebook) = rules_version
        RETURNING id INTO appointment_id;
    END IF;
END $$
"""  # noqa: S608 - the number is ours
CLAIM = """
    SELECT appointment_id, rival_id
      FROM claim_slot(
           %(staff_id)s, %(service_id)s, %(client)s,
           tstzrange(%(starts)s, %(ends)s), tstzrange(%(blocked_from)s, %(blocked_until)s),
           %(key)s, %(digest)s, %(moved_id)s, %(moved_from)s, %(rules_version)s)
"""


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

    def statement(self, request: Request) -> str:
        """Call the function."""
        del request
        return CLAIM
