"""Whether replies can be explained by an order: a calendar that can be executed, and a search.

Clients ask at the same time, and each is told something. The replies are right if there is *one*
order of the requests in which a plain calendar, serving one request after the other, would have
told each the same; an order that agrees with time, so that who was answered before another asked
comes first. That is linearizability (Herlihy and Wing, 1990), and the search for such an order is
Wing and Gong's, with a memory of the states that led nowhere (Lowe, 2017).

A request whose answer was lost may have taken effect at any later time, or never. One that was
answered `busy` or with an error had no effect. Who moves an appointment without naming a member of
staff leaves it with whoever has it then, so the replies must say where that was.

A refusal needs a reason as well: the appointment is no longer confirmed, the key belongs to another
request, the client is elsewhere, or nobody works then.

Slots that don't overlap don't know of each other, so each part of a calendar is searched by
itself. What joins two parts is a request that touches both: an appointment that is moved, an
idempotency key that was used in both, a client who can't be in two places.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from experiments.scenes.places import Place
from experiments.scenes.replies import CLIENT_ELSEWHERE, KEY_REUSED

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence

    from experiments.scenes.replies import Reply
    from experiments.scenes.rows import Row
    from experiments.scenes.shapes import Call

NEVER = float("inf")


@dataclass(frozen=True, slots=True)
class Operation:
    """A request and its reply.

    Attributes:
        call: What was asked.
        reply: What was told.
        invoked: When it was asked; any numbers will do that grow with time.
        replied: When it was told; `NEVER` where the answer was lost.
        existing: The id of the appointment that a cancel or reschedule is about.
    """

    call: Call
    reply: Reply
    invoked: float
    replied: float = NEVER
    existing: int | None = None

    @property
    def lost(self) -> bool:
        """Whether nobody was told how it ended."""
        return self.reply.outcome == "unknown"


def operations(
    calls: Sequence[Call],
    replies: Sequence[Reply],
    times: Sequence[tuple[float, float]],
    existing: Sequence[int],
) -> list[Operation]:
    """Return what the clients asked and were told.

    Args:
        calls: What each asked.
        replies: What each was told.
        times: When each asked, and when it was told.
        existing: The ids of the scene's appointments.
    """
    return [
        Operation(
            call,
            reply,
            invoked,
            NEVER if reply.outcome == "unknown" else replied,
            None if call.existing is None else existing[call.existing],
        )
        for call, reply, (invoked, replied) in zip(calls, replies, times, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class Calendar:
    """Appointments as they stand: a sequential model of what the service promises.

    Attributes:
        confirmed: Where each confirmed appointment is.
        cancelled: The appointments that were cancelled.
        keys: The appointment that each idempotency key booked.
        clients: Whose each appointment is, where clients can't be in two places.
        closed: When somebody has time off that was not there at first.
        asked: What was asked for under each key. It follows from who used the key, so that two
            calendars are not compared by it.
    """

    confirmed: frozenset[tuple[int, Place]] = frozenset()
    cancelled: frozenset[int] = frozenset()
    keys: frozenset[tuple[str, int]] = frozenset()
    clients: frozenset[tuple[int, str]] = frozenset()
    closed: frozenset[Place] = frozenset()
    asked: frozenset[tuple[str, Hashable]] = field(default=frozenset(), compare=False)

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Calendar:
        """Return the calendar that these rows make."""
        rows = list(rows)
        return cls(
            frozenset((row.id, row.place) for row in rows if row.status == "confirmed"),
            frozenset(row.id for row in rows if row.status == "cancelled"),
            frozenset((row.key, row.id) for row in rows if row.key),
            frozenset((row.id, row.client_id) for row in rows if row.client_id),
            asked=frozenset((row.key, _asked(row.place, row.client_id)) for row in rows if row.key),
        )

    def after(self, operation: Operation) -> Calendar | None:
        """Serve one request.

        Args:
            operation: The request.

        Returns:
            The calendar afterwards, or None where the reply is not what it would have said.
        """
        outcome = operation.reply.outcome
        if outcome == "booked":
            return self._booked(operation)
        if outcome == "cancelled":
            return self._cancelled(operation.existing)
        if outcome == "conflict":
            return self if self._taken(operation) else None
        if outcome == "invalid":
            return self if self._refuses(operation) else None
        if outcome == "closed" and operation.call.place:
            return replace(self, closed=self.closed | {operation.call.place})
        return self

    def _refuses(self, operation: Operation) -> bool:
        """Whether there is a reason to refuse a request."""
        call, code, own = operation.call, operation.reply.code, operation.existing
        if code == CLIENT_ELSEWHERE:
            place, who = self._target(operation), self._client(operation)
            return place is not None and self._elsewhere(place, who, own)
        if code == KEY_REUSED:
            return not self._answers(call) and call.full_key in dict(self.keys)
        if own is not None and own not in dict(self.confirmed):
            return True
        target = self._target(operation)
        return target is not None and not any(map(self._open, _for(call, target)))

    def _answers(self, call: Call) -> bool:
        """Whether a call's key was used for the same before."""
        asked = dict(self.asked).get(call.full_key or "")
        return asked is not None and asked == _asked_by(call)

    def _open(self, place: Place) -> bool:
        return not any(
            place.staff == each.staff and place.during.overlaps(each.during) for each in self.closed
        )

    def effects_of_lost(self, operation: Operation, after: Mapping[int, Row]) -> list[Calendar]:
        """Return what a request may have done whose answer was lost, besides nothing."""
        call = operation.call
        if call.operation == "cancel":
            found = self._cancelled(operation.existing)
            return [found] if found else []
        assert call.place is not None
        if call.operation == "reschedule":
            found = self._moved(operation)
            return [found] if found else []
        known = dict(self.confirmed)
        return [
            booked
            for row in after.values()
            if row.place in _for(call, call.place) and row.key == call.full_key
            if row.id not in known and (booked := self._added(row.id, call, row.place)) is not None
        ]

    def _booked(self, operation: Operation) -> Calendar | None:
        call, reply = operation.call, operation.reply
        if call.place is None or reply.appointment_id is None:
            return None
        if operation.existing is not None:
            told = reply.place in (None, self._target(operation))
            same = reply.appointment_id == operation.existing
            return self._moved(operation) if told and same else None
        if call.full_key in dict(self.keys):
            same = dict(self.keys)[call.full_key] == reply.appointment_id
            return self if same and self._answers(call) else None
        place = reply.place or call.place
        if reply.replayed or place not in _for(call, self._target(operation)):
            return None  # there was nothing to be given again
        return self._added(reply.appointment_id, call, place)

    def _added(self, appointment_id: int, call: Call, place: Place) -> Calendar | None:
        used = appointment_id in dict(self.confirmed) or appointment_id in self.cancelled
        key, who = call.full_key, call.client_id
        if used or not self._free(place, who):
            return None
        return replace(
            self,
            confirmed=self.confirmed | {(appointment_id, place)},
            keys=self.keys | {(key, appointment_id)} if key else self.keys,
            clients=self.clients | {(appointment_id, who)} if who else self.clients,
            asked=self.asked | {(key, _asked_by(call))} if key else self.asked,
        )

    def _moved(self, operation: Operation) -> Calendar | None:
        appointment_id, place = operation.existing, self._target(operation)
        before = dict(self.confirmed).get(appointment_id or 0)
        if appointment_id is None or before is None or place is None:
            return None
        if not self._free(place, self._client(operation), appointment_id):
            return None
        others = self.confirmed - {(appointment_id, before)}
        return replace(self, confirmed=others | {(appointment_id, place)})

    def _target(self, operation: Operation) -> Place | None:
        """Where a request would be, as things stand; with the first, where anybody will do."""
        place = operation.call.place
        if operation.call.lists and operation.reply.place:
            return operation.reply.place
        if place is None or not operation.call.keeps_staff:
            return place
        here = dict(self.confirmed).get(operation.existing or 0)
        return replace(place, staff=here.staff) if here else None

    def _client(self, operation: Operation) -> str | None:
        return operation.call.client_id or dict(self.clients).get(operation.existing or 0)

    def _cancelled(self, appointment_id: int | None) -> Calendar | None:
        place = dict(self.confirmed).get(appointment_id or 0)
        if appointment_id is None or place is None:
            return None
        return replace(
            self,
            confirmed=self.confirmed - {(appointment_id, place)},
            cancelled=self.cancelled | {appointment_id},
        )

    def _taken(self, operation: Operation) -> bool:
        """Whether somebody has what was asked for, and is the one who was named."""
        call, own = operation.call, operation.existing
        target = self._target(operation)
        if target is None or call.full_key in dict(self.keys):
            return False
        places = [place for place in _for(call, target) if self._open(place)]
        rivals = {place: self._rivals(place, own) for place in places}
        named = operation.reply.taken_by
        return all(rivals.values()) and any(named in each for each in rivals.values())

    def _rivals(self, place: Place, but_for: int | None) -> set[int]:
        return {
            appointment_id
            for appointment_id, other in self.confirmed
            if appointment_id != but_for and other.overlaps(place)
        }

    def _free(self, place: Place, client_id: str | None, but_for: int | None = None) -> bool:
        return (
            self._open(place)
            and not self._elsewhere(place, client_id, but_for)
            and not self._rivals(place, but_for)
        )

    def _elsewhere(self, place: Place, client_id: str | None, but_for: int | None = None) -> bool:
        """Whether the client is somewhere else then."""
        if client_id is None:
            return False
        clients = dict(self.clients)
        return any(
            other.excludes(place)
            for appointment_id, other in self.confirmed
            if appointment_id != but_for and clients.get(appointment_id) == client_id
        )


