"""Listening to a strategy: what it really sends, and how long the server is at each statement.

The real service books with the real strategy, one client and nobody in its way. Between any two
statements that travel together one more is put in, which asks the server for its clock; so the
server itself tells how long each took, in the very round trip in which it usually runs, and
nothing of the client's or the network's is in it. What the question itself takes is taken off.
"""

from __future__ import annotations

import itertools
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from psycopg.pq import ExecStatus

from booking_core.calendar.rulebook import RULES
from booking_core.database.wire import NOTHING, Statement, Wire
from experiments.model.scripts import BEGIN, COMMIT, Script, Step, Trip
from experiments.model.times import Times

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGresult

CLOCK = "SELECT CAST(extract(epoch FROM clock_timestamp()) * 1000000 AS bigint)"
MICRO = 1e-6
SENT_CLOCK: Statement = (CLOCK, NOTHING)
HOLD = "hold"

Timed = list[tuple[str, float]]
Event = Timed | str
"""A round trip's statements with their seconds, or that the client holds."""


_heard: list[Event] = []
_exchange = Wire._exchange  # noqa: SLF001 - the one place that all statements pass


def _timed(wire: Wire, statements: Sequence[Statement]) -> PQGen[list[PGresult]]:
    """Exchange statements as the wire does, ask for the time between them, and remember it."""
    if statements[0][0] == RULES:  # they are read once for many bookings
        return (yield from _exchange(wire, statements))
    # One statement in autocommit commits when all are sent, which no clock would see.
    alone = wire.autocommit
    framed = [(BEGIN, NOTHING), *statements, (COMMIT, NOTHING)] if alone else list(statements)
    sent: list[Statement] = [] if framed[0][0].startswith(BEGIN) else [SENT_CLOCK]
    for statement in framed:
        sent += [statement, SENT_CLOCK]
    results = yield from _exchange(wire, sent)
    if any(result.status == ExecStatus.FATAL_ERROR for result in results):
        return results
    marks = [_micros(r) for (sql, _), r in zip(sent, results, strict=True) if sql == CLOCK]
    spent = [MICRO * (after - before) for before, after in itertools.pairwise(marks)]
    texts = [sql for sql, _ in framed]
    if len(spent) < len(texts):  # before BEGIN no time can be asked for; it takes next to none
        spent.insert(0, 0.0)
    timed = list(zip(texts, spent, strict=True))
    _heard.append(timed[1:] if alone else timed)
    answers = [r for (sql, _), r in zip(sent, results, strict=True) if sql != CLOCK]
    return answers[1:-1] if alone else answers


def _micros(result: PGresult) -> int:
    return int(result.get_value(0, 0) or 0)


@contextmanager
def _listening() -> Iterator[list[Event]]:
    _heard.clear()
    with patch.object(Wire, "_exchange", _timed):
        yield _heard


def hear_hold() -> None:
    """Note that the client would hold now; the service is given this as `before_record`."""
    _heard.append(HOLD)


def record(attempt: Callable[[], Any], times: int, clock_seconds: float = 0.0) -> Script:
    """Listen to an attempt several times; return what it sends, with the spread of its times.

    The first times are not counted: statements are prepared and caches filled then.

    Args:
        attempt: Books, or tries to, on the same connection each time, and always in the same way.
        times: How often to listen.
        clock_seconds: What asking for the time takes, as `clock_seconds` measures it.

    Raises:
        ValueError: It sent something else each time.
    """
    heard: list[list[Event]] = []
    with _listening() as events:
        for _ in range(times + times // 5 + 1):
            events.clear()
            attempt()
            heard.append(list(events))
    counted = heard[-times:]
    shapes = {str([_texts(event) for event in events]) for events in counted}
    if len(shapes) != 1:
        raise ValueError("an attempt without rivals sent different statements each time")
    trips: list[Trip] = []
    hold_before = None
    for event, *others in zip(*counted, strict=True):
        if isinstance(event, str):
            hold_before = len(trips)
            continue
        alike = [event, *(other for other in others if not isinstance(other, str))]
        spent = zip(*([seconds for _, seconds in each] for each in alike), strict=True)
        trips.append(
            tuple(
                Step(sql, Times.of(seconds).less(clock_seconds))
                for sql, seconds in zip(_texts(event), spent, strict=True)
            )
        )
    return Script(tuple(trips), hold_before)


def _texts(event: Event) -> list[str]:
    return [event] if isinstance(event, str) else [" ".join(sql.split()) for sql, _ in event]


def clock_seconds(ask: Callable[[str], Any], times: int = 50) -> float:
    """Return what it takes to ask the server for its clock.

    Args:
        ask: Runs a statement in a transaction, through a wire.
        times: How often to try.
    """
    with _listening() as events:
        for _ in range(times):
            ask(CLOCK)
        spent = [event[0][1] for event in events if not isinstance(event, str)]
    # Between the marks around it lie the statement and the second mark: two clocks.
    return Times.of(spent[times // 5 :]).median / 2
