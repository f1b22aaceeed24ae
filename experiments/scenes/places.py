"""Where an appointment can be: with whom, from when, and for which service."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from booking_core.slots import Slot

# What plain salons book: the slot and its buffer take an hour and a quarter, on the quarter.
DURATION = timedelta(hours=1)
BUFFER = timedelta(minutes=15)
GRID = timedelta(minutes=15)
# Slots that touch without overlapping: the next may start when the buffer has passed.
STEP = DURATION + BUFFER
NOTHING = timedelta()


@dataclass(frozen=True, slots=True)
class Service:
    """What is booked.

    Attributes:
        number: What scenes call it.
        duration: What the client is promised.
        before: What has to be free before that, to set things up.
        after: What has to be free after it.
    """

    number: int
    duration: timedelta
    before: timedelta = NOTHING
    after: timedelta = NOTHING


VISIT = Service(0, DURATION, after=BUFFER)


@dataclass(frozen=True, slots=True)
class Place:
    """A slot of a staff member, buffers included."""

    staff: int
    start: datetime
    service: Service = VISIT

    @property
    def blocked(self) -> Slot:
        """What must be free."""
        service = self.service
        return Slot(self.start - service.before, self.during.end + service.after)

    @property
    def during(self) -> Slot:
        """What the client is promised: buffers are no concern of theirs."""
        return Slot(self.start, self.start + self.service.duration)

    def overlaps(self, other: Place) -> bool:
        """Whether the two can't both be booked."""
        return self.staff == other.staff and self.blocked.overlaps(other.blocked)

    def excludes(self, other: Place) -> bool:
        """Whether a client who is here can't be there, with another member of staff."""
        return self.staff != other.staff and self.during.overlaps(other.during)
