"""The statements that strategies share.

They are written out in full, with the names of `Request.parameters` as psycopg writes them, and
go to the driver as they are: to compile them anew for each booking would take longer than
PostgreSQL takes to answer.

`'confirmed'` is a literal in all of them: a parameter would hide the indexes' WHERE clause from a
prepared statement's plan. All of them carry a condition, that the rules are still those under which
the request was checked: by old ones nothing is stored, and nobody is told of a rival.
"""

# ruff: noqa: S608 - what is put together here is ours; values are parameters

from booking_core.database.appointments import NOTED

# That the service is offered, by the very rules under which the request was checked.
RULES_HOLD = """EXISTS (
           SELECT FROM offering
            WHERE service_id = %(service_id)s::integer AND staff_id = %(staff_id)s::integer
              AND version = %(rules_version)s)"""

OVERLAPPING = f"""
    SELECT id FROM appointment
     WHERE staff_id = %(staff_id)s::integer AND status = 'confirmed'
       AND blocked && tstzrange(%(blocked_from)s, %(blocked_until)s)
       AND {RULES_HOLD}"""

COLUMNS = (
    "staff_id, service_id, client, client_id, during, blocked,"
    " key_scope, idempotency_key, request_digest"
)
VALUES = """%(staff_id)s, %(service_id)s, %(client)s, %(client_id)s,
           tstzrange(%(starts)s, %(ends)s), tstzrange(%(blocked_from)s, %(blocked_until)s),
           %(key_scope)s, %(key)s, %(digest)s"""
INSERT = f"""
    INSERT INTO appointment ({COLUMNS})
    SELECT {VALUES}
     WHERE {RULES_HOLD}"""
# Nothing is moved but what was read: not what was moved meanwhile, or given to somebody else.
MOVE = f"""
    UPDATE appointment
       SET staff_id = %(staff_id)s, during = tstzrange(%(starts)s, %(ends)s),
           blocked = tstzrange(%(blocked_from)s, %(blocked_until)s)
     WHERE id = %(moved_id)s AND status = 'confirmed'
       AND staff_id = %(moved_from)s AND lower(during) = %(moved_start)s
       AND {RULES_HOLD}"""

LOOK = f"{OVERLAPPING} LIMIT 1"
LOOK_FOR_OTHERS = f"{OVERLAPPING} AND id <> %(moved_id)s LIMIT 1"
RECORD = f"{INSERT} RETURNING id"
RECORD_OR_NOTHING = f"{INSERT} ON CONFLICT DO NOTHING RETURNING id"
RECORD_MOVE = f"""
    WITH moved AS ({MOVE} RETURNING id), noted AS ({NOTED.format("moved")})
    SELECT id FROM moved"""

# Check and write in one: they return the appointment's id and its rival's, one of them null, or
# both where the rules have changed or nothing is left to move. Check and write share a snapshot,
# so a rival who commits later than that must be kept out by a lock, or by a constraint.
_CLAIM = """
    WITH rival AS ({look}),
    claimed AS ({write} {otherwise} RETURNING id){noted}
    SELECT (SELECT id FROM claimed), (SELECT id FROM rival)"""


def _claim(look: str, write: str, otherwise: str = "", noted: str = "") -> str:
    # Where somebody has the slot, the rules are not looked at again.
    write = write.replace(RULES_HOLD, f"NOT EXISTS (SELECT FROM rival) AND {RULES_HOLD}")
    return _CLAIM.format(look=look, write=write, otherwise=otherwise, noted=noted)


CLAIM = _claim(LOOK, INSERT)
CLAIM_OR_NOTHING = _claim(LOOK, INSERT, "ON CONFLICT DO NOTHING")
CLAIM_MOVE = _claim(LOOK_FOR_OTHERS, MOVE, noted=f", noted AS ({NOTED.format('claimed')})")

CANCEL = """
    UPDATE appointment SET status = 'cancelled'
     WHERE id = %(appointment_id)s AND status = 'confirmed'"""
