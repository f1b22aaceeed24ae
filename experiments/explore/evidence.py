"""The proof: every sound strategy, in every shape, with every schedule played.

A cell of the evidence is one exploration. What it says depends on the search: *all* schedules
were played, or *one of each kind* (a schedule that differs from it only in the order of steps
which commute can't end otherwise), or those with few preemptions where there are too many. The
exhibits beside them are controls, each in the shape that its docstring names: a search that does
not refute them proves nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import matplotlib as mpl

from experiments.explore.matrix import cells, explore_cells, frame
from experiments.scenes.shapes import SHAPES
from experiments.show.figures import HELD, INK, NOT_RUN, STYLE, VERMILION, panels, titles_above
from experiments.show.verdicts import Verdicts

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.explore.result import Result

KINDS = {"exhaustive": "all", "reduced": "one of each kind", "bounded": "≤ 2 preemptions"}
GAP = 0.7


@dataclass(frozen=True)
class Evidence:
    """What the explorations showed.

    Attributes:
        results: One for each strategy under test, shape and number of clients.
        controls: One for each exhibit.
        again: Cells of two clients explored once more, by the reduced search.
    """

    results: list[Result]
    controls: list[Result]
    again: list[Result]

    @property
    def explored(self) -> list[Result]:
        """Those under test that could be explored on this server."""
        return [result for result in self.results if result.schedules]

    @property
    def schedules(self) -> int:
        """How many schedules of strategies under test were played."""
        return sum(result.schedules for result in self.explored)

    def table(self) -> pd.DataFrame:
        """Return one row a cell, controls last, with the columns that readers want."""
        table = frame([*self.results, *self.controls])
        columns = ["strategy", "shape", "clients", "search", "complete", "schedules", "waits",
                   "retries", "busy", "deadlocks", "varied", "holds", "seconds"]  # fmt: skip
        return table[columns]

    def figure(self) -> Figure:
        """Draw a field for each cell: how many schedules, and whether any broke a property."""
        levels = sorted({result.clients for result in self.explored})
        shapes = [name for name in SHAPES if name in {r.shape for r in self.results}]
        names = list(dict.fromkeys(result.strategy for result in self.results))
        height = 1.1 + 0.4 * len(names)
        with mpl.rc_context(STYLE):
            figure, axes = panels(
                max(2.2 + 1.15 * len(shapes), 5), height * len(levels), rows=len(levels)
            )
            for axis, level in zip(axes[:, 0], levels, strict=True):
                here = {(r.strategy, r.shape): r for r in self.results if r.clients == level}
                _matrix(axis, here, names, shapes)
                axis.set_title(f"{level} clients", pad=8)
        return figure

    def described(self) -> str:
        """Say what the figure shows, for who can't see it."""
        held = sum(result.holds and result.complete for result in self.explored)
        return (
            f"Table of strategies against shapes of races. Each field says how many schedules were"
            f" played. In {held} of {len(self.explored)} fields no schedule broke a property."
        )

    def verdicts(self, notebook: str) -> Verdicts:
        """Return what follows."""
        verdicts = Verdicts(notebook)
        broken = [result for result in self.explored if not result.holds]
        verdicts.add(
            "No schedule of a strategy under test breaks a property",
            held=not broken and bool(self.explored),
            evidence=_named(broken)
            or f"{self.schedules:,} schedules in {len(self.explored)} cells, none broke one",
        )
        unfinished = [result for result in self.explored if not result.complete]
        verdicts.add(
            "Nothing is left to play: every search is complete within its bound",
            held=not unfinished,
            evidence=_named(unfinished) or _kinds(self.explored),
        )
        missed = [result for result in self.controls if result.counterexample is None]
        verdicts.add(
            "Every control is refuted in the shape that its docstring names",
            held=not missed,
            evidence=_named(missed) or f"{len(self.controls)} of {len(self.controls)} refuted",
        )
        if self.again:
            full = {(r.strategy, r.shape): r for r in self.results if r.search == "exhaustive"}
            other = [
                each
                for each in self.again
                if each.outcomes.keys() != full[each.strategy, each.shape].outcomes.keys()
            ]
            verdicts.add(
                "Playing one schedule of each kind reaches the same outcomes as playing all",
                held=not other,
                evidence=_named(other)
                or f"the same in {len(self.again)} of {len(self.again)}"
                f" cells, with {sum(r.schedules for r in self.again):,} schedules instead of"
                f" {sum(full[r.strategy, r.shape].schedules for r in self.again):,}",
            )
        return verdicts


def gather(  # noqa: PLR0913 - an experiment has as many parameters
    strategies: Sequence[str],
    exhibits: Sequence[tuple[str, str, int]],
    *,
    shapes: Sequence[str],
    clients: Sequence[int],
    compared: Sequence[str] = (),
    workers: int | None = None,
) -> Evidence:
    """Explore strategies and controls.

    Args:
        strategies: Names of those under test.
        exhibits: The controls: name, shape and number of clients.
        shapes: Names of `experiments.scenes.shapes.SHAPES`.
        clients: Numbers of clients: two exhaustively, more by the reduced search.
        compared: Strategies whose cells of two clients, which must be among `clients`, are explored
            by both searches.
        workers: How many processes; as many as there are cores if left out.
    """
    tested = [cell for level in clients for cell in cells(strategies, shapes, clients=level)]
    controls = [
        cell
        for name, shape, level in exhibits
        for cell in cells([name], [shape], clients=level, search="exhaustive")
    ]
    again = cells(compared, shapes, clients=2, search="reduced")
    results = explore_cells([*tested, *controls, *again], workers=workers)
    first, second = len(tested), len(tested) + len(controls)
    return Evidence(results[:first], results[first:second], results[second:])


def _matrix(
    axis: Axes,
    here: dict[tuple[str, str], Result],
    names: Sequence[str],
    shapes: Sequence[str],
) -> None:
    for row, name in enumerate(names):
        for column, shape in enumerate(shapes):
            result = here.get((name, shape))
            colour, words, small, ink = NOT_RUN, "not run", "", "#6B6B6B"
            if result and result.schedules:
                small = KINDS.get(result.search, result.search)
                small = small if result.complete else "not complete"
                colour, words, ink = HELD, f"✓ {result.schedules:,}", INK
                if not result.holds:
                    colour, words, ink = VERMILION, f"✗ of {result.schedules:,}", "white"
            axis.barh(row, 0.96, left=column + 0.02, height=0.9, color=colour)
            axis.text(column + 0.5, row - 0.12, words, ha="center", va="center",
                      color=ink, fontsize=9, fontweight="bold")  # fmt: skip
            axis.text(column + 0.5, row + 0.24, small, ha="center", va="center",
                      color=ink, fontsize=6.5)  # fmt: skip
    axis.set_yticks(range(len(names)), names)
    titles_above(axis, [SHAPES[shape].title for shape in shapes])
    axis.set_ylim(len(names) - 0.45, -0.55)


def _named(results: Sequence[Result]) -> str:
    return "; ".join(f"{r.strategy} in {r.shape} with {r.clients} clients" for r in results)


def _kinds(results: Sequence[Result]) -> str:
    counted = {
        words: sum(result.search == search for result in results) for search, words in KINDS.items()
    }
    return ", ".join(f"{words}: {count} cells" for words, count in counted.items() if count)
