"""The pictures of throughput and latency: lines against clients, each named where it ends.

Palette and style are those of `show.figures`. The service's lines are solid and coloured, pgbench's
dashed and black; no two have colour and marker in common.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import matplotlib.ticker
import numpy as np

from experiments.bench.throughput import PGBENCH, SERVICE, TITLES
from experiments.show.figures import BLUE, GREEN, GREY, INK, ORANGE, SKY, STYLE, panels

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LINE_COLOURS = (BLUE, GREEN, ORANGE, SKY, "#CC79A7")  # vermilion is for what is wrong
LINE_MARKERS = "osD^vPX"
LABEL_GAP = 13  # points between two labels at lines' ends


def throughput(curves: pd.DataFrame) -> Figure:
    """Draw requests a second against clients: a panel a workload, a line a contender.

    Args:
        curves: As `Throughput.curves` returns them.
    """
    return _against_clients(curves, "per_second", "requests answered a second")


def latency(curves: pd.DataFrame) -> Figure:
    """Draw the mean time of a request against clients, likewise.

    Args:
        curves: As `Throughput.curves` returns them.
    """
    return _against_clients(curves, "latency_ms", "milliseconds a request, on average")


def _against_clients(curves: pd.DataFrame, column: str, words: str) -> Figure:
    workloads = list(dict.fromkeys(curves["workload"]))
    contenders = sorted(set(curves["contender"]), key=lambda name: (name.startswith(PGBENCH), name))
    levels = sorted(set(curves["clients"]))
    height = 2.4 + 0.2 * len(contenders)
    with mpl.rc_context(STYLE):
        figure, grid = panels(8, height * len(workloads), rows=len(workloads))
        axes = grid[:, 0]
        for axis, workload in zip(axes, workloads, strict=True):
            here = curves[curves["workload"] == workload]
            for number, contender in enumerate(contenders):
                _line(axis, here[here["contender"] == contender], column, number)
            axis.set(xscale="log", yscale="log", title=TITLES[workload], ylabel=words)
            axis.set_xticks(levels, [str(level) for level in levels])
            axis.minorticks_off()
            axis.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 2, 5)))
            axis.yaxis.set_major_formatter("{x:,g}")
            axis.margins(y=0.1)
        axes[-1].set_xlabel("clients at once")
        # Room for the longest label; only then is it known how high the axes are.
        longest = max(map(_line_name, contenders), key=len)
        axes[0].annotate(longest, (1.06, 1), xycoords="axes fraction", fontsize=9, alpha=0)
        figure.draw_without_rendering()
        for axis, workload in zip(axes, workloads, strict=True):
            here = curves[(curves["workload"] == workload) & (curves["clients"] == levels[-1])]
            _label_ends(axis, dict(zip(here["contender"], here[column], strict=True)), levels[-1])
    return figure


def _line(axis: Axes, curve: pd.DataFrame, column: str, number: int) -> None:
    reference = curve["contender"].str.startswith(PGBENCH).all()
    middle = curve[column]
    axis.errorbar(
        curve["clients"], middle,
        yerr=[middle - curve[f"{column}_low"], curve[f"{column}_high"] - middle],
        color=INK if reference else LINE_COLOURS[number % len(LINE_COLOURS)],
        linestyle="--" if reference else "-",
        marker=LINE_MARKERS[number % len(LINE_MARKERS)],
        markersize=5.5, linewidth=1.4, elinewidth=0.8,
    )  # fmt: skip


def _label_ends(axis: Axes, ends: dict[str, float], at: float) -> None:
    """Name each line at its end; where names would meet, a little above or below it."""
    gap = LABEL_GAP / 72 * axis.figure.dpi / axis.get_window_extent().height
    low, high = (np.log(limit) for limit in axis.get_ylim())
    ordered = sorted(ends, key=lambda name: ends[name])
    wanted = [(np.log(ends[name]) - low) / (high - low) for name in ordered]
    heights = apart(wanted, gap)
    above = max(0.0, heights[-1] - 1)  # what would be cut off at the upper edge
    for name, height in zip(ordered, heights, strict=True):
        axis.annotate(
            _line_name(name), (at, ends[name]), xytext=(1.06, height - above),
            textcoords="axes fraction", va="center", fontsize=9,
            arrowprops={"arrowstyle": "-", "color": GREY, "linewidth": 0.7, "relpos": (0, 0.5),
                        "shrinkA": 0, "shrinkB": 5},
        )  # fmt: skip


def _line_name(contender: str) -> str:
    return contender.removeprefix(SERVICE).replace(":", ": ")


def apart(places: Sequence[float], gap: float) -> list[float]:
    """Move places as little as it takes to have a gap between any two.

    Args:
        places: Rising.
        gap: The least distance.

    Returns:
        Places in the same order. Those that were too close stand around their middle.
    """
    groups: list[list[float]] = []
    for place in places:
        groups.append([place])
        # A group may, spread out, reach the one below it: then both are one.
        while len(groups) > 1 and _around(groups[-2], gap)[-1] + gap > _around(groups[-1], gap)[0]:
            groups[-2:] = [groups[-2] + groups[-1]]
    return [place for group in groups for place in _around(group, gap)]


def _around(places: Sequence[float], gap: float) -> list[float]:
    first = sum(places) / len(places) - gap * (len(places) - 1) / 2
    return [first + gap * number for number in range(len(places))]
