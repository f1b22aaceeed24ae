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
from typing import TYPE_CHECKING, Any, Self
from unittest.mock import patch

import pandas as pd
from sqlalchemy import text

from booking_core import BookingConflict, BookingService
from booking_core.wire import NOTHING, Wire
from experiments.availability.shop import two_days_before
from experiments.bench.large_salon import AT_ONE_PLACE, FIRST, NOW, SERVICE
from experiments.stats import spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from datetime import date, datetime
    from random import Random

    from sqlalchemy import Engine

    from experiments.availability.shop import Shop
    from experiments.bench.large_salon import LargeSalon
    from experiments.verdicts import Verdicts

PLAIN, WITH, WON = "lost, nothing offered", "lost, alternatives", "booked"
WEEK = timedelta(days=7)
MANY = 100  # appointments of a service a day, more than any day has room for
FIRST_APPOINTMENT = text(
    "SELECT min(lower(during)) FROM appointment"
    " WHERE staff_id = :staff_id AND service_id = :service_id AND status = 'confirmed'"
)
REPEATS = 10  # requests a turn; one alone is too quick to be timed well


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
        for desk, turns in self.frame.groupby("desk", sort=False):
            by_round = turns.pivot_table(index="round", columns="request", values="milliseconds")
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
        extra = [int(number) for number in self.added()["queries added"]]
        verdicts.add(
            "Alternatives add one query to a lost request, no more",
            held=set(extra) == {1},
            evidence=f"added: {', '.join(map(str, extra))}",
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
        requests = _requests(desk)
        queries[desk.name] = {}
        for name, request in requests.items():
            request()  # connections are warm then, statements prepared, time zones met
            with counted() as asked:
                request()
            queries[desk.name][name] = len(asked)
        for number in range(rounds):
            for name in source.sample(list(requests), len(requests)):
                spent = sum(requests[name]() for _ in range(REPEATS)) / REPEATS
                rows.append(
                    {
                        "desk": desk.name,
                        "round": number,
                        "request": name,
                        "milliseconds": 1000 * spent,
                    }
                )
    places = [(desk.name, name) for desk in desks for name in (PLAIN, WITH, WON)]
    rows.sort(key=lambda row: places.index((str(row["desk"]), str(row["request"]))))
    return Losing(pd.DataFrame(rows), queries)


def _requests(desk: Desk) -> dict[str, Callable[[], float]]:
    """Take a slot, and return what asks for it or for another one, and says for how long."""
    generous = BookingService(desk.engine, clock=desk.clock)
    silent = BookingService(desk.engine, clock=desk.clock, offers=0)
    free = generous.free_slots(desk.service_id, desk.day, desk.staff_id, last=desk.day + WEEK)
    taken, other = desk.lost or free[len(free) // 2].slot.start, free[0].slot.start
    asked: dict[str, Any] = {
        "staff_id": desk.staff_id,
        "service_id": desk.service_id,
        "client": "Ada",
    }
    if not desk.lost:
        generous.book(**asked, start=taken)

    def lose(service: BookingService) -> float:
        began = perf_counter()
        try:
            service.book(**asked, start=taken)
        except BookingConflict:
            return perf_counter() - began
        raise AssertionError("a slot was booked twice")

    def win() -> float:
        began = perf_counter()
        booked = generous.book(**asked, start=other)
        spent = perf_counter() - began
        generous.cancel(booked.appointment.id)
        return spent

    return {PLAIN: lambda: lose(silent), WITH: lambda: lose(generous), WON: win}


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
