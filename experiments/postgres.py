"""One PostgreSQL server for a process and its children, and a database for each that asks.

`server()` finds the server: the one that BOOKING_DATABASE_URL names; else the one that a parent
process started and passed on through the environment; else an embedded one, started now, passed
on to children in its turn, and gone with this process.

`fresh_database()` gives a notebook, a test module or a worker a database of its own. Advisory
locks are per database, so neighbours on one server can't meet. A database lives as long as one
connection to the maintenance database, which holds an advisory lock derived from its name. When
the process is killed, PostgreSQL ends that session and with it the lock, and the next process
to use the server drops every database of ours whose lock it can have. Since such locks are
seen only in the database in which they were taken, the name says which one that was.
"""

import atexit
import contextlib
import dataclasses
import functools
import os
import secrets
import threading
from pathlib import Path
from typing import Any, Self

import psycopg
import sqlalchemy
from psycopg import errors, sql
from sqlalchemy.exc import ArgumentError

from experiments.connection import EXTERNAL, ServerError, connect
from experiments.embedded import EmbeddedServer, ServerSettings

__all__ = [
    "Database",
    "EmbeddedServer",
    "Server",
    "ServerError",
    "ServerSettings",
    "external_server",
    "fresh_database",
    "server",
]

PASSED_ON = "BOOKING_LAB_SERVER"
"""The environment variable with which a process passes its embedded server on to children."""

OLDEST_VERSION = 140000
"""The oldest server that will do: multiranges came with PostgreSQL 14."""

PREFIX = "booking_lab_"
"""How the name of every fresh database begins."""

_LOCK = "SELECT pg_try_advisory_lock(hashtextextended(%s, 0))"


@dataclasses.dataclass(frozen=True)
class Server:
    """A server that was reached and will do.

    Attributes:
        url: Its maintenance database.
        version: Its version, as PostgreSQL's `server_version_num`: 150018 is 15.18.
        description: One line for a report's footer.
    """

    url: sqlalchemy.URL = dataclasses.field(repr=False)
    version: int
    description: str

    @classmethod
    def at(cls, url: sqlalchemy.URL, origin: str) -> Self:
        """Reach a server and see whether it will do.

        Args:
            url: Its maintenance database.
            origin: Where it came from, for the description.

        Raises:
            ServerError: It can't be reached, or is too old.
        """
        with connect(url) as connection:
            version = connection.info.server_version
            name = connection.info.parameter_status("server_version") or str(version)
            name = f"PostgreSQL {name.split()[0]}"
            if version < OLDEST_VERSION:
                raise ServerError(
                    f"The server is {name}, and {OLDEST_VERSION // 10000} or newer is needed"
                )
            settings = [
                f"{setting}={_value(connection, 'SELECT current_setting(%s)', setting)}"
                for setting in ("fsync", "synchronous_commit", "max_connections")
            ]
        return cls(url, version, ", ".join([name, origin, *settings]))


class Database:
    """An empty UTF-8 database of one's own with the extension btree_gist.

    A context manager that drops it; without `with` it lives until `drop` or the process's end.

    Attributes:
        url: Where it is, the password included: never print it unmasked.
        name: What it is called on the server.
        version: The server's version, as `server_version_num`.
    """

    def __init__(self, on: Server | EmbeddedServer) -> None:
        """Create the database.

        Args:
            on: The server to create it on.

        Raises:
            ServerError: The server can't be reached, lacks btree_gist, or we lack the right.
        """
        self.version = on.version
        self._owner = os.getpid()
        self._engines: list[sqlalchemy.Engine] = []
        # The one session whose end tells everybody that the database isn't needed any more.
        self._keeper = connect(on.url)
        space = _value(
            self._keeper, "SELECT oid FROM pg_database WHERE datname = current_database()"
        )
        self.name = f"{PREFIX}{space}_{secrets.token_hex(8)}"
        self.url = on.url.set(database=self.name)
        atexit.register(self.drop)
        try:
            self._create()
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

    def _create(self) -> None:
        # An administrator's idle_session_timeout must not take the lock from us.
        self._keeper.execute("SET idle_session_timeout = 0")
        self._keeper.execute(_LOCK, [self.name])  # before the database is there to be swept up
        try:
            # From template0: the same on every server, and nobody can be connected to it.
            self._keeper.execute(
                sql.SQL(
                    "CREATE DATABASE {} TEMPLATE template0"
                    " ENCODING 'UTF8' LC_COLLATE 'C' LC_CTYPE 'C'"
                ).format(sql.Identifier(self.name))
            )
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


