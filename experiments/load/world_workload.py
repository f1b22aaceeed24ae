"""What the users of a load ask for in the small world: the requests of its pairs.

Two users meet at one slot only if they want it at about the same time, so all of them, in all
processes, play the same pair for a few iterations, then the next that is drawn. Each makes any of
its requests, or books what the pair takes for granted; or cancels what is in the way of these, so
that slots become free again while others want them.

Days off are left out: they would stay, and close the salon.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from dataclasses import replace
from functools import lru_cache
from random import Random
from typing import TYPE_CHECKING

from experiments.scenes.draws import Draws
from experiments.scenes.shapes import Call
from experiments.scenes.world import DIMENSIONS, RULES, WORLD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from experiments.scenes.places import Place
    from experiments.scenes.world import Pair

TURN = 3
"""Iterations of every user for which a pair is played."""
FREES = 0.3
"""How often something is cancelled that is in the way of a pair."""
LASTING = frozenset(pair.dimension for pair in WORLD.values() if pair.part == RULES)
"""Dimensions whose requests change the salon for good."""
REQUESTED = tuple(name for name in DIMENSIONS if name not in LASTING)
"""What a load draws from."""


class Standing:
    """Which appointments stand where, as far as a process's users were told; they share it."""

    def __init__(self) -> None:
        self._at: dict[Place, set[int]] = defaultdict(set)
        self._where: dict[int, Place] = {}
        self._lock = threading.Lock()

    def put(self, appointment_id: int, place: Place) -> None:
        """Note where an appointment is now."""
        with self._lock:
            self._forget(appointment_id)
            self._at[place].add(appointment_id)
            self._where[appointment_id] = place

    def remove(self, appointment_id: int) -> None:
        """Note that an appointment is gone."""
        with self._lock:
            self._forget(appointment_id)

    def at(self, place: Place, source: Random) -> int | None:
        """Return one that is at a place."""
        with self._lock:
            return _any(self._at[place], source)

    def overlapping(self, places: list[Place], source: Random) -> int | None:
        """Return one that is in the way of a place."""
        with self._lock:
            found = {
                each
                for there, ids in self._at.items()
                if ids and any(there.overlaps(place) for place in places)
                for each in ids
            }
            return _any(found, source)

    def place(self, appointment_id: int) -> Place | None:
        """Return where an appointment is."""
        with self._lock:
            return self._where.get(appointment_id)

    def _forget(self, appointment_id: int) -> None:
        place = self._where.pop(appointment_id, None)
        if place is not None:
            self._at[place].discard(appointment_id)


class WorldWorkload:
    """Draws calls; shared by the users of a process.

    Args:
        weights: How often each dimension is drawn; all of `REQUESTED` alike if left out.
        seed: What is drawn depends on it.
        standing: What can be cancelled and moved.
    """

    def __init__(self, weights: Mapping[str, float] | None, seed: int, standing: Standing) -> None:
        self._draws = Draws(weights or dict.fromkeys(REQUESTED, 1.0))
        self._seed = seed
        self._standing = standing
        self._pair = lru_cache(maxsize=8)(self._drawn)

    def call(self, iteration: int, source: Random) -> tuple[Call, int | None]:
        """Draw what a user asks for.

        Args:
            iteration: The user's how manieth it is.
            source: The user's.

        Returns:
            The call, and the appointment that it is about, where it cancels or moves one.
        """
        turn = iteration // TURN
        scene = self._pair(turn).scene
        if source.random() < FREES:
            places = [call.place for call in scene.calls if call.place] + scene.existing
            in_the_way = self._standing.overlapping(places, source)
            if in_the_way is not None:
                return Call("cancel", existing=0), in_the_way
        first = (Call("book", place) for place in scene.existing)
        call = source.choice([*scene.calls, *first])
        if call.existing is not None:
            about = self._standing.at(scene.existing[call.existing], source)
            if about is not None:
                return call, about
            call = Call("book", scene.existing[call.existing])
        # A key is one client's for one request, and pairs come again.
        return replace(call, key=f"{call.key} of turn {turn}") if call.key else call, None

    def _drawn(self, turn: int) -> Pair:
        return self._draws.pair(Random(f"{self._seed}, turn {turn}"))  # noqa: S311 - no secret


def _any(ids: set[int], source: Random) -> int | None:
    return source.choice(sorted(ids)) if ids else None
