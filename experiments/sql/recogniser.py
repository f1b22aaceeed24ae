"""Reads off a SQL statement's text what it touches.

The text is cut into words, and every word that names a table of the database counts as a table
that is read: too many rather than too few. What is written, and in which columns, is read off
INSERT, UPDATE and DELETE. Functions of the user's own are looked up, and their bodies are read
the same way. So are the functions of triggers: where one only reads and locks, whatever sets it off
reads and locks the same. Whatever is not understood is *not recognised*, and then depends on
everything.

A trigger may want a column to be given (`WHEN (new.client_id IS NOT NULL)`). As long as no row has
that column and no statement gives it, the trigger is left out of account; `learn` says when that
changes.

PostgreSQL's catalogue says which tables, foreign keys, functions and triggers there are.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import reduce
from itertools import pairwise
from typing import TYPE_CHECKING, LiteralString, NamedTuple

from psycopg.sql import SQL, Identifier

from experiments.sql.statements import (
    ALL,
    KEY_SHARE,
    NO_KEY_UPDATE,
    SHARE,
    TABLE_MODES,
    UPDATE,
    Changes,
    Statement,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

    import psycopg

_WORDS = re.compile(
    r"""--[^\n]*|/\*.*?\*/|\$\w*\$|'(?:[^']|'')*'|%\(\w+\)s|%s|"(?:[^"]|"")*"|[a-z_]\w*|::|\S""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
_SYSTEM = ("pg_catalog", "information_schema")
_READING = {"select", "insert", "update", "delete", "with", "values", "table"}
_SETTING = {"set", "show", "reset", "savepoint", "release", "begin", "start", "discard"}
# Volatile, yet they neither see nor change what another client could notice.
_HARMLESS = {
    "random", "clock_timestamp", "timeofday", "gen_random_uuid", "uuidv4", "uuidv7", "nextval",
    "currval", "lastval", "pg_sleep", "pg_advisory_lock", "pg_advisory_xact_lock",
    "pg_try_advisory_lock", "pg_try_advisory_xact_lock", "pg_advisory_lock_shared",
    "pg_advisory_xact_lock_shared", "pg_try_advisory_lock_shared", "pg_advisory_unlock",
    "pg_try_advisory_xact_lock_shared", "pg_advisory_unlock_shared", "pg_advisory_unlock_all",
}  # fmt: skip


# The first of a trigger's conditions that it wants a column to be given.
_GIVEN = re.compile(r"\(?new\.(\w+) IS NOT NULL\)?", re.IGNORECASE)


class _Function(NamedTuple):
    body: str
    harmless: bool


class _Trigger(NamedTuple):
    function: str
    columns: frozenset[str]  # whose update sets it off
    wants: str | None  # the column without which nothing sets it off


