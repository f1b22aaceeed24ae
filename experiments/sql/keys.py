"""Which rows a statement is about: the values that it wants or gives, column by column.

Two statements with `staff_id = 1` and `staff_id = 2` do not touch each other, though both touch the
table, and two advisory locks with different keys are two locks. What a statement says of its rows
is read off its text by a parser for SQL. Only what is certain counts: a column of a plain type that
equals a constant, wherever a table is named and in every condition that has to hold; anything else
says nothing, and then the rows may be any.

Keys of advisory locks are worked out by the server, which is asked for the arguments alone.

PostgreSQL's catalogue says which columns there are, and which of them indexes keep apart.
"""

from __future__ import annotations

import logging
import re
import uuid
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

import psycopg
import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError

from experiments.sql.commands import WORDS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

# What can't be parsed says nothing; nobody has to be told.
logging.getLogger("sqlglot").setLevel(logging.ERROR)

NULL = "null"
_PLAIN = {"int2", "int4", "int8", "uuid", "text", "varchar"}
_PARAMETER = "parameter_"
_NAMED = re.compile(rf"%\(({_PARAMETER}\d+)\)s")
_QUOTED = re.compile(r"'((?:[^'\\]|'')*)'(?:::[\w ]+)?")
_ELEMENT = re.compile(r"'\{([\w-]+)\}'(?:::[\w ]+\[\])?")
_SCOPES = (exp.Select, exp.Update, exp.Delete, exp.Insert)

Values = dict[str, str]
"""What columns equal."""
Items = frozenset[tuple[str, str]]
"""The same, as a set."""


@dataclass(frozen=True, slots=True)
class Keyed:
    """What is known of a statement's rows.

    Attributes:
        looks: For each table that it names to read it, what all rows that it may see have.
        writes: For each table that it writes, what all rows have that it adds, changes or removes;
            before and after.
        locks: The keys of the advisory locks that it names; None where they aren't known.
        certain: The keys of those that it surely asks for.
        row: The table and all columns of an index, where it locks the row that has them and looks
            for nothing else.
    """

    looks: Mapping[str, Values] = field(default_factory=dict)
    writes: Mapping[str, Values] = field(default_factory=dict)
    locks: frozenset[str] | None = None
    certain: frozenset[str] = frozenset()
    row: tuple[str, Items] | None = None


UNKNOWN = Keyed()


class _Index(NamedTuple):
    """An index that keeps rows apart: which are alike in these columns, and perhaps in others.

    Attributes:
        columns: The columns.
        nulls_too: Whether nulls are alike.
        whole: Whether a foreign key may refer to it.
    """

    columns: frozenset[str]
    nulls_too: bool
    whole: bool


