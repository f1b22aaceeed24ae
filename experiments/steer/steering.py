"""Connections that stop before every step, so that somebody else decides when it is sent.

Every wait of psycopg for the server goes through `Connection.wait`. A steered connection hands
the generator that would do the talking to its client, which parks until the step is let through.
The code above (SQLAlchemy, the ORM, the booking service, plain psycopg) notices nothing.

What takes neither a snapshot nor a lock is no step: BEGIN (psycopg sends it together with the
statement that follows), SAVEPOINT, the end of a transaction that never began.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import psycopg
import sqlalchemy
from psycopg.pq import TransactionStatus
from sqlalchemy import event

if TYPE_CHECKING:
    from collections.abc import Generator

    from psycopg.pq.abc import PGresult

    from experiments.schedules.schedule import Kind
    from experiments.sql.statements import Statement

Park = Callable[["Turn"], Any]

IDLE = TransactionStatus.IDLE
# Generators of psycopg that are no step, whatever they do.
_NO_STEP = ("_set_", "_enter_gen", "notifies", "_close_gen", "_sync_gen", "_communicate_gen")


@dataclass(slots=True, eq=False)
class Turn:
    """A step while it is being played.

    Attributes:
        connection: Where it is sent.
        generator: What does the talking.
        kind: What it is.
        sql: What is sent, parameters not rendered.
        params: The parameters.
        begin: The BEGIN that goes before it, if any.
        in_transaction: Whether it belongs to a transaction of several statements.
        cursor: The cursor that sends it, if one does.
        client: Whose it is.
        statement: What it touches.
        result: What came back.
        error: What went wrong.
        waited_for: For whom it waited.
        answered_at: The number of the step during which the answer came.
        server_decided: Whether it let several clients go on at once.
        background: Whether it was let through without being a choice.
    """

    connection: SteeredConnection
    generator: Generator[Any, Any, Any]
    kind: Kind
    sql: str
    params: Any
    begin: str
    in_transaction: bool
    cursor: SteeredCursor | None = None
    client: int = -1
    statement: Statement | None = None
    result: PGresult | None = None
    error: BaseException | None = None
    waited_for: set[int] = field(default_factory=set)
    answered_at: int | None = None
    server_decided: bool = False
    background: bool = False

    @property
    def pid(self) -> int:
        """The server process that it is sent to."""
        return self.connection.pgconn.backend_pid

    @property
    def isolation(self) -> str:
        """The isolation level that its transaction was opened with; empty for the default."""
        level = self.connection.isolation_level
        return level.name.replace("_", " ") if level and not self.connection.autocommit else ""


class SteeredCursor(psycopg.Cursor[Any]):
    """A cursor that remembers what it was asked, since the generator does not say."""

    _conn: SteeredConnection

    def execute(self, query: Any, params: Any = None, **options: Any) -> Any:  # noqa: ANN401 - psycopg's
        """Execute a statement."""
        self._conn.asked = (self, query, params)
        if self._conn.prepares and isinstance(query, str):
            options.setdefault("prepare", self._conn.prepares(query))
        return super().execute(query, params, **options)

    def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:  # noqa: ANN401 - psycopg's
        """Execute a statement with many sets of parameters, as one step."""
        self._conn.asked = (self, query, None)
        returning = bool(options.get("returning", False))
        with self._conn.lock:  # without a pipeline, which would talk past the step
            self._conn.wait(self._executemany_gen_no_pipeline(query, params_seq, returning))


class SteeredConnection(psycopg.Connection[Any]):
    """A connection that parks before every step.

    Attributes:
        park: Called with each step; returns what the server answered. Until it is set, the
            connection behaves like any other.
        prepares: Tells which statements may be prepared.
        asked: The cursor, the query and the parameters of the statement that comes next.
    """

    park: Park | None = None
    prepares: Callable[[str], bool] | None = None
    asked: tuple[SteeredCursor, Any, Any] | None = None

    def wait(self, gen: Any, *args: Any, **options: Any) -> Any:  # noqa: ANN401 - psycopg's
        """Consume a generator, once its turn has come."""
        asked, self.asked = self.asked, None
        turn = self._turn(gen, asked) if self.park else None
        if turn is None or self.park is None:
            return super().wait(gen, *args, **options)
        return self.park(turn)

    def drive(self, turn: Turn) -> Any:  # noqa: ANN401 - psycopg's
        """Play a step at once, as psycopg would have."""
        return super().wait(turn.generator)

    def _turn(
        self, gen: Generator[Any, Any, Any], asked: tuple[SteeredCursor, Any, Any] | None
    ) -> Turn | None:
        name = getattr(gen, "__name__", "")
        status = self.pgconn.transaction_status
        kind: Kind = "statement"
        sql, params = name, None
        if name in ("_commit_gen", "_rollback_gen", "_exit_gen"):
            if status == IDLE:
                return None
            failed = name == "_rollback_gen" or status == TransactionStatus.INERROR
            kind = "rollback" if failed else "commit"
            sql = kind.upper()
        elif name.startswith(_NO_STEP):
            return None
        elif asked:
            _, query, params = asked
            sql = query if isinstance(query, str) else _text(query, self)
            first = sql.lstrip()[:9].lower()
            if first.startswith(("begin", "start tra", "savepoint")):
                return None
            if first.startswith(("commit", "end")):
                kind = "commit"
            elif first.startswith(("rollback", "abort")) and " to " not in sql.lower():
                kind = "rollback"
        begins = kind == "statement" and status == IDLE and not self.autocommit
        begin = self._get_tx_start_command().decode() if begins else ""
        cursor = asked[0] if asked else None
        return Turn(self, gen, kind, sql, params, begin, begins or status != IDLE, cursor)


def _text(query: Any, connection: SteeredConnection) -> str:  # noqa: ANN401 - psycopg's
    if isinstance(query, bytes):
        return query.decode()
    return query.as_string(connection) if hasattr(query, "as_string") else str(query)


def steered_engine(
    url: sqlalchemy.URL, park: Park, prepares: Callable[[str], bool], settings: dict[str, str]
) -> sqlalchemy.Engine:
    """Make an engine whose connections are steered from their first checkout on.

    Args:
        url: The database.
        park: What a step waits in.
        prepares: Tells which statements may be prepared. Those that touch what is written may
            not: they would get other plans after some runs, and with them other predicate
            locks, but a schedule must not depend on what was explored before it.
        settings: Settings of the server for these sessions.
    """
    _, arguments = url.get_dialect()().create_connect_args(url)

    def connect() -> SteeredConnection:
        connection = SteeredConnection.connect(
            **arguments, cursor_factory=SteeredCursor, prepare_threshold=None, autocommit=True
        )
        for name, value in settings.items():
            connection.execute("SELECT set_config(%s, %s, false)", [name, value])
        connection.autocommit = False
        connection.prepares = prepares
        return connection

    engine = sqlalchemy.create_engine(url, creator=connect, pool_size=1, max_overflow=20)

    @event.listens_for(engine, "checkout")
    def steer(connection: SteeredConnection, *_: object) -> None:
        connection.park = park

    return engine
