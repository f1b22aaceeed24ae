"""The shape of a race: which appointments exist, and which calls the clients make at once.

Twenty requests for one identical slot are the easiest race to survive; a lock whose key is the
slot passes it every time and fails as soon as two slots overlap. So an experiment varies the
shape. Staff members are numbered from 0, times are hours after `OPENING`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Literal

from experiments.scenes.places import DURATION, GRID, STEP, Place

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

OPENING = datetime(2030, 1, 7, 9, tzinfo=UTC)  # the Monday after experiments happen

Operation = Literal["book", "cancel", "reschedule", "close"]


@dataclass(frozen=True, slots=True)
class Call:
    """What one client asks for.

    Attributes:
        operation: What is called; `close` gives a member of staff time off.
        place: Where to, for book and reschedule; what is closed.
        existing: Which of the scene's appointments, for cancel and reschedule.
        key: The idempotency key, if any.
        scope: Whose key that is.
        keeps_staff: Whether a reschedule names no member of staff. Then its place says when, and
            whoever has the appointment when it is moved keeps it.
        client_id: Which client asks, where that one can't be in two places.
        team: Who may be given, where anybody will do; the place's staff does not count then.
        lists: Whether the client first lists what is free, and books the start that is nearest.
    """

    operation: Operation
    place: Place | None = None
    existing: int | None = None
    key: str | None = None
    keeps_staff: bool = False
    client_id: str | None = None
    scope: str = ""
    team: tuple[int, ...] = ()
    lists: bool = False

    @property
    def full_key(self) -> str | None:
        """The key, and whose it is."""
        return self.key and full_key(self.scope, self.key)


def full_key(scope: str, key: str) -> str:
    """Name an idempotency key so that those of two owners differ."""
    return f"{scope}/{key}" if scope else key


@dataclass(frozen=True, slots=True)
class Scene:
    """A round's beginning: appointments that exist, and one call a client.

    Attributes:
        existing: Where they are.
        calls: What is asked for.
        cancelled: Which of them were cancelled.
        keys: Under which keys some were booked.
        whose: Which clients have ids, of those whose appointments exist.
        in_world: Whether it happens in the salon of `experiments.scenes.world`.
        apart: Whether each client is a process of its own where schedules are explored.
    """

    existing: list[Place]
    calls: list[Call]
    cancelled: frozenset[int] = frozenset()
    keys: Mapping[int, str] = field(default_factory=dict)
    whose: Mapping[int, str] = field(default_factory=dict)
    in_world: bool = False
    apart: bool = False

    @property
    def staff(self) -> int:
        """How many staff members appear."""
        places = [*self.existing, *(call.place for call in self.calls if call.place)]
        return 1 + max((place.staff for place in places), default=0)

    @property
    def client_once(self) -> bool:
        """Whether clients have ids, and can't be in two places."""
        return bool(self.whose) or any(call.client_id for call in self.calls)


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


def _two_moves(clients: int) -> Scene:
    existing: list[Place] = []
    calls: list[Call] = []
    for client in range(clients):
        # Three clients and two members of staff to an appointment.
        group, which = divmod(client, 3)
        has_it, takes_over = 2 * group, 2 * group + 1
        target = OPENING + (1 + which) * STEP
        if which == 0:
            moved = len(existing)
            existing.append(Place(has_it, OPENING))
            calls.append(Call("reschedule", Place(takes_over, target), moved))
            continue
        if which > 1:
            # So it can be moved there before it is handed over, and not afterwards.
            existing.append(Place(takes_over, target))
        calls.append(Call("reschedule", Place(has_it, target), moved, keeps_staff=True))
    return Scene(existing, calls)


def _one_client(clients: int) -> Scene:
    later = clients // 3
    # Starts within one duration of each other, buffers apart; the later ones begin when the last
    # of these ends, one after the other.
    starts = min(clients - later, int(DURATION / GRID))
    free = OPENING + (starts - 1) * GRID + DURATION
    calls = []
    for client in range(clients):
        group, which = divmod(client, 3)
        start = free + group * DURATION if which > 1 else OPENING + (client - group) % starts * GRID
        calls.append(Call("book", Place(client, start), client_id="one client"))
    return Scene([], calls)


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
        Shape(
            "two_moves",
            "moves of one appointment",
            "one after the other; who names nobody leaves it with whoever has it then",
            _two_moves,
        ),
        Shape(
            "one_client",
            "one client, many staff",
            "of slots that overlap one is booked, the others are invalid; later ones are booked",
            _one_client,
        ),
    )
}