def _for(call: Call, place: Place | None) -> list[Place]:
    """Where a request may end up that would be at a place, as far as it leaves that open."""
    if place is None:
        return []
    return [replace(place, staff=each) for each in call.team] or [place]


def _asked(place: Place | None, client_id: str | None) -> Hashable:
    """What a key stands for; without a place's staff where anybody will do."""
    return place, client_id


def _asked_by(call: Call) -> Hashable:
    place = replace(call.place, staff=-1) if call.place and call.team else call.place
    return _asked(place, call.client_id)


def linearizable(
    operations: Sequence[Operation], before: Mapping[int, Row], after: Mapping[int, Row]
) -> bool:
    """Whether some order of the requests explains all replies and leads to these rows.

    Args:
        operations: The requests with their replies.
        before: The rows before the first of them.
        after: The rows after the last.
    """
    return all(_explained(*part, after) for part in _parts(operations, before, after))


def _explained(
    operations: Sequence[Operation], start: Calendar, end: Calendar, after: Mapping[int, Row]
) -> bool:
    """Search for an order, depth first."""
    todo = frozenset(range(len(operations)))
    led_nowhere: set[tuple[frozenset[int], Calendar]] = set()
    stack = [(todo, start)]
    while stack:
        left, calendar = stack.pop()
        left = _without_idle(operations, left, calendar)
        if (left, calendar) in led_nowhere:
            continue
        led_nowhere.add((left, calendar))
        # A lost request may never take effect, so none has to be served.
        rows = replace(calendar, closed=frozenset())
        if rows == end and all(operations[each].lost for each in left):
            return True
        for each in _first(operations, left):
            operation = operations[each]
            if operation.lost:
                following = calendar.effects_of_lost(operation, after)
            else:
                served = calendar.after(operation)
                following = [] if served is None else [served]
            stack += [(left - {each}, found) for found in following]
    return False


