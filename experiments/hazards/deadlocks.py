"""How long PostgreSQL lets sessions wait before it looks for a deadlock."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sqlalchemy import exc, text

if TYPE_CHECKING:
    from sqlalchemy import Engine

    from experiments.server.postgres import Database

_SET = "SET LOCAL deadlock_timeout = {}"
_SHOW = text("SELECT setting::integer FROM pg_settings WHERE name = 'deadlock_timeout'")


def deadlock_engine(database: Database, wanted_ms: int, sessions: int) -> tuple[Engine, int]:
    """Make an engine whose sessions look for a deadlock soon, if we may say so.

    The setting is a superuser's; elsewhere the server's own value stays (one second, mostly).

    Args:
        database: Where to.
        wanted_ms: `deadlock_timeout` in milliseconds.
        sessions: How many there are at most.

    Returns:
        The engine, and the milliseconds that apply.
    """
    plain = database.engine(pool_size=sessions)
    with plain.connect() as connection:
        try:
            connection.execute(text(_SET.format(wanted_ms)))
        except exc.ProgrammingError:  # insufficient_privilege
            connection.rollback()
            return plain, int(connection.execute(_SHOW).scalar_one())
    options = f"-c deadlock_timeout={wanted_ms}ms"
    engine = database.engine(pool_size=sessions, connect_args={"options": options})
    return engine, wanted_ms