class Keys:
    """Reads statements, knowing the database they are sent to.

    Args:
        connection: To the database, in autocommit, once its schema stands.
        roots: For each table, the name that it goes by.
        cascaded: The tables whose rows may change along with others.

    Attributes:
        deferred: The tables of which something is checked only when a transaction ends.
    """

    def __init__(
        self,
        connection: psycopg.Connection,
        roots: Mapping[str, str],
        cascaded: frozenset[str] = frozenset(),
    ) -> None:
        self._connection = connection
        self._roots = roots
        self._cascaded = cascaded
        self.deferred = frozenset(
            roots.get(table, table) for (table,) in connection.execute(_DEFERRED)
        )
        self._several = {root for table, root in roots.items() if table != root}
        self._several |= {table for (table,) in connection.execute(_NAMESAKES)}
        self._types: dict[str, dict[str, str]] = {}
        self._drawn: set[tuple[str, str]] = set()
        for table, column, kind, drawn in connection.execute(_COLUMNS):
            self._types.setdefault(roots.get(table, table), {})[column] = kind
            if drawn:
                self._drawn.add((roots.get(table, table), column))
        self._indexes: dict[str, list[_Index]] = {}
        for table, columns, *how in connection.execute(_INDEXES):
            index = _Index(frozenset(columns), *map(bool, how))
            self._indexes.setdefault(roots.get(table, table), []).append(index)
        self._known: dict[tuple[str, tuple[str, ...]], Keyed] = {}
        self._given: tuple[str, ...] = ()

    def of(self, sql: str, given: Sequence[str] = ()) -> Keyed:
        """Return what is known of a statement's rows.

        Args:
            sql: Its text.
            given: The values of `$1`, `$2` and so on, as SQL writes them.
        """
        known = sql, tuple(given)
        found = self._known.get(known)
        if found is None:
            self._given = known[1]
            found = self._known[known] = self._read(sql)
        return found

    def entries(self, table: str, values: Values) -> Iterator[tuple[str, Items]]:
        """Yield what a write puts into indexes that keep rows apart, as far as that is known.

        Args:
            table: The table that is written.
            values: What all rows have that are written.

        Yields:
            A name for each index, and the values there; two entries of one index may be in each
            other's way unless these differ.
        """
        for number, index in enumerate(self._indexes.get(table, ())):
            known = {column: value for column, value in values.items() if column in index.columns}
            if index.nulls_too or NULL not in known.values():
                yield f"{table} {number}", frozenset(known.items())

    def is_alone(self, table: str) -> bool:
        """Whether a name stands for one table: it has no parts, and no namesake."""
        return table not in self._several

    def identifies(self, table: str, columns: frozenset[str]) -> bool:
        """Whether a foreign key may refer to any of some columns, so that a change locks more."""
        return any(
            index.whole and not columns.isdisjoint(index.columns)
            for index in self._indexes.get(table, ())
        )

    def _read(self, sql: str) -> Keyed:
        statement = _parsed(sql)
        if statement is None:
            return UNKNOWN
        looks: dict[str, Values] = {}
        writes: dict[str, Values] = {}
        for node in statement.find_all(exp.Table):
            table = self._roots.get(node.name.lower())
            if table is None:
                continue
            scope = node.find_ancestor(*_SCOPES)
            target = _target(scope)
            if isinstance(scope, exp.Insert) and target is node:
                _meet(writes, table, self._inserted(scope, table))
            elif target is node:
                _meet(writes, table, self._changed(scope, node, table))
                _meet(looks, table, self._wanted(scope, node, table))
            else:
                _meet(looks, table, self._wanted(scope, node, table))
        # A row that is named may take others with it, which have other values.
        writes |= {table: {} for table in self._cascaded.intersection(writes)}
        locks = self._locks(statement)
        certain = locks if locks and _asks_surely(statement, locks) else frozenset()
        return Keyed(looks, writes, locks, certain, self._row(statement, looks))

    def _row(self, statement: exp.Expr, looks: Mapping[str, Values]) -> tuple[str, Items] | None:
        """The one row that a statement locks, if it is there; None where that isn't certain."""
        sources = list(_sources(statement))
        where = statement.args.get("where")
        if not (statement.args.get("locks") and where and len(sources) == 1 and len(looks) == 1):
            return None
        ((table, values),) = looks.items()
        if _is_cut(statement) or not self.is_alone(table):
            return None
        nothing_else = len(list(_terms(where.this))) == len(values) and NULL not in values.values()
        named = any(
            index.whole and index.columns == values.keys() for index in self._indexes.get(table, ())
        )
        return (table, frozenset(values.items())) if named and nothing_else else None

    def _wanted(self, scope: exp.Expr | None, node: exp.Table, table: str) -> Values:
        """What all rows have that are seen where a table is named."""
        if scope is None:
            return {}
        conditions = [scope.args["where"].this] if scope.args.get("where") else []
        joined = node.find_ancestor(exp.Join, *_SCOPES)
        # The others keep the rows that don't meet their condition.
        filters = isinstance(joined, exp.Join) and joined.side not in ("RIGHT", "FULL")
        if filters and joined and joined.this is node and joined.args.get("on"):
            conditions.append(joined.args["on"])
        alone = len(list(_sources(scope))) == 1
        found: Values = {}
        for condition in conditions:
            for term in _terms(condition):
                if not isinstance(term, exp.EQ):
                    continue
                for column, value in ((term.left, term.right), (term.right, term.left)):
                    if isinstance(column, exp.Column) and _is_of(column, node, alone=alone):
                        self._add(found, table, column.name.lower(), value)
        return found

    def _changed(self, scope: exp.Expr | None, node: exp.Table, table: str) -> Values:
        """What all rows have that are changed or removed, before and after."""
        found = self._wanted(scope, node, table)
        if not isinstance(scope, exp.Update):
            return found
        given: Values = {}
        for assignment in scope.expressions:
            if not isinstance(assignment, exp.EQ) or not isinstance(assignment.this, exp.Column):
                return {}
            column = assignment.this.name.lower()
            given[column] = ""
            self._add(given, table, column, assignment.expression)
        return {name: value for name, value in found.items() if given.get(name, value) == value}

    def _inserted(self, scope: exp.Insert, table: str) -> Values:
        """What all rows have that are inserted."""
        conflict = scope.args.get("conflict")
        if not isinstance(scope.this, exp.Schema) or (conflict and conflict.expressions):
            return {}
        columns = [column.name.lower() for column in scope.this.expressions]
        source = scope.expression
        rows: Sequence[Sequence[exp.Expr]] = []
        if isinstance(source, exp.Values):
            rows = [row.expressions for row in source.expressions]
        elif isinstance(source, exp.Select):
            rows = [source.expressions]
        made: list[Values] = []
        for row in rows:
            if len(row) != len(columns):
                return {}
            given: Values = {
                column: DRAWN for of, column in self._drawn if of == table and column not in columns
            }
            for column, value in zip(columns, row, strict=True):
                self._add(given, table, column, value)
            made.append(given)
        return _common(made)

    def _add(self, found: Values, table: str, column: str, value: exp.Expr) -> None:
        """Note what a column equals, where that is certain."""
        kind = self._types.get(table, {}).get(column)
        constant = self._constant(value, kind or "")
        if constant is not None and constant.upper() == "NULL" and kind is not None:
            found[column] = NULL
        elif constant is not None and kind in _PLAIN:
            plain = _plain(constant, kind)
            if plain is not None:
                found[column] = plain

    def _constant(self, value: exp.Expr, kind: str) -> str | None:
        """A constant as SQL writes it, without casts to its own type, which leave it as it is."""
        if isinstance(value, exp.Any):
            return self._only_element(value.this.unnest(), kind)
        while isinstance(value, exp.Cast | exp.Paren):
            if isinstance(value, exp.Cast) and not _is_of_kind(value.to, kind):
                return None
            value = value.this
        if isinstance(value, exp.Placeholder):
            return self._parameter(value.name)
        return value.sql("postgres") if isinstance(value, exp.Literal | exp.Null) else None

    def _only_element(self, array: exp.Expr, kind: str) -> str | None:
        if isinstance(array, exp.Cast):
            elements = array.to.expressions
            if not elements or not _is_of_kind(elements[0], kind):
                return None
            array = array.this
        given = self._constant(array, kind)
        only = _ELEMENT.fullmatch(given) if given else None
        return f"'{only[1]}'" if only and only[1].upper() != "NULL" else None

    def _parameter(self, name: str) -> str | None:
        number = int(name.removeprefix(_PARAMETER)) if name.startswith(_PARAMETER) else 0
        return self._given[number - 1] if 0 < number <= len(self._given) else None

    def _locks(self, statement: exp.Expr) -> frozenset[str] | None:
        """The keys of the advisory locks that are asked for or given back."""
        found: set[str] = set()
        for call in _advisory(statement):
            select = call.find_ancestor(exp.Select)
            if select is None or not call.expressions or any(select.find_all(exp.Table)):
                return None
            arguments = [exp.cast(each.copy(), "bigint") for each in call.expressions]
            if not all(map(_is_plain, arguments)):
                return None
            asked = exp.Select(expressions=arguments)
            for part in ("from_", "from", "where", "joins"):
                if select.args.get(part):
                    asked.set(part, select.args[part])
            named = asked.sql("postgres")
            values = {name: self._parameter(name) for name in _NAMED.findall(named)}
            if None in values.values():
                return None
            text = _NAMED.sub(lambda found: str(values[found[1]]), named)  # noqa: B023 - used here
            try:
                rows = self._connection.execute(text.encode()).fetchall()
            except psycopg.Error:
                return None
            found |= {str(row) for row in rows}
        return frozenset(found)


