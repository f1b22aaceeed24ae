"""A session of PostgreSQL's, borrowed from the pool for one transaction.

Its statements go straight to libpq (`wire`), the first of them together with BEGIN. Where the
connection makes cursors of somebody's own, these are there to see what is sent, for tracing, say,
or to hold it back: then each statement goes through SQLAlchemy and such a cursor, by itself.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Self

import psycopg
from sqlalchemy import Connection, exc

from booking_core.errors import PoolTimeout
from booking_core.failures import explain
from booking_core.wire import COMMIT, NOTHING, ROLLBACK, Wire

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from types import TracebackType

    from sqlalchemy import CursorResult, Engine, PoolProxiedConnection

    from booking_core.strategies.base import Isolation
    from booking_core.wire import Rows


BEGIN: Mapping[Isolation, str] = {
    "READ COMMITTED": "BEGIN ISOLATION LEVEL READ COMMITTED",
    "REPEATABLE READ": "BEGIN ISOLATION LEVEL REPEATABLE READ",
    "SERIALIZABLE": "BEGIN ISOLATION LEVEL SERIALIZABLE",
}


class Session:
    """One transaction, committed at the end of the `with` block.

    Args:
        engine: Whose pool lends the connection.
        isolation: The isolation level; with AUTOCOMMIT each statement is a transaction, together
            with those that were sent ahead of it.
        reads_only: Whether nothing is written, so that nothing can be in doubt.

    Raises:
        BookingError: In place of the errors that the pool, SQLAlchemy and the driver would raise,
            from the `with` statement.
    """

    def __init__(self, engine: Engine, isolation: Isolation, *, reads_only: bool = False) -> None:
        self._engine = engine
        self._isolation: Isolation = isolation
        self._reads_only = reads_only
        self._autocommit = isolation == "AUTOCOMMIT"
        self._sent_commit = False  # by SQLAlchemy's connection
        self._ended = False
        self._connection: Connection | None = None
        self._ahead: list[tuple[str, Mapping[str, object]]] = []  # sent, and not run yet

    def __enter__(self) -> Self:
        try:
            self._pooled: PoolProxiedConnection = self._engine.raw_connection()
        except exc.TimeoutError:
            raise PoolTimeout from None
        except (psycopg.Error, exc.DBAPIError) as error:
            explanation = explain(_cause(error), sent_commit=False)
            if explanation is None:
                raise
            raise explanation from error
        driver: psycopg.Connection[Any] = self._pooled.driver_connection  # type: ignore[assignment]
        self._wire = None
        # Without prepared statements, as some poolers want it, there is nothing to gain.
        if driver.cursor_factory is psycopg.Cursor and driver.prepare_threshold is not None:
            self._wire = Wire(driver, self._pooled.info, autocommit=self._autocommit)
            if not self._autocommit:
                self._wire.add(BEGIN[self._isolation])
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if error is None:
                self._commit()
        except (psycopg.Error, exc.DBAPIError) as refused:
            error = refused
        sent_commit = self._sent_commit or (self._wire is not None and self._wire.sent_commit)
        self._give_back()
        explanation = explain(_cause(error), sent_commit=sent_commit and not self._reads_only)
        if explanation:
            raise explanation from error
        if error and kind is None:
            raise error  # COMMIT's own, and a fault of ours

    @property
    def connection(self) -> Connection:
        """The same session, for whoever wants SQLAlchemy; to commit is not up to them."""
        self._check_open()
        if self._wire:
            self._wire.flush()
        with self._those_ahead():
            return self._sqlalchemy()

    def _sqlalchemy(self) -> Connection:
        if self._connection is None:
            self._connection = self._connect()
        return self._connection

    def _connect(self) -> Connection:
        connection = Connection(self._engine, self._pooled)
        self._sent_commit = self._autocommit  # there every statement is a COMMIT
        if self._wire and not self._autocommit:
            return connection
        return connection.execution_options(isolation_level=self._isolation)

    def send(self, sql: str, parameters: Mapping[str, object] = NOTHING) -> None:
        """Send a statement whose answer tells nothing, at the latest together with the next one."""
        self._check_open()
        if self._wire:
            self._wire.add(sql, parameters)
        elif self._autocommit:
            self._ahead.append((sql, parameters))
        else:
            self._execute(sql, parameters)

    def run(
        self, sql: str, parameters: Mapping[str, object] = NOTHING, *, last: bool = False
    ) -> Rows:
        """Send a statement and return its rows.

        Args:
            sql: One that returns rows, with parameters as psycopg writes them, `%(name)s`.
            parameters: Their values: numbers, texts, instants, lists of integers.
            last: Whether nothing comes after it, so that COMMIT may travel along.
        """
        self._check_open()
        self._ended = last and not self._autocommit
        if self._wire:
            self._wire.add(sql, parameters)
            return self._wire.flush(commit=self._ended)
        with self._those_ahead():
            return [tuple(row) for row in self._execute(sql, parameters)]

    def _execute(self, sql: str, parameters: Mapping[str, object]) -> CursorResult[Any]:
        return self._sqlalchemy().exec_driver_sql(sql, dict(parameters) or None)

    @contextmanager
    def _those_ahead(self) -> Iterator[None]:
        """Make one transaction of what was sent ahead and what is run in the block.

        On the short way they are one without being told, for they travel in one pipeline.
        """
        ahead, self._ahead = self._ahead, []
        if not ahead:
            yield
            return
        self._execute("BEGIN READ ONLY" if self._reads_only else "BEGIN", NOTHING)
        try:
            for sql, parameters in ahead:
                self._execute(sql, parameters)
            yield
        except BaseException:
            # SQLAlchemy takes the connection for one in AUTOCOMMIT, with nothing to undo.
            with suppress(psycopg.Error, exc.DBAPIError):
                self._execute(ROLLBACK, NOTHING)
            raise
        self._execute(COMMIT, NOTHING)

    def _check_open(self) -> None:
        if self._ended:
            raise RuntimeError(
                "The transaction has been committed together with its last statement. Where "
                "something is to be sent afterwards, leave out last=True."
            )

    def _commit(self) -> None:
        if self._wire:
            if not self._autocommit and not self._ended:
                self._wire.add(COMMIT)
            self._wire.flush()
        with self._those_ahead():
            pass
        if self._connection and not (self._wire and not self._autocommit):
            self._sent_commit = True
            self._connection.commit()

    def _give_back(self) -> None:
        # The pool's next user must find the connection as it was, or not at all.
        lent = self._connection or self._pooled
        try:
            if self._wire:
                with suppress(psycopg.Error):
                    self._wire.roll_back()
        finally:
            if self._wire and not self._wire.idle:
                lent.invalidate()
            lent.close()


def _cause(error: BaseException | None) -> BaseException | None:
    """Return the driver's error, from within SQLAlchemy's."""
    return error.orig if isinstance(error, exc.DBAPIError) else error
