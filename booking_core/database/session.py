"""A session of PostgreSQL's, borrowed from the pool for one transaction.

Its statements leave in a pipeline (`wire`), the first of them together with BEGIN.
"""

from collections.abc import Mapping
from contextlib import suppress
from typing import Any, Literal, Self

import psycopg
from sqlalchemy import Connection, Engine, exc

from booking_core.database.failures import explain
from booking_core.database.wire import NOTHING, Rows, Wire

Isolation = Literal["AUTOCOMMIT", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


class Session:
    """One transaction, committed at the end of the `with` block.

    Args:
        engine: Whose pool lends the connection.
        isolation: The isolation level; with AUTOCOMMIT each statement is a transaction by itself.
        reads_only: Whether nothing is written, so that nothing can be in doubt.

    Raises:
        BookingError: In place of the errors that the pool, SQLAlchemy and the driver would raise,
            from the `with` statement.
    """

    def __init__(self, engine: Engine, isolation: Isolation, *, reads_only: bool = False) -> None:
        self._engine, self._isolation, self._reads_only = engine, isolation, reads_only
        self._autocommit = isolation == "AUTOCOMMIT"
        self._ended = False
        self._sent_commit = False  # by SQLAlchemy's connection
        self._connection: Connection | None = None

    def __enter__(self) -> Self:
        try:
            self._pooled = self._engine.raw_connection()
        except (psycopg.Error, exc.SQLAlchemyError) as error:
            raise explain(error, sent_commit=False) or error from error
        driver: psycopg.Connection[Any] = self._pooled.driver_connection  # type: ignore[assignment]
        self._wire = Wire(driver, self._pooled.info, autocommit=self._autocommit)
        if not self._autocommit:
            self._wire.add(f"BEGIN ISOLATION LEVEL {self._isolation}")
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        try:
            if error is None:
                self._wire.flush(commit=not self._autocommit and not self._ended)
        except (psycopg.Error, exc.DBAPIError) as refused:
            error = refused
        finally:
            self._give_back()
        sent_commit = self._sent_commit or self._wire.sent_commit
        if explanation := explain(error, sent_commit=sent_commit and not self._reads_only):
            raise explanation from error
        if error and kind is None:
            raise error  # COMMIT's own, and a fault of ours

    @property
    def connection(self) -> Connection:
        """The same session, for whoever wants SQLAlchemy; to commit is not up to them."""
        self._check_open()
        self._wire.flush()
        if self._connection is None:
            self._connection = Connection(self._engine, self._pooled)
            self._sent_commit = self._autocommit  # there every statement is a COMMIT
            if self._autocommit:
                self._connection.execution_options(isolation_level=self._isolation)
        return self._connection

    def send(self, sql: str, parameters: Mapping[str, object] = NOTHING) -> None:
        """Send a statement whose answer tells nothing; it travels with the next one.

        In AUTOCOMMIT it is sent at once, a transaction by itself.
        """
        self._check_open()
        self._wire.add(sql, parameters)
        if self._autocommit:  # or what is sent together would be one transaction
            self._wire.flush()

    def run(
        self, sql: str, parameters: Mapping[str, object] = NOTHING, *, last: bool = False
    ) -> Rows:
        """Send a statement and return its rows.

        Args:
            sql: One that returns rows, with parameters as psycopg writes them, `%(name)s`.
            parameters: Their values.
            last: Whether nothing comes after it, so that COMMIT may travel along.
        """
        self._check_open()
        self._wire.add(sql, parameters)
        self._ended = last and not self._autocommit
        return self._wire.flush(commit=self._ended)

    def _check_open(self) -> None:
        if self._ended:
            raise RuntimeError("It was committed with its last statement; leave out last=True.")

    def _give_back(self) -> None:
        # The pool's next user must find the connection as it was, or not at all.
        lent = self._connection or self._pooled
        try:
            with suppress(psycopg.Error):
                self._wire.roll_back()
        finally:
            if not self._wire.idle:
                lent.invalidate()
            lent.close()
