"""The matrix: many strategies in many shapes, explored on several processes at once.

Each worker process has a database of its own, so clients of two cells can't meet; the tables are
made anew for every cell. Workers are spawned, never forked: a forked child would hold on to the
server's watchdog, and the server would outlive its owner.
"""

from __future__ import annotations

import gc
import os
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass, replace
from multiprocessing import get_context
from typing import TYPE_CHECKING

import pandas as pd
from tqdm.auto import tqdm

from booking_core.errors import UnsupportedServer
from booking_core.strategies import STRATEGIES
from experiments.explore.explore import ATTEMPTS, LIMIT, Search, explore
from experiments.explore.result import Result
from experiments.scenes.shapes import SHAPES
from experiments.server.postgres import Database, fresh_database, server

if TYPE_CHECKING:
    from collections.abc import Iterable

RESCHEDULING = ("book_against_cancel", "book_against_reschedule", "swap", "two_moves")
"""Shapes whose larger cells are bounded by preemptions where they would pass the limit."""

PREEMPTIONS = 2


@dataclass(frozen=True, slots=True)
class Cell:
    """A place in the matrix.

    Attributes:
        strategy: A strategy's name, or `module:attribute`.
        shape: A shape's name.
        clients: How many.
        search: How it is explored.
        attempts: Tries of a request.
    """

    strategy: str
    shape: str
    clients: int
    search: Search
    attempts: int = ATTEMPTS


def cells(
    strategies: Iterable[str] = tuple(STRATEGIES),
    shapes: Iterable[str] = tuple(SHAPES),
    *,
    clients: int = 2,
    search: Search | None = None,
    attempts: int | None = None,
) -> list[Cell]:
    """Return a matrix's cells: two clients exhaustively, more of them reduced.

    Args:
        strategies: Which; the sound ones if left out.
        shapes: Which; all of them if left out.
        clients: How many.
        search: How; if left out, by the number of clients.
        attempts: Tries of a request; if left out, 2 for two clients and 1 for more. Tries
            multiply: what a second one meets is what two clients show.
    """
    small = clients <= 2  # noqa: PLR2004 - two rivals
    search = search or ("exhaustive" if small else "reduced")
    tries = attempts or (2 if small else 1)
    shapes = list(shapes)
    return [
        Cell(strategy, shape, clients, search, tries) for strategy in strategies for shape in shapes
    ]


def explore_cells(
    wanted: Iterable[Cell], *, workers: int | None = None, progress: bool = True, limit: int = LIMIT
) -> list[Result]:
    """Explore cells on several processes.

    Args:
        wanted: The cells; their order is kept.
        workers: How many processes; as many as there are cores if left out.
        progress: Whether to show a progress bar.
        limit: Schedules after which a cell ends incomplete, or is bounded instead.
    """
    todo = list(wanted)
    server()  # started here, so that the workers share it and it ends with this process
    workers = workers or os.cpu_count() or 1
    with ProcessPoolExecutor(
        min(workers, len(todo)) or 1, get_context("spawn"), initializer=_begin
    ) as pool:
        # The largest cells first, or the last worker would be left alone with one of them.
        order = sorted(range(len(todo)), key=lambda number: -_guessed_size(todo[number]))
        futures = {pool.submit(explore_cell, todo[number], limit=limit): number for number in order}
        results: dict[int, Result] = {}
        for future in tqdm(
            as_completed(futures), "cells explored", len(futures), disable=not progress
        ):
            results[futures[future]] = future.result()
    return [results[number] for number in range(len(todo))]


def explore_cell(cell: Cell, *, limit: int = LIMIT) -> Result:
    """Explore one cell, on a database that this process keeps for the purpose.

    Args:
        cell: Which.
        limit: Schedules after which it ends incomplete. A cell of three clients with cancels or
            reschedules is then bounded by preemptions instead, and its result says so.
    """
    on = _cleared()
    try:
        result = _explored(cell, limit, on)
        if not result.complete and cell.search == "reduced" and cell.shape in RESCHEDULING:
            found = result.seconds
            result = _explored(replace(cell, search="bounded"), limit, _cleared())
            result.notes.append(f"more than {limit} schedules: bounded by preemptions instead")
            result.seconds += found
    except UnsupportedServer as error:
        result = Result(cell.strategy, cell.shape, cell.clients, cell.search)
        result.notes.append(str(error))
    return result


def frame(results: Iterable[Result]) -> pd.DataFrame:
    """Return results as a table: one row a cell, one column a number."""
    rows = []
    for result in results:
        row = result.as_dict()
        found = row.pop("counterexample")
        violations = row.pop("violations")
        row["broken"] = "; ".join(row["broken"])
        row["notes"] = "; ".join(row["notes"])
        rows.append(row | violations | {"refuted": found is not None})
    return pd.DataFrame(rows)


def _explored(cell: Cell, limit: int, on: Database) -> Result:
    return explore(
        cell.strategy,
        shape=cell.shape,
        clients=cell.clients,
        search=cell.search,
        preemptions=PREEMPTIONS,
        attempts=cell.attempts,
        limit=limit,
        on=on,
    )


def _guessed_size(cell: Cell) -> int:
    """Retries make cells large, then calls that touch more."""
    strategy = STRATEGIES.get(cell.strategy)
    tries = strategy.retry.attempts if strategy else 1
    return min(tries, 10) * (3 if cell.shape in RESCHEDULING else 1)


_database: Database | None = None


def _begin() -> None:
    """Create this process's database."""
    global _database  # noqa: PLW0603 - a worker is a process, and this its one state
    if _database is None:
        _database = fresh_database()
        # What was imported stays; to look through it again and again costs a tenth of the time.
        gc.freeze()


def _cleared() -> Database:
    _begin()
    assert _database is not None
    return _database.clear()
