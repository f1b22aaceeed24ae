"""A run put into words: its steps as they were sent and answered, and what broke when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.schedules.schedule import LOOKED, WROTE, Breach, Step, double_bookings
from experiments.steer import values
from experiments.steer.turn import LOST

if TYPE_CHECKING:
    from experiments.explore.explorer import Run
    from experiments.steer.turn import Turn

_WORDS = {
    "dishonest_replies": "a reply is contradicted by the rows, or by every order of the requests",
    "lost_sales": "a slot stayed free although somebody asked for it",
    "refused_neighbours": "a request was refused although nothing overlaps it",
    "repeated_bookings": "one idempotency key booked twice",
    "clients_in_two_places": "one client is booked in two places at one time",
    "unanswered": "a request ended in an error",
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
            words = judgement.explained.get(name) or _WORDS.get(name, name)
            found.append(Breach(name, end, words if times == 1 else f"{times} times: {words}"))
    return tuple(found)


def _step(turn: Turn) -> Step:
    return Step(
        client=turn.client,
        kind=turn.kind,
        sql=" ".join(turn.rendered.split()),
        begin=turn.begin,
        answer=_answer(turn),
        rows=_rows(turn),
        error=turn.error.sqlstate if turn.error else "",
        waited_for=tuple(sorted(turn.waited_for)),
        answered_at=turn.answered_at,
        server_decided=turn.server_decided,
        background=turn.background,
        fault=turn.fault,
    )


def _answer(turn: Turn) -> str:
    if turn.error is not None:
        state = turn.error.sqlstate
        return f"{'connection lost' if state == LOST else f'ERROR {state}'}: {turn.error.message}"
    if turn.kind == "start":
        return "waits inside of the program" if turn.parked else ""
    if turn.halted:
        return WROTE if turn.kind == "write" else LOOKED
    if turn.kind not in ("statement", "write"):
        return "committed" if turn.kind == "commit" else "rolled back"
    result = turn.result
    if turn.answered_at is None:
        return ""
    if result.columns is None:
        return result.tag
    rows, count = _rows(turn), result.count
    first = ", ".join(value or "" for value in rows[0]) if rows else ""
    if len(first) > 60:  # noqa: PLR2004 - what fits on a line
        first = f"{first[:60]}…"
    return "no row" if not count else f"{count} row{'s' if count > 1 else ''}: {first}"


def _rows(turn: Turn) -> tuple[tuple[str | None, ...], ...]:
    columns = turn.result.columns or ()
    return tuple(
        tuple(
            values.shown(value, oid=oid, binary=binary)
            for value, (oid, binary) in zip(row, columns, strict=False)
        )
        for row in turn.result.rows
    )
