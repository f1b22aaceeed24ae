"""The picture of a counterexample shows all that the transcript says, and fits."""

from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, Rectangle

from experiments.schedules import labels
from experiments.schedules.drawing import drawing
from experiments.schedules.schedule import Counterexample

SCHEDULES = Path(__file__).parent / "examples"
EXAMPLES = [Counterexample.load(path) for path in sorted(SCHEDULES.glob("*.json"))]
each_example = pytest.mark.parametrize("found", EXAMPLES, ids=lambda found: found.strategy)


@each_example
def test_every_step_and_every_breach_is_in_the_picture(found: Counterexample) -> None:
    """Nothing that happened is left out, and what broke is said in words."""
    words = _words(drawing(found))

    for step in found.steps:
        if not step.background:
            assert any(labels.action(step) in text for text in words)
    for breach in found.breaches:
        assert any(labels.breach(breach) in text.replace("\n", " ") for text in words)
    for reply in found.replies:
        assert any(reply.outcome in text for text in words)


@each_example
def test_a_wait_is_hatched_and_an_arrow_points_at_each_blocker(found: Counterexample) -> None:
    """A wait is told from work without colour."""
    axis = drawing(found).axes[0]
    waits = [step for step in found.steps if step.waited]
    hatched = [p for p in axis.patches if isinstance(p, Rectangle) and p.get_hatch() == "////"]
    arrows = [patch for patch in axis.patches if isinstance(patch, FancyArrowPatch)]

    assert len(hatched) == len(waits)
    assert len(arrows) == 1 + sum(len(step.waited_for) for step in waits)  # one is the time's


@each_example
def test_no_text_leaves_the_picture(found: Counterexample) -> None:
    """A word that is cut off is a word that nobody reads."""
    figure = drawing(found)
    canvas: Any = FigureCanvasAgg(figure)  # has no types
    renderer = canvas.get_renderer()
    width, height = figure.get_size_inches() * figure.dpi
    for text in figure.axes[0].texts:
        box = text.get_window_extent(renderer)
        assert box.x0 >= 0, text.get_text()
        assert box.x1 <= width, text.get_text()
        assert box.y0 >= 0, text.get_text()
        assert box.y1 <= height, text.get_text()


def test_pyplot_does_not_know_the_picture() -> None:
    """A notebook would show it twice."""
    drawing(EXAMPLES[0])

    assert plt.get_fignums() == []


def _words(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]
