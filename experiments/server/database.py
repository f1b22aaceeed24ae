"""A database of one's own on somebody's server, gone with the process that made it.

Advisory locks are per database, so neighbours on one server can't meet. A database lives as long
as one session in the server's maintenance database, its keeper, which holds an advisory lock
derived from the database's name. When the process is killed, PostgreSQL ends that session and
with it the lock; whoever sweeps then drops every database of ours whose lock can be had. Such
locks are seen only in the database in which they were taken, so the name says which one that was.
"""

import atexit
import contextlib
import os
import secrets
from typing import Any, Self

import psycopg
import sqlalchemy
from psycopg import errors, sql

from experiments.server.connection import EXTERNAL, ServerError, connect

PREFIX = "booking_lab_"
"""How the name of every database of ours begins; the maintenance database's oid follows."""


class Database:
    """An empty UTF-8 database of one's own with the extension btree_gist.

    A context manager that drops it; without `with` it lives until `drop` or the process's end.

    Attributes:
        url: Where it is, the password included: never print it unmasked.
        name: What it is called on the server.
        version: The server's version, as `server_version_num`: 180006 is 18.6.
    """

    def __init__(self, maintenance: sqlalchemy.URL, version: int, prepared: str = "") -> None:
        """Create the database.

        Args:
            maintenance: The database from which to create it, and where its lock is taken.
            version: The server's version.
            prepared: A database that is all that this one is to be, to copy; where there is none,
                it is made from the server's `template0`, which takes a third longer.

        Raises:
            ServerError: The server can't be reached, lacks btree_gist, or we lack the right.
        """
        self.version = version
        self._owner = os.getpid()
        self._engines: list[sqlalchemy.Engine] = []
        self._keeper = connect(maintenance)
        # An administrator's idle_session_timeout must not take the lock from us.
        self._keeper.execute("SET idle_session_timeout = 0")
        self.name = f"{_prefix(self._keeper)}{secrets.token_hex(8)}"
        self.url = maintenance.set(database=self.name)
        atexit.register(self.drop)
        try:
            self._create(prepared)
        except BaseException:
            self.drop()
            raise

    def __enter__(self) -> Self:
        """Return the database, which exists already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Drop the database."""
        self.drop()

    def __repr__(self) -> str:
        """Name the database, without the way to it."""
        return f"Database({self.name!r})"

    def engine(self, **options: Any) -> sqlalchemy.Engine:  # noqa: ANN401 - as create_engine's
        """Make an engine for this database, disposed of when the database is dropped.

        Args:
            **options: Options of `sqlalchemy.create_engine`.

        Returns:
            The engine, not yet connected.
        """
        engine = sqlalchemy.create_engine(self.url, **options)
        self._engines.append(engine)
        return engine

    def drop(self) -> None:
        """Drop the database, whoever is still connected. A second call does nothing."""
        if os.getpid() != self._owner or self._keeper.closed:
            return  # a forked child inherits this object, but not the database
        atexit.unregister(self.drop)
        for engine in self._engines:
            engine.dispose()
        # Where the server is gone or has cut us off, the next process sweeps up.
        with contextlib.suppress(psycopg.OperationalError):
            _drop(self._keeper, self.name)
        self._keeper.close()

    def clear(self) -> Self:
        """Make the database empty again, which is faster than to create another.

        Its engines' idle connections are closed; nobody else may be in the middle of something.
        """
        for engine in self._engines:
            engine.dispose()
        with connect(self.url) as connection:
            schemas = _values(connection, _SCHEMAS)
            dropped = [f"DROP SCHEMA {schema} CASCADE" for schema in schemas]
            public = ["CREATE SCHEMA public", "GRANT USAGE ON SCHEMA public TO PUBLIC"]
            extension = "CREATE EXTENSION btree_gist"
            if _values(connection, _EXTENSION):
                # To drop its two hundred objects and make them again takes twice as long.
                extension = "ALTER EXTENSION btree_gist SET SCHEMA"
                dropped = [f"CREATE SCHEMA {_ASIDE}", f"{extension} {_ASIDE}", *dropped]
                extension = f"{extension} public; DROP SCHEMA {_ASIDE}"
            connection.execute("; ".join([*dropped, *public, extension]).encode())
        return self

    def _create(self, prepared: str) -> None:
        _values(self._keeper, _LOCK, self.name)  # before the database is there to be swept up
        try:
            # From template0: the same on every server, and nobody can be connected to it.
            self._keeper.execute(
                sql.SQL(
                    "CREATE DATABASE {} TEMPLATE {} ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
                ).format(sql.Identifier(self.name), sql.Identifier(prepared or "template0"))
            )
            if not prepared:
                with connect(self.url) as connection:
                    connection.execute("CREATE EXTENSION btree_gist")
        except errors.InsufficientPrivilege as error:
            raise ServerError(
                f"The user of {EXTERNAL} may not create databases; grant it with"
                " ALTER ROLE ... CREATEDB"
            ) from error
        except (errors.FeatureNotSupported, errors.UndefinedFile) as error:
            raise ServerError(
                "The server lacks the extension btree_gist; install PostgreSQL's contrib modules"
                " (Debian: postgresql-contrib)"
            ) from error
        except psycopg.Error as error:
            raise ServerError(
                f"The server can't make a database: {error.diag.message_primary or error}"
            ) from error


def sweep(maintenance: sqlalchemy.URL) -> None:
    """Drop the databases that killed processes left behind, and nobody else's.

    Args:
        maintenance: The database in which their locks were taken.

    Raises:
        ServerError: The server can't be reached.
    """
    with connect(maintenance) as connection:
        for name in _values(connection, _OURS, _prefix(connection)):
            if _values(connection, _LOCK, name) == [True]:
                # Where it can't be dropped, that is no reason not to use the server.
                with contextlib.suppress(psycopg.Error):
                    _drop(connection, name)


_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"

_HERE = "SELECT oid FROM pg_database WHERE datname = current_database()"

_SCHEMAS = """
SELECT oid::regnamespace::text FROM pg_namespace
WHERE NOT starts_with(nspname, 'pg_') AND nspname <> 'information_schema'
"""

_EXTENSION = "SELECT 1 FROM pg_extension WHERE extname = 'btree_gist'"

_ASIDE = "kept_meanwhile"

_OURS = """
SELECT datname FROM pg_database
WHERE starts_with(datname, %s) AND pg_has_role(datdba, 'USAGE')
"""


def _prefix(maintenance: psycopg.Connection) -> str:
    (oid,) = _values(maintenance, _HERE)
    return f"{PREFIX}{oid}_"


def _drop(connection: psycopg.Connection, name: str) -> None:
    connection.execute(
        sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    )


def _values(connection: psycopg.Connection, query: str, *parameters: object) -> list[Any]:
    return [value for (value,) in connection.execute(query.encode(), parameters)]
