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
from functools import lru_cache, reduce
from itertools import chain, pairwise
from typing import TYPE_CHECKING, LiteralString, NamedTuple

from psycopg.sql import SQL, Identifier

from experiments.sql.commands import WORDS
from experiments.sql.statements import (
    ALL,
    EXCLUSIVE,
    KEY_SHARE,
    NO_KEY_UPDATE,
    SHARE,
    SHARED,
    TABLE_MODES,
    UPDATE,
    Changes,
    Statement,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import psycopg

_SYSTEM = ("pg_catalog", "information_schema", "pg_toast", "beginning")
_READING = {"select", "insert", "update", "delete", "with", "values", "table"}
_SETTING = {"set", "show", "reset", "savepoint", "release", "begin", "start", "discard"}
# What they say changes with every transaction that begins or ends.
_RUNNING = {
    "txid_current", "txid_current_if_assigned", "txid_current_snapshot", "txid_status",
    "pg_current_xact_id", "pg_current_xact_id_if_assigned", "pg_current_snapshot", "pg_xact_status",
}  # fmt: skip
# With them a statement sees columns that it does not name.
_UNNAMED = {"table", "natural", "xmin", "xmax", "ctid", "cmin", "cmax", "tableoid"}
_BEFORE_TABLE = {"from", "join", "update", "into", "only", ",", ".", "using", "table", "of"}
_AFTER_TABLE = {
    "", "where", "set", "on", "join", "inner", "left", "right", "full", "cross", "natural", "order",
    "group", "having", "limit", "offset", "for", "union", "intersect", "except", "returning",
    "values", "select", "using", "default", "window", "fetch", "overriding", "tablesample", ")",
    "(", ",", ";", ".", "with", "do", "*",
}  # fmt: skip
# Settings that say how to plan, and nothing of what is seen or locked.
_PLANNING = re.compile(r"'(jit|plan_cache_mode|work_mem|enable_\w+|\w+_cost)'")
_IMPATIENT = {"nowait", "skip"}
_BEFORE_ALL = {"select", "distinct", "all", "returning", ",", ".", "("}
_DEFINING = {"create", "alter", "drop", "comment", "grant", "revoke"}
# Volatile, yet they neither see nor change what another client could notice.
_HARMLESS = {
    "random", "clock_timestamp", "timeofday", "gen_random_uuid", "uuidv4", "uuidv7", "nextval",
    "currval", "lastval", "pg_sleep", "pg_advisory_lock", "pg_advisory_xact_lock",
    "pg_try_advisory_lock", "pg_try_advisory_xact_lock", "pg_advisory_lock_shared",
    "pg_advisory_xact_lock_shared", "pg_try_advisory_lock_shared", "pg_advisory_unlock",
    "pg_try_advisory_xact_lock_shared", "pg_advisory_unlock_shared", "pg_advisory_unlock_all",
}  # fmt: skip


CATALOGUE = "pg_catalog"
"""Stands for all tables of PostgreSQL's catalogue."""

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
        roots: For each table, the name that it goes by.
        references: For each table, the tables that its foreign keys refer to.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        def column(query: LiteralString) -> set[str]:
            return {str(row[0]) for row in connection.execute(query, [list(_SYSTEM)])}

        # A partition, and a table that inherits from another, goes by the name of its root.
        self.roots: dict[str, str] = {
            table: table
            for table in column(
                "SELECT lower(relname) FROM pg_class WHERE relkind IN ('r', 'p')"
                " AND relnamespace::regnamespace::text <> ALL (%s)"
            )
        }
        for child, parent in connection.execute(
            "SELECT lower(child.relname), lower(parent.relname) FROM pg_inherits"
            " JOIN pg_class AS child ON child.oid = inhrelid AND child.relkind IN ('r', 'p')"
            " JOIN pg_class AS parent ON parent.oid = inhparent"
        ):
            old, new = self.roots[child], self.roots[parent]
            self.roots = {name: new if root == old else root for name, root in self.roots.items()}
        # What stands in the catalogue changes with what is defined, which is as good as never; what
        # the server says of itself changes with every step.
        self._catalogue = column(
            "SELECT relname FROM pg_class WHERE relkind = 'r' AND relname LIKE 'pg\\_%%'"
            " AND relnamespace::regnamespace::text = ANY (%s)"
        )
        # Not followed: a view's definition, a rule's, a policy's, and functions of somebody's own
        # that are called for a default or a check. What a sequence says of itself changes at once.
        self._opaque = (
            {"information_schema"}
            | column(
                "SELECT relname FROM pg_class WHERE relkind <> 'r' AND relname LIKE 'pg\\_%%'"
                " AND relnamespace::regnamespace::text = ANY (%s)"
            )
            | column(
                "SELECT lower(relname) FROM pg_class WHERE (relkind IN ('v', 'm', 'f', 'S')"
                " OR relhasrules OR relrowsecurity)"
                " AND relnamespace::regnamespace::text <> ALL (%s)"
            )
            | column(
                """
                SELECT lower(relname) FROM pg_depend
                  JOIN pg_proc ON pg_proc.oid = refobjid AND refclassid = 'pg_proc'::regclass
                  LEFT JOIN pg_attrdef ON pg_attrdef.oid = objid
                                       AND classid = 'pg_attrdef'::regclass
                  LEFT JOIN pg_constraint ON pg_constraint.oid = objid
                                          AND classid = 'pg_constraint'::regclass
                  JOIN pg_class ON pg_class.oid = coalesce(adrelid, conrelid)
                 WHERE pronamespace::regnamespace::text <> ALL (%s) AND provolatile <> 'i'
                """
            )
        )
        self._numbered = self._named(
            column(
                "SELECT lower(relname) FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
                " LEFT JOIN pg_attrdef ON adrelid = attrelid AND adnum = attnum"
                " WHERE (attidentity <> '' OR pg_get_expr(adbin, adrelid) LIKE '%%nextval(%%')"
                " AND relnamespace::regnamespace::text <> ALL (%s)"
            )
        )
        self._triggers: dict[str, list[_Trigger]] = {}
        for table, function, columns, definition in connection.execute(
            """
            SELECT lower(relname), proname, array(SELECT attname::text FROM pg_attribute
                                            WHERE attrelid = tgrelid AND attnum = ANY (tgattr)),
                   pg_get_triggerdef(pg_trigger.oid)
              FROM pg_trigger JOIN pg_class ON pg_class.oid = tgrelid
              JOIN pg_proc ON pg_proc.oid = tgfoid
             WHERE NOT tgisinternal AND tgtype & 28 <> 0
            """  # INSERT, UPDATE or DELETE; what truncates is not recognised in any case
        ):
            self._triggers.setdefault(self.roots.get(table) or str(table), []).append(
                _Trigger(function, frozenset(columns or [ALL]), _wanted(definition))
            )
        self._volatile = (
            column(
                "SELECT proname FROM pg_proc WHERE provolatile = 'v'"
                " AND pronamespace::regnamespace::text = ANY (%s)"
            )
            - _HARMLESS
        )
        # Only what is written in SQL or PL/pgSQL can be read; anything else may execute anything.
        self._functions = {
            str(name): _Function(str(body), bool(harmless))
            for name, body, harmless in connection.execute(
                "SELECT proname, CASE WHEN lanname IN ('sql', 'plpgsql') AND prosrc <> ''"
                " THEN prosrc ELSE 'execute' END, provolatile = 'i'"
                " FROM pg_proc JOIN pg_language ON pg_language.oid = prolang"
                " WHERE pronamespace::regnamespace::text <> ALL (%s)",
                [list(_SYSTEM)],
            )
        }
        self.references: dict[str, frozenset[str]] = {}
        # Whom a change of a table changes too, because of foreign keys, by the column that matters;
        # None where a row goes.
        self._cascades: dict[tuple[str, str | None], set[str]] = {}
        for table, other, deletes, updates, key in connection.execute(
            """
            SELECT lower(child.relname), lower(parent.relname), confdeltype IN ('c', 'n', 'd'),
                   confupdtype IN ('c', 'n', 'd'),
                   array(SELECT attname::text FROM pg_attribute
                          WHERE attrelid = confrelid AND attnum = ANY (confkey))
              FROM pg_constraint JOIN pg_class AS child ON child.oid = conrelid
              JOIN pg_class AS parent ON parent.oid = confrelid
             WHERE contype = 'f'
            """
        ):
            child, parent = self.roots[table], self.roots[other]
            self.references[child] = self.references.get(child, frozenset()) | {parent}
            for changed in [*([None] if deletes else []), *(key if updates else [])]:
                self._cascades.setdefault((parent, changed), set()).add(child)
        # Their rows change in columns that no UPDATE names: generated ones, or by a trigger.
        self._derived = {
            self.roots.get(table) or table
            for table in column(
                "SELECT lower(relname) FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid"
                " WHERE attgenerated <> '' AND relnamespace::regnamespace::text <> ALL (%s)"
                " UNION SELECT lower(relname) FROM pg_trigger"
                " JOIN pg_class ON pg_class.oid = tgrelid JOIN pg_proc ON pg_proc.oid = tgfoid"
                " WHERE NOT tgisinternal AND tgtype & 18 = 18 AND tgtype & 1 = 1"
                " AND prosrc ~* '(\\mnew\\.\\w+\\s*:?=|\\minto\\M)'"
            )
        }
        self._known: dict[str, Statement] = {}
        # The columns that triggers want and nobody gives, with their tables.
        self._absent = {
            (table, trigger.wants)
            for table, triggers in self._triggers.items()
            for trigger in triggers
            if trigger.wants and not self._is_given(connection, table, trigger.wants)
        }

    @property
    def cascaded(self) -> frozenset[str]:
        """The tables whose rows may change along with those of others."""
        return frozenset().union(*self._cascades.values())

    def __call__(self, sql: str) -> Statement:
        """Return what a statement touches, given its text with or without parameters."""
        found = self._known.get(sql)
        if found is None:
            found = self._known[sql] = self._read(sql)
        return found

    def learn(self, sql: str, parameters: Sequence[bytes | None] = ()) -> bool:
        """Take account of what a statement gives; say whether triggers mind that did not so far.

        Args:
            sql: Its text.
            parameters: The values of `$1`, `$2` and so on.
        """
        if not self._absent:
            return False
        statement = self(sql)
        given = {
            (table, column)
            for table, column in self._absent
            if table in statement.writes
            and (not statement.recognised or gives(_words(sql), column, parameters))
        }
        if given:
            self._absent -= given
            self._known.clear()
        return bool(given)

    def _read(self, sql: str) -> Statement:
        words = _words(sql)
        while words and words[-1] == ";":
            words.pop()
        if not words or ";" in words:
            return self._opaque_to_us(words)
        match words:
            case ["lock", *rest]:
                return self._lock_table(rest)
            case [first, *_] if first in _SETTING and words[1:2] != ["constraints"]:
                raised = "isolation" in words or "transaction_isolation" in words
                return Statement(serializable=raised)
            case [first, *_] if first not in _READING:
                return self._opaque_to_us(words)
        called = _called(words)
        if called & (self._volatile | _RUNNING) or self._opaque.intersection(words):
            return self._opaque_to_us(words)
        own = [self._functions[name] for name in called if name in self._functions]
        if not all(function.harmless for function in own):
            return self._opaque_to_us(words, own)
        writes = self._writes(words)
        functions = self._set_off(writes)
        followed = [self._followed(function) for function in functions]
        if not all(followed):
            return self._opaque_to_us(words, own)
        looks_at = self._looks_at(words).union(*map(self._named, followed))
        words = [*words, *chain(*followed)]
        called = called.union(*map(_called, followed))
        advisory = {word for word in called if "advisory" in word}
        catalogue = {CATALOGUE} if self._catalogue.intersection(words) else set()
        return Statement(
            tables=frozenset(self._named(words) | catalogue),
            words=frozenset([*words, ALL] if self._whole_rows(words) else words),
            writes=writes,
            row_lock=_row_lock(words),
            advisory=_strength(advisory),
            patient=not (own or followed or _IMPATIENT.intersection(words))
            and not any("_try_" in word or "unlock" in word for word in advisory),
            releases=any("unlock" in word for word in advisory),
            outlives=any("xact" not in word for word in advisory),
            draws=self._numbered | {""} if "nextval" in called else frozenset(),
            looks_at=looks_at,
            again=bool(followed),
        )

    def _opaque_to_us(self, words: list[str], called: Iterable[_Function] = ()) -> Statement:
        """Not recognised; what is written is still known where functions of the user's are it."""
        bodies = self._bodies(called)
        written: Changes = reduce(_merged, map(self._writes, [words, *bodies]), {})
        readable = bodies and not any("execute" in body for body in bodies)
        readable = readable and all(map(self._followed, self._set_off(written)))
        everything = dict.fromkeys(self.roots.values(), frozenset({ALL}))
        defines = bool(words) and words[0] in _DEFINING
        if defines:
            everything[CATALOGUE] = frozenset({ALL})
        tables = frozenset(self.roots.values())
        return Statement(
            recognised=False,
            releases=True,
            outlives=True,
            tables=tables,
            words=frozenset({ALL, *words}),
            looks_at=frozenset() if defines or words[:1] == ["copy"] else tables,
            again=True,
            writes=written if readable else everything,
        )

    def _named(self, words: Iterable[str]) -> frozenset[str]:
        """The tables among some words."""
        return frozenset(self.roots[word] for word in words if word in self.roots)

    def _looks_at(self, words: Sequence[str]) -> frozenset[str]:
        """The tables that are read, not counting those that are only named to be written."""
        written: set[int] = set()
        for place, word in enumerate(words):
            before = words[place - 1] if place else ""
            if (before, word) in (("insert", "into"), ("delete", "from")) or (
                word == "update" and before not in ("for", "key", "do")
            ):
                named = _place(words, place + 1)
                written |= {named, *_listed(words, named + 1)}
        # Before a point stands whose column it is, or the schema.
        return self._named(
            word
            for place, (word, after) in enumerate(pairwise([*words, ""]))
            if place not in written and after != "."
        )

    def _whole_rows(self, words: Sequence[str]) -> bool:
        """Whether it may read columns that it doesn't name: rows as a whole, or system columns."""
        if _UNNAMED.intersection(words):
            return True
        around = ["", *words, "", ""]
        aliases: set[str] = set()
        places: set[int] = set()
        for place in range(1, len(words) + 1):
            if around[place] in self.roots and around[place - 1] in _BEFORE_TABLE:
                places.add(place)
                after = place + 1 + (around[place + 1] == "as")
                if around[after] not in _AFTER_TABLE:
                    places.add(after)
                    aliases.add(around[after])
        return any(
            (around[place] in self.roots or around[place] in aliases)
            and place not in places
            and around[place + 1] != "."
            for place in range(1, len(words) + 1)
        )

    def _is_given(self, connection: psycopg.Connection, table: str, column: str) -> bool:
        """Whether a row has a column, in any table of that name."""
        tables = connection.execute(
            "SELECT oid::regclass::text FROM pg_class WHERE lower(relname) = ANY (%s)"
            " AND relkind IN ('r', 'p') AND relnamespace::regnamespace::text <> ALL (%s)",
            [[name for name, root in self.roots.items() if root == table], list(_SYSTEM)],
        )
        return any(
            connection.execute(
                SQL("SELECT FROM {} WHERE {} IS NOT NULL LIMIT 1").format(
                    SQL(name), Identifier(column)
                )
            ).fetchall()
            for (name,) in tables.fetchall()
        )

    def _bodies(self, called: Iterable[_Function]) -> list[list[str]]:
        """The words of functions, and of those that they call, as far as they may do harm."""
        found: dict[str, list[str]] = {}
        left = [function for function in called if not function.harmless]
        while left:
            body = left.pop().body
            if body not in found:
                found[body] = _words(body)
                left += [
                    self._functions[name]
                    for name in _called(found[body])
                    if name in self._functions and not self._functions[name].harmless
                ]
        return list(found.values())

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
        words = _words(body)
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
        tables = frozenset(self._named(words))
        # Nobody may take a read of a locked table for one that commutes with everything.
        return Statement(
            tables=tables,
            words=frozenset(words),
            table_lock=mode,
            patient="nowait" not in words,
            writes=dict.fromkeys(tables, frozenset({ALL})),
        )

    def _writes(self, words: list[str]) -> Changes:
        found: Changes = {}
        for position, word in enumerate(words):
            before = words[position - 1] if position else ""
            after = words[position + 1 : position + 4]
            if (word, *after[:1]) in (("insert", "into"), ("delete", "from")):
                target = self._target(words, position + 2)
                found = _merged(found, {target: frozenset({ALL})})
                if word == "delete":
                    found = _merged(found, self._cascaded(target, None))
            elif word == "update" and before == "do":
                found = _merged(found, dict.fromkeys(self._named(words), frozenset({ALL})))
            elif word == "update" and before not in ("for", "key"):
                target = self._target(words, position + 1)
                columns = _columns_set(words[position:])
                if target in self._derived:
                    columns = frozenset({ALL})
                found = _merged(found, {target: columns})
                for column in columns:
                    found = _merged(found, self._cascaded(target, column))
        return found

    def _target(self, words: Sequence[str], position: int) -> str:
        """The table that is named at a position, without the schema before it."""
        position = _place(words, position)
        return self.roots.get(words[position], words[position])

    def _cascaded(self, table: str, column: str | None) -> Changes:
        """What changes along with a table: others whose foreign keys say so."""
        found: Changes = {}
        left = {(table, column)}
        while left:
            here, changed = left.pop()
            for (parent, minded), children in self._cascades.items():
                if parent == here and changed in (minded, ALL):
                    new = children - found.keys()
                    found |= dict.fromkeys(new, frozenset({ALL}))
                    left |= {(child, each) for child in new for each in (None, ALL)}
        return found


def _place(words: Sequence[str], position: int) -> int:
    """Where the name of a table stands, given where it begins."""
    position += words[position] == "only"
    return position + 2 * (list(words[position + 1 : position + 2]) == ["."])


def _listed(words: Sequence[str], position: int) -> range:
    """The columns that an INSERT names: the places from a parenthesis to the next."""
    if list(words[position : position + 1]) != ["("] or ")" not in words[position:]:
        return range(0)
    end = words.index(")", position)
    return range(0) if _READING.intersection(words[position:end]) else range(position, end)


def _wanted(definition: str) -> str | None:
    """The column without which nothing sets a trigger off, given its definition."""
    _, _, condition = definition.partition(" WHEN ")
    condition, _, _ = condition.rpartition(" EXECUTE ")
    if re.search(r"\bOR\b|\bNOT \(|\bCASE\b", condition):
        return None
    terms = (_GIVEN.fullmatch(term.strip(" ()")) for term in condition.split(" AND "))
    return next((term[1] for term in terms if term), None)


def _words(sql: str) -> list[str]:
    """The words of a text, in lower case, without quotes around names and without comments."""
    return [*_cut(sql)]


@lru_cache(maxsize=5000)
def _cut(sql: str) -> tuple[str, ...]:
    words = [match[0].lower() for match in WORDS.finditer(sql)]
    words = [word.strip('"') for word in words if not word.startswith(("--", "/*"))]
    # After an operand a star multiplies, and stands for no columns.
    return tuple(
        word for before, word in pairwise(["", *words]) if word != ALL or before in _BEFORE_ALL
    )


def gives(words: Sequence[str], column: str, parameters: Sequence[bytes | None]) -> bool:
    """Whether an INSERT or UPDATE may give a column a value, given the values of parameters."""
    for position, word in enumerate(words):
        if word == "set" and any(
            not _is_null(value[2:], parameters)
            for value in _items(words[position + 1 :])
            if value[:2] == [column, "="] or value[:1] == ["("]
        ):
            return True
        if words[position : position + 2] == ["insert", "into"]:
            at = position + 3 + 2 * (words[position + 3 : position + 4] == ["."])
            if words[at : at + 1] != ["("]:
                return True
            columns = [item[0] for item in _items(words[at + 1 :])]
            if column not in columns:
                continue
            at = words.index(")", at) + 1
            source, values = words[at : at + 1], words[at + 1 :]
            if source == ["values"]:
                values = values[1:]
            elif source != ["select"]:
                return True
            items = _items(values)
            if len(items) != len(columns) or not _is_null(items[columns.index(column)], parameters):
                return True
    return False


def _items(words: Sequence[str]) -> list[list[str]]:
    """The items of a list that commas separate, up to where it ends."""
    items: list[list[str]] = [[]]
    depth = 0
    for word in words:
        if depth == 0 and word in (")", "where", "from", "returning", "on", "order", "limit"):
            break
        depth += (word in "([") - (word in ")]")
        if word == "," and depth == 0:
            items.append([])
        else:
            items[-1].append(word)
    return items


def _is_null(words: Sequence[str], parameters: Sequence[bytes | None]) -> bool:
    value = words[0] if words else ""
    if len(words) > 1 and words[1] != "::":
        return False
    if value.startswith("$") and value[1:].isdigit():
        number = int(value[1:])
        return number <= len(parameters) and parameters[number - 1] is None
    return value == "null"


def _called(words: Sequence[str]) -> set[str]:
    """The words that a parenthesis follows: functions among them, but for what says how to plan."""
    return {
        word
        for word, after, given in zip(words, words[1:], [*words[2:], ""], strict=False)
        if after == "(" and not (word == "set_config" and _PLANNING.fullmatch(given))
    }


def _merged(one: Changes, other: Changes) -> Changes:
    return {
        table: one.get(table, frozenset()) | other.get(table, frozenset())
        for table in one.keys() | other.keys()
    }


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


def _strength(advisory: set[str]) -> int:
    """The weakest of some functions' advisory locks; 0 where there are none."""
    if not advisory:
        return 0
    return SHARED if any("shared" in word for word in advisory) else EXCLUSIVE


def _row_lock(words: list[str]) -> int:
    text = " ".join(words)
    if "for no key update" in text:
        return NO_KEY_UPDATE
    if "for key share" in text:
        return KEY_SHARE
    if "for share" in text:
        return SHARE
    return UPDATE if "for update" in text else 0
