"""Pictures of days on which clocks change: what the wall shows, hour by hour.

Time that really passes runs from left to right, the wall clock upwards. Where the line jumps up,
wall times are missing; where it falls back, they occur twice. Marks on the line are the starts
that are offered, so no mark can stand in a gap, and a time that occurs twice has two.
"""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import matplotlib as mpl

from booking_core.slots import instant
from experiments.availability.clock_cases import answer
from experiments.availability.diary import hours_since_midnight
from experiments.show.figures import BLUE, GREEN, GREY, INK, STYLE, VERMILION, panels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.availability.clock_cases import Case, CaseBook

MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)
COLUMNS = 2


def clock_days(book: CaseBook, names: Sequence[str], hours: int = 6) -> Figure:
    """Draw the first hours of some days, a panel a case.

    Args:
        book: What was offered.
        names: Of cases whose day begins at midnight; two stand side by side.
        hours: How many hours of the wall clock are shown.
    """
    rows = -(-len(names) // COLUMNS)
    with mpl.rc_context(STYLE):
        figure, axes = panels(9, 0.9 + 3.5 * rows, rows, COLUMNS)
        for axis, name in zip(axes.flat, names, strict=False):
            case, offered = book.offered(name)
            _clock(axis, case, hours)
            _marks(axis, case, offered)
            _words(axis, case, offered)
            axis.set_title(f"{name}\n{case.first:%A %d %B %Y}")
            axis.set_xlim(-0.2, hours + 1.2)
            axis.set_ylim(-0.3, hours + 0.3)
            axis.set_xticks(range(hours + 2))
            axis.set_yticks(range(hours + 1), [f"{hour:02}:00" for hour in range(hours + 1)])
            axis.grid(color="#EBEBEB", linewidth=0.6)
            axis.set_axisbelow(True)
        for axis in axes[-1]:
            axis.set_xlabel("hours since midnight that have passed")
        for axis in axes[:, 0]:
            axis.set_ylabel("wall clock")
        (line,) = axes[0, 0].plot([], [], color=BLUE, linewidth=2)
        (mark,) = axes[0, 0].plot([], [], "o", color=GREEN, markeredgecolor=INK, markersize=6)
        figure.legend(
            [line, mark], ["the wall clock", "a start that is offered"],
            loc="outside upper left", ncols=2, fontsize=9,
        )  # fmt: skip
    return figure


def in_words(book: CaseBook, names: Sequence[str]) -> str:
    """Say what the picture shows, for who can't see it."""
    sentences = []
    for name in names:
        case, offered = book.offered(name)
        found = answer(offered, case.grid)
        changes = [f"{' and '.join(found.missing)} never shown"] * bool(found.missing)
        changes += [f"{' and '.join(found.twice)} offered twice"] * bool(found.twice)
        sentences.append(f"{name}: {found.count} starts, {', '.join(changes) or 'no change'}.")
    return " ".join(sentences)


def _clock(axis: Axes, case: Case, hours: int) -> None:
    """Draw the wall clock, one stretch of unchanged offset after the other."""
    zone = ZoneInfo(case.zone)
    midnight = instant(case.first, time(), zone)
    passed, shown = [], []
    offset = None
    for minute in range(int((hours + 1.2) * 60)):
        wall = (midnight + minute * MINUTE).astimezone(zone)
        if offset not in (None, wall.utcoffset()):
            axis.plot(passed, shown, color=BLUE, linewidth=2, zorder=3)
            jump = hours_since_midnight(wall, case.first)
            axis.plot(
                [minute / 60] * 2, [shown[-1], jump], color=GREY, linestyle=":", linewidth=1.5
            )
            passed, shown = [], []
        offset = wall.utcoffset()
        if hours_since_midnight(wall, case.first) <= hours:
            passed.append(minute / 60)
            shown.append(hours_since_midnight(wall, case.first))
    axis.plot(passed, shown, color=BLUE, linewidth=2, zorder=3)


def _marks(axis: Axes, case: Case, offered: Sequence[datetime]) -> None:
    midnight = instant(case.first, time(), ZoneInfo(case.zone))
    axis.plot(
        [(start.astimezone(UTC) - midnight) / HOUR for start in offered],
        [hours_since_midnight(start, case.first) for start in offered],
        "o", color=GREEN, markeredgecolor=INK, markeredgewidth=0.6, markersize=5.5, zorder=5,
    )  # fmt: skip


def _words(axis: Axes, case: Case, offered: Sequence[datetime]) -> None:
    """Shade the wall times that are missing, or there twice, and say so."""
    found = answer(offered, case.grid)
    for walls, words, colour in (
        (found.missing, "not there", VERMILION),
        (found.twice, "there twice", GREY),
    ):
        if walls:
            low, high = _hour(walls[0]), _hour(walls[-1]) + case.grid / 60
            axis.axhspan(low, high, color=colour, alpha=0.16, linewidth=0, zorder=1)
            axis.annotate(
                f"{walls[0]} to {_wall(high)} is {words}", (0.985, (low + high) / 2),
                xycoords=("axes fraction", "data"), ha="right", va="center", fontsize=8.5,
                bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1.5},
                zorder=6,
            )  # fmt: skip


def _hour(wall: str) -> float:
    shown = time.fromisoformat(wall)
    return shown.hour + shown.minute / 60


def _wall(hours: float) -> str:
    return f"{int(hours):02}:{round(hours % 1 * 60):02}"
