"""Constraints: the rule is declared to PostgreSQL, which keeps it against everybody.

No check comes first; the insert is the check. They also bind code that takes no lock at all,
which is why the exclusion constraint makes a good backstop behind any other strategy.
"""

from sqlalchemy import Connection

from booking_core.requests import Request
from booking_core.strategies import statements
from booking_core.strategies.base import Strategy, Traits
from booking_core.strategies.transaction import BookingTransaction

CLAIM_AND_INSERT = f"""
    WITH claimed AS (
        INSERT INTO claim (staff_id, blocked, appointment_id)
        SELECT %(staff_id)s, tstzrange(%(blocked_from)s, %(blocked_until)s),
               nextval(pg_get_serial_sequence('appointment', 'id'))
         WHERE {statements.RULES_HOLD}
        ON CONFLICT DO NOTHING
        RETURNING appointment_id)
    INSERT INTO appointment (id, {statements.COLUMNS})
    SELECT appointment_id, {statements.VALUES}
      FROM claimed
    RETURNING id"""  # noqa: S608 - the names are ours
MOVE_CLAIM = """
    UPDATE claim
       SET staff_id = %(staff_id)s, blocked = tstzrange(%(blocked_from)s, %(blocked_until)s)
     WHERE appointment_id = %(moved_id)s"""
RELEASE_CLAIM = "DELETE FROM claim WHERE appointment_id = %(appointment_id)s"


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
    traits = Traits(neighbours_wait="none", round_trips=1, round_trips_under_lock=0)

    def claim(self, tx: BookingTransaction) -> int | None:
        """Insert, or learn that the slot is taken."""
        return super().claim(tx) if tx.request.moves else tx.record(or_nothing=True, last=True)


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

    def statement(self, request: Request) -> str:
        """Look, and insert or move."""
        return statements.CLAIM_MOVE if request.moves else statements.CLAIM_OR_NOTHING


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
    traits = Exclusion.traits

    def claim(self, tx: BookingTransaction) -> int | None:
        """Claim the range and record the appointment in one statement."""
        if tx.request.moves:
            moved = None if tx.rival() is not None else tx.record()
            if moved is not None:
                tx.send(MOVE_CLAIM)
            return moved
        tx.before_record()
        claimed = tx.run(CLAIM_AND_INSERT, last=True)
        return claimed[0][0] if claimed else None

    def release(self, connection: Connection, appointment_id: int) -> bool:
        """Cancel the appointment and give its claim back."""
        # The appointment first, as a move does: two orders would deadlock.
        cancelled = super().release(connection, appointment_id)
        connection.exec_driver_sql(RELEASE_CLAIM, {"appointment_id": appointment_id})
        return cancelled
