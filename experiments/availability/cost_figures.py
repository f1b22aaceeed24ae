"""Pictures of cost: lists of free slots as they grow, and what alternatives add."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import matplotlib as mpl

from experiments.availability.cost_of_losing import PLAIN, WITH, WON
from experiments.bench.listing import CELL
from experiments.show.figures import BLUE, GREEN, INK, ORANGE, STYLE, VERMILION, panel, panels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from experiments.availability.cost_of_losing import Losing

# Colour, symbol, line and words of each way to list.
WAYS = {
    "query": (BLUE, "o", "-", "rules remembered, one query"),
    "sweep": (ORANGE, "s", "--", "fetch, and a sweep in Python"),
    "grid": (VERMILION, "^", ":", "a grid with NOT EXISTS"),
}
AXES = {"staff": "staff members", "days": "days", "appointments": "appointments in the table"}
REQUESTS = {PLAIN: (BLUE, ""), WITH: (ORANGE, "///"), WON: (GREEN, "\\\\\\")}


def growth(medians: pd.DataFrame) -> Figure:
    """Draw what a list costs against staff, days and appointments, the others at their most.

    Args:
        medians: As `Listing.medians` returns them.
    """
    most = _most(medians)
    with mpl.rc_context(STYLE):
        figure, (axes,) = panels(9.6, 4, columns=len(AXES), sharey=True)
        for axis, (column, words) in zip(axes, AXES.items(), strict=True):
            fixed = [name for name in CELL if name != column]
            at_most = (medians[fixed] == [most[name] for name in fixed]).all(axis=1)
            here = medians[at_most].sort_values(column)
            for lister, (colour, marker, line, label) in WAYS.items():
                _line(axis, here[here["lister"] == lister], column, label,
                      color=colour, marker=marker, linestyle=line)  # fmt: skip
            values = sorted(set(map(int, here[column])))
            axis.set(xscale="log", yscale="log", xlabel=words)
            axis.set_xticks(values, [f"{value:,}" for value in values])
            axis.minorticks_off()
            axis.margins(x=0.12)
            axis.yaxis.set_major_formatter("{x:,g}")
            axis.grid(axis="y", color="#EBEBEB", linewidth=0.6)
            shown = [f"{most[name]:,} {name}" for name in fixed]
            axis.set_title(", ".join(shown), fontsize=9.5, fontweight="normal")
        axes[0].set_ylabel("milliseconds (median, quartiles)")
        handles, labels = axes[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper left", ncols=3, fontsize=9)
    return figure


def growth_in_words(medians: pd.DataFrame) -> str:
    """Say what the picture shows at its largest list, for who can't see it."""
    most = _most(medians)
    parts = [
        f"{WAYS[row['lister']][3]} {row['milliseconds']:,.1f} ms"
        for row in medians.to_dict("records")
        if all(row[name] == most[name] for name in CELL)
    ]
    where = ", ".join(f"{most[name]:,} {name}" for name in CELL)
    return f"The largest list ({where}): {'; '.join(parts)}."


def losing(losing: Losing) -> Figure:
    """Draw what requests take: a group of bars a desk, the added part between two of them.

    Args:
        losing: What was measured.
    """
    table = losing.table()
    desks = list(dict.fromkeys(table["where"]))
    with mpl.rc_context(STYLE):
        figure, axis = panel(9, 1.1 + 1.15 * len(desks))
        for place, desk in enumerate(desks):
            for offset, (request, (colour, hatch)) in enumerate(REQUESTS.items()):
                row = table[(table["where"] == desk) & (table["request"] == request)].iloc[0]
                height = place + (offset - 1) * 0.27
                axis.barh(
                    height, row["milliseconds"], height=0.25, color=colour, hatch=hatch,
                    edgecolor=INK, linewidth=0.5, label=request if place == 0 else None,
                )  # fmt: skip
                axis.plot(
                    [row["quartile 1"], row["quartile 3"]], [height] * 2, color=INK, linewidth=1.5
                )
                queries = f"{row['queries']} {'query' if row['queries'] == 1 else 'queries'}"
                axis.annotate(
                    f"{row['milliseconds']:.2f} ms, {queries}",
                    (max(row["quartile 3"], row["milliseconds"]), height), xytext=(5, 0),
                    textcoords="offset points", va="center", fontsize=8.5,
                )  # fmt: skip
        axis.set_yticks(range(len(desks)), desks)
        axis.tick_params(axis="y", length=0)
        axis.invert_yaxis()
        axis.margins(x=0.2)
        axis.set_xlim(left=0)
        axis.set_xlabel("milliseconds a request (median; the line spans the quartiles)")
        figure.legend(loc="outside upper left", ncols=3, fontsize=9)
    return figure


def _most(medians: pd.DataFrame) -> dict[str, int]:
    return {name: int(medians[name].max()) for name in CELL}


def _line(
    axis: Axes,
    rows: pd.DataFrame,
    column: str,
    label: str,
    **style: Any,  # noqa: ANN401 - matplotlib's own
) -> None:
    if rows.empty:
        return
    spread = ("milliseconds", "milliseconds_low", "milliseconds_high")
    middle, low, high = (rows[name] for name in spread)
    axis.errorbar(
        rows[column], middle, yerr=[middle - low, high - middle],
        label=label, markersize=6, linewidth=1.5, elinewidth=1, capsize=3, **style,
    )  # fmt: skip
