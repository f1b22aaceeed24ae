"""Unit tests of the races in a run: which steps could have come in the other order."""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from experiments.explore.independence import Footprint, Lock, independent
from experiments.explore.reversals import Step, reversals
from experiments.sql.statements import EXCLUSIVE

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Program = tuple[tuple[str, ...], ...]  # for each client the locks it asks for, one a step


def step(client: int, lock: str, answered_at: int | None = None) -> Step:
    """Return a step that asks for a lock; steps that ask for the same do not commute."""
    return Step(client, Footprint(asks=frozenset({Lock("write", lock)})), answered_at)


def test_steps_that_commute_do_not_race() -> None:
    """Where nothing can happen, there is one schedule."""
    assert not list(reversals([step(0, "a"), step(1, "b")]))


def test_clients_with_nothing_in_common_have_one_schedule() -> None:
    """That one was done before the other began is no race, unless they have to do with each other.

    Two who never meet but through a third do have.
    """

    def ends(client: int, lock: str) -> list[Step]:
        asks = frozenset({Lock("write", lock)})
        return [
            Step(client, Footprint(asks=asks, first=True), None),
            Step(client, Footprint(last=True), None),
        ]

    assert not list(reversals([*ends(0, "a"), *ends(1, "b")]))
    assert list(reversals([*ends(0, "a"), *ends(1, "a")]))
    through_a_third = [step(2, "a"), step(2, "b"), *ends(0, "a"), *ends(1, "b")]
    assert (3, 1) in {(race.earlier, race.later) for race in reversals(through_a_third)}


def test_what_lies_between_hides_a_race() -> None:
    """Only neighbours in the order of causes race: the first and the last can't meet."""
    run = [step(0, "a"), step(1, "a"), step(1, "b"), step(2, "b")]
    found = [(race.earlier, race.later, race.first) for race in reversals(run)]
    assert found == [(0, 1, [1]), (2, 2, [2])]


def test_who_has_to_do_with_whom_is_known_at_the_end() -> None:
    """A late step makes an early race of two who had nothing to do with each other until then."""
    early = [
        Step(1, Footprint(asks=frozenset({Lock("write", "a")})), None),
        Step(1, Footprint(last=True), None),
        Step(0, Footprint(first=True), None),
    ]
    assert not list(reversals(early))
    assert (1, 0) in [(race.earlier, race.later) for race in reversals([*early, step(0, "a")])]


def test_whoever_lets_a_client_go_on_comes_before_its_next_step() -> None:
    """A client that waited can't have made its next step earlier, though they would commute."""
    run = [step(0, "a"), step(1, "b", answered_at=2), step(0, "c"), step(1, "c")]
    assert [race.earlier for race in reversals(run)] == []
    waited_for_nobody = [run[0], step(1, "b", answered_at=1), *run[2:]]
    assert [race.earlier for race in reversals(waited_for_nobody)] == [2]


def test_who_has_a_lock_first_is_a_race_and_who_waits_for_it_is_none() -> None:
    """A client asks for a lock that another one has let go of: the race is for the lock."""
    lock = Lock("advisory", "(1,)", EXCLUSIVE, certain=True)
    asks = Footprint(asks=frozenset({lock}), patient=True)
    ends = Footprint(lets_go=frozenset({lock}), had=frozenset({lock}))
    run = [Step(0, asks, None), Step(0, ends, None), Step(1, asks, None), Step(1, ends, None)]
    assert [(race.earlier, race.later, race.first) for race in reversals(run)] == [(0, 1, [1])]
    impatient = replace(asks, patient=False)
    run[2] = Step(1, impatient, None)
    assert [race.earlier for race in reversals(run)] == [1]


def _schedules(program: Program, order: tuple[int, ...] = ()) -> Iterator[tuple[int, ...]]:
    left = [client for client, steps in enumerate(program) if order.count(client) < len(steps)]
    if not left:
        yield order
    for client in left:
        yield from _schedules(program, (*order, client))


def _steps(program: Program, order: Sequence[int]) -> list[Step]:
    made = [0] * len(program)
    steps = []
    for number, client in enumerate(order):
        steps.append(step(client, program[client][made[client]], number))
        made[client] += 1
    return steps


def _kind(steps: Sequence[Step]) -> frozenset[tuple[tuple[int, int], tuple[int, int]]]:
    """What schedules have in common that differ in nothing that matters: the order of rivals."""
    made: dict[int, int] = {}
    named = []
    for each in steps:
        made[each.client] = made.get(each.client, 0) + 1
        named.append(((each.client, made[each.client]), each))
    return frozenset(
        (one, other)
        for (place, (one, first)), (later, (other, second)) in product(enumerate(named), repeat=2)
        if place < later
        and first.client != second.client
        and not independent(first.footprint, second.footprint)
    )


def _explored(program: Program) -> list[tuple[int, ...]]:
    """Play a program as the search does, without its order and without sleep sets."""
    tried: dict[tuple[int, ...], set[int]] = {}
    played: list[tuple[int, ...]] = []
    queue: list[tuple[int, ...]] = [()]
    while queue:
        start = queue.pop()
        order = list(start)
        while True:
            left = [c for c, steps in enumerate(program) if order.count(c) < len(steps)]
            if not left:
                break
            tried.setdefault(tuple(order), {left[0]})
            order.append(left[0])
        played.append(tuple(order))
        for race in reversals(_steps(program, order)):
            point = tuple(order[: race.earlier])
            if tried[point].isdisjoint(race.first):
                tried[point].add(race.first[0])
                queue.append((*point, race.first[0]))
    return played


@settings(deadline=None)  # some programs have a hundred schedules
@given(
    st.lists(
        st.lists(st.sampled_from("abc"), min_size=1, max_size=3).map(tuple), min_size=2, max_size=3
    )
    .map(tuple)
    .filter(lambda program: sum(map(len, program)) < 7)
)
def test_every_kind_of_schedule_is_called_for(program: Program) -> None:
    """From one run, races lead to one of every kind of schedule: the oracle plays them all."""
    kinds = {_kind(_steps(program, order)) for order in _schedules(program)}
    assert {_kind(_steps(program, order)) for order in _explored(program)} == kinds


@pytest.mark.parametrize("clients", [2, 3, 4])
def test_clients_that_never_meet_have_one_schedule(clients: int) -> None:
    """However many they are."""
    program = tuple((str(client),) * 3 for client in range(clients))
    assert len(_explored(program)) == 1
