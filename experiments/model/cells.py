"""A cell: one experiment, to be simulated and measured alike; and the site where it happens."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from experiments.scenes.parameters import BadExperiment, check_limits, check_words

SPREAD_CALENDARS = 100
WORKLOADS = {
    "hot_calendar": "everybody wants one person, at different times: all are booked",
    "hot_slot": "everybody wants one slot: all but one find it taken",
    "spread": f"different times of {SPREAD_CALENDARS} people: rivals are rare",
}
LIMITS = {
    "clients": (1, 100_000),
    "delay_ms": (0, 10_000),
    "hold_ms": (0, 60_000),
    "seconds": (0.01, 3600),
    "processes": (1, 64),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Cell:
    """What is asked, by whom, over which network. Clients ask again as soon as they are answered.

    Attributes:
        strategy: Its name.
        workload: A name of `WORKLOADS`.
        clients: How many at once.
        delay_ms: What the network adds to a round trip, in milliseconds.
        hold_ms: What a client spends between check and insert, in milliseconds.
        pool: How many connections all clients share; one each if left out.
        one_by_one: Whether every statement travels by itself.
        seconds: For how long answers are counted.
        processes: Over how many Python processes clients are spread, at most one a client.

    Raises:
        BadExperiment: A number is out of range, or there is no such workload.
    """

    strategy: str
    workload: str = "hot_calendar"
    clients: int = 1
    delay_ms: float = 0.0
    hold_ms: float = 0.0
    pool: int | None = None
    one_by_one: bool = False
    seconds: float = 1.0
    processes: int = 2

    def __post_init__(self) -> None:
        check_words("workload", [self.workload], WORKLOADS)
        for name, limits in LIMITS.items():
            check_limits(name, getattr(self, name), *limits)
        if self.pool is not None and self.pool < 1:
            raise BadExperiment(f"pool is {self.pool}; it must be 1 at least.")

    @property
    def crew(self) -> int:
        """Over how many processes the clients are really spread; each has a connection at least."""
        return min(self.processes, self.clients, self.pool or self.clients)

    @property
    def calendars(self) -> int:
        """How many calendars are asked for."""
        return SPREAD_CALENDARS if self.workload == "spread" else 1

    def share(self, amount: int, process: int) -> int:
        """Return one process's share of an amount; the first ones take what is left over."""
        each, rest = divmod(amount, self.crew)
        return each + (process < rest)

    def target(self, number: int) -> tuple[int, int]:
        """Return what the n-th request wants: a calendar and a place in it, both from 0."""
        if self.workload == "hot_slot":
            return 0, 0
        return number % self.calendars, number // self.calendars

    @property
    def setting(self) -> str:
        """What distinguishes the cell, its strategy apart, in words."""
        parts = [self.workload.replace("_", " "), f"{self.clients} clients"]
        if self.delay_ms:
            parts.append(f"{self.delay_ms:g} ms network")
        if self.hold_ms:
            parts.append(f"{self.hold_ms:g} ms held")
        if self.pool:
            parts.append(f"pool of {self.pool}")
        if self.one_by_one:
            parts.append("one by one")
        return ", ".join(parts)

    def as_dict(self) -> dict[str, Any]:
        """Return the cell for tables and JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Site:
    """Where things run; by default on one machine, as they are measured.

    Attributes:
        cores: Of the server's machine; those of the calibration's if left out.
        apart: Whether every client process has a machine of its own, and the network is a real
            one instead of a proxy.
        two_phase: Whether a booking is committed on two nodes (PREPARE TRANSACTION, then COMMIT
            PREPARED): a round trip and a flush more, while the lock is held.
    """

    cores: int | None = None
    apart: bool = False
    two_phase: bool = False
