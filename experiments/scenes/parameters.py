"""Parameters of an experiment: what makes none is said before anything starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping


HEAVIEST = 1e6
"""The most that anything may weigh."""


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


def check_weights(what: str, weights: Mapping[str, float], known: Collection[str]) -> None:
    """Make sure that something can be drawn by its weight.

    Args:
        what: What is drawn: "operation".
        weights: How often each is, in relation to the others.
        known: What there is.

    Raises:
        BadExperiment: One is not known, a weight is none, or all are 0.
    """
    check_words(what, weights, known)
    given = weights.values()
    if not any(given) or not all(0 <= weight <= HEAVIEST for weight in given):
        raise BadExperiment(
            f"The weight of each {what} lies between 0 and {HEAVIEST:,.0f}, and one is not 0."
        )
