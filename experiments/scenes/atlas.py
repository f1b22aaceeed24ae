"""The world as a picture: each pair of requests as bars on a line of time."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.scenes.world import STAFF
from experiments.show.figures import BLUE, GREY, ORANGE, panel

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.scenes.places import Place
    from experiments.scenes.world import Pair

COLOURS = (BLUE, ORANGE)
LANE = 0.24
WIDEST = 12.0  # hours that are drawn on either side of the first slot


def atlas(pairs: Sequence[Pair]) -> Figure:
    """Draw pairs of requests, one below the other.

    A pair has a lane for each of the three people. What exists is grey, what is asked for has a
    colour for each of the two; what is promised is dark, what is blocked besides is light. A cancel
    is a cross on what it cancels, and a move an arrow to where it goes.
    """
    figure, axis = panel(11, 1.2 + 0.52 * len(pairs))
    for row, pair in enumerate(pairs):
        _draw(axis, row, pair)
    axis.set_yticks(range(len(pairs)), [pair.name for pair in pairs], fontsize=8)
    axis.set_ylim(len(pairs) - 0.5, -0.6)
    axis.set_xlabel("hours since the first of the slots begins")
    left, right = axis.get_xlim()
    axis.set_xlim(max(left, -WIDEST), min(right, WIDEST))
    return figure


def _draw(axis: Axes, row: int, pair: Pair) -> None:
    scene = pair.scene
    places = [*scene.existing, *(call.place for call in scene.calls if call.place)]
    first = min(place.start for place in places)
    axis.axhspan(row - 0.46, row + 0.46, color=GREY, alpha=0.07 if row % 2 else 0.02)
    for number, place in enumerate(scene.existing):
        gone = number in scene.cancelled
        _bar(axis, row, place, first, GREY, hatch="xx" if gone else "")
    for client, call in enumerate(scene.calls):
        colour = COLOURS[client]
        own = None if call.existing is None else scene.existing[call.existing]
        if call.place:
            for staff in call.team or (call.place.staff,):
                _bar(axis, row, call.place, first, colour, staff=staff, client=client)
        if own and call.place:
            start = (_hours(own.start, first), _lane(row, own.staff))
            end = (_hours(call.place.start, first), _lane(row, call.place.staff))
            style = {"arrowstyle": "->", "color": colour, "lw": 1.4}
            axis.annotate("", xy=end, xytext=start, arrowprops=style)
        elif own:
            at = _hours(own.start + (0.3 + 0.4 * client) * own.service.duration, first)
            axis.plot(at, _lane(row, own.staff), "x", color=colour, markersize=7, mew=2)


def _bar(  # noqa: PLR0913 - a bar has as many sides
    axis: Axes,
    row: int,
    place: Place,
    first: datetime,
    colour: str,
    *,
    staff: int | None = None,
    client: int = 0,
    hatch: str = "",
) -> None:
    middle = _lane(row, place.staff if staff is None else staff) + (client - 0.5) * LANE * 0.3
    for slot, alpha in ((place.blocked, 0.3), (place.during, 0.75)):
        left, right = _hours(slot.start, first), _hours(slot.end, first)
        axis.barh(
            middle,
            right - left,
            left=left,
            height=LANE * 0.62,
            color=colour,
            alpha=alpha,
            hatch=hatch,
            edgecolor="white",
            linewidth=0.3,
        )


def _lane(row: int, staff: int) -> float:
    return row + (staff - (len(STAFF) - 1) / 2) * LANE


def _hours(moment: datetime, first: datetime) -> float:
    return (moment - first).total_seconds() / 3600
