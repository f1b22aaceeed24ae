"""How the lab itself, not a client under test, reaches a server; and what it says if it can't."""

import psycopg
import sqlalchemy

EXTERNAL = "BOOKING_DATABASE_URL"
"""The environment variable with which a user names a server of their own."""

CONNECT_SECONDS = 10
"""How long a server may take to answer before it counts as unreachable."""


class ServerError(Exception):
    """There is no usable server. The message is one sentence for the user, without secrets."""


def backend_pid(connection: sqlalchemy.Connection) -> int:
    """Return the number of the server process that serves a connection.

    It is asked of the server, since a pooler in between tells its clients other numbers.
    """
    return int(connection.execute(sqlalchemy.text("SELECT pg_backend_pid()")).scalar_one())


def connect(url: sqlalchemy.URL) -> psycopg.Connection:
    """Open a session in which every statement is a transaction of its own.

    Args:
        url: A database. A `connect_timeout` in it is respected, in seconds.

    Returns:
        The session: a context manager that closes itself.

    Raises:
        ServerError: The server can't be reached, or doesn't let us in.
    """
    _, options = url.get_dialect()().create_connect_args(url)
    options.setdefault("connect_timeout", CONNECT_SECONDS)
    try:
        return psycopg.connect(autocommit=True, **options)
    except psycopg.Error as error:
        reason = str(error).partition("\n")[0]
        raise ServerError(f"The PostgreSQL server can't be reached: {reason}") from None
