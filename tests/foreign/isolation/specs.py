"""Reads isolation test files: which sessions there are, and in which orders their steps are sent.

A file holds, in this order: any number of `setup { SQL }`, at most one `teardown { SQL }`, the
sessions, and any number of permutations. A session is `session NAME`, at most one setup, one or
more `step NAME { SQL }`, and at most one teardown. A permutation is `permutation` and the names of
steps, some of them with marks in parentheses that hold back the report of their end:

    s1a(*)               is reported as waiting first, whether or not it waits
    s1a(s2b)             does not end while s2b is under way
    s1a(s2b notices 1)   does not end before the session of s2b has sent that many notices

Names are plain or in double quotes, and no letter is folded. `#` begins a comment, but not within
SQL. A block of SQL ends at the first closing brace, quoted or not: there is no way to write one
within, so an opening brace means nothing there and none are counted. Blanks next to the braces are
no part of the SQL, line ends are; what is printed when a step is sent has them too.

Manual: src/test/isolation/README in PostgreSQL's sources.
"""

from __future__ import annotations

import re
from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_KEYWORDS = frozenset({"notices", "permutation", "session", "setup", "step", "teardown"})
_TOKEN = re.compile(
    r"""
    (?P<nothing>[ \t\r\f\n]+|\#[^\n\r]*)
  | \{[ \t\r\f]*(?P<sql>[^}]*?)[ \t\r\f]*\}
  | "(?P<quoted>(?:[^"\n]|"")*)"
  | (?P<word>[A-Za-z_\x80-\U0010FFFF][A-Za-z_\x80-\U0010FFFF0-9$]*)
  | (?P<number>[0-9]+)
  | (?P<mark>[,()*])
    """,
    re.VERBOSE,
)


class NotASpec(ValueError):
    """A text is no isolation test file; the message says why."""


@dataclass(frozen=True, slots=True)
class Step:
    """What a session sends in one go."""

    name: str
    sql: str


@dataclass(frozen=True, slots=True)
class Session:
    """One connection; its setup and its teardown are empty where there are none."""

    name: str
    setup: str
    steps: tuple[Step, ...]
    teardown: str


@dataclass(frozen=True, slots=True)
class Blocker:
    """What holds back the report of a step's end.

    Attributes:
        step: The name of another step; None stands for the asterisk.
        notices: How many that step's session has to send; None where the step has to end.
    """

    step: str | None
    notices: int | None = None


@dataclass(frozen=True, slots=True)
class Mention:
    """A step as a permutation names it."""

    step: str
    blockers: tuple[Blocker, ...] = ()


@dataclass(frozen=True, slots=True)
class Spec:
    """One isolation test.

    Attributes:
        setups: Each is sent on its own, in this order, before each permutation.
        teardown: Sent after each permutation; empty where there is none.
        sessions: At least one.
        permutations: As written; where there are none, `all_permutations` are played.
    """

    setups: tuple[str, ...]
    teardown: str
    sessions: tuple[Session, ...]
    permutations: tuple[tuple[Mention, ...], ...]

    def all_permutations(self) -> Iterator[tuple[Mention, ...]]:
        """Give every order that keeps the one within each session, earlier sessions first."""
        return _interleaved([tuple(step.name for step in one.steps) for one in self.sessions])


def read_spec(text: str) -> Spec:
    """Read an isolation test file.

    Raises:
        NotASpec: It breaks the grammar, names two steps alike, or mentions a step that it lacks.
    """
    tokens = _Tokens(text)
    spec = Spec(
        tuple(tokens.take("sql") for _ in tokens.each("setup")),
        tokens.block("teardown"),
        tuple(_session(tokens) for _ in tokens.each("session")),
        tuple(
            tuple(Mention(name, _blockers(tokens)) for name in tokens.each("name"))
            for _ in tokens.each("permutation")
        ),
    )
    tokens.take("end")
    _check(spec)
    return spec


class _Tokens:
    """The tokens of a file that are left, each with its kind, its text and its line.

    A keyword or a mark is of its own kind; the others are sql, name, number and, at last, end.
    """

    def __init__(self, text: str) -> None:
        self._left = deque(_tokens(text))

    def take(self, kind: str) -> str:
        """Take a token that has to be of a kind, and return its text."""
        found, text, line = self._left[0]
        if found != kind:
            raise NotASpec(f"Line {line}: {kind} expected, not {text or found}")
        self._left.popleft()
        return text

    def each(self, kind: str) -> Iterator[str]:
        """Take tokens of a kind as long as the next one is."""
        while self._left[0][0] == kind:
            yield self.take(kind)

    def maybe(self, kind: str) -> bool:
        """Take a token if it is of a kind, and tell whether it is."""
        return self._left[0][0] == kind and bool(self.take(kind))

    def block(self, keyword: str) -> str:
        """Take SQL behind a keyword; there is none without it."""
        return self.take("sql") if self.maybe(keyword) else ""


def _tokens(text: str) -> Iterator[tuple[str, str, int]]:
    at, line = 0, 1
    while at < len(text):
        match = _TOKEN.match(text, at)
        if match is None:
            raise NotASpec(f"Line {line}: unexpected {text[at]}")
        kind = str(match.lastgroup)
        found = match[kind]
        if kind == "quoted":
            yield "name", found.replace('""', '"'), line
        elif kind == "word":
            yield (found if found in _KEYWORDS else "name"), found, line
        elif kind != "nothing":
            yield (found if kind == "mark" else kind), found, line
        line += match[0].count("\n")
        at = match.end()
    yield "end", "", line


def _session(tokens: _Tokens) -> Session:
    return Session(
        tokens.take("name"),
        tokens.block("setup"),
        tuple(Step(tokens.take("name"), tokens.take("sql")) for _ in tokens.each("step")),
        tokens.block("teardown"),
    )


def _blockers(tokens: _Tokens) -> tuple[Blocker, ...]:
    if not tokens.maybe("("):
        return ()
    found = [_blocker(tokens), *(_blocker(tokens) for _ in tokens.each(","))]
    tokens.take(")")
    return tuple(found)


def _blocker(tokens: _Tokens) -> Blocker:
    if tokens.maybe("*"):
        return Blocker(None)
    step = tokens.take("name")
    return Blocker(step, int(tokens.take("number")) if tokens.maybe("notices") else None)


def _check(spec: Spec) -> None:
    """See that nothing is empty, and that each name stands for one step and is known."""
    if not all([spec.sessions, *(one.steps for one in spec.sessions), *spec.permutations]):
        raise NotASpec("A session, a step or a mention is missing.")
    steps = [step.name for one in spec.sessions for step in one.steps]
    if len(set(steps)) < len(steps):
        raise NotASpec("Two steps have the same name.")
    for mentions in spec.permutations:
        sent = {mention.step for mention in mentions}
        needed = {blocker.step for mention in mentions for blocker in mention.blockers}
        if unknown := (sent - set(steps)) | (needed - sent - {None}):
            raise NotASpec(f"A permutation mentions what is not there: {unknown}")


def _interleaved(left: list[tuple[str, ...]]) -> Iterator[tuple[Mention, ...]]:
    if not any(left):
        yield ()
    for place, names in enumerate(left):
        if names:
            for rest in _interleaved([*left[:place], names[1:], *left[place + 1 :]]):
                yield (Mention(names[0]), *rest)
