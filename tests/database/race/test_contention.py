"""Controls are caught for sure, or the page says which were not."""

from itertools import count

import pytest

from booking_core.strategies.transaction import BookingTransaction
from experiments.race import contention
from experiments.race.contention import contend
from experiments.scenes.exhibit import Exhibit, KeptApart
from experiments.show.verdicts import Verdict


class Late(KeptApart):
    """Sound for its first twenty transactions, and no lock at all from then on."""

    name = "late"
    asked = count()

    def guard(self, tx: BookingTransaction) -> None:
        """Lock, for a while."""
        if next(self.asked) < 20:
            super().guard(tx)


class Sound(KeptApart):
    """A control that no race can catch."""

    name = "sound"


def _raced(control: Exhibit) -> contention.Contention:
    return contend(
        ["advisory"], [control], levels=[4], shapes=["same_slot"], rounds=1, hold_ms=2, seed=1
    )


def _on_controls(raced: contention.Contention) -> Verdict:
    [verdict] = [
        verdict
        for verdict in raced.verdicts("notebook").all
        if verdict.claim.startswith("Every control")
    ]
    return verdict


def test_a_control_that_survives_its_rounds_is_raced_on() -> None:
    """Which order a round plays is luck: one that shows no fault is no verdict on the control."""
    raced = _raced(Late())
    assert not raced.missed
    assert (raced.rounds.query("strategy == 'late'")["double_bookings"] == 0).all()
    verdict = _on_controls(raced)
    assert verdict.held
    assert verdict.evidence == "1 of 1 caught"


def test_a_control_that_is_never_caught_fails_the_page(monkeypatch: pytest.MonkeyPatch) -> None:
    """Racing on must not become a way to pass."""
    monkeypatch.setattr(contention, "PATIENCE", 3)
    raced = _raced(Sound())
    assert raced.missed == ["sound"]
    verdict = _on_controls(raced)
    assert not verdict.held
    assert "missed: sound" in verdict.evidence
