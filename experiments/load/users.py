"""Virtual users: each makes one call after the other and keeps what it was told."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from random import Random
from typing import TYPE_CHECKING

from booking_core.errors import BookingConflict, BookingError, SlotBusy
from experiments.load.executors import clock
from experiments.scenes import salon
from experiments.scenes.places import STEP

if TYPE_CHECKING:
    from collections.abc import Callable

    from booking_core.booking import BookingService
    from experiments.load.replies import Replies
    from experiments.load.share import Share
    from experiments.load.workload import Target, Workload
    from experiments.scenes.places import Place

PRACTICE = "Practice"  # the client's name in appointments that no load asked for
_PRACTICE_DAY = salon.NOW + timedelta(days=305)  # after any plan, with room for all
_OWN_APPOINTMENT = ("cancel", "reschedule")


@dataclass(frozen=True, slots=True)
class Done:
    """What came of a call.

    Attributes:
        outcome: How it ended.
        appointment_id: What was booked, moved or cancelled.
        attempts: How many tries it took.
        place: Where the appointment is now, where users have places.
        taken_by: Whom a conflict named.
        detail: An error's text.
        started: When the call was made, on the load's clock.
        ended: When it was answered.
    """

    outcome: str
    appointment_id: int = 0
    attempts: int = 1
    place: Place | None = None
    taken_by: int = 0
    detail: str = ""
    started: int = 0
    ended: int = 0


def ask(call: Callable[[], Done]) -> Done:
    """Make a call, and return what came of it, whatever that was."""
    started = clock()
    try:
        done = call()
    except (BookingConflict, SlotBusy) as no:
        taken_by = no.taken_by if isinstance(no, BookingConflict) else 0
        done = Done(no.outcome, attempts=no.attempts, taken_by=taken_by)
    except BookingError as error:
        detail = f"{error.code}: {error}"
        done = Done(error.outcome, attempts=error.attempts, detail=detail)
    except Exception as error:  # noqa: BLE001 - a strategy under test may raise anything
        done = Done("error", detail=f"{type(error).__name__}: {error}")
    return replace(done, started=started, ended=clock())


class VirtualUser:
    """Practises, and keeps the replies; what it asks for is another's matter.

    Args:
        number: Which one, from 0, over all processes.
        share: What its process does.
        service: The process's.
        replies: Where the replies go.
    """

    def __init__(
        self, number: int, share: Share, service: BookingService, replies: Replies
    ) -> None:
        self._number = number
        self._service = service
        self._share = share
        self._replies = replies
        self._source = Random(f"{share.plan.seed}, VU {number}")  # noqa: S311 - no secret
        self._requests = 0

    def practise(self) -> None:
        """Call what the load will call, so that the connection and the statements are ready."""
        plan = self._share.plan
        start = _PRACTICE_DAY + self._number * STEP
        staff_id = self._share.staff_ids[self._number % len(self._share.staff_ids)]
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
        raise NotImplementedError

    def _keep(
        self, due: int, operation: str, target: Target, told: Done, appointment_id: int
    ) -> None:
        """Keep a reply.

        Args:
            due: When the call was due.
            operation: What it asked for.
            target: Where.
            told: How it ended.
            appointment_id: What it was about, where it has booked nothing.
        """
        if told.detail:
            self._replies.details.setdefault(told.outcome, told.detail)
        self._replies.add(
            self._number,
            self._requests,
            operation,
            told.outcome,
            told.attempts,
            target,
            told.appointment_id or appointment_id,
            told.taken_by,
            (due, told.started, told.ended),
        )


class PlainUser(VirtualUser):
    """Makes the calls of a mix, and touches only what it booked itself.

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
        super().__init__(number, share, service, replies)
        self._workload = workload
        self._own: list[tuple[int, Target]] = []

    def iterate(self, due: int) -> None:
        """Make one call, of which nothing is known before but when it is due."""
        operation = self._workload.operation(self._source)
        if operation in _OWN_APPOINTMENT and not self._own:
            operation = "book"
        target = self._workload.target(self._source)
        own = self._take_own() if operation in _OWN_APPOINTMENT else None
        own_id, stood = own or (0, target)
        if operation == "cancel":
            target = stood
        self._requests += 1
        told = ask(lambda: self._call(operation, target, own_id))
        if told.outcome == "booked":
            self._own.append((told.appointment_id, target))
        elif own and told.outcome not in ("cancelled", "unknown"):
            self._own.append(own)
        self._keep(due, operation, target, told, own_id)

    def _call(self, operation: str, target: Target, own_id: int) -> Done:
        """Make the call; return what came of it if it ends well."""
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
                return Done("cancelled", own_id)
            case _:
                service.free_slots(self._share.service_id, target.instant.date(), target.staff_id)
                return Done("listed")
        return Done("booked", booking.appointment.id, booking.attempts)

    def _take_own(self) -> tuple[int, Target]:
        chosen = int(self._source.random() * len(self._own))
        self._own[chosen], self._own[-1] = self._own[-1], self._own[chosen]
        return self._own.pop()
