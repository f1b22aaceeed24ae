"""How every run begins: all that is stored, and put back after each run as it was.

The tables that a run has written are emptied and filled again. `session_replication_role` keeps
foreign keys and triggers out of it, so that no order of tables is needed and nothing is noted by
anybody; where we may not set it, all tables are truncated in one statement, their triggers switched
off, and their foreign keys checked at the end. Sequences go on where they began, so that ids are
the same in every run, and materialised views are refreshed. Large objects stay as they are.

What each way costs was measured beforehand, with 10 tables of 10 rows: 1.25 ms for the two that
were written, 4.8 ms for all, 47 ms with foreign keys checked, 500 ms with a database made anew.

Runs of another scene begin in another way: `start_over` makes everything what it was at first, and
whatever is then written is kept by `keep`, to be put back from then on.

Manual: 20.11.1 `session_replication_role`; 5.5 Constraints.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import psycopg
from psycopg import sql

if TYPE_CHECKING:
    from collections.abc import Collection

EVERYTHING = frozenset({"*"})
"""Stands for the names of all tables."""
TRUNCATE_EVERY = 100
"""Runs after which the tables are truncated: deleted rows fill them, and plans could change."""

_TABLES = """
    WITH RECURSIVE ancestry AS (
        SELECT oid, oid AS ancestor FROM pg_class
         WHERE relkind = 'r' AND relpersistence <> 't'
           AND relnamespace::regnamespace::text NOT IN
               ('pg_catalog', 'information_schema', 'pg_toast', 'beginning')
         UNION SELECT ancestry.oid, inhparent FROM ancestry JOIN pg_inherits ON inhrelid = ancestor)
    SELECT t.oid, format('%s.%I', t.relnamespace::regnamespace, t.relname),
           array(SELECT lower(relname) FROM ancestry JOIN pg_class AS c ON c.oid = ancestor
                  WHERE ancestry.oid = t.oid),
           array(SELECT attname::text FROM pg_attribute WHERE attrelid = t.oid AND attnum > 0
                    AND NOT attisdropped AND attgenerated = '' ORDER BY attnum)
      FROM pg_class AS t WHERE t.oid IN (SELECT oid FROM ancestry) ORDER BY t.oid
"""
_SEQUENCES = """
    SELECT format('%s.%I', relnamespace::regnamespace, relname) FROM pg_class
     WHERE relkind = 'S' AND relpersistence <> 't'
       AND relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')
"""
_VIEWS = """
    SELECT format('%s.%I', relnamespace::regnamespace, relname) FROM pg_class WHERE relkind = 'm'
"""
_DEFER = """
    SELECT format('ALTER TABLE %s ALTER CONSTRAINT %I DEFERRABLE INITIALLY IMMEDIATE',
                  conrelid::regclass, conname)
      FROM pg_constraint WHERE contype = 'f' AND NOT condeferrable AND conparentid = 0
"""
_TRIGGERS = """
    SELECT DISTINCT tgrelid::regclass::text FROM pg_trigger
     WHERE NOT tgisinternal AND tgenabled <> 'D' AND tgparentid = 0
