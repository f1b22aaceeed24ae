"""A table that people read: the same in a notebook, on a page and as text.

pandas shows a frame for its programmer: index, dtype-driven digits, no caption, truncated text.
This renders one for a reader. Digits are chosen per column, so that the numbers of a column line
up; a missing value is a dash; the first column names its row. Screen readers get a caption and
scopes, and a table too wide for its screen scrolls by itself, also from the keyboard.
"""

import math
from numbers import Real
from typing import Any

import pandas as pd
from markupsafe import Markup, escape
from pandas.api.types import is_bool_dtype, is_float_dtype, is_numeric_dtype

MISSING = "\N{EN DASH}"
MOST_DECIMALS = 3


def readable(frame: pd.DataFrame) -> pd.DataFrame:
    """Turn every cell into the text that a reader sees.

    Args:
        frame: Any frame. A named index becomes columns, an unnamed one is dropped.

    Returns:
        A frame of the same shape with text in every cell.
    """
    plain = _flat(frame)
    return pd.DataFrame(
        {name: _readable_column(plain[name]) for name in plain.columns}, dtype=object
    )


def to_html(frame: pd.DataFrame, caption: str) -> str:
    """Render a table for a page or a notebook.

    Args:
        frame: Any frame; cells that are `Markup` are taken as HTML, everything else is escaped.
        caption: One sentence that says what the table shows.

    Returns:
        A `<table>` in a box that scrolls when the screen is too narrow.
    """
    plain, texts = _flat(frame), readable(frame)
    kinds = [" class='number'" if _is_number(plain[name]) else "" for name in plain.columns]
    head = "".join(
        f"<th scope='col'{kind}>{escape(name)}</th>"
        for name, kind in zip(plain.columns, kinds, strict=True)
    )
    body = "\n".join(_row(list(cells), kinds) for cells in texts.itertuples(index=False))
    # Without tabindex a keyboard can't scroll the box.
    return (
        f"<div class='table' role='group' aria-label='{escape(caption)}' tabindex='0'>\n<table>\n"
        f"<caption>{escape(caption)}</caption>\n<thead><tr>{head}</tr></thead>\n"
        f"<tbody>\n{body}\n</tbody>\n</table>\n</div>"
    )


def to_text(frame: pd.DataFrame, caption: str) -> str:
    """Render a table for a terminal.

    Args:
        frame: Any frame.
        caption: One sentence that says what the table shows.

    Returns:
        The caption and the table in plain text, one row a line.
    """
    texts = readable(frame)
    if texts.empty:
        return f"{caption}\n(no rows)"
    return f"{caption}\n{texts.to_string(index=False)}"


def _flat(frame: pd.DataFrame) -> pd.DataFrame:
    named = any(name is not None for name in frame.index.names)
    return frame.reset_index(drop=not named)


def _is_number(column: "pd.Series[Any]") -> bool:
    return is_numeric_dtype(column) and not is_bool_dtype(column)


def _readable_column(column: "pd.Series[Any]") -> list[str]:
    decimals = _decimals(column) if is_float_dtype(column) else 0
    return [_readable_cell(value, decimals) for value in column]


def _decimals(column: "pd.Series[Any]") -> int:
    # Enough for two significant digits of the smallest number that is not zero.
    sizes = [abs(x) for x in column if isinstance(x, float) and math.isfinite(x) and x != 0]
    if not sizes or all(size.is_integer() for size in sizes):
        return 0
    return min(max(1 - math.floor(math.log10(min(sizes))), 0), MOST_DECIMALS)


def _readable_cell(value: object, decimals: int) -> str:
    if isinstance(value, str):  # Markup is a str: it stays what it is
        return value
    if value is None or value is pd.NaT or value is pd.NA:
        return MISSING
    if isinstance(value, bool) or type(value).__name__ == "bool":  # numpy's bool is no bool
        return "yes" if value else "no"
    if isinstance(value, Real):
        number = float(value)
        return MISSING if math.isnan(number) else f"{value:,.{decimals}f}"
    return str(value)


def _row(cells: list[str], kinds: list[str]) -> Markup:
    first, *others = zip(cells, kinds, strict=True)
    head = f"<th scope='row'{first[1]}>{escape(first[0])}</th>"
    rest = "".join(f"<td{kind}>{escape(cell)}</td>" for cell, kind in others)
    return Markup(f"<tr>{head}{rest}</tr>")  # noqa: S704 - every part was escaped above