def _without_idle(
    operations: Sequence[Operation], left: frozenset[int], calendar: Calendar
) -> frozenset[int]:
    """Serve at once whoever may be served and would never change anything: that can't be wrong."""
    while idle := {
        each
        for each in _first(operations, left)
        if not operations[each].lost
        and not _moves(operations[each])
        and calendar.after(operations[each]) == calendar
    }:
        left -= idle
    return left


def _moves(operation: Operation) -> bool:
    """Whether a request is a move that succeeded: onto where it stands now, or back to there."""
    return operation.call.operation == "reschedule" and operation.reply.outcome == "booked"


def _first(operations: Sequence[Operation], left: frozenset[int]) -> list[int]:
    """Who may come first of those that are left: nobody was answered before they asked.

    Of requests that are alike in all but time, the one that was answered first will do.
    """
    earliest = min((operations[each].replied for each in left), default=NEVER)
    found: dict[Hashable, int] = {}
    for each in sorted(left, key=lambda each: operations[each].replied):
        operation = operations[each]
        if operation.invoked <= earliest:
            found.setdefault((operation.call, operation.reply, operation.existing), each)
    return list(found.values())


def _parts(
    operations: Sequence[Operation], before: Mapping[int, Row], after: Mapping[int, Row]
) -> Iterator[tuple[list[Operation], Calendar, Calendar]]:
    """Give what can be judged apart: requests, the calendar that they find, the one they leave."""
    staff: dict[int | None, set[int]] = defaultdict(set)
    rows = [*before.values(), *after.values()]
    for row in rows:
        staff[row.id].add(row.place.staff)
    for each in operations:
        if each.call.place and not each.call.keeps_staff:
            staff[each.existing].add(each.call.place.staff)
    about = [_about(each, staff[each.existing]) for each in operations]
    home = _joined([*about, *map(_about_row, rows)])
    those: dict[int, list[Operation]] = defaultdict(list)
    for each, words in zip(operations, about, strict=True):
        those[home[words[0]] if words else -1].append(each)
    found: dict[int, list[Row]] = defaultdict(list)
    left: dict[int, list[Row]] = defaultdict(list)
    for which, parts in ((before, found), (after, left)):
        for row in which.values():
            parts[home[row.place]].append(row)
    for part in those.keys() | found.keys() | left.keys():
        yield those[part], Calendar.of(found[part]), Calendar.of(left[part])


