"""A program described in a file, for the shell: its set-up, its clients, what must never be.

    setup = "schema.sql"

    [server]
    cmd = "node server.js"
    env = { ISOLATION = "READ COMMITTED" }

    [[client]]
    request = "POST /book"
    body = { staff = 1, start = "2030-01-07T10:00:00Z" }

    [[client]]
    request = "POST /book"
    body = { staff = 1, start = "2030-01-07T10:30:00Z" }

    [[never]]
    no_overlap = { table = "appointment", resource = "staff_id", period = "during" }

Paths are relative to the file. In place of `setup`, `setup_command` names a command that finds the
database in DATABASE_URL. A client may also be a `worker` with a `line`, or a `command` with
`stdin`. What must never be is `sql` that must return no row, `no_overlap`, `one_row_per`, or
`told_means_stored` with the `status` and the `path` in the JSON that mean a row. `pause` says how
many seconds the program pauses by itself at most, `background` what a pool's own statements are.
"""

from __future__ import annotations

import tomllib
from typing import TYPE_CHECKING, Any

from experiments.explore.program import Program
from experiments.judge.invariants import (
    Invariant,
    never,
    no_overlap,
    one_row_per,
    status_and_path,
    told_means_stored,
)
from experiments.scenes.parameters import BadExperiment
from experiments.steer.programs import Command, Kind, Request, Server, Worker
from experiments.steer.quiet import PAUSE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

_TOP = {"name", "setup", "setup_command", "background", "pause", "server", "client", "never"}


def load_app(path: Path) -> Program:
    """Read a program from a file.

    Args:
        path: The file, TOML.

    Raises:
        BadExperiment: It can't be read, lacks something or has something that nobody knows.
    """
    try:
        given = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError) as error:
        raise BadExperiment(f"{path} can't be read: {error}") from error
    _check(path.name, given, _TOP)
    if ("setup" in given) == ("setup_command" in given):
        raise BadExperiment(f"{path.name} needs either a setup or a setup_command.")
    home = path.parent
    return Program(
        clients=[_client(each) for each in given.get("client", [])],
        setup=home / given["setup"] if "setup" in given else Command(given["setup_command"]),
        never=[_never(each) for each in given.get("never", [])],
        server=_server(given["server"], home) if "server" in given else None,
        name=given.get("name", path.stem),
        background=given.get("background"),
        pause=given.get("pause", PAUSE),
    )


def _server(given: dict[str, Any], home: Path) -> Server:
    _check("[server]", given, {"cmd", "env", "ready", "cwd", "tcp", "anew"}, {"cmd"})
    return Server(**given | {"cwd": home / given.get("cwd", ".")})


def _client(given: dict[str, Any]) -> Kind:
    if "request" in given:
        _check("[[client]]", given, {"request", "body", "headers"})
        method, _, path = given["request"].partition(" ")
        if not path.startswith("/"):
            raise BadExperiment(f"A request is written 'POST /path', not {given['request']!r}.")
        return Request(method, path, given.get("body"), given.get("headers", {}))
    if "worker" in given:
        _check("[[client]]", given, {"worker", "line", "env"}, {"line"})
        return Worker(given["worker"], given["line"], given.get("env", {}))
    _check("[[client]]", given, {"command", "stdin", "env"}, {"command"})
    return Command(given["command"], given.get("stdin", ""), given.get("env", {}))


def _never(given: dict[str, Any]) -> Invariant:
    makers: dict[str, Callable[..., Invariant]] = {
        "no_overlap": no_overlap,
        "one_row_per": one_row_per,
        "told_means_stored": _told_means_stored,
    }
    if "sql" in given:
        _check("[[never]]", given, {"sql", "name"})
        return never(given["sql"], given.get("name", ""))
    _check("[[never]]", given, set(makers))
    if len(given) != 1:
        raise BadExperiment(f"[[never]] says one of sql, {', '.join(makers)}.")
    ((name, options),) = given.items()
    try:
        return makers[name](**options)
    except (TypeError, ValueError) as error:
        raise BadExperiment(f"{name}: {error}") from error


def _told_means_stored(
    table: str, status: int, path: list[str], column: str = "id", where: str = "true"
) -> Invariant:
    told = status_and_path(status, *path)
    return told_means_stored(table, told=told, column=column, where=where)


def _check(where: str, given: Iterable[str], known: set[str], needed: Iterable[str] = ()) -> None:
    if unknown := set(given) - known:
        raise BadExperiment(
            f"{where}: nobody knows {', '.join(sorted(unknown))}; there is"
            f" {', '.join(sorted(known))}."
        )
    if missing := set(needed) - set(given):
        raise BadExperiment(f"{where} lacks {', '.join(sorted(missing))}.")
