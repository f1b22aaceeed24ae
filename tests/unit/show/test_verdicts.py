"""Verdicts: nothing false passes, nothing true gets lost."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from experiments.show import results
from experiments.show.verdicts import VerdictFailed, Verdicts


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, str]]:
    """Collect what a notebook would show."""
    bundles: list[dict[str, str]] = []
    monkeypatch.setattr(results, "display", lambda bundle, **_: bundles.append(bundle))
    return bundles


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Name a results folder, as the publisher does."""
    monkeypatch.setenv(results.FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


def test_a_failed_claim_raises_after_everything_was_recorded(
    shown: list[dict[str, str]], folder: Path
) -> None:
    """The report can tell a failure only if it was shown and saved before it was raised."""
    verdicts = Verdicts("07_sample")
    verdicts.add("Water is wet", held=True, evidence="touched it")
    verdicts.add("Pigs fly", held=False, evidence="landings", failures=3, trials=50, unit="pigs")
    with pytest.raises(VerdictFailed, match=r"^Pigs fly$"):
        verdicts.conclude()
    saved = json.loads((folder / "07_sample.verdicts.json").read_text())
    assert saved == {
        "notebook": "07_sample",
        "verdicts": [
            {
                "claim": "Water is wet",
                "held": True,
                "evidence": "touched it",
                "trials": None,
                "failures": 0,
                "unit": "attempts",
            },
            {
                "claim": "Pigs fly",
                "held": False,
                "evidence": "landings: 3 in 50 pigs (6.0%, 95% interval 2.1 to 16.2%)",
                "trials": 50,
                "failures": 3,
                "unit": "pigs",
            },
        ],
    }
    [bundle] = shown
    assert "1 of 2 claims held" in bundle["text/plain"]


def test_held_claims_pass_and_are_shown_in_words(shown: list[dict[str, str]]) -> None:
    """Whether a claim held is a word in the text and in the HTML, never a colour alone."""
    verdicts = Verdicts("07_sample")
    verdicts.add("1 < 2 & 2 > 1", held=True, evidence="counted")
    verdicts.conclude()
    [bundle] = shown
    assert "✓ held</strong>" in bundle["text/html"]
    assert "1 &lt; 2 &amp; 2 &gt; 1" in bundle["text/html"]
    assert "✓ held" in bundle["text/plain"]
    assert "<strong" not in bundle["text/plain"]


def test_the_table_is_the_same_every_time(shown: list[dict[str, str]]) -> None:
    """The notebook tests compare it with the committed one."""
    for _ in range(2):
        verdicts = Verdicts("07_sample")
        verdicts.add("It holds", held=True, failures=0, trials=7)
        verdicts.conclude()
    first, second = shown
    assert first == second


def test_nothing_is_written_without_a_publisher(
    shown: list[dict[str, str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A notebook opened by hand leaves no files behind."""
    monkeypatch.delenv(results.FOLDER_VARIABLE, raising=False)
    monkeypatch.chdir(tmp_path)
    verdicts = Verdicts("07_sample")
    verdicts.add("It holds", held=True, evidence="seen")
    verdicts.conclude()
    assert shown
    assert list(tmp_path.iterdir()) == []


def test_numpy_answers_count_as_answers(shown: list[dict[str, str]], folder: Path) -> None:
    """Notebooks compute with pandas, whose booleans and integers JSON refuses."""
    verdicts = Verdicts("07_sample")
    trials: Any = np.int64(9)
    held: Any = np.bool_(1)
    verdicts.add("It holds", held=held, failures=int(np.int64(0)), trials=trials)
    verdicts.conclude()
    [verdict] = json.loads((folder / "07_sample.verdicts.json").read_text())["verdicts"]
    assert verdict["held"] is True
    assert verdict["trials"] == 9
    assert shown


@pytest.mark.parametrize("held", [float("nan"), None, 1, "yes"])
def test_what_is_no_truth_value_is_no_verdict(held: object) -> None:
    """`bool(nan)` is true: a mean over no rows would hold every claim."""
    with pytest.raises(TypeError, match="True or False"):
        Verdicts("07_sample").add("It holds", held=held, evidence="seen")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "evidence", [{}, {"trials": 0}, {"trials": 2, "failures": 3}], ids=["none", "zero", "too many"]
)
def test_a_claim_without_sound_evidence_is_refused(evidence: dict[str, int]) -> None:
    """A claim that no trial tested must not stand in a report as held."""
    with pytest.raises(ValueError, match=r"evidence|trial"):
        Verdicts("07_sample").add("It holds", held=True, **evidence)  # type: ignore[arg-type]


def test_a_claim_is_made_once() -> None:
    """Two verdicts on one sentence would contradict each other sooner or later."""
    verdicts = Verdicts("07_sample")
    verdicts.add("It holds", held=True, evidence="seen")
    with pytest.raises(ValueError, match="twice"):
        verdicts.add("It holds", held=False, evidence="seen")


def test_a_notebook_without_claims_cannot_conclude() -> None:
    """Concluding nothing is a forgotten verdict, not a success."""
    with pytest.raises(ValueError, match="without a claim"):
        Verdicts("07_sample").conclude()
