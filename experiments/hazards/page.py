"""A hazard on a page: question, picture (where time is the point), what was seen, table."""

from __future__ import annotations

from typing import TYPE_CHECKING

from markupsafe import Markup

from experiments.hazards.figures import hazards_and_controls, hazards_in_words
from experiments.show.results import save_table, show_figure, show_html, show_table

if TYPE_CHECKING:
    from experiments.hazards.hazard import Hazard


def show(hazard: Hazard) -> None:
    """Show a hazard, and save every round of it.

    Args:
        hazard: What an experiment returned.
    """
    show_html(Markup("<h3>{}</h3>").format(hazard.question), f"\n{hazard.question}")
    if hazard.sides:
        show_figure(
            hazards_and_controls([hazard]),
            name=f"hazard_{hazard.name}",
            alt=f"Two marks on one scale, the hazard and its control. {hazards_in_words([hazard])}",
        )
    show_html(Markup("<p>{}</p>").format(hazard.sentence), hazard.sentence)
    setting = hazard.setting[0].upper() + hazard.setting[1:]
    show_table(
        hazard.frame,
        name=f"hazard_{hazard.name}",
        caption=f"{setting}. Counts are sums, measurements medians with quartiles.",
    )
    save_table(
        hazard.runs, name=f"hazard_{hazard.name}_rounds", caption=f"Every round of {hazard.name}"
    )
