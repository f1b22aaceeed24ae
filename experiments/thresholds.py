"""Thresholds: conditions on a result, in the manner of k6, such as `booked==1`.

A threshold names a number of the result, an operator and a bound. A name that the result lacks
is an error, never a pass.
"""

from __future__ import annotations

import operator
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

FAILED_EXIT_CODE = 99  # k6's

_OPERATORS: dict[str, Callable[[float, float], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<=": operator.le,
    ">=": operator.ge,
    "<": operator.lt,
    ">": operator.gt,
}
_FORM = re.compile(r"\s*(\w+)\s*(==|!=|<=|>=|<|>)\s*(-?\d+(?:\.\d+)?)\s*")


class BadThreshold(ValueError):
    """A threshold can't be read, or names what the result does not have."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A condition on one number of a result."""

    name: str
    compare: str
    bound: float

    @classmethod
    def parse(cls, written: str) -> Threshold:
        """Read a threshold such as `booked==1`.

        Raises:
            BadThreshold: It has another form.
        """
        match = _FORM.fullmatch(written)
        if match is None:
            raise BadThreshold(f"{written!r} is no threshold; write one such as booked==1.")
        return cls(match[1], match[2], float(match[3]))

    def check(self, result: Mapping[str, object]) -> None:
        """Make sure that the result has the number.

        Raises:
            BadThreshold: It hasn't.
        """
        numbers = [name for name, value in result.items() if isinstance(value, int | float)]
        if self.name not in numbers:
            raise BadThreshold(
                f"There is no number {self.name!r} in the result. There are: {', '.join(numbers)}."
            )

    def holds(self, result: Mapping[str, object]) -> bool:
        """Whether the result keeps the bound."""
        self.check(result)
        value = result[self.name]
        assert isinstance(value, int | float)
        return _OPERATORS[self.compare](value, self.bound)

    def __str__(self) -> str:
        return f"{self.name}{self.compare}{self.bound:g}"