DRAWN = "drawn"
"""Stands for a number that is drawn from the column's own sequence: another one each time."""

_COLUMNS = """
    SELECT lower(relname), attname, CASE WHEN collisdeterministic IS NOT FALSE THEN typname END,
           attidentity <> '' OR coalesce(pg_get_expr(adbin, adrelid) LIKE '%nextval(%', false)
      FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
      JOIN pg_type ON pg_type.oid = atttypid
      LEFT JOIN pg_collation ON pg_collation.oid = attcollation
      LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum
     WHERE relkind IN ('r', 'p') AND attnum > 0 AND NOT attisdropped AND attgenerated = ''
       AND (typname <> 'varchar' OR atttypmod = -1)
       AND relnamespace::regnamespace::text NOT IN
           ('pg_catalog', 'information_schema', 'pg_toast', 'beginning')
"""
# Of an exclusion constraint those columns that have to be equal.
_INDEXES = """
    SELECT lower(relname), array(
               SELECT attname::text FROM unnest(indkey::integer[]) WITH ORDINALITY AS k (attnum, n)
                 JOIN pg_attribute USING (attnum)
                WHERE attrelid = indrelid AND n <= indnkeyatts
                  AND (indisunique AND conexclop IS NULL
                       OR (SELECT oprname FROM pg_operator WHERE oid = conexclop[n]) = '=')),
           coalesce(to_jsonb(pg_index) ->> 'indnullsnotdistinct', 'false') = 'true',
           indisunique AND indpred IS NULL AND indexprs IS NULL
      FROM pg_index JOIN pg_class ON pg_class.oid = indrelid
      LEFT JOIN pg_constraint ON conindid = indexrelid AND contype IN ('p', 'u', 'x')
     WHERE (indisunique OR indisexclusion) AND relnamespace::regnamespace::text NOT IN
           ('pg_catalog', 'information_schema', 'pg_toast', 'beginning')
"""


