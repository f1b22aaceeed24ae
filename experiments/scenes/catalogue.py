"""Strategies by name: the sound ones, the exhibits, and anybody's own as `module:attribute`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from booking_core.strategies import STRATEGIES, Strategy
from experiments.scenes.exhibits import EXHIBITS
from experiments.scenes.exhibits_of_cancels import EXHIBITS_OF_CANCELS
from experiments.scenes.exhibits_of_changes import EXHIBITS_OF_CHANGES
from experiments.scenes.exhibits_of_checks import EXHIBITS_OF_CHECKS
from experiments.scenes.exhibits_of_constraints import EXHIBITS_OF_CONSTRAINTS
from experiments.scenes.exhibits_of_keys import EXHIBITS_OF_KEYS
from experiments.scenes.exhibits_of_names import EXHIBITS_OF_NAMES
from experiments.scenes.exhibits_of_one_statement import EXHIBITS_OF_ONE_STATEMENT
from experiments.scenes.exhibits_of_replays import EXHIBITS_OF_REPLAYS
from experiments.scenes.exhibits_of_tries import EXHIBITS_OF_TRIES
from experiments.scenes.odd import ODD

if TYPE_CHECKING:
    from experiments.scenes.exhibit import Exhibit

# Broken in ways that the named shapes of races hardly show: it takes the world of pairs.
HIDDEN: dict[str, type[Exhibit]] = {
    exhibit.name: exhibit
    for exhibit in (
        *EXHIBITS_OF_KEYS,
        *EXHIBITS_OF_NAMES,
        *EXHIBITS_OF_CHECKS,
        *EXHIBITS_OF_CONSTRAINTS,
        *EXHIBITS_OF_TRIES,
        *EXHIBITS_OF_CHANGES,
        *EXHIBITS_OF_CANCELS,
        *EXHIBITS_OF_REPLAYS,
        *EXHIBITS_OF_ONE_STATEMENT,
    )
}
# Two clients can't show these to be broken; or not before time is a step.
_NOT_BY_TWO = (
    "queue_too_long",
    "lost_isolation",
    "count_and_moves_for_version",
    "swallowed_timeout",
)
PAIRWISE = {name: exhibit for name, exhibit in HIDDEN.items() if name not in _NOT_BY_TWO}
"""Those that a pair of requests refutes."""
ALL: dict[str, type[Strategy]] = {**STRATEGIES, **EXHIBITS, **HIDDEN, **ODD}


class UnknownStrategy(ValueError):
    """There is no strategy of that name."""


def find_strategy(wanted: str | Strategy | type[Strategy]) -> Strategy:
    """Return a strategy, given itself, its class, its name, or `module:attribute`.

    Modules are looked for in the working directory too.

    Raises:
        UnknownStrategy: Nothing there is a strategy.
    """
    found: object = wanted
    if isinstance(wanted, str):
        found = _import(wanted) if ":" in wanted else _by_name(wanted)
    if isinstance(found, type) and issubclass(found, Strategy):
        found = found()
    if not isinstance(found, Strategy):
        raise UnknownStrategy(f"{wanted!r} is neither a Strategy nor a class of one.")
    return found


def _by_name(name: str) -> type[Strategy]:
    if name not in ALL:
        raise UnknownStrategy(
            f"There is no strategy {name!r}. There are: {', '.join(ALL)}; "
            "or name your own as module:attribute."
        )
    return ALL[name]


def _import(path: str) -> object:
    module, _, attribute = path.partition(":")
    here = str(Path.cwd())
    if here not in sys.path:
        sys.path.insert(0, here)
    try:
        return getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError) as error:
        raise UnknownStrategy(f"The strategy {path!r} can't be imported: {error}.") from error
