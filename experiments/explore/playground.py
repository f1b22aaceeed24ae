"""What notebooks call: show a schedule, and try out a strategy that somebody has just written.

    class Mine(Strategy):
        name = "mine"

        def guard(self, tx):
            tx.connection.execute(text("SELECT pg_advisory_xact_lock(1)"))

    try_out(Mine)

plays every pair of requests of a small world in every order of their statements, then three
clients in the shapes in which all of them want the same, and shows the verdict, the numbers, and
the picture of a schedule that breaks it, if there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pandas as pd
from markupsafe import escape

from experiments.explore.explore import explore, explore_program
from experiments.explore.pairs import Explored, explore_pairs
from experiments.explore.program import Program
from experiments.explore.result import PROPERTIES
from experiments.scenes.catalogue import find_strategy
from experiments.scenes.shapes import SHAPES
from experiments.schedules import labels
from experiments.schedules.drawing import drawing
from experiments.schedules.transcript import described, transcript
from experiments.show.results import show_figure, show_html, show_table

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from booking_core.strategies import Strategy
    from experiments.explore.result import Result
    from experiments.schedules.schedule import Counterexample

CROWDED = ("overlapping", "same_slot", "same_key")
"""Shapes in which every client wants what the others want; some faults need three of them."""

MOST_CLIENTS = 3


@dataclass(frozen=True)
class Trial:
    """What trying out a strategy showed.

    Attributes:
        strategy: Its name.
        results: One for each shape and number of clients.
        explored: What the pairs of requests showed, where they were played.
    """

    strategy: str
    results: list[Result]
    explored: Explored | None = None

    @property
    def holds(self) -> bool:
        """Whether nothing was broken, and every search was complete."""
        return all(result.holds and result.complete for result in self._all) and (
            self.explored is None or self.explored.complete
        )

    @property
    def _all(self) -> list[Result]:
        return [*(self.explored.results if self.explored else []), *self.results]

    @property
    def counterexample(self) -> Counterexample | None:
        """The shortest schedule that breaks a property, if there is any."""
        found = [each.counterexample for each in self._all if each.counterexample]
        return min(found, key=lambda each: (each.clients, len(each.steps)), default=None)

    @property
    def verdict(self) -> str:
        """What is to be said of the strategy, in a sentence."""
        played = sum(result.schedules for result in self._all)
        if self.holds and self.explored:
            return (
                f"{self.strategy} held: no property was broken in {self.explored.words}. Nor with"
                f" three clients, in {played - self.explored.schedules:,} more. Outside of it are"
                " faults, and more clients."
            )
        if self.holds:
            return (
                f"{self.strategy} held: no property was broken in any of {played:,} schedules, and"
                " there are no others of their kind."
            )
        seen = dict.fromkeys(name for result in self._all for name in result.violations)
        broken = [name for name in {**dict.fromkeys(PROPERTIES), **seen} if name in seen]
        if broken:
            names = ", ".join(labels.PROPERTIES.get(name, name) for name in broken)
            return f"{self.strategy} is refuted. Broken: {names}."
        wrong = sorted({words for result in self._all for words in result.broken})
        if wrong:
            return f"{self.strategy} can't be judged: {'; '.join(wrong)}."
        notes = "; ".join(note for result in self._all for note in result.notes)
        why = f": {notes}" if notes else ""
        return f"{self.strategy} was not refuted, but a search was not complete{why}."

    def table(self) -> pd.DataFrame:
        """Return one row a shape and number of clients; for programs there is one."""
        return pd.DataFrame(
            [
                {
                    "shape": SHAPES[result.shape].title if result.shape in SHAPES else "any schema",
                    "clients": result.clients,
                    "schedules": result.schedules,
                    "complete": "yes" if result.complete else "no",
                    "waits": result.waits,
                    "retries": result.retries,
                    "busy": result.busy,
                    "deadlocks": result.deadlocks,
                    "broken": ", ".join(
                        f"{labels.PROPERTIES.get(name, name)} ({times})"
                        for name, times in result.violations.items()
                    )
                    or ", ".join(result.broken)
                    or "nothing",
                }
                for result in self.results
            ]
        )


def try_out(
    what: str | Strategy | type[Strategy] | Program,
    *,
    shapes: Iterable[str] | None = None,
    faults: int = 0,
    show: bool = True,
) -> Trial:
    """Explore a strategy or a program, and show what was found.

    A strategy that is refuted is left at the first pair of requests that breaks it.

    Args:
        what: A strategy, its class, or its name; it need not be registered anywhere. Or a program.
        shapes: Names of `experiments.scenes.shapes.SHAPES`, in place of the world of pairs.
        faults: How many things may go wrong in a schedule of a program.
        show: Whether to show it, or only to return it.

    Raises:
        UnknownStrategy: This is no strategy.
        UnsupportedServer: The server is too old for it.
        BadExperiment: The program can't be explored.
    """
    if isinstance(what, Program):
        trial = Trial(what.name, [explore_program(what, faults=faults)])
    elif shapes is not None:
        trial = Trial(find_strategy(what).name, _in_shapes(what, list(shapes)))
    else:
        explored = explore_pairs(what, stop_at_first=True, progress=show)
        crowded = _crowded(what, CROWDED) if explored.holds else []
        trial = Trial(explored.strategy, crowded, explored)
    if show:
        sign = "✓" if trial.holds else "✗"
        show_html(
            f"<p><strong>{sign} {escape(trial.verdict)}</strong></p>", f"{sign} {trial.verdict}"
        )
        if trial.explored:
            pairs = trial.explored.table()
            show_table(pairs, name="pairs", caption=f"Every pair of requests, of {trial.strategy}")
        if trial.results:
            show_table(trial.table(), name="trial", caption=f"Every schedule of {trial.strategy}")
        if trial.counterexample:
            show_schedule(trial.counterexample, name="counterexample")
    return trial


def _in_shapes(strategy: str | Strategy | type[Strategy], shapes: Sequence[str]) -> list[Result]:
    results = [explore(strategy, shape=shape) for shape in shapes]
    if all(result.holds for result in results):
        results += _crowded(strategy, [shape for shape in CROWDED if shape in shapes])
    return results


def _crowded(strategy: str | Strategy | type[Strategy], shapes: Sequence[str]) -> list[Result]:
    """Explore three clients."""
    return [
        explore(strategy, shape=shape, clients=MOST_CLIENTS, search="reduced", attempts=2)
        for shape in shapes
    ]


def refute(
    strategy: str | Strategy | type[Strategy], shape: str, *, clients: int = 2
) -> Counterexample:
    """Return a schedule that breaks a strategy, one with few clients and few preemptions.

    Args:
        strategy: An unsound one.
        shape: The shape that breaks it.
        clients: With how many to begin.

    Raises:
        LookupError: None was found with up to three clients.
    """
    for some in range(clients, max(clients, MOST_CLIENTS) + 1):
        found = explore(strategy, shape=shape, clients=some, stop_at_first=True).counterexample
        if found:
            return found
    raise LookupError(f"{strategy} was not broken by up to {some} clients in the shape {shape}")


def show_schedule(found: Counterexample, *, name: str, title: str = "") -> None:
    """Show a counterexample: the picture, and below it the SQL to be unfolded.

    Args:
        found: What to show.
        name: The figure's name, as for `show_figure`.
        title: What the picture shows; the strategy and the shape if left out.
    """
    show_figure(drawing(found, title), name=name, alt=described(found))
    text = transcript(found)
    show_html(
        "<details><summary>The same schedule in SQL</summary>"
        f"<pre tabindex='0'>{escape(text)}</pre></details>",
        text,
    )
