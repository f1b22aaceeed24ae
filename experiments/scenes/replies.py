"""What clients are told."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client was told.

    Attributes:
        outcome: How the request ended; `cancelled` where a cancel succeeded.
        appointment_id: The appointment that the client was given or cancelled.
        taken_by: The appointment that a conflict named.
        replayed: Whether an earlier request with the same key had booked it.
    """

    outcome: str
    appointment_id: int | None = None
    taken_by: int | None = None
    replayed: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """How a call ended.

    Attributes:
        reply: What the client was told.
        attempts: How many times the transaction was tried.
        alternatives: How many were offered.
        detail: The error's text, where there was one.
    """

    reply: Reply
    attempts: int = 1
    alternatives: int = 0
    detail: str = ""
