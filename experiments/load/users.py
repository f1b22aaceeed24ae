"""A virtual user: makes one call after the other and keeps what it was told."""

from __future__ import annotations

from contextlib import suppress
from datetime import timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from booking_core.errors import BookingConflict, BookingError, SlotBusy
from experiments.load.executors import clock
from experiments.scenes import salon
from experiments.scenes.places import STEP

if TYPE_CHECKING:
    from booking_core.booking import BookingService
    from experiments.load.replies import Replies
    from experiments.load.share import Share
    from experiments.load.workload import Target, Workload

PRACTICE = "Practice"  # the client's name in appointments that no load asked for
_PRACTICE_DAY = salon.NOW + timedelta(days=305)  # after any plan, with room for all
_OWN_APPOINTMENT = ("cancel", "reschedule")


class VirtualUser:
    """Makes calls and keeps the replies.

    Args:
        number: Which one, from 0, over all processes.
        share: What its process does.
        service: The process's.
        workload: What to ask for.
        replies: Where the replies go.
    """

    def __init__(
        self,
        number: int,
        share: Share,
        service: BookingService,
        workload: Workload,
        replies: Replies,
    ) -> None:
        self._number = number
        self._service = service
        self._share = share
        self._workload = workload
        self._replies = replies
        self._source = Random(f"{share.plan.seed}, VU {number}")  # noqa: S311 - no secret
        self._requests = 0
        self._own: list[tuple[int, Target]] = []

    def practise(self) -> None:
        """Call what the load will call, so that the connection and the statements are ready."""
        plan = self._share.plan
        start = _PRACTICE_DAY + self._number * STEP
        staff_id = self._share.staff_ids[self._number % plan.staff]
        book = partial(
            self._service.book,
            staff_id=staff_id,
            service_id=self._share.service_id,
            start=start,
            client=PRACTICE,
        )
        # A strategy under test may raise anything; the load will show it.
        with suppress(Exception):
            booking = book()
            if self._number == self._share.process:
                # A conflict's statements are compiled once for all users of the process.
                with suppress(BookingConflict):
                    book()
            if plan.mix.get("reschedule"):
                self._service.reschedule(booking.appointment.id, start=start)
            if plan.mix.get("list"):
                self._service.free_slots(self._share.service_id, start.date(), staff_id)
            self._service.cancel(booking.appointment.id)

    def iterate(self, due: int) -> None:
        """Make one call, of which nothing is known before but when it is due."""
        operation = self._workload.operation(self._source)
        if operation in _OWN_APPOINTMENT and not self._own:
            operation = "book"
        target = self._workload.target(self._source)
        own = self._take_own() if operation in _OWN_APPOINTMENT else None
        appointment_id, stood = own or (0, target)
        if operation == "cancel":
            target = stood
        self._requests += 1
        taken_by, attempts = 0, 1
        started = clock()
        try:
            outcome, appointment_id, attempts = self._call(operation, target, appointment_id)
        except (BookingConflict, SlotBusy) as no:
            outcome, attempts = no.outcome, no.attempts
            taken_by = no.taken_by if isinstance(no, BookingConflict) else 0
        except BookingError as error:
            outcome, attempts = error.outcome, error.attempts
            self._replies.details.setdefault(outcome, f"{error.code}: {error}")
        except Exception as error:  # noqa: BLE001 - a strategy under test may raise anything
            outcome = "error"
            self._replies.details.setdefault(outcome, f"{type(error).__name__}: {error}")
        ended = clock()
        if outcome == "booked":
            self._own.append((appointment_id, target))
        elif own and outcome not in ("cancelled", "unknown"):
            self._own.append(own)
        self._replies.add(
            self._number,
            self._requests,
            operation,
            outcome,
            attempts,
            target,
            appointment_id,
            taken_by,
            (due, started, ended),
        )

    def _call(self, operation: str, target: Target, own_id: int) -> tuple[str, int, int]:
        """Make the call; return outcome, appointment and attempts if it ends well."""
        service = self._service
        match operation:
            case "book":
                booking = service.book(
                    staff_id=target.staff_id,
                    service_id=self._share.service_id,
                    start=target.instant,
                    client=f"{self._number}-{self._requests}",
                )
            case "reschedule":
                booking = service.reschedule(own_id, start=target.instant, staff_id=target.staff_id)
            case "cancel":
                service.cancel(own_id)
                return "cancelled", own_id, 1
            case _:
                service.free_slots(self._share.service_id, target.instant.date(), target.staff_id)
                return "listed", 0, 1
        return "booked", booking.appointment.id, booking.attempts

    def _take_own(self) -> tuple[int, Target]:
        chosen = int(self._source.random() * len(self._own))
        self._own[chosen], self._own[-1] = self._own[-1], self._own[chosen]
        return self._own.pop()