"""


_FIRST, _NOW = "first", "now"


class _Table(NamedTuple):
    name: str  # as SQL writes it
    known_as: frozenset[str]  # its own name and those of the tables that it is a part of
    columns: str
    oid: int

    def copy(self, version: str) -> str:
        """Where its rows are kept."""
        return f"beginning.{version}_{self.oid}"

    def fill(self, version: str) -> str:
        """The statement that fills it."""
        if not self.columns:
            return ""
        return (
            f"INSERT INTO {self.name} ({self.columns}) OVERRIDING SYSTEM VALUE"  # noqa: S608 - ours
            f" SELECT {self.columns} FROM {self.copy(version)}"
        )


class Beginning:
    """The state in which every run begins, stored beside the tables.

    Args:
        connection: To the database, in autocommit, once everything is as it is to begin.

    Attributes:
        by_force: Whether foreign keys and triggers can be kept out of it.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self._runs = 0
        self._kept, self._version = False, _FIRST
        self._run("DROP SCHEMA IF EXISTS beginning CASCADE; CREATE SCHEMA beginning")
        self._tables = [self._stored(*row) for row in self._rows(_TABLES)]
        self._names = [name for (name,) in self._rows(_SEQUENCES)]
        self._sequences = self._first_sequences = self._numbers()
        self._views = [f"REFRESH MATERIALIZED VIEW {name}" for (name,) in self._rows(_VIEWS)]
        try:
            self._run("SET session_replication_role = replica")
            self.by_force = True
        except psycopg.errors.InsufficientPrivilege:
            self.by_force = False
            for (statement,) in self._rows(_DEFER):
                self._run(statement)
        self._run(self._thoroughly())

    @property
    def tables(self) -> list[str]:
        """The tables that are put back, as SQL writes them."""
        return [table.name for table in self._tables]

    def among(self, written: Collection[str]) -> list[str]:
        """The tables that go by some names, as SQL writes them."""
        return [table.name for table in self._touched(written)]

    def _touched(self, written: Collection[str]) -> list[_Table]:
        everything = written == EVERYTHING
        return [
            table for table in self._tables if everything or not table.known_as.isdisjoint(written)
        ]

    def put_back(self, written: Collection[str], look: str = "") -> list[tuple[Any, ...]]:
        """Make everything what it was before a run.

        Args:
            written: The tables that it may have written, by their names in lower case and without
                their schemas; `EVERYTHING` where that isn't known.
            look: A query for what is to be known of the run before that.

        Returns:
            The query's rows.
        """
        touched = self._touched(written)
        self._runs += 1
        statements = [look] if look else []
        if touched and (not self.by_force or self._runs % TRUNCATE_EVERY == 0):
            statements.append(self._thoroughly())
        else:
            for table in touched:
                statements += [f"DELETE FROM ONLY {table.name}", table.fill(self._version)]  # noqa: S608 - ours
            statements += [*(self._views if touched else []), self._sequences]
        cursor = self._connection.execute("; ".join(filter(None, statements)).encode())
        return cursor.fetchall() if look else []

    def start_over(self) -> None:
        """Make everything what it was at first, and have runs begin so."""
        self._version, self._sequences = _FIRST, self._first_sequences
        self.put_back(EVERYTHING)

    def keep(self) -> None:
        """Have runs begin from now on as everything is at this moment."""
        statements = []
        for table in self._tables:
            now, rows = table.copy(_NOW), f"SELECT {table.columns} FROM ONLY {table.name}"  # noqa: S608 - ours
            if self._kept:
                statements += [f"DELETE FROM {now}", f"INSERT INTO {now} {rows}"]  # noqa: S608 - ours
            else:
                statements.append(f"CREATE TABLE {now} AS {rows}")
        self._run("; ".join(statements))
        self._kept, self._version, self._sequences = True, _NOW, self._numbers()

    def _stored(self, oid: int, name: str, known_as: list[str], columns: list[str]) -> _Table:
        # Nobody may clean up behind the runs' backs: page counts decide about plans.
        self._run(f"ALTER TABLE {name} SET (autovacuum_enabled = false)")
        listed = ", ".join(sql.Identifier(column).as_string() for column in columns)
        table = _Table(name, frozenset(known_as), listed, oid)
        self._run(f"CREATE TABLE {table.copy(_FIRST)} AS SELECT {listed} FROM ONLY {name}")  # noqa: S608 - ours
        return table

    def _numbers(self) -> str:
        """The statement that puts all sequences back."""
        looks = [
            f"SELECT format('setval(%L, %s, %L)', {sql.Literal(name).as_string()}, last_value,"  # noqa: S608 - ours
            f" is_called) FROM {name}"
            for name in self._names
        ]
        calls = [str(call) for (call,) in self._rows(" UNION ALL ".join(looks))] if looks else []
        return f"SELECT {', '.join(calls)}" if calls else ""

    def _thoroughly(self) -> str:
        """The statements that empty and fill all tables."""
        if not self._tables:
            return ""
        fill = [table.fill(self._version) for table in self._tables]
        empty = f"TRUNCATE {', '.join(table.name for table in self._tables)}"
        rest = [*self._views, self._sequences]
        if self.by_force:
            return "; ".join(filter(None, [empty, *fill, *rest]))
        with_triggers = [name for (name,) in self._rows(_TRIGGERS)]
        off, on = (
            [f"ALTER TABLE {name} {way} TRIGGER USER" for name in with_triggers]
            for way in ("DISABLE", "ENABLE")
        )
        steps = ["BEGIN", "SET CONSTRAINTS ALL DEFERRED", *off, empty, *fill]
        steps += ["SET CONSTRAINTS ALL IMMEDIATE", *on, *rest, "COMMIT"]
        return "; ".join(filter(None, steps))

    def _run(self, statements: str) -> None:
        self._connection.execute(statements.encode())

    def _rows(self, query: str) -> list[tuple[Any, ...]]:
        return self._connection.execute(query.encode()).fetchall()
