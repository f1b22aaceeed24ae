"""Lock, check and insert in one function inside the server: one round trip."""

import re

from booking_core.requests import Request
from booking_core.strategies import statements
from booking_core.strategies.advisory import CALENDARS
from booking_core.strategies.base import Strategy, Traits

# ruff: noqa: S608 - what is put together here is ours; values are parameters

# What the statements call %(name)s is an argument of the function.
ARGUMENTS = (
    "staff_id integer, service_id integer, client text, client_id text,"
    " starts timestamptz, ends timestamptz, blocked_from timestamptz, blocked_until timestamptz,"
    " key text, key_scope text, digest text,"
    " moved_id bigint, moved_from integer, moved_start timestamptz, rules_version bigint"
)
CLAIM = "SELECT * FROM claim_slot({})".format(re.sub(r"(\w+) \w+", r"%(\1)s", ARGUMENTS))


def _inside(statement: str) -> str:
    """Write a statement as the function's body wants it."""
    return re.sub(r"%\((\w+)\)s", r"claim_slot.\1", statement)


# Each statement of a volatile PL/pgSQL function takes a snapshot of its own in READ COMMITTED, so
# the check sees what was committed while the lock was waited for. In one plain SQL statement the
# snapshot would be older than the lock, and the check blind; as it would in any other isolation
# level, which a server may have as its default.
CREATE = f"""
CREATE FUNCTION claim_slot({ARGUMENTS})
RETURNS TABLE (appointment_id bigint, rival_id bigint)
LANGUAGE plpgsql VOLATILE AS $$
#variable_conflict use_column
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION USING ERRCODE = 'invalid_transaction_state',
            MESSAGE = 'claim_slot needs READ COMMITTED; default_transaction_isolation is '
                      || current_setting('default_transaction_isolation');
    END IF;
    -- In one fixed order; where nothing is moved, moved_from is null and overlooked by both.
    PERFORM pg_advisory_xact_lock({CALENDARS}, least(claim_slot.staff_id, moved_from));
    IF moved_from <> claim_slot.staff_id THEN
        PERFORM pg_advisory_xact_lock({CALENDARS}, greatest(claim_slot.staff_id, moved_from));
    END IF;
    IF moved_id IS NULL THEN
        RETURN QUERY {_inside(statements.CLAIM)};
    ELSE
        RETURN QUERY {_inside(statements.CLAIM_MOVE)};
    END IF;
END $$
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

    def statement(self, request: Request) -> str:
        """Call the function."""
        del request
        return CLAIM
