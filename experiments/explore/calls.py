"""Any functions as a play: SQLAlchemy, its ORM, or plain psycopg."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, LiteralString

from experiments.explore.beginning import Beginning
from experiments.explore.plays import Ending, Judgement

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import psycopg
    from sqlalchemy import Engine


class CallsPlay:
    """Any functions, each given an engine.

    Args:
        calls: The clients' code.
        setup: SQL that makes the tables.
        table: The table that is put back after each run.
        check: Says what is wrong with a run, given what the calls returned and the table's rows.
    """

    def __init__(
        self,
        calls: Sequence[Callable[[Engine], object]],
        setup: str,
        table: LiteralString,
        check: Callable[[list[object], list[tuple[object, ...]]], str | None],
    ) -> None:
        self.clients = len(calls)
        self._calls = calls
        self._setup = setup
        self._table = table
        self._check = check

    def open(self, connection: psycopg.Connection) -> None:
        """Make the tables, and remember how every run begins."""
        connection.execute(self._setup.encode())
        rows = f"SELECT * FROM {self._table} ORDER BY id"  # noqa: S608 - the caller's own table
        self._beginning = Beginning(connection, self._table, rows)

    def works(self, engines: Sequence[Engine]) -> list[Callable[[], object]]:
        """Return the calls, given their connections."""
        return [partial(call, engine) for call, engine in zip(self._calls, engines, strict=True)]

    def close_run(self, endings: Sequence[Ending]) -> Judgement:
        """Have a run checked, and leave everything as it was at the beginning."""
        rows = self._beginning.put_back()
        came_to = [ending.failure or ending.value for ending in endings]
        wrong = self._check(came_to, rows)
        return Judgement(
            faults={wrong: 1} if wrong else {},
            outcome=(tuple(map(str, came_to)), tuple(map(str, rows))),
        )
