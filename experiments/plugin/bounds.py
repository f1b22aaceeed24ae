"""What a test explores: as its mark says, and else as the command line does."""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import pytest

if TYPE_CHECKING:
    from experiments.explore.explore import Search

NAME = "interleavings"
MARK = (
    f"{NAME}(search='reduced', preemptions=2, faults=0, limit=2000, may_be_incomplete=False):"
    " what a test explores: how, with how many preemptions, with how many things that go wrong, up"
    " to how many schedules, and whether it passes where there would have been more"
)


@dataclass(frozen=True, slots=True)
class Bounds:
    """What a test explores.

    Attributes:
        search: `exhaustive`, `reduced` or `bounded`, as for `explore_program`.
        preemptions: How many a bounded search allows.
        faults: How many things may go wrong in a schedule.
        limit: Schedules after which the search ends, incomplete.
        may_be_incomplete: Whether a test passes whose search has come to its limit.
    """

    search: Search = "reduced"
    preemptions: int = 2
    faults: int = 0
    limit: int = 2_000
    may_be_incomplete: bool = False

    @classmethod
    def of(cls, node: pytest.Item, option: str) -> Self:
        """Read a test's bounds off its mark, the nearest where it has several.

        Args:
            node: The test.
            option: What `--interleavings` was given.

        Raises:
            pytest.fail.Exception: The mark can't be read.
        """
        mark = node.get_closest_marker(NAME) or pytest.mark.interleavings().mark
        given = dict(mark.kwargs)
        said: dict[str, Any] = {"search": option}
        if option.isdecimal():
            said = {"search": "bounded", "preemptions": int(option)}
        if "preemptions" in given:
            said["search"] = "bounded"
        try:
            return cls(*mark.args, **said | given)  # by name alone, or the search is twice
        except TypeError as error:
            words = f"The mark {NAME} can't be read ({error}). It is {MARK}."
            raise pytest.fail.Exception(words, pytrace=False) from None


def known(option: str) -> str:
    """Return what `--interleavings` was given, if it can be read.

    Args:
        option: What was given.

    Raises:
        argparse.ArgumentTypeError: It can't be read.
    """
    # A word stays a word: xdist passes nothing but plain values on.
    if option in ("exhaustive", "reduced", "off") or option.isdecimal():
        return option
    raise argparse.ArgumentTypeError(
        f"{option!r} is neither exhaustive, reduced, off nor a number of preemptions"
    )
