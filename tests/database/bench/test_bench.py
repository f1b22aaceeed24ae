"""The benchmark on a real server: short turns, judged by the rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from booking_core.strategies import Strategy
from experiments.bench import Plan, bench, profile
from experiments.bench.pgbench import find_pgbench
from experiments.cli.main import main
from experiments.scenes.parameters import BadExperiment

if TYPE_CHECKING:
    from booking_core.strategies.transaction import BookingTransaction


def _has_pgbench() -> bool:
    try:
        return bool(find_pgbench())
    except BadExperiment:
        return False


@pytest.mark.parametrize(
    ("services", "scripts"),
    [
        (["service:advisory"], ["pgbench:advisory"]),
        pytest.param(
            ["service:exclusion"],
            ["pgbench:statements", "pgbench:function"],
            marks=pytest.mark.slow(
                why="six turns of a second each; the turns are guarded by the other case, the"
                " scripts by test_endurance.py (statements) and 05_load (both)"
            ),
        ),
    ],
)
def test_service_and_pgbench_take_turns_on_one_server(
    services: list[str], scripts: list[str]
) -> None:
    """Every contender has a turn in every cell, and the rows bear its replies out."""
    names = services + scripts * _has_pgbench()
    plan = Plan(
        names, workloads=["hot_slot", "spread"], clients=[3], seconds=1, warm_seconds=0, rounds=1,
        processes=2, staff=5,
    )  # fmt: skip
    result = bench(plan)
    assert result.wrong() == []
    assert len(result.frame) == plan.turns == 2 * len(names)
    assert (result.frame["per_second"] > 0).all()
    hot = result.frame[result.frame["workload"] == "hot_slot"]
    assert hot["stored"].tolist() == [1] * len(names)


class Blind(Strategy):
    """A strategy that never looks."""

    name = "blind"

    def claim(self, tx: BookingTransaction) -> int | None:
        """Insert whatever is asked for."""
        return tx.record(last=True)


def test_a_strategy_that_books_twice_is_found_wrong() -> None:
    """The control: the rows are asked, not the replies."""
    plan = Plan(
        [f"service:{__name__}:Blind"], workloads=["hot_slot"], clients=[2], seconds=1,
        warm_seconds=0, rounds=1, processes=1, staff=1,
    )  # fmt: skip
    (sentence,) = bench(plan).wrong()
    assert "pairs of appointments overlap" in sentence


def test_the_command_prints_a_json_list() -> None:
    """What CI and other programs read."""
    words = ["bench", "--json", "--contender", "service:function", "--workload", "hot_slot"]
    words += ["--clients", "2", "--seconds", "1", "--warm-seconds", "0", "--rounds", "1"]
    result = CliRunner().invoke(main, [*words, "--staff", "2"])
    assert result.exit_code == 0, result.output
    (row,) = json.loads(result.stdout)
    assert (row["contender"], row["clients"]) == ("service:function", 2)
    assert row["per_second"] > 0


@pytest.mark.parametrize("workload", ["hot_slot", "spread"])
def test_a_profile_divides_an_attempt(workload: str) -> None:
    """Its parts are those of the whole; the server's share is measured apart from them."""
    parts = profile("advisory", workload, attempts=20, repeats=1).set_index("part")["microseconds"]
    whole = parts["an attempt under cProfile"]
    named = [name for name in parts.index if not name.startswith(("an attempt", "of which"))]
    assert parts[named].sum() == pytest.approx(whole, rel=0.3)
    assert parts["of which executing in the server"] > 0
