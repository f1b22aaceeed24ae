"""The pictures of races: of one round, and of what all rounds of all strategies came to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl
import numpy as np
from matplotlib.patches import Patch

from experiments.scenes.shapes import SHAPES
from experiments.scenes.world import title_of
from experiments.show.figures import (
    BLUE,
    HELD,
    INK,
    NOT_RUN,
    ORANGE,
    SKY,
    STYLE,
    VERMILION,
    panel,
    panels,
    titles_above,
)  # fmt: skip

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Colour and hatching of each outcome.
OUTCOME_STYLES = {
    "booked": (BLUE, ""),
    "conflict": ("#F3C46B", "///"),
    "busy": ("#C9C9C9", "..."),
    "cancelled": (SKY, "\\\\\\"),
    "invalid": ("#F3C46B", "..."),
    "error": (VERMILION, "xxx"),
}


def lanes(requests: pd.DataFrame, title: str) -> Figure:
    """Draw one round: a lane a client, from its release to its answer.

    Args:
        requests: Rows of `RaceResult.requests`, all of one round.
        title: What the picture shows.
    """
    ordered = requests.assign(answered=requests["start_us"] / 1000 + requests["latency_ms"])
    ordered = ordered.sort_values("answered", ignore_index=True)
    figure, axis = panel(8, 1.4 + 0.22 * len(ordered))
    with mpl.rc_context(STYLE):
        for lane, (_, row) in enumerate(ordered.iterrows()):
            colour, hatch = _style(str(row["outcome"]))
            axis.barh(
                lane,
                row["latency_ms"],
                left=row["start_us"] / 1000,
                height=0.72,
                color=colour,
                hatch=hatch,
                edgecolor=INK,
                linewidth=0.5,
            )
            axis.annotate(
                str(row["outcome"]),
                (row["answered"], lane),
                xytext=(4, 0),
                textcoords="offset points",
                va="center",
                fontsize=8,
                fontweight="bold" if row["outcome"] == "booked" else "normal",
            )
        axis.set_yticks(
            range(len(ordered)), [f"client {client + 1}" for client in ordered["client"]]
        )
        axis.tick_params(axis="y", labelsize=8, length=0)
        axis.invert_yaxis()
        axis.margins(x=0.12)
        axis.set_xlim(left=0)
        axis.set_xlabel("milliseconds since the first client was released")
        axis.set_title(title)
    return figure


def evidence(faulty: pd.DataFrame, strategies: Sequence[str], controls: Sequence[str]) -> Figure:
    """Draw a field for each strategy and shape: in how many rounds a property was broken.

    Args:
        faulty: As `Contention.faulty` returns it.
        strategies: Names of those under test, the upper rows.
        controls: Names of the exhibits, the lower rows.
    """
    raced = list(dict.fromkeys(faulty["shape"]))
    shapes = [shape for shape in dict.fromkeys((*SHAPES, *raced)) if shape in raced]
    names = [*strategies, *controls]
    cells = faulty.set_index(["strategy", "shape"])[["faulty", "rounds"]].to_dict("index")
    figure, axis = panel(1.8 + 1.08 * len(shapes), 1.6 + 0.3 * len(names))
    gap = 0.7
    with mpl.rc_context(STYLE):
        for row, name in enumerate(names):
            top = row + gap * (name in controls)
            for column, shape in enumerate(shapes):
                cell = cells.get((name, shape))
                broken = cell and cell["faulty"]
                if cell is None:
                    colour, words, ink = NOT_RUN, "not run", "#6B6B6B"
                elif broken:
                    colour, words, ink = VERMILION, f"✗ {broken} of {cell['rounds']}", "white"
                else:
                    colour, words, ink = HELD, f"✓ 0 of {cell['rounds']}", INK
                axis.barh(top, 0.96, left=column + 0.02, height=0.9, color=colour)
                weight = "bold" if broken else "normal"
                axis.text(
                    column + 0.5, top, words,
                    ha="center", va="center", color=ink, fontsize=8.5, fontweight=weight,
                )  # fmt: skip
        axis.set_yticks(
            [row + gap * (name in controls) for row, name in enumerate(names)],
            [f"{name} (control)" if name in controls else name for name in names],
        )
        titles_above(axis, [title_of(shape) for shape in shapes])
        axis.set_ylim(len(names) - 0.4 + gap * bool(controls), -0.6)
    return figure


def success(rates: pd.DataFrame, strategies: Sequence[str], controls: Sequence[str]) -> Figure:
    """Draw the share of requests that were booked, against the number of clients.

    Where all requests overlap exactly one can be booked, so every sound strategy lies on the
    line "1 of N"; what lies above it sold a chair twice.

    Args:
        rates: As `Contention.rates` returns it.
        strategies: Names of those under test.
        controls: Names of the exhibits.
    """
    shapes = [shape for shape in ("same_slot", "overlapping") if shape in set(rates["shape"])]
    figure, axes = panels(1.9 + 3.6 * len(shapes), 3.8, columns=len(shapes), sharex=True)
    markers = ["o", "s", "^", "v", "D", "P", "X", "*", "<", ">"]
    booked = rates[rates["outcome"] == "booked"]
    levels = sorted(booked["clients"].unique())
    with mpl.rc_context(STYLE):
        for axis, shape in zip(axes[0], shapes, strict=True):
            here = booked[booked["shape"] == shape]
            expected = [100 / level for level in levels]
            axis.plot(levels, expected, color=INK, linewidth=1.5, linestyle="--", zorder=5)
            for name in strategies:
                _curve(axis, here, name, color=BLUE, marker="o")
            for number, name in enumerate(controls):
                _curve(
                    axis, here, name, color=VERMILION, marker=markers[1:][number % 9], label=name
                )
            axis.set(xscale="log", ylim=(0, 105), xlabel="clients at once", title=title_of(shape))
            axis.set_xticks(levels, [str(level) for level in levels])
            axis.minorticks_off()
        axes[0, 0].set_ylabel("requests that were booked, %")
        axis = axes[0, 0]
        axis.plot([], [], color=INK, linestyle="--", label="exactly one of N")
        axis.plot([], [], color=BLUE, marker="o", label="under test (all of them)")
        named: dict[str, Artist] = {}
        for handles, labels in (each.get_legend_handles_labels() for each in axes[0]):
            named |= dict(zip(labels, handles, strict=True))
        figure.legend(named.values(), named.keys(), loc="outside right center", fontsize=9)
    return figure


def _curve(axis: Axes, booked: pd.DataFrame, name: str, **style: Any) -> None:  # noqa: ANN401
    curve = booked[booked["strategy"] == name].sort_values("clients")
    if curve.empty:
        return
    rate = 100 * curve["rate"]
    # An interval that ends at its estimate may fall short of it by a rounding error.
    below = (rate - 100 * curve["low"]).clip(lower=0)
    above = (100 * curve["high"] - rate).clip(lower=0)
    axis.errorbar(
        curve["clients"], rate, yerr=[below, above],
        markersize=5, linewidth=1.2, elinewidth=0.7, alpha=0.85, **style,
    )  # fmt: skip


def outcomes(rates: pd.DataFrame, names: Sequence[str], shape: str) -> Figure:
    """Draw how requests ended, a panel a strategy, a bar a number of clients.

    Args:
        rates: As `Contention.rates` returns it.
        names: The strategies, in order.
        shape: Which shape.
    """
    here = rates[rates["shape"] == shape]
    names = [name for name in names if name in set(here["strategy"])]
    columns = 4
    rows = -(-len(names) // columns)
    figure, axes = panels(9.6, 0.6 + 1.75 * rows, rows, columns, sharex=True)
    levels = sorted(here["clients"].unique())
    with mpl.rc_context(STYLE):
        for axis in axes.flat[len(names) :]:
            axis.set_axis_off()
        for axis, name in zip(axes.flat, names, strict=False):
            bottom = np.zeros(len(levels))
            for outcome, (colour, hatch) in OUTCOME_STYLES.items():
                rate = here[(here["strategy"] == name) & (here["outcome"] == outcome)]
                share = 100 * rate.set_index("clients")["rate"].reindex(levels).fillna(0).to_numpy()
                axis.bar(
                    range(len(levels)), share, bottom=bottom, width=0.8,
                    color=colour, hatch=hatch, edgecolor=INK, linewidth=0.4,
                )  # fmt: skip
                bottom += share
            axis.set_xticks(range(len(levels)), [str(level) for level in levels])
            axis.set_ylim(0, 100)
            axis.set_title(name, fontsize=9)
            axis.tick_params(labelbottom=True, labelsize=8)
        for axis in axes[:, 0]:
            axis.set_ylabel("%", rotation=0)
        figure.supxlabel("clients at once", fontsize=9)
        seen = [
            name for name in OUTCOME_STYLES if (here.loc[here["outcome"] == name, "seen"] > 0).any()
        ]
        figure.legend(
            handles=[
                Patch(facecolor=colour, hatch=hatch, edgecolor=INK, linewidth=0.4, label=outcome)
                for outcome, (colour, hatch) in OUTCOME_STYLES.items()
                if outcome in seen
            ],
            loc="outside upper left",
            ncols=5,
            fontsize=9,
        )
    return figure


def latencies(frame: pd.DataFrame, shapes: Sequence[str], names: Sequence[str]) -> Figure:
    """Draw how long requests took at the highest level, a panel a shape.

    Args:
        frame: As `Contention.latencies` returns it.
        shapes: Which shapes.
        names: The strategies, in order.
    """
    figure, axes = panels(
        3.3 * len(shapes) + 1.4, 1.3 + 0.3 * len(names), columns=len(shapes), sharex=True
    )
    with mpl.rc_context(STYLE):
        for axis, shape in zip(axes[0], shapes, strict=True):
            here = frame[frame["shape"] == shape].set_index("strategy").reindex(list(names))
            places = range(len(names))
            axis.barh(places, here["median_ms"], color=HELD, edgecolor=BLUE, linewidth=0.8,
                      label="median")  # fmt: skip
            axis.barh(places, here["waited_ms"], color=ORANGE, hatch="///", edgecolor=INK,
                      linewidth=0.4, height=0.4, label="of it waiting for locks")  # fmt: skip
            axis.plot(here["p95_ms"], places, "d", color=INK, markersize=4.5,
                      label="95th percentile")  # fmt: skip
            axis.set_yticks(places, names if axis is axes[0, 0] else [])
            axis.tick_params(axis="y", length=0)
            axis.invert_yaxis()
            axis.set_title(title_of(shape))
            axis.set_xlabel("milliseconds")
        handles, labels = axes[0, 0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=3, fontsize=9)
    return figure


def _style(outcome: str) -> tuple[str, str]:
    return OUTCOME_STYLES.get(outcome, OUTCOME_STYLES["error"])
