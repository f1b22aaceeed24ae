"""A virtual user in the small world: books, cancels and moves, also what others have booked."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from experiments.load.users import Done, VirtualUser, ask
from experiments.load.workload import Target
from experiments.scenes.places import Place
from experiments.scenes.shapes import OPENING

if TYPE_CHECKING:
    from booking_core.booking import BookingService
    from experiments.load.replies import Replies
    from experiments.load.share import Share
    from experiments.load.world_workload import Standing, WorldWorkload
    from experiments.scenes.shapes import Call

ANYBODY = 0
"""Stands for the member of staff where anybody would do."""
MINUTE = timedelta(minutes=1)


class WorldUser(VirtualUser):
    """Makes the calls of pairs of requests and keeps the replies.

    Args:
        number: Which one, from 0, over all processes.
        share: What its process does.
        service: The process's.
        workload: What to ask for.
        standing: What stands where, as far as the process's users know.
        replies: Where the replies go.
    """

    def __init__(  # noqa: PLR0913, PLR0917 - a user has as much to do with
        self,
        number: int,
        share: Share,
        service: BookingService,
        workload: WorldWorkload,
        standing: Standing,
        replies: Replies,
    ) -> None:
        super().__init__(number, share, service, replies)
        self._workload = workload
        self._standing = standing
        self._staff = {staff_id: number for number, staff_id in enumerate(share.staff_ids)}
        self._offered: Call | None = None

    def iterate(self, due: int) -> None:
        """Make one call, of which nothing is known before but when it is due."""
        call, about = self._drawn()
        stood = None if about is None else self._standing.place(about)
        self._requests += 1
        told = ask(lambda: self._call(call, about))
        if told.outcome == "booked" and told.place:
            self._standing.put(told.appointment_id, told.place)
        elif told.outcome == "cancelled":
            self._standing.remove(told.appointment_id)
        operation = "list" if call.lists else call.operation
        self._keep(due, operation, self._target(call, told.place, stood), told, about or 0)

    def _drawn(self) -> tuple[Call, int | None]:
        """Draw a call; who has looked at a list books what it offered."""
        if self._offered:
            call, self._offered = self._offered, None
            return call, None
        return self._workload.call(self._requests, self._source)

    def _call(self, call: Call, about: int | None) -> Done:
        """Make the call; return what came of it if it ends well."""
        place = call.place
        if place is None:
            assert about is not None
            self._service.cancel(about)
            return Done("cancelled", about)
        if call.lists:
            self._look(call, place)
            return Done("listed")
        if about is not None:
            staff_id = None if call.keeps_staff else self._share.staff_ids[place.staff]
            booking = self._service.reschedule(about, start=place.start, staff_id=staff_id)
        else:
            booking = self._service.book(
                staff_id=None if call.team else self._share.staff_ids[place.staff],
                service_id=self._share.service_ids[place.service.number],
                start=place.start,
                # One key means one request, so it must come from one client.
                client=call.key or f"{self._number}-{self._requests}",
                client_id=call.client_id,
                key=call.key,
                key_scope=call.scope,
            )
        stored = booking.appointment
        return Done(
            "replayed" if booking.replayed else "booked",
            stored.id,
            booking.attempts,
            Place(self._staff[stored.staff_id], stored.slot.start, place.service),
        )

    def _look(self, call: Call, place: Place) -> None:
        """Look at the list, and want the start that is nearest next."""
        listed = self._service.free_slots(
            self._share.service_ids[place.service.number],
            place.start.date(),
            self._share.staff_ids[place.staff],
        )
        starts = [each.slot.start for each in listed]
        if starts:
            nearest = min(starts, key=lambda start: abs(start - place.start))
            self._offered = replace(call, lists=False, place=replace(place, start=nearest))

    def _target(self, call: Call, told: Place | None, stood: Place | None) -> Target:
        """Return where an appointment is now, or would have been; where it was, if cancelled."""
        place = told or call.place or stood
        if place is None:  # somebody else has cancelled it
            return Target(ANYBODY, 0, OPENING)
        open_ended = told is None and (call.team or call.keeps_staff)
        return Target(
            ANYBODY if open_ended else self._share.staff_ids[place.staff],
            (place.start - OPENING) // MINUTE,
            place.start,
            self._share.service_ids[place.service.number],
        )
