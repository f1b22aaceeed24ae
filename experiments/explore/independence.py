"""Which steps commute: played in either order, they lead to the same state.

Two schedules that differ only in the order of neighbouring steps that commute are one and the same
to everybody, and a reduced search plays one of them. The relation below knows how PostgreSQL
works, and errs on the side of dependence:

- A READ COMMITTED statement sees what was committed before it began. It commutes with a rival's
  INSERT, which nobody sees yet, and not with the COMMIT that publishes it.
- A REPEATABLE READ or SERIALIZABLE transaction takes its snapshot with its first statement, which
  therefore commutes with no COMMIT that publishes something. Its later reads commute with all.
- Two writes to one table do not commute: a unique index or a row may bring them together; unless
  their rows are known to differ (`experiments.sql.keys`), and so do the entries in every index that
  keeps rows apart. In which order rows lie in a table is nobody's promise.
- Of a statement whose rows are known, nobody minds what happens to others.
- Who asks for a lock commutes neither with who asks for one that conflicts, nor with the end of
  the transaction that holds one. PostgreSQL lets go of locks when an error occurs, not at ROLLBACK.
- A statement that is held back before it writes (`experiments.explore.gates`) may as well have done
  all that it does. Where it goes on, it has taken its snapshot already; functions and triggers take
  others.
- A step that lets others go on includes what these then do.
- Who asks for a lock and waits is let go on by whoever has it, and nobody has noticed: that comes
  to the same as to ask for it afterwards. Who looks at something before it waits, or takes another
  way where it would have to, or keeps out others whom the holder lets in, is noticed.
- A number drawn from a sequence is gone at once, whatever becomes of the transaction. Two that draw
  do not commute, where it matters who is given which number.
- Steps of SERIALIZABLE transactions commute only where both read: writes, reads after writes and
  ends of transactions are what decides who is failed.
- The step after which a client may be told something does not commute with another client's
  first: properties speak of requests that were open at the same time. Where nothing else of two
  clients depends on each other, that says nothing: they have one schedule, one after the other,
  which excuses nobody.
- What is not recognised depends on everything, and so does a step under an isolation level that
  could not be learnt.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from experiments.sql.commands import UNKNOWN_LEVEL
from experiments.sql.keys import Items, Values, distinct
from experiments.sql.statements import (
    ALL,
    EXCLUSIVE,
    KEY_SHARE,
    NO_KEY_UPDATE,
    TABLE_MODES,
    UPDATE,
    Statement,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from experiments.sql.keys import Keys
    from experiments.steer.turn import Turn

_ROW_CONFLICT = 5
# Manual: table 13.2, Conflicting Lock Modes.
_TABLE_CONFLICTS = {0: {7}, 1: {6, 7}, 2: {4, 5, 6, 7}, 3: {3, 4, 5, 6, 7}, 4: {2, 3, 5, 6, 7},
                    5: {2, 3, 4, 5, 6, 7}, 6: set(range(1, 8)), 7: set(range(8))}  # fmt: skip
_READS, _LOCKS_ROWS, _WRITES = (
    TABLE_MODES.index(mode) for mode in ("access share", "row share", "row exclusive")
)


class Lock(NamedTuple):
    """Something that others may have to wait for.

    Attributes:
        kind: What it is: on a `row` or `table`, an `entry` in an index, an `advisory` lock, the
            next number to `draw`, or anything of a table for which `write` stands.
        what: The table's name, the index's, or the advisory lock's key; nothing for any key.
        strength: How strong it is, where there are modes; of an advisory lock how strong it is at
            least, and of a number to draw whether it matters who draws which.
        values: What all of its rows have.
        certain: Whether it is one, and surely asked for: others who surely ask for it are kept out.
    """

    kind: str
    what: str
    strength: int = 0
    values: Items = frozenset()
    certain: bool = False


class Change(NamedTuple):
    """What is made visible: which columns of which table, and what all of its rows have."""

    table: str
    columns: frozenset[str]
    values: Items = frozenset()


class Look(NamedTuple):
    """A statement that sees what is committed, and what all rows have that it sees, by table."""

    statement: Statement
    values: Mapping[str, Items]


@dataclass(frozen=True, slots=True)
class Footprint:
    """What a step does, as far as others could notice.

    Attributes:
        opaque: Whether it isn't known.
        reads: The statements that see what is committed.
        snapshot: Whether it fixes what its transaction sees.
        asks: The locks that it asks for.
        lets_go: The locks that it may let go of.
        had: Those of them that its transaction surely had.
        publishes: The changes that it makes visible.
        serializable: Whether its transaction is SERIALIZABLE.
        quiet: Whether it only reads.
        patient: Whether it waits for all that it asks for.
        first: Whether it is its client's first.
        last: Whether its client may be told something after it.
    """

    opaque: bool = False
    reads: tuple[Look, ...] = ()
    snapshot: bool = False
    asks: frozenset[Lock] = frozenset()
    lets_go: frozenset[Lock] = frozenset()
    had: frozenset[Lock] = frozenset()
    publishes: tuple[Change, ...] = ()
    serializable: bool = False
    quiet: bool = False
    patient: bool = False
    first: bool = False
    last: bool = False

    def __or__(self, other: Footprint) -> Footprint:
        return Footprint(
            opaque=self.opaque or other.opaque,
            reads=self.reads + other.reads,
            snapshot=self.snapshot or other.snapshot,
            asks=self.asks | other.asks,
            lets_go=self.lets_go | other.lets_go,
            had=self.had | other.had,
            publishes=self.publishes + other.publishes,
            serializable=self.serializable or other.serializable,
            quiet=self.quiet and other.quiet,
            patient=self.patient and other.patient,
            first=self.first or other.first,
            last=self.last or other.last,
        )


def independent(one: Footprint, other: Footprint) -> bool:
    """Whether two steps of different clients commute, and neither says who was open when."""
    return not ((one.first and other.last) or (one.last and other.first)) and commute(one, other)


def only_waits(holder: Footprint, asker: Footprint) -> bool:
    """Whether all that a step has to do with an earlier one is that this lets it have a lock.

    To ask for it earlier, and to wait, then comes to the same. What else the later step asks for it
    may have while it waits; that must keep out nobody whom the earlier one's transaction lets in.

    Args:
        holder: The step that came first.
        asker: The step of another client that came later.
    """
    return (
        asker.patient
        and any(_keeps_out(held, asked) for held in holder.had for asked in asker.asks)
        and all(any(_includes(held, asked) for held in holder.had) for asked in asker.asks)
        and commute(replace(holder, lets_go=frozenset()), asker)
    )


def _keeps_out(held: Lock, asked: Lock) -> bool:
    """Whether a lock that is surely had keeps out who asks for one, and all whom that would."""
    return asked.certain and _conflict(held, asked) and _includes(held, asked)


def _includes(held: Lock, asked: Lock) -> bool:
    """Whether one lock, of the same thing, keeps out all whom the other one would keep out."""
    if held[:2] != asked[:2] or held.values != asked.values:
        return False
    if held.kind == "table":
        return _TABLE_CONFLICTS[held.strength] >= _TABLE_CONFLICTS[asked.strength]
    if held.kind == "advisory":
        return held.strength == EXCLUSIVE
    return held.strength >= asked.strength


def commute(one: Footprint, other: Footprint) -> bool:
    """Whether two steps of different clients lead to the same in either order."""
    return not (
        one.opaque
        or other.opaque
        or (one.serializable and other.serializable and not (one.quiet and other.quiet))
        or _sees(one, other)
        or _sees(other, one)
        or _meet(one.asks, other.asks)
        or _meet(one.asks, other.lets_go)
        or _meet(one.lets_go, other.asks)
    )


def _sees(reader: Footprint, writer: Footprint) -> bool:
    return any(
        reader.snapshot or any(_looks_at(look, change) for look in reader.reads)
        for change in writer.publishes
    )


def _looks_at(look: Look, change: Change) -> bool:
    table, columns, values = change
    return look.statement.reads(table, columns) and not distinct(
        look.values.get(table, frozenset()), values
    )


def _meet(some: Iterable[Lock], others: Iterable[Lock]) -> bool:
    return any(_conflict(one, other) for one in some for other in others)


def _conflict(one: Lock, other: Lock) -> bool:
    if one.kind != other.kind:
        return False
    if one.kind == "advisory":
        return one.what == other.what or not (one.what and other.what)
    if one.what != other.what or distinct(one.values, other.values):
        return False
    if one.kind == "row":
        return one.strength + other.strength >= _ROW_CONFLICT
    if one.kind == "draw":
        return bool(one.strength or other.strength)
    if one.kind == "table":
        return other.strength in _TABLE_CONFLICTS[one.strength]
    return True


@dataclass(slots=True)
class _Held:
    """What a client's transaction has done so far."""

    level: str = ""
    locks: frozenset[Lock] = frozenset()
    had: frozenset[Lock] = frozenset()
    changes: tuple[Change, ...] = ()
    opaque: bool = False
    began: bool = False


