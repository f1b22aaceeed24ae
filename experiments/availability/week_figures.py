"""Pictures of days: what is on, where one could begin, what is offered instead of a lost slot.

Wall time runs from left to right; a row is a staff member's day. Palette and style are those of
`show.figures`, and each kind of piece has a hatching or a symbol of its own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import matplotlib as mpl
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from experiments.availability.diary import hours_since_midnight
from experiments.show.figures import BLUE, GREEN, HELD, INK, SKY, STYLE, VERMILION, panels

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from booking_core.slots import FreeSlot
    from experiments.availability.buffers import BufferDay
    from experiments.availability.diary import Diary
    from experiments.availability.lost import LostSlot

# Colour, hatching and words of each kind of piece, from back to front.
PIECES = {
    "shift": (HELD, "", "working hours"),
    "break": ("white", "///", "break"),
    "time off": ("#E8E8E8", "\\\\\\\\", "time off"),
    "closed": ("#D6D6D6", "...", "closed"),
    "set-up": (SKY, "\\\\\\\\\\\\", "set-up before"),
    "appointment": (BLUE, "", "appointment"),
    "buffer": ("#F3C46B", "//////", "buffer after"),
}
REFUSED = "\N{EN DASH}"
HEIGHT = 0.76  # of a row's bars, of the distance between two rows


def _panels(width: float, height: float, ratios: Sequence[float]) -> tuple[Figure, list[Axes]]:
    """Return a figure with one panel below the other, of different heights."""
    figure, axes = panels(
        width,
        height,
        rows=len(ratios),
        sharex=True,
        gridspec_kw={"height_ratios": list(ratios)},
    )
    return figure, list(axes[:, 0])


def week(diary: Diary) -> Figure:
    """Draw the diary: a panel a staff member, a row a day.

    Args:
        diary: Of some days.
    """
    days = sorted(set(diary.frame["day"]))
    names = diary.staff
    with mpl.rc_context(STYLE):
        figure, panels = _panels(9, 1.2 + len(names) * (0.35 + 0.27 * len(days)), [1] * len(names))
        for axis, name in zip(panels, names, strict=True):
            for row, day in enumerate(days):
                pieces = diary.pieces(name, day)
                _bars(axis, row, pieces)
                if not (pieces["kind"] == "shift").any():
                    axis.annotate(
                        "no shift", (0.005, row), xycoords=("axes fraction", "data"),
                        va="center", fontsize=8, color="#6B6B6B",
                    )  # fmt: skip
            axis.set_title(name)
            _rows(axis, [f"{day:%a %d %b}" for day in days])
        _hours(panels[-1], _span(diary.frame), "wall clock")
        _legend(figure, list(diary.frame["kind"]), free=f"a {diary.service.lower()} could begin")
    return figure


def lost(losses: Sequence[LostSlot], diary: Diary, around: float = 3.2) -> Figure:
    """Draw a lost slot and its alternatives on the diary of its day: a panel an answer.

    Args:
        losses: The answers, each after more had been refused.
        diary: Of that day.
        around: How many hours before and after the lost slot are shown.
    """
    first = losses[0]
    names = diary.staff
    with mpl.rc_context(STYLE):
        figure, panels = _panels(9, 1.3 + len(losses) * (0.5 + 0.5 * len(names)), [1] * len(losses))
        for axis, loss in zip(panels, losses, strict=True):
            for row, name in enumerate(names):
                _bars(axis, row, diary.pieces(name, loss.day), free=False)
            row = names.index(loss.staff)
            axis.barh(
                row, loss.hours, left=loss.begins, height=HEIGHT + 0.14, facecolor="none",
                edgecolor=VERMILION, linewidth=2, linestyle="--", zorder=6,
            )  # fmt: skip
            axis.plot(
                loss.begins + loss.hours / 2, row, "X", color=VERMILION, markersize=10,
                markeredgecolor="white", zorder=7,
            )  # fmt: skip
            for number, free in enumerate(loss.alternatives, 1):
                _numbered(axis, names.index(free.staff), _begins(loss, free), str(number), GREEN)
            for free in loss.refused:
                _numbered(axis, names.index(free.staff), _begins(loss, free), REFUSED, "#6B6B6B")
            axis.set_title(loss.title)
            _rows(axis, names)
        span = (first.begins - around, first.begins + first.hours + around)
        _hours(panels[-1], span, f"wall clock, {first.day:%A %d %B}")
        seen: list[Artist] = [
            Patch(facecolor="none", edgecolor=VERMILION, linestyle="--", linewidth=2,
                  label="lost slot (✗)"),
            Line2D([], [], linestyle="", marker="o", color=GREEN, markersize=9,
                   label="offered instead, the best is 1"),
        ]  # fmt: skip
        if any(loss.refused for loss in losses):
            seen.append(
                Line2D([], [], linestyle="", marker="o", color="#6B6B6B", markersize=9,
                       label=f"refused before ({REFUSED})")
            )  # fmt: skip
        _legend(figure, list(diary.frame["kind"]), extra=seen)
    return figure


def buffers(days: Sequence[BufferDay]) -> Figure:
    """Draw what buffers do: a row a service, one appointment at the same time in each.

    Args:
        days: The same day with different buffers.
    """
    with mpl.rc_context(STYLE):
        figure, (axis,) = _panels(9, 1.6 + 0.5 * len(days), [1])
        for row, day in enumerate(days):
            _bars(axis, row, day.pieces)
            axis.annotate(
                f"{day.free} starts", (1.01, row), xycoords=("axes fraction", "data"),
                va="center", fontsize=9,
            )  # fmt: skip
        _rows(axis, [day.name for day in days])
        kinds = [kind for day in days for kind in day.pieces["kind"]]
        _hours(axis, _span(days[0].pieces), "wall clock")
        _legend(figure, kinds, free="the same service could begin")
    return figure


def _bars(axis: Axes, row: int, pieces: pd.DataFrame, *, free: bool = True) -> None:
    for depth, (kind, (colour, hatch, _)) in enumerate(PIECES.items()):
        mine = pieces[pieces["kind"] == kind]
        thin = 0 if kind == "shift" else 0.5
        axis.barh(
            [row] * len(mine), mine["ends"] - mine["begins"], left=mine["begins"], height=HEIGHT,
            color=colour, hatch=hatch, edgecolor=INK if thin else colour, linewidth=thin,
            zorder=1 + depth / 10,
        )  # fmt: skip
        if kind in ("time off", "closed"):
            for begins, ends, words in mine[["begins", "ends", "words"]].itertuples(index=False):
                axis.annotate(
                    words, ((max(begins, 8) + min(ends, 20)) / 2, row), ha="center", va="center",
                    fontsize=8, zorder=5,
                    bbox={"facecolor": "white", "edgecolor": "none", "pad": 1},
                )  # fmt: skip
    if free:
        starts = pieces[pieces["kind"] == "free"]["begins"]
        axis.plot(
            starts, [row + HEIGHT / 4] * len(starts), "^", color=GREEN, markersize=4, zorder=4,
            markeredgewidth=0,
        )  # fmt: skip


def _numbered(axis: Axes, row: int, hour: float, words: str, colour: str) -> None:
    axis.plot(hour, row, "o", color=colour, markersize=13, markeredgecolor="white", zorder=8)
    axis.annotate(
        words, (hour, row), ha="center", va="center_baseline", color="white", fontsize=8.5,
        fontweight="bold", zorder=9,
    )  # fmt: skip


def _begins(loss: LostSlot, free: FreeSlot) -> float:
    return hours_since_midnight(free.local_start, loss.day)


def _rows(axis: Axes, labels: Sequence[str]) -> None:
    axis.set_yticks(range(len(labels)), labels, fontsize=8.5)
    axis.tick_params(axis="y", length=0)
    axis.set_ylim(len(labels) - 0.4, -0.6)
    axis.spines["left"].set_visible(False)


def _hours(axis: Axes, span: tuple[float, float], label: str) -> None:
    axis.set_xlim(*span)
    hours = [hour for hour in range(49) if span[0] <= hour <= span[1]]
    axis.set_xticks(hours, [f"{hour % 24:02}:00" for hour in hours], fontsize=8.5)
    axis.set_xlabel(label)
    for panel in axis.figure.axes:
        panel.set_axisbelow(True)
        panel.grid(axis="x", color="#E2E2E2", linewidth=0.6)


def _span(frame: pd.DataFrame) -> tuple[float, float]:
    """Return the hours in which somebody works, and a little around them."""
    working = frame[frame["kind"] == "shift"]
    return working["begins"].min() - 0.5, working["ends"].max() + 0.5


def _legend(
    figure: Figure, kinds: Sequence[str], *, free: str = "", extra: Sequence[Artist] = ()
) -> None:
    seen = set(kinds)
    handles: list[Artist] = [
        Patch(facecolor=colour, hatch=hatch, edgecolor=INK, linewidth=0.5, label=words)
        for kind, (colour, hatch, words) in PIECES.items()
        if kind in seen
    ]
    if free:
        handles.append(
            Line2D([], [], linestyle="", marker="^", color=GREEN, markersize=6, label=free)
        )
    figure.legend(
        handles=[*handles, *extra], loc="outside upper left", ncols=4, fontsize=9,
        handlelength=1.8,
    )  # fmt: skip
