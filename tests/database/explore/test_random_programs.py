"""The reduced search against the exhaustive one, for programs that nobody thought of.

A search that leaves schedules out is believed because it reaches every outcome that is reached
without leaving any out; and this comparison is, because it notices faults in the relation of steps
that commute.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from faulty_relations import FAULTS
from little_programs import drawn, written

from experiments.explore import explore_program

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable

    from experiments.explore import Program
    from experiments.explore.explore import Search
    from experiments.server.database import Database

    Empty = Callable[[], Database]

QUICK, MANY = 12, 240
THREE = 60
MOST = 2_000
"""Schedules after which a program is too large to be compared."""
CAUGHT_BY = {
    "rows are in nobody's way": 0,
    "FOR SHARE lets UPDATE in": 111,
    "tables are in nobody's way": 206,
    "advisory locks are in nobody's way": 30,
    "what is drawn matters to nobody": 595,
    "nobody sees what is committed": 52,
    "snapshots are not taken": 179,
    "statements look at nothing": 52,
    "SERIALIZABLE is like the others": 13,
    "commits publish nothing": 52,
    "ends let nothing go": 0,
    "changed columns are seen by nobody": 52,
    "rows that are known differ": 52,
    "foreign keys lock nothing": 111,
    "everybody is patient": 77,
    "to wait is to be seen by nobody, whatever was looked at": 13,
}
"""For each fault the seed of a program of two clients in which it shows."""


def _outcomes(search: Search, seed: int, clients: int, empty: Empty) -> tuple[set[Hashable], bool]:
    return _outcomes_of(search, drawn(seed, clients), empty)


def _outcomes_of(search: Search, program: Program, empty: Empty) -> tuple[set[Hashable], bool]:
    found = explore_program(program, search=search, on=empty(), limit=MOST)
    # Whom the server chooses where all wait in a circle is nobody's promise.
    told = {"a deadlock" if "40P01" in str(each) else each for each in found.outcomes}
    return told, found.complete


def _compared(seed: int, clients: int, empty: Empty) -> bool:
    every, whole = _outcomes("exhaustive", seed, clients, empty)
    if not whole:
        return False
    assert _outcomes("reduced", seed, clients, empty) == (every, True), f"seed {seed}"
    return True


@pytest.mark.parametrize("seed", range(QUICK))
def test_random_programs_come_to_the_same(empty: Empty, seed: int) -> None:
    """The reduced search reaches every outcome that the exhaustive one reaches, and no other."""
    assert _compared(seed, 2, empty)


@pytest.mark.slow(why="the same for many programs; twelve of them are always compared")
@pytest.mark.parametrize(("clients", "seeds"), [(2, range(QUICK, MANY)), (3, range(THREE))])
def test_many_random_programs_come_to_the_same(empty: Empty, clients: int, seeds: range) -> None:
    """With two and three clients, locks of all kinds, all isolation levels, commits and aborts."""
    compared = sum(_compared(seed, clients, empty) for seed in seeds)
    assert compared > 0.8 * len(seeds)  # the others have too many schedules


LOCK = "SELECT pg_advisory_xact_lock({})"
NOTE = "SELECT note FROM slot WHERE id = 1"
STAFF = "SELECT id FROM staff WHERE id = 1 FOR UPDATE"


@pytest.mark.parametrize(
    "program",
    [
        pytest.param(
            written(
                [LOCK.format(9), "SELECT pg_try_advisory_xact_lock(1)", NOTE],
                [LOCK.format(2), "UPDATE slot SET note = 'z' WHERE id = 1"],
                ["SELECT pg_advisory_xact_lock(1), pg_advisory_xact_lock(2)", NOTE],
            ),
            id="who waits for one lock has another already",
        ),
        pytest.param(
            written(
                [
                    STAFF.replace(" FOR", " AND EXISTS (SELECT FROM slot) FOR"),
                    "SELECT id FROM slot WHERE id = 1 FOR UPDATE",
                ],
                ["LOCK TABLE slot IN EXCLUSIVE MODE", STAFF],
            ),
            id="a table that is looked at is not locked for its rows",
        ),
    ],
)
def test_what_is_not_surely_had_is_a_race(empty: Empty, program: Program) -> None:
    """To wait is no schedule of its own only where nobody could notice."""
    assert _outcomes_of("reduced", program, empty) == _outcomes_of("exhaustive", program, empty)


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_in_the_relation_is_caught(
    empty: Empty, monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    """Each makes the reduced search miss an outcome of some program."""
    seed = CAUGHT_BY[fault]
    every, _ = _outcomes("exhaustive", seed, 2, empty)
    FAULTS[fault](monkeypatch)
    found, _ = _outcomes("reduced", seed, 2, empty)
    assert found < every