class Recogniser:
    """Reads statements, knowing the database they are sent to.

    Args:
        connection: To the database, once its schema stands.

    Attributes:
        references: For each table, the tables that its foreign keys refer to.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        def column(query: LiteralString) -> set[str]:
            return {str(row[0]) for row in connection.execute(query, [list(_SYSTEM)])}

        self._tables = column(
            "SELECT relname FROM pg_class WHERE relkind IN ('r', 'p')"
            " AND relnamespace::regnamespace::text <> ALL (%s)"
        )
        # A view's definition is not followed; and what the server says of itself changes with
        # every step.
        self._opaque = (
            {"information_schema"}
            | column(
                "SELECT relname FROM pg_class WHERE relname LIKE 'pg\\_%%'"
                " AND relnamespace::regnamespace::text = ANY (%s)"
            )
            | column(
                "SELECT relname FROM pg_class WHERE relkind IN ('v', 'm', 'f')"
                " AND relnamespace::regnamespace::text <> ALL (%s)"
            )
        )
        self._triggers: dict[str, list[_Trigger]] = {}
        for table, function, columns, definition in connection.execute(
            """
            SELECT relname, proname, array(SELECT attname::text FROM pg_attribute
                                            WHERE attrelid = tgrelid AND attnum = ANY (tgattr)),
                   pg_get_triggerdef(pg_trigger.oid)
              FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
              JOIN pg_proc ON pg_proc.oid = tgfoid
             WHERE NOT tgisinternal AND tgtype & 28 <> 0
            """  # INSERT, UPDATE or DELETE; what truncates is not recognised in any case
        ):
            self._triggers.setdefault(table, []).append(
                _Trigger(function, frozenset(columns or [ALL]), _wanted(definition))
            )
        self._volatile = (
            column(
                "SELECT proname FROM pg_proc WHERE provolatile = 'v'"
                " AND pronamespace::regnamespace::text = ANY (%s)"
            )
            - _HARMLESS
        )
        self._functions = {
            str(name): _Function(str(body), bool(harmless))
            for name, body, harmless in connection.execute(
                "SELECT proname, prosrc, provolatile = 'i' FROM pg_proc"
                " WHERE pronamespace::regnamespace::text <> ALL (%s)",
                [list(_SYSTEM)],
            )
        }
        self.references: dict[str, frozenset[str]] = {}
        for table, other in connection.execute(
            "SELECT conrelid::regclass::text, confrelid::regclass::text FROM pg_constraint"
            " WHERE contype = 'f'"
        ):
            self.references[table] = self.references.get(table, frozenset()) | {other}
        self._known: dict[str, Statement] = {}
        # The columns that triggers want and nobody gives, with their tables.
        self._absent = {
            (table, trigger.wants)
            for table, triggers in self._triggers.items()
            for trigger in triggers
            if trigger.wants and not _is_given(connection, table, trigger.wants)
        }

    def __call__(self, sql: str) -> Statement:
        """Return what a statement touches, given its text with or without parameters."""
        found = self._known.get(sql)
        if found is None:
            found = self._known[sql] = self._read(sql)
        return found

    def learn(self, sql: str, parameters: object = None) -> bool:
        """Take account of what a statement gives; say whether triggers mind that did not so far.

        Args:
            sql: Its text.
            parameters: Their values, by name.
        """
        if not self._absent:
            return False
        values = parameters if isinstance(parameters, Mapping) else {}
        statement = self(sql)
        given = {
            (table, column)
            for table, column in self._absent
            if table in statement.writes
            and (column in sql or not statement.recognised)
            and values.get(column, column) is not None
        }
        if given:
            self._absent -= given
            self._known.clear()
        return bool(given)

    def _read(self, sql: str) -> Statement:
        words = [word.lower() for word in _WORDS.findall(sql)]
        words = [word.strip('"') for word in words if not word.startswith(("--", "/*"))]
        while words and words[-1] == ";":
            words.pop()
        if not words or ";" in words:
            return self._opaque_to_us(words)
        match words:
            case ["lock", *rest]:
                return self._lock_table(rest)
            case [first, *_] if first in _SETTING:
                raised = "isolation" in words or "transaction_isolation" in words
                return Statement(serializable=raised)
            case [first, *_] if first not in _READING:
                return self._opaque_to_us(words)
        called = _called(words)
        if called & self._volatile or self._opaque.intersection(words) or "$$" in words:
            return self._opaque_to_us(words)
        own = [self._functions[name] for name in called if name in self._functions]
        if not all(function.harmless for function in own):
            return self._opaque_to_us(words, own)
        writes = self._writes(words)
        functions = self._set_off(writes)
        followed = [self._followed(function) for function in functions]
        if not all(followed):
            return self._opaque_to_us(words, own)
        for body in followed:
            words = [*words, *body]
            called |= _called(body)
        advisory = {word for word in called if "advisory" in word}
        return Statement(
            tables=frozenset(self._tables.intersection(words)),
            words=frozenset(words),
            writes=writes,
            row_lock=_row_lock(words),
            advisory=bool(advisory),
            releases=any("unlock" in word for word in advisory),
            outlives=any("xact" not in word for word in advisory),
        )

    def _opaque_to_us(self, words: list[str], called: Iterable[_Function] = ()) -> Statement:
        """Not recognised; what is written is still known where functions of the user's are it."""
        bodies = [
            [word.lower() for word in _WORDS.findall(function.body)]
            for function in called
            if not function.harmless
        ]
        readable = bodies and not any("execute" in body for body in bodies)
        everything = dict.fromkeys(self._tables, frozenset({ALL}))
        return Statement(
            recognised=False,
            releases=True,
            outlives=True,
            tables=frozenset(self._tables),
            words=frozenset({ALL, *words}),
            writes=reduce(_merged, map(self._writes, [words, *bodies]), {})
            if readable
            else everything,
        )

    def _set_off(self, writes: Changes) -> set[str]:
        """The functions of the triggers that fire."""
        return {
            trigger.function
            for table, written in writes.items()
            for trigger in self._triggers.get(table, ())
            if (table, trigger.wants) not in self._absent
            and (ALL in trigger.columns | written or not trigger.columns.isdisjoint(written))
        }

    def _followed(self, trigger: str) -> list[str]:
        """The words of a trigger's function; none where it may do more than read and lock."""
        body = self._functions[trigger].body if trigger in self._functions else "execute"
        words = [word.lower() for word in _WORDS.findall(body)]
        unknown = self._volatile | self._functions.keys() | {"execute"}
        return [] if unknown.intersection(words) or self._writes(words) else words

    def _lock_table(self, words: list[str]) -> Statement:
        text = " ".join(words)
        mode = next(
            (
                number
                for number, name in sorted(enumerate(TABLE_MODES), key=lambda each: -len(each[1]))
                if f"in {name} mode" in text
            ),
            len(TABLE_MODES) - 1,
        )
        tables = frozenset(self._tables.intersection(words))
        # Nobody may take a read of a locked table for one that commutes with everything.
        return Statement(
            tables=tables,
            words=frozenset(words),
            table_lock=mode,
            writes=dict.fromkeys(tables, frozenset({ALL})),
        )

    def _writes(self, words: list[str]) -> Changes:
        found: Changes = {}
        for position, word in enumerate(words):
            before = words[position - 1] if position else ""
            after = words[position + 1 : position + 4]
            if (word, *after[:1]) in (("insert", "into"), ("delete", "from")):
                target = _unqualified(words, position + 2)
                found = _merged(found, {target: frozenset({ALL})})
            elif word == "update" and before == "do":
                found = _merged(
                    found, dict.fromkeys(self._tables.intersection(words), frozenset({ALL}))
                )
            elif word == "update" and before not in ("for", "key"):
                target = _unqualified(
                    words, position + 2 if after[:1] == ["only"] else position + 1
                )
                found = _merged(found, {target: _columns_set(words[position:])})
        return found


