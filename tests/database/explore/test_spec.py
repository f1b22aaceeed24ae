"""PostgreSQL's own isolationtester confirms what the explorer found."""

from collections.abc import Callable
from functools import cache

import pytest

from booking_core.strategies import Strategy
from experiments.explore import Counterexample, explore, replay
from experiments.explore.benchmark import permutations_spec
from experiments.scenes.catalogue import find_strategy
from experiments.scenes.shapes import SHAPES
from experiments.scenes.stage import Stage
from experiments.schedules.spec import (
    NoTester,
    NotExportable,
    ScriptFailed,
    find_tester,
    rows,
    run_spec,
    to_spec,
)
from experiments.schedules.transcript import chosen
from experiments.server.postgres import Database

try:
    find_tester()
except NoTester as missing:
    pytest.skip(str(missing), allow_module_level=True)

AS_WELL = pytest.mark.slow(
    why="half a second each; how a script waits, is refused and ends is guarded by the others"
)
EXHIBITS = [
    ("no_lock", "same_slot", 2),
    pytest.param("appointments_for_update", "same_slot", 2, marks=AS_WELL),
    pytest.param("appointments_skip_locked", "same_slot", 2, marks=AS_WELL),
    ("key_of_start", "overlapping", 2),
    ("stale_snapshot", "same_slot", 2),
    pytest.param("unique_start", "overlapping", 2, marks=AS_WELL),
    pytest.param("released_early", "same_slot", 2, marks=AS_WELL),
    pytest.param("for_share", "same_slot", 2, marks=AS_WELL),
    pytest.param("key_per_client", "same_slot", 2, marks=AS_WELL),
    pytest.param("insert_then_count", "same_slot", 2, marks=AS_WELL),
    ("closed_bounds", "adjacent", 2),
    ("trusted_read", "two_moves", 2),
    pytest.param("target_only", "two_moves", 2, marks=AS_WELL),
    pytest.param("ignored_count", "two_moves", 2, marks=AS_WELL),
    ("client_unlocked", "one_client", 2),
    pytest.param("key_of_client_and_staff", "one_client", 2, marks=AS_WELL),
    pytest.param("client_checked_early", "one_client", 2, marks=AS_WELL),
    ("stale_snapshot", "one_client", 2),
    pytest.param("no_lock", "book_against_reschedule", 2, marks=AS_WELL),
    ("stale_snapshot", "book_against_cancel", 3),
]


Empty = Callable[[], Database]
Find = Callable[[str, str, int], Counterexample]


@pytest.fixture(scope="module")
def find(database: Database) -> Find:
    """Find the first counterexample, of those in which no statement is held back."""

    @cache
    def first(strategy: str, shape: str, clients: int) -> Counterexample:
        result = explore(
            strategy,
            shape=shape,
            clients=clients,
            stop_at_first=True,
            gates=False,
            on=database.clear(),
        )
        assert result.counterexample
        return result.counterexample

    return first


@pytest.mark.parametrize(("strategy", "shape", "clients"), EXHIBITS)
def test_isolationtester_comes_to_the_same_rows(
    empty: Empty, find: Find, strategy: str, shape: str, clients: int
) -> None:
    """What was found is the server's doing, not the explorer's, not Python's, not psycopg's."""
    found = find(strategy, shape, clients)
    ran = run_spec(to_spec(found), empty())
    waited = [
        f"T{step.client + 1}_{place}"
        for place, (_, step) in enumerate(chosen(found), 1)
        if step.waited
    ]

    assert ran.rows == rows(found), ran.output
    assert sorted(ran.waited) == sorted(waited), ran.output


def test_a_step_that_waits_is_marked_with_the_one_that_lets_it_go_on(find: Find) -> None:
    """Otherwise the order of the two reports, and with it the output, would vary."""
    spec = to_spec(find("stale_snapshot", "same_slot", 2))

    assert "    T2_2(T1_5)\n" in spec


def test_the_same_counterexample_gives_the_same_script(empty: Empty, find: Find) -> None:
    """It can be kept in a repository and compared."""
    found = find("no_lock", "same_slot", 2)

    assert to_spec(found) == to_spec(Counterexample.from_json(found.to_json()))
    assert to_spec(found) == to_spec(replay(found, on=empty()))


def test_what_the_strategy_needs_of_the_schema_is_in_the_script(find: Find) -> None:
    """Without it another strategy would be tested."""
    assert "appointment_start" in to_spec(find("unique_start", "overlapping", 2))


def test_a_brace_that_is_not_quoted_is_refused(find: Find) -> None:
    """It would be taken for the end of the step."""

    class Braces(Strategy):
        name = "braces"
        needs = ("CREATE FUNCTION brace() RETURNS text LANGUAGE sql AS $$ SELECT $1{$1 $$",)

    with pytest.raises(NotExportable):
        to_spec(find("no_lock", "same_slot", 2), Braces())


def test_a_script_that_is_wrong_is_an_error(empty: Empty) -> None:
    """A tester that failed has not confirmed anything."""
    with pytest.raises(ScriptFailed):
        run_spec("permutation nothing", empty())


def test_the_benchmark_has_isolationtester_play_every_permutation(empty: Empty) -> None:
    """A comparison with fewer of them would flatter neither side."""
    database = empty()
    Stage(database.engine(), find_strategy("no_lock"), SHAPES["same_slot"].scene(2))
    output = run_spec(permutations_spec(2), database).output

    assert output.count("starting permutation") == 20
