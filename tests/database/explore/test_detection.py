"""The methods that are compared see what they claim to see, and raise no false alarm."""

import pytest

from experiments.explore.detection import HARMLESS, METHODS, Budget, Detection, Finding, detect

BUDGET = Budget(clients=10, runs=2, shapes=("same_slot", "overlapping"), schedules=10, seed=1)


@pytest.mark.slow(
    why="the explorer plays every order of three clients; 07_detection_power states the same"
)
def test_the_origins_test_misses_its_key_and_the_explorer_does_not() -> None:
    """What this project was begun for."""
    seen = detect(["key_of_start"], [HARMLESS], BUDGET)

    assert not seen["origin_test", "key_of_start"].caught
    assert seen["origin_test", "key_of_start"].trials == BUDGET.runs
    assert seen["explorer", "key_of_start"].caught
    assert [seen.false_alarms(method) for method in METHODS] == [[]] * len(METHODS)


def test_what_everybody_sees_is_seen_by_all() -> None:
    """Without a lock a method that finds nothing finds nothing at all."""
    seen = detect(["no_lock"], [], BUDGET)

    assert seen["shaped_race", "no_lock"].caught
    assert seen["explorer", "no_lock"].caught
    assert seen["explorer", "no_lock"].trials < 20


def test_false_alarms_and_misses_are_counted_apart() -> None:
    """An alarm about everything would have caught every exhibit."""
    alarmist = [
        Finding("alarmist", "no_lock", sound=False, trials=1, caught=True, seconds=0.1),
        Finding("alarmist", "advisory", sound=True, trials=1, caught=True, seconds=0.1),
        Finding("sleeper", "no_lock", sound=False, trials=9, caught=False, seconds=0.1),
        Finding("sleeper", "advisory", sound=True, trials=9, caught=False, seconds=0.1),
    ]
    seen = Detection(alarmist)

    assert seen.false_alarms("alarmist") == ["advisory"]
    assert seen.missed("alarmist") == []
    assert seen.false_alarms("sleeper") == []
    assert seen.missed("sleeper") == ["no_lock"]
    assert list(seen.table()["caught"]) == [1, 0]
    words = [text.get_text() for text in seen.figure().axes[0].texts]
    assert "FALSE ALARM, schedule 1" in words
    assert "✗ missed in 9" in words
