"""A schedule as a value: which client's step ran when, what came of it, and what it broke.

A schedule is a list of steps, in the order in which they were let through to the server. A step
is a statement, a COMMIT or a ROLLBACK; a BEGIN is merged with the statement that follows it,
since it takes neither a snapshot nor a lock. A statement that looks at what others write, and then
writes, is held back in between: what it writes is a step of its own. Where clients wait for each
other inside of their program, a client's start is a step as well. A step that has to wait in the
server is answered later, while another client's step runs: `answered_at` is the number of that
step. Steps are numbered by their position in the list, clients from 0; pictures may call client 0
"T1".

A `Counterexample` adds what is needed to play the schedule again on another machine (strategy,
shape, clients, tries, the server's version) and what was seen: replies, rows before and after, and
which property broke at which step. It is written as JSON and read back without loss.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from itertools import combinations, pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

if TYPE_CHECKING:
    from collections.abc import Iterable

FORMAT = 1
"""The version of the JSON; it changes when older files can't be read any more."""

PROGRAM = "program"
"""Stands for the shape where what was explored is no strategy, but somebody's program."""

Kind = Literal["statement", "write", "commit", "rollback", "start"]

LOOKED = "has looked, is about to write"
WROTE = "has written, is about to write again"
"""The answers of a statement that is held back before it writes."""


