"""What was seen in a round, checked against the properties.

A round is judged from outside: the rows before it, what every client asked and was told, and the
rows after it. Nothing is assumed about locks.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from dataclasses import asdict, dataclass, replace
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

from sqlalchemy import text

from experiments.judge.linearize import linearizable, operations
from experiments.scenes.replies import CLIENT_ELSEWHERE, EXCUSED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from experiments.scenes.places import Place
    from experiments.scenes.replies import Answer, Reply
    from experiments.scenes.rows import Row
    from experiments.scenes.shapes import Call
    from experiments.scenes.stage import Stage

SERVED = ("booked", "conflict", "cancelled", "closed", "invalid")
ANSWERS = (*SERVED, "busy", "unknown", "unavailable", EXCUSED)

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
        refused_neighbours: Refusals without a rival that overlaps, or without an appointment of
            the client's somewhere else (good neighbours).
        repeated_bookings: Further appointments under one idempotency key (same key, one booking).
        clients_in_two_places: Pairs of confirmed appointments of one client, with different
            staff, that overlap (one client, one place).
        unanswered: Requests that ended in an error, or never (an answer for everybody).
    """

    double_bookings: int = 0
    dishonest_replies: int = 0
    lost_sales: int = 0
    refused_neighbours: int = 0
    repeated_bookings: int = 0
    clients_in_two_places: int = 0
    unanswered: int = 0

    def __bool__(self) -> bool:
        return any(asdict(self).values())


class _Unsold(NamedTuple):
    """A slot that stayed free although somebody asked for it."""

    place: Place
    outcome: str
    client_id: str | None

    def excludes(self, other: _Unsold) -> bool:
        """Whether one of the two is all that could have been sold."""
        same = self.client_id is not None and self.client_id == other.client_id
        return self.place.overlaps(other.place) or (same and self.place.excludes(other.place))


def judge_round(
    stage: Stage, answers: Sequence[Answer], times: Sequence[tuple[float, float]]
) -> Faults:
    """Check what the clients on a stage were told against the rows, now that everybody is done.

    Args:
        stage: Where the round was played.
        answers: How each client's call ended.
        times: When each was asked and answered.
    """
    with stage.control.connect() as connection:
        double_bookings = connection.execute(DOUBLE_BOOKINGS).scalar_one()
    return explain(
        stage.scene.calls,
        [answer.reply for answer in answers],
        times,
        stage.existing,
        stage.before,
        stage.rows(),
        double_bookings=double_bookings,
    )


def explain(  # noqa: PLR0913, PLR0917 - a round has as many sides
    calls: Sequence[Call],
    replies: Sequence[Reply],
    times: Sequence[tuple[float, float]],
    existing: Sequence[int],
    before: Mapping[int, Row],
    after: Mapping[int, Row],
    *,
    double_bookings: int,
) -> Faults:
    """Check a round: some order of the requests must explain it all, and all be answered.

    Where nothing explains it, `judge` finds out which properties are broken.

    Args:
        calls: What each client asked.
        replies: What each was told, in the same order.
        times: When each was asked and answered.
        existing: The ids of the scene's appointments.
        before: The rows before the round.
        after: The rows after it.
        double_bookings: What the database said about overlaps.
    """
    asked = operations(calls, replies, times, existing)
    explained = linearizable(asked, before, after)
    faults = judge(calls, replies, existing, before, after, double_bookings=double_bookings)
    if not explained:
        return faults or replace(faults, dishonest_replies=1)
    # What an order explains is right, whatever it looks like; but for what no order speaks of.
    strays = sum(row.strays for row in after.values())
    return Faults(
        double_bookings=double_bookings,
        dishonest_replies=strays,
        lost_sales=0 if all(map(_is_served, replies)) else faults.lost_sales,
        unanswered=faults.unanswered,
    )


