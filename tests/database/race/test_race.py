"""The race sees what is there: one winner under sound strategies, the faults of the exhibits."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import text
from waiters import somebody_waits

from booking_core.strategies import STRATEGIES, Strategy
from experiments.race.race import FAULTS, race, races
from experiments.scenes.exhibits import EXHIBITS
from experiments.scenes.parameters import BadExperiment
from experiments.scenes.shapes import SHAPES
from experiments.server.postgres import Database, server
from experiments.waiting.waits import LockWaits

if TYPE_CHECKING:
    from booking_core.strategies.transaction import BookingTransaction
    from experiments.scenes.exhibit import Exhibit

# The origin breaks with a hundred clients only, which is too many for a test.
QUICK_EXHIBITS = [exhibit for exhibit in EXHIBITS.values() if exhibit.breaks_with <= 20]


def _skip_if_too_old(strategy: type[Strategy]) -> None:
    if server().version < strategy.minimum_server:
        pytest.skip(f"{strategy.name} needs PostgreSQL {strategy.minimum_server // 10000}")


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_a_sound_strategy_keeps_every_property_in_every_shape(strategy: type[Strategy]) -> None:
    """Eight clients, each shape once: no fault, no error, every conflict with alternatives."""
    _skip_if_too_old(strategy)
    result = races(strategy, levels=[8], rounds=1, shapes=list(SHAPES), hold_ms=2)
    assert dict.fromkeys(FAULTS, 0) == result.rounds[FAULTS].sum().to_dict()
    refused = result.requests["outcome"] == "invalid"
    assert {"one_client"} == set(result.requests[refused]["shape"])
    assert result.requests[refused]["detail"].str.startswith("CLIENT_ELSEWHERE").all()
    allowed = {"booked", "conflict", "cancelled", "invalid"}
    assert allowed >= set(result.requests["outcome"]), result.requests["detail"].unique()
    conflicts = result.requests[result.requests["outcome"] == "conflict"]
    assert (conflicts["alternatives"] >= 3).all()
    booked = result.requests[result.requests["outcome"] == "booked"]["shape"].value_counts()
    assert 1 == booked["same_slot"] == booked["overlapping"]
    assert 8 == booked["adjacent"] == booked["other_staff"] == booked["same_key"]
    assert booked["two_moves"] >= 6  # two targets may be taken, with whom it was handed over to
    assert booked["one_client"] == 3  # one of six, and two who come later


@pytest.mark.parametrize("exhibit", QUICK_EXHIBITS, ids=lambda exhibit: exhibit.name)
def test_an_exhibit_is_caught_in_the_shape_that_it_names(
    exhibit: type[Exhibit], database: Database
) -> None:
    """The instrument finds the fault that the docstring names, in one of three rounds."""
    clients, shape = exhibit.breaks_with, exhibit.breaks_in
    rounds = (
        race(exhibit, clients=clients, rounds=1, shape=shape, seed=seed, on=database.clear())
        for seed in range(3)
    )
    assert any(each.summary()[exhibit.fault] for each in rounds)


def test_the_easiest_shape_does_not_catch_a_key_of_the_start(database: Database) -> None:
    """Twenty requests for one slot pass: that is why shapes vary."""
    on = database.clear()
    seen = race("key_of_start", clients=20, rounds=2, shape="same_slot", on=on).summary()
    assert (seen["booked"], seen["conflict"], seen["double_bookings"]) == (2, 38, 0)


class Broken(Strategy):
    """A strategy with a fault of its own."""

    name = "broken"

    def guard(self, tx: BookingTransaction) -> None:
        """Send nonsense."""
        tx.connection.execute(text("SELECT nonsense"))


def test_a_strategy_that_raises_is_counted_as_an_error_and_nothing_hangs() -> None:
    """An exception in somebody's own strategy is a result, told with its text."""
    result = race(Broken, clients=3, rounds=1)
    seen = result.summary()
    assert (seen["error"], seen["booked"], seen["lost_sales"]) == (3, 0, 1)
    assert result.requests["detail"].str.contains("nonsense").all()


def test_a_round_has_a_row_for_every_request_and_starts_at_the_release() -> None:
    """Tidy data: one row a request, times counted from the first release."""
    result = race("advisory", clients=5, rounds=2)
    assert len(result.requests) == 10
    assert len(result.rounds) == 2
    assert result.requests["start_us"].min() == 0
    by_round = result.requests.groupby("round")["start_us"].max()
    assert by_round.tolist() == result.rounds["release_skew_us"].tolist()


@pytest.mark.parametrize(
    ("parameters", "said"),
    [
        ({"clients": 0}, "clients is 0"),
        ({"clients": 1001}, "between 1 and 1000"),
        ({"clients": 1000}, "max_connections"),
        ({"rounds": 0}, "rounds is 0"),
        ({"hold_ms": -1.0}, "hold_ms is -1.0"),
        ({"hold_ms": float("nan")}, "hold_ms is nan"),
        ({"shape": "round"}, "There is no shape 'round'"),
    ],
)
def test_absurd_parameters_are_refused_in_a_sentence(
    parameters: dict[str, object], said: str
) -> None:
    """What makes no experiment says so before anything runs."""
    with pytest.raises(BadExperiment, match=said):
        race("advisory", **parameters)  # type: ignore[arg-type]  # that is the point


def test_waits_are_seen_by_the_server(database: Database) -> None:
    """A session that waits for a lock is seen waiting, one that does not wait is not."""
    engine = database.engine()
    began = perf_counter()
    with somebody_waits(engine) as (waiter, idle):
        waits = LockWaits(engine, [waiter, idle])
        with waits:
            pass  # it looks once at least
        waits.close()
    assert waits.milliseconds.keys() == {waiter}
    assert 0 < waits.milliseconds[waiter] < 1000 * (perf_counter() - began)
