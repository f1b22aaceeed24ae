"""The pictures of the model beside the machine; palette and style are those of `show.figures`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np

from experiments.show.figures import (
    BLUE,
    GREEN,
    GREY,
    HELD,
    INK,
    ORANGE,
    SKY,
    STYLE,
    VERMILION,
    panel,
    panels,
)  # fmt: skip

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

COLOURS = (BLUE, ORANGE, GREEN, VERMILION, SKY, "#CC79A7", INK)
MARKERS = "osD^vPX<>*pd"
TARGET = 0.15  # the relative error that half of the cells should stay below


def beside(frame: pd.DataFrame) -> Figure:
    """Draw every cell: simulated requests a second against measured ones.

    Args:
        frame: As `Validation.frame`.
    """
    with mpl.rc_context(STYLE):
        figure, axis = panel(7.2, 5.2)
        # Where a busy machine answered nobody there is nothing to draw on a logarithmic scale.
        rates = frame["measured"].where(frame["measured"] > 0, 1.0)
        ends = np.array([rates.min() / 1.6, rates.max() * 1.6])
        axis.fill_between(
            ends, ends * (1 - TARGET), ends * (1 + TARGET), color=HELD, label="within 15 %"
        )
        axis.plot(ends, ends, color=GREY, linewidth=1)
        for number, (name, cells) in enumerate(frame.groupby("strategy", sort=False)):
            colour, marker = COLOURS[number % 7], MARKERS[number % 12]
            for out, face in ((True, colour), (False, "white")):
                some = cells[cells["held_out"] == out]
                axis.errorbar(
                    some["measured"], some["simulated"],
                    xerr=[
                        (some["measured"] - some["low"]).clip(lower=0),
                        (some["high"] - some["measured"]).clip(lower=0),
                    ],
                    fmt=marker, color=colour, markerfacecolor=face, markersize=6,
                    elinewidth=0.7, label=str(name) if out else None,
                )  # fmt: skip
        axis.plot([], [], "o", color=INK, markerfacecolor="white", label="hollow: used for fitting")
        axis.set(
            xscale="log", yscale="log", xlim=ends,
            xlabel="requests answered a second, measured", ylabel="simulated",
        )  # fmt: skip
        _plain_numbers(axis)
        figure.legend(loc="outside right upper", fontsize=9)
    return figure


def against_clients(plain: pd.DataFrame) -> Figure:
    """Draw requests a second against clients at one calendar: a panel a strategy.

    Args:
        plain: As `Validation.curve`.
    """
    names = list(dict.fromkeys(plain["strategy"]))
    columns = min(3, len(names))
    rows = -(-len(names) // columns)
    levels = sorted(set(plain["clients"]))
    with mpl.rc_context(STYLE):
        figure, axes = panels(8, 0.7 + 2.1 * rows, rows, columns, sharex=True, sharey=True)
        for axis in axes.flat[len(names) :]:
            axis.set_axis_off()
        for axis, name in zip(axes.flat, names, strict=False):
            cells = plain[plain["strategy"] == name].sort_values("clients")
            axis.plot(cells["clients"], cells["law"], "--", color=GREY, label="the law's bound")
            axis.plot(
                cells["clients"], cells["simulated"], "-", color=BLUE, linewidth=1.6,
                label="simulated",
            )  # fmt: skip
            axis.errorbar(
                cells["clients"], cells["measured"],
                yerr=[
                    (cells["measured"] - cells["low"]).clip(lower=0),
                    (cells["high"] - cells["measured"]).clip(lower=0),
                ],
                fmt="o", color=VERMILION, markersize=5, label="measured",
            )  # fmt: skip
            axis.set(xscale="log", yscale="log", title=name)
            axis.set_xticks(levels, [str(level) for level in levels])
            axis.minorticks_off()
            axis.yaxis.set_major_locator(mpl.ticker.LogLocator(subs=(1, 3)))
            axis.yaxis.set_major_formatter("{x:,g}")
        for axis in axes[:, 0]:
            axis.set_ylabel("a second")
        figure.supxlabel("clients at once", fontsize=10)
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=3, fontsize=9)
    return figure


def networks(frame: pd.DataFrame) -> Figure:
    """Draw bookings a second of one calendar against the network's delay.

    Args:
        frame: As `beyond.over_networks` returns it.
    """
    names = list(dict.fromkeys(frame["strategy"]))
    with mpl.rc_context(STYLE):
        figure, axes = panels(8, 4.4, columns=2, sharey=True)
        for axis, way in zip(axes[0], ("together", "one by one"), strict=True):
            for number, name in enumerate(names):
                line = frame[(frame["strategy"] == name) & (frame["way"] == way)]
                colour = COLOURS[number % 7]
                axis.fill_between(
                    line["delay_ms"], line["low"], line["high"], color=colour, alpha=0.12
                )
                axis.plot(
                    line["delay_ms"], line["per_second"], color=colour, linewidth=1.5,
                    marker=MARKERS[number % 12], markersize=5, label=name,
                )  # fmt: skip
            axis.set(
                xscale="log", yscale="log", title=f"statements {way}", xlabel="network, ms a trip"
            )
            _plain_numbers(axis)
        axes[0, 0].set_ylabel("bookings a second, one calendar")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside right upper", fontsize=9)
    return figure


def _plain_numbers(axis: Axes) -> None:
    axis.minorticks_off()
    axis.xaxis.set_major_formatter("{x:,g}")
    axis.yaxis.set_major_formatter("{x:,g}")
