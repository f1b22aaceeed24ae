"""The pictures of waiting: where a request's time goes, and what stands beside a crowd."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
import numpy as np

from experiments.show.figures import BLUE, GREEN, INK, ORANGE, STYLE, VERMILION, panel
from experiments.waiting.bystander import CONTROL

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.figure import Figure

    from experiments.waiting.bystander import Bystander

# Column, words, colour and hatching of each part of a request's time.
PARTS = (
    ("lock_ms", "waiting for locks", ORANGE, "///"),
    ("pool_ms", "waiting for a connection", "#C9C9C9", "..."),
    ("pause_ms", "pausing between tries", "white", "\\\\\\"),
    ("work_ms", "work", BLUE, ""),
)


def waiting_parts(parts: pd.DataFrame) -> Figure:
    """Draw where the time of a request goes: a bar a strategy, divided into its parts.

    Args:
        parts: As `Waiting.parts` returns them.
    """
    with mpl.rc_context(STYLE):
        figure, axis = panel(8, 1.2 + 0.3 * len(parts))
        places = np.arange(len(parts))
        left = np.zeros(len(parts))
        for column, label, colour, hatch in PARTS:
            axis.barh(
                places, parts[column], left=left, height=0.72, label=label,
                color=colour, hatch=hatch, edgecolor=INK, linewidth=0.5,
            )  # fmt: skip
            left += parts[column].to_numpy()
        for place, total in zip(places, left, strict=True):
            axis.annotate(
                f"{total:.0f} ms", (total, place), xytext=(4, 0), textcoords="offset points",
                va="center", fontsize=8.5,
            )  # fmt: skip
        axis.set_yticks(places, list(parts["strategy"]))
        axis.tick_params(axis="y", length=0)
        axis.invert_yaxis()
        axis.margins(x=0.1)
        axis.set_xlabel("milliseconds a request, on average")
        figure.legend(loc="outside upper left", ncols=4, fontsize=9)
    return figure


def beside_a_crowd(bystander: Bystander) -> Figure:
    """Draw the latency of every unrelated query: a row a crowd, a mark a query.

    Args:
        bystander: What became of the queries.
    """
    asks = bystander.asks
    crowds = list(dict.fromkeys(asks["crowd"]))
    with mpl.rc_context(STYLE):
        figure, axis = panel(8, 1.3 + 0.5 * len(crowds))
        for place, crowd in enumerate(crowds):
            mine = asks[asks["crowd"] == crowd]
            colour, marker = _crowd_style(crowd, bystander.waiting)
            # Spread over the row's height in the order of asking, so that marks don't hide others.
            height = place + 0.3 - 0.6 * mine["number"] / max(1, mine["number"].max())
            axis.plot(
                mine["latency_ms"], height, marker, color=colour, markersize=4.5, alpha=0.75,
                markeredgewidth=0.8,
            )  # fmt: skip
            median = mine["latency_ms"].median()
            axis.plot([median, median], [place - 0.38, place + 0.38], color=INK, linewidth=2)
            axis.annotate(
                f"{int(mine['while_held'].sum())} of {len(mine)}",
                (1.01, place), xycoords=("axes fraction", "data"), va="center", fontsize=8.5,
            )  # fmt: skip
        axis.annotate(
            "answered while\nthe lock was held", (1.01, 1.0), xycoords="axes fraction", fontsize=8.5
        )
        axis.set_yticks(range(len(crowds)), [_crowd_words(c, bystander.waiting) for c in crowds])
        axis.tick_params(axis="y", length=0)
        axis.invert_yaxis()
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:,g}")
        axis.set_xlabel(
            "milliseconds until SELECT 1 was answered (a mark a query, the bar is the median)"
        )
    return figure


def _crowd_style(crowd: str, waiting: Sequence[str]) -> tuple[str, str]:
    if crowd == CONTROL:
        return GREEN, "o"
    return (VERMILION, "x") if crowd in waiting else (BLUE, "^")


def _crowd_words(crowd: str, waiting: Sequence[str]) -> str:
    if crowd == CONTROL:
        return crowd
    return f"{crowd}\n({'waits' if crowd in waiting else 'tries'})"
