"""What a text that is sent does to its session and transaction, whatever tables it touches.

A text may hold several statements, and begins or ends transactions wherever in it. What takes
neither a snapshot nor a lock is *quiet*: BEGIN, SAVEPOINT, SET, and what a pool sends before it
lends a connection again. To let it through is no choice of a schedule.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

WORDS = re.compile(
    r"""--[^\n]*|/\*.*?\*/|\$(?P<tag>[a-z_]*\d*)\$.*?\$(?P=tag)\$|\$\d+"""
    r"""|\be'(?:[^'\\]|\\.|'')*'|'(?:[^']|'')*'|%\(\w+\)s|%s|"(?:[^"]|"")*"|[^\W\d][\w$]*|::|\S""",
    re.IGNORECASE | re.VERBOSE | re.DOTALL,
)
LEVELS = ("serializable", "repeatable read", "read committed", "read uncommitted")
UNKNOWN_LEVEL = "?"

_QUIET = {"begin", "start", "savepoint", "release", "set", "show", "reset", "discard", "deallocate",
          "prepare", "close", "listen", "unlisten"}  # fmt: skip
_ISOLATION = {"transaction_isolation", "default_transaction_isolation", "characteristics"}
_UNLOCK = ["select", "pg_advisory_unlock_all", "(", ")"]

Ends = Literal["", "commit", "rollback"]


@dataclass(frozen=True, slots=True)
class Command:
    """What a text does to its session.

    Attributes:
        begins: Whether it leaves a transaction open that it has begun.
        ends: How it ends the transaction in which it is sent; empty where it doesn't.
        alone: Whether it does nothing else.
        quiet: Whether it takes neither a snapshot nor a lock.
        unlocks: Whether it lets go of the locks that outlive transactions; quiet where none are.
        level: The isolation level that it gives the transaction; `UNKNOWN_LEVEL` where it may
            give one that its text doesn't tell; empty where it gives none.
        prepares: Whether it prepares a statement, whose tables are then locked until the
            transaction ends.
        leaves: Whether what it does to its session outlives the transaction.
    """

    begins: bool
    ends: Ends
    alone: bool
    quiet: bool
    unlocks: bool
    level: str
    prepares: bool
    leaves: bool


def statements(sql: str) -> list[list[str]]:
    """Cut a text into statements, and these into words, in lower case and without comments."""
    found: list[list[str]] = [[]]
    for match in WORDS.finditer(sql):
        word = match[0].lower()
        if word == ";":
            found.append([])
        elif not word.startswith(("--", "/*")):
            found[-1].append(word)
    # The body of a function in standard SQL has semicolons of its own.
    if any("atomic" in words for words in found):
        found = [[word for words in found for word in words]]
    return [words for words in found if words]


@lru_cache(maxsize=5000)
def command(sql: str) -> Command:
    """Read a text."""
    found = statements(sql)
    begun, ends = False, ""
    for words in found:
        ending = _ending(words)
        if ending and not begun:
            ends = ends or ending
        if ending:
            begun = "chain" in words and "no" not in words
        elif words[0] in ("begin", "start"):
            begun = True
    levels = [level for words in found if (level := _level(words))]
    return Command(
        begins=begun,
        ends="commit" if ends == "commit" else "rollback" if ends else "",
        alone=len(found) == 1,
        quiet=all(map(_quiet, found)),
        unlocks=any(words == _UNLOCK or words[:2] == ["discard", "all"] for words in found),
        level=levels[-1] if levels else "",
        prepares=any(words[0] == "prepare" for words in found),
        leaves=any(map(_leaves, found)),
    )


def _ending(words: Sequence[str]) -> Ends:
    first, *rest = words
    if "prepared" in rest or "to" in rest:
        return ""
    if first in ("commit", "end"):
        return "commit"
    if first in ("rollback", "abort") or list(words[:2]) == ["prepare", "transaction"]:
        return "rollback" if first != "prepare" else "commit"
    return ""


def _quiet(words: list[str]) -> bool:
    if words == _UNLOCK:
        return True
    # Deferred checks run when their constraints become immediate.
    checks = words[:2] == ["set", "constraints"] and "immediate" in words
    return words[0] in _QUIET and words[:2] != ["prepare", "transaction"] and not checks


def _level(words: list[str]) -> str:
    text = " ".join(words)
    sets = words[:2] == ["set", "transaction"] or words[:3] in (
        ["set", "local", "transaction"],
        ["set", "session", "transaction"],
    )
    if words[0] in ("begin", "start") or sets:
        if "snapshot" in words:
            return UNKNOWN_LEVEL
        found = re.search(rf"isolation level ({'|'.join(LEVELS)})", text)
        return found[1].upper() if found else ""
    if words[0] in ("reset", "discard") or _ISOLATION.intersection(words) or _configures(words):
        return UNKNOWN_LEVEL
    return ""


def _configures(words: Sequence[str]) -> bool:
    """Whether a function is called that may set the level: unless it says that it sets another."""
    return any(
        word == "set_config" and (not given.startswith("'") or "isolation" in given)
        for word, given in zip(words, [*words[2:], "", ""], strict=False)
    )


def _leaves(words: list[str]) -> bool:
    first, *rest = words
    if first == "set":
        return rest[:1] not in (["local"], ["transaction"], ["constraints"])
    if first in ("prepare", "listen", "load"):
        return rest[:1] != ["transaction"]
    if first == "create":
        return bool({"temp", "temporary"}.intersection(rest[:4]))
    if first == "declare":
        return "hold" in rest
    return "set_config" in words and "true" not in words
