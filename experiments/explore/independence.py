"""Which steps commute: played in either order, they lead to the same state.

Two schedules that differ only in the order of neighbouring steps that commute are one and the same
to everybody, and a reduced search plays one of them. The relation below knows how PostgreSQL
works, and errs on the side of dependence:

- A READ COMMITTED statement sees what was committed before it began. It commutes with a rival's
  INSERT, which nobody sees yet, and not with the COMMIT that publishes it.
- A REPEATABLE READ or SERIALIZABLE transaction takes its snapshot with its first statement, which
  therefore commutes with no COMMIT that publishes something. Its later reads commute with all.
- Two writes to one table do not commute: a unique index or a row may bring them together.
- Who asks for a lock commutes neither with who asks for one that conflicts, nor with the end of
  the transaction that holds one. PostgreSQL lets go of locks when an error occurs, not at ROLLBACK.
- A statement that is held back before it writes (`experiments.explore.gates`) may as well have done
  all that it does. Where it goes on, it has taken its snapshot already; functions and triggers take
  others.
- A step that lets others go on includes what these then do.
- A number drawn from a sequence is gone at once, whatever becomes of the transaction. Two that draw
  do not commute.
- Steps of SERIALIZABLE transactions commute only where both read: writes, reads after writes and
  ends of transactions are what decides who is failed.
- The step after which a client may be told something does not commute with another client's
  first: properties speak of requests that were open at the same time.
- What is not recognised depends on everything, and so does a step under an isolation level that
  could not be learnt.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from experiments.sql.commands import UNKNOWN_LEVEL
from experiments.sql.statements import ALL, KEY_SHARE, NO_KEY_UPDATE, TABLE_MODES, UPDATE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from experiments.sql.statements import Statement
    from experiments.steer.turn import Turn

_ROW_CONFLICT = 5
# Manual: table 13.2, Conflicting Lock Modes.
_TABLE_CONFLICTS = {0: {7}, 1: {6, 7}, 2: {4, 5, 6, 7}, 3: {3, 4, 5, 6, 7}, 4: {2, 3, 5, 6, 7},
                    5: {2, 3, 4, 5, 6, 7}, 6: set(range(1, 8)), 7: set(range(8))}  # fmt: skip
_READS, _LOCKS_ROWS, _WRITES = (
    TABLE_MODES.index(mode) for mode in ("access share", "row share", "row exclusive")
)

# What, on which table, how strong.
Lock = tuple[str, str, int]


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a step does, as far as others could notice.

    Attributes:
        opaque: Whether it isn't known.
        reads: The statements that see what is committed.
        snapshot: Whether it fixes what its transaction sees.
        asks: The locks that it asks for.
        lets_go: The locks that it lets go of.
        publishes: The changes that it makes visible, columns by table.
        serializable: Whether its transaction is SERIALIZABLE.
        quiet: Whether it only reads.
        first: Whether it is its client's first.
        last: Whether its client may be told something after it.
    """

    opaque: bool = False
    reads: tuple[Statement, ...] = ()
    snapshot: bool = False
    asks: frozenset[Lock] = frozenset()
    lets_go: frozenset[Lock] = frozenset()
    publishes: tuple[tuple[str, frozenset[str]], ...] = ()
    serializable: bool = False
    quiet: bool = False
    first: bool = False
    last: bool = False

    def __or__(self, other: Footprint) -> Footprint:
        return Footprint(
            opaque=self.opaque or other.opaque,
            reads=self.reads + other.reads,
            snapshot=self.snapshot or other.snapshot,
            asks=self.asks | other.asks,
            lets_go=self.lets_go | other.lets_go,
            publishes=self.publishes + other.publishes,
            serializable=self.serializable or other.serializable,
            quiet=self.quiet and other.quiet,
            first=self.first or other.first,
            last=self.last or other.last,
        )


def independent(one: Footprint, other: Footprint) -> bool:
    """Whether two steps of different clients commute."""
    return not (
        one.opaque
        or other.opaque
        or (one.first and other.last)
        or (one.last and other.first)
        or (one.serializable and other.serializable and not (one.quiet and other.quiet))
        or _sees(one, other)
        or _sees(other, one)
        or _meet(one.asks, other.asks)
        or _meet(one.asks, other.lets_go)
        or _meet(one.lets_go, other.asks)
    )


def _sees(reader: Footprint, writer: Footprint) -> bool:
    return any(
        reader.snapshot or any(statement.reads(table, columns) for statement in reader.reads)
        for table, columns in writer.publishes
    )


def _meet(some: Iterable[Lock], others: Iterable[Lock]) -> bool:
    return any(_conflict(one, other) for one in some for other in others)


def _conflict(one: Lock, other: Lock) -> bool:
    kind, table, strength = one
    if (kind, table) != other[:2]:
        return False
    if kind == "row":
        return strength + other[2] >= _ROW_CONFLICT
    if kind == "table":
        return other[2] in _TABLE_CONFLICTS[strength]
    return True


