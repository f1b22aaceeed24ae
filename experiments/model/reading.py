"""What readers see of a calibration and of a trial: tables, and pictures in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from experiments.model.cells import Cell
from experiments.model.law import law, meeting

if TYPE_CHECKING:
    from collections.abc import Sequence

    from experiments.model.calibration import Calibration
    from experiments.model.times import Times
    from experiments.model.validation import Validation

MICROS = 1e6
SHORT = 60  # characters of a statement that are shown


def known(calibration: Calibration) -> pd.DataFrame:
    """Return one row a statement of a booking: which round trip it is in, and how long it takes.

    The last row of each strategy is what its client takes of a processor.
    """
    rows = []
    for name, recorded in calibration.recorded.items():
        for number, trip in enumerate(recorded.booked.trips, 1):
            rows += [
                (
                    name,
                    str(number),
                    step.sql[:SHORT],
                    "yes" if step.locks else "",
                    *_spread(step.times),
                )
                for step in trip
            ]
        rows.append((name, "", "the client's Python", "", *_spread(recorded.together.booked)))
    columns = ["strategy", "round trip", "statement", "rivals meet", "median µs", "5 to 95 %"]
    return pd.DataFrame(rows, columns=columns)


def machine(calibration: Calibration) -> pd.DataFrame:
    """Return what does not depend on the strategy, one row a number."""
    costs = calibration.machine
    rests = zip(costs.rests.seconds, costs.rests.server, costs.rests.client, strict=True)
    rows = [
        ("processors", f"{costs.cores}"),
        ("a round trip, server, µs", f"{MICROS * costs.server_s:.0f}"),
        ("until who was sent something runs, µs", f"{MICROS * costs.wake_s:.0f}"),
        ("COMMIT without its flush, µs", f"{MICROS * costs.commit_s:.0f}"),
        ("part of a flush in which a processor works", f"{costs.flush_cpu:.2f}"),
        ("to hand over a lock, µs", f"{MICROS * costs.handover_s:.0f}"),
        ("a pause is too long by, µs", f"{MICROS * costs.oversleep_s:.0f}"),
        ("the slow network's program, for a message, µs", f"{MICROS * costs.proxy_s:.0f}"),
        ("a slow round trip is late by, µs", f"{MICROS * costs.late_s:.0f}"),
        *(
            (
                f"after {1000 * seconds:.1f} ms of rest, times longer",
                f"server {server:.2f}, client {client:.2f}",
            )
            for seconds, server, client in rests
        ),
        ("fitted: how much of that remains on a busy machine", f"{costs.cold:g}"),
        ("fitted: slower in a crowd, by the square root of its size", f"{costs.crowding:g}"),
    ]
    return pd.DataFrame(rows, columns=["what", "how much"])


def laws(trial: Validation) -> pd.DataFrame:
    """Return for the largest number of clients at one calendar: bounds, analysis, and the rest."""
    plain = trial.curve
    most = plain[plain["clients"] == plain["clients"].max()]
    rows = []
    for cell in most.to_dict("records"):
        found = law(Cell(strategy=cell["strategy"], clients=cell["clients"]), trial.calibration)
        rows.append(
            {
                "strategy": cell["strategy"],
                "clients": cell["clients"],
                "lock held, ms": 1000 * found.exclusive_s,
                **{name: _bound(value) for name, value in found.bounds.items()},
                "the least": found.limit,
                "mean value analysis": round(found.mean_value),
                "simulated": round(cell["simulated"]),
                "measured": round(cell["measured"]),
            }
        )
    return pd.DataFrame(rows)


def chances(calendars: Sequence[int], requests: Sequence[int]) -> pd.DataFrame:
    """Return how likely any two of some requests that are open at once want one calendar.

    Args:
        calendars: Numbers of calendars, a row each.
        requests: Numbers of requests, a column each.
    """
    return pd.DataFrame(
        {
            "calendars": [f"{each:,}" for each in calendars],
            **{
                f"{many:,} open": [_percent(meeting(many, each)) for each in calendars]
                for many in requests
            },
        }
    )


def worded(frame: pd.DataFrame) -> str:
    """Say what a picture of cells shows, for who can't see it."""
    return " ".join(
        f"{cell['strategy']}, {cell['setting']}: measured {cell['measured']:,.0f},"
        f" simulated {cell['simulated']:,.0f}."
        for cell in frame.to_dict("records")
    )


def worded_networks(frame: pd.DataFrame) -> str:
    """Say what the picture of networks shows, likewise."""
    return " ".join(
        f"{strategy}, {way}: "
        + ", ".join(
            f"{row['per_second']:,.3g} a second at {row['delay_ms']:g} ms"
            for row in rows.to_dict("records")
        )
        + "."
        for (strategy, way), rows in frame.groupby(["strategy", "way"], sort=False)
    )


def _spread(times: Times) -> tuple[float, str]:
    micros = [MICROS * each for each in times.seconds]
    return round(MICROS * times.median), f"{micros[1]:.0f} to {micros[-2]:.0f}"


def _bound(value: float) -> str:
    return f"{value:,.0f}" if value < 1e9 else "none"  # noqa: PLR2004 - as good as infinite


def _percent(chance: float) -> str:
    return "over 99 %" if chance > 0.99 else f"{100 * chance:.2g} %"  # noqa: PLR2004 - said beside it
