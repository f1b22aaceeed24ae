"""Statements on their way to the server, in a pipeline of libpq's.

A booking sends the same few statements again and again. Here each is prepared once a connection,
and those that need not wait for each other's answers leave in one packet: they are one round trip,
and to the server still one statement after the other, each with a snapshot of its own in READ
COMMITTED. psycopg converts the rows, and the parameters of rarer kinds.

psycopg has a pipeline of its own, which sends every statement by itself as soon as it is added, so
that a lock is held while the client gets around to the next one. Both were measured in turns, on
two cores, `bench` on the hot slot with 1, 20 and 100 clients: under `advisory` psycopg's reached
0.73, 0.47 and 0.42 of this one's throughput, where a booking is one statement 0.80 to 1.03.

Manual: 32.5 Pipeline Mode; 55.2.3 Extended Query. psycopg's: `psycopg.pq`, libpq wrapper module.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import Any

from psycopg import Connection, errors
from psycopg.abc import Buffer, PQGen
from psycopg.adapt import PyFormat, Transformer
from psycopg.generators import fetch, send
from psycopg.pq import DiagnosticField, ExecStatus, PipelineStatus, TransactionStatus
from psycopg.pq.abc import PGconn, PGresult

Rows = list[tuple[Any, ...]]
Statement = tuple[str, "Mapping[str, object]"]
COMMIT = "COMMIT"
ROLLBACK = "ROLLBACK"
NOTHING: Mapping[str, object] = {}
# What tells that a prepared statement is gone, since psycopg deallocates all of them when it rolls
# back, and others may too, or that a table has changed under it.
STALE = (b"26000", b"0A000")
OPEN = (TransactionStatus.INTRANS, TransactionStatus.INERROR)
COPIES = (ExecStatus.COPY_IN, ExecStatus.COPY_OUT, ExecStatus.COPY_BOTH)
_PARAMETER = re.compile(r"%\((\w+)\)s")


@dataclass(slots=True)
class Prepared:
    """What a connection knows by heart; kept as long as the connection, and knows nothing of it.

    Attributes:
        names: The statements that it has prepared.
        generation: How often they had to be prepared anew.
        ended: Whether the server has bidden farewell.
    """

    names: set[str] = field(default_factory=set)
    generation: int = 0
    ended: bool = False

    def hear(self, notice: errors.Diagnostic) -> None:
        """Listen to what the server says without having been asked."""
        self.ended |= notice.severity_nonlocalized == "FATAL"


class Wire:
    """Sends statements on one connection, which nobody else uses meanwhile.

    It lasts as long as a session: what was added and not sent, and how rows are read under the
    settings of the moment, must not reach the next one.

    Args:
        connection: A connection with nothing on its way.
        known: What may be kept with the connection.
        autocommit: Whether each flush is a transaction by itself.

    Attributes:
        autocommit: As given.
        sent_commit: Whether what was sent last commits.
    """

    def __init__(
        self, connection: Connection[Any], known: dict[Any, Any], *, autocommit: bool = False
    ) -> None:
        self.autocommit, self.sent_commit = autocommit, False
        self._connection = connection
        self._pgconn = connection.pgconn
        self._encoding = connection.info.encoding
        self._adapter = Transformer(connection)  # of rows, and of parameters of rarer kinds
        self._added: list[Statement] = []
        if Wire not in known:
            known[Wire] = Prepared()
            connection.add_notice_handler(known[Wire].hear)
        self._prepared: Prepared = known[Wire]

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

        Raises:
            psycopg.Error: A statement failed; those after it were not run. Or the server is gone.
        """
        statements = [*self._added, *[(COMMIT, NOTHING)] * commit]
        self._added.clear()
        if not statements:
            return []
        begins = self._pgconn.transaction_status == TransactionStatus.IDLE
        results = self._connection.wait(self._exchange(statements))
        if any(result.error_field(DiagnosticField.SQLSTATE) in STALE for result in results):
            self._prepared.names.clear()
            self._prepared.generation += 1
            if begins:  # what was begun is undone, and begun anew
                self.roll_back()
                results = self._connection.wait(self._exchange(statements))
        for result in results:
            if result.status == ExecStatus.FATAL_ERROR:
                raise errors.error_from_result(result, self._encoding)
        if statements[-1][0] == COMMIT and results[-1].command_status != b"COMMIT":
            # PostgreSQL's answer to COMMIT where a statement had failed and was overlooked.
            raise errors.InFailedSqlTransaction("a statement failed, so all was rolled back")
        answer = results[-2] if commit and len(results) > 1 else results[-1]
        self._adapter.set_pgresult(answer)
        return self._adapter.load_rows(0, answer.ntuples, tuple)

    def roll_back(self) -> None:
        """Undo the transaction, if there is one."""
        self._added.clear()
        in_step = self._pgconn.pipeline_status == PipelineStatus.OFF
        if in_step and self._pgconn.transaction_status in OPEN:
            self._connection.wait(self._exchange([(ROLLBACK, NOTHING)]))

    def _dump(self, value: object) -> Buffer | None:
        """Write a parameter. The commonest kinds are written here, in half the time."""
        if value is None:
            return None
        if isinstance(value, str) and "\0" not in value:
            return value.encode(self._encoding)
        if type(value) is int:
            return b"%d" % value
        if isinstance(value, list) and all(type(each) is int for each in value):
            return b"{%b}" % b",".join(b"%d" % each for each in value)
        if isinstance(value, datetime):
            return value.isoformat().encode()
        return self._adapter.dump_sequence([value], [PyFormat.TEXT])[0]

    def _exchange(self, statements: Sequence[Statement]) -> PQGen[list[PGresult]]:
        """Send statements, prepared where they are not yet, and return one result for each.

        A generator for `Connection.wait`, as all that talks to the server is in psycopg.
        """
        # A session that was ended is noticed here, when nothing is in doubt yet.
        self._pgconn.consume_input()
        self._pgconn.is_busy()  # reads what came in
        if self._prepared.ended:
            raise errors.OperationalError("the server has ended the session")
        written = []
        for sql, parameters in statements:
            text, name, names = _written(sql, self._encoding)
            dumped = [self._dump(parameters[each]) for each in names]
            written.append((sql, text, b"%b_%d" % (name, self._prepared.generation), dumped))
        preparing: list[str | None] = []  # for each result, the statement that it says is prepared
        self.sent_commit = self.autocommit or statements[-1][0] == COMMIT
        self._pgconn.enter_pipeline_mode()
        for sql, text, name, dumped in written:
            if self._connection.prepare_threshold is None:  # as some poolers want it
                self._pgconn.send_query_params(text, dumped)
            else:
                if sql not in self._prepared.names and sql not in preparing:
                    self._pgconn.send_prepare(name, text)
                    preparing.append(sql)
                self._pgconn.send_query_prepared(name, dumped)
            preparing.append(None)
        self._pgconn.pipeline_sync()
        results = yield from _answers(self._pgconn)
        self._pgconn.exit_pipeline_mode()
        # What is prepared stays, even where a statement after it fails.
        answers = list(zip(preparing, results, strict=True))
        self._prepared.names.update(
            sql for sql, result in answers if sql and result.status == ExecStatus.COMMAND_OK
        )
        if any(result.status == ExecStatus.FATAL_ERROR for result in results):
            return results
        return [result for sql, result in answers if sql is None]


@lru_cache(maxsize=1000)
def _written(sql: str, encoding: str) -> tuple[bytes, bytes, list[str]]:
    """Return a statement as the protocol wants it, a name for it, and its parameters' names.

    The name is made of the text, so that it means the same on every connection.
    """
    names = list(dict.fromkeys(_PARAMETER.findall(sql)))
    text = _PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", sql).replace("%%", "%")
    name = blake2b(sql.encode(), digest_size=12).hexdigest()
    return text.encode(encoding), b"booking_" + name.encode(), names


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
            raise errors.ProgrammingError("COPY can't travel in a pipeline")
        results.append(result)
