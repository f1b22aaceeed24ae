"""One statement that is a transaction by itself, sent by the shortest way.

SQLAlchemy's Connection compiles, watches and wraps what it sends, which takes longer than
PostgreSQL takes to answer. A strategy that is one finished statement needs none of it: the
statement goes to the driver, on a connection of the same pool, prepared at its first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import psycopg
from psycopg.pq import TransactionStatus
from sqlalchemy import exc

from booking_core.errors import PoolTimeout
from booking_core.failures import explain

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import LiteralString

    from sqlalchemy import Engine


def run_alone(
    engine: Engine, sql: LiteralString, parameters: Mapping[str, object]
) -> tuple[Any, ...]:
    """Run one statement in autocommit and return its one row.

    Args:
        engine: Whose pool lends the connection.
        sql: With parameters as psycopg writes them, `%(name)s`.
        parameters: Their values.

    Raises:
        BookingError: In place of the errors that the pool and the driver would raise.
    """
    sent = False
    try:
        pooled = engine.raw_connection()
        connection: psycopg.Connection[tuple[Any, ...]] = pooled.driver_connection  # type: ignore[assignment]
        was_autocommit = connection.autocommit
        try:
            connection.autocommit = sent = True
            row = connection.execute(sql, parameters, prepare=True).fetchone()
        finally:
            # The pool's next user must find the connection as it was, or not at all.
            if connection.pgconn.transaction_status == TransactionStatus.IDLE:
                connection.autocommit = was_autocommit
            else:
                pooled.invalidate()
            pooled.close()
    except exc.TimeoutError:
        raise PoolTimeout("No database connection became free in time.") from None
    except psycopg.Error as error:
        explanation = explain(error, sent_commit=sent)
        if explanation is None:
            raise
        raise explanation from error
    assert row is not None
    return row
