"""Past this machine: questions that the model answers because no test machine can.

Clients have machines of their own here, and the network is a real one, so only the server's
processors, the locks and the distance count. Statement times stay those of the calibrated machine.
What is told is a rate with a range: the factors between which nine of ten measured rates lay
around the simulated ones where both could be had (`Validation.trust`). Outside of what could be
measured that is a hope and no promise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from math import ceil
from typing import TYPE_CHECKING

import pandas as pd

from experiments.model.cells import Cell, Site
from experiments.model.law import law
from experiments.model.simulate import Simulation, simulate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from experiments.model.calibration import Calibration

WORKERS = 10  # client processes, each on a machine of its own
ENOUGH = 150  # answers that a simulation should have
LONGEST_S = 60.0


@dataclass(frozen=True, slots=True)
class Model:
    """What is known, and how far it is to be trusted.

    Attributes:
        calibration: What things cost.
        trust: Between which factors of a simulated rate the true one lies in nine of ten cases.
        cores: Of a database server.
        seed: For everything that is drawn.
    """

    calibration: Calibration
    trust: tuple[float, float] = (1.0, 1.0)
    cores: int = 8
    seed: int = 1

    @property
    def strategies(self) -> list[str]:
        """Those that it knows."""
        return list(self.calibration.recorded)

    def around(self, rate: float) -> str:
        """Word a rate with its range."""
        low, high = self.trust
        return f"{rate:,.0f} ({rate * low:,.0f} to {rate * high:,.0f})"


def over_networks(
    model: Model, delays_ms: Sequence[float], *, clients: int = 50, hold_ms: float = 0.0
) -> pd.DataFrame:
    """Ask how many bookings a second one calendar takes, over ever slower networks.

    Returns:
        One row a strategy, way of sending and delay: strategy, way, delay_ms, per_second, low,
        high, law, p95_ms.
    """
    rows = []
    for name in model.strategies:
        for one_by_one in (False, True):
            for delay_ms in delays_ms:
                cell = Cell(
                    strategy=name, clients=clients, delay_ms=delay_ms, hold_ms=hold_ms,
                    one_by_one=one_by_one, processes=WORKERS,
                )  # fmt: skip
                most = law(cell, model.calibration, apart=True, cores=model.cores).most
                answers = simulate(
                    _lasting(cell, most),
                    model.calibration,
                    seed=model.seed,
                    site=Site(model.cores, apart=True),
                )
                rows.append(
                    {
                        "strategy": name,
                        "way": "one by one" if one_by_one else "together",
                        "delay_ms": delay_ms,
                        "per_second": answers.per_second,
                        "low": answers.per_second * model.trust[0],
                        "high": answers.per_second * model.trust[1],
                        "law": most,
                        "p95_ms": answers.latency_ms(95),
                    }
                )
    return pd.DataFrame(rows)


def on_sale(  # noqa: PLR0913 - a question with as many parts
    model: Model,
    *,
    clients: int = 10_000,
    pool: int = 100,
    delay_ms: float = 1.0,
    spread_s: float = 1.0,
    strategies: Sequence[str] | None = None,
) -> pd.DataFrame:
    """Ask what becomes of very many clients who want one slot at one moment.

    Args:
        model: What is known.
        clients: How many.
        pool: How many connections all of them share.
        delay_ms: What the network adds to a round trip.
        spread_s: Over how many seconds they come.
        strategies: Those to ask about; all if left out.

    Returns:
        One row a strategy, with and without a queue in front that lets one request through at a
        time and answers the rest itself as soon as the slot is gone. Columns: strategy, queue in
        front, booked, conflict, given up (busy, or out of tries), reached the database (requests),
        tries (in the database, all together), sold after (ms since the first came), last answer
        after (s), p50 ms, p95 ms.
    """
    rows = []
    for name in strategies or model.strategies:
        for gate in (None, 1):
            cell = Cell(
                strategy=name, workload="hot_slot", clients=clients, pool=pool, delay_ms=delay_ms,
                processes=WORKERS,
            )  # fmt: skip
            simulation = Simulation(
                cell, model.calibration, seed=model.seed, site=Site(model.cores, apart=True)
            )
            answers = simulation.crowd(spread_s, gate)
            counts = answers.counts()
            booked, conflict = counts.get("booked", 0), counts.get("conflict", 0)
            rows.append(
                {
                    "strategy": name,
                    "queue in front": "yes" if gate else "no",
                    "booked": booked,
                    "conflict": conflict,
                    "given up": clients - booked - conflict,
                    "reached the database": int((answers.attempts > 0).sum()),
                    "tries": int(answers.attempts.sum()),
                    "sold after, ms": 1000
                    * float(answers.ended[answers.outcomes == "booked"].min()),
                    "last answer after, s": float(answers.ended.max()),
                    "p50 ms": answers.latency_ms(50),
                    "p95 ms": answers.latency_ms(95),
                }
            )
    return pd.DataFrame(rows)


def connections(  # noqa: PLR0913 - a question with as many parts
    model: Model,
    *,
    rates: Sequence[float] = (100, 1_000, 5_000),
    delay_ms: float = 1.0,
    programs: Sequence[int] = (2, 10, 50),
    pool: int = 20,
    max_connections: int = 300,
) -> pd.DataFrame:
    """Ask where a connection pooler becomes necessary.

    Connections that are busy follow from Little's law: requests a second, times the seconds for
    which each holds one. Connections that are open follow from how many programs there are, each
    with its own pool. Where all that are open exceed what the server takes, while few are busy, a
    pooler between programs and server is what helps.

    Args:
        model: What is known.
        rates: Bookings a second, on calendars that are not hot.
        delay_ms: What the network adds to a round trip.
        programs: How many copies of the booking program run.
        pool: How many connections each of them keeps.
        max_connections: The server's setting.
    """
    rows = []
    for name in model.strategies:
        for one_by_one in (False, True):
            cell = Cell(strategy=name, workload="spread", delay_ms=delay_ms, one_by_one=one_by_one)
            alone = law(cell, model.calibration, apart=True, cores=model.cores).alone_s
            rows.append(
                {
                    "strategy": name + ", one by one" * one_by_one,
                    "held for, ms": 1000 * alone,
                    **{f"busy at {rate:,.0f}/s": ceil(rate * alone) for rate in rates},
                    **{
                        f"{number} programs": _verdict(number * pool, max_connections)
                        for number in programs
                    },
                }
            )
    return pd.DataFrame(rows)


def _verdict(opened: int, most: int) -> str:
    return f"{opened} open" + (": pooler" if opened > most else "")


def _lasting(cell: Cell, rate: float) -> Cell:
    return replace(cell, seconds=max(0.05, min(LONGEST_S, ENOUGH / rate)))