def _wanted(definition: str) -> str | None:
    """The column without which nothing sets a trigger off, given its definition."""
    _, _, condition = definition.partition(" WHEN ")
    condition, _, _ = condition.rpartition(" EXECUTE ")
    if re.search(r"\bOR\b|\bNOT \(|\bCASE\b", condition):
        return None
    terms = (_GIVEN.fullmatch(term.strip(" ()")) for term in condition.split(" AND "))
    return next((term[1] for term in terms if term), None)


def _is_given(connection: psycopg.Connection, table: str, column: str) -> bool:
    query = SQL("SELECT FROM {} WHERE {} IS NOT NULL LIMIT 1")
    rows = connection.execute(query.format(Identifier(table), Identifier(column)))
    return bool(rows.fetchall())


def _called(words: Iterable[str]) -> set[str]:
    """The words that a parenthesis follows: functions among them."""
    return {word for word, after in pairwise(words) if after == "("}


def _merged(one: Changes, other: Changes) -> Changes:
    return {
        table: one.get(table, frozenset()) | other.get(table, frozenset())
        for table in one.keys() | other.keys()
    }


def _unqualified(words: list[str], position: int) -> str:
    """The name at a position, without the schema before it."""
    return words[position + 2] if words[position + 1 : position + 2] == ["."] else words[position]


def _columns_set(words: list[str]) -> frozenset[str]:
    """The columns that `UPDATE … SET …` assigns."""
    columns: set[str] = set()
    depth = 0
    for position in range(words.index("set"), len(words)):
        word = words[position]
        depth += (word == "(") - (word == ")")
        if depth < 0 or (depth == 0 and word in ("where", "from", "returning")):
            break
        if depth == 0 and word in ("set", ","):
            assigned = words[position + 1]
            columns.add(ALL if assigned == "(" else assigned)
    return frozenset(columns)


def _row_lock(words: list[str]) -> int:
    text = " ".join(words)
    if "for no key update" in text:
        return NO_KEY_UPDATE
    if "for key share" in text:
        return KEY_SHARE
    if "for share" in text:
        return SHARE
    return UPDATE if "for update" in text else 0