def _about(operation: Operation, staff: Iterable[int]) -> list[Hashable]:
    """What a request has to do with: places, appointments, its key, its client."""
    call, reply = operation.call, operation.reply
    places = [call.place, reply.place]
    if call.place:
        kept = staff if call.keeps_staff else ()
        places += [replace(call.place, staff=each) for each in (*kept, *call.team)]
    named = (operation.existing, reply.appointment_id, call.full_key, call.client_id)
    return [each for each in (*places, *named) if each is not None]


def _about_row(row: Row) -> list[Hashable]:
    return [each for each in (row.place, row.id, row.key, row.client_id) if each is not None]


def _joined(groups: Sequence[Sequence[Hashable]]) -> dict[Hashable, int]:
    """Number what hangs together, directly or not: what is in one group, and places that overlap.

    Returns:
        The number of each member's part.
    """
    places = {each for group in groups for each in group if isinstance(each, Place)}
    latest: dict[int, Place] = {}  # of those that begin before, by staff: who ends last
    pairs: list[tuple[Hashable, ...]] = []
    for place in sorted(places, key=lambda each: each.blocked.start):
        last = latest.get(place.staff)
        if last and last.overlaps(place):
            pairs.append((last, place))
        if last is None or last.blocked.end < place.blocked.end:
            latest[place.staff] = place
    leader: dict[Hashable, Hashable] = {}

    def find(member: Hashable) -> Hashable:
        while leader.setdefault(member, member) != member:
            leader[member] = member = leader[leader[member]]
        return member

    for group in (*groups, *pairs):
        for member in group:
            leader[find(member)] = find(group[0])
    numbers: dict[Hashable, int] = {}
    return {member: numbers.setdefault(find(member), len(numbers)) for member in leader}