@dataclass(slots=True)
class _Held:
    """What a client's transaction has done so far."""

    level: str = ""
    locks: frozenset[Lock] = frozenset()
    changes: tuple[tuple[str, frozenset[str]], ...] = ()
    opaque: bool = False
    began: bool = False


@dataclass(slots=True)
class Ledger:
    """Keeps account of the open transactions of a run, to tell what a step would do.

    Args:
        references: For each table, those that its foreign keys refer to.
        default_level: The isolation level where none is asked for.
    """

    references: Mapping[str, frozenset[str]]
    default_level: str = "READ COMMITTED"
    _held: dict[int, _Held] = field(default_factory=dict)
    _seen: set[int] = field(default_factory=set)

    def note(self, turn: Turn) -> None:
        """Take account of a step that was let through."""
        self._seen.add(turn.client)
        held = self._held.setdefault(turn.client, _Held())
        if turn.kind not in ("statement", "write") or not turn.in_transaction:
            self._held[turn.client] = _Held()
            return
        assert turn.statement is not None
        if turn.begin:
            held = self._held[turn.client] = _Held(turn.isolation or self.default_level)
        held.began = True
        held.locks |= self._asks(turn.statement) - _drawn(turn.statement)
        held.changes += tuple(turn.statement.writes.items())
        held.opaque |= not turn.statement.recognised or held.level == UNKNOWN_LEVEL
        if turn.statement.serializable:
            held.level = "SERIALIZABLE"

    def forget(self, client: int) -> None:
        """Take account of a fault: the client's transaction is undone."""
        self._seen.add(client)
        self._held[client] = _Held()

    def settle(self, turn: Turn) -> None:
        """Take account of a step's error: the transaction's locks are gone."""
        if turn.error is not None and turn.client in self._held:
            self._held[turn.client].locks = frozenset()
            self._held[turn.client].changes = ()

    def footprint(self, turn: Turn, waiting: Iterable[Turn], *, may_fail: bool) -> Footprint:
        """Return what a step would do if it were let through now.

        Args:
            turn: The step.
            waiting: The steps that wait in the server.
            may_fail: Whether an error has to be reckoned with.
        """
        found = self._alone(turn, may_fail=may_fail)
        if found.lets_go or found.publishes or found.opaque:
            for waiter in waiting:
                found |= self._alone(waiter, may_fail=True)
        return replace(found, first=turn.client not in self._seen)

    def _alone(self, turn: Turn, *, may_fail: bool) -> Footprint:
        held = self._held.get(turn.client, _Held())
        level = held.level or turn.isolation or self.default_level
        serializable = level == "SERIALIZABLE" and turn.in_transaction
        if turn.kind not in ("statement", "write"):
            return Footprint(
                opaque=held.opaque,
                lets_go=held.locks,
                publishes=held.changes if turn.kind == "commit" else (),
                serializable=serializable,
                last=True,
            )
        assert turn.statement is not None
        asks = self._asks(turn.statement)
        own = not turn.in_transaction
        fixed = turn.in_transaction and level in ("REPEATABLE READ", "SERIALIZABLE")
        goes_on = turn.kind == "write"
        blind = fixed or (goes_on and not turn.statement.again)
        return Footprint(
            opaque=not turn.statement.recognised or level == UNKNOWN_LEVEL,
            reads=() if blind else (turn.statement,),
            snapshot=fixed and not goes_on and not (held.began and not turn.begin),
            asks=asks,
            lets_go=asks if own else held.locks if may_fail else frozenset(),
            publishes=tuple(turn.statement.writes.items()) if own else (),
            serializable=serializable or turn.statement.serializable,
            quiet=turn.statement.only_reads,
            last=own,
        )

    def _asks(self, statement: Statement) -> frozenset[Lock]:
        asked: set[Lock] = {("table", table, _READS) for table in statement.tables}
        asked |= _drawn(statement)
        if statement.advisory:
            asked.add(("advisory", "", 0))
        if statement.table_lock is not None:
            return frozenset(("table", table, statement.table_lock) for table in statement.tables)
        for table in statement.tables if statement.row_lock else ():
            asked |= {("row", table, statement.row_lock), ("table", table, _LOCKS_ROWS)}
        for table, columns in statement.writes.items():
            strength = UPDATE if ALL in columns else NO_KEY_UPDATE
            asked |= {("write", table, 0), ("row", table, strength), ("table", table, _WRITES)}
            asked |= {("row", other, KEY_SHARE) for other in self.references.get(table, ())}
        return frozenset(asked)


def _drawn(statement: Statement) -> frozenset[Lock]:
    """What stands for the sequences that it draws from; nobody holds them."""
    return frozenset(("write", table, 0) for table in statement.draws)
