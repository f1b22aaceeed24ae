"""A counterexample as a script that people can read, in the manner of hermitage.

Every line is SQL as it was sent, or a comment. A comment behind a statement says whose it is,
and whether it had to wait (`BLOCKS`) and for whom; a comment below it, what came back, who went
on, and where the property broke. Paste the lines into as many psql sessions as there are clients,
and the server does it again; but for a statement that is held back before it writes, which nobody
can do from psql. Reads of what nobody writes are left out.

Manual: 13.2 Transaction Isolation. Style: github.com/ept/hermitage.
"""

from __future__ import annotations

import re
from dataclasses import replace
from textwrap import wrap
from typing import TYPE_CHECKING

from experiments.schedules import labels
from experiments.schedules.schedule import PROGRAM

if TYPE_CHECKING:
    from collections.abc import Iterator

    from experiments.schedules.schedule import ClientReply, Counterexample, Step, StoredRow

WIDTH = 96
INDENT = "    "


def transcript(found: Counterexample) -> str:
    """Write a counterexample down.

    Args:
        found: Any counterexample; the same one always gives the same text.
    """
    return "\n".join([*_head(found), "", *_body(found), "", *_end(found)]) + "\n"


def described(found: Counterexample) -> str:
    """Say in one paragraph what happens, for who can't see the picture."""
    told = []
    for _, step in chosen(found):
        words = f"{labels.client(step.client)}: {labels.action(step)}"
        if step.waited:
            words += f", waits for {labels.clients(step.waited_for)}"
        came = labels.outcome(step)
        told.append(f"{words} ({came})" if came else words)
    broken = "; ".join(labels.breach(breach) for breach in found.breaches)
    return f"Lanes of {found.clients} clients, time runs down. {'; '.join(told)}. {broken}."


def statement(sql: str) -> str:
    """Lay a statement out in lines that fit a page, without breaking what is quoted."""
    kept = re.sub(r"'(?:[^']|'')*'", lambda quoted: quoted[0].replace(" ", "\0"), labels.tidy(sql))
    lines = wrap(
        " ".join(kept.split()),
        WIDTH,
        subsequent_indent=INDENT,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines).replace("\0", " ")


def chosen(found: Counterexample) -> list[tuple[int, Step]]:
    """Return the steps that are choices of the schedule, each with its number.

    Where a transaction was opened by a read that is left out, its first step that is not left
    out has the BEGIN: a READ COMMITTED transaction takes no snapshot with it.
    """
    left: dict[int, str] = {}
    steps = []
    for number, step in enumerate(found.steps):
        if step.background:
            left[step.client] = step.begin or left.get(step.client, "")
            if step.kind != "statement":
                left.pop(step.client)
            continue
        begin = left.pop(step.client, "") or step.begin
        steps.append((number, replace(step, begin=begin)))
    return steps


def _head(found: Counterexample) -> Iterator[str]:
    version = f"{found.server_version // 10000}.{found.server_version % 10000}"
    what = f"Strategy {found.strategy}, shape {found.shape}"
    if found.shape == PROGRAM:
        what = f"The program {found.strategy}"
    yield f"-- {what}, {found.clients} clients, {found.isolation}, PostgreSQL {version}"
    for reply in found.replies:
        yield f"-- {labels.client(reply.client)} asks: {reply.asked}"
    if found.shape != PROGRAM:
        yield from _rows("Before", found.before)


def _body(found: Counterexample) -> Iterator[str]:
    steps = dict(chosen(found))
    for number in range(len(found.steps)):
        if number in steps:
            yield from _step(number, steps[number], found)
        for breach in found.breaches:
            if breach.step == number:
                yield f"-- HERE. {labels.breach(breach)}"


def _step(number: int, step: Step, found: Counterexample) -> Iterator[str]:
    name = labels.client(step.client)
    if step.begin:
        yield f"{step.begin}; -- {name}"
    if step.fault:
        yield f"-- {name}, {labels.fault(step)}: {statement(step.sql)}"
        return
    if step.kind == "start":
        yield f"-- {name} starts{f', and {step.answer}' if step.answer else ''}"
        return
    blocks = f", BLOCKS: waits for {labels.clients(step.waited_for)}" if step.waited else ""
    if step.kind == "write":
        yield f"-- {name} goes on and writes{blocks}"
    else:
        yield f"{statement(step.sql)}; -- {name}{blocks}"
    if step.answered_at == number and step.kind in ("statement", "write"):
        yield f"--   {_answer(step)}"
    if step.answered_at is None:
        yield "--   never answered"
    for earlier in found.steps[:number]:
        if earlier.answered_at == number:
            yield f"--   {labels.client(earlier.client)} goes on: {_answer(earlier)}"
    if step.server_decided:
        yield "--   Who goes on here, and in which order, was the server's decision."


def _answer(step: Step) -> str:
    return " ".join(step.answer.split()).rstrip(": ") or "answered"


def _end(found: Counterexample) -> Iterator[str]:
    for reply in found.replies:
        yield f"-- {labels.client(reply.client)} was told: {_reply(reply)}"
    if found.shape != PROGRAM:
        yield from _rows("After", found.after)
    for row in found.stored:
        yield f"-- stored: {row}"
    if found.varied:
        yield "-- Repeating this schedule gave other outcomes too."


def _reply(reply: ClientReply) -> str:
    told = reply.outcome
    if reply.appointment_id is not None:
        told += f", appointment {reply.appointment_id}"
    if reply.place:
        told += f" with {reply.place}"
    if reply.replayed:
        told += " again"
    if reply.taken_by is not None:
        told += f" with appointment {reply.taken_by}"
    if reply.attempts > 1:
        told += f", after {reply.attempts} attempts"
    return told


def _rows(when: str, rows: tuple[StoredRow, ...]) -> Iterator[str]:
    if not rows:
        yield f"-- {when}: no appointment"
        return
    yield f"-- {when}:"
    for row in rows:
        key = f", key {row.key!r}" if row.key else ""
        yield (
            f"--   {row.id}: staff {row.staff}, {row.starts[:16].replace('T', ' ')}"
            f" to {row.ends[11:16]}, {row.status}, {labels.people(row.client)}{key}"
        )
