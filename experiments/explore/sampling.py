"""Schedules that are given, and schedules that are drawn at random."""

from __future__ import annotations

from functools import partial
from itertools import count
from random import Random
from typing import TYPE_CHECKING

from experiments.explore.explorer import in_order
from experiments.steer.turns import Move

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from experiments.explore.explorer import Explorer, Run
    from experiments.steer.turns import Turns


class Following:
    """Makes given choices, and any where they can't be made.

    Args:
        choices: What is done each time.
    """

    def __init__(self, choices: Sequence[Move]) -> None:
        self._left = list(choices)
        self._lost = False

    def __call__(self, turns: Turns) -> Move:
        """Choose what is done next."""
        if self._lost or not self._left or not possible(self._left[0], turns):
            self._lost = True
            return Move(min(turns.ready))
        return self._left.pop(0)

    @property
    def diverged(self) -> bool:
        """Whether they could not all be made, or did not suffice."""
        return self._lost or bool(self._left)


def possible(move: Move, turns: Turns) -> bool:
    """Whether a choice can be made now."""
    return move in turns.faults if move.fault else move.client in turns.ready


class Sampled:
    """Schedules drawn at random, in such a way that hard-to-find faults have a chance (PCT).

    Every client gets a priority, and whoever has the highest of those that are ready goes on. At
    `depth - 1` steps drawn at random, the client that has the turn gets the lowest. For n clients
    that make k steps in all, a fault that needs `depth` steps in a certain order shows in each
    run with a probability of at least 1 / (n * k ** (depth - 1)), whatever the fault is.
    (Burckhardt and others, "A Randomized Scheduler with Probabilistic Guarantees of Finding
    Bugs", 2010.)

    Args:
        explorer: Plays them.
        schedules: How many.
        seed: What the draws depend on.
        depth: How many steps in a certain order a fault may need.
    """

    exhausted = False
    lost = wayward = 0

    def __init__(self, explorer: Explorer, *, schedules: int, seed: int, depth: int) -> None:
        self._explorer = explorer
        self._schedules = schedules
        self._depth = depth
        self._source = Random(seed)  # noqa: S311 - no secret
        self._steps = 1

    @property
    def bound(self) -> float:
        """The probability, at least, that one run shows a fault of that depth."""
        chances: float = self._explorer.play.clients * self._steps ** (self._depth - 1)
        return 1 / chances

    def runs(self) -> Iterator[Run | None]:
        """Play schedule after schedule."""
        # The longest of a few runs tells how many steps there are.
        for first in range(self._explorer.play.clients):
            run = self._explorer.run(partial(in_order, first=first))
            self._steps = max(self._steps, len(run.choices))
        for _ in range(self._schedules):
            run = self._explorer.run(self._priorities())
            self._steps = max(self._steps, len(run.choices))
            yield run

    def _priorities(self) -> Callable[[Turns], Move]:
        clients = list(range(self._explorer.play.clients))
        self._source.shuffle(clients)
        changes = {self._source.randrange(self._steps) for _ in range(self._depth - 1)}
        steps = count()

        def choose(turns: Turns) -> Move:
            chosen = min(turns.ready, key=clients.index)
            if next(steps) in changes:
                clients.remove(chosen)
                clients.append(chosen)
                chosen = min(turns.ready, key=clients.index)
            return Move(chosen)

        return choose
