"""Parameters of an experiment: what makes none is said before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable


class BadExperiment(ValueError):
    """A parameter makes no experiment."""


def check_limits(name: str, value: float, least: float, most: float) -> None:
    """Make sure that a number lies between its limits.

    Raises:
        BadExperiment: It does not.
    """
    if not least <= value <= most:
        raise BadExperiment(f"{name} is {value}; it must lie between {least} and {most}.")


def check_words(what: str, given: Iterable[str], known: Collection[str]) -> None:
    """Make sure that words are known.

    Args:
        what: What they stand for: "shape".
        given: The words.
        known: Those that there are.

    Raises:
        BadExperiment: One is not known.
    """
    for word in given:
        if word not in known:
            raise BadExperiment(f"There is no {what} {word!r}. There are: {', '.join(known)}.")
