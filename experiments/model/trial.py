"""The trial: calibrate, measure every cell of a plan, fit, simulate, and compare."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import asdict, replace
from random import Random
from statistics import median
from typing import TYPE_CHECKING, Any

import pandas as pd
from tqdm.auto import tqdm

from booking_core.errors import UnsupportedServer
from experiments.bench.calendars import Calendars
from experiments.model.calibrate import calibrate
from experiments.model.cells import Cell
from experiments.model.clients import Turn, measure
from experiments.model.fitting import fit
from experiments.model.law import law
from experiments.model.proxy import Proxy
from experiments.model.simulate import simulate
from experiments.model.validation import Validation
from experiments.model.visitor import PRACTICE
from experiments.scenes.catalogue import find_strategy
from experiments.server.postgres import server
from experiments.show.environment import environment

if TYPE_CHECKING:
    from collections.abc import Sequence

    from booking_core.strategies import Strategy
    from experiments.model.answers import Answers
    from experiments.model.calibration import Calibration
    from experiments.model.plans import Plan
Salons = dict[str, tuple["Strategy", Calendars]]


def validate(plan: Plan) -> Validation:
    """Try the model against the machine.

    Args:
        plan: Which cells there are.

    Raises:
        UnknownStrategy: There is no such strategy.
        BadExperiment: A number of a cell is out of range.
    """
    with ExitStack() as opened:
        salons, skipped = open_salons(plan.strategies, opened, _staff(plan))
        proxy = opened.enter_context(Proxy(server().url))
        calibration = measure_machine(salons, proxy)
        cells = plan.cells(calibration)
        answers = _measure([cell for cell, _ in cells], salons, proxy, plan)
        doubles = sum(salon.look().double_bookings for _, salon in salons.values())
    rates = [median(each.per_second for each in rounds) for rounds in answers]
    usable = [(cell, rate) for (cell, out), rate in zip(cells, rates, strict=True) if not out]
    calibration = fit(calibration, usable, plan.seed)
    frame = pd.DataFrame(
        compared(cell, rounds, calibration, held_out=out, seed=plan.seed)
        for (cell, out), rounds in zip(tqdm(cells, "simulating"), answers, strict=True)
    )
    return Validation(calibration, frame, skipped, doubles)


def measure_machine(salons: Salons, proxy: Proxy | None) -> Calibration:
    """Calibrate, and describe the machine and the server."""
    facts = environment(PostgreSQL=server().description)
    return replace(calibrate(salons, proxy, int(facts["cores"])), description=facts)


def open_salons(
    names: Sequence[str], opened: ExitStack, staff: int = PRACTICE
) -> tuple[Salons, dict[str, str]]:
    """Make a salon for each strategy, to be closed with the stack.

    Returns:
        The salons by the strategies' names, and why a strategy has none, likewise.
    """
    salons: Salons = {}
    skipped: dict[str, str] = {}
    for name in names:
        strategy = find_strategy(name)
        try:
            calendars = opened.enter_context(Calendars(strategy, staff))
        except UnsupportedServer as error:
            skipped[name] = str(error)
        else:
            salons[name] = strategy, calendars
    return salons, skipped


def _staff(plan: Plan) -> int:
    """Return how many calendars a salon needs: each cell has its own, in every round."""
    each = [Cell(strategy="any", **setting).calendars for setting in plan.settings()]
    return PRACTICE + plan.rounds * sum(each)


def _measure(
    cells: Sequence[Cell], salons: Salons, proxy: Proxy, plan: Plan
) -> list[list[Answers]]:
    """Measure all cells, in rounds, each in another order; return each cell's answers."""
    untouched = dict.fromkeys(salons, PRACTICE + 1)
    source = Random(plan.seed)  # noqa: S311 - no secret
    answers: list[list[Answers]] = [[] for _ in cells]
    delays = sorted({cell.delay_ms for cell in cells})
    with tqdm(total=plan.rounds * len(delays), desc="measuring") as progress:
        for round_number in range(plan.rounds):
            for delay_ms in delays:
                mine = [n for n, cell in enumerate(cells) if cell.delay_ms == delay_ms]
                source.shuffle(mine)
                proxy.delay(delay_ms)
                turns = []
                for number in mine:
                    cell = cells[number]
                    strategy, salon = salons[cell.strategy]
                    url = proxy.through(salon.url) if delay_ms else salon.url
                    first = untouched[cell.strategy]
                    untouched[cell.strategy] += cell.calendars
                    turns.append(Turn(cell, strategy, url, first, plan.seed + round_number))
                for number, seen in zip(mine, measure(turns), strict=True):
                    answers[number].append(seen)
                progress.update()
    return answers


def compared(
    cell: Cell, rounds: list[Answers], calibration: Calibration, *, held_out: bool, seed: int
) -> dict[str, Any]:
    """Simulate a cell, and put that beside how it was measured, round by round."""
    simulated = simulate(cell, calibration, seed=seed)
    measured = median(each.per_second for each in rounds)
    intervals = [each.per_second_interval for each in rounds]
    row: dict[str, Any] = {
        **asdict(cell),
        "setting": cell.setting,
        "held_out": held_out,
        "law": law(cell, calibration).most,
        "measured": measured,
        "low": min(low for low, _ in intervals),
        "high": max(high for _, high in intervals),
        "simulated": simulated.per_second,
        "error": simulated.per_second / measured - 1 if measured else float("nan"),
        "attempts": median(each.mean_attempts for each in rounds),
        "simulated_attempts": simulated.mean_attempts,
    }
    for percent in (50, 95):
        row[f"measured_p{percent}"] = median(each.latency_ms(percent) for each in rounds)
        row[f"simulated_p{percent}"] = simulated.latency_ms(percent)
    return row | {"error_p95": row["simulated_p95"] / row["measured_p95"] - 1}
