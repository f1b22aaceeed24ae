"""What clients are told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.scenes.places import Place

CLIENT_ELSEWHERE = "CLIENT_ELSEWHERE"
"""The code of a refusal because the client is somewhere else at that time."""
KEY_REUSED = "KEY_REUSED"
"""The code of a refusal because the key belongs to another request."""
EXCUSED = "excused"
"""Stands for the outcome of a request that gave up, where it may be excused."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What a client was told.

    Attributes:
        outcome: How the request ended; `cancelled` where a cancel succeeded, `closed` where time
            off was entered.
        appointment_id: The appointment that the client was given or cancelled.
        taken_by: The appointment that a conflict named.
        replayed: Whether an earlier request with the same key had booked it.
        place: Where the client was told that the appointment is.
        code: What a refusal said to programs.
    """

    outcome: str
    appointment_id: int | None = None
    taken_by: int | None = None
    replayed: bool = False
    place: Place | None = None
    code: str = ""


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
