"""Gates: where a statement can be held back after it has looked, and before it writes.

A statement looks with the snapshot that it took at its beginning, and writes later; what a rival
commits in between, it does not see. As one step it would never be caught at that. So every table
gets a trigger that fires before each row is written, and there waits for an advisory lock, which
the explorer has (`experiments.steer.blockers`) until the rest of the statement, a step of its own,
is let through. A statement is held back before the first row that it writes; in a function, and
where triggers look, before every row.

Nothing else changes by it. The trigger fires last of those before a row, so that what the user's
own see and do comes before it, and takes neither a snapshot nor a lock but for its own. Plans are
the same. A statement's timeout goes on while it is held back, as in any other wait here; a lock's
timeout does not.

What stays closed:

- Between the snapshot and the look. What an UPDATE or DELETE finds is locked before triggers fire:
  between the look at a row and its lock nobody gets in, and need not, since whoever has to wait
  for the lock looks again.
- Between the row and its entry in an index, and between that and the check of a constraint;
  between the row and what is done after it: foreign keys, cascades, triggers that fire afterwards,
  and, in autocommit, the commit.
- Between a function's reads, unless it writes in between; and a statement that looks and then only
  locks, or writes nothing.
- Between the rows of one statement.
- An UPDATE or DELETE that looks at no rows but those it changes is one step: rows that come to meet
  its condition after its snapshot are not brought about.
- An UPDATE that sets a key to what it was locks the row as if it changed it.
- COPY, and tables that are made while it runs.

Manual: 37.1 Overview of Trigger Behavior; 13.3.5 Advisory Locks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.errors import InsufficientPrivilege

from experiments.steer.blockers import DOOR, SECOND_DOOR

if TYPE_CHECKING:
    import psycopg

# Not the schema `beginning`, which is dropped whenever runs are to begin in another way.
SCHEMA = "lab_gates"
# The name comes last in alphabetical order, in which triggers fire.
NAME = "~gate"

# STABLE: it takes no snapshot of its own then, and what it does is no command of its own.
_FUNCTION = f"""
    CREATE FUNCTION {SCHEMA}.gate() RETURNS trigger LANGUAGE plpgsql STABLE SET lock_timeout = 0
    AS $$
    BEGIN
        PERFORM pg_catalog.pg_advisory_lock_shared({DOOR}, pg_catalog.pg_backend_pid()),
                pg_catalog.pg_advisory_unlock_shared({DOOR}, pg_catalog.pg_backend_pid()),
                pg_catalog.pg_advisory_lock_shared({SECOND_DOOR}, pg_catalog.pg_backend_pid()),
                pg_catalog.pg_advisory_unlock_shared({SECOND_DOOR}, pg_catalog.pg_backend_pid());
        IF TG_OP = 'DELETE' THEN
            RETURN OLD;
        END IF;
        RETURN NEW;
    END $$
"""
# ruff: noqa: S608 - the name is ours
# A partition gets the trigger of what it is a part of.
_TRIGGERS = f"""
    SELECT format('CREATE TRIGGER %%I BEFORE INSERT OR UPDATE OR DELETE ON %%s
                   FOR EACH ROW EXECUTE FUNCTION {SCHEMA}.gate()', %s::text, oid::regclass)
      FROM pg_class
     WHERE relkind IN ('r', 'p') AND NOT relispartition AND relpersistence <> 't'
       AND relnamespace::regnamespace::text NOT IN
           ('pg_catalog', 'information_schema', 'pg_toast', 'beginning')
"""


def remove(connection: psycopg.Connection) -> None:
    """Remove the gates that an earlier exploration has left."""
    connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE".encode())


def build(connection: psycopg.Connection) -> bool:
    """Put a gate before every table; say whether we may.

    Args:
        connection: To the database, in autocommit, without gates.
    """
    try:
        with connection.transaction():
            connection.execute(f"CREATE SCHEMA {SCHEMA}".encode())
            connection.execute(_FUNCTION.encode())
            for (statement,) in connection.execute(_TRIGGERS, [NAME]).fetchall():
                connection.execute(str(statement).encode())
    except InsufficientPrivilege:
        return False
    return True