_NAMESAKES = """
    SELECT lower(relname) FROM pg_class
     WHERE relkind IN ('r', 'p') AND relnamespace::regnamespace::text NOT IN
           ('pg_catalog', 'information_schema', 'pg_toast', 'beginning')
     GROUP BY 1 HAVING count(*) > 1
"""
_DEFERRED = """
    SELECT DISTINCT lower(relname) FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
     WHERE tginitdeferred
"""


def distinct(one: Items, other: Items) -> bool:
    """Whether no row can have both: a column equals different values."""
    values = dict(other)
    return any(column in values and _differ(value, values[column]) for column, value in one)


def _differ(one: str, other: str) -> bool:
    return one == other if DRAWN in (one, other) else one != other


def _meet(found: dict[str, Values], table: str, values: Values) -> None:
    """Take account of another place where a table is named: what both have in common remains."""
    found[table] = _common([found[table], values]) if table in found else values


def _common(values: Sequence[Values]) -> Values:
    first, *others = values or [{}]
    return {
        column: value
        for column, value in first.items()
        if all(other.get(column) == value for other in others)
    }


def _target(scope: exp.Expr | None) -> exp.Expr | None:
    """The table that a statement writes."""
    if not isinstance(scope, exp.Update | exp.Delete | exp.Insert):
        return None
    named: exp.Expr = scope.this
    return named.this if isinstance(named, exp.Schema) else named


