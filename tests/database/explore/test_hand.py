"""The stage on which clients are stepped by hand, and the trial of a strategy just written."""

import pytest
from sqlalchemy import text

from booking_core import Strategy
from booking_core.strategies.transaction import BookingTransaction
from experiments.explore.hand import Hand
from experiments.explore.playground import refute, try_out


def test_who_waits_and_who_goes_on_is_seen_step_by_step() -> None:
    """What a talk shows is what the server does."""
    with Hand("advisory") as stage:
        first, second = stage.clients
        assert "T1: lock the calendar, got it" in str(first.step())

        waiting = second.step()
        assert "T2: lock the calendar, and waits" in waiting.happened
        assert waiting.standings[1].state == "waits for T1"
        assert waiting.standings[0].holds == waiting.standings[1].waits
        assert "advisory lock (7264, 1)" in waiting.standings[0].holds
        assert "can't go on" in str(second.step())

        assert "check the slot and insert, appointment 1" in str(first.step())
        committed = str(first.step())
        assert "T1: COMMIT, done" in committed
        assert "T2: lock the calendar, got it" in committed
        assert "T1 is done" in str(first.step())

        assert "taken by appointment 1" in str(second.step())
        ended = str(second.step())
        assert "T2 is told: conflict" in ended
        assert "No property broke" in ended


def test_a_statement_can_be_stepped_into() -> None:
    """Whoever wants to see what happens inside of one stands between its look and its write."""
    with Hand("one_statement", gates=True) as stage:
        first, second = stage.clients
        halted = first.step()
        assert "check the slot and insert, has looked, is about to write" in halted.happened
        assert halted.standings[0].state == "is about to: go on and write"
        assert not halted.standings[0].waits

        assert "has looked, is about to write" in str(second.step())
        assert "T1: go on and write, appointment" in str(first.step())
        assert "T2: go on and write, nothing written" in str(second.step())


def test_a_fault_can_be_walked_into_by_hand() -> None:
    """The moment is said in the words of the picture."""
    with Hand("no_lock") as stage:
        first, second = stage.clients
        for client in (first, second, first, second, first):
            client.step()
        assert "Broken: safety" in str(second.step())
        assert "All are done" in str(second.step())


def test_a_stage_can_be_left_at_any_moment() -> None:
    """Who closes the notebook in the middle leaves nothing behind."""
    with Hand("staff_row") as stage:
        first, second = stage.clients
        first.step()
        assert "the end of a transaction" in second.step().standings[1].waits


def test_a_view_is_a_table_in_a_notebook() -> None:
    """Text from the database can't break it."""
    with Hand("advisory") as stage:
        page = stage.clients[0].step()._repr_html_()

    assert page.startswith("<table><caption>T1: lock the calendar")
    assert page.count("<tr>") == 3


class OneForAll(Strategy):
    """Sound: one mutex for everybody."""

    name = "one_for_all"

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for it."""
        tx.connection.execute(text("SELECT pg_advisory_xact_lock(42)"))


class Nothing(Strategy):
    """Unsound."""

    name = "nothing"


class Endless(Strategy):
    """Broken: it never ends."""

    name = "endless"

    def guard(self, tx: BookingTransaction) -> None:
        """Ask for ever."""
        while True:
            tx.connection.execute(text("SELECT count(*) FROM appointment"))


@pytest.mark.parametrize(("strategy", "holds"), [(OneForAll, True), (Nothing, False)])
def test_a_strategy_just_written_is_judged_rightly(strategy: type[Strategy], holds: bool) -> None:
    """It need not be registered anywhere."""
    trial = try_out(strategy, shapes=["overlapping", "adjacent"], show=False)

    assert trial.holds is holds
    assert (trial.counterexample is None) is holds
    assert ("held" in trial.verdict) is holds


def test_a_broken_strategy_is_not_called_sound() -> None:
    """What could not be played is not a pass."""
    trial = try_out(Endless, shapes=["same_slot"], show=False)

    assert not trial.holds
    assert "can't be judged" in trial.verdict


def test_a_sound_strategy_is_not_refuted() -> None:
    """Nothing is shown where there is nothing."""
    with pytest.raises(LookupError):
        refute("function", "same_slot")
