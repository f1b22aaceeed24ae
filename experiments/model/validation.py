"""The model against the machine: the same cells, simulated and measured, side by side.

Two numbers of the model can't be had from one client alone: how much slower a transaction goes on
that has waited (`Machine.cold`), and how much slower everything is in a crowd
(`Machine.crowding`). They are fitted, on every other cell; the rest are kept out of it, and only
they count. Which cells those are follows from their place in the plan, before anything is measured.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from experiments.model.calibration import Calibration


@dataclass(frozen=True)
class Validation:
    """What was simulated and what was measured.

    Attributes:
        calibration: What the model knew, the two fitted numbers included.
        frame: One row a cell: the fields of `Cell`, setting, held_out; measured, low and high,
            simulated, law (requests a second); measured_p50 and _p95, simulated_p50 and _p95
            (milliseconds); attempts and simulated_attempts (a request); error and error_p95
            (simulated over measured, less 1).
        skipped: Why a strategy could not be measured on this server, by name.
        double_bookings: Pairs of appointments that overlap, in all cells together.
    """

    calibration: Calibration
    frame: pd.DataFrame
    skipped: dict[str, str] = field(default_factory=dict)
    double_bookings: int = 0

    @property
    def held_out(self) -> pd.DataFrame:
        """The cells that were kept out of the fitting."""
        return self.frame[self.frame["held_out"]]

    @property
    def curve(self) -> pd.DataFrame:
        """The cells of one calendar where only the number of clients differs."""
        frame = self.frame
        plain = (frame["workload"] == "hot_calendar") & ~frame["one_by_one"]
        quick = (frame[["delay_ms", "hold_ms"]] == 0).all(axis=1)
        return frame[plain & quick & frame["pool"].isna()]

    @property
    def trust(self) -> tuple[float, float]:
        """Between which factors of a simulated rate nine of ten measured ones lie.

        Taken from the cells that were kept out of the fitting.
        """
        ratio = self.held_out["measured"] / self.held_out["simulated"]
        return float(ratio.quantile(0.05)), float(ratio.quantile(0.95))

    def errors(self) -> pd.DataFrame:
        """Return the median of the absolute errors in percent, of fitted and other cells."""
        rows = [
            {
                "cells": name,
                "how many": len(frame),
                "throughput, %": 100 * frame["error"].abs().median(),
                "95th percentile, %": 100 * frame["error_p95"].abs().median(),
                "throughput, worst %": 100 * frame["error"].abs().max(),
            }
            for name, frame in (
                ("kept out of the fitting", self.held_out),
                ("used for the fitting", self.frame[~self.frame["held_out"]]),
                *((f"kept out, {each}", rows) for each, rows in self.held_out.groupby("strategy")),
            )
        ]
        return pd.DataFrame(rows)

    def table(self) -> pd.DataFrame:
        """Return every cell as readers see it."""
        frame = self.frame
        return pd.DataFrame(
            {
                "setting": frame["setting"],
                "strategy": frame["strategy"],
                "fitted": ["" if out else "yes" for out in frame["held_out"]],
                "law": [f"{each:,.0f}" for each in frame["law"]],
                "measured": [f"{each:,.0f}" for each in frame["measured"]],
                "simulated": [f"{each:,.0f}" for each in frame["simulated"]],
                "error, %": (100 * frame["error"]).round(),
                "p50 ms": [_both(*each) for each in _pairs(frame, "p50")],
                "p95 ms": [_both(*each) for each in _pairs(frame, "p95")],
                "p95 error, %": (100 * frame["error_p95"]).round(),
                "tries": [
                    f"{one:.2f} | {other:.2f}"
                    for one, other in zip(
                        frame["attempts"], frame["simulated_attempts"], strict=True
                    )
                ],
            }
        )

    def ranking(self) -> pd.DataFrame:
        """Compare the order of strategies: one row a setting.

        Columns: setting, pairs (of strategies), separated (by the measurement: their intervals do
        not overlap), agreed (by the model, which puts them in the same order), and contradicted,
        those that it puts in the other order.
        """
        rows = []
        for setting, cells in self.frame.groupby("setting", sort=False):
            each = cells.to_dict("records")
            pairs = [(a, b) for a in each for b in each if a["measured"] < b["measured"]]
            apart = [(a, b) for a, b in pairs if a["high"] < b["low"]]
            wrong = [(a, b) for a, b in apart if a["simulated"] >= b["simulated"]]
            rows.append(
                {
                    "setting": setting,
                    "pairs": len(pairs),
                    "separated": len(apart),
                    "agreed": len(apart) - len(wrong),
                    "contradicted": ", ".join(
                        f"{a['strategy']} < {b['strategy']}" for a, b in wrong
                    ),
                }
            )
        return pd.DataFrame(rows)

    def slow_factors(self) -> pd.DataFrame:
        """Return how much faster a strategy is whose statements travel together.

        One row a strategy and a slow network over which it was tried both ways. Columns: strategy,
        together and one by one (bookings a second, measured), and the factor between the two, as
        measured, simulated, and by the law.
        """
        keys = ["strategy", "delay_ms", "clients"]
        plain = self.frame[
            (self.frame["workload"] == "hot_calendar") & (self.frame["delay_ms"] > 0)
        ]
        both = plain[~plain["one_by_one"]].merge(
            plain[plain["one_by_one"]], on=keys, suffixes=("", "_slow")
        )
        return pd.DataFrame(
            {
                "strategy": both["strategy"],
                "network, ms": both["delay_ms"],
                "together": both["measured"].round(1),
                "one by one": both["measured_slow"].round(1),
                "factor measured": both["measured"] / both["measured_slow"],
                "simulated": both["simulated"] / both["simulated_slow"],
                "by the law": both["law"] / both["law_slow"],
            }
        )


def _pairs(frame: pd.DataFrame, percentile: str) -> zip[tuple[float, float]]:
    return zip(frame[f"measured_{percentile}"], frame[f"simulated_{percentile}"], strict=True)


def _both(measured: float, simulated: float) -> str:
    return f"{measured:,.3g} | {simulated:,.3g}"
