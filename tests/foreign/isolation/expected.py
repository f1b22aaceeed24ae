"""Reads what isolation tests are expected to print.

Each permutation begins with `starting permutation:` and the names of its steps. Then comes what
happened, in the order in which it was seen:

    step NAME: SQL                 the step was sent and ended
    step NAME: SQL <waiting ...>   it was sent and waits
    step NAME: <... completed>     one that waited has ended
    SESSION: NOTICE:  TEXT         a message that came meanwhile; so with WARNING and the like
    SESSION: NOTIFY "CHANNEL" ...  a notification, behind the step with whose end it came
    ERROR:  TEXT                   how the step just named failed

and the tables of rows that the step brought: a header, a ruler, the rows and their number, as
they look since PostgreSQL 14. SQL, messages and errors may go on over several lines; only the next
line that has one of these forms tells that they have ended. Columns are as wide in bytes as their
ruler, so values may hold bars and line ends. Blanks around a value count as padding, and NULL looks
like an empty text.

The rows of setup blocks stand before the first step. Those of teardown blocks stand behind the
last one and look like its own: who knows the test file finds them at the end of the last event's
tables.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

WAITING = " <waiting ...>"
COMPLETED = "<... completed>"

_START = re.compile(r"(?:\A|\n)\n?starting permutation:")
_STEP = re.compile(r"step (.+?): (.*)")
_MESSAGE = re.compile(r"[^:]+: (?:(NOTIFY) \"|(?:NOTICE|WARNING|INFO|LOG|DEBUG):  ).*")
_ERROR = re.compile(r"(?:ERROR:  |(?=FATAL:  |PANIC:  ))(.*)")
_RULER = re.compile(r"-+(?:\+-+)*")
_COUNT = re.compile(r"\((\d+) rows?\)")


@dataclass(frozen=True, slots=True)
class Table:
    """What one query brought, as text."""

    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


@dataclass(frozen=True, slots=True)
class Event:
    """What was seen of a step.

    Attributes:
        step: Its name.
        sql: What was sent; empty where a step that waited has ended.
        waiting: Whether it was sent and waits.
        completed: Whether it had waited and has ended; a step that never waits is neither.
        tables: What its queries brought; one step may hold several.
        errors: Without `ERROR:  `; what is worse keeps its name, such as `FATAL:  `.
        notices: As printed: the messages to any session since the event before, those behind the
            last event, and the notifications behind this one.
    """

    step: str
    sql: str
    waiting: bool
    completed: bool
    tables: tuple[Table, ...]
    errors: tuple[str, ...]
    notices: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Permutation:
    """What one order of steps led to.

    Attributes:
        steps: Their names in the order in which they are sent; none may hold a blank.
        setup: The tables that setup blocks brought.
        events: In the order in which they were seen.
    """

    steps: tuple[str, ...]
    setup: tuple[Table, ...]
    events: tuple[Event, ...]


def read_expected(text: str) -> list[Permutation]:
    """Read what an isolation test is expected to print.

    Raises:
        ValueError: A line belongs to nothing.
    """
    return [_permutation(part) for part in _START.split(text.removesuffix("\n"))[1:]]


@dataclass(slots=True)
class _Draft:
    """An event to which more may come; each text is a list of its lines."""

    step: str
    sql: list[str]
    notices: list[list[str]]
    tables: list[Table] = field(default_factory=list)
    errors: list[list[str]] = field(default_factory=list)

    def event(self) -> Event:
        sql = "\n".join(self.sql)
        completed = sql == COMPLETED
        return Event(
            self.step,
            "" if completed else sql.removesuffix(WAITING),
            sql.endswith(WAITING),
            completed,
            tuple(self.tables),
            tuple("\n".join(lines).rstrip("\n") for lines in self.errors),
            tuple("\n".join(lines) for lines in self.notices),
        )


def _permutation(part: str) -> Permutation:
    names, *lines = part.split("\n")
    steps = tuple(names.split())
    setup: list[Table] = []
    drafts: list[_Draft] = []
    ahead: list[list[str]] = []  # messages that the next event takes
    going_on: list[str] | None = None  # the text to which a line of no form belongs
    at = 0
    while at < len(lines):
        if found := _table(lines, at):
            table, at = found
            (drafts[-1].tables if drafts else setup).append(table)
            going_on = None
            continue
        line = lines[at]
        at += 1
        if (match := _STEP.fullmatch(line)) and match[1] in steps:
            going_on = [match[2]]
            drafts.append(_Draft(match[1], going_on, ahead))
            ahead = []
        elif match := _MESSAGE.fullmatch(line):
            going_on = [line]
            (drafts[-1].notices if drafts and match[1] else ahead).append(going_on)
        elif drafts and (match := _ERROR.fullmatch(line)):
            going_on = [match[1]]
            drafts[-1].errors.append(going_on)
        elif going_on is None:
            raise ValueError(f"This line belongs to nothing: {line!r}")
        else:
            going_on.append(line)
    if drafts:
        drafts[-1].notices.extend(ahead)
    return Permutation(steps, tuple(setup), tuple(draft.event() for draft in drafts))


def _table(lines: list[str], at: int) -> tuple[Table, int] | None:
    """Read the table that begins at a line, and tell where it ends; None where none begins."""
    header = lines[at].encode()
    ruler = "".join(lines[at + 1 : at + 2])
    if not _RULER.fullmatch(ruler) or len(header) != len(ruler):
        return None
    rows: list[tuple[str, ...]] = []
    row = b""
    for number, line in enumerate(lines[at + 2 :], at + 2):
        count = _COUNT.fullmatch(line)
        if not row and count and int(count[1]) == len(rows):
            blank = lines[number + 1 : number + 2] == [""]
            return Table(_cut(header, ruler), tuple(rows)), number + 1 + blank
        row += line.encode()
        if len(row) == len(ruler):
            rows.append(_cut(row, ruler))
            row = b""
        else:
            row += b"\n"
    return None


def _cut(row: bytes, ruler: str) -> tuple[str, ...]:
    columns = re.finditer("-+", ruler)
    return tuple(row[one.start() : one.end()].decode().strip(" ") for one in columns)
