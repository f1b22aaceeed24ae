"""A slot that is lost, and what is offered instead."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from booking_core import BookingConflict
from experiments.availability.diary import HOUR, hours_since_midnight

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from booking_core import BookingService
    from booking_core.slots import FreeSlot
    from experiments.show.verdicts import Verdicts

WEEK = timedelta(days=7)


@dataclass(frozen=True)
class LostSlot:
    """An answer to somebody who came too late.

    Attributes:
        wanted: The slot that somebody else has.
        alternatives: What is offered instead, the best first.
        refused: What had been offered before and was turned down.
    """

    wanted: FreeSlot
    alternatives: Sequence[FreeSlot]
    refused: Sequence[FreeSlot] = ()

    @property
    def staff(self) -> str:
        """Whose slot it was."""
        return self.wanted.staff

    @property
    def day(self) -> date:
        """The date on the wall."""
        return self.wanted.local_start.date()

    @property
    def begins(self) -> float:
        """When it begins, in hours on the wall since midnight."""
        return hours_since_midnight(self.wanted.local_start, self.day)

    @property
    def hours(self) -> float:
        """How long it is."""
        return (self.wanted.slot.end - self.wanted.slot.start) / HOUR

    @property
    def title(self) -> str:
        """What the answer was given to, in words."""
        if not self.refused:
            return f"{self.wanted.local_start:%H:%M} with {self.staff} is taken"
        return f"The same, after {len(self.refused)} were refused"

    def worded(self) -> str:
        """Say what the answer was, for who can't see it."""
        offered = "; ".join(f"{n}. {free}" for n, free in enumerate(self.alternatives, 1))
        return f"{self.title}: {offered}."


def lose(
    booking: BookingService, service_id: int, wanted: FreeSlot, refusals: Sequence[int]
) -> list[LostSlot]:
    """Book a slot, ask for it again, and again after refusing some of what is offered.

    Args:
        booking: The service.
        service_id: What for.
        wanted: A free slot; it is taken afterwards.
        refusals: How many of the alternatives, the best ones, are refused after each answer.

    Returns:
        The first answer, and one after each refusal.
    """
    _book(booking, service_id, wanted, ())
    refused: list[FreeSlot] = []
    answers = [LostSlot(wanted, _book(booking, service_id, wanted, refused))]
    for count in refusals:
        refused = [*refused, *answers[-1].alternatives[:count]]
        answers.append(LostSlot(wanted, _book(booking, service_id, wanted, refused), refused))
    return answers


def nearest(booking: BookingService, service_id: int, staff_id: int, moment: datetime) -> FreeSlot:
    """Return the free slot of a staff member that begins nearest to a wall time, on that day.

    Args:
        booking: The service.
        service_id: What for.
        staff_id: With whom.
        moment: Date and time on the wall, without a zone.
    """
    found = booking.free_slots(service_id, moment.date(), staff_id)
    return min(found, key=lambda free: abs(free.local_start.replace(tzinfo=None) - moment))


def is_best(booking: BookingService, service_id: int, loss: LostSlot) -> bool:
    """Whether what was offered is the best of all that is listed for the following week.

    Nearest in time first, then the same staff member, then earlier, then by name.

    Args:
        booking: The service; nothing was booked since.
        service_id: What for.
        loss: The answer.
    """
    wanted = loss.wanted
    listed = [
        free
        for free in booking.free_slots(service_id, loss.day, last=loss.day + WEEK)
        if free.time_zone == wanted.time_zone and free not in loss.refused
    ]
    listed.sort(
        key=lambda free: (
            abs(free.slot.start - wanted.slot.start),
            free.staff_id != wanted.staff_id,
            free.slot.start,
            free.staff,
        )
    )
    return list(loss.alternatives) == listed[: len(loss.alternatives)] and bool(loss.alternatives)


def record(losses: Sequence[LostSlot], best: Sequence[bool], verdicts: Verdicts) -> None:
    """State what must hold.

    Args:
        losses: The answers.
        best: For each of them what `is_best` said.
        verdicts: Where it is stated.
    """
    verdicts.add(
        "What is offered instead of a lost slot is the best of all that is free",
        held=all(best) and bool(best),
        evidence=f"{sum(best)} of {len(best)} answers agree with the sorted list of the week",
    )
    again = sum(free in loss.refused for loss in losses for free in loss.alternatives)
    refused = max(len(loss.refused) for loss in losses)
    verdicts.add(
        "What was refused is not offered again",
        held=again == 0 < refused,
        evidence=f"{again} of {refused} were",
    )


def _book(
    booking: BookingService, service_id: int, wanted: FreeSlot, refused: Sequence[FreeSlot]
) -> Sequence[FreeSlot]:
    """Ask for a slot, and return what is offered instead: nothing where it was booked."""
    try:
        booking.book(
            staff_id=wanted.staff_id,
            service_id=service_id,
            start=wanted.slot.start,
            client="Ada",
            refused=refused,
        )
    except BookingConflict as conflict:
        return conflict.alternatives
    return ()
