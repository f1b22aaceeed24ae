"""Strategies by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from booking_core.strategies import STRATEGIES, Strategy
from booking_core.strategies.advisory import Advisory
from experiments.judge.history import Faults
from experiments.scenes.catalogue import ALL, HIDDEN, UnknownStrategy, find_strategy
from experiments.scenes.choosing import choose_when
from experiments.scenes.exhibits import EXHIBITS
from experiments.scenes.odd import ODD
from experiments.scenes.shapes import SHAPES

if TYPE_CHECKING:
    from pathlib import Path

    from experiments.scenes.exhibit import Exhibit


def test_a_strategy_is_found_by_name_class_and_instance() -> None:
    """Whoever has one of the three has the strategy."""
    instance = Advisory()
    assert isinstance(find_strategy("advisory"), Advisory)
    assert isinstance(find_strategy(Advisory), Advisory)
    assert instance is find_strategy(instance)


def test_a_strategy_of_ones_own_is_found_in_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`module:attribute` needs no installation."""
    (tmp_path / "locks_of_mine.py").write_text(
        "from booking_core.strategies import Strategy\n"
        "class Mine(Strategy):\n"
        "    name = 'mine'\n"
        "ready = Mine()\n"
        "number = 7\n"
    )
    monkeypatch.chdir(tmp_path)
    assert find_strategy("locks_of_mine:Mine").name == "mine"
    assert find_strategy("locks_of_mine:ready").name == "mine"
    with pytest.raises(UnknownStrategy, match="neither a Strategy"):
        find_strategy("locks_of_mine:number")
    with pytest.raises(UnknownStrategy, match="can't be imported"):
        find_strategy("locks_of_mine:Missing")


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    """A typing error shows the way out."""
    with pytest.raises(UnknownStrategy, match=r"advisory, .*no_lock"):
        find_strategy("advisery")


def test_no_name_is_used_twice() -> None:
    """Sound ones and exhibits can be told apart by name alone."""
    assert len(ALL) == len(STRATEGIES) + len(EXHIBITS) + len(HIDDEN) + len(ODD)


@pytest.mark.parametrize("exhibit", HIDDEN.values())
def test_a_hidden_exhibit_says_what_is_wrong_with_it(exhibit: type[Exhibit]) -> None:
    """A control that names no fault controls nothing."""
    assert not exhibit.sound
    assert exhibit.seen
    assert exhibit.__doc__
    assert hasattr(Faults(), exhibit.fault)


@pytest.mark.parametrize("strategy", ODD.values())
def test_an_odd_strategy_claims_to_be_sound(strategy: type[Strategy]) -> None:
    """They are the controls that must pass."""
    assert strategy.sound
    assert strategy.__doc__


@pytest.mark.parametrize("strategy", STRATEGIES.values())
def test_a_sound_strategy_says_what_a_reader_needs(strategy: type[Strategy]) -> None:
    """How it works, what it costs, when to choose it, and the manual's section."""
    assert strategy.sound
    assert choose_when(strategy)
    for part in ("How:", "Cost:", "Manual:"):
        assert part in (strategy.__doc__ or ""), part


@pytest.mark.parametrize("exhibit", EXHIBITS.values())
def test_an_exhibit_says_where_it_was_seen_and_what_breaks_it(exhibit: type[Exhibit]) -> None:
    """A control that names no fault controls nothing."""
    assert not exhibit.sound
    assert exhibit.seen
    assert exhibit.breaks_in in SHAPES
    assert hasattr(Faults(), exhibit.fault)
