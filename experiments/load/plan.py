"""The plan of a load: who asks for what, how often, through how many connections."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

EXECUTORS = ("per-vu-iterations", "constant-vus", "constant-arrival-rate")
OPERATIONS = ("book", "cancel", "reschedule", "list")
SKEWS = ("one_slot", "zipf", "uniform")
WORKLOADS = ("plain", "world")
LONGEST_S = 600.0  # k6's maxDuration for executors that count iterations


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a load consists of. The executors mean what k6 means by them.

    Attributes:
        executor: `per-vu-iterations`: every VU (virtual user) makes so many iterations.
            `constant-vus`: every VU begins one iteration after the other for so long.
            `constant-arrival-rate`: so many iterations begin every second, whatever became of the
            ones before; one for which no VU is free is dropped.
        vus: Virtual users. Under `constant-arrival-rate`, those that are there from the start.
        max_vus: Under `constant-arrival-rate`, up to how many there may be when they are needed;
            `vus` if left out.
        iterations: Of every VU, under `per-vu-iterations`.
        duration_s: For how many seconds iterations begin; those that have begun are finished.
            Under `per-vu-iterations` ten minutes if left out, and what has not begun by then is
            dropped.
        rate: Iterations that begin in a second, under `constant-arrival-rate`.
        workload: `plain`: calendars of one service, asked for as staff, days, skew and mix say.
            `world`: the requests of pairs of the small world of `experiments.scenes.world`, in its
            salon, one pair after the other; whoever cancels or moves takes what anybody booked.
        weights: How often each dimension of the world is drawn, in relation to the others; all
            alike if left out.
        staff: How many staff members there are.
        days: Over how many days starts are spread, on every quarter of an hour.
        skew: Which calendars are asked for. `one_slot`: everybody wants the same slot. `zipf`: the
            n-th staff member is asked for 1/n times as often as the first. `uniform`: all equally.
        mix: Operations (`book`, `cancel`, `reschedule`, `list`) with their weights. VUs cancel and
            reschedule what they booked themselves; who has nothing yet, books instead.
        processes: Over how many client processes VUs are spread; one a core if left out.
        pool_size: How many connections there are for all VUs; one a VU if left out.
        hold_ms: Milliseconds that a booking spends between check and insert.
        offers: How many alternatives a lost slot is answered with.
        seed: For everything that is drawn.
    """

    executor: str = "per-vu-iterations"
    vus: int = 100
    max_vus: int | None = None
    iterations: int | None = None
    duration_s: float | None = None
    rate: float | None = None
    workload: str = "plain"
    weights: Mapping[str, float] | None = None
    staff: int = 1
    days: int = 7
    skew: str = "one_slot"
    mix: Mapping[str, float] = field(default_factory=lambda: {"book": 1})
    processes: int | None = None
    pool_size: int | None = None
    hold_ms: float = 5.0
    offers: int = 5
    seed: int = 1

    @property
    def most_vus(self) -> int:
        """How many VUs there can be."""
        return self.max_vus or self.vus

    @property
    def connections(self) -> int:
        """How many connections the VUs share."""
        return self.pool_size or self.most_vus

    @property
    def seconds(self) -> float:
        """For how long iterations begin, at most."""
        return self.duration_s or LONGEST_S

    @property
    def crew(self) -> int:
        """How many client processes there are; each has a VU and a connection at least."""
        return self.processes or min(os.cpu_count() or 1, self.vus, self.connections)

    def divided(self, amount: int, process: int) -> int:
        """Return a process's share of an amount; the first ones take what is left over."""
        share, rest = divmod(amount, self.crew)
        return share + (process < rest)
