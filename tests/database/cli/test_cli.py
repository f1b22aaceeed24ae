"""The command, as a user in a shell meets it."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner, Result

from experiments.cli.main import main
from experiments.scenes.catalogue import ALL


def _run(*words: str) -> Result:
    return CliRunner().invoke(main, words)


@pytest.mark.parametrize("command", [*sorted(main.commands), "bench availability"])
def test_every_command_explains_itself_with_an_example(command: str) -> None:
    """--help is enough to start with, and its examples stand on lines of their own."""
    result = _run(*command.split(), "--help")
    assert result.exit_code == 0
    assert f"\n    booking-lab {command}" in result.stdout


def test_strategies_are_listed_with_their_traits() -> None:
    """Programs are given every strategy, and whether it is sound."""
    listed = {each["name"]: each for each in json.loads(_run("strategies", "--json").stdout)}
    assert set(ALL) == set(listed)
    assert listed["advisory"]["sound"] is True
    assert listed["no_lock"]["sound"] is False
    assert listed["function"]["round_trips"] == 1


def test_a_race_is_one_json_object() -> None:
    """Programs are given every count under its documented name."""
    result = _run("race", "--clients", "4", "--json")
    assert result.exit_code == 0, result.output
    seen = json.loads(result.stdout)
    expected = {"strategy": "advisory", "shape": "same_slot", "clients": 4, "rounds": 1}
    expected |= {"booked": 1, "conflict": 3, "busy": 0, "error": 0}
    expected |= {"double_bookings": 0, "lost_sales": 0}
    assert expected == {name: seen[name] for name in expected}
    assert seen["release_skew_us"] > 0


def test_a_failed_threshold_exits_with_99_and_is_named() -> None:
    """CI can tell a failed threshold from a broken command."""
    result = _run("race", "--clients", "3", "--threshold", "booked==1", "--threshold", "busy==1")
    assert result.exit_code == 99
    assert "threshold failed: busy==1 (busy is 0)" in result.stderr
    assert "booked==1" not in result.stderr


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["race", "--strategy", "nonsense"], "There is no strategy 'nonsense'"),
        (["race", "--clients", "0"], "clients is 0"),
        (["race", "--threshold", "booked"], "is no threshold"),
        (["race", "--threshold", "bookd==1", "--clients", "2"], "There is no number 'bookd'"),
        (["report", "--profile", "nonsense"], "nonsense"),
        (["report", "--set", "nonsense"], "sets no parameter"),
        (["report", "--set", "04_contention.nonsense=1"], "no parameter 'nonsense'"),
    ],
)
def test_a_wrong_word_is_answered_in_a_sentence(words: list[str], said: str) -> None:
    """Exit code 2, what was wrong, and no traceback."""
    result = _run(*words)
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output


def test_lists_of_free_slots_are_measured_and_compared() -> None:
    """Programs are given a list; the three ways agree, or the exit code says so."""
    words = ["--staff", "1,20", "--days", "1", "--appointments", "10000", "--rounds", "1"]
    result = _run("bench", "availability", *words, "--json")
    assert result.exit_code == 0, result.output
    seen = json.loads(result.stdout)
    assert [(staff, way) for staff in (1, 20) for way in ("grid", "query", "sweep")] == [
        (row["staff"], row["lister"]) for row in seen
    ]
    assert all(row["milliseconds"] > 0 and row["ratio_to_best_other"] > 0 for row in seen)
    shown = _run("bench", "availability", *words, "--plan").stdout
    assert "using appointment_blocked on appointment" in shown


@pytest.mark.parametrize(
    "words", [("--staff", "7"), ("--days", "90"), ("--appointments", "1"), ("--rounds", "0")]
)
def test_absurd_lists_are_refused_in_a_sentence(words: tuple[str, ...]) -> None:
    """Before a database is made."""
    result = _run("bench", "availability", *words)
    assert result.exit_code == 2
    assert "must" in result.output
