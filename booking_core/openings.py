"""When the rules would let a service start, remembered.

Rules change seldom, so what they allow around a day is worked out once, for all who lose a slot
on it. What is remembered does not depend on the present instant: notice and horizon are counted
anew each time. Nor is it relied upon: whoever asks which of these starts are free also asks
whether the rules still have the version under which they were read (`nearest`), and a version is
never used twice.
"""

from __future__ import annotations

import json
from bisect import bisect_left, bisect_right
from collections import defaultdict
from dataclasses import dataclass
from math import ceil, floor
from typing import TYPE_CHECKING, Any

from booking_core.free_slots import FreeSlot
from booking_core.slots import EPOCH, TICK

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta


A_SECOND = 1_000_000  # microseconds


@dataclass(frozen=True, slots=True)
class Colleague:
    """Somebody who offers the service.

    Attributes:
        minimum_notice: In microseconds, as the horizon.
    """

    name: str
    time_zone: str
    minimum_notice: int
    horizon: int


@dataclass(frozen=True, slots=True)
class Openings:
    """What the rules allow between two instants.

    Attributes:
        version: Of the rules, as the rulebook counts.
        until: The second of the two instants; what may start at it is known too.
        duration: The service's.
        sets_up: How many seconds are blocked before a start.
        blocks: How many are blocked after it.
        step: Of the grid, in seconds.
        horizon: How far ahead somebody may start.
        colleagues: All who offer the service, by id; in the order of names.
        runs: Who may start when: an id, the first start and the last one, in seconds since 1970.
        starts: When somebody may start, in seconds since 1970, in order.
        who: The ids of those who may, for each start, by name.
    """

    version: int
    until: datetime
    duration: timedelta
    sets_up: float
    blocks: float
    step: int
    horizon: timedelta
    colleagues: Mapping[int, Colleague]
    runs: Sequence[tuple[int, int, int]]
    starts: Sequence[int]
    who: Mapping[int, Sequence[int]]

    @classmethod
    def read(cls, rows: Iterable[tuple[Any, ...]], until: datetime) -> Openings | None:
        """Return what rows of `nearest.LEARN` tell; None where nobody offers the service.

        Args:
            rows: Those without a start.
            until: The second of the two instants that were asked about.
        """
        colleagues: dict[int, Colleague] = {}
        who: defaultdict[int, list[int]] = defaultdict(list)
        runs = []
        version, duration, sets_up, blocks, step = 0, 0, 0.0, 0.0, 1
        for time_zone, staff_id, name, duration, *_, allowed in rows:  # noqa: B007 - all the same
            version, step, notice, horizon, sets_up, blocks, bounds = json.loads(allowed)
            colleagues[staff_id] = Colleague(name, time_zone, notice, horizon)
            for first, stop in bounds:
                runs.append((staff_id, first, stop - 1))
                for start in range(first, stop, step):
                    who[start].append(staff_id)
        if not colleagues:
            return None
        shared: dict[tuple[int, ...], tuple[int, ...]] = {}  # a team works much the same hours
        return cls(
            version,
            until,
            duration * TICK,
            sets_up,
            blocks,
            step,
            max(each.horizon for each in colleagues.values()) * TICK,
            colleagues,
            runs,
            sorted(who),
            {start: shared.setdefault(tuple(ids), tuple(ids)) for start, ids in who.items()},
        )

    def slot(self, staff_id: int, start: int) -> FreeSlot:
        """Return a slot that was found to be free."""
        colleague = self.colleagues[staff_id]
        return FreeSlot.starting(
            start, self.duration, staff_id, colleague.name, colleague.time_zone
        )

    def nearest(self, wanted: float, staff_id: int, now: datetime) -> Iterator[tuple[int, int]]:
        """Yield who may start when, a staff member's id and seconds since 1970, the best first.

        Nearest in time first; at equal distance the same staff member before others, earlier
        before later, then by name. Stops where something nearer may be unknown.

        Args:
            wanted: In seconds since 1970.
            staff_id: Who comes first.
            now: The present instant.
        """
        present = (now - EPOCH) // TICK
        for together in self._around(wanted):
            for same in (True, False):
                for start in together:
                    for each in self.who[start]:
                        if (each == staff_id) == same and self._in_time(each, start, present):
                            yield each, start

    def count(self, first: float, last: float, most: int) -> int:
        """Return how many there are between two instants, both left out, who may start when.

        Whatever the notice and the horizon are.

        Args:
            first: In seconds since 1970.
            last: Likewise.
            most: Beyond this it need not be exact.
        """
        starts = self.starts[bisect_right(self.starts, first) : bisect_left(self.starts, last)]
        if len(starts) > most:
            return len(starts)
        return sum(len(self.who[start]) for start in starts)

    def runs_between(
        self, first: float, last: float, now: datetime
    ) -> Iterator[tuple[int, int, int]]:
        """Yield what of the runs lies between two instants, both included, and in time.

        Args:
            first: In seconds since 1970.
            last: Likewise.
            now: The present instant.
        """
        present = (now - EPOCH) // TICK
        for staff_id, opens, closes in self.runs:
            colleague = self.colleagues[staff_id]
            earliest = max(first, (present + colleague.minimum_notice) / A_SECOND)
            latest = min(closes, last, (present + colleague.horizon) / A_SECOND)
            if opens < earliest:
                opens += ceil((earliest - opens) / self.step) * self.step  # noqa: PLW2901 - its part
            if opens <= latest:
                yield staff_id, opens, floor(latest)

    def _around(self, wanted: float) -> Iterator[list[int]]:
        """Yield the starts that are equally far from the wanted one, in order."""
        reach = self.until.timestamp() - wanted  # what comes later is not known
        later = bisect_left(self.starts, wanted)
        earlier = later - 1
        while True:
            before = wanted - self.starts[earlier] if earlier >= 0 else reach
            after = self.starts[later] - wanted if later < len(self.starts) else reach
            distance = min(before, after)
            if distance >= reach:
                return
            together = []
            if before == distance:
                together.append(self.starts[earlier])
                earlier -= 1
            if after == distance:
                together.append(self.starts[later])
                later += 1
            yield together

    def _in_time(self, staff_id: int, start: int, present: int) -> bool:
        colleague = self.colleagues[staff_id]
        ahead = start * A_SECOND - present
        return colleague.minimum_notice <= ahead <= colleague.horizon
