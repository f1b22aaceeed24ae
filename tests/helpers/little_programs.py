"""Little programs, drawn at random: transactions of two or three clients over two tables."""

from __future__ import annotations

from functools import partial
from random import Random
from typing import TYPE_CHECKING

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from experiments.explore import Program
from experiments.judge.invariants import Invariant

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

TABLES = """
    CREATE TABLE staff (id int PRIMARY KEY, name text COLLATE "C");
    CREATE TABLE slot (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
                       staff_id int REFERENCES staff, note text UNIQUE);
    INSERT INTO staff VALUES (1, 'a'), (2, 'b');
    INSERT INTO slot (staff_id, note) VALUES (1, 'x'), (2, 'y')
"""
STATEMENTS = (
    "SELECT count(*) FROM slot WHERE staff_id = {staff}",
    "SELECT count(*) FROM slot",
    "SELECT note FROM slot WHERE id = {staff}",
    "SELECT name FROM staff WHERE id = {other}",
    "UPDATE slot SET note = note || '{client}' WHERE id = {staff}",
    "UPDATE slot SET note = 'x{other}' WHERE id = {staff}",
    "UPDATE slot SET staff_id = {staff} WHERE note = 'x{other}'",
    "UPDATE slot SET staff_id = {staff} WHERE staff_id = {other}",
    "INSERT INTO slot (staff_id, note) VALUES ({staff}, 'x{other}') ON CONFLICT DO NOTHING",
    """INSERT INTO slot (staff_id, note) SELECT {staff}, '{client}'
        WHERE NOT EXISTS (SELECT FROM slot WHERE staff_id = {staff} AND note = 'x{other}')""",
    "DELETE FROM slot WHERE staff_id = {staff} AND note = 'x'",
    "DELETE FROM staff WHERE id = {other}",
    "SELECT pg_advisory_xact_lock({staff})",
    "SELECT pg_advisory_xact_lock(id) FROM staff WHERE id = {staff}",
    "SELECT pg_advisory_xact_lock(1), pg_advisory_xact_lock(2)",
    "SAVEPOINT s; SELECT pg_advisory_xact_lock({staff}); ROLLBACK TO s",
    "SELECT pg_advisory_xact_lock_shared({other})",
    "SELECT pg_try_advisory_xact_lock({other})",
    "LOCK TABLE slot IN SHARE ROW EXCLUSIVE MODE",
    "LOCK TABLE slot IN SHARE MODE",
    "SELECT id FROM staff WHERE id = {staff} FOR UPDATE",
    "SELECT id FROM staff WHERE id = {staff} FOR SHARE",
    "SELECT id FROM staff ORDER BY id FOR NO KEY UPDATE SKIP LOCKED",
    "SELECT id FROM staff WHERE id = {other} FOR UPDATE NOWAIT",
    "UPDATE staff SET name = name || '{client}' WHERE id = {other}",
)
LEVELS = ("READ COMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
COMMITS = 0.8  # of the transactions

_STORED = """
    SELECT (SELECT string_agg(concat(id, staff_id, note), ',' ORDER BY id) FROM slot),
           (SELECT string_agg(concat(id, name), ',' ORDER BY id) FROM staff)
"""


def drawn(seed: int, clients: int = 2) -> Program:
    """Return a program of which nothing is asked: what it comes to is compared.

    Args:
        seed: Which one.
        clients: How many take part; of three, each sends two statements at most.
    """
    source = Random(f"{clients} clients, {seed}")
    counts = (2, 2, 3) if clients == 2 else (1, 1, 2)
    level = source.choice(LEVELS)
    works: list[Callable[[Engine], list[object]]] = []
    for client in range(clients):
        statements = [
            statement.format(
                client="pqr"[client], staff=source.choice((1, 2)), other=source.choice((1, 2))
            )
            for _ in range(source.choice(counts))
            for statement in source.choice(STATEMENTS).split("; ")
        ]
        works.append(partial(_sent, level, statements, source.random() < COMMITS))
    return _compared(works)


def written(*clients: list[str], level: str = "READ COMMITTED") -> Program:
    """Return a program.

    Args:
        clients: What each sends in a transaction, which it commits.
        level: Under which isolation level.
    """
    return _compared([partial(_sent, level, statements, True) for statements in clients])


def _compared(works: list[Callable[[Engine], list[object]]]) -> Program:
    return Program(works, TABLES, [Invariant("stored", _STORED, lambda *_: "")])


def _sent(level: str, statements: list[str], commits: bool, engine: Engine) -> list[object]:
    """Send statements in a transaction; return what they were answered."""
    told: list[object] = []
    with engine.connect().execution_options(isolation_level=level) as connection:
        try:
            for statement in statements:
                answer = connection.execute(text(statement))
                told.append(sorted(map(str, answer)) if answer.returns_rows else answer.rowcount)
        except DBAPIError as error:
            connection.rollback()
            return [*told, getattr(error.orig, "sqlstate", "")]
        connection.commit() if commits else connection.rollback()
    return told