def fresh_database(on: Server | EmbeddedServer | None = None) -> Database:
    """Create an empty database of one's own, dropped when the process ends at the latest.

    Args:
        on: The server to create it on; the one of this process otherwise.

    Raises:
        ServerError: There is no usable server, or it won't let us create databases.
    """
    return Database(on or server())


def server() -> Server:
    """Return the one server of this process, found or started at the first call.

    Raises:
        ServerError: There is none, and none can be started.
    """
    with _finding:
        return _find_server()


_finding = threading.Lock()


@functools.cache
def _find_server() -> Server:
    if address := os.environ.get(EXTERNAL):
        found = external_server(address)
    elif passed_on := _passed_on_url():
        found = Server.at(passed_on, "embedded")
    else:
        embedded = EmbeddedServer()
        os.environ[PASSED_ON] = embedded.url.render_as_string()
        return Server.at(embedded.url, "embedded")
    _sweep(found.url)
    return found


def external_server(address: str) -> Server:
    """Reach the server that a user names.

    Args:
        address: As BOOKING_DATABASE_URL holds it: `postgresql://user:password@host:port/database`.
            The database only serves to make others from; `postgres` where none is given.

    Raises:
        ServerError: The address is malformed (which is said without quoting any of it), or the
            server can't be reached, or is too old.
    """
    login, _, _ = address.partition("://")[2].rpartition("@")
    if set(login) & set("@/?#"):  # or a part of the password would pass for the host, and be shown
        raise ServerError(
            f"{EXTERNAL}: an @, /, ? or # in the user's name or password is written %40, %2F,"
            " %3F or %23"
        )
    try:
        url = sqlalchemy.make_url(address)
    except (ArgumentError, ValueError):
        raise ServerError(
            f"{EXTERNAL} is no URL of the form postgresql://user:password@host:port/database"
        ) from None
    if url.drivername not in ("postgresql", "postgres", "postgresql+psycopg"):
        raise ServerError(f"{EXTERNAL} must begin with postgresql://")
    # What stands in the query would win over the URL's other parts, and be shown.
    query: dict[str, Any] = dict(url.query)
    url = url.set(
        drivername="postgresql+psycopg",
        username=query.pop("user", url.username),
        password=query.pop("password", url.password),
        database=query.pop("dbname", url.database) or "postgres",
    )
    return Server.at(url.set(query=query), f"named by {EXTERNAL}")


def _passed_on_url() -> sqlalchemy.URL | None:
    if PASSED_ON not in os.environ:
        return None
    url = sqlalchemy.make_url(os.environ[PASSED_ON])
    # The variable outlives the server where a child outlives its parent.
    return url if Path(str(url.query["host"])).exists() else None


def _sweep(url: sqlalchemy.URL) -> None:
    """Drop the databases of processes that were killed."""
    with connect(url) as connection:
        stale = connection.execute(
            "SELECT pg_database.datname FROM pg_database, pg_database AS here"
            " WHERE here.datname = current_database()"
            " AND starts_with(pg_database.datname, %s || here.oid || '_')"
            " AND pg_has_role(pg_database.datdba, 'USAGE')",
            [PREFIX],
        )
        for (name,) in stale.fetchall():
            # Where it can't be dropped, that is no reason not to use the server.
            if _value(connection, _LOCK, name):
                with contextlib.suppress(psycopg.Error):
                    _drop(connection, name)


def _drop(connection: psycopg.Connection, name: str) -> None:
    connection.execute(
        sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(sql.Identifier(name))
    )


def _value(connection: psycopg.Connection, query: str, *parameters: object) -> Any:  # noqa: ANN401 - any column
    row = connection.execute(query, parameters).fetchone()
    assert row
    return row[0]
