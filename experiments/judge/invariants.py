"""What must never be, whatever the order: invariants for any schema and any program.

An invariant is SQL that must return no row, or a function of what the clients were told and of
rows. Those for bookings are ready-made: no two rows overlap, whoever was told so has a row, and a
key has one row at most.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Rows = Sequence[tuple[Any, ...]]
Check = Callable[[Sequence[Any], Rows], "str | None"]


@dataclass(frozen=True, slots=True)
class Invariant:
    """What must never be.

    Attributes:
        name: What it is called where it breaks.
        query: SQL that is asked after each schedule.
        check: Given what each client was told (or the exception that ended it) and the query's
            rows, says what is wrong, or None.
    """

    name: str
    query: str
    check: Check


def never(query: str, name: str = "") -> Invariant:
    """SQL that must return no row.

    Args:
        query: The SQL.
        name: What it is called where it breaks.
    """
    return Invariant(name or "an invariant", query, _first_row)


def no_overlap(  # noqa: PLR0913 - as many as such tables have parts
    table: str,
    *,
    resource: str,
    starts: str = "",
    ends: str = "",
    period: str = "",
    where: str = "true",
    key: str = "id",
) -> Invariant:
    """No two rows of a table overlap; intervals are half-open.

    Args:
        table: The table, as SQL writes it.
        resource: The column or expression of what can't be in two places.
        starts: The column or expression of the beginning.
        ends: Of the end.
        period: In place of both, a range.
        where: Which rows count: `status = 'confirmed'`.
        key: The column that tells rows apart.
    """
    if bool(period) == bool(starts and ends):
        raise ValueError("An overlap needs either a period, or where it starts and ends.")
    overlap = (
        "one.period && other.period"
        if period
        else "one.starts < other.ends AND other.starts < one.ends"
    )
    columns = f"{period} AS period" if period else f"{starts} AS starts, {ends} AS ends"
    query = f"""
        WITH counted AS (SELECT {key} AS key, {resource} AS resource, {columns}
                           FROM {table} WHERE {where})
        SELECT one.key, other.key, one.resource FROM counted AS one JOIN counted AS other
            ON one.resource = other.resource AND one.key < other.key AND {overlap}
         ORDER BY 1, 2
    """  # noqa: S608 - names are the caller's own

    def check(_: Sequence[Any], rows: Rows) -> str | None:
        if not rows:
            return None
        one, other, whose = rows[0]
        return f"rows {one} and {other} of {table} overlap, both of {resource} {whose}"

    return Invariant("double_bookings", query, check)


def one_row_per(table: str, *, key: str, where: str = "true") -> Invariant:
    """At most one row of a table has a key.

    Args:
        table: The table, as SQL writes it.
        key: The column or expression; rows without one don't count.
        where: Which rows count.
    """
    query = f"""
        SELECT {key}, count(*) FROM {table} WHERE ({where}) AND {key} IS NOT NULL
         GROUP BY {key} HAVING count(*) > 1 ORDER BY 1
    """  # noqa: S608 - names are the caller's own

    def check(_: Sequence[Any], rows: Rows) -> str | None:
        return f"{rows[0][1]} rows of {table} have the key {rows[0][0]}" if rows else None

    return Invariant("repeated_bookings", query, check)


def told_means_stored(
    table: str,
    *,
    told: Callable[[Any], object],
    column: str = "id",
    where: str = "true",
) -> Invariant:
    """Whoever was told of a row has one.

    Args:
        table: The table, as SQL writes it.
        told: Given what a client was told, says which row that means; None for none.
            `status_and_path(201, "id")` reads it off an HTTP answer.
        column: The column that tells rows apart.
        where: Which rows count.
    """
    query = f"SELECT {column}::text FROM {table} WHERE {where}"  # noqa: S608 - the caller's own

    def check(replies: Sequence[Any], rows: Rows) -> str | None:
        stored = [row for (row,) in rows]
        meant = [str(row) for reply in replies if (row := told(reply)) is not None]
        for row in meant:
            if row not in stored:
                return f"somebody was told of row {row} of {table}, which is not there"
            if meant.count(row) > 1:
                return f"two were told of row {row} of {table}"
        return None

    return Invariant("dishonest_replies", query, check)


def status_and_path(status: int, *path: str) -> Callable[[Any], object]:
    """Read a value off HTTP answers with a status, given the names that lead to it in the JSON."""

    def told(reply: Any) -> object:  # noqa: ANN401 - whatever a client was told
        if getattr(reply, "status", None) != status:
            return None
        found = reply.body
        for name in path:
            found = found[name]
        return found

    return told


def _first_row(_: Sequence[Any], rows: Rows) -> str | None:
    return ", ".join(map(str, rows[0])) if rows else None
