"""What alternatives add to a request that is lost, beside what a request that is won takes.

Three requests take turns, in another order each round, on warm connections: one for a taken slot
by a service that offers nothing instead, the same by one that looks for alternatives, and one for
a free slot, which is given back uncounted. The time is the client's, the commit included. How
many queries went out is counted as well; what is no query of a table (BEGIN, the lock, a setting)
travels with one and is not.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from time import perf_counter
from typing import TYPE_CHECKING, Self
from unittest.mock import patch

import pandas as pd
from sqlalchemy import text

from booking_core import Booking, BookingConflict, BookingService
from booking_core.calendar.availability import RINGS
from booking_core.database.wire import NOTHING, Wire
from experiments.availability.shop import two_days_before
from experiments.bench.large_salon import AT_ONE_PLACE, FIRST, NOW, SERVICE
from experiments.show.stats import spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import date, datetime
    from random import Random

    from sqlalchemy import Engine

    from experiments.availability.shop import Shop
    from experiments.bench.large_salon import LargeSalon
    from experiments.show.verdicts import Verdicts

PLAIN, WITH, WON = "lost, nothing offered", "lost, alternatives", "booked"
WEEK = timedelta(days=7)
MANY = 100  # appointments of a service a day, more than any day has room for
FIRST_APPOINTMENT = text(
    "SELECT min(lower(during)) FROM appointment"
    " WHERE staff_id = :staff_id AND service_id = :service_id AND status = 'confirmed'"
)
REPEATS = 10  # requests a turn; one alone is too quick to be timed well
WARM = 8  # requests before anything is measured: connections are opened, rules remembered


@dataclass(frozen=True)
class Desk:
    """Where it is measured.

    Attributes:
        name: In words, after "in".
        engine: For a database with the default strategy's schema.
        clock: Tells the present instant.
        service_id: What is booked.
        staff_id: With whom.
        day: A date on the wall; two starts are free within a week from it that do not overlap.
        lost: A start that somebody has; one of that week's is taken if left out.
    """

    name: str
    engine: Engine
    clock: Callable[[], datetime]
    service_id: int
    staff_id: int
    day: date
    lost: datetime | None = None

    @classmethod
    def of_shop(cls, shop: Shop, staff: str, service: str) -> Self:
        """Return the desk of a shop, on its first day."""
        return cls(
            f"a salon of {len(shop.salon.staff)}",
            shop.engine,
            lambda: two_days_before(shop.days[0]),
            shop.salon.services[service],
            shop.salon.staff[staff],
            shop.days[0],
        )

    @classmethod
    def booked_up(cls, shop: Shop, staff: str, service: str, source: Random) -> Self:
        """Return the desk of a shop after all its days have been booked up.

        What is lost there is the staff member's first appointment; the next free starts come when
        those days are over.
        """
        shop.fill(MANY, source)
        desk = cls.of_shop(shop, staff, service)
        with shop.engine.connect() as connection:
            lost = connection.execute(
                FIRST_APPOINTMENT, {"staff_id": desk.staff_id, "service_id": desk.service_id}
            ).scalar_one()
        return replace(
            desk,
            name=f"{desk.name}, booked up for {len(shop.days)} days",
            day=shop.days[-1] + timedelta(days=1),
            lost=lost,
        )

    @classmethod
    def of_chain(cls, chain: LargeSalon) -> Self:
        """Return the desk of a chain; alternatives are looked for at one of its places."""
        name = f"a chain with {AT_ONE_PLACE} at each place"
        return cls(name, chain.engine, lambda: NOW, SERVICE, 7, FIRST)


@dataclass(frozen=True)
class Losing:
    """What was measured.

    Attributes:
        frame: One row a turn: desk, round, request, milliseconds (of one request).
        queries: How many each request sends, for each desk.
    """

    frame: pd.DataFrame
    queries: Mapping[str, Mapping[str, int]]

    def table(self) -> pd.DataFrame:
        """Return one row a desk and request: the median with quartiles, and the queries."""
        rows = []
        for (desk, request), turns in self.frame.groupby(["desk", "request"], sort=False):
            taken = spread(turns["milliseconds"])
            rows.append(
                {
                    "where": desk,
                    "request": request,
                    "milliseconds": taken.median,
                    "quartile 1": taken.low,
                    "quartile 3": taken.high,
                    "queries": self.queries[str(desk)][str(request)],
                }
            )
        return pd.DataFrame(rows)

    def added(self) -> pd.DataFrame:
        """Return one row a desk: what alternatives add, also as a multiple of a booking.

        The multiples are taken within the rounds; their median and quartiles stand here.
        """
        rows = []
        for desk, by_round in self._rounds():
            extra = by_round[WITH] - by_round[PLAIN]
            multiple = spread(extra / by_round[WON])
            rows.append(
                {
                    "where": desk,
                    "added, ms": extra.median(),
                    "a booking, ms": by_round[WON].median(),
                    "added / a booking": multiple.median,
                    "quartile 1": multiple.low,
                    "quartile 3": multiple.high,
                    "queries added": self.queries[str(desk)][WITH] - self.queries[str(desk)][PLAIN],
                }
            )
        return pd.DataFrame(rows)

    def _rounds(self) -> Iterator[tuple[str, pd.DataFrame]]:
        """Yield a desk's milliseconds, a row a round, a column a request."""
        for desk, turns in self.frame.groupby("desk", sort=False):
            yield (
                str(desk),
                turns.pivot_table(index="round", columns="request", values="milliseconds"),
            )

    def worded(self) -> str:
        """Say what was added, whatever it is."""
        sentences = [
            f"In {where}, alternatives added {added:.2f} ms to a lost request, {multiple:.2f} times"
            f" what a booking took: {'less' if multiple < 1 else 'not less'} than the booking."
            for where, added, _, multiple, *_ in self.added().itertuples(index=False)
        ]
        return " ".join(sentences)

    def record(self, verdicts: Verdicts) -> None:
        """State what does not depend on a clock."""
        extra = [sent[WITH] - sent[PLAIN] for sent in self.queries.values()]
        verdicts.add(
            "Alternatives add one query where some are near, and a few where they are far",
            held=min(extra) == 1 and max(extra) <= len(RINGS),
            evidence=f"{min(extra)} to {max(extra)} more; {len(RINGS)} are the most there can be",
        )


