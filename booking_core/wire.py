"""Statements on their way to the server, by libpq itself.

A booking sends the same few statements again and again. Through SQLAlchemy, and then through a
cursor of psycopg's, each of them is looked up, converted and wrapped anew, which takes longer
than PostgreSQL takes to answer. Here a statement is prepared once a connection, its parameters
are written as text, and statements that need not wait for each other's answers travel together,
in a pipeline: they are one round trip, and to the server still one statement after the other,
each with a snapshot of its own in READ COMMITTED.

Manual: 32.5 Pipeline Mode; 55.2.3 Extended Query. psycopg's: `psycopg.pq`, libpq wrapper module.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from psycopg.errors import (
    DataError,
    InFailedSqlTransaction,
    OperationalError,
    ProgrammingError,
    error_from_result,
)
from psycopg.generators import fetch, send
from psycopg.pq import (
    DiagnosticField,
    ExecStatus,
    PipelineStatus,
    TransactionStatus,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from psycopg import Connection
    from psycopg.abc import PQGen
    from psycopg.errors import Diagnostic
    from psycopg.pq.abc import PGconn, PGresult

Rows = list[tuple[Any, ...]]
Statement = tuple[str, "Mapping[str, object]"]
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"
# What tells that a prepared statement is gone, since psycopg deallocates all of them when it rolls
# back, or that a table has changed under it.
STALE = (b"26000", b"0A000")
NOTHING: Mapping[str, object] = {}
COPIES = (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH)
_PARAMETER = re.compile(r"%\((\w+)\)s")
_INTEGERS = (20, 21, 23)  # the oids of bigint, smallint, integer; see pg_type
_BOOLEAN = 16


@dataclass(slots=True)
class Prepared:
    """What a connection knows by heart; kept as long as the connection.

    Attributes:
        encoding: Of its texts, as Python calls it.
        names: The statements that it has prepared.
        generation: How often they had to be prepared anew.
        ended: Whether the server has bidden farewell.
    """

    encoding: str
    generation: int = 0
    ended: bool = False
    names: set[str] = field(default_factory=set)

    def hear(self, notice: Diagnostic) -> None:
        """Listen to what the server says without having been asked."""
        self.ended |= notice.severity_nonlocalized == "FATAL"


class Wire:
    """Sends statements on one connection, which nobody else uses meanwhile.

    Args:
        connection: A connection with nothing on its way.
        known: What may be kept with the connection.
        autocommit: Whether each flush is a transaction by itself.

    Attributes:
        sent_commit: Whether what was sent last commits.
    """

    def __init__(
        self, connection: Connection[Any], known: dict[Any, Any], *, autocommit: bool = False
    ) -> None:
        self.sent_commit = False
        self._autocommit = autocommit
        self._connection = connection
        self._pgconn: PGconn = connection.pgconn
        prepared = known.get(Wire)
        if prepared is None:
            prepared = known[Wire] = Prepared(connection.info.encoding)
            connection.add_notice_handler(prepared.hear)
        self._prepared: Prepared = prepared
        self._added: list[Statement] = []

    @property
    def idle(self) -> bool:
        """Whether the server is there, in no transaction, and no pipeline was left half-way."""
        return (
            not self._prepared.ended
            and self._pgconn.transaction_status == TransactionStatus.IDLE
            and self._pgconn.pipeline_status == PipelineStatus.OFF
        )

    def add(self, sql: str, parameters: Mapping[str, object] = NOTHING) -> None:
        """Take a statement along with the next one that is to be answered."""
        self._added.append((sql, parameters))

    def flush(self, *, commit: bool = False) -> Rows:
        """Send what has been added, wait for all answers, and return the last one's rows.

        Args:
            commit: Whether COMMIT travels along. It is not run where a statement fails.

        Returns:
            Rows of integers and truth values; whatever else there is comes as text.

        Raises:
            psycopg.Error: A statement failed; those after it were not run. Or the server is gone.
        """
        statements = [*self._added, *[(COMMIT, NOTHING)] * commit]
        self._added.clear()
        if not statements:
            return []
        begins = self._pgconn.transaction_status == TransactionStatus.IDLE
        results = self._connection.wait(self._exchange(statements))
        if any(_sqlstate(result) in STALE for result in results):
            self._prepared.names.clear()
            self._prepared.generation += 1
            if begins:  # what was begun is undone, and begun anew
                self.roll_back()
                results = self._connection.wait(self._exchange(statements))
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise error_from_result(result, self._prepared.encoding)
        if statements[-1][0] == COMMIT and results[-1].command_status != b"COMMIT":
            # PostgreSQL's answer to COMMIT where a statement had failed and was overlooked.
            raise InFailedSqlTransaction("a statement failed, so all was rolled back")
        return self._read(results[-2] if commit else results[-1])

    def roll_back(self) -> None:
        """Undo the transaction, if there is one."""
        self._added.clear()
        in_transaction = self._pgconn.transaction_status in (
            TransactionStatus.INTRANS,
            TransactionStatus.INERROR,
        )
        if in_transaction and self._pgconn.pipeline_status == PipelineStatus.OFF:
            self._connection.wait(self._exchange([(ROLLBACK, NOTHING)]))

    def _exchange(self, statements: Sequence[Statement]) -> PQGen[list[PGresult]]:
        """Send statements, prepared where they are not yet, and return one result for each.

        A generator for `Connection.wait`, as all that talks to the server is in psycopg.
        """
        prepared: dict[int, str] = {}  # by the place of the result that says so
        places = []  # of the statements' results among all
        place = 0
        # A session that was ended is noticed here, when nothing is in doubt yet.
        self._pgconn.consume_input()
        self._pgconn.is_busy()  # reads what came in
        if self._prepared.ended:
            raise OperationalError("the server has ended the session")
        self.sent_commit = self._autocommit or statements[-1][0] == COMMIT
        self._pgconn.enter_pipeline_mode()
        for sql, parameters in statements:
            text, used = _numbered(sql)
            name = b"booking_%b_%d" % (_digest(sql), self._prepared.generation)
            if sql not in self._prepared.names and sql not in prepared.values():
                self._pgconn.send_prepare(name, text.encode(self._prepared.encoding))
                prepared[place] = sql
                place += 1
            values = [self._written(parameters[each]) for each in used]
            self._pgconn.send_query_prepared(name, values)
            places.append(place)
            place += 1
        self._pgconn.pipeline_sync()
        results = yield from _answers(self._pgconn)
        self._pgconn.exit_pipeline_mode()
        # What is prepared stays, even where a statement after it fails.
        self._prepared.names.update(
            sql for at, sql in prepared.items() if results[at].status == ExecStatus.COMMAND_OK
        )
        if any(result.status == ExecStatus.FATAL_ERROR for result in results):
            return results
        return [results[place] for place in places]

    def _written(self, value: object) -> bytes | None:
        """Write a parameter as PostgreSQL reads it; which type it has, the statement says."""
        if value is None:
            return None
        if isinstance(value, str):
            if "\0" in value:
                raise DataError("PostgreSQL's texts can't hold the character NUL")
            return value.encode(self._prepared.encoding)
        if isinstance(value, datetime):
            return value.isoformat().encode()
        if isinstance(value, int | float):
            return str(value).encode()
        if isinstance(value, list) and all(isinstance(each, int) for each in value):
            return b"{%b}" % b",".join(b"%d" % each for each in value)
        raise TypeError(f"{value!r} is neither a number, a text, an instant nor a list of integers")

    def _read(self, result: PGresult) -> Rows:
        columns = range(result.nfields)
        kinds = [result.ftype(column) for column in columns]
        return [
            tuple(self._value(result.get_value(row, column), kinds[column]) for column in columns)
            for row in range(result.ntuples)
        ]

    def _value(self, value: bytes | None, kind: int) -> object:
        if value is None:
            return None
        if kind in _INTEGERS:
            return int(value)
        return value == b"t" if kind == _BOOLEAN else value.decode(self._prepared.encoding)


@lru_cache(maxsize=1000)
def _numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """Write `$1` for `%(name)s`, as the protocol wants it; return the names in that order too."""
    names = list(dict.fromkeys(_PARAMETER.findall(sql)))
    text = _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", sql)
    return text.replace("%%", "%"), tuple(names)


@lru_cache(maxsize=1000)
def _digest(sql: str) -> bytes:
    """Return what names a statement, so that a name means the same on every connection."""
    return blake2b(sql.encode(), digest_size=12).hexdigest().encode()


def _sqlstate(result: PGresult) -> bytes | None:
    return result.error_field(DiagnosticField.SQLSTATE)


def _answers(pgconn: PGconn) -> PQGen[list[PGresult]]:
    """Receive results until the server is in step again."""
    yield from send(pgconn)
    results: list[PGresult] = []
    while True:
        result = yield from fetch(pgconn)
        if result is None:  # the end of one statement's results
            continue
        if result.status == ExecStatus.PIPELINE_SYNC:
            return results
        if result.status in COPIES:
            raise ProgrammingError("COPY can't travel in a pipeline")
        results.append(result)
