"""The one PostgreSQL server of a process and its children, and databases on it.

`server()` finds the server: the one that BOOKING_DATABASE_URL names; else the one that a parent
process started and passed on through the environment; else an embedded one, started now, passed
on to children in its turn, and gone with this process. `fresh_database()` gives a notebook, a
test module or a worker a database of its own on it; `lent_database()` is for what can also be
given one.
"""

import contextlib
import dataclasses
import functools
import os
import threading
from collections.abc import Iterator
from typing import Any, Self

import sqlalchemy
from sqlalchemy.exc import ArgumentError

from experiments.server.connection import EXTERNAL, ServerError, connect
from experiments.server.database import Database, sweep
from experiments.server.embedded import EmbeddedServer, ServerSettings

__all__ = [
    "Database",
    "EmbeddedServer",
    "Server",
    "ServerError",
    "ServerSettings",
    "external_server",
    "fresh_database",
    "lent_database",
    "server",
]

PASSED_ON = "BOOKING_LAB_SERVER"
"""The environment variable with which a process passes its embedded server on to children."""

OLDEST_VERSION = 140000
"""The oldest server that will do: multiranges came with PostgreSQL 14."""


@dataclasses.dataclass(frozen=True)
class Server:
    """A server that was reached and will do.

    Attributes:
        url: Its maintenance database, the password included: never print it unmasked.
        version: Its version, as PostgreSQL's `server_version_num`: 150018 is 15.18.
        description: One line for a report's footer.
        prepared: A database on it that a fresh one may be a copy of; empty where there is none.
    """

    url: sqlalchemy.URL = dataclasses.field(repr=False)
    version: int
    description: str
    prepared: str = ""

    @classmethod
    def at(cls, url: sqlalchemy.URL, origin: str, prepared: str = "") -> Self:
        """Reach a server and see whether it will do.

        Args:
            url: Its maintenance database.
            origin: Where it came from, for the description.
            prepared: A database on it that a fresh one may be a copy of.

        Raises:
            ServerError: It can't be reached, or is too old.
        """
        with connect(url) as connection:
            version = connection.info.server_version
            # Distributions append what they are: 15.18 (Debian 15.18-0+deb12u1).
            number, *_ = str(connection.info.parameter_status("server_version")).split()
            if version < OLDEST_VERSION:
                raise ServerError(
                    f"The server is PostgreSQL {number}, and {OLDEST_VERSION // 10000} or newer"
                    " is needed"
                )
            ((*settings,),) = connection.execute(
                "SELECT 'fsync=' || current_setting('fsync'),"
                " 'synchronous_commit=' || current_setting('synchronous_commit'),"
                " 'max_connections=' || current_setting('max_connections')"
            )
        described = ", ".join([f"PostgreSQL {number}", origin, *settings])
        return cls(url, version, described, prepared)


def fresh_database(on: Server | EmbeddedServer | None = None) -> Database:
    """Create an empty database of one's own, dropped when the process ends at the latest.

    Args:
        on: The server to create it on; the one of this process otherwise.

    Raises:
        ServerError: There is no usable server, or it won't let us create databases.
    """
    on = on or server()
    return Database(on.url, on.version, on.prepared)


@contextlib.contextmanager
def lent_database(on: Server | EmbeddedServer | Database | None = None) -> Iterator[Database]:
    """Lend a database: the one that is given, or a fresh one on the server that is.

    Args:
        on: Which server, or an empty database, which stays; the process's own server if left out.

    Raises:
        ServerError: There is no usable server, or it won't let us create databases.
    """
    if isinstance(on, Database):
        yield on
        return
    with fresh_database(on) as database:
        yield database


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
        found = Server.at(passed_on, "embedded", EmbeddedServer.prepared)
    else:
        embedded = EmbeddedServer()
        os.environ[PASSED_ON] = embedded.url.render_as_string()
        found = Server.at(embedded.url, "embedded", embedded.prepared)
    sweep(found.url)
    return found


def _passed_on_url() -> sqlalchemy.URL | None:
    if PASSED_ON not in os.environ:
        return None
    url = sqlalchemy.make_url(os.environ[PASSED_ON])
    # The variable may have come too far: to a child that outlives its parent, to another user.
    return url if os.access(str(url.query["host"]), os.X_OK) else None


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
