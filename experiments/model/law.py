"""The law, on paper: what no strategy can exceed, without simulating anything.

*The lock.* While a calendar's lock is held nobody else books there. If each booking holds it for H
seconds, there can be no more than 1/H bookings a second, however many clients, cores or nodes.
The same goes for optimistic strategies, with H the time from the first look to COMMIT: whoever
looked before a rival's COMMIT starts again, so of two bookings one must look after the other ends.

*The bounds.* N clients who each need D seconds with nobody in their way can't be served faster
than N/D; c cores that work C seconds for a request can't serve more than c/C; and p connections
that are taken for D seconds not more than p/D. The least of these is the asymptotic bound (Denning
and Buzen, "The Operational Analysis of Queueing Network Models", 1978). Mean value analysis
(Reiser and Lavenberg, 1980) rounds off the corner where two of them meet.

*The birthday.* Of m requests that are open at one time on K calendars, chosen at random, each pair
meets with probability 1/K; there are m(m-1)/2 pairs.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import exp, expm1, inf
from typing import TYPE_CHECKING

from experiments.scenes.catalogue import find_strategy

if TYPE_CHECKING:
    from booking_core.strategies import Strategy
    from experiments.model.calibration import Calibration
    from experiments.model.cells import Cell
    from experiments.model.scripts import Script


@dataclass(frozen=True, slots=True)
class Law:
    """What a cell can't exceed.

    Attributes:
        clients: How many there are.
        exclusive_s: Seconds of a booking in which no other booking of the calendar can be.
        alone_s: Seconds of a request with nobody in its way.
        processor_s: Seconds of a processor that it takes, clients and server together.
        cores: How many processors there are.
        connections: How many connections there are.
        calendars: How many calendars bookings are spread over, as far as they exclude each other.
    """

    clients: int
    exclusive_s: float
    alone_s: float
    processor_s: float
    cores: int
    connections: int
    calendars: float

    @property
    def bounds(self) -> dict[str, float]:
        """Requests a second that each of the limits allows, by its name."""
        return {
            "the lock": self.calendars / self.exclusive_s if self.exclusive_s else inf,
            "the clients": self.clients / self.alone_s,
            "the processors": self.cores / self.processor_s,
            "the connections": self.connections / self.alone_s,
        }

    @property
    def most(self) -> float:
        """Requests a second that nothing can exceed."""
        return min(self.bounds.values())

    @property
    def limit(self) -> str:
        """Which limit that is."""
        return min(self.bounds, key=lambda name: self.bounds[name])

    @property
    def mean_value(self) -> float:
        """Requests a second by mean value analysis.

        Lock and processors are the queues, all else is delay. That a request holds the lock while
        it waits for a processor is more than the method knows of.
        """
        inside = min(self.exclusive_s, self.alone_s) / self.calendars
        computing = self.processor_s / self.cores
        delay = max(0.0, self.alone_s - inside - computing)
        return mean_value([inside, computing], delay, self.clients)


def mean_value(demands: list[float], delay_s: float, clients: int) -> float:
    """Return the requests a second of a closed network of queues.

    Args:
        demands: The seconds that a request needs of each queue's server.
        delay_s: The seconds that it spends elsewhere, queueing for nothing.
        clients: How many there are; each asks again when it is answered.
    """
    queued = [0.0] * len(demands)
    rate = 0.0
    for number in range(1, clients + 1):
        # Who comes finds the queue as if it had never been there itself.
        stays = [demand * (1 + length) for demand, length in zip(demands, queued, strict=True)]
        rate = number / (delay_s + sum(stays))
        queued = [rate * stay for stay in stays]
    return rate


def law(
    cell: Cell,
    calibration: Calibration,
    *,
    apart: bool = False,
    cores: int | None = None,
    strategy: Strategy | None = None,
) -> Law:
    """Work out what a cell can't exceed.

    Args:
        cell: The cell.
        calibration: What things cost.
        apart: Whether clients have machines of their own.
        cores: Of the server's machine; those of the calibration's if left out.
        strategy: The strategy, where it is not to be found by the cell's name.
    """
    chosen = strategy or find_strategy(cell.strategy)
    machine, recorded = calibration.machine, calibration.recorded[cell.strategy]
    scripts = recorded.scripts(held=cell.hold_ms > 0, one_by_one=cell.one_by_one)
    script = scripts[cell.workload == "hot_slot"]
    way = recorded.way(one_by_one=cell.one_by_one)
    python = (way.lost if cell.workload == "hot_slot" else way.booked).mean
    trip = cell.delay_ms / 1000 + 2 * machine.wake_s + machine.server_s
    hold = cell.hold_ms / 1000
    trips = len(script.trips)
    server = script.server_seconds + trips * machine.server_s
    first = _excludes_from(script, chosen)
    exclusive = 0.0
    if first is not None:
        under = script.trips_after(first)
        exclusive = script.seconds_after(first) + under * (trip + python / (trips + 1))
        exclusive += hold * script.holds_after(first)
    traits = chosen.traits
    scope = {traits.neighbours_wait, traits.neighbours_retry}
    if cell.workload == "hot_slot" and traits.neighbours_wait == "none":
        exclusive = 0.0  # what is taken excludes nobody
    return Law(
        clients=cell.clients,
        exclusive_s=0.0 if scope == {"none"} else exclusive,
        alone_s=python
        + script.server_seconds
        + trips * trip
        + hold * (script.hold_before is not None),
        processor_s=server if apart else server + python,
        cores=cores or machine.cores,
        connections=cell.pool or cell.clients,
        calendars=1 if "everybody" in scope else cell.calendars,
    )


def _excludes_from(script: Script, strategy: Strategy) -> int | None:
    """Return from which statement on a booking excludes others of its calendar."""
    traits = strategy.traits
    if traits.neighbours_retry != "none" and not traits.may_answer_busy:
        return 0
    return next((number for number, step in enumerate(script.steps) if step.locks), None)


def meeting(requests: float, calendars: float) -> float:
    """Return the probability that of so many open requests any two want the same calendar.

    Source of the idea: the birthday problem; the approximation by pairs, as Feller, "An
    Introduction to Probability Theory", section II.3.
    """
    return -expm1(-requests * max(0.0, requests - 1) / (2 * calendars))


def meeting_somebody(requests: float, calendars: float) -> float:
    """Return the probability that one request meets another that is open on its calendar."""
    return 1 - exp(-max(0.0, requests - 1) / calendars)
