"""The model and the real thing: what is recorded, delayed, measured and predicted."""

# ruff: noqa: SIM300 - expected == actual

from __future__ import annotations

import json
from typing import TYPE_CHECKING
from unittest.mock import patch

import pytest
from click.testing import CliRunner

from booking_core.strategies import STRATEGIES, Strategy
from booking_core.strategies.transaction import BookingTransaction, do_nothing
from experiments.bench.calendars import Calendars
from experiments.cli.main import main
from experiments.model.proxy import Proxy
from experiments.model.recording import hear_hold, record
from experiments.model.scripts import locking_statement
from experiments.model.visitor import PRACTICE, Visitor
from experiments.race.race import race
from experiments.server.connection import connect

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

every_strategy = pytest.mark.parametrize(
    "make", STRATEGIES.values(), ids=list(STRATEGIES), scope="module"
)


@pytest.fixture(scope="module")
def calendars(make: type[Strategy]) -> Iterator[Calendars]:
    """Give a salon, made once for the strategy."""
    with Calendars(make(), PRACTICE) as calendars:
        yield calendars


@pytest.fixture
def visitor(make: type[Strategy], calendars: Calendars) -> Iterator[Visitor]:
    """Give a client of the salon, which is empty."""
    calendars.empty()
    with Visitor(calendars, make(), iter(range(10_000))) as visitor:
        yield visitor


@every_strategy
def test_what_is_recorded_is_what_the_strategy_claims(visitor: Visitor) -> None:
    """As many round trips, as many of them under the lock; the last statement is COMMIT."""
    script = record(visitor.book, 3)
    traits = visitor.strategy.traits
    assert traits.round_trips == len(script.trips)
    assert script.steps[-1].commits
    lock = locking_statement(visitor.strategy, script)
    if lock:
        places = [number for number, step in enumerate(script.steps) if step.sql == lock]
        assert traits.round_trips_under_lock == script.trips_after(places[0])


@every_strategy
def test_a_lost_slot_is_recorded_too_and_where_the_client_holds(visitor: Visitor) -> None:
    """The recording stores nothing for who loses, and sees the hold between check and insert."""
    visitor.book()
    lost = record(visitor.lose, 3)
    assert "INSERT" not in lost.steps[-1].sql
    visitor.hold(hear_hold)
    held = record(visitor.book, 3)
    visitor.hold(do_nothing)
    assert held.hold_before is not None
    assert held.hold_before < len(held.trips)


@every_strategy
def test_neighbours_make_others_start_again_only_where_the_strategy_says_so(
    make: type[Strategy],
) -> None:
    """`neighbours_retry`: where it is none, nobody of ten in one calendar needs a second try."""
    if make.traits.neighbours_retry == "none":
        result = race(make(), clients=10, shape="adjacent", rounds=2)
        assert {1} == set(result.requests["attempts"])


@pytest.mark.parametrize(
    "make",
    [STRATEGIES["serializable"], STRATEGIES["version"]],
    ids=["serializable", "version"],
    scope="module",
)
def test_who_is_overtaken_starts_again(visitor: Visitor) -> None:
    """`neighbours_retry` of those who wait for nobody: a booking in between costs a second look."""
    looks: list[int] = []
    look = BookingTransaction.rival
    with visitor.another() as rival:
        visitor.book(0)  # so that the rules are known
        rival.book(1)

        def look_and_be_overtaken(tx: BookingTransaction) -> int | None:
            found = look(tx)
            looks.append(1)
            if len(looks) == 1:
                with patch.object(BookingTransaction, "rival", look):
                    rival.book(2 * PRACTICE)
            return found

        with patch.object(BookingTransaction, "rival", look_and_be_overtaken):
            visitor.book(PRACTICE)
    assert 2 == len(looks)


def test_a_slow_network_gives_the_server_s_answers() -> None:
    """Through the proxy one is let in as the same user, and reads the same."""
    strategy = STRATEGIES["advisory"]()
    with Calendars(strategy, 1) as calendars, Proxy(calendars.url) as proxy:
        proxy.delay(2)
        with connect(proxy.through(calendars.url)) as connection:
            rows = connection.execute("SELECT number FROM generate_series(1, 5000) AS number")
            assert list(range(1, 5001)) == [number for (number,) in rows]


def test_the_command_predicts_from_a_saved_calibration(tmp_path: Path) -> None:
    """What was saved gives the same prediction again, without a measurement."""
    saved = str(tmp_path / "here.json")
    words = ["simulate", "--clients", "5", "--seconds", "0.1", "--json"]
    first = CliRunner().invoke(main, [*words, "--save", saved])
    assert 0 == first.exit_code, first.output
    again = CliRunner().invoke(main, [*words, "--calibration", saved])
    assert 0 == again.exit_code, again.output
    found = json.loads(again.output)
    assert "advisory" == found["strategy"]
    assert found["per_second"] > 0
    assert found["bound_per_second"] > 0
    wrong = CliRunner().invoke(main, [*words, "--strategy", "version", "--calibration", saved])
    assert 2 == wrong.exit_code
    assert "knows nothing of 'version'" in wrong.output
