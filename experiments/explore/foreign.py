"""Other people's stacks, explored as they ship: one booking handler in several languages.

The handler is the origin's: an advisory lock on a key of staff and start hour, a check, an insert,
five tries. Its key does not keep out a booking that overlaps and starts in another hour; under
SERIALIZABLE PostgreSQL does, under READ COMMITTED nobody. In Django there are two more, which lock
rows with `select_for_update`.
"""

from __future__ import annotations

import importlib.util
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pandas as pd
from tqdm.auto import tqdm

from experiments.explore.explore import explore_program
from experiments.explore.program import Program
from experiments.judge.invariants import no_overlap, status_and_path, told_means_stored
from experiments.steer.programs import Request, Server

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

HOME = Path(__file__).parents[2] / "tests" / "foreign" / "programs"
LEVELS = ("SERIALIZABLE", "READ COMMITTED")
ASKED = {
    "same slot": ("10:00", "10:00"),
    "overlapping": ("10:30", "11:00"),
    "adjacent": ("10:00", "11:00"),
}
"""When two clients want an hour each; the overlapping two start in different hours."""


class Stack(NamedTuple):
    """A handler in some language, with some driver.

    Attributes:
        folder: Where it lies.
        cmd: What starts it.
        needs: Python packages, or the folder that npm makes.
        lock: What it locks, where that is another variant of it.
    """

    folder: str
    cmd: tuple[str, ...]
    needs: tuple[str, ...]
    lock: str = ""


_PYTHON = (sys.executable, "server.py")
STACKS = {
    "node-pg": Stack("node_pg", ("node", "server.js"), ("node_modules",)),
    "prisma": Stack("prisma7", ("node", "--import", "tsx", "server.ts"), ("generated",)),
    "django": Stack("django_app", _PYTHON, ("django",)),
    "asyncpg": Stack("asyncpg_app", _PYTHON, ("asyncpg", "aiohttp", "greenlet")),
    "psycopg2": Stack("psycopg2_app", _PYTHON, ("psycopg2",)),
    "django, appointments locked": Stack("django_app", _PYTHON, ("django",), "appointments"),
    "django, person locked": Stack("django_app", _PYTHON, ("django",), "staff"),
}


def missing(name: str) -> str:
    """Say what a stack needs and has not here; empty where it can run."""
    stack = STACKS[name]
    if stack.cmd[0] == "node":
        if shutil.which("node") is None:
            return "Node.js is not here"
        if not (HOME / stack.folder / stack.needs[0]).exists():
            made = "build.sh" if name == "prisma" else "npm ci"
            return f"run {made} in tests/foreign/programs/{stack.folder}"
        return ""
    absent = [each for each in stack.needs if importlib.util.find_spec(each) is None]
    return f"not installed: {', '.join(absent)}" if absent else ""


def program(name: str, level: str, asked: str) -> Program:
    """Return a stack as a program of two clients.

    Args:
        name: One of `STACKS`.
        level: The isolation level.
        asked: One of `ASKED`.
    """
    stack = STACKS[name]
    query = f"?lock={stack.lock}" if stack.lock else ""
    return Program(
        clients=[
            Request(
                "POST",
                f"/book{query}",
                {"staff": 1, "start": f"2030-01-07T{at}:00Z", "minutes": 60, "client": client},
            )
            for client, at in zip(("Ada", "Bob"), ASKED[asked], strict=True)
        ],
        setup=HOME / "schema.sql",
        server=Server(stack.cmd, {"ISOLATION": level}, cwd=HOME / stack.folder),
        never=[
            no_overlap(
                "appointment",
                resource="staff_id",
                starts="starts_at",
                ends="ends_at",
                where="status = 'confirmed'",
            ),
            told_means_stored("appointment", told=status_and_path(201, "id")),
        ],
        name=f"{name}, {level}",
    )


def levels(name: str) -> Sequence[str]:
    """The isolation levels under which a stack is played: one that locks rows knows but one."""
    return LEVELS[1:] if STACKS[name].lock else LEVELS


def explore_stacks(names: Sequence[str], *, progress: bool = True) -> pd.DataFrame:
    """Explore stacks, each under its levels, in all that two clients may ask.

    Args:
        names: Of `STACKS`; those that can't run here are left out.
        progress: Whether to show a progress bar.

    Returns:
        One row a cell: what was played, schedules, in how many somebody was booked twice or told
        of an error (500), whether all were played, seconds.
    """
    cells = [
        (name, level, asked)
        for name in names
        if not missing(name)
        for level in levels(name)
        for asked in ASKED
    ]
    bar = tqdm(cells, desc="programs", disable=not progress, leave=False)
    return pd.DataFrame(list(_rows(bar)))


def _rows(cells: tqdm[tuple[str, str, str]]) -> Iterator[dict[str, object]]:
    for name, level, asked in cells:
        result = explore_program(program(name, level, asked))
        yield {
            "program": name,
            "isolation": level,
            "asked": asked,
            "schedules": result.schedules,
            "double bookings": result.violations["double_bookings"],
            "other faults": result.violations.total() - result.violations["double_bookings"],
            "errors told": sum(
                times for outcome, times in result.outcomes.items() if "'500 " in str(outcome)
            ),
            "complete": result.complete,
            "seconds": round(result.seconds, 1),
        }
