"""A counterexample can be read: as a script, as a paragraph, as labels of its statements."""

from dataclasses import replace
from pathlib import Path

import pytest

from booking_core.calendar.rulebook import RULES
from booking_core.database import appointments
from booking_core.strategies import statements
from booking_core.strategies.constraint import CLAIM_AND_INSERT
from experiments.schedules import labels
from experiments.schedules.schedule import LOOKED, Counterexample, Step
from experiments.schedules.transcript import WIDTH, described, statement, transcript

SCHEDULES = Path(__file__).parent / "examples"
EXAMPLES = [Counterexample.load(path) for path in sorted(SCHEDULES.glob("*.json"))]
each_example = pytest.mark.parametrize("found", EXAMPLES, ids=lambda found: found.strategy)


@each_example
def test_every_line_is_sql_with_its_client_or_a_comment(found: Counterexample) -> None:
    """The lines can be pasted into psql, each into the session of its client."""
    lines = transcript(found).splitlines()
    ends = [line for line in lines if ";" in line.partition("--")[0]]
    chosen = [step for step in found.steps if not step.background]
    begun = [step for step in chosen if step.begin]

    assert len(ends) == len(chosen) + len(begun)
    assert [end for end in ends if not end.partition("; -- T")[2]] == []
    assert max(len(line) for line in lines) < WIDTH + 40


@each_example
def test_the_same_counterexample_gives_the_same_text(found: Counterexample) -> None:
    """What a notebook shows is compared with what is committed."""
    again = Counterexample.from_json(found.to_json())

    assert transcript(found) == transcript(again)
    assert described(found) == described(again)


def test_who_waits_and_for_whom_is_said_and_when_it_goes_on() -> None:
    """The words are hermitage's: BLOCKS, and the answer below the step that let it go on."""
    lines = transcript(_example("stale_snapshot")).splitlines()
    blocked = next(i for i, line in enumerate(lines) if "-- T2, BLOCKS: waits for T1" in line)
    committed = next(i for i, line in enumerate(lines) if line.startswith("COMMIT; -- T1"))

    assert lines[committed + 1].startswith("--   T2 goes on: ")
    assert blocked < committed


def test_the_moment_the_property_broke_stands_below_its_step() -> None:
    """A reader sees when, not only that."""
    lines = transcript(_example("no_lock")).splitlines()
    here = next(i for i, line in enumerate(lines) if line.startswith("-- HERE. Broken: safety"))

    assert lines[here - 1] == "COMMIT; -- T1"
    assert "appointments 1 and 2 of staff 0 overlap" in lines[here]


def test_a_deadlock_is_marked_as_the_servers_decision() -> None:
    """What may vary is said where it may."""
    text = transcript(_example("deadlock"))

    assert "ERROR 40P01" in text
    assert "the server's decision" in text
    assert "gave other outcomes too" in text


def test_quoted_text_is_never_broken_into_lines() -> None:
    """A line break inside a literal would make another statement of it."""
    literal = "'" + "two words " * 20 + "'"

    assert literal in statement(f"SELECT {literal} FROM appointment WHERE staff_id = 1::INTEGER")


@pytest.mark.parametrize(
    ("sql", "words"),
    [
        ("SELECT pg_advisory_xact_lock(7264, 1)", "lock the calendar"),
        (
            "SELECT pg_advisory_xact_lock(hashtextextended('1:9'::VARCHAR, 0::INTEGER))",
            "lock the key 1:9",
        ),
        ("SELECT bool_and(pg_try_advisory_xact_lock(1, 2))", "try to lock the calendar"),
        ("SELECT staff.id FROM staff FOR NO KEY UPDATE", "lock the staff row (for no key update)"),
        ("INSERT INTO appointment (a) VALUES (1) RETURNING id", "insert"),
        ("LOCK TABLE appointment IN EXCLUSIVE MODE", "lock the table appointment"),
        ("SELECT pg_advisory_xact_lock(7265, hashtext('me'))", "lock the client"),
        ("SELECT id FROM appointment WHERE client_id = 'me'", "look for the client elsewhere"),
        (statements.RECORD_MOVE, "move the appointment"),
        (statements.CLAIM_MOVE, "check the slot and move"),
        (statements.CLAIM, "check the slot and insert"),
        (CLAIM_AND_INSERT, "claim and insert"),
        (appointments.BY_KEY, "look up the key"),
        (appointments.BY_ID, "look up the appointment"),
        (appointments.NOTE, "remember the key"),
        (RULES, "read the rules"),
        ("VACUUM (ANALYZE, VERBOSE) something_with_a_long_name", "VACUUM (ANALYZE, VERBOSE) …"),
    ],
)
def test_a_statement_is_named_for_what_it_means(sql: str, words: str) -> None:
    """Pictures have room for few words; what is not known is quoted."""
    assert labels.worded(sql) == words


def test_what_came_of_a_step_is_said_in_the_words_of_booking() -> None:
    """No row is no answer that a layman understands."""
    check = "SELECT appointment.id FROM appointment WHERE appointment.blocked && 'x'"

    assert labels.outcome(Step(0, "statement", check, answer="no row")) == "it is free"
    taken = Step(0, "statement", check, answer="1 row: 7", rows=(("7",),))
    assert labels.outcome(taken) == "taken by appointment 7"
    failed = Step(0, "statement", check, answer="ERROR 40001: could not", error="40001")
    assert labels.outcome(failed) == "serialization failure"


def test_a_statement_that_is_held_back_is_written_once() -> None:
    """What goes on is the same statement: whoever pastes the lines must not send it twice."""
    found = _example("no_lock")
    whole = next(step for step in found.steps if step.sql.startswith("INSERT"))
    parts = (replace(whole, answer=LOOKED, rows=(), begin=""), replace(whole, kind="write"))
    opened = replace(found, steps=tuple(replace(e, answered_at=n) for n, e in enumerate(parts)))
    lines = transcript(opened).splitlines()

    assert [labels.action(step) for step in opened.steps] == ["insert", "go on and write"]
    assert [labels.outcome(step) for step in opened.steps] == [LOOKED, labels.outcome(whole)]
    assert sum(line.startswith("INSERT") for line in lines) == 1
    assert f"-- {labels.client(whole.client)} goes on and writes" in lines
    assert Counterexample.from_json(opened.to_json()) == opened


def _example(name: str) -> Counterexample:
    return Counterexample.load(SCHEDULES / f"{name}.json")
