"""Thresholds: conditions on a result, in k6's grammar and beyond it.

A threshold compares two expressions. An expression is made of numbers, of the names of a result's
numbers and metrics, of + - * / and parentheses. A metric is followed by what is asked of it, such
as `booking_duration:p(95)`; where nothing is asked, a counter gives its count, a gauge its value
and a rate its rate. So each of these is one:

    booked==1
    booking_duration:p(95)<200
    booking_successes + booking_conflicts + booking_busy + booking_errors == iterations
    booking_duration:p(99) < 5 * booking_duration:med

A name or an aggregate that the result lacks is an error, never a pass; and nothing holds of the
durations of something that never happened. Text is parsed, never evaluated as Python.

k6's manual: Using k6, Thresholds.
"""

from __future__ import annotations

import ast
import math
import operator
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol, runtime_checkable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

FAILED_EXIT_CODE = 99  # k6's

_COMPARISONS: dict[type[ast.cmpop], Callable[[float, float], bool]] = {
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.LtE: operator.le,
    ast.GtE: operator.ge,
    ast.Lt: operator.lt,
    ast.Gt: operator.gt,
}
_CALCULATIONS: dict[type[ast.operator], Callable[[float, float], float]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
}
# `metric:p(95)` becomes `metric["p(95)"]`, which Python's parser can read.
_AGGREGATE = re.compile(r"\b([^\W\d]\w*)\s*:\s*(\w+(?:\(\s*[\d.]+\s*\))?)")
_EXAMPLES = "booked==1 or booking_duration:p(95)<200"


class BadThreshold(ValueError):
    """A threshold can't be read, or names what the result does not have."""


@runtime_checkable
class Aggregated(Protocol):
    """A metric: something that has several numbers.

    Attributes:
        main: The aggregate that is meant where none is named, or nothing.
    """

    main: str

    def values(self) -> dict[str, float]:
        """Return the aggregates by name."""

    def aggregate(self, name: str) -> float:
        """Return one, or raise KeyError."""


@dataclass(frozen=True, slots=True)
class Threshold:
    """A condition on the numbers of a result.

    Attributes:
        written: As it was written, without needless blanks at its ends.
        name: The first name in it.
        condition: What is asked of the metric of that name, as k6 writes it: `p(95)<200`. All
            that is written where it is more than that.
    """

    written: str
    name: str
    condition: str
    _left: ast.expr = field(repr=False, compare=False)
    _compare: ast.cmpop = field(repr=False, compare=False)
    _right: ast.expr = field(repr=False, compare=False)

    @classmethod
    def parse(cls, written: str) -> Threshold:
        """Read a threshold such as `booked==1`.

        Raises:
            BadThreshold: It has another form.
        """
        written = written.strip()
        # k6 takes JavaScript's === too.
        source = _AGGREGATE.sub(r'\1["\2"]', written.replace("===", "=="))
        try:
            parsed = ast.parse(source, mode="eval").body
        except (SyntaxError, ValueError, MemoryError, RecursionError):
            raise _unreadable(written) from None
        match parsed:
            case ast.Compare(left, [compare], [right]) if type(compare) in _COMPARISONS:
                names = [*_names(left, written), *_names(right, written)]
            case _:
                raise _unreadable(written)
        if not names:
            raise _unreadable(written)
        (name, aggregate), *others = names
        alone = aggregate and not others and isinstance(left, ast.Subscript)
        condition = written.partition(":")[2].strip() if alone else written
        return cls(written, name, condition, left, compare, right)

    def check(self, result: Mapping[str, object]) -> None:
        """Make sure that the result has everything that is named.

        Raises:
            BadThreshold: It hasn't.
        """
        for name, aggregate in (*_names(self._left), *_names(self._right)):
            _number(result, name, aggregate)

    def holds(self, result: Mapping[str, object]) -> bool:
        """Whether the result keeps the condition.

        Raises:
            BadThreshold: The result lacks something that is named, or it can't be computed.
        """
        left, right = self._sides(result)
        if math.isnan(left) or math.isnan(right):
            return False
        return _COMPARISONS[type(self._compare)](left, right)

    def seen(self, result: Mapping[str, object]) -> dict[str, float]:
        """Return the value of each side that names something: `{"booked": 3}`."""
        sides = zip((self._left, self._right), self._sides(result), strict=True)
        return {_shown(side): value for side, value in sides if any(_names(side))}

    def failure(self, result: Mapping[str, object]) -> str:
        """Word it for who reads that it failed: "threshold failed: booked==1 (booked is 3)"."""
        seen = ", ".join(f"{side} is {value:.10g}" for side, value in self.seen(result).items())
        return f"threshold failed: {self} ({seen})"

    def __str__(self) -> str:
        return self.written

    def _sides(self, result: Mapping[str, object]) -> tuple[float, float]:
        try:
            return _value(self._left, result), _value(self._right, result)
        except ArithmeticError as error:
            raise BadThreshold(f"{self.written!r} has no value in this result: {error}.") from None


def _names(side: ast.expr, written: str = "") -> Iterator[tuple[str, str]]:
    """Yield each name with its aggregate, and make sure that there is nothing else."""
    match side:
        case ast.Name(name):
            yield name, ""
        case ast.Subscript(ast.Name(name), ast.Constant(str(aggregate))):
            yield name, aggregate.replace(" ", "")
        case ast.Constant(int() | float()) if not isinstance(side.value, bool):
            pass
        case ast.UnaryOp(ast.USub(), operand):
            yield from _names(operand, written)
        case ast.BinOp(left, calculate, right) if type(calculate) in _CALCULATIONS:
            yield from _names(left, written)
            yield from _names(right, written)
        case _:
            raise _unreadable(written)


def _value(side: ast.expr, result: Mapping[str, object]) -> float:
    match side:
        case ast.BinOp(left, calculate, right):
            return _CALCULATIONS[type(calculate)](_value(left, result), _value(right, result))
        case ast.UnaryOp(_, operand):
            return -_value(operand, result)
        case ast.Constant(int(value) | float(value)):
            return value
    ((name, aggregate),) = _names(side)
    return _number(result, name, aggregate)


def _number(result: Mapping[str, object], name: str, aggregate: str) -> float:
    value = result.get(name)
    if isinstance(value, int | float) and not aggregate:
        return value
    if isinstance(value, Aggregated):
        try:
            return value.aggregate(aggregate or value.main)
        except KeyError:
            raise BadThreshold(
                f"{name} has no aggregate {aggregate!r}. It has: {', '.join(value.values())}."
                if aggregate
                else f"Say what of {name} is meant, such as {name}:{next(iter(value.values()))}."
            ) from None
    numbers = [name for name, it in result.items() if isinstance(it, int | float | Aggregated)]
    raise BadThreshold(
        f"{name} is a plain number and has no {aggregate!r}."
        if name in numbers
        else f"There is no number {name!r} in the result. There are: {', '.join(numbers)}."
    )


def _shown(side: ast.expr) -> str:
    return re.sub(r"""\[["'](.+?)["']\]""", r":\1", ast.unparse(side))


def _unreadable(written: str) -> BadThreshold:
    return BadThreshold(f"{written!r} is no threshold; write one such as {_EXAMPLES}.")
