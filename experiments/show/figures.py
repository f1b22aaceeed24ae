"""What all pictures share: a palette, a style, and an empty figure to draw on.

The palette is the one of Okabe and Ito (2008), which people with any colour vision can tell
apart; and never colour alone: what differs in colour differs in hatching, symbol or words as well.
"""

from __future__ import annotations

from textwrap import fill
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

BLUE, ORANGE, VERMILION = "#0072B2", "#E69F00", "#B84700"  # darker: white text stands on it
SKY, GREEN, GREY, INK = "#56B4E9", "#009E73", "#9A9A9A", "#222222"
HELD, NOT_RUN = "#DCEBF5", "#F4F4F4"
# Any, for matplotlib types its parameters as literals.
STYLE: Any = {
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.titlesize": 11,
    "axes.titlelocation": "left",
    "axes.titleweight": "bold",
    "axes.edgecolor": GREY,
    "axes.grid": False,
    "xtick.color": INK,
    "ytick.color": INK,
    "hatch.linewidth": 0.6,
    "figure.facecolor": "white",
    "legend.frameon": False,
}


def panel(width: float, height: float) -> tuple[Figure, Axes]:
    """Return a figure with one panel, as `panels` does."""
    figure, axes = panels(width, height)
    return figure, axes[0, 0]


def panels(
    width: float,
    height: float,
    rows: int = 1,
    columns: int = 1,
    **options: Any,  # noqa: ANN401 - matplotlib's own
) -> tuple[Figure, NDArray[Any]]:
    """Return an empty figure, and its panels by row and column.

    Pyplot does not know the figure, so that nothing shows it twice.

    Args:
        width: In inches.
        height: In inches.
        rows: Of panels.
        columns: Of panels.
        options: Options of `Figure.subplots`.
    """
    with mpl.rc_context(STYLE):
        figure = Figure(figsize=(width, height), layout="constrained")
        return figure, figure.subplots(rows, columns, squeeze=False, **options)


def titles_above(axis: Axes, titles: Sequence[str]) -> None:
    """Name the columns of a matrix above them, and take its frame away.

    Args:
        axis: Where each column is one unit wide.
        titles: A column each.
    """
    axis.set_xticks(
        [column + 0.5 for column in range(len(titles))],
        [fill(title, 12) for title in titles],
        fontsize=8.5,
    )
    axis.xaxis.tick_top()
    axis.tick_params(length=0)
    axis.spines[:].set_visible(False)
    axis.set_xlim(0, len(titles))
