"""The programme of a race: which scene each round plays.

A round plays a named shape, a pair of requests of the world by its name, or one that is drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from random import Random
from typing import TYPE_CHECKING

from experiments.scenes.draws import DRAWN, Draws
from experiments.scenes.parameters import BadExperiment
from experiments.scenes.world import find_shape

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from experiments.scenes.shapes import Scene


@dataclass(frozen=True, slots=True)
class Round:
    """One round.

    Attributes:
        shape: What was asked for.
        clients: How many take part.
        number: The how manieth round it is, of this shape with so many clients.
        played: What is played: the shape, or the pair that was drawn.
        scene: What happens.
    """

    shape: str
    clients: int
    number: int
    played: str
    scene: Scene


def programme(
    shapes: Sequence[str],
    levels: Sequence[int],
    rounds: int,
    *,
    weights: Mapping[str, float] | None = None,
    seed: int = 1,
) -> list[list[Round]]:
    """Return the rounds, those that happen in one salon together.

    Args:
        shapes: Names of shapes and pairs, as `find_shape` takes them; `world` draws a pair for
            each round.
        levels: Numbers of clients.
        rounds: How often each shape is played with each number.
        weights: How often each dimension of the world is drawn, as `Draws` takes them.
        seed: What is drawn depends on it.

    Raises:
        BadExperiment: There is no such shape, not for so few clients, or nothing to draw.
    """
    if not levels or not shapes:
        raise BadExperiment("A race needs at least one number of clients and one shape.")
    if weights and DRAWN not in shapes:
        raise BadExperiment(f"Only the shape {DRAWN!r} draws pairs by weight.")
    draws = Draws(weights)
    planned = [
        Round(shape, clients, number, played, find_shape(played, clients).scene(clients))
        for shape, clients in product(shapes, levels)
        for number, played in enumerate(_played(shape, rounds, draws, f"{seed}, {clients}"), 1)
    ]
    salons: dict[bool, list[Round]] = {}
    for each in planned:
        salons.setdefault(each.scene.in_world, []).append(each)
    return list(salons.values())


def _played(shape: str, rounds: int, draws: Draws, seed: str) -> Iterator[str]:
    source = Random(f"{seed}, pairs")  # noqa: S311 - no secret
    for _ in range(rounds):
        yield draws.pair(source).name if shape == DRAWN else shape
