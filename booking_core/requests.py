"""What a client asks for, and what it is given.

A `Wish` is what was asked; a `Request` is a wish with a staff member whose rules allow it. It
never changes; the service, the transaction and the strategies all read the same one.
"""

import hashlib
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from booking_core.invalid import InvalidRequest
from booking_core.slots import Slot

CLIENT_LENGTH = 200  # characters of a client's name, and of an idempotency key
# What some scripts and names can't be written without: joiners, and blanks that do not break.
INVISIBLE = "\u200c\u200d\u00a0\u202f"
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


@dataclass(frozen=True, slots=True)
class Booking:
    """The reply to a request that ended well.

    Attributes:
        appointment: As it is stored.
        attempts: How many times the transaction was tried.
        replayed: Whether an earlier request with the same idempotency key had booked it.
    """

    appointment: Appointment
    attempts: int = 1
    replayed: bool = False


@dataclass(frozen=True)
class Wish:
    """What a client wants, whoever does it, before the rules were asked.

    Attributes:
        service_id: What for.
        client: Who asks.
        start: When it is to start, in UTC.
        end: When it is to end, if the client said so.
        key: The idempotency key, if the client sent one.
        digest: What tells it from another one with the same idempotency key; empty without one,
            for who sends no key can't repeat it.
        moves: The appointment that is rescheduled; none where a new one is booked.
    """

    service_id: int
    client: str
    start: datetime
    end: datetime | None = None
    key: str | None = None
    digest: str = ""
    moves: Appointment | None = None


@dataclass(frozen=True, kw_only=True)
class Request(Wish):
    """A wish with somebody whose rules allow it, ready to be claimed.

    Attributes:
        staff_id: Whose calendar.
        slot: What the client is promised.
        blocked: The slot and its buffers: what must not overlap.
        rules_version: Of the rules that allow it, as the rulebook counts.
    """

    staff_id: int
    slot: Slot
    blocked: Slot
    rules_version: int = 0

    @property
    def parameters(self) -> dict[str, object]:
        """All of it, as parameters of a statement: `Strategy.statement` says which there are."""
        return {
            "staff_id": self.staff_id,
            "service_id": self.service_id,
            "client": self.client,
            "starts": self.slot.start,
            "ends": self.slot.end,
            "blocked_from": self.blocked.start,
            "blocked_until": self.blocked.end,
            "key": self.key,
            "digest": self.digest,
            "moved_id": self.moves.id if self.moves else None,
            "moved_from": self.moves.staff_id if self.moves else None,
            "rules_version": self.rules_version,
        }

    @property
    def staff_ids(self) -> list[int]:
        """The calendars that are touched, in the one order in which guards are taken."""
        touched = {self.staff_id} | ({self.moves.staff_id} if self.moves else set())
        return sorted(touched)


def digest(*asked: object) -> str:
    """Return a fingerprint of what a client asked for."""
    return hashlib.sha256(repr(asked).encode()).hexdigest()


def check_id(value: object, code: str, what: str, largest: int = LARGEST_INTEGER) -> int:
    """Return an id that fits the column.

    Raises:
        InvalidRequest: With `code`, where it is no such number.
    """
    if isinstance(value, int) and not isinstance(value, bool) and 0 < value <= largest:
        return value
    raise InvalidRequest(code, f"There is no {what} {shortened(value)}.")


def check_text(value: object, code: str, what: str) -> str:
    """Return a text of 1 to 200 printable characters, without blanks around it.

    Raises:
        InvalidRequest: With `code`, where it is empty, too long or not printable.
    """
    if not isinstance(value, str) or not value.strip():
        raise InvalidRequest(code, f"The {what} is empty; {shortened(value)} was given.")
    clean = value.strip()
    if len(clean) > CLIENT_LENGTH:
        raise InvalidRequest(
            code, f"The {what} has {len(clean)} characters; {CLIENT_LENGTH} are allowed."
        )
    if not clean.isprintable() and not all(
        character.isprintable() or character in INVISIBLE for character in clean
    ):
        raise InvalidRequest(code, f"The {what} {shortened(clean)} has unprintable characters.")
    return clean


def shortened(value: object) -> str:
    """Return how a value reads in a message, however large it is."""
    try:
        shown = repr(value)
    except ValueError:  # Python writes no integer of more than 4300 digits
        shown = f"{type(value).__name__} too large to show"
    limit = 60
    return shown if len(shown) <= limit else f"{shown[:limit]}…"
