"""The uncontended runs from which a calibration is made: one client, and nobody in its way."""

from __future__ import annotations

import time
from contextlib import suppress
from copy import copy
from itertools import count
from typing import TYPE_CHECKING
from unittest.mock import patch

from booking_core.errors import BookingError
from booking_core.retry import RetryPolicy
from booking_core.strategies.transaction import BookingTransaction, do_nothing
from experiments.model.calibration import Calibration, Machine, Recorded, Way
from experiments.model.costs import (
    UNUSED,
    VISITS,
    flushing,
    handover,
    oversleep,
    ping,
    resting,
    slow_network,
)
from experiments.model.one_by_one import one_by_one
from experiments.model.recording import clock_seconds, hear_hold, record
from experiments.model.scripts import locking_statement
from experiments.model.times import Times
from experiments.model.visitor import PRACTICE, Visitor
from experiments.show.environment import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from booking_core.strategies import Strategy
    from experiments.bench.calendars import Calendars
    from experiments.model.proxy import Proxy

ATTEMPTS = 40
WARM = 10
VAIN = UNUSED // 2


def calibrate(
    salons: Mapping[str, tuple[Strategy, Calendars]], proxy: Proxy | None, cores: int
) -> Calibration:
    """Measure what the model must know.

    Args:
        salons: Of each strategy, by name: the strategy, and a salon made for it whose first
            `PRACTICE` calendars are free.
        proxy: What will delay messages; None where nothing will.
        cores: How many processors there are.
    """
    strategy, calendars = next(iter(salons.values()))
    ping_wall, ping_client, ping_server = sorted(ping(calendars.url) for _ in range(VISITS))[
        VISITS // 2
    ]
    clock = 0.0
    visits: dict[str, list[Recorded]] = {name: [] for name in salons}
    for _ in range(VISITS):
        for name, (each, salon) in salons.items():
            salon.empty()
            with Visitor(salon, each, count()) as visitor:
                clock = clock or clock_seconds(visitor.ask)
                visits[name].append(_visit(visitor, clock))
    # The one in the middle, in case the machine had something else to do meanwhile.
    recorded = {name: sorted(seen, key=_seconds)[VISITS // 2] for name, seen in visits.items()}
    commit, flush_cpu = flushing(calendars, strategy, clock)
    if ping_server is None:  # a guess: half of what is no client's is the server's
        ping_server = (ping_wall - ping_client) / 2 + clock
    proxy_s, late_s = slow_network(proxy, calendars.url, ping_wall)
    machine = Machine(
        cores=cores,
        server_s=max(0.0, ping_server - clock),
        wake_s=max(0.0, ping_wall - ping_client - ping_server) / 2,
        commit_s=commit,
        flush_cpu=flush_cpu,
        proxy_s=proxy_s,
        late_s=late_s,
        oversleep_s=oversleep(),
        rests=resting(calendars, strategy),
        handover_s=handover(calendars.url, clock),
    )
    return Calibration(machine, recorded, environment())


def _visit(visitor: Visitor, clock: float) -> Recorded:
    """Record a strategy, and time its clients."""
    booked = record(visitor.book, ATTEMPTS // 2, clock)
    lost = record(visitor.lose, ATTEMPTS // 4, clock)
    visitor.hold(hear_hold)
    booked_held = record(visitor.book, ATTEMPTS // 4, clock)
    lost_held = record(visitor.lose, ATTEMPTS // 4, clock)
    visitor.hold(do_nothing)
    together = Way(_client_times(visitor.book), _client_times(visitor.lose))
    with one_by_one(), visitor.another() as slow:
        separately = Way(_client_times(slow.book), _client_times(slow.lose))
    lock = locking_statement(visitor.strategy, booked)
    return Recorded(
        booked=booked.locked_by(lock),
        lost=lost.locked_by(lock),
        booked_held=booked_held.locked_by(lock),
        lost_held=lost_held.locked_by(lock),
        together=together,
        one_by_one=separately,
        vain_s=max(0.0, _vain_seconds(visitor) - together.booked.mean),
    )


def _vain_seconds(visitor: Visitor) -> float:
    """Return what an attempt in vain takes of a processor at the client; 0 where there is none.

    One client has looked and not yet recorded when another asks for the same calendar. Who is
    refused, is refused then; who is overtaken, notices when it goes on.
    """
    traits = visitor.strategy.traits
    if traits.neighbours_retry == "none":
        return 0.0
    once = copy(visitor.strategy)
    once.retry = RetryPolicy(attempts=1)
    taken: list[float] = []
    look = BookingTransaction.rival
    with visitor.another(once) as first, visitor.another(once) as second:
        numbers = count(VAIN, PRACTICE)  # all of one calendar

        def book(client: Visitor) -> float:
            before = time.thread_time()
            with suppress(BookingError):
                client.book(next(numbers))
            return time.thread_time() - before

        def look_and_be_intruded_upon(tx: BookingTransaction) -> int | None:
            found = look(tx)
            with patch.object(BookingTransaction, "rival", look):
                taken.append(book(second))
            return found

        first.hold(lambda: None)  # then check and insert are two statements
        for _ in range(ATTEMPTS // 2):
            with patch.object(BookingTransaction, "rival", look_and_be_intruded_upon):
                whole = book(first)
            if not traits.may_answer_busy:  # then it is the first whose attempt was in vain
                taken[-1] = whole - taken[-1]
    return Times.of(taken[WARM:]).mean


def _seconds(recorded: Recorded) -> float:
    return recorded.booked.server_seconds + recorded.together.booked.mean


def _client_times(attempt: Callable[[], None]) -> Times:
    """Return what the client takes of a processor for an attempt."""
    for _ in range(WARM):
        attempt()
    taken = []
    for _ in range(ATTEMPTS):
        before = time.thread_time()
        attempt()
        taken.append(time.thread_time() - before)
    return Times.of(taken)
