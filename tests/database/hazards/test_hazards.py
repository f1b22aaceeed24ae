"""Every hazard shows, and its control doesn't; who waits and who dies is counted, never timed."""

from collections.abc import Callable
from functools import partial

import pytest
from sqlalchemy import text

from experiments.hazards import (
    HAZARDS,
    Hazard,
    blind_index,
    collision,
    lock_order,
    lock_timeout,
    parent_row,
    payment,
    storm,
)
from experiments.hazards.deadlocks import deadlock_engine
from experiments.server.postgres import Database
from experiments.show.verdicts import Verdicts

SMALLEST: dict[str, Callable[[], Hazard]] = HAZARDS | {
    "payment": partial(payment, slots=2, payment_ms=50, rounds=1),
    "lock_timeout": partial(lock_timeout, timeout_ms=10, rounds=1),
    "lock_order": partial(lock_order, deadlock_timeout_ms=10, rounds=1),
    "storm": partial(storm, levels=(1, 8), rounds=1),
    "parent_row": partial(parent_row, hold_ms=0, rounds=1),
    "blind_index": partial(blind_index, rounds=1),
    "collision": partial(collision, clients=4, deadlock_timeout_ms=10, rounds=1, races=1),
}


@pytest.mark.parametrize("name", HAZARDS)
def test_a_hazard_shows_and_its_control_does_not(name: str) -> None:
    """Each verdict holds in the smallest setting, and says on what it rests."""
    hazard = SMALLEST[name]()

    verdicts = Verdicts(name)
    hazard.record(verdicts)
    assert [each.claim for each in verdicts.all if not each.held] == []
    assert hazard.name == name
    assert len(hazard.frame) == len(hazard.runs.groupby(list(hazard.by)))
    assert all(each.ms.median > 0 for each in hazard.sides)


def test_a_collision_kills_one_client_after_another() -> None:
    """Of those who wait for a row that is rolled back one is booked, with ON CONFLICT or not."""
    runs = collision(clients=5, deadlock_timeout_ms=10, rounds=1, races=0).runs
    ended = runs.set_index(["variant", "way"])[["booked", "conflict", "deadlock"]]
    clients = int(ended.iloc[0].sum())  # fewer where deadlock_timeout is not ours to lower

    plain, harmless = ended.loc["plain"], ended.loc["ON CONFLICT DO NOTHING"]
    assert list(plain.loc["the first rolls back"]) == [1, 0, clients - 1]
    assert list(plain.loc["the first commits"]) == [0, clients, 0]
    assert list(harmless.loc["the first rolls back"]) == [1, clients - 1, 0]
    assert list(harmless.loc["the first commits"]) == [0, clients, 0]


def test_who_may_not_lower_deadlock_timeout_goes_by_the_servers(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hazards run as a plain user too; they say which timeout applied."""
    make = database.engine
    with make().connect() as connection:
        superuser = connection.execute(text("SHOW is_superuser")).scalar_one() == "on"
    # A role without rights that every server has, and that only a superuser can take.
    as_monitor = {"connect_args": {"options": "-c role=pg_monitor"}} if superuser else {}
    monkeypatch.setattr(database, "engine", lambda **options: make(**options, **as_monitor))

    engine, timeout_ms = deadlock_engine(database, 10, sessions=1)

    assert timeout_ms >= 100
    engine.dispose()
