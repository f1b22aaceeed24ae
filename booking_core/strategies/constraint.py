"""Constraints: the rule is declared to PostgreSQL, which keeps it against everybody.

No check comes first; the insert is the check. They also bind code that takes no lock at all,
which is why the exclusion constraint makes a good backstop behind any other strategy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import TSTZRANGE

from booking_core.strategies.base import Strategy, Traits
from booking_core.transaction import BookingTransaction, as_range

if TYPE_CHECKING:
    from typing import LiteralString

    from sqlalchemy import Connection

    from booking_core.requests import Request

CLAIM_AND_INSERT = text("""
    WITH claimed AS (
        INSERT INTO claim (staff_id, blocked, appointment_id)
        SELECT :staff_id, :blocked, nextval(pg_get_serial_sequence('appointment', 'id'))
        WHERE (SELECT version FROM rulebook) = :rules_version
        ON CONFLICT DO NOTHING
        RETURNING appointment_id)
    INSERT INTO appointment
        (id, staff_id, service_id, client, during, blocked, idempotency_key, request_digest)
    SELECT appointment_id, :staff_id, :service_id, :client, :during, :blocked, :key, :digest
    FROM claimed
    RETURNING id
""").bindparams(bindparam("blocked", type_=TSTZRANGE), bindparam("during", type_=TSTZRANGE))
MOVE_CLAIM = text(
    "UPDATE claim SET staff_id = :staff_id, blocked = :blocked"
    " WHERE appointment_id = :appointment_id"
).bindparams(bindparam("blocked", type_=TSTZRANGE))
RELEASE_CLAIM = text("DELETE FROM claim WHERE appointment_id = :appointment_id")

_RIVAL = """
    SELECT id FROM appointment
     WHERE staff_id = %(staff_id)s::integer AND status = 'confirmed'
       AND blocked && tstzrange(%(blocked_from)s, %(blocked_until)s)
"""
LOOK_AND_INSERT: LiteralString = f"""
    WITH rival AS ({_RIVAL} LIMIT 1),
    claimed AS (
        INSERT INTO appointment
            (staff_id, service_id, client, during, blocked, idempotency_key, request_digest)
        SELECT %(staff_id)s::integer, %(service_id)s::integer, %(client)s::text,
               tstzrange(%(starts)s, %(ends)s), tstzrange(%(blocked_from)s, %(blocked_until)s),
               %(key)s::text, %(digest)s::text
         WHERE NOT EXISTS (SELECT FROM rival)
           AND (SELECT version FROM rulebook) = %(rules_version)s::bigint
        ON CONFLICT DO NOTHING
        RETURNING id)
    SELECT (SELECT id FROM claimed), (SELECT id FROM rival)
"""  # noqa: S608 - the text is ours
LOOK_AND_MOVE: LiteralString = f"""
    WITH rival AS ({_RIVAL} AND id <> %(moved_id)s::bigint LIMIT 1),
    claimed AS (
        UPDATE appointment
           SET staff_id = %(staff_id)s::integer,
               during = tstzrange(%(starts)s, %(ends)s),
               blocked = tstzrange(%(blocked_from)s, %(blocked_until)s)
         WHERE id = %(moved_id)s::bigint AND status = 'confirmed'
           AND NOT EXISTS (SELECT FROM rival)
           AND (SELECT version FROM rulebook) = %(rules_version)s::bigint
        RETURNING id)
    SELECT (SELECT id FROM claimed), (SELECT id FROM rival)
