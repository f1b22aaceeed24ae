"""The named cases of clocks that change: what the database offers is what was written by hand."""

# ruff: noqa: SIM300 - expected == actual

from dataclasses import replace

import pytest
from sqlalchemy import Engine

from experiments.availability.clock_cases import Answer, Case, CaseBook, answer, starts
from experiments.availability.named_cases import CASES
from experiments.availability.tiny_salon import open_tiny_salons
from experiments.server.postgres import Database, fresh_database


@pytest.fixture(scope="module")
def engine(database: Database) -> Engine:
    """Return an engine for the salons of all cases."""
    return open_tiny_salons(database)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_a_named_case_has_its_answer(engine: Engine, case: Case) -> None:
    """A start that does not exist is never offered, one that exists twice is offered twice."""
    assert case.answer == answer(starts(engine, case), case.grid)


def test_the_issue_s_zones_and_kinds_are_all_there() -> None:
    """Every zone in which clocks change has a spring, an autumn and a night of each."""
    named = [case.name for case in CASES]
    assert len(named) == len(set(named))
    for zone in ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe"):
        here = [case for case in CASES if case.zone == zone]
        for shift in (("00:00", "06:00"), ("22:00", "06:00")):
            same = [case.answer for case in here if case.shifts == (shift,)]
            assert any(found.missing and not found.twice for found in same), (zone, shift)
            assert any(found.twice and not found.missing for found in same), (zone, shift)


def test_an_answer_that_differs_is_named() -> None:
    """The notebook's table would show it, and its verdict would fail."""
    wrong = replace(CASES[0], answer=Answer(12, ("Sun 00:00 to 05:30 +01:00",)))
    with fresh_database() as database:
        book = CaseBook.ask(open_tiny_salons(database), [wrong, CASES[1]])
    assert [wrong.name] == book.differing()
    said = book.frame()["offered"]
    assert said[0].startswith("✗ 10: Sun 00:00 to 01:30 +01:00, ")
    assert "✓ same" == said[1]