def _sources(scope: exp.Expr) -> Iterator[exp.Expr]:
    """What rows come from."""
    if isinstance(scope, exp.Update | exp.Delete):
        yield scope.this
        yield from scope.args.get("using") or []
    came_from = scope.args.get("from_") or scope.args.get("from")
    if came_from is not None:
        yield came_from.this
    for join in scope.args.get("joins") or []:
        yield join.this
    yield from scope.args.get("laterals") or []


def _terms(condition: exp.Expr) -> Iterator[exp.Expr]:
    """The conditions that all have to hold."""
    condition = condition.unnest()
    if isinstance(condition, exp.And):
        yield from _terms(condition.left)
        yield from _terms(condition.right)
    else:
        yield condition


_FAMILIES = {
    **dict.fromkeys(("int2", "int4", "int8"), ("SMALLINT", "INT", "BIGINT")),
    **dict.fromkeys(("text", "varchar"), ("TEXT", "VARCHAR")),
    "uuid": ("UUID",),
}


def _is_of_kind(type_: exp.DataType, kind: str) -> bool:
    return type_.this.name in _FAMILIES.get(kind, ()) and not type_.expressions


def _advisory(statement: exp.Expr) -> list[exp.Anonymous]:
    """The functions called that ask for advisory locks, or give them back."""
    return [call for call in statement.find_all(exp.Anonymous) if "advisory" in call.name.lower()]


def _asks_surely(statement: exp.Expr, keys: frozenset[str]) -> bool:
    """Whether a statement asks for all of its advisory locks, whatever happens."""
    always = all(call.parent is statement for call in _advisory(statement))
    return always and not _is_cut(statement) and not any("None" in key for key in keys)


def _is_cut(statement: exp.Expr) -> bool:
    """Whether some of its rows may be left out after all conditions hold."""
    return any(statement.args.get(part) for part in ("limit", "offset", "having", "distinct"))


def _is_plain(argument: exp.Expr) -> bool:
    """Whether it is the same for every session: no function in it that could tell anything else."""
    return all(
        isinstance(call, exp.Cast | exp.Explode | exp.Unnest)
        or call.name.lower() in ("hashtext", "hashtextextended")
        for call in argument.find_all(exp.Func)
    )


def _is_of(column: exp.Column, node: exp.Table, *, alone: bool) -> bool:
    return column.table == node.alias_or_name if column.table else alone


@lru_cache(maxsize=1000)
def _parsed(sql: str) -> exp.Expr | None:
    """The one statement of a text; None where there isn't one, or it isn't understood."""
    # What looks like the beginning of a quoted text to the parser, `$1, $`, is no parameter to it.
    named = WORDS.sub(
        lambda word: f":{_PARAMETER}{word[0][1:]}" if word[0][1:].isdigit() else word[0], sql
    )
    try:
        parsed = [each for each in sqlglot.parse(named, read="postgres") if each is not None]
    except (SqlglotError, RecursionError):
        return None
    alone = len(parsed) == 1 and not parsed[0].find(exp.Command, exp.Merge)
    return parsed[0] if alone else None


def _plain(constant: str, kind: str) -> str | None:
    """A value in the one way in which it is written; None where it isn't one of that type."""
    quoted = _QUOTED.fullmatch(constant)
    text = quoted[1].replace("''", "'") if quoted else constant
    try:
        if kind.startswith("int"):
            return str(int(text))
        if kind == "uuid":
            return str(uuid.UUID(text))
    except ValueError:
        return None
    return f"'{text}'" if quoted else None
