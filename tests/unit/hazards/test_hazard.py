"""What a hazard's rounds are summed up to, and when its verdict fails."""

import pandas as pd

from experiments.hazards.figures import hazards_and_controls, hazards_in_words
from experiments.hazards.hazard import Hazard, never, side
from experiments.show.verdicts import Verdicts

RUNS = pd.DataFrame(
    {
        "variant": ["bad", "good"] * 3,
        "round": [1, 1, 2, 2, 3, 3],
        "deadlocks": [1, 0, 2, 0, 0, 0],
        "victim_ms": [1000.0, float("nan"), 1200.0, float("nan"), 2.5, float("nan")],
        "told": ["deadlock", "booked", "deadlock", "booked", "booked", "booked"],
        "took_ms": [1000.0, 2.0, 1200.0, 3.0, 5.0, 4.0],
    }
)
BAD, GOOD = (RUNS[RUNS["variant"] == name] for name in ("bad", "good"))
HAZARD = Hazard(
    "example",
    "What if?",
    "somehow",
    RUNS,
    "It was seen.",
    (
        never("The good one never deadlocks", GOOD["deadlocks"] > 0, "deadlocks", "rounds"),
        never("The bad one never does", BAD["deadlocks"] > 0, "deadlocks", "rounds"),
    ),
    (side("bad", BAD, "took_ms"), side("good", GOOD, "took_ms")),
)


def test_counts_are_summed_and_measurements_are_medians() -> None:
    """One row a variant; what was never measured is told from zero."""
    bad, good = HAZARD.frame.to_dict("records")

    assert (bad["variant"], bad["rounds"], bad["deadlocks"]) == ("bad", 3, 3)
    assert (bad["victim ms"], good["victim ms"]) == ("1,000 (501 to 1,100)", "none")
    assert (bad["told"], good["told"]) == ("deadlock, booked", "booked")


def test_a_claim_that_rounds_contradict_has_not_held() -> None:
    """A verdict counts what speaks against it."""
    verdicts = Verdicts("example")
    HAZARD.record(verdicts)

    assert [(each.held, each.failures, each.trials) for each in verdicts.all] == [
        (True, 0, 3),
        (False, 2, 3),
    ]


def test_the_picture_names_what_it_compares() -> None:
    """Labels carry the meaning, in the picture and in its alternative text."""
    words = [text.get_text() for text in hazards_and_controls([HAZARD]).axes[0].texts]

    assert words == ["bad, 1,000 ms", "good, 3 ms"]
    assert hazards_in_words([HAZARD]) == "example: bad 1000 ms, good 3 ms."