"""  # noqa: S608 - the text is ours


class Exclusion(Strategy):
    """A partial exclusion constraint, met by `INSERT … ON CONFLICT DO NOTHING`.

    How: the constraint forbids two confirmed appointments of one staff member to overlap. An
    insert that meets a rival's uncommitted row waits for its end; ON CONFLICT DO NOTHING then
    inserts nothing. Without that clause, two inserts that meet can each wait for the other.
    An UPDATE has no such clause: a move checks first, and what slips through fails with 23P01.
    Cost: each insert pays for the GiST index; only requests that really overlap wait.
    Manual: CREATE TABLE, EXCLUDE; INSERT, ON CONFLICT Clause; 8.17.10 Constraints on Ranges.
    """

    name = "exclusion"
    needs_constraint = True
    traits = Traits(neighbours_wait="none", round_trips=3, round_trips_under_lock=1)
    choose_when = (
        "The database itself must guarantee it, whoever writes. Also the backstop behind every "
        "other strategy."
    )

    def claim(self, tx: BookingTransaction) -> int | None:
        """Insert, or learn that the slot is taken."""
        return super().claim(tx) if tx.request.moves else tx.record(or_nothing=True)


class OneStatement(Exclusion):
    """The same constraint, met by one statement that looks and inserts, a transaction by itself.

    How: the statement looks for an appointment that overlaps and inserts only if there is none.
    What it can't see, because it is committed a moment later, is left to the constraint. So a
    slot that is taken costs a look: no lock, no row written, nothing to wait for.
    Cost: as `exclusion`; nothing of the client's can happen between check and insert.
    Manual: 7.8.4 Data-Modifying Statements in WITH; 13.2.1 Read Committed Isolation Level.
    """

    name = "one_statement"
    isolation = "AUTOCOMMIT"
    traits = Traits(neighbours_wait="none", round_trips=1, round_trips_under_lock=0)
    choose_when = (
        "Many ask for what is taken already, or the database is far away: a lost slot is "
        "answered without any lock, and a free one in one round trip."
    )

    def statement(self, request: Request) -> LiteralString:
        """Look, and insert or move."""
        return LOOK_AND_MOVE if request.moves else LOOK_AND_INSERT


class TemporalKey(Strategy):
    """A temporal primary key, `WITHOUT OVERLAPS`, on a table of claims.

    How: a temporal key takes no WHERE clause, so cancelled appointments can't stay under it.
    Claims live in a table of their own: booking inserts one, cancelling deletes it.
    Cost: as `exclusion`, and a second table to write.
    Manual: CREATE TABLE, PRIMARY KEY … WITHOUT OVERLAPS (PostgreSQL 18).
    """

    name = "temporal_key"
    minimum_server = 180000
    needs = (
        """
        CREATE TABLE claim (
            staff_id integer NOT NULL REFERENCES staff,
            blocked tstzrange NOT NULL,
            appointment_id bigint NOT NULL UNIQUE REFERENCES appointment,
            PRIMARY KEY (staff_id, blocked WITHOUT OVERLAPS))
        """,
    )
    traits = Traits(neighbours_wait="none", round_trips=3, round_trips_under_lock=1)
    choose_when = (
        "PostgreSQL 18 is given and standard SQL is wanted, with foreign keys that refer to "
        "periods."
    )

    def claim(self, tx: BookingTransaction) -> int | None:
        """Claim the range and record the appointment in one statement."""
        request = tx.request
        place = {"staff_id": request.staff_id, "blocked": as_range(request.blocked)}
        if request.moves:
            if tx.rival() is not None:
                return None
            moved = tx.record()
            if moved is not None:
                tx.connection.execute(MOVE_CLAIM, place | {"appointment_id": moved})
            return moved
        tx.before_record()
        claimed: int | None = tx.connection.scalar(
            CLAIM_AND_INSERT,
            place
            | {
                "during": as_range(request.slot),
                "service_id": request.service_id,
                "client": request.client,
                "key": request.key,
                "digest": request.digest,
                "rules_version": request.rules_version,
            },
        )
        return claimed

    def release(self, connection: Connection, appointment_id: int) -> bool:
        """Cancel the appointment and give its claim back."""
        # The appointment first, as a move does: two orders would deadlock.
        cancelled = super().release(connection, appointment_id)
        connection.execute(RELEASE_CLAIM, {"appointment_id": appointment_id})
        return cancelled