def cost_of_losing(desks: list[Desk], rounds: int, source: Random) -> Losing:
    """Measure what alternatives add.

    Args:
        desks: Where.
        rounds: How many turns each request has.
        source: Draws the order of turns.
    """
    rows: list[dict[str, object]] = []
    queries: dict[str, dict[str, int]] = {}
    for desk in desks:
        client = _Client(desk)
        queries[desk.name] = {}
        for name in client.requests:
            for _ in range(WARM):
                client.spend(name)
            with counted() as sent:
                client.requests[name]()
            queries[desk.name][name] = len(sent)
            client.tidy()
        for number in range(rounds):
            for name in source.sample(list(client.requests), len(client.requests)):
                spent = sum(client.spend(name) for _ in range(REPEATS)) / REPEATS
                turn = {"desk": desk.name, "round": number, "request": name}
                rows.append(turn | {"milliseconds": 1000 * spent})
    places = [(desk.name, name) for desk in desks for name in (PLAIN, WITH, WON)]
    rows.sort(key=lambda row: places.index((str(row["desk"]), str(row["request"]))))
    return Losing(pd.DataFrame(rows), queries)


class _Client:
    """Asks at a desk for a slot that is taken, or for one that is free.

    Args:
        desk: Where; a slot is taken there, if none is yet.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._won: list[Booking] = []
        self._generous = BookingService(desk.engine, clock=desk.clock)
        self._silent = BookingService(desk.engine, clock=desk.clock, offers=0)
        free = self._generous.free_slots(
            desk.service_id, desk.day, desk.staff_id, last=desk.day + WEEK
        )
        self._taken, self._other = desk.lost or free[len(free) // 2].slot.start, free[0].slot.start
        if not desk.lost:
            self._book(self._generous, self._taken)

    @property
    def requests(self) -> dict[str, Callable[[], None]]:
        """What asks once."""
        return {
            PLAIN: lambda: self._lose(self._silent),
            WITH: lambda: self._lose(self._generous),
            WON: self._win,
        }

    def spend(self, name: str) -> float:
        """Ask once, and return for how many seconds."""
        request = self.requests[name]
        began = perf_counter()
        request()
        spent = perf_counter() - began
        self.tidy()
        return spent

    def tidy(self) -> None:
        """Give back what was booked."""
        for booked in self._won:
            self._generous.cancel(booked.appointment.id)
        self._won.clear()

    def _book(self, service: BookingService, start: datetime) -> Booking:
        return service.book(
            staff_id=self._desk.staff_id,
            service_id=self._desk.service_id,
            client="Ada",
            start=start,
        )

    def _lose(self, service: BookingService) -> None:
        try:
            self._book(service, self._taken)
        except BookingConflict:
            return
        raise AssertionError("a slot was booked twice")

    def _win(self) -> None:
        self._won.append(self._book(self._generous, self._other))


@contextmanager
def counted() -> Iterator[list[str]]:
    """Collect the queries that are sent in the block."""
    sent: list[str] = []
    add = Wire.add

    def note(wire: Wire, sql: str, parameters: Mapping[str, object] = NOTHING) -> None:
        if "FROM" in sql:
            sent.append(sql)
        add(wire, sql, parameters)

    with patch.object(Wire, "add", note):
        yield sent
