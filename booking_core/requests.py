"""What a client asks for, and what it is given.

A `Wish` is what was asked; a `Request` is a wish with a staff member whose rules allow it. It
never changes; the service, the transaction and the strategies all read the same one.
"""

import hashlib
import unicodedata
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, Self

from booking_core.invalid import InvalidRequest
from booking_core.slots import FreeSlot, Slot

CLIENT_LENGTH = 200  # characters of a client's name, and of an idempotency key
OVERRIDES = "\u202a\u202b\u202c\u202d\u202e"  # make a text read in an order that is not its own
FILLERS = "\u115f\u1160\u2800\u3164\uffa0"  # letters that show nothing
LARGEST_INTEGER = 2**31 - 1
LARGEST_BIGINT = 2**63 - 1  # appointments are counted in 64 bits


@dataclass(frozen=True, slots=True)
class Appointment:
    """A stored booking; `slot` is what the client was promised, buffers not included."""

    id: int
    staff_id: int
    service_id: int
    client: str
    slot: Slot
    status: Literal["confirmed", "cancelled"] = "confirmed"
    client_id: str | None = None


@dataclass(frozen=True, slots=True)
class Booking:
    """The reply to a request that ended well.

    Attributes:
        appointment: As it is stored.
        attempts: How many times the transaction was tried.
        replayed: Whether it is the answer to an earlier request with the same idempotency key.
    """

    appointment: Appointment
    attempts: int = 1
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Key:
    """An idempotency key: under it, one thing is asked for.

    Attributes:
        value: What the client calls the request.
        scope: Whose key it is; two owners' keys of one value are two keys.
        digest: A fingerprint of what is asked for.
    """

    value: str
    scope: str
    digest: str

    @classmethod
    def of(cls, value: object, scope: object, *asked: object) -> Self | None:
        """Return the key of a request, if it has one.

        Raises:
            InvalidRequest: `BAD_KEY`.
        """
        if value is None:
            return None
        digest = hashlib.sha256(repr(asked).encode()).hexdigest()
        owner = "" if scope == "" else check_text(scope, "BAD_KEY", "key's scope")
        return cls(check_text(value, "BAD_KEY", "idempotency key"), owner, digest)


@dataclass(frozen=True)
class Wish:
    """What a client wants, whoever does it, before the rules were asked.

    Attributes:
        service_id: What for.
        client: Who asks.
        start: When it is to start, in UTC.
        end: When it is to end, if the client said so.
        key: Under which key, if under one.
        moves: The appointment that is rescheduled; none where a new one is booked.
        client_id: Who asks, where clients have ids.
        location_id: Where; wherever somebody works if None.
        refused: What the client has turned down.
    """

    service_id: int
    client: str
    start: datetime
    end: datetime | None = None
    key: Key | None = None
    moves: Appointment | None = None
    client_id: str | None = None
    location_id: int | None = None
    refused: tuple[FreeSlot, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Request(Wish):
    """A wish with somebody whose rules allow it, ready to be claimed.

    Attributes:
        staff_id: Whose calendar.
        slot: What the client is promised.
        blocked: The slot and its buffers: what must not overlap.
        rules_version: Of the rules that allow it.
    """

    staff_id: int
    slot: Slot
    blocked: Slot
    rules_version: int = 0

    @property
    def parameters(self) -> dict[str, object]:
        """All of it, as parameters of a statement: `Strategy.statement` says which there are."""
        key, moves = self.key, self.moves
        return vars(self) | {
            "starts": self.slot.start,
            "ends": self.slot.end,
            "blocked_from": self.blocked.start,
            "blocked_until": self.blocked.end,
            "key": key.value if key else None,
            "key_scope": key.scope if key else "",
            "digest": key.digest if key else "",
            "moved_id": moves.id if moves else None,
            "moved_from": moves.staff_id if moves else None,
            "moved_start": moves.slot.start if moves else None,
        }

    @property
    def staff_ids(self) -> list[int]:
        """The calendars that are touched, in the one order in which guards are taken."""
        return sorted({self.staff_id, (self.moves or self).staff_id})


def check_id(value: object, code: str, what: str, largest: int = LARGEST_INTEGER) -> int:
    """Return an id that fits the column.

    Raises:
        InvalidRequest: With `code`, where it is no such number.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= largest:
        return value
    raise InvalidRequest(code, f"There is no {what} {shortened(value)}.")


def check_text(value: object, code: str, what: str) -> str:
    """Return a text of 1 to 200 characters, without blanks around it.

    Whatever people's names are written with is let in: blanks of any width, joiners, marks of the
    writing direction. Left out is what no name needs and what makes it read as another one.

    Raises:
        InvalidRequest: With `code`, where nothing is seen of it, it is too long, or has control
            characters, halves of a character or overrides of the writing direction.
    """
    if not isinstance(value, str) or not any(map(_is_seen, value)):
        raise InvalidRequest(code, f"The {what} is empty; {shortened(value)} was given.")
    clean = value.strip()
    if len(clean) > CLIENT_LENGTH:
        raise InvalidRequest(code, f"The {what} has more than {CLIENT_LENGTH} characters.")
    for character in "" if clean.isprintable() else clean:
        if unicodedata.category(character) in {"Cc", "Cs"} or character in OVERRIDES:
            wrong = f"has the character U+{ord(character):04X}, which is none of a name"
            raise InvalidRequest(code, f"The {what} {shortened(clean)} {wrong}.")
    return clean


def _is_seen(character: str) -> bool:
    """Whether somebody who reads a text sees the character."""
    kind = unicodedata.category(character)
    return kind[0] not in "ZM" and kind not in {"Cf", "Cc", "Cs"} and character not in FILLERS


def shortened(value: object) -> str:
    """Return how a value reads in a message, however large it is."""
    try:
        shown = repr(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        shown = f"{type(value).__name__} too large to show"
    limit = 60
    return shown if len(shown) <= limit else f"{shown[:limit]}…"
