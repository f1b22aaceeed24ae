"""What was seen in a round, checked against the properties.

A round is judged from outside: the rows before it, what every client asked and was told, and the
rows after it. Nothing is assumed about locks.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from experiments.scenes.replies import Answer, Reply
    from experiments.scenes.rows import Row
    from experiments.scenes.shapes import Call, Place
    from experiments.scenes.stage import Stage

# Asked of the database itself, whatever the replies were.
DOUBLE_BOOKINGS = text("""
    SELECT count(*)
      FROM appointment AS one
      JOIN appointment AS other
        ON one.id < other.id AND one.staff_id = other.staff_id AND one.blocked && other.blocked
     WHERE one.status = 'confirmed' AND other.status = 'confirmed'
""")


@dataclass(frozen=True, slots=True)
class Faults:
    """How often each property was broken; all zero where none was.

    Attributes:
        double_bookings: Pairs of confirmed appointments that overlap (safety).
        dishonest_replies: Replies that the rows contradict (honest replies).
        lost_sales: Slots that stayed free although somebody asked (no lost sale). A single
            request that was told `busy` does not count: a neighbour may have held the lock.
        refused_neighbours: Conflicts without a rival that overlaps (good neighbours).
        repeated_bookings: Further appointments under one idempotency key (same key, one booking).
    """

    double_bookings: int = 0
    dishonest_replies: int = 0
    lost_sales: int = 0
    refused_neighbours: int = 0
    repeated_bookings: int = 0

    def __bool__(self) -> bool:
        return any(asdict(self).values())


def judge_round(stage: Stage, answers: Sequence[Answer]) -> Faults:
    """Check what the clients on a stage were told against the rows, now that everybody is done.

    Args:
        stage: Where the round was played.
        answers: How each client's call ended.
    """
    with stage.control.connect() as connection:
        double_bookings = connection.execute(DOUBLE_BOOKINGS).scalar_one()
    return judge(
        stage.scene.calls,
        [answer.reply for answer in answers],
        stage.existing,
        stage.before,
        stage.rows(),
        double_bookings=double_bookings,
    )


def judge(  # noqa: PLR0913 - a round has as many sides
    calls: Sequence[Call],
    replies: Sequence[Reply],
    existing: Sequence[int],
    before: Mapping[int, Row],
    after: Mapping[int, Row],
    *,
    double_bookings: int,
) -> Faults:
    """Check a round against the properties.

    Args:
        calls: What each client asked.
        replies: What each was told, in the same order.
        existing: The ids of the scene's appointments.
        before: The rows before the round.
        after: The rows after it.
        double_bookings: What the database said about overlaps.
    """
    asked = list(zip(calls, replies, strict=True))
    # Wherever an appointment stood at some time of the round. Each call moves one at most once.
    stood: dict[int, list[Place]] = {
        row_id: [rows[row_id].place for rows in (before, after) if row_id in rows]
        for row_id in before.keys() | after.keys()
        if row_id not in before or before[row_id].status == "confirmed"
    }
    owners = Counter(
        reply.appointment_id
        for call, reply in asked
        if call.operation == "book" and reply.outcome == "booked" and not reply.replayed
    )
    unknown = sum(reply.outcome == "unknown" for reply in replies)
    dishonest = sum(count - 1 for count in owners.values())
    dishonest += max(0, len(after.keys() - before.keys() - owners.keys()) - unknown)
    unsold: list[tuple[Place, str]] = []
    refused = 0
    for call, reply in asked:
        own = None if call.existing is None else existing[call.existing]
        alone = sum(other.existing == call.existing for other in calls) == 1
        # Where another call touches the same appointment, there is nothing to compare it with.
        dishonest += not _is_true(call, reply, own, before if alone else after, after)
        if call.place is None or reply.outcome in ("booked", "unknown", "invalid"):
            continue
        rivals = [
            row_id
            for row_id, places in stood.items()
            if row_id != own and any(place.overlaps(call.place) for place in places)
        ]
        if reply.outcome == "conflict" and reply.taken_by not in rivals:
            dishonest += 1
            refused += 1
        if not rivals:
            unsold.append((call.place, reply.outcome))
    return Faults(
        double_bookings=double_bookings,
        dishonest_replies=dishonest,
        lost_sales=_lost_sales(unsold),
        refused_neighbours=refused,
        repeated_bookings=_repeated(asked, after),
    )


def _is_true(
    call: Call,
    reply: Reply,
    own: int | None,
    before: Mapping[int, Row],
    after: Mapping[int, Row],
) -> bool:
    """Whether the rows agree with a reply: that something was done, or that nothing was."""
    row = after.get(reply.appointment_id or 0)
    if reply.outcome == "cancelled":
        return row is not None and row.id == own and row.status == "cancelled"
    if reply.outcome != "booked":
        return own is None or reply.outcome == "unknown" or after.get(own) == before.get(own)
    if row is None or row.place != call.place or row.status != "confirmed":
        return False
    return own is None or row.id == own


def _lost_sales(unsold: Sequence[tuple[Place, str]]) -> int:
    """How many free slots nobody got, of those that should have been sold."""
    slots: list[list[tuple[Place, str]]] = []
    for place, outcome in unsold:
        rivals = next((slot for slot in slots if slot[0][0].overlaps(place)), None)
        if rivals is None:
            slots.append(rivals := [])
        rivals.append((place, outcome))
    return sum(len(slot) > 1 or slot[0][1] != "busy" for slot in slots)


def _repeated(asked: Sequence[tuple[Call, Reply]], after: Mapping[int, Row]) -> int:
    """How many further appointments stand under a key, or were given to it."""
    under: dict[str, set[int | None]] = defaultdict(set)
    for row in after.values():
        if row.key:
            under[row.key].add(row.id)
    for call, reply in asked:
        if call.key and reply.outcome == "booked":
            under[call.key].add(reply.appointment_id)
    return sum(len(appointments) - 1 for appointments in under.values())
