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
from functools import cache
from itertools import count
from typing import TYPE_CHECKING, Any

from psycopg.errors import OperationalError, error_from_result
from psycopg.generators import fetch, send
from psycopg.pq import (
    ConnStatus,
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
UNKNOWN_STATEMENT = b"26000"  # invalid_sql_statement_name
NOTHING: Mapping[str, object] = {}
_PARAMETER = re.compile(r"%\((\w+)\)s")
_INTEGERS = (20, 21, 23)  # the oids of bigint, smallint, integer; see pg_type
_BOOLEAN = 16


@dataclass(slots=True)
class Prepared:
    """What a connection knows by heart; kept as long as the connection.

    Attributes:
        encoding: Of its texts, as Python calls it.
        names: Of its prepared statements, by their SQL.
        ended: Whether the server has bidden farewell.
    """

    encoding: str
    ended: bool = False
    names: dict[str, bytes] = field(default_factory=dict)
    numbers: count[int] = field(default_factory=count)

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
        sent_commit: Whether something was sent that commits.
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
    def broken(self) -> bool:
        """Whether the server is gone or a pipeline was left half-way."""
        return (
            self._prepared.ended
            or self._pgconn.status != ConnStatus.OK
            or self._pgconn.pipeline_status != PipelineStatus.OFF
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
        if begins and any(_sqlstate(result) == UNKNOWN_STATEMENT for result in results):
            # Somebody deallocated everything, as psycopg does when it rolls back, or a pooler in
            # between. What was begun is undone, and begun anew.
            self._prepared.names.clear()
            self._connection.wait(self._exchange([(ROLLBACK, NOTHING)]))
            results = self._connection.wait(self._exchange(statements))
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise error_from_result(result, self._prepared.encoding)
        return self._read(results[-2] if commit else results[-1])

    def roll_back(self) -> None:
        """Undo the transaction, if there is one."""
        self._added.clear()
        if self._pgconn.transaction_status != TransactionStatus.IDLE and not self.broken:
            self._connection.wait(self._exchange([(ROLLBACK, NOTHING)]))

    def _exchange(self, statements: Sequence[Statement]) -> PQGen[list[PGresult]]:
        """Send statements, prepared where they are not yet, and return one result for each.

        A generator for `Connection.wait`, as all that talks to the server is in psycopg.
        """
        new: dict[str, bytes] = {}
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
            name = self._prepared.names.get(sql) or new.get(sql)
            if name is None:
                name = new[sql] = b"booking_%d" % next(self._prepared.numbers)
                self._pgconn.send_prepare(name, text.encode(self._prepared.encoding))
                place += 1
            values = [self._written(parameters[each]) for each in used]
            self._pgconn.send_query_prepared(name, values)
            places.append(place)
            place += 1
        self._pgconn.pipeline_sync()
        results = yield from _answers(self._pgconn)
        self._pgconn.exit_pipeline_mode()
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                return results
        self._prepared.names.update(new)
        return [results[place] for place in places]

    def _written(self, value: object) -> bytes | None:
        """Write a parameter as PostgreSQL reads it; which type it has, the statement says."""
        if value is None:
            return None
        if isinstance(value, str):
            return value.encode(self._prepared.encoding)
        if isinstance(value, datetime):
            return value.isoformat().encode()
        if isinstance(value, list):
            return b"{%b}" % b",".join(self._written(each) or b"NULL" for each in value)
        return str(value).encode()

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


@cache
def _numbered(sql: str) -> tuple[str, tuple[str, ...]]:
    """Write `$1` for `%(name)s`, as the protocol wants it; return the names in that order too."""
    names = list(dict.fromkeys(_PARAMETER.findall(sql)))
    return _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", sql), tuple(names)


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
        results.append(result)
