"""What a text does to its transaction, whatever else it does."""

from __future__ import annotations

import pytest

from experiments.sql.commands import UNKNOWN_LEVEL, command, statements


@pytest.mark.parametrize(
    "sql",
    [
        "BEGIN",
        "begin isolation level serializable;",
        "SAVEPOINT a",
        "SET LOCAL lock_timeout = '1s'",
        "-- nothing",
        "SELECT pg_advisory_unlock_all(); CLOSE ALL; UNLISTEN *; RESET ALL;",
        "PREPARE a AS SELECT 1; DEALLOCATE a",
    ],
)
def test_what_takes_neither_snapshot_nor_lock_is_quiet(sql: str) -> None:
    """To let it through is no choice."""
    assert command(sql).quiet


@pytest.mark.parametrize(
    "sql",
    [
        "BEGIN; UPDATE a SET b = 1; COMMIT",
        "SAVEPOINT a; SELECT 1",
        "PREPARE TRANSACTION 'a'",
        "SELECT pg_advisory_unlock_all(), f()",
        "SELECT set_config('a', 'b', false)",
        "SET CONSTRAINTS ALL IMMEDIATE",
    ],
)
def test_what_goes_on_is_a_step(sql: str) -> None:
    """A text that begins quietly is not quiet for that."""
    assert not command(sql).quiet


@pytest.mark.parametrize(
    ("sql", "begins", "ends"),
    [
        ("BEGIN", True, ""),
        ("START TRANSACTION; SELECT 1", True, ""),
        ("BEGIN; UPDATE a SET b = 1; COMMIT", False, ""),
        ("COMMIT", False, "commit"),
        ("END", False, "commit"),
        ("COMMIT AND CHAIN", True, "commit"),
        ("COMMIT AND NO CHAIN", False, "commit"),
        ("UPDATE a SET b = 1; COMMIT; BEGIN", True, "commit"),
        ("ROLLBACK", False, "rollback"),
        ("ROLLBACK TO SAVEPOINT a", False, ""),
        ("COMMIT PREPARED 'a'", False, ""),
        ("PREPARE TRANSACTION 'a'", False, "commit"),
        ("SELECT 'COMMIT; BEGIN'", False, ""),
        ('SELECT 1 AS "; BEGIN"', False, ""),
        ("DO $$ BEGIN COMMIT; END $$", False, ""),
        ("DO $a$ BEGIN; $$ $a$", False, ""),
        ("SELECT E'\\'; BEGIN; '", False, ""),
        ("CREATE FUNCTION f() RETURNS int BEGIN ATOMIC SELECT 1; END", False, ""),
    ],
)
def test_transactions_begin_and_end_wherever_it_is_said(
    sql: str, ends: str, *, begins: bool
) -> None:
    """Several statements in one text, quotes, comments and bodies of functions included."""
    assert (command(sql).begins, command(sql).ends) == (begins, ends)


@pytest.mark.parametrize(
    ("sql", "level"),
    [
        ("BEGIN", ""),
        ("BEGIN ISOLATION LEVEL REPEATABLE READ", "REPEATABLE READ"),
        ("start transaction read only, isolation level serializable", "SERIALIZABLE"),
        ("SET TRANSACTION ISOLATION LEVEL READ COMMITTED", "READ COMMITTED"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION ISOLATION LEVEL SERIALIZABLE", UNKNOWN_LEVEL),
        ("SET default_transaction_isolation = 'serializable'", UNKNOWN_LEVEL),
        ("SELECT set_config('transaction_isolation', $1, true)", UNKNOWN_LEVEL),
        ("SELECT set_config($1, $2, true)", UNKNOWN_LEVEL),
        ("SELECT set_config('jit', 'off', true), set_config('work_mem', $1, true)", ""),
        ("SET TRANSACTION SNAPSHOT '1-2'", UNKNOWN_LEVEL),
        ("RESET ALL", UNKNOWN_LEVEL),
        ("SELECT 'isolation level serializable'", ""),
    ],
)
def test_levels_are_read_or_asked_for(sql: str, level: str) -> None:
    """Where the text doesn't tell, the server has to."""
    assert command(sql).level == level


@pytest.mark.parametrize(
    ("sql", "leaves"),
    [
        ("SET lock_timeout = '1s'", True),
        ("SET LOCAL lock_timeout = '1s'", False),
        ("SET CONSTRAINTS ALL DEFERRED", False),
        ("PREPARE a AS SELECT 1", True),
        ("LISTEN a", True),
        ("CREATE TEMP TABLE a (b int)", True),
        ("SELECT set_config('a', 'b', true)", False),
        ("SELECT set_config('a', 'b', false)", True),
        ("DECLARE a CURSOR WITH HOLD FOR SELECT 1", True),
        ("SELECT 1", False),
    ],
)
def test_what_would_reach_the_next_run_is_known(sql: str, *, leaves: bool) -> None:
    """What a session keeps is ended with it."""
    assert command(sql).leaves == leaves


def test_words_are_cut_where_postgresql_cuts_them() -> None:
    """Comments are nothing, and quotes hold together."""
    assert statements("SELECT /* ; */ 'a;b' -- c;\n;; VALUES ($1)") == [
        ["select", "'a;b'"],
        ["values", "(", "$1", ")"],
    ]
