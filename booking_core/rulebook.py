"""The rules that the service knows, so that it need not ask for them before every booking.

Rules change seldom, and the database counts the changes (`schema.rulebook`). They are read
together with the count, and every booking is stored on the condition that the count is the same:
a change that the booking's transaction can see can't be overlooked, whoever made it. Where the
count differs nothing is stored, the service forgets what it knew, and the request is tried again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from booking_core.calendars import Calendar, Service

MOST_CALENDARS = 20_000
"""How many calendars are kept; a few kilobytes each."""

Rules = tuple["Service", "Calendar"]


class Rulebook:
    """What is known of services and calendars; may be shared by threads.

    Args:
        read: Reads a service and the calendar of a staff member, without appointments.
    """

    def __init__(self, read: Callable[[int, int], Rules]) -> None:
        self._read = read
        self._known: dict[tuple[int, int], Rules] = {}

    def rules(self, service_id: int, staff_id: int) -> Rules:
        """Return the rules for a service and a staff member, from memory if they are known.

        Raises:
            BookingError: As `read` does.
        """
        known = self._known.get((service_id, staff_id))
        if known is None:
            known = self._read(service_id, staff_id)
            if len(self._known) >= MOST_CALENDARS:
                self.forget()
            self._known[service_id, staff_id] = known
        return known

    def knows(self, service_id: int, staff_id: int) -> bool:
        """Whether the rules would come from memory."""
        return (service_id, staff_id) in self._known

    def forget(self) -> None:
        """Read everything anew when it is asked for."""
        self._known.clear()

    def forget_calendar(self, service_id: int, staff_id: int) -> None:
        """Read the rules for a service and a staff member anew when they are asked for."""
        self._known.pop((service_id, staff_id), None)
