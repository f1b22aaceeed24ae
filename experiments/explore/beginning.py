"""How every run begins: the tables' rows are stored once, and put back after each run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, LiteralString

from psycopg import sql

if TYPE_CHECKING:
    import psycopg

TRUNCATE_EVERY = 50
"""Runs after which the tables are truncated: deleted rows fill them, and plans could change."""


class Beginning:
    """The state in which every run begins, stored beside the tables and put back after each.

    Args:
        connection: To the database, in autocommit.
        root: The table to put back; those that refer to it are put back too.
        rows: A query for what is to be known of a run before the tables are put back.
    """

    def __init__(self, connection: psycopg.Connection, root: str, rows: LiteralString) -> None:
        self._connection = connection
        self._runs = 0
        names = [
            name
            for (name,) in connection.execute(
                """
                WITH RECURSIVE touched(oid) AS (
                    SELECT to_regclass(%s)::oid
                    UNION SELECT conrelid FROM pg_constraint, touched
                           WHERE contype = 'f' AND confrelid = touched.oid)
                SELECT relname FROM touched JOIN pg_class USING (oid) ORDER BY relname = %s
                """,
                [root, root],
            )
        ]
        tables = [sql.Identifier(name) for name in names]
        for (name,) in connection.execute(
            "SELECT relname FROM pg_class"
            " WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace"
        ).fetchall():
            # Nobody may clean up behind the runs' backs: page counts decide about plans.
            connection.execute(
                sql.SQL("ALTER TABLE {} SET (autovacuum_enabled = false)").format(
                    sql.Identifier(name)
                )
            )
        connection.execute("DROP SCHEMA IF EXISTS beginning CASCADE; CREATE SCHEMA beginning")
        for table in tables:
            connection.execute(
                sql.SQL("CREATE TABLE beginning.{} AS TABLE {}").format(table, table)
            )
        insert = [
            sql.SQL("INSERT INTO {} OVERRIDING SYSTEM VALUE SELECT * FROM beginning.{}").format(
                table, table
            )
            for table in reversed(tables)
        ]
        number = sql.SQL(
            "SELECT setval(pg_get_serial_sequence({}, 'id'), coalesce(max(id), 1), count(*) > 0)"
            " FROM {}"
        ).format(sql.Literal(root), sql.Identifier(root))
        delete = [sql.SQL("DELETE FROM {}").format(table) for table in tables]
        together = sql.SQL("; ")
        self._quickly = together.join([sql.SQL(rows), *delete, *insert, number])
        truncate = sql.SQL("TRUNCATE {} RESTART IDENTITY CASCADE").format(
            sql.SQL(", ").join(tables)
        )
        self._thoroughly = together.join([truncate, *insert, number])
        connection.execute(self._thoroughly)

    def put_back(self) -> list[tuple[Any, ...]]:
        """Return the rows as the run left them, and make them what they were before it."""
        rows = self._connection.execute(self._quickly).fetchall()
        self._runs += 1
        if self._runs % TRUNCATE_EVERY == 0:
            self._connection.execute(self._thoroughly)
        return rows
