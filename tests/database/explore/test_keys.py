"""What is known of the rows of a statement, and that the reduced search may rely on it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from experiments.explore.pairs import explore_pairs
from experiments.server.connection import connect
from experiments.sql.keys import DRAWN, NULL, Keys, distinct
from experiments.sql.recogniser import Recogniser

if TYPE_CHECKING:
    from collections.abc import Iterator

    from experiments.server.database import Database

TABLES = """
    CREATE TABLE staff (id int PRIMARY KEY, name text COLLATE "C");
    CREATE TABLE slot (id int GENERATED ALWAYS AS IDENTITY PRIMARY KEY, staff_id int, note text,
                       odd int GENERATED ALWAYS AS (staff_id % 2) STORED, UNIQUE (staff_id, note));
    INSERT INTO staff VALUES (1, 'a'), (2, 'b');
    INSERT INTO slot (staff_id, note) VALUES (1, 'x'), (2, 'x')
"""


@pytest.fixture(scope="module")
def keys(database: Database) -> Iterator[Keys]:
    """What reads statements about two tables."""
    with connect(database.url) as connection:
        connection.execute(TABLES.encode())
        yield Keys(connection, {"staff": "staff", "slot": "slot"})


@pytest.mark.parametrize(
    ("sql", "looks"),
    [
        ("SELECT FROM slot WHERE staff_id = 1::integer AND note > 'x'", {"staff_id": "1"}),
        ("SELECT FROM slot WHERE (1 = slot.staff_id)", {"staff_id": "1"}),
        ("SELECT FROM slot AS s JOIN staff ON s.staff_id = 2", {}),
        ("SELECT FROM staff JOIN slot AS s ON s.staff_id = 2", {"staff_id": "2"}),
        ("SELECT FROM slot WHERE staff_id = 1 OR note = 'x'", {}),
        ("SELECT FROM staff RIGHT JOIN slot ON slot.staff_id = 1", {}),
        ("SELECT FROM staff FULL JOIN slot ON slot.staff_id = 1", {}),
        ("SELECT FROM slot WHERE staff_id = 5::boolean::integer", {}),
        ("SELECT FROM slot WHERE note = 'ab'::varchar(1)", {}),
        ("SELECT FROM slot WHERE odd = 1", {}),
        ("SELECT FROM slot WHERE NOT staff_id = 1", {}),
        ("SELECT FROM slot WHERE staff_id = (SELECT 1)", {}),
        ("SELECT FROM slot WHERE staff_id + 1 = 1", {}),
        ("SELECT FROM slot WHERE staff_id = 1 UNION SELECT FROM slot WHERE staff_id = 2", {}),
        ("SELECT FROM slot s, slot t WHERE s.staff_id = 1", {}),
        ("SELECT FROM slot, staff WHERE staff_id = 1", {}),
        ("WITH s AS (SELECT FROM slot WHERE staff_id = 1) SELECT FROM s", {"staff_id": "1"}),
        ("SELECT FROM slot WHERE staff_id = 01", {"staff_id": "1"}),
        ("SELECT FROM slot WHERE note = 'it''s'", {"note": "'it's'"}),
        ("SELECT FROM slot WHERE staff_id = 1 = true", {}),
        ("SELECT FROM slot WHERE staff_id = 1 -- not\n OR note = 'x'", {}),
        ("nonsense", {}),
    ],
)
def test_only_what_is_certain_narrows_a_look(keys: Keys, sql: str, looks: dict[str, str]) -> None:
    """A column that equals a constant, in every condition and wherever the table is named."""
    assert keys.of(sql).looks.get("slot", {}) == looks


@pytest.mark.parametrize(
    ("sql", "writes"),
    [
        ("INSERT INTO slot (staff_id, note) VALUES (1, NULL)", {"staff_id": "1", "note": NULL}),
        ("INSERT INTO slot (staff_id) VALUES (1), (1)", {"staff_id": "1"}),
        ("INSERT INTO slot (staff_id) VALUES (1), (2)", {}),
        ("INSERT INTO slot (staff_id) SELECT 1 WHERE EXISTS (SELECT)", {"staff_id": "1"}),
        ("UPDATE slot SET note = 'y' WHERE staff_id = 1 AND note = 'x'", {"staff_id": "1"}),
        ("UPDATE slot SET staff_id = 2 WHERE staff_id = 1 AND id = 5", {"id": "5"}),
        ("UPDATE slot SET (note, staff_id) = ('y', 2) WHERE staff_id = 1", {}),
        ("DELETE FROM slot USING staff WHERE slot.staff_id = 1", {"staff_id": "1"}),
        ("INSERT INTO slot VALUES (1, 1, 'x')", {}),
        (
            "INSERT INTO slot (staff_id) VALUES (1) ON CONFLICT (id) DO UPDATE SET staff_id = 2",
            {},
        ),
    ],
)
def test_a_write_is_narrowed_before_and_after(keys: Keys, sql: str, writes: dict[str, str]) -> None:
    """What all its rows have that come, change or go; what an UPDATE sets is not known before."""
    found = {name: value for name, value in keys.of(sql).writes["slot"].items() if value != DRAWN}
    assert found == writes


def test_rows_that_differ_may_meet_in_an_index(keys: Keys) -> None:
    """An index keeps apart what is alike in its own columns, whatever else differs."""
    one, other, third = (
        keys.of(f"INSERT INTO slot (staff_id, note) VALUES {values}").writes["slot"]
        for values in ("(1, 'x')", "(2, 'x')", "(1, NULL)")
    )
    entries = [dict(keys.entries("slot", values)) for values in (one, other, third)]
    assert all(distinct(mine, entries[1][index]) for index, mine in entries[0].items())
    assert not all(distinct(mine, mine) for mine in entries[0].values())
    assert entries[2].keys() < entries[0].keys()  # null equals nothing


@pytest.mark.parametrize(
    ("sql", "locks"),
    [
        ("SELECT pg_advisory_xact_lock(7, unnest('{1,2}'::int[]))", {"(7, 1)", "(7, 2)"}),
        ("SELECT bool_and(pg_try_advisory_lock(n)) FROM unnest('{3}'::int[]) AS n", {"(3,)"}),
        ("SELECT pg_advisory_xact_lock(1 + 1), 5", {"(2,)"}),
        ("SELECT pg_advisory_xact_lock('1')", {"(1,)"}),
        ("SELECT pg_advisory_xact_lock(pg_backend_pid())", None),
        ("SELECT pg_advisory_xact_lock(current_setting('app.x')::int)", None),
        ("SELECT pg_advisory_xact_lock(id) FROM staff", None),
        ("SELECT pg_advisory_unlock_all()", None),
        ("SELECT pg_advisory_xact_lock(1 / 0)", None),
    ],
)
def test_an_advisory_locks_key_is_worked_out(keys: Keys, sql: str, locks: set[str] | None) -> None:
    """By the server; what depends on rows is not known."""
    assert keys.of(sql).locks == locks


def test_rows_that_go_along_with_others_may_be_any(fresh: Database) -> None:
    """Cascades, checks that are put off, and nulls that are alike."""
    with connect(fresh.url) as connection:
        connection.execute(b"""
            CREATE TABLE node (id int PRIMARY KEY, up int REFERENCES node ON DELETE CASCADE,
                               x int, UNIQUE NULLS NOT DISTINCT (x));
            CREATE TABLE late (id int PRIMARY KEY DEFERRABLE INITIALLY DEFERRED)
        """)
        recogniser = Recogniser(connection)
        keys = Keys(connection, recogniser.roots, recogniser.cascaded)
    assert keys.of("DELETE FROM node WHERE id = 1").writes == {"node": {}}
    assert keys.deferred == {"late"}
    assert len(list(keys.entries("node", {"x": NULL}))) == 2
    assert keys.identifies("node", frozenset({"id"}))
    assert not keys.identifies("node", frozenset({"up"}))


def test_parameters_are_values(keys: Keys) -> None:
    """Each set of values is another set of rows; what isn't given, or no plain type, is none."""
    sql = (
        "SELECT FROM slot WHERE staff_id = $1::integer AND note = $2 AND tstzrange($3, $4) && NULL"
    )
    for staff_id, note, looks in (
        ("1", "'a''b'", {"staff_id": "1", "note": "'a'b'"}),
        ("2", "'x'::text", {"staff_id": "2", "note": "'x'"}),
        ("'x'", "E'\\n'", {}),
    ):
        assert keys.of(sql, [staff_id, note, "now()", "now()"]).looks["slot"] == looks
    assert keys.of(sql).looks["slot"] == {}
    lock = "SELECT pg_advisory_xact_lock($1, unnest($2::integer[]))"
    assert keys.of(lock, ["7", "'{1}'"]).locks == {"(7, 1)"}
    assert keys.of(lock, ["7"]).locks is None


