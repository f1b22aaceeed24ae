"""Who is compared: the service with each strategy, and pgbench with the same statements or fewer.

`service:NAME` is `BookingService.book` with a strategy. No alternatives are computed, for pgbench
computes none either; `service:NAME+alternatives` shows what they cost. pgbench runs

- `statements`: what the origin sent, as it shipped: SERIALIZABLE, its advisory lock, the check, the
  insert, COMMIT. It is tried as often, but without the origin's pauses.
- `advisory`: what our strategy of that name sends in its transaction, statement by statement.
- `function`: the call of the function of our strategy of that name, one round trip.
- `bare_insert`: an insert without lock or check, the limit of what can be stored; always spread
  over all slots, for a slot that is full of overlapping rows has no index worth the name.
- `bare_insert_constrained`: the same on a table with the exclusion constraint.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from booking_core.calendar.availability import ENOUGH
from booking_core.strategies import DEFAULT, STRATEGIES, Strategy
from booking_core.strategies.constraint import Exclusion
from booking_core.strategies.function import Function
from experiments.bench import scripts
from experiments.bench.clients import FAILED, drive
from experiments.bench.pgbench import run_pgbench
from experiments.bench.workloads import workloads
from experiments.scenes.catalogue import UnknownStrategy, find_strategy
from experiments.scenes.exhibits import Origin

if TYPE_CHECKING:
    from experiments.bench.calendars import Calendars
    from experiments.bench.workloads import Cell

ALTERNATIVES = "+alternatives"


@dataclass(frozen=True, slots=True)
class Measured:
    """What came of a turn.

    Attributes:
        per_second: Requests answered a second: booked, or taken.
        failed: Requests that were answered with busy or an error.
        latency_ms: Average time of a request.
        client_cpu_us: What the clients took of the processors for a request, in microseconds.
        booked: Bookings that were measured, conflicts likewise, where the contender counts them.
        replied: Bookings in all, to be compared with the rows.
    """

    per_second: float
    failed: int
    latency_ms: float
    client_cpu_us: float
    booked: int | None = None
    conflict: int | None = None
    replied: int | None = None


@dataclass(frozen=True)
class ServiceContender:
    """Our service."""

    strategy: Strategy
    offers: int = 0

    @property
    def sound(self) -> bool:
        """As the strategy says."""
        return self.strategy.sound

    @property
    def name(self) -> str:
        """As `service:advisory`."""
        return f"service:{self.strategy.name}{ALTERNATIVES if self.offers else ''}"

    def run(self, calendars: Calendars, cell: Cell) -> Measured:
        """Book through the service."""
        tallies = drive(calendars.url, self.strategy, self.offers, cell)
        counted = sum((tally.counted for tally in tallies), Counter[str]())
        requests = counted.total() or 1
        return Measured(
            per_second=sum(tally.answered / tally.seconds for tally in tallies),
            failed=sum(counted[error.outcome] for error in FAILED),
            latency_ms=1000 * cell.clients * cell.seconds / requests,
            client_cpu_us=1e6 * sum(tally.cpu_seconds for tally in tallies) / requests,
            booked=counted["booked"],
            conflict=counted["conflict"],
            replied=sum(tally.booked for tally in tallies),
        )


@dataclass(frozen=True)
class PgbenchContender:
    """pgbench with one of our scripts."""

    script_name: str
    script: str
    strategy: Strategy
    sound: bool = True
    always_spread: bool = False

    @property
    def name(self) -> str:
        """As `pgbench:statements`."""
        return f"pgbench:{self.script_name}"

    def run(self, calendars: Calendars, cell: Cell) -> Measured:
        """Run the script."""
        if self.always_spread:
            cell = replace(cell, workload=workloads(calendars.staff)["spread"])
        answer = run_pgbench(
            self.script,
            calendars.url,
            cell,
            tries=self.strategy.retry.attempts,
            variables={
                "members": cell.workload.staff,
                "places": cell.workload.places,
            },
        )
        return Measured(
            per_second=answer.per_second,
            failed=answer.failed,
            latency_ms=answer.latency_ms,
            client_cpu_us=1e6 * answer.cpu_seconds / (answer.transactions or 1),
        )


Contender = ServiceContender | PgbenchContender
PGBENCH = {
    each.name: each
    for each in (
        PgbenchContender("statements", scripts.STATEMENTS, Origin(), Origin.sound),
        PgbenchContender("advisory", scripts.ADVISORY, DEFAULT()),
        PgbenchContender("function", scripts.FUNCTION, Function()),
        PgbenchContender("bare_insert", scripts.BARE_INSERT, DEFAULT(), False, True),
        PgbenchContender(
            "bare_insert_constrained", scripts.BARE_INSERT_CONSTRAINED, Exclusion(), False, True
        ),
    )
}


def everybody() -> list[str]:
    """Return the names of all contenders, those with alternatives left out."""
    return [*(f"service:{name}" for name in STRATEGIES), *PGBENCH]


def find_contender(name: str) -> Contender:
    """Return a contender by its name.

    Raises:
        UnknownStrategy: There is none of that name.
    """
    if name in PGBENCH:
        return PGBENCH[name]
    kind, _, strategy = name.partition(":")
    if kind != "service":
        raise UnknownStrategy(
            f"There is no contender {name!r}. There are: {', '.join(everybody())}, and "
            f"service:NAME{ALTERNATIVES}."
        )
    offers = ENOUGH if strategy.endswith(ALTERNATIVES) else 0
    return ServiceContender(find_strategy(strategy.removesuffix(ALTERNATIVES)), offers)
