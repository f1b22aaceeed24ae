"""What a step does and what came of it, in a few words, for pictures and for talks.

The words say what the booking code means by a statement; the statement itself is in the
transcript. SQL that is not known is quoted, shortened.
"""

from __future__ import annotations

import re
from textwrap import shorten
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from experiments.schedules.schedule import Breach, Step

PROPERTIES = {
    "double_bookings": "safety",
    "dishonest_replies": "honest replies",
    "lost_sales": "no lost sale",
    "refused_neighbours": "good neighbours",
    "repeated_bookings": "same key, one booking",
    "clients_in_two_places": "one client, one place",
    "unanswered": "an answer for everybody",
}
"""The property that each kind of fault breaks."""

LONGEST = 34  # characters of quoted SQL
ERRORS = {
    "40001": "serialization failure",
    "40P01": "deadlock",
    "23P01": "refused by the constraint",
    "23505": "refused by the unique index",
    "55P03": "lock not available",
    "ZC001": "the client is elsewhere",
}

# The first that matches wins; groups are quoted.
_LABELS: tuple[tuple[str, str], ...] = (
    (r"pg_try_advisory\w*\(hashtextextended\('([^']*)'", "try to lock the key {0}"),
    (r"pg_advisory_(?:xact_)?lock\(hashtextextended\('([^']*)'", "lock the key {0}"),
    (r"pg_try_advisory", "try to lock the calendar"),
    (r"pg_advisory_unlock", "unlock the calendar"),
    (r"pg_advisory_xact_lock\(\d+, hashtext\(", "lock the client"),
    (r"pg_advisory_(?:xact_)?lock", "lock the calendar"),
    (r"^lock table (\w+)", "lock the table {0}"),
    (r"from staff\b.* for (no key update|update|share|key share)( nowait| skip locked)?",
     "lock the staff row (for {0}{1})"),
    (r"^(?:select|with).* from (?:appointment).*blocked.* for update( skip locked)?",
     "check the slot, for update{0}"),
    (r"^select.* from appointment.*blocked", "check the slot"),
    (r"^select.* from appointment.*idempotency_key = ", "look up the key"),
    (r"^select.* from appointment.*client_id = ", "look for the client elsewhere"),
    (r"^select.* from appointment\b.* for update", "lock the appointment"),
    (r"^select.* from appointment\b", "look up the appointment"),
    (r"^insert into appointment.*on conflict do nothing", "insert, unless it conflicts"),
    (r"^insert into appointment", "insert"),
    (r"^with \w+ as \(\s*insert into claim", "claim and insert"),
    (r"^with rival as .*update appointment", "check the slot and move"),
    (r"^with rival as .*insert into appointment", "check the slot and insert"),
    (r"^with moved as ", "move the appointment"),
    (r"^update appointment set status", "cancel the appointment"),
    (r"^update appointment", "move the appointment"),
    (r"^delete from appointment", "delete it again"),
    (r"^update claim", "move the claim"),
    (r"^delete from claim", "give the claim back"),
    (r"^update staff set \w*version", "raise the version, if unchanged"),
    (r"^select.* from (?:service|staff join location)", "read the rules"),
    (r"^select.*version.* from staff", "read the calendar's version"),
    (r"^insert into change", "remember the key"),
)  # fmt: skip


def action(step: Step) -> str:
    """Say what a step does."""
    if step.kind == "write":
        return "go on and write"
    if step.kind != "statement":
        return step.kind.upper()
    return worded(step.sql)


def worded(sql: str) -> str:
    """Say what a statement does, given its text."""
    text = " ".join(tidy(sql).split())
    for pattern, words in _LABELS:
        if found := re.search(pattern, text, re.IGNORECASE):
            return words.format(*((group or "").lower() for group in found.groups()))
    called = re.search(r"^select .*?\b(book\w*|\w*slot\w*)\(", text, re.IGNORECASE)
    if called:
        return f"call {called[1]}()"
    return shorten(text, LONGEST, placeholder=" …")


FAULTS = {
    "cut": "the connection breaks before it is sent",
    "lost answer": "it is executed, and its answer is lost",
    "ended": "the server ends the session before it",
    "ended while waiting": "the server ends the session that waits",
}


def fault(step: Step) -> str:
    """Say what goes wrong with a step; empty where nothing does."""
    return FAULTS.get(step.fault, step.fault)


def outcome(step: Step) -> str:
    """Say what came of a step; empty where its action says it all."""
    if step.fault:
        return f"⚡ {fault(step)}"
    if step.error:
        return ERRORS.get(step.error, f"error {step.error}")
    if step.halted:
        return step.answer
    if step.kind not in ("statement", "write"):
        return step.answer if step.kind == "start" else ""
    first = step.rows[0][0] if step.rows else None
    what = worded(step.sql)
    meanings: tuple[tuple[str, Callable[[], str]], ...] = (
        ("check the slot and", lambda: _claimed(step)),
        ("look for", lambda: f"there, appointment {first}" if step.rows else "not there"),
        ("check", lambda: f"taken by appointment {first}" if step.rows else "it is free"),
        ("try to lock", lambda: "got it" if first in ("t", "1") else "refused"),
        ("insert", lambda: f"appointment {first}" if step.rows else "nothing inserted"),
        ("claim and insert", lambda: f"appointment {first}" if step.rows else "nothing inserted"),
        ("lock", lambda: "no row got" if "row" in what and not step.rows else "got it"),
        ("move the app", lambda: "moved" if step.rows else "nothing moved"),
        ("unlock", lambda: "let go"),
    )
    for beginning, meaning in meanings:
        if what.startswith(beginning):
            return meaning()
    return shorten(step.answer, LONGEST, placeholder=" …")


def _claimed(step: Step) -> str:
    """Say what came of a statement that returns an appointment's id and its rival's."""
    appointment, rival = step.rows[0]
    if appointment is not None:
        return f"appointment {appointment}"
    return f"taken by appointment {rival}" if rival is not None else "nothing written"


def client(number: int) -> str:
    """Name a client as transcripts and pictures do."""
    return f"T{number + 1}"


def clients(numbers: tuple[int, ...]) -> str:
    """Name several clients."""
    return " and ".join(client(number) for number in numbers)


def breach(broken: Breach) -> str:
    """Say which property broke, and how."""
    name = PROPERTIES.get(broken.broke, broken.broke)
    return f"Broken: {name} ({people(broken.words)})"


def people(words: str) -> str:
    """Call clients what transcripts and pictures call them: whoever is `Client 0` is T1."""
    return re.sub(r"\bClient (\d+)\b", lambda found: client(int(found[1])), words)


def tidy(sql: str) -> str:
    """Leave out casts that SQLAlchemy adds and digests that nobody reads; it stays valid SQL."""
    text = re.sub(
        r"\b(\d+|NULL)::(?:INTEGER|BIGINT|VARCHAR)\b(?!\[)", r"\1", sql, flags=re.IGNORECASE
    )
    text = re.sub(r"('(?:[^']|'')*')::(?:VARCHAR|TEXT)\b", r"\1", text)
    text = text.replace("::tstzrange::TSTZRANGE", "::tstzrange")
    return re.sub(r"'([0-9a-f]{6})[0-9a-f]{58}'", r"'\1…'", text)