def test_what_is_surely_locked(keys: Keys) -> None:
    """The keys that are asked for whatever happens, and a row that is found by its key alone."""
    assert keys.of("SELECT pg_advisory_xact_lock(1)").certain == {"(1,)"}
    for unsure in (
        "SELECT CASE WHEN false THEN pg_advisory_xact_lock(1) END",
        "SELECT 1 WHERE EXISTS (SELECT pg_advisory_xact_lock(1))",
        "SELECT pg_advisory_xact_lock(id) FROM staff",
        "SELECT pg_advisory_xact_lock(x) FROM unnest('{1,2}'::integer[]) AS x LIMIT 1",
        "SELECT pg_advisory_xact_lock(NULL)",
    ):
        assert not keys.of(unsure).certain
    row = ("staff", frozenset({("id", "1")}))
    assert keys.of("SELECT name FROM staff WHERE id = 1 FOR UPDATE").row == row
    assert keys.of("SELECT id FROM staff WHERE id = ANY($1) FOR SHARE", ["'{1}'"]).row == row
    for sql in (
        "SELECT name FROM staff WHERE id = 1",
        "SELECT name FROM staff WHERE id = 1 AND name = 'a' FOR UPDATE",
        "SELECT name FROM staff WHERE id = 1 AND now() > '2030-01-01' FOR UPDATE",
        "SELECT name FROM staff WHERE name = 'a' FOR UPDATE",
        "SELECT name FROM staff WHERE id = 1 LIMIT 0 FOR UPDATE",
        "SELECT 1 FROM staff JOIN slot ON slot.staff_id = 1 WHERE staff.id = 1 FOR UPDATE",
        "SELECT 1 WHERE NOT EXISTS (SELECT FROM staff WHERE id = 1 FOR UPDATE)",
    ):
        assert keys.of(sql).row is None, sql
    for several in ("'{1,2}'", "'{}'", "'{NULL}'", "'{{1}}'"):
        assert keys.of("SELECT id FROM staff WHERE id = ANY($1)", [several]).looks["staff"] == {}


def test_two_who_never_meet_have_one_schedule() -> None:
    """Nothing of one depends on the other: say so, and count it."""
    seen = explore_pairs(
        "advisory", pairs=["visits of 0 and 1", "two visits of 0, 0 minutes apart"]
    )
    assert seen.complete
    assert seen.apart == 1
    assert "one each where nothing depends on the other (1)" in seen.words