@dataclass(slots=True)
class Ledger:
    """Keeps account of the open transactions of a run, to tell what a step would do.

    Args:
        references: For each table, those that its foreign keys refer to.
        default_level: The isolation level where none is asked for.
        keys: Knows the indexes.
        numbers: Whether it matters who is given which number of a sequence.
    """

    references: Mapping[str, frozenset[str]]
    default_level: str = "READ COMMITTED"
    keys: Keys | None = None
    numbers: bool = True
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
        held.began |= turn.statement.table_lock is None  # LOCK TABLE takes no snapshot
        held.locks |= {each for each in self._asks(turn) if each.kind != "draw"}
        held.changes += _changes(turn)
        held.opaque |= not turn.statement.recognised or held.level == UNKNOWN_LEVEL
        if not turn.statement.recognised:  # it may go back to a savepoint
            held.had = frozenset()
        # What is checked at its end may find, or have to wait for, anything.
        held.opaque |= self.keys is not None and not self.keys.deferred.isdisjoint(
            turn.statement.writes
        )
        if turn.statement.serializable:
            held.level = "SERIALIZABLE"

    def forget(self, client: int) -> None:
        """Take account of a fault: the client's transaction is undone."""
        self._seen.add(client)
        self._held[client] = _Held()

    def settle(self, turn: Turn) -> None:
        """Take account of what came of a step: after an error the transaction's locks are gone."""
        held = self._held.get(turn.client)
        if held is None:
            return
        if turn.error is not None:
            held.locks = held.had = frozenset()
            held.changes = ()
        elif turn.statement is not None and turn.in_transaction and turn.answered_at is not None:
            held.had |= self._surely_has(turn, turn.statement)

    def _surely_has(self, turn: Turn, statement: Statement) -> set[Lock]:
        """The locks that a transaction has after a statement, until it ends."""
        if not statement.recognised or not statement.patient or statement.outlives:
            return set()
        one = turn.result.count == 1
        return {each for each in self._asks(turn) if each.certain and (one or each.kind != "row")}

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
                had=held.had,
                publishes=held.changes if turn.kind == "commit" else (),
                serializable=serializable,
                last=True,
            )
        assert turn.statement is not None
        asks = self._asks(turn)
        if held.had:  # to ask again for what the transaction has is nothing to others
            asks = frozenset(
                each for each in asks if not any(_includes(had, each) for had in held.had)
            )
        own = not turn.in_transaction
        fixed = turn.in_transaction and level in ("REPEATABLE READ", "SERIALIZABLE")
        if fixed:  # it may not see the row, and then it waits for none
            asks = frozenset(
                each._replace(certain=False) if each.kind == "row" else each for each in asks
            )
        goes_on = turn.kind == "write"
        blind = fixed or (goes_on and not turn.statement.again)
        blind |= turn.statement.table_lock is not None
        return Footprint(
            opaque=not turn.statement.recognised or level == UNKNOWN_LEVEL,
            reads=() if blind else (Look(turn.statement, _items(turn.keyed.looks)),),
            snapshot=fixed
            and not goes_on
            and turn.statement.table_lock is None
            and not (held.began and not turn.begin),
            asks=asks,
            lets_go=(asks if own or turn.statement.releases else frozenset())
            | (held.locks if may_fail and not own else frozenset()),
            publishes=_changes(turn) if own else (),
            serializable=serializable or turn.statement.serializable,
            quiet=turn.statement.only_reads,
            patient=turn.statement.patient,
            last=own,
        )

    def _asks(self, turn: Turn) -> frozenset[Lock]:
        statement, keyed = turn.statement, turn.keyed
        assert statement is not None
        if statement.table_lock is not None:
            return frozenset(
                Lock("table", table, statement.table_lock, certain=self._is_alone(table))
                for table in statement.tables
            )
        row = keyed.row and keyed.row[0]
        asked = {Lock("table", table, _READS, certain=table == row) for table in statement.tables}
        asked |= {Lock("draw", table, strength=1) for table in statement.draws}
        if statement.advisory:
            asked |= {
                Lock("advisory", key, statement.advisory, certain=key in keyed.certain)
                for key in keyed.locks or {""}
            }
        for table in statement.tables if statement.row_lock else ():
            rows = frozenset(keyed.looks.get(table, {}).items())
            one = keyed.row == (table, rows)
            asked |= {Lock("row", table, statement.row_lock, rows, certain=one)}
            asked |= {Lock("table", table, _LOCKS_ROWS, certain=one)}
        for table, columns in statement.writes.items():
            asked |= self._written(table, columns, keyed.writes.get(table, {}))
        return frozenset(asked)

    def _is_alone(self, table: str) -> bool:
        return self.keys is None or self.keys.is_alone(table)

    def _written(self, table: str, columns: frozenset[str], values: Values) -> set[Lock]:
        """What a write to a table asks for."""
        rows = frozenset(values.items())
        identified = ALL in columns or (
            self.keys is not None and self.keys.identifies(table, columns)
        )
        asked = {
            Lock("row", table, UPDATE if identified else NO_KEY_UPDATE, rows),
            Lock("table", table, _WRITES),
            *(Lock("row", other, KEY_SHARE) for other in self.references.get(table, ())),
            # Of whom nothing is known, everything in the table stands in the way.
            Lock("write", table, 0, rows),
            Lock("draw", table, strength=self.numbers),
        }
        if self.keys is not None:
            entries = self.keys.entries(table, values)
            asked |= {Lock("entry", name, 0, entry) for name, entry in entries}
        return asked


def _changes(turn: Turn) -> tuple[Change, ...]:
    assert turn.statement is not None
    values = _items(turn.keyed.writes)
    return tuple(
        Change(table, columns, values.get(table, frozenset()))
        for table, columns in turn.statement.writes.items()
    )


def _items(values: Mapping[str, Values]) -> dict[str, Items]:
    return {table: frozenset(each.items()) for table, each in values.items()}
