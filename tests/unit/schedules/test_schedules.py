"""A counterexample is a value: it is read back exactly as it was written.

The examples in `schedules/` were written by hand: a plain double booking, a schedule in which
one client waits, and a deadlock among three.
"""

import json
from pathlib import Path

import pytest

from experiments.schedules.schedule import FORMAT, Counterexample, UnreadableSchedule

EXAMPLES = sorted((Path(__file__).parent / "examples").glob("*.json"))


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_nothing_is_lost_between_value_and_json(path: Path) -> None:
    """What is replayed on another machine is what was found on this one."""
    written = path.read_text(encoding="utf-8")
    counterexample = Counterexample.from_json(written)

    assert written == counterexample.to_json()
    assert counterexample == Counterexample.from_dict(json.loads(written))


def test_a_replay_follows_the_choices_alone() -> None:
    """Reads of what nobody writes are no choice of the schedule."""
    counterexample = _example("no_lock")

    assert counterexample.choices == tuple((client, "") for client in (0, 1, 1, 1, 0, 0))
    assert [step.client for step in counterexample.steps if step.background] == [0, 1]


def test_a_wait_is_no_preemption() -> None:
    """The order of fewest preemptions prefers what people find simplest."""
    assert _example("no_lock").preemptions == 1
    assert _example("stale_snapshot").preemptions == 1


def test_a_wait_says_for_whom_and_until_when() -> None:
    """A picture can draw the arrow to the blocker, and the end of the wait."""
    waiting = _example("stale_snapshot").steps[1]

    assert waiting.waited
    assert waiting.waited_for == (0,)
    assert waiting.answered_at == 4


@pytest.mark.parametrize(
    "written",
    [
        "",
        "[]",
        "{}",
        json.dumps({"format": FORMAT + 1}),
        json.dumps({"format": FORMAT, "steps": []}),
        json.dumps({"format": FORMAT, "steps": [{"client": 0, "nonsense": 1}]}),
    ],
)
def test_anything_else_is_refused(written: str) -> None:
    """A wrong file is one clear error, not a strange replay."""
    with pytest.raises(UnreadableSchedule):
        Counterexample.from_json(written)


def _example(name: str) -> Counterexample:
    return Counterexample.load(Path(__file__).parent / "examples" / f"{name}.json")
