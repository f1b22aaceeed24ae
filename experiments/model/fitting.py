"""Fitting: the two numbers that one client alone can't tell.

How much slower a transaction goes on that has waited (`Machine.cold`), and how much slower all
work is in a crowd (`Machine.crowding`). Of a few values each, those are taken with which the
simulated rates are closest to the measured ones, in the cells that are there for it.
"""

from __future__ import annotations

from dataclasses import replace
from math import log
from statistics import fmean
from typing import TYPE_CHECKING

from experiments.model.simulate import simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from experiments.model.calibration import Calibration, Fitted
    from experiments.model.cells import Cell

CHOICE: dict[Fitted, tuple[float, ...]] = {
    "crowding": (0.0, 0.01, 0.02, 0.04, 0.07, 0.11),
    "cold": (0.0, 0.1, 0.2, 0.35, 0.5, 0.75, 1.0),
}
TURNS: tuple[Fitted, ...] = ("cold", "crowding", "cold")
SHORTER = 0.3  # of a cell's time is simulated: rates hardly change with it
WORST = 0.7  # what is further off than that counts no more, so that no single cell decides


def fit(
    calibration: Calibration, measured: Sequence[tuple[Cell, float]], seed: int = 1
) -> Calibration:
    """Return the calibration with both numbers chosen.

    Args:
        calibration: What is known without them.
        measured: Cells that may be used, with the rate measured in each, in requests a second.
        seed: For the simulations.
    """
    # A slow network leaves the processors idle, and so tells nothing about either.
    telling = [(_shorter(cell), rate) for cell, rate in measured if rate and not cell.delay_ms]
    if not telling:
        return calibration

    def missed(tried: Calibration) -> float:
        return fmean(
            min(WORST, abs(log(max(simulate(cell, tried, seed=seed).per_second, 1e-9) / rate)))
            for cell, rate in telling
        )

    for name in TURNS:
        tried = [
            replace(calibration, machine=calibration.machine.fitted(name, value))
            for value in CHOICE[name]
        ]
        calibration = min(tried, key=missed)
    return calibration


def _shorter(cell: Cell) -> Cell:
    return replace(cell, seconds=max(0.05, SHORTER * cell.seconds))
