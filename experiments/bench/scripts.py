"""What pgbench runs.

The statements of our strategies are the very texts that the service sends; the origin's and the
bare insert's stand here. A random place of a random staff member is
chosen by pgbench, and its times are handed over as seconds since 1970.
"""

from __future__ import annotations

import re

from booking_core.database.wire import COMMIT
from booking_core.strategies import statements
from booking_core.strategies.advisory import LOCK
from booking_core.strategies.function import CLAIM
from experiments.bench.workloads import FIRST, STEP
from experiments.scenes.places import DURATION
from experiments.scenes.salon import VERSION

# `members` and `places` are variables.
PICK = rf"""
\set staff random(1, :members)
\set place random(0, :places - 1)
\set starts {FIRST.timestamp():.0f} + :place * {STEP.total_seconds():.0f}
\set ends :starts + {DURATION.total_seconds():.0f}
\set free :starts + {STEP.total_seconds():.0f}
"""
_DURING = "tstzrange(to_timestamp(:starts), to_timestamp(:ends))"
_BLOCKED = "tstzrange(to_timestamp(:starts), to_timestamp(:free))"
_DIGEST = f"'{'0' * 64}'"
EXPRESSIONS = {
    "staff_id": ":staff",
    "staff_ids": "ARRAY[:staff]",
    "service_id": "1",
    "client": "'Somebody'",
    "client_id": "NULL",
    "starts": "to_timestamp(:starts)",
    "ends": "to_timestamp(:ends)",
    "blocked_from": "to_timestamp(:starts)",
    "blocked_until": "to_timestamp(:free)",
    "key": "NULL",
    "key_scope": "''",
    "digest": _DIGEST,
    "moved_id": "NULL",
    "moved_from": "NULL",
    "moved_start": "NULL",
    "rules_version": f"{VERSION}",
}
"""What stands in a script for a parameter of ours."""


def written(statement: str) -> str:
    """Write a statement as the service sends it, with pgbench's variables as its parameters."""
    return re.sub(r"%\((\w+)\)s", lambda found: EXPRESSIONS[found[1]], statement).strip()


_BARE = f"""INSERT INTO appointment (staff_id, service_id, client, during, blocked, request_digest)
VALUES (:staff, 1, 'Somebody', {_DURING}, {_BLOCKED}, {_DIGEST})"""  # noqa: S608 - our own

# The key names the staff member and the hour in which the slot starts. \aset leaves a variable as
# it was where no row came.
STATEMENTS = rf"""{PICK}
\set key :staff * 1000000 + :starts / 3600
\set id 0
BEGIN ISOLATION LEVEL SERIALIZABLE;
SELECT pg_advisory_xact_lock(hashtextextended(:key, 0));
SELECT id FROM appointment
 WHERE staff_id = :staff AND status = 'confirmed' AND blocked && {_BLOCKED} LIMIT 1
\aset
\if :id = 0
{_BARE} RETURNING id;
\endif
COMMIT;
"""  # noqa: S608 - our own
ADVISORY = f"""{PICK}
BEGIN ISOLATION LEVEL READ COMMITTED;
{written(LOCK)};
{written(statements.CLAIM)};
{COMMIT};
"""
FUNCTION = f"{PICK}{written(CLAIM)};\n"
BARE_INSERT = f"{PICK}{_BARE};\n"
# A slot that happens to be taken must not end the run.
BARE_INSERT_CONSTRAINED = f"{PICK}{_BARE} ON CONFLICT DO NOTHING;\n"
