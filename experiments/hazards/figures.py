"""The picture of hazards, each beside its control, and the same in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl

from experiments.show.figures import BLUE, GREY, STYLE, VERMILION, panel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

    from experiments.hazards.hazard import Hazard


def hazards_and_controls(hazards: Sequence[Hazard]) -> Figure:
    """Draw how long each hazard took and how long its control: a row each, joined by a line.

    Args:
        hazards: What the experiments returned.
    """
    with mpl.rc_context(STYLE):
        figure, axis = panel(8, 1.1 + 0.45 * len(hazards))
        for place, hazard in enumerate(hazards):
            sides = hazard.sides
            axis.plot([each.ms.median for each in sides], [place] * 2, color=GREY, linewidth=1.2)
            leftmost = min(sides, key=lambda each: each.ms.median)
            for each, colour, marker in zip(sides, (VERMILION, BLUE), "Xo", strict=True):
                towards = -1 if each is leftmost else 1
                axis.plot(each.ms.median, place, marker, color=colour, markersize=8)
                axis.plot([each.ms.low, each.ms.high], [place] * 2, color=colour, linewidth=3)
                axis.annotate(
                    f"{each.label}, {each.ms.median:,.0f} ms", (each.ms.median, place),
                    xytext=(9 * towards, 0), textcoords="offset points", va="center",
                    ha="right" if each is leftmost else "left", fontsize=8.5,
                )  # fmt: skip
        axis.set_yticks(range(len(hazards)), [each.name.replace("_", " ") for each in hazards])
        axis.tick_params(axis="y", length=0)
        axis.set_ylim(len(hazards) - 0.5, -0.7)
        axis.set_xscale("log")
        axis.xaxis.set_major_formatter("{x:,g}")
        medians = [each.ms.median for hazard in hazards for each in hazard.sides]
        axis.set_xlim(min(medians) / 60, max(medians) * 20)  # labels stand on both sides
        axis.set_xlabel("milliseconds: ✗ the hazard, ● its control (median, quartiles)")
    return figure


def hazards_in_words(hazards: Sequence[Hazard]) -> str:
    """Say what the picture of the hazards shows, for who can't see it."""
    return " ".join(
        f"{hazard.name}: {', '.join(f'{s.label} {s.ms.median:.0f} ms' for s in hazard.sides)}."
        for hazard in hazards
    )
