"""Free slots, as they are listed, offered and turned down."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import timedelta
from itertools import chain

from booking_core.errors import InvalidRequest
from booking_core.requests import check_id, shortened
from booking_core.slots import FreeSlot

MOST_REFUSED = 1_000  # slots that a client can turn down


@dataclass(frozen=True, slots=True)
class FreeTime:
    """When a service could start with one staff member.

    Attributes:
        staff: The staff member's name.
        time_zone: Where the staff member works, as an IANA name.
        duration: The service's.
        runs: Starts on the grid, one after the other, in seconds since 1970; disjoint, in order.
    """

    staff_id: int
    staff: str
    time_zone: str
    duration: timedelta
    runs: tuple[range, ...]

    def __len__(self) -> int:
        return sum(map(len, self.runs))

    def slots(self) -> Iterator[FreeSlot]:
        """Yield the free slots, in order."""
        for seconds in chain(*self.runs):
            yield FreeSlot.starting(
                seconds, self.duration, self.staff_id, self.staff, self.time_zone
            )


def check_refused(refused: Iterable[FreeSlot]) -> tuple[FreeSlot, ...]:
    """Return what a client has turned down.

    Raises:
        InvalidRequest: `BAD_REFUSAL` where one of them can't have been offered, or they are too
            many.
    """
    if refused is None or isinstance(refused, str):
        raise InvalidRequest("BAD_REFUSAL", f"{refused!r} is no list of free slots.")
    slots = tuple(refused)
    if len(slots) > MOST_REFUSED:
        raise InvalidRequest("BAD_REFUSAL", f"More than {MOST_REFUSED} slots can't be turned down.")
    for each in slots:
        if not isinstance(each, FreeSlot):
            raise InvalidRequest("BAD_REFUSAL", f"{shortened(each)} was never offered.")
        check_id(each.staff_id, "BAD_REFUSAL", "staff member")
    return slots