class UnreadableSchedule(ValueError):
    """A text is no counterexample, or one of another format."""


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a schedule.

    Attributes:
        client: Whose it is.
        kind: What it is; `write` where a statement goes on that was held back before it wrote.
        sql: What was sent, parameters rendered; `COMMIT` or `ROLLBACK` for those kinds, a comment
            for a start. Of a statement that goes on: the statement.
        begin: The BEGIN that was sent just before it, where it opened a transaction; with its
            isolation level. Empty within a transaction, and where it is one by itself.
        answer: What came back, in words: `1 row: 7`, `no row`, `1 row inserted`, an error's text.
        rows: The rows that came back, each value as PostgreSQL wrote it.
        error: The SQLSTATE, where an error came back.
        waited_for: The clients for whom it waited in the server, as PostgreSQL said; empty where
            it was answered at once.
        answered_at: The number of the step during which the answer came; its own where it did not
            wait; None where no answer ever came.
        server_decided: Whether it let several clients go on at once, so that their order was the
            server's decision and may vary.
        background: Whether it reads only what nobody writes. Such a step commutes with every
            other; it is let through as soon as it comes and is no choice of the schedule.
        fault: What went wrong with it, as a name of `experiments.schedules.labels.FAULTS`.
    """

    client: int
    kind: Kind
    sql: str
    begin: str = ""
    answer: str = ""
    rows: tuple[tuple[str | None, ...], ...] = ()
    error: str = ""
    waited_for: tuple[int, ...] = ()
    answered_at: int | None = None
    server_decided: bool = False
    background: bool = False
    fault: str = ""

    @property
    def waited(self) -> bool:
        """Whether it waited in the server."""
        return bool(self.waited_for)

    @property
    def halted(self) -> bool:
        """Whether it was held back before it wrote; another step then goes on with it."""
        return self.answer in (LOOKED, WROTE) and not self.error


@dataclass(frozen=True, slots=True)
class StoredRow:
    """An appointment as it stood in the table; instants in ISO 8601, UTC."""

    id: int
    staff: int
    client: str
    starts: str
    ends: str
    status: str
    key: str | None = None
    client_id: str | None = None


def double_bookings(rows: Iterable[StoredRow]) -> list[tuple[StoredRow, StoredRow]]:
    """Return the pairs of confirmed appointments of one staff member that overlap."""
    confirmed = [row for row in rows if row.status == "confirmed"]
    return [
        (one, other)
        for one, other in combinations(confirmed, 2)
        # Instants in one zone and one format are ordered as their texts are.
        if one.staff == other.staff and one.starts < other.ends and other.starts < one.ends
    ]


@dataclass(frozen=True, slots=True)
class ClientReply:
    """What a client was told.

    Attributes:
        client: Which client.
        asked: What it asked for, in words.
        outcome: How the request ended.
        appointment_id: The appointment that it was given or that it cancelled.
        taken_by: The appointment that a conflict named.
        replayed: Whether an earlier request with the same key had booked it.
        attempts: How many times the transaction was tried.
        detail: An error's text.
        invoked: The number of its first step; None where it had none.
        replied: The number of the step after which it was told.
        place: Where it was told that the appointment is, in words, if it left that open.
    """

    client: int
    asked: str
    outcome: str
    appointment_id: int | None = None
    taken_by: int | None = None
    replayed: bool = False
    attempts: int = 1
    detail: str = ""
    invoked: int | None = None
    replied: int | None = None
    place: str = ""


@dataclass(frozen=True, slots=True)
class Breach:
    """A property that broke.

    Attributes:
        broke: Which, as a name of `experiments.judge.history.Faults`.
        step: The number of the step at which it broke.
        words: What happened, for people.
    """

    broke: str
    step: int
    words: str


@dataclass(frozen=True, slots=True)
class Counterexample:
    """A schedule that breaks a property, with all that is needed to play it again.

    Attributes:
        strategy: The strategy's name, or `module:attribute`.
        shape: The shape's name.
        clients: How many.
        attempts: How many tries a request had (the explorer bounds them).
        backstop: Whether the exclusion constraint stood behind the strategy; None for the
            strategy's own need.
        isolation: The isolation level of the booking transaction.
        server_version: The server's version, as `server_version_num`.
        search: The kind of search that found it.
        steps: The schedule.
        replies: What each client was told.
        before: The rows with which it began.
        after: The rows with which it ended.
        breaches: What broke.
        varied: Whether repeating the schedule gave other outcomes too.
        stored: What was stored in the end, in words, where that is no appointments.
    """

    strategy: str
    shape: str
    clients: int
    attempts: int
    backstop: bool | None
    isolation: str
    server_version: int
    search: str
    steps: tuple[Step, ...]
    replies: tuple[ClientReply, ...]
    before: tuple[StoredRow, ...]
    after: tuple[StoredRow, ...]
    breaches: tuple[Breach, ...]
    varied: bool = False
    stored: tuple[str, ...] = ()

    @property
    def choices(self) -> tuple[tuple[int, str], ...]:
        """Whose step was taken each time, and its fault: all that a replay has to follow."""
        return tuple((step.client, step.fault) for step in self.steps if not step.background)

    @property
    def preemptions(self) -> int:
        """How often a client was passed over although it could have gone on."""
        chosen = [(number, step) for number, step in enumerate(self.steps) if not step.background]
        last = {step.client: number for number, step in chosen}
        return sum(
            # Who waits, or has sent its last step, is not passed over.
            here.client != after.client and here.answered_at == number < last[here.client]
            for (number, here), (_, after) in pairwise(chosen)
        )

    def as_dict(self) -> dict[str, Any]:
        """Return it as plain values, as they are written to JSON."""
        values = {"format": FORMAT, **asdict(self)}
        # What came later is left out where there is nothing to say, as in older files.
        for step in values["steps"]:
            if not step["fault"]:
                del step["fault"]
        if not self.stored:
            del values["stored"]
        return values

    def to_json(self) -> str:
        """Return it as JSON, one that people can read."""
        return json.dumps(self.as_dict(), indent=2, ensure_ascii=False) + "\n"

    def save(self, path: str | Path) -> None:
        """Write it to a file as JSON."""
        Path(path).write_text(self.to_json(), encoding="utf-8")

    @classmethod
    def from_json(cls, written: str) -> Self:
        """Read what `to_json` wrote.

        Raises:
            UnreadableSchedule: It is something else.
        """
        try:
            return cls.from_dict(json.loads(written))
        except json.JSONDecodeError as error:
            raise UnreadableSchedule(f"This is no JSON: {error}.") from error

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """Make one of what `as_dict` returned.

        Raises:
            UnreadableSchedule: It is something else.
        """
        if not isinstance(values, dict) or values.get("format") != FORMAT:
            raise UnreadableSchedule(f"This is no counterexample of format {FORMAT}.")
        rest = {name: value for name, value in values.items() if name != "format"}
        try:
            return cls(
                **rest
                | {
                    "steps": tuple(_step(step) for step in rest["steps"]),
                    "replies": tuple(ClientReply(**reply) for reply in rest["replies"]),
                    "before": tuple(StoredRow(**row) for row in rest["before"]),
                    "after": tuple(StoredRow(**row) for row in rest["after"]),
                    "stored": tuple(rest.get("stored", ())),
                    "breaches": tuple(Breach(**breach) for breach in rest["breaches"]),
                }
            )
        except (KeyError, TypeError) as error:
            raise UnreadableSchedule(f"This counterexample can't be read: {error}.") from error

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a file that `save` wrote.

        Raises:
            UnreadableSchedule: It holds something else.
        """
        return cls.from_json(Path(path).read_text(encoding="utf-8"))


def _step(values: dict[str, Any]) -> Step:
    return Step(
        **values
        | {
            "rows": tuple(tuple(row) for row in values["rows"]),
            "waited_for": tuple(values["waited_for"]),
        }
    )
