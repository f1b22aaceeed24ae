"""Races draw from the world of pairs, with any number of clients, in any number of processes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

from booking_core.errors import BookingError
from booking_core.strategies import STRATEGIES, Strategy
from booking_core.strategies.advisory import Advisory
from experiments.cli.main import main
from experiments.race import course
from experiments.race.race import FAULTS, race, races
from experiments.scenes.catalogue import ALL
from experiments.scenes.kept import KEPT
from experiments.scenes.parameters import BadExperiment
from experiments.scenes.world import WORLD
from experiments.server.postgres import server

if TYPE_CHECKING:
    from booking_core.strategies.transaction import BookingTransaction
    from experiments.scenes.kept import Kept

ANOTHER_TIME = "one key, another time"


def test_a_pair_is_raced_by_any_number_of_clients() -> None:
    """They make its two requests in turns: one key and two times, so who comes second is told."""
    result = race("advisory", clients=9, rounds=2, shape=ANOTHER_TIME)
    seen = result.summary()
    assert seen["rounds_broken"] == 0, result.requests["detail"].unique()
    assert (seen["booked"], seen["invalid"]) in {(10, 8), (9, 9), (8, 10)}
    given = result.requests.query("outcome == 'booked'").groupby("round")["appointment_id"]
    assert (given.nunique() == 1).all()


def test_each_round_draws_a_pair_and_says_which() -> None:
    """The same seed draws the same pairs; another one others."""
    drawn = [
        race("advisory", clients=4, rounds=6, shape="world", seed=seed, hold_ms=0)
        .rounds["played"]
        .tolist()
        for seed in (3, 3, 4)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
    assert set(drawn[0]) <= WORLD.keys()


def test_named_shapes_and_pairs_can_be_raced_together() -> None:
    """They happen in two salons, one after the other in one database."""
    result = races("staff_row", levels=[2, 4], rounds=1, shapes=["a cancel, twice", "same_slot"])
    assert result.rounds["played"].tolist() == ["a cancel, twice"] * 2 + ["same_slot"] * 2
    assert (result.rounds[FAULTS] == 0).all(axis=None)


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_a_sound_strategy_keeps_every_property_in_the_kept_pairs(strategy: str) -> None:
    """What breaks the exhibits breaks no other."""
    if server().version < ALL[strategy].minimum_server:
        pytest.skip(f"{strategy} needs a newer server")
    result = races(strategy, levels=[8], rounds=1, shapes=list(KEPT), hold_ms=2)
    assert result.broken_by() == {}


@pytest.mark.parametrize("kept", KEPT.values(), ids=KEPT)
def test_a_kept_pair_breaks_what_it_broke(kept: Kept) -> None:
    """Twenty clients race. Which order a round plays is luck, so it is tried several times."""
    assert any(
        race(kept.broke[0], rounds=2, shape=kept.name, seed=seed).broken_by() for seed in range(5)
    )


def test_what_broke_something_is_named_with_the_way_to_race_it_alone() -> None:
    """The command that is printed can be pasted, and breaks it again."""
    words = ["race", "--strategy", "no_lock", "--shape", "world", "--rounds", "4", "--json"]
    seen = json.loads(CliRunner().invoke(main, [*words, "--weights", "a month=1"]).stdout)
    assert seen["rounds_broken"] > 0
    assert set(seen["broken_by"]) <= set(seen["drawn"])
    (pair, *_) = seen["broken_by"]
    assert any(f"booking-lab race --shape '{pair}'" in each for each in seen["again"])


HASHED = "hash_of_name"


def test_clients_in_processes_of_their_own_share_nothing_of_python() -> None:
    """A key that Python hashed is another one in each process; the calendar's is not."""
    assert race(HASHED, clients=8, rounds=2).broken_by() == {}
    assert race(HASHED, clients=8, rounds=2, processes=2).summary()["double_bookings"] > 0
    result = race("advisory", clients=8, rounds=2, shape="world", processes=2)
    assert result.broken_by() == {}
    assert (result.requests.groupby("round")["client"].nunique() == 8).all()


def test_a_strategy_that_no_other_process_can_import_is_refused() -> None:
    """As one that was written in a notebook; in this process it can be raced."""

    class Local(Advisory):
        name = "local"

    with pytest.raises(BadExperiment, match="Other processes can't import the strategy local"):
        race(Local, clients=2, processes=2)
    assert race(Local, clients=2, rounds=1).broken_by() == {}


class Hoarder(Strategy):
    """Takes a lock of the session, and never gives it back."""

    name = "hoarder"

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the calendar, longer than the transaction."""
        tx.run("SELECT pg_advisory_lock(%(staff_id)s)")


def test_whoever_waits_for_ever_ends_the_round_as_unanswered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A lock that nobody gives back is a result, and the next round is played."""
    monkeypatch.setattr(course, "PATIENCE_S", 1.0)
    # Whoever is first keeps the others waiting until they have connections of their own.
    result = race(Hoarder, clients=4, rounds=2, hold_ms=100)
    assert (result.rounds["unanswered"] > 0).all()
    assert "unanswered" in set(result.requests["outcome"])


class BooksNothing(Strategy):
    """Raises whatever is asked."""

    name = "books_nothing"

    def guard(self, tx: BookingTransaction) -> None:
        """Fail."""
        raise BookingError(tx.request.client)


def test_a_round_that_cannot_begin_answers_nobody() -> None:
    """What the scene begins with could not be booked: that is the strategy's fault."""
    seen = race(BooksNothing, clients=3, rounds=1, shape="a cancel, twice").summary()
    assert (seen["error"], seen["unanswered"]) == (3, 3)
