"""Strategies by name: the sound ones, the exhibits, and anybody's own as `module:attribute`."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

from booking_core.strategies import STRATEGIES, Strategy
from experiments.scenes.exhibits import EXHIBITS

ALL: dict[str, type[Strategy]] = {**STRATEGIES, **EXHIBITS}


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
