"""Hazards: what goes wrong beside a sound lock, each as a small experiment with a control.

`HAZARDS` has them by name. Each is a function that takes a few seconds as it stands, more rounds
on demand, and returns a `Hazard`. What decides are counts, and who waits for whom according to
PostgreSQL; times are shown and decide nothing.

A file is a hazard, but for `hazard`, what each returns; `together` and `deadlocks`, which several
need; and `page` and `figures`, which show them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.hazards.blind_index import blind_index
from experiments.hazards.collision import collision
from experiments.hazards.hazard import Hazard
from experiments.hazards.lock_order import lock_order
from experiments.hazards.lock_timeout import lock_timeout
from experiments.hazards.parent_row import parent_row
from experiments.hazards.payment import payment
from experiments.hazards.storm import storm

if TYPE_CHECKING:
    from collections.abc import Callable

HAZARDS: dict[str, Callable[[], Hazard]] = {
    hazard.__name__: hazard
    for hazard in (payment, lock_timeout, lock_order, storm, parent_row, collision, blind_index)
}

__all__ = [
    "HAZARDS",
    "Hazard",
    "blind_index",
    "collision",
    "lock_order",
    "lock_timeout",
    "parent_row",
    "payment",
    "storm",
]
