"""Waiting is attributed to what was waited for; what counts is who waits, never how long."""

import pandas as pd
import pytest
from waiters import somebody_waits

from experiments.server.postgres import Database
from experiments.show.verdicts import Verdicts
from experiments.waiting.bystander import CONTROL, stand_by
from experiments.waiting.figures import beside_a_crowd, waiting_parts
from experiments.waiting.onlooker import NothingHappened, Onlooker
from experiments.waiting.waiting import PARTS, attribute
from experiments.waiting.waits import SessionTime


def test_a_session_that_waits_throughout_has_waited_as_long_as_it_was_watched(
    database: Database,
) -> None:
    """One waits, one idles: their times are equal, for neither did anything else."""
    engine = database.engine()
    with somebody_waits(engine) as pids:
        watch = SessionTime(engine, pids)
        with watch:
            pass  # it looks once at least
        watch.close()
    assert watch.milliseconds.keys() == {"Lock", "idle"}
    assert watch.milliseconds["Lock"] > 0
    assert watch.milliseconds["Lock"] == pytest.approx(watch.milliseconds["idle"])


def test_the_onlooker_counts_who_waits_and_does_not_wait_for_ever(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A condition that can't come true is an error, not a hang."""
    monkeypatch.setattr("experiments.waiting.onlooker.PATIENCE", 0.01)
    with Onlooker(database.engine()) as onlooker:
        assert onlooker.waiting() == 0
        with pytest.raises(NothingHappened):
            onlooker.until_waiting(1)


def test_the_parts_of_a_crowds_time_add_up() -> None:
    """In every round, for a strategy that waits and for one that tries."""
    waiting = attribute(["advisory", "advisory_try"], clients=6, pool=2, rounds=2)

    assert list(waiting.requests["outcome"].unique()) == ["booked"]
    sums = waiting.rounds[PARTS].sum(axis=1)
    pd.testing.assert_series_equal(sums, waiting.rounds["latency_ms"], check_names=False)
    assert (waiting.rounds["pool_ms"] > 0).all()  # six clients, two connections
    assert (waiting.rounds["work_ms"] > 0).all()
    server = waiting.server().set_index("strategy")
    assert list(server.sum(axis=1)) == pytest.approx([2, 2])
    assert waiting.skipped == {}
    words = [text.get_text() for text in waiting_parts(waiting.parts()).axes[0].texts]
    assert len(words) == 2


def test_a_bystander_waits_where_the_crowd_waits_and_not_where_it_tries() -> None:
    """The pool is used up by sessions that PostgreSQL says are waiting."""
    seen = stand_by(
        ["advisory", "staff_row_nowait"], clients=6, pool=2, rounds=1, asks=4, every_ms=5
    )

    answered = seen.asks.groupby("crowd")["while_held"].sum()
    assert answered["advisory"] == 0
    assert answered["staff_row_nowait"] > 0
    assert answered[CONTROL] > 0
    assert set(seen.requests["outcome"]) <= {"conflict", "busy"}
    verdicts = Verdicts("test")
    seen.record(verdicts)
    assert [each.held for each in verdicts.all] == [True, True]
    assert list(seen.table()["queries"]) == [4, 4, 4]
    rows = [label.get_text() for label in beside_a_crowd(seen).axes[0].get_yticklabels()]
    assert rows == [CONTROL, "advisory\n(waits)", "staff_row_nowait\n(tries)"]
