"""The shape of a race: which appointments exist, and which calls the clients make at once.

Twenty requests for one identical slot are the easiest race to survive; a lock whose key is the
slot passes it every time and fails as soon as two slots overlap. So an experiment varies the
shape. Staff members are numbered from 0, times are hours after `OPENING`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from booking_core.slots import Slot
from experiments.scenes.salon import BUFFER, DURATION, GRID

if TYPE_CHECKING:
    from collections.abc import Callable

OPENING = datetime(2030, 1, 7, 9, tzinfo=UTC)  # the Monday after experiments happen
# Slots that touch without overlapping: the next may start when the buffer has passed.
STEP = DURATION + BUFFER

Operation = Literal["book", "cancel", "reschedule"]


@dataclass(frozen=True, slots=True)
class Place:
    """A slot of a staff member, buffer included."""

    staff: int
    start: datetime

    @property
    def blocked(self) -> Slot:
        """What must be free."""
        return Slot(self.start, self.start + STEP)

    def overlaps(self, other: Place) -> bool:
        """Whether the two can't both be booked."""
        return self.staff == other.staff and self.blocked.overlaps(other.blocked)


@dataclass(frozen=True, slots=True)
class Call:
    """What one client asks for.

    Attributes:
        operation: What is called.
        place: Where to, for book and reschedule.
        existing: Which of the scene's appointments, for cancel and reschedule.
        key: The idempotency key, if any.
    """

    operation: Operation
    place: Place | None = None
    existing: int | None = None
    key: str | None = None


@dataclass(frozen=True, slots=True)
class Scene:
    """A round's beginning: appointments that exist, and one call a client."""

    existing: list[Place]
    calls: list[Call]

    @property
    def staff(self) -> int:
        """How many staff members appear."""
        places = [*self.existing, *(call.place for call in self.calls if call.place)]
        return 1 + max((place.staff for place in places), default=0)


@dataclass(frozen=True, slots=True)
class Shape:
    """A kind of race.

    Attributes:
        name: What commands and parameters call it.
        title: What pictures call it.
        expected: What must come out, in words.
        scene: Makes the scene for a number of clients.
    """

    name: str
    title: str
    expected: str
    scene: Callable[[int], Scene]


def _book(staff: int, start: datetime, key: str | None = None) -> Call:
    return Call("book", Place(staff, start), key=key)


def _same_slot(clients: int) -> Scene:
    return Scene([], [_book(0, OPENING) for _ in range(clients)])


def _overlapping(clients: int) -> Scene:
    # All of these starts lie within one duration; the first two in different hours.
    starts = int(DURATION / GRID)
    first = OPENING + timedelta(minutes=45)
    return Scene([], [_book(0, first + client % starts * GRID) for client in range(clients)])


def _adjacent(clients: int) -> Scene:
    return Scene([], [_book(0, OPENING + client * STEP) for client in range(clients)])


def _other_staff(clients: int) -> Scene:
    return Scene([], [_book(client, OPENING) for client in range(clients)])


def _book_against_cancel(clients: int) -> Scene:
    bookings = [_book(0, OPENING) for _ in range(clients - 1)]
    return Scene([Place(0, OPENING)], [Call("cancel", existing=0), *bookings])


def _book_against_reschedule(clients: int) -> Scene:
    target = OPENING + STEP
    move = Call("reschedule", Place(0, target), existing=0)
    # Most ask for the slot that the move wants too; some for the one that it leaves.
    bookings = [_book(0, OPENING if client % 3 == 0 else target) for client in range(1, clients)]
    return Scene([Place(0, OPENING)], [move, *bookings])


def _swap(clients: int) -> Scene:
    existing, calls = [], []
    for client in range(clients):
        pair, second = divmod(client, 2)
        # A last client without a partner moves onto a slot that stays taken.
        if not second:
            start = OPENING + pair * STEP
            existing += [Place(0, start), Place(1, start)]
        here = existing[2 * pair + (1 - second)]
        calls.append(Call("reschedule", here, existing=2 * pair + second))
    return Scene(existing, calls)


def _same_key(clients: int) -> Scene:
    return Scene([], [_book(0, OPENING, key="one key") for _ in range(clients)])


SHAPES = {
    shape.name: shape
    for shape in (
        Shape("same_slot", "same slot", "one is booked, the others conflict", _same_slot),
        Shape(
            "overlapping",
            "overlapping starts",
            "one is booked, the others conflict",
            _overlapping,
        ),
        Shape("adjacent", "adjacent slots", "everybody is booked", _adjacent),
        Shape("other_staff", "other staff", "everybody is booked", _other_staff),
        Shape(
            "book_against_cancel",
            "book against cancel",
            "the cancel succeeds and at most one is booked",
            _book_against_cancel,
        ),
        Shape(
            "book_against_reschedule",
            "book against reschedule",
            "one gets the slot that is moved to, at most one the slot that is left",
            _book_against_reschedule,
        ),
        Shape(
            "swap",
            "two reschedules that swap",
            "both slots are taken: both conflict, both keep what they had",
            _swap,
        ),
        Shape(
            "same_key",
            "one key, many times",
            "one appointment, and everybody is given it",
            _same_key,
        ),
    )
}
