"""Which cells the model is tried on, and which of them are kept out of its fitting.

The choice follows from a cell's place in the plan, before anything is measured: as on a
chessboard, every other cell of a strategy, and every other strategy of a setting.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from experiments.model.cells import Cell
from experiments.model.law import law

if TYPE_CHECKING:
    from collections.abc import Sequence

    from experiments.model.calibration import Calibration

LONGEST_S = 4.0


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Which cells there are: all of these settings, for each strategy.

    Attributes:
        strategies: Names of strategies.
        clients: Numbers of clients at one calendar, without a slow network.
        delays_ms: What the network adds to a round trip; each with `few` clients.
        holds_ms: What clients spend between check and insert; each with `few` clients.
        pools: Numbers of connections; each with `few` clients.
        workloads: Other workloads, each with `many` clients.
        few: See there.
        many: See there.
        slow_ms: The delay at which statements are also sent one by one.
        seconds: How long a cell is measured at least; longer where few answers are to be expected.
        answers: How many answers a cell should have at least.
        rounds: How often each cell is measured.
        seed: For everything that is drawn.
    """

    strategies: Sequence[str]
    clients: Sequence[int] = (1, 5, 20, 100)
    delays_ms: Sequence[float] = (2, 20)
    holds_ms: Sequence[float] = (5,)
    pools: Sequence[int] = (6,)
    workloads: Sequence[str] = ("spread",)
    few: int = 10
    many: int = 20
    slow_ms: float = 20.0
    seconds: float = 0.5
    answers: int = 60
    rounds: int = 1
    seed: int = 1

    def settings(self) -> list[dict[str, Any]]:
        """Return every setting, strategies apart."""
        few = {"clients": self.few}
        return [
            *({"clients": each} for each in self.clients),
            *({**few, "delay_ms": float(each)} for each in self.delays_ms),
            *({**few, "hold_ms": float(each)} for each in self.holds_ms),
            *({**few, "pool": each} for each in self.pools),
            *({"clients": self.many, "workload": each} for each in self.workloads),
            *([{**few, "delay_ms": self.slow_ms, "one_by_one": True}] if self.slow_ms else []),
        ]

    def cells(self, calibration: Calibration) -> list[tuple[Cell, bool]]:
        """Return every cell, and whether it is kept out of the fitting."""
        return [
            (self._timed(Cell(strategy=name, **setting), calibration), (row + column) % 2 == 1)
            for column, setting in enumerate(self.settings())
            for row, name in enumerate(self.strategies)
            if name in calibration.recorded
        ]

    def _timed(self, cell: Cell, calibration: Calibration) -> Cell:
        expected = law(cell, calibration).most
        seconds = min(LONGEST_S, max(self.seconds, self.answers / expected))
        return replace(cell, seconds=round(seconds, 1))
