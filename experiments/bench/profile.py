"""Where the time of one attempt goes, client and server.

One client books in a loop: without instruments, which gives the true time of an attempt, and
under cProfile, which tells who used it. cProfile makes every call of a Python function longer, so
the parts add up to more than the truth; only the waiting is as it is. Whatever psycopg's few
functions do that send or wait counts as waiting, for to send wakes the server, which may take the
processor at once. What C code does counts for the Python function that called it.

The server's part is what EXPLAIN ANALYZE says of the same statements: their execution. The rest of
the waiting is travel, BEGIN and COMMIT, and the flush to disk.
"""

from __future__ import annotations

import time
from contextlib import suppress
from cProfile import Profile
from random import Random
from typing import TYPE_CHECKING, Any, ClassVar
from unittest.mock import patch

import pandas as pd
from sqlalchemy import create_engine

from booking_core.booking import BookingService
from booking_core.database import session
from booking_core.database.wire import NOTHING, Wire
from booking_core.errors import BookingConflict
from experiments.bench.calendars import Calendars
from experiments.bench.clients import SERVICE_ID
from experiments.bench.workloads import workloads
from experiments.scenes.catalogue import find_strategy
from experiments.scenes.salon import now
from experiments.server.connection import connect
from experiments.show.stats import spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from sqlalchemy import URL

    from booking_core.strategies import Strategy
    from experiments.server.postgres import EmbeddedServer, Server

ATTEMPT = "an attempt"
PROFILED = "an attempt under cProfile"
WAITING = "sending and waiting"
EXECUTING = "of which executing in the server"
WAITS = ("wait", "_exec_command", "_send_")
"""How the names of psycopg's functions begin that send or wait."""
CLIENT = {"booking_core": "service", "sqlalchemy": "sqlalchemy", "psycopg": "psycopg"}
OTHERS = "other Python"
PARTS = [ATTEMPT, PROFILED, WAITING, EXECUTING, *CLIENT.values(), OTHERS]
EXPLAIN = "EXPLAIN (ANALYZE, TIMING OFF, FORMAT JSON) "
WARM = 10
STAFF = 100


def profile(  # noqa: PLR0913 - an experiment has as many parameters
    strategy: str | Strategy | type[Strategy],
    workload: str = "hot_slot",
    *,
    attempts: int = 300,
    repeats: int = 5,
    seed: int = 1,
    on: Server | EmbeddedServer | None = None,
) -> pd.DataFrame:
    """Measure where an attempt through the service spends its time, with one client.

    Args:
        strategy: A strategy, its class, its name, or `module:attribute`.
        workload: `hot_slot` or `spread`.
        attempts: How many make one profile.
        repeats: How many profiles are made.
        seed: For the choice of slots.
        on: Which server; the process's own if left out.

    Returns:
        One row a part: part, microseconds (median for an attempt), low and high (quartiles). The
        first row is the whole attempt without instruments, the second under cProfile; the rest
        are the second's parts.

    Raises:
        UnknownStrategy: There is no such strategy.
        UnsupportedServer: The server is too old for it.
    """
    chosen = find_strategy(strategy)
    asked = workloads(STAFF)[workload]
    source = Random(seed)  # noqa: S311 - no secret
    seen: dict[str, list[float]] = {part: [] for part in PARTS}
    with Calendars(chosen, STAFF, on) as calendars:
        engine = create_engine(calendars.url)
        service = BookingService(engine, chosen, clock=now, offers=0)

        def book() -> None:
            staff_id, start = asked.pick(source)
            with suppress(BookingConflict):
                service.book(
                    staff_id=staff_id, service_id=SERVICE_ID, start=start, client="Somebody"
                )

        calendars.empty()
        _repeat(book, attempts)  # afterwards all is compiled, prepared and known
        for _ in range(repeats):
            micros = _profiled(book, attempts) | {ATTEMPT: _repeat(book, attempts)}
            _Recorder.sent.clear()
            with patch.object(session, "Wire", _Recorder):
                book()
            if workload == "spread":
                calendars.empty()  # or the statements would meet what they stored themselves
            micros[EXECUTING] = _executing(calendars.url, list(_Recorder.sent))
            for part in PARTS:
                seen[part].append(micros[part])
        engine.dispose()
    spreads = {part: spread(values) for part, values in seen.items()}
    return pd.DataFrame(
        {"part": part, "microseconds": each.median, "low": each.low, "high": each.high}
        for part, each in spreads.items()
    )


class _Recorder(Wire):
    """Remembers what is sent."""

    sent: ClassVar[list[tuple[str, Any]]] = []

    def add(self, sql: str, parameters: Mapping[str, object] = NOTHING) -> None:
        if not sql.startswith("BEGIN"):
            self.sent.append((sql, parameters))
        super().add(sql, parameters)


def _repeat(book: Callable[[], None], attempts: int) -> float:
    """Book so many times, and return the microseconds of one."""
    started = time.perf_counter()
    for _ in range(attempts):
        book()
    return (time.perf_counter() - started) * 1e6 / attempts


def _profiled(book: Callable[[], None], attempts: int) -> dict[str, float]:
    """Return the microseconds that an attempt takes under cProfile, and each part's own."""
    profiler = Profile()
    seen = dict.fromkeys(PARTS, 0.0)
    seen[PROFILED] = profiler.runcall(_repeat, book, attempts)
    profiler.create_stats()
    for part, seconds in _own_times(profiler):
        seen[part] += seconds * 1e6 / attempts
    return seen


def _own_times(profiler: Profile) -> Iterator[tuple[str, float]]:
    """Yield the seconds that each function spent itself, by the part it belongs to."""
    stats: dict[Any, Any] = profiler.stats
    for function, (_, _, own, _, callers) in stats.items():
        if function[0] != "~":
            yield _part(function), own
            continue
        # A function of C's belongs to whoever called it.
        for caller, (_, _, spent, _) in callers.items():
            yield _part(caller), spent


def _part(function: tuple[str, int, str]) -> str:
    path, _, name = function
    if name.startswith(WAITS) and "/psycopg/" in path:
        return WAITING
    found = [part for package, part in CLIENT.items() if f"/{package}" in path]
    return found[-1] if found else OTHERS


def _executing(url: URL, sent: list[tuple[Any, Any]]) -> float:
    """Return the microseconds that the server spends on executing statements, all together."""
    with connect(url) as connection:
        # The last time: before that, caches are filled and the function's plans are made.
        for _ in range(WARM):
            with connection.transaction(force_rollback=True):
                answers = [
                    connection.execute((EXPLAIN + str(query)).encode(), params).fetchone()
                    for query, params in sent
                ]
    return sum(1000 * float(answer[0][0]["Execution Time"]) for answer in answers if answer)
