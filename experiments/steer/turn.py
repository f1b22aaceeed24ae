"""A turn: a unit of a client's messages as a step, from the moment that it is held back."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from experiments.sql.commands import UNKNOWN_LEVEL
from experiments.sql.keys import UNKNOWN, Keyed
from experiments.steer import values

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from experiments.schedules.schedule import Kind
    from experiments.sql.statements import Statement
    from experiments.steer.messages import Unit

LOST = "lost"
"""Stands for the SQLSTATE where the connection broke."""


@dataclass(frozen=True, slots=True)
class Failure:
    """What went wrong with a statement.

    Attributes:
        sqlstate: PostgreSQL's word for it; `LOST` where the connection broke.
        message: The first line of what it said.
        severity: How bad it is: after FATAL the session ends.
    """

    sqlstate: str
    message: str
    severity: str = "ERROR"


@dataclass(slots=True)
class Result:
    """What the server answered to a statement; to several in one query: to the last.

    Attributes:
        tag: What it did, as PostgreSQL says it: `INSERT 0 1`.
        columns: For each column its type's oid, and whether its values are binary; None where the
            statement returns no rows.
        rows: The first rows, as they came.
        count: How many there were.
    """

    tag: str = ""
    columns: tuple[tuple[int, bool], ...] | None = None
    rows: list[tuple[bytes | None, ...]] = field(default_factory=list)
    count: int = 0


@dataclass(slots=True, eq=False)
class Turn:
    """A step while it is being played.

    Attributes:
        pid: The server process that it is sent to.
        unit: The messages.
        kind: What it is.
        sql: What is sent, parameters not rendered.
        parameters: The parameters, as they are sent.
        formats: For each parameter, whether it is binary.
        types: For each parameter the oid that the client gave, 0 where it gave none.
        told: The oids of parameters' types as the server tells them, by statement.
        begin: The BEGIN that goes before it, if any.
        in_transaction: Whether it belongs to a transaction of several statements.
        isolation: The isolation level of its transaction; "?" where it can't be known.
        client: Whose it is.
        statement: What it touches.
        keyed: Of which rows, as far as that is known.
        result: What came back.
        error: What went wrong.
        waited_for: For whom it waited.
        answered_at: The number of the step during which the answer came.
        server_decided: Whether it let several clients go on at once.
        background: Whether it was let through without being a choice.
        prepares: Whether it only prepares a statement inside of a transaction, which then locks the
            statement's tables already.
        fault: What was done to it, as a name of `experiments.schedules.labels.FAULTS`.
        parked: Whether its client then had to wait inside of its program.
        halts: How often it may still be held back before it writes.
        halted: Whether it was held back; another turn then goes on with it.
    """

    pid: int
    unit: Unit
    kind: Kind
    sql: str
    parameters: Sequence[bytes | None] = ()
    formats: Sequence[bool] = ()
    types: Sequence[int] = ()
    told: Mapping[str, Sequence[int]] = field(default_factory=dict)
    begin: str = ""
    in_transaction: bool = False
    isolation: str = ""
    client: int = -1
    statement: Statement | None = None
    keyed: Keyed = UNKNOWN
    result: Result = field(default_factory=Result)
    error: Failure | None = None
    waited_for: set[int] = field(default_factory=set)
    answered_at: int | None = None
    server_decided: bool = False
    background: bool = False
    prepares: bool = False
    fault: str = ""
    parked: bool = False
    halts: int = 0
    halted: bool = False

    @property
    def fixed(self) -> bool:
        """Whether its transaction sees what stood when it took its snapshot, and nothing newer."""
        return self.in_transaction and self.isolation in (
            "REPEATABLE READ",
            "SERIALIZABLE",
            UNKNOWN_LEVEL,
        )

    @property
    def given(self) -> list[str]:
        """Its parameters as SQL writes them."""
        types = self.told.get(self.sql, ())
        return values.literals(self.parameters, self.formats, self.types, types)

    @property
    def rendered(self) -> str:
        """Its text with its parameters in it."""
        types = self.told.get(self.sql, ())
        return values.rendered(self.sql, self.parameters, self.formats, self.types, types)

    def rest(self) -> Turn:
        """Return what is left of it where it stands before a write: a turn that goes on with it."""
        return replace(
            self,
            kind="write",
            begin="",
            error=None,
            waited_for=set(),
            answered_at=None,
            server_decided=False,
            fault="",
            parked=False,
            halts=self.halts - 1,
        )
