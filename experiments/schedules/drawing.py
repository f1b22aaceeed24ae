"""A counterexample as a picture: a lane for each client, time runs down.

A box is a statement, with what it did and what came of it in words. A lane is shaded while its
transaction is open. A box that is hatched waits in the server, and an arrow points at the client
it waits for; it ends where the answer comes. The bar across all lanes says which property broke,
at that moment. Below stand what each client was told, and the appointments that were left.

Everything is placed in inches, so that a picture grows with its schedule and text never shrinks.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from textwrap import fill, shorten
from typing import TYPE_CHECKING, Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from experiments.scenes.shapes import SHAPES
from experiments.schedules import labels
from experiments.schedules.schedule import PROGRAM, double_bookings
from experiments.schedules.transcript import chosen
from experiments.show.figures import BLUE, GREEN, GREY, HELD, INK, ORANGE, SKY, STYLE, VERMILION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from experiments.schedules.schedule import Counterexample, Step

MARGIN, GUTTER, LANE, GAP = 0.25, 0.4, 2.75, 0.5
HEAD, ROW, BOX = 1.3, 0.56, 0.46
BAND, REPLY, STORED, FOOT = 0.42, 0.62, 0.34, 0.3
SMALL, NORMAL = 8.0, 9.0
LETTER = 0.09  # width of a bold one, at most
# Colour of a box, by the first word of what it does; white where none is given.
COLOURS = {
    "insert": "#CFE6F5", "insert,": "#CFE6F5", "claim": "#CFE6F5", "move": "#CFE6F5",
    "cancel": "#CFE6F5", "delete": "#CFE6F5", "raise": "#CFE6F5", "call": "#CFE6F5",
    "go": "#CFE6F5", "lock": "#FBE3B3", "try": "#FBE3B3", "unlock": "#FBE3B3",
    "COMMIT": BLUE, "ROLLBACK": "#6B6B6B",
}  # fmt: skip
TOLD = {"booked": BLUE, "cancelled": BLUE, "conflict": "#8A5A00", "busy": "#555555"}


def drawing(found: Counterexample, title: str = "") -> Figure:
    """Draw a counterexample.

    Args:
        found: What to draw.
        title: What the picture shows; the strategy and the shape if left out.
    """
    return _Picture(found, title).figure


class _Picture:
    """The figure while it is being drawn."""

    def __init__(self, found: Counterexample, title: str) -> None:
        self._found = found
        self._width = 2 * MARGIN + GUTTER + found.clients * LANE + (found.clients - 1) * GAP
        self._steps = dict(chosen(found))
        self._tops = self._place()
        self._stored = sorted(
            (row for row in found.after if row.status == "confirmed"),
            key=lambda row: (row.staff, row.starts, row.id),
        )
        stored = max(len(self._stored), len(found.stored) / 2, 1)
        height = self._end + REPLY + 0.35 + STORED * stored + FOOT
        with mpl.rc_context(STYLE):
            self.figure = Figure(figsize=(self._width, height))
            self._axis: Axes = self.figure.add_axes((0, 0, 1, 1))
            self._axis.set(xlim=(0, self._width), ylim=(height, 0))
            self._axis.set_axis_off()
            self._heading(title)
            self._transactions()
            for number in self._steps:
                self._step(number)
            self._breaches()
            self._replies()
            self._rows()

    def _place(self) -> dict[int, float]:
        """Say at which height each step begins; the bars of what broke need room too."""
        tops, top = {}, HEAD
        self._bars: list[tuple[float, str]] = []
        for number in range(len(self._found.steps)):
            if number in self._steps:
                tops[number] = top
                top += ROW
            broken = [each for each in self._found.breaches if each.step == number]
            for breach in broken:
                words = fill(f"✗ {labels.breach(breach)}", int(self._width / LETTER))
                self._bars.append((top, words))
                top += BAND * (1 + 0.5 * words.count("\n"))
            top += 0.2 * bool(broken)
        self._end = top + 0.1
        return tops

    def _left(self, client: int) -> float:
        return MARGIN + GUTTER + client * (LANE + GAP)

    def _text(self, x: float, y: float, words: str, **style: Any) -> None:  # noqa: ANN401 - matplotlib's
        given: dict[str, Any] = {"fontsize": NORMAL, "color": INK, "va": "center"} | style
        self._axis.text(x, y, words, **given)

    def _box(self, x: float, y: float, width: float, height: float, **style: Any) -> None:  # noqa: ANN401 - matplotlib's
        given: dict[str, Any] = {"facecolor": "white", "edgecolor": INK, "linewidth": 0.9} | style
        self._axis.add_patch(Rectangle((x, y), width, height, **given))

    def _heading(self, title: str) -> None:
        found = self._found
        shape = SHAPES[found.shape].title if found.shape in SHAPES else found.shape
        self._text(MARGIN, 0.28, title or f"{found.strategy}: {shape}", fontsize=12, weight="bold")
        for reply in found.replies:
            left = self._left(reply.client)
            asks = shorten(f"asks: {reply.asked}", int(LANE / LETTER), placeholder=" …")
            self._text(left, 0.72, labels.client(reply.client), fontsize=12, weight="bold")
            self._text(left + 0.38, 0.72, asks, fontsize=NORMAL)
        self._axis.add_patch(
            FancyArrowPatch(
                (MARGIN + 0.06, HEAD - 0.25), (MARGIN + 0.06, self._end),
                arrowstyle="-|>", mutation_scale=10, color=GREY, linewidth=1,
            )
        )  # fmt: skip
        self._text(MARGIN, HEAD - 0.36, "time", fontsize=SMALL, color="#555555")

    def _transactions(self) -> None:
        """Shade each lane from a BEGIN to the end of its transaction."""
        level = self._found.isolation
        fixed = level in ("REPEATABLE READ", "SERIALIZABLE")
        for client in range(self._found.clients):
            left, began = self._left(client), None
            for number, step in self._steps.items():
                if step.client != client:
                    continue
                if step.begin:
                    began = self._tops[number]
                ends = step.kind in ("commit", "rollback") or number == max(self._steps)
                if began is not None and ends:
                    bottom = self._tops[number] + BOX + 0.05
                    self._box(
                        left - 0.09, began - 0.21, LANE + 0.18, bottom - began + 0.21,
                        facecolor=HELD, edgecolor="#9DB8CC", linewidth=0.8, zorder=0,
                    )  # fmt: skip
                    words = f"BEGIN {level}" + (", sees what is committed by now" if fixed else "")
                    self._text(left, began - 0.11, words, fontsize=6.5, color="#33475A")
                    began = None

    def _step(self, number: int) -> None:
        step, top = self._steps[number], self._tops[number]
        left, what, came = self._left(step.client), labels.action(step), labels.outcome(step)
        colour = COLOURS.get(what.split()[0], "white")
        ink = "white" if step.kind in ("commit", "rollback") else INK
        self._text(
            MARGIN + GUTTER - 0.14, top + BOX / 2, str(1 + list(self._tops).index(number)),
            fontsize=SMALL, color="#555555", ha="right",
        )  # fmt: skip
        if step.server_decided:
            self._text(left + LANE - 0.05, top + 0.1, "the server decides who goes on",
                       fontsize=6.5, ha="right", color=ink, style="italic", zorder=5)  # fmt: skip
        if step.waited:
            self._waiting(step, top, what, came, colour)
            return
        failed = bool(step.error)
        self._box(left, top, LANE, BOX, facecolor=colour, zorder=2,
                  **({"edgecolor": VERMILION, "linewidth": 2} if failed else {}))  # fmt: skip
        middle = top + BOX / 2
        if not came:
            sign = {"commit": "✓ ", "rollback": "✗ "}.get(step.kind, "")
            self._text(left + 0.1, middle, sign + what, color=ink, weight="bold", zorder=3)
            return
        self._text(left + 0.1, middle - 0.1, what, weight="bold", zorder=3)
        self._text(left + 0.1, middle + 0.1, f"→ {came}", fontsize=SMALL, zorder=3,
                   color=VERMILION if failed else INK)  # fmt: skip

    def _waiting(self, step: Step, top: float, what: str, came: str, colour: str) -> None:
        """Draw a box that lasts until its answer came, and an arrow to whom it waits for."""
        left = self._left(step.client)
        end = self._end if step.answered_at is None else self._tops.get(step.answered_at, top)
        height = max(end + BOX - top, BOX)
        self._box(left, top, LANE, height, facecolor=colour, hatch="////", edgecolor=ORANGE,
                  linewidth=0, zorder=2)  # fmt: skip
        self._box(left, top, LANE, height, facecolor="none", zorder=2.1,
                  **({"edgecolor": VERMILION, "linewidth": 2} if step.error else {}))  # fmt: skip
        plain = {"facecolor": "white", "edgecolor": "none", "pad": 2.5}
        self._text(left + 0.1, top + 0.13, what, weight="bold", zorder=3, bbox=plain)
        waits = f"waits for {labels.clients(step.waited_for)}"
        if height == BOX:
            waits += f" → {came}"
        self._text(left + 0.1, top + 0.36, waits, fontsize=SMALL, zorder=3, bbox=plain)
        if step.answered_at is not None and height > BOX:
            self._text(left + 0.1, top + height - 0.14, f"→ {came or 'goes on'}", fontsize=SMALL,
                       zorder=3, bbox=plain, color=VERMILION if step.error else INK)  # fmt: skip
        for blocker in step.waited_for:
            theirs = self._left(blocker)
            start, target = (
                (left, theirs + LANE + 0.09) if blocker < step.client else (left + LANE, theirs)
            )
            self._axis.add_patch(
                FancyArrowPatch(
                    (start, top + 0.36), (target, top + 0.36), arrowstyle="-|>",
                    mutation_scale=13, color=VERMILION, linewidth=1.6, shrinkA=0, shrinkB=0,
                    zorder=4,
                )
            )  # fmt: skip

    def _breaches(self) -> None:
        left, width = self._left(0) - 0.09, self._width - MARGIN - self._left(0) + 0.18
        for top, words in self._bars:
            height = BAND * (1 + 0.5 * words.count("\n")) - 0.08
            self._box(left, top, width, height, facecolor=VERMILION, edgecolor="none", zorder=2)
            self._text(left + 0.1, top + height / 2, words, color="white", weight="bold", zorder=3)

    def _replies(self) -> None:
        for reply in self._found.replies:
            told = f"is told: {reply.outcome}"
            if reply.appointment_id is not None:
                told += f", appointment {reply.appointment_id}"
            if reply.taken_by is not None:
                told += f" with appointment {reply.taken_by}"
            self._text(
                self._left(reply.client), self._end + 0.2,
                fill(f"{labels.client(reply.client)} {told}", 40),
                weight="bold", color=TOLD.get(reply.outcome, VERMILION),
            )  # fmt: skip

    def _rows(self) -> None:
        """Draw the appointments that were left, each where it lies on the day."""
        top, left = self._end + REPLY, self._left(0)
        self._text(left, top, "What is stored in the end", fontsize=NORMAL, weight="bold")
        if self._found.shape == PROGRAM:
            for number, written in enumerate(self._found.stored or ("nothing",)):
                words = shorten(written, int((self._width - left) / LETTER), placeholder=" …")
                self._text(left, top + 0.3 + number * STORED / 2, words, fontsize=SMALL)
            return
        if not self._stored:
            self._text(left, top + 0.3, "no appointment", fontsize=SMALL)
            return
        spans = [(_instant(row.starts), _instant(row.ends)) for row in self._stored]
        first, last = min(start for start, _ in spans), max(end for _, end in spans)
        hours = max((last - first) / timedelta(hours=1), 2.0)
        scale = (self._width - MARGIN - left) / hours  # inches an hour
        twice = {row.id for pair in double_bookings(self._stored) for row in pair}
        for number, (row, (start, end)) in enumerate(zip(self._stored, spans, strict=True)):
            x = left + (start - first) / timedelta(hours=1) * scale
            y = top + 0.2 + number * STORED
            broken = row.id in twice
            self._box(
                x, y, (end - start) / timedelta(hours=1) * scale, STORED - 0.08,
                facecolor="#F6D5C3" if broken else SKY, edgecolor=VERMILION if broken else GREEN,
                linewidth=1.5, hatch="xx" if broken else "", alpha=0.9,
            )  # fmt: skip
            words = f"appointment {row.id}: staff {row.staff}, {start:%H:%M} to {end:%H:%M}"
            words = labels.people(f"{words}, {row.client}")
            self._text(
                x + 0.1, y + (STORED - 0.08) / 2, words, fontsize=SMALL,
                bbox={"facecolor": "white", "edgecolor": "none", "pad": 1.5},
            )  # fmt: skip


def _instant(written: str) -> datetime:
    return datetime.fromisoformat(written)
