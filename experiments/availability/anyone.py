"""Requests for anybody: who is given a start that many want, and how a day is shared out."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from threading import Barrier
from typing import TYPE_CHECKING

import pandas as pd

from booking_core import BookingError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date, datetime
    from random import Random

    from booking_core import BookingService
    from booking_core.requests import Booking
    from booking_core.slots import FreeSlot
    from experiments.show.verdicts import Verdicts

HALF_A_DAY = timedelta(hours=12)
HOUR = timedelta(hours=1)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Crowd:
    """What became of clients who wanted one start, with anybody, at the same moment.

    Attributes:
        free: How many staff members were free then.
        ends: For each client the name of who was booked, or the outcome.
        names: Of those who were free.
    """

    free: int
    ends: Sequence[str]
    names: Sequence[str]

    def frame(self) -> pd.DataFrame:
        """Return a row an end: a staff member's name, or `conflict`, and how many had it."""
        counts = Counter(self.ends)
        named = [name for name in self.names if name in counts]
        others = sorted(set(counts) - set(named))
        return pd.DataFrame([{"with": name, "clients": counts[name]} for name in [*named, *others]])

    @property
    def each_booked_once(self) -> bool:
        """Whether everybody who was free was booked once, and all other clients conflict."""
        counts = Counter(self.ends)
        conflicts = counts.pop("conflict", 0)
        return (
            set(counts) <= set(self.names)
            and all(number == 1 for number in counts.values())
            and len(counts) == min(self.free, len(self.ends))
            and conflicts == len(self.ends) - len(counts)
        )

    def record(self, verdicts: Verdicts) -> None:
        """State what must hold."""
        verdicts.add(
            "Where a crowd wants anybody at one start, everybody who is free is booked, once",
            held=self.each_booked_once and self.free > 0,
            evidence=f"{len(self.ends)} clients, {self.free} free, "
            f"{len(self.ends) - self.ends.count('conflict')} booked",
        )


def crowd(
    booking: BookingService,
    service_id: int,
    start: datetime,
    clients: int,
    location_id: int | None = None,
) -> Crowd:
    """Let clients ask for one start at the same moment, with anybody; all is given back.

    Args:
        booking: The service; its pool has a connection for each of them.
        service_id: What for.
        start: When, an aware datetime.
        clients: How many.
        location_id: Where; anywhere if left out.
    """
    listed = _free_at(booking, service_id, start, location_id)
    names = {free.staff_id: free.staff for free in listed}
    together = Barrier(clients)

    def ask(client: int) -> Booking | str:
        together.wait()
        try:
            return booking.book(
                staff_id=None,
                service_id=service_id,
                start=start,
                client=f"Client {client + 1}",
                location_id=location_id,
            )
        except BookingError as error:
            return error.outcome

    with ThreadPoolExecutor(clients) as threads:
        replies = list(threads.map(ask, range(clients)))
    booked = [reply for reply in replies if not isinstance(reply, str)]
    for each in booked:
        booking.cancel(each.appointment.id)
    ends = [
        reply if isinstance(reply, str) else names.get(reply.appointment.staff_id, "somebody else")
        for reply in replies
    ]
    return Crowd(len(names), ends, sorted(names.values()))


@dataclass(frozen=True)
class Shares:
    """How requests for anybody were shared out over a day.

    Attributes:
        booked: For each staff member how many requests they were given.
        could: For each staff member how many of the requests they could have taken.
        promised: For each staff member how many hours of their day are promised.
        unfair: How many requests went to somebody although somebody who was free had less to do.
        conflicts: How many requests found nobody free.
    """

    booked: Mapping[str, int]
    could: Mapping[str, int]
    promised: Mapping[str, float]
    unfair: int
    conflicts: int

    @property
    def requests(self) -> int:
        """How many there were."""
        return sum(self.booked.values()) + self.conflicts

    def frame(self) -> pd.DataFrame:
        """Return a row a staff member."""
        return pd.DataFrame(
            [
                {
                    "staff": name,
                    "was free for": self.could[name],
                    "was given": self.booked[name],
                    "hours promised": self.promised[name],
                }
                for name in self.promised
            ]
        )

    def record(self, verdicts: Verdicts) -> None:
        """State what must hold."""
        verdicts.add(
            "Who wants anybody is given whoever is free and has the least to do around that time",
            held=self.unfair == 0 < sum(self.booked.values()),
            evidence=f"{self.unfair} of {sum(self.booked.values())} booked with somebody busier",
        )


def share_out(  # noqa: PLR0913 - what is asked for, and how often
    booking: BookingService,
    service_id: int,
    day: date,
    *,
    location_id: int,
    requests: int,
    source: Random,
) -> Shares:
    """Ask for anybody again and again, each time at a start that was free when the day began.

    Args:
        booking: The service; nothing is booked around that day yet.
        service_id: What for.
        day: A date on the wall.
        location_id: Where.
        requests: How often.
        source: Draws the starts.
    """
    times = booking.free_time(service_id, day, day, location_id=location_id)
    listed = [free for each in times for free in each.slots()]
    names = {each.staff_id: each.staff for each in times}
    starts = sorted({free.slot.start for free in listed})
    booked, could = Counter[str](), Counter[str]()
    promised = dict.fromkeys(names.values(), 0.0)
    taken: list[tuple[str, datetime]] = []
    unfair = conflicts = 0
    for number in range(requests):
        start = source.choice(starts)
        free = _free_at(booking, service_id, start, location_id)
        could.update(each.staff for each in free)
        try:
            reply = booking.book(
                staff_id=None,
                service_id=service_id,
                start=start,
                client=f"Client {number + 1}",
                location_id=location_id,
            )
        except BookingError:
            conflicts += 1
            continue
        name = names[reply.appointment.staff_id]
        # Counted here, from the replies: the service asks the database.
        load = {
            each.staff: sum(who == each.staff and abs(at - start) < HALF_A_DAY for who, at in taken)
            for each in free
        }
        unfair += load[name] > min(load.values())
        taken.append((name, start))
        booked[name] += 1
        slot = reply.appointment.slot
        promised[name] += (slot.end - slot.start) / HOUR
    return Shares(booked, could, promised, unfair, conflicts)


def _free_at(
    booking: BookingService, service_id: int, start: datetime, location_id: int | None = None
) -> list[FreeSlot]:
    times = booking.free_time(
        service_id, start.date() - DAY, start.date() + DAY, location_id=location_id
    )
    return [free for each in times for free in each.slots() if free.slot.start == start]
