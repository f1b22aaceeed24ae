"""The statements that strategies share.

They are written out in full, with the names of `Request.parameters` as psycopg writes them, and
go to the driver as they are: to compile them anew for each booking would take longer than
PostgreSQL takes to answer.

`'confirmed'` is a literal in all of them: a parameter would hide the indexes' WHERE clause from a
prepared statement's plan. All of them carry a condition, that the rules are still those under which
the request was checked: by old ones nothing is stored, and nobody is told of a rival.
"""

# ruff: noqa: S608 - what is put together here is ours; values are parameters

OVERLAPPING = """
    SELECT id FROM appointment
     WHERE staff_id = %(staff_id)s::integer AND status = 'confirmed'
       AND blocked && tstzrange(%(blocked_from)s, %(blocked_until)s)
       AND (SELECT version FROM rulebook) = %(rules_version)s"""
OTHERS_OVERLAPPING = f"{OVERLAPPING} AND id <> %(moved_id)s"

COLUMNS = "staff_id, service_id, client, during, blocked, idempotency_key, request_digest"
VALUES = """%(staff_id)s, %(service_id)s, %(client)s, tstzrange(%(starts)s, %(ends)s),
           tstzrange(%(blocked_from)s, %(blocked_until)s), %(key)s, %(digest)s"""
INSERT = f"""
    INSERT INTO appointment ({COLUMNS})
    SELECT {VALUES}
     WHERE (SELECT version FROM rulebook) = %(rules_version)s"""
MOVE = """
    UPDATE appointment
       SET staff_id = %(staff_id)s, during = tstzrange(%(starts)s, %(ends)s),
           blocked = tstzrange(%(blocked_from)s, %(blocked_until)s)
     WHERE id = %(moved_id)s AND status = 'confirmed'
       AND (SELECT version FROM rulebook) = %(rules_version)s"""

LOOK = f"{OVERLAPPING} LIMIT 1"
LOOK_FOR_OTHERS = f"{OTHERS_OVERLAPPING} LIMIT 1"
RECORD = f"{INSERT} RETURNING id"
RECORD_OR_NOTHING = f"{INSERT} ON CONFLICT DO NOTHING RETURNING id"
RECORD_MOVE = f"{MOVE} RETURNING id"

# Check and write in one: they return the appointment's id and its rival's, one of them null, or
# both where the rules have changed or nothing is left to move. Check and write share a snapshot,
# so a rival who commits later than that must be kept out by a lock, or by a constraint.
_CLAIM = """
    WITH rival AS ({look}),
    claimed AS ({write} AND NOT EXISTS (SELECT FROM rival) {otherwise} RETURNING id)
    SELECT (SELECT id FROM claimed), (SELECT id FROM rival)"""
CLAIM = _CLAIM.format(look=LOOK, write=INSERT, otherwise="")
CLAIM_OR_NOTHING = _CLAIM.format(look=LOOK, write=INSERT, otherwise="ON CONFLICT DO NOTHING")
CLAIM_MOVE = _CLAIM.format(look=LOOK_FOR_OTHERS, write=MOVE, otherwise="")

CANCEL = """
    UPDATE appointment SET status = 'cancelled'
     WHERE id = %(appointment_id)s AND status = 'confirmed'"""
