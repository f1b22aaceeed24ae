"""The benchmark of lists: its three ways give one answer, and what differs is noticed."""

from collections.abc import Iterator

import pytest
from sqlalchemy import text

from experiments.bench import listing
from experiments.bench.large_salon import LargeSalon
from experiments.bench.listers import LISTERS, Question, Starts
from experiments.bench.listing import ListingPlan

QUESTIONS = [
    Question(1, 1, staff_id=7),
    Question(1, 30, staff_id=8),
    Question(20, 3, location_id=2),
    Question(500, 1),
]
# A morning off, a holiday, and set-up before a haircut.
AWAY = """
    INSERT INTO time_off (staff_id, during, reason)
    SELECT id, '[2030-01-08 09:00+00, 2030-01-08 11:10+00)', 'dentist' FROM staff;
    INSERT INTO closure (location_id, during, reason)
    SELECT id, '[2030-01-10 00:00+00, 2030-01-11 00:00+00)', 'holiday' FROM location;
    UPDATE service SET buffer_before = '20 minutes'
"""


@pytest.fixture(scope="module")
def salon() -> Iterator[LargeSalon]:
    """Open a chain with eight appointments a day for some weeks."""
    with LargeSalon(100_000) as opened:
        with opened.engine.begin() as connection:
            for statement in AWAY.split(";"):
                connection.execute(text(statement))
        yield opened


@pytest.mark.parametrize("question", QUESTIONS, ids=str)
def test_three_ways_give_one_answer(salon: LargeSalon, question: Question) -> None:
    """With breaks, time off, closed days, set-up and appointments in the way."""
    answers = {name: find(salon, question) for name, find in LISTERS.items()}
    assert question.staff == len(answers["query"])
    assert any(answers["query"].values())
    assert answers["query"] == answers["sweep"]
    assert answers["query"] == {who: [] for who in answers["query"]} | answers["grid"]


def test_who_answers_otherwise_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """A way that is fast because it is wrong does not pass."""

    def forgetful(salon: LargeSalon, question: Question) -> Starts:
        return {who: starts[1:] for who, starts in LISTERS["query"](salon, question).items()}

    monkeypatch.setitem(listing.LISTERS, "sweep", forgetful)
    plan = ListingPlan([1], [1], [500], rounds=1, listers=["query", "sweep"])
    (difference,) = listing.listing(plan).differences
    assert "sweep and query differ" in difference