def _is_served(reply: Reply) -> bool:
    return reply.outcome in SERVED


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
    stood = _stood(asked, before, after)
    whose = {row.id: row.client_id for row in (*before.values(), *after.values())}
    owners = Counter(
        reply.appointment_id
        for call, reply in asked
        if call.operation == "book" and reply.outcome == "booked" and not reply.replayed
    )
    unknown = sum(reply.outcome == "unknown" for reply in replies)
    errors = sum(reply.outcome not in ANSWERS for reply in replies)
    dishonest = sum(count - 1 for count in owners.values())
    dishonest += sum(row.strays for row in after.values())
    dishonest += max(0, len(after.keys() - before.keys() - owners.keys()) - unknown)
    unsold: list[_Unsold] = []
    refused = 0
    for call, reply in asked:
        own = None if call.existing is None else existing[call.existing]
        alone = sum(other.existing == call.existing for other in calls) == 1
        dishonest += not _is_true(call, reply, own, before, after, alone=own is None or alone)
        is_elsewhere = reply.code == CLIENT_ELSEWHERE
        if call.place is None or reply.outcome in ("booked", "unknown", "closed", EXCUSED):
            continue
        if reply.outcome == "invalid" and not is_elsewhere:
            continue
        place = reply.place if call.lists and reply.place else call.place
        wanted = _wanted(place, stood.get(own or 0, []) if call.keeps_staff else [])
        client_id = call.client_id or whose.get(own or 0)
        others = {row_id: places for row_id, places in stood.items() if row_id != own}
        rivals = [
            row_id
            for row_id, places in others.items()
            if any(place.overlaps(each) for place in places for each in wanted)
        ]
        elsewhere = client_id is not None and any(
            whose[row_id] == client_id and place.excludes(each)
            for row_id, places in others.items()
            for place in places
            for each in wanted
        )
        untrue = reply.outcome == "conflict" and reply.taken_by not in rivals
        if untrue or (is_elsewhere and not elsewhere):
            dishonest += 1
            refused += 1
        if not rivals and not elsewhere:
            unsold.append(_Unsold(wanted[0], reply.outcome, client_id))
    return Faults(
        double_bookings=double_bookings,
        dishonest_replies=dishonest,
        lost_sales=_lost_sales(unsold),
        refused_neighbours=refused,
        repeated_bookings=_repeated(asked, after),
        clients_in_two_places=_in_two_places(after.values()),
        unanswered=errors,
    )


def _stood(
    asked: Sequence[tuple[Call, Reply]], before: Mapping[int, Row], after: Mapping[int, Row]
) -> dict[int, list[Place]]:
    """Wherever an appointment stood at some time of the round, by its id."""
    stood = {
        row_id: [rows[row_id].place for rows in (before, after) if row_id in rows]
        for row_id in before.keys() | after.keys()
        if row_id not in before or before[row_id].status == "confirmed"
    }
    for call, reply in asked:
        # Where several calls move it, it stood at other places in between.
        if call.operation == "reschedule" and reply.place and reply.appointment_id in stood:
            stood[reply.appointment_id].append(reply.place)
    return stood


def _wanted(place: Place, stood: Sequence[Place]) -> list[Place]:
    """Where a call may have wanted to go: with whoever had the appointment, if it keeps its own."""
    return [replace(place, staff=each.staff) for each in stood] or [place]


def _is_true(  # noqa: PLR0913 - a reply is held against as many things
    call: Call,
    reply: Reply,
    own: int | None,
    before: Mapping[int, Row],
    after: Mapping[int, Row],
    *,
    alone: bool,
) -> bool:
    """Whether the rows agree with a reply: that something was done, or that nothing was.

    Where another call touches the same appointment, there is no row to compare it with; then an
    order of the calls must explain it.
    """
    row = after.get(reply.appointment_id or 0)
    if reply.outcome == "cancelled":
        return row is not None and row.id == own and row.status == "cancelled"
    if reply.outcome != "booked":
        compared = own is not None and reply.outcome != "unknown" and alone
        return not compared or after.get(own or 0) == before.get(own or 0)
    if row is None or call.place is None or own not in (None, row.id):
        return False
    keeper = before[row.id].place.staff if call.keeps_staff and row.id in before else None
    named = replace(call.place, staff=call.place.staff if keeper is None else keeper)
    told = reply.place or named
    open_ended = call.keeps_staff or bool(call.team)
    if not call.lists and (
        told.start != named.start or (told.staff != named.staff and not open_ended)
    ):
        return False
    if not alone:
        return True
    return row.place == told and row.status == "confirmed" and keeper in (None, told.staff)


def _lost_sales(unsold: Sequence[_Unsold]) -> int:
    """How many free slots nobody got, of those that should have been sold."""
    slots: list[list[_Unsold]] = []
    for each in unsold:
        rivals = next((slot for slot in slots if slot[0].excludes(each)), None)
        if rivals is None:
            slots.append(rivals := [])
        rivals.append(each)
    return sum(len(slot) > 1 or slot[0].outcome != "busy" for slot in slots)


def _in_two_places(rows: Iterable[Row]) -> int:
    """How many pairs of confirmed appointments one client can't both keep."""
    of_client: dict[str, list[Place]] = defaultdict(list)
    for row in rows:
        if row.client_id is not None and row.status == "confirmed":
            of_client[row.client_id].append(row.place)
    return sum(
        one.excludes(other)
        for places in of_client.values()
        for one, other in combinations(places, 2)
    )


def _repeated(asked: Sequence[tuple[Call, Reply]], after: Mapping[int, Row]) -> int:
    """How many further appointments stand under a key, or were given to it."""
    under: dict[str, set[int | None]] = defaultdict(set)
    for row in after.values():
        if row.key:
            under[row.key].add(row.id)
    for call, reply in asked:
        if call.full_key and reply.outcome == "booked":
            under[call.full_key].add(reply.appointment_id)
    return sum(len(appointments) - 1 for appointments in under.values())
