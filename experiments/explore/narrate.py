"""A run put into words: its steps as they were sent and answered, and what broke when."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

import psycopg
from psycopg.pq import ExecStatus

from experiments.schedules.schedule import Breach, Step, double_bookings

if TYPE_CHECKING:
    from experiments.explore.explorer import Run
    from experiments.steer.steering import Turn

_MOST_ROWS = 20

_WORDS = {
    "dishonest_replies": "a reply is contradicted by the rows, or by every order of the requests",
    "lost_sales": "a slot stayed free although somebody asked for it",
    "refused_neighbours": "a request was refused although nothing overlaps it",
    "repeated_bookings": "one idempotency key booked twice",
    "clients_in_two_places": "one client is booked in two places at one time",
}


def steps(run: Run) -> tuple[Step, ...]:
    """Return a run's steps as values."""
    return tuple(_step(turn) for turn in run.turns)


def breaches(run: Run) -> tuple[Breach, ...]:
    """Return which properties a run broke, and at which step."""
    judgement = run.judgement
    end = max((turn.answered_at for turn in run.turns if turn.answered_at is not None), default=0)
    replied = {reply.appointment_id: reply.replied or 0 for reply in judgement.replies}
    found = []
    for name, times in judgement.faults.items():
        if name == "double_bookings" and judgement.after:
            for one, other in double_bookings(judgement.after):
                # Whoever was told last committed last.
                step = max(replied.get(one.id, 0), replied.get(other.id, 0))
                starts = dict.fromkeys((one.starts[11:16], other.starts[11:16]))
                words = (
                    f"{one.client} and {other.client} are both booked with staff {one.staff},"
                    f" at {' and '.join(starts)}"
                )
                found.append(Breach(name, step, words))
        else:
            words = _WORDS.get(name, name)
            found.append(Breach(name, end, words if times == 1 else f"{times} times: {words}"))
    return tuple(found)


def _step(turn: Turn) -> Step:
    return Step(
        client=turn.client,
        kind=turn.kind,
        sql=_rendered(turn),
        begin=turn.begin,
        answer=_answer(turn),
        rows=_rows(turn),
        error=getattr(turn.error, "sqlstate", None) or ("lost" if turn.error else ""),
        waited_for=tuple(sorted(turn.waited_for)),
        answered_at=turn.answered_at,
        server_decided=turn.server_decided,
        background=turn.background,
    )


def _rendered(turn: Turn) -> str:
    text = turn.sql
    if turn.params:
        # A connection that was lost can't render; the text without parameters must do then.
        with suppress(psycopg.Error):
            text = psycopg.ClientCursor(turn.connection).mogrify(turn.sql, turn.params)
    return " ".join(text.split())


def _answer(turn: Turn) -> str:
    if turn.error is not None:
        state = getattr(turn.error, "sqlstate", None)
        reason = str(turn.error).partition("\n")[0]
        return f"ERROR {state}: {reason}" if state else f"connection lost: {reason}"
    if turn.kind != "statement":
        return "committed" if turn.kind == "commit" else "rolled back"
    result = turn.result
    if result is None or turn.answered_at is None:
        return ""
    if result.status != ExecStatus.TUPLES_OK:
        return (result.command_status or b"").decode()
    count = result.ntuples
    first = ", ".join(value or "" for value in _rows(turn)[0]) if count else ""
    if len(first) > 60:  # noqa: PLR2004 - what fits on a line
        first = f"{first[:60]}…"
    return "no row" if not count else f"{count} row{'s' if count > 1 else ''}: {first}"


def _rows(turn: Turn) -> tuple[tuple[str | None, ...], ...]:
    result = turn.result
    if result is None or result.status != ExecStatus.TUPLES_OK:
        return ()
    return tuple(
        tuple(_value(result.get_value(row, column)) for column in range(result.nfields))
        for row in range(min(result.ntuples, _MOST_ROWS))
    )


def _value(value: bytes | None) -> str | None:
    return None if value is None else value.decode(errors="replace")
