"""Whether replies can be explained by an order: a calendar that can be executed, and a search.

Clients ask at the same time, and each is told something. The replies are right if there is *one*
order of the requests in which a plain calendar, serving one request after the other, would have
told each the same; an order that agrees with time, so that who was answered before another asked
comes first. That is linearizability (Herlihy and Wing, 1990), and the search for such an order is
Wing and Gong's, with a memory of the states that led nowhere (Lowe, 2017).

A request whose answer was lost may have taken effect at any later time, or never. One that was
answered `busy` or with an error had no effect. Calendars of different staff don't know of each
other, so each is searched by itself; a reschedule to another member of staff joins two of them,
and so does an idempotency key that was used with both.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from experiments.scenes.replies import Reply
    from experiments.scenes.rows import Row
    from experiments.scenes.shapes import Call, Place

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


@dataclass(frozen=True, slots=True)
class Calendar:
    """Appointments as they stand: a sequential model of what the service promises.

    Attributes:
        confirmed: Where each confirmed appointment is.
        cancelled: The appointments that were cancelled.
        keys: The appointment that each idempotency key booked.
    """

    confirmed: frozenset[tuple[int, Place]] = frozenset()
    cancelled: frozenset[int] = frozenset()
    keys: frozenset[tuple[str, int]] = frozenset()

    @classmethod
    def of(cls, rows: Iterable[Row]) -> Calendar:
        """Return the calendar that these rows make."""
        rows = list(rows)
        return cls(
            frozenset((row.id, row.place) for row in rows if row.status == "confirmed"),
            frozenset(row.id for row in rows if row.status == "cancelled"),
            frozenset((row.key, row.id) for row in rows if row.key),
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
        if outcome == "invalid" and operation.existing is not None:
            return self if operation.existing not in dict(self.confirmed) else None
        return self

    def effects_of_lost(self, operation: Operation, after: Mapping[int, Row]) -> list[Calendar]:
        """Return what a request may have done whose answer was lost, besides nothing."""
        call = operation.call
        if call.operation == "cancel":
            found = self._cancelled(operation.existing)
            return [found] if found else []
        assert call.place is not None
        if call.operation == "reschedule":
            found = self._moved(operation.existing, call.place)
            return [found] if found else []
        known = dict(self.confirmed)
        return [
            booked
            for row in after.values()
            if row.place == call.place and row.key == call.key and row.id not in known
            if (booked := self._added(row.id, call.place, call.key)) is not None
        ]

    def _booked(self, operation: Operation) -> Calendar | None:
        call, reply = operation.call, operation.reply
        if call.place is None or reply.appointment_id is None:
            return None
        if operation.existing is not None:
            same = reply.appointment_id == operation.existing
            return self._moved(operation.existing, call.place) if same else None
        if call.key and call.key in dict(self.keys):
            return self if dict(self.keys)[call.key] == reply.appointment_id else None
        if reply.replayed:
            return None  # there was nothing to be given again
        return self._added(reply.appointment_id, call.place, call.key)

    def _added(self, appointment_id: int, place: Place, key: str | None) -> Calendar | None:
        used = appointment_id in dict(self.confirmed) or appointment_id in self.cancelled
        if used or not self._free(place):
            return None
        keys = self.keys | {(key, appointment_id)} if key else self.keys
        return Calendar(self.confirmed | {(appointment_id, place)}, self.cancelled, keys)

    def _moved(self, appointment_id: int | None, place: Place) -> Calendar | None:
        before = dict(self.confirmed).get(appointment_id or 0)
        if appointment_id is None or before is None or not self._free(place, appointment_id):
            return None
        others = self.confirmed - {(appointment_id, before)}
        return Calendar(others | {(appointment_id, place)}, self.cancelled, self.keys)

    def _cancelled(self, appointment_id: int | None) -> Calendar | None:
        place = dict(self.confirmed).get(appointment_id or 0)
        if appointment_id is None or place is None:
            return None
        return Calendar(
            self.confirmed - {(appointment_id, place)},
            self.cancelled | {appointment_id},
            self.keys,
        )

    def _taken(self, operation: Operation) -> bool:
        rival = dict(self.confirmed).get(operation.reply.taken_by or 0)
        return (
            rival is not None
            and operation.call.place is not None
            and operation.reply.taken_by != operation.existing
            and rival.overlaps(operation.call.place)
        )

    def _free(self, place: Place, but_for: int | None = None) -> bool:
        return not any(
            other.overlaps(place)
            for appointment_id, other in self.confirmed
            if appointment_id != but_for
        )


def linearizable(
    operations: Sequence[Operation], before: Mapping[int, Row], after: Mapping[int, Row]
) -> bool:
    """Whether some order of the requests explains all replies and leads to these rows.

    Args:
        operations: The requests with their replies.
        before: The rows before the first of them.
        after: The rows after the last.
    """
    parts = _partition(operations, before, after)
    return all(
        _explained(
            [each for each in operations if staff.intersection(_touched(each, before))],
            Calendar.of(row for row in before.values() if row.place.staff in staff),
            Calendar.of(row for row in after.values() if row.place.staff in staff),
            after,
        )
        for staff in parts
    )


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
        if all(operations[each].lost for each in left) and calendar == end:
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
    """Serve at once whoever may be served and changes nothing: that can't be wrong."""
    while idle := {
        each
        for each in _first(operations, left)
        if not operations[each].lost and calendar.after(operations[each]) == calendar
    }:
        left -= idle
    return left


def _first(operations: Sequence[Operation], left: frozenset[int]) -> list[int]:
    """Who may come first of those that are left: nobody was answered before they asked."""
    earliest = min((operations[each].replied for each in left), default=NEVER)
    return [each for each in left if operations[each].invoked <= earliest]


def _partition(
    operations: Sequence[Operation], before: Mapping[int, Row], after: Mapping[int, Row]
) -> list[set[int]]:
    """Group staff whose calendars can't be judged apart."""
    groups: list[set[int]] = [{row.place.staff} for row in (*before.values(), *after.values())]
    keys: dict[str, set[int]] = defaultdict(set)
    for operation in operations:
        staff = set(_touched(operation, before))
        groups.append(staff)
        if operation.call.key:
            keys[operation.call.key] |= staff
    groups += keys.values()
    apart: list[set[int]] = []
    for group in groups:
        joined = set(group)
        for other in [each for each in apart if each & joined]:
            apart.remove(other)
            joined |= other
        apart.append(joined)
    return apart


def _touched(operation: Operation, before: Mapping[int, Row]) -> list[int]:
    """The staff whose calendars a request is about."""
    here = before.get(operation.existing or 0)
    places = [operation.call.place, here.place if here else None]
    return [place.staff for place in places if place]
