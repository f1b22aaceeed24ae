"""What alternatives add to a request that is lost, beside what a request that is won takes.

Three requests take turns, in another order each round, on warm connections: one for a taken slot
by a service that offers nothing instead, the same by one that looks for alternatives, and one for
a free slot, which is given back uncounted. The time is the client's, the commit included. How
many queries went out is counted as well; what is no query of a table (BEGIN, the lock, a setting)
travels with one and is not.

Those are losers on a day on which others have lost before. What the first ones wait for, of whom
nothing is remembered yet, is measured beside them: a service that is new loses a few times.
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
from booking_core.wire import NOTHING, Wire
from experiments.availability.shop import two_days_before
from experiments.bench.large_salon import AT_ONE_PLACE, FIRST, NOW, SERVICE
from experiments.show.stats import spread

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
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
LOSERS = 8  # in a row


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
        losers: One row a loser: desk, round, loser (the how manieth on the day), milliseconds.
        queries: How many each request sends, for each desk.
        first_queries: How many the first losers send, one after the other, for each desk.
    """

    frame: pd.DataFrame
    losers: pd.DataFrame
    queries: Mapping[str, Mapping[str, int]]
    first_queries: Mapping[str, Sequence[int]]

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

    def by_loser(self) -> pd.DataFrame:
        """Return one row a desk and loser: what alternatives add for the first ones on a day.

        As `added` does it: beside the median of the round in which they lost.
        """
        rows = []
        for desk, by_round in self._rounds():
            lost = self.losers[self.losers["desk"] == desk]
            table = lost.pivot_table(index="round", columns="loser", values="milliseconds")
            extra = table.sub(by_round[PLAIN], axis="index")
            for loser, multiples in extra.div(by_round[WON], axis="index").items():
                multiple = spread(multiples)
                rows.append(
                    {
                        "where": desk,
                        "loser": loser,
                        "added, ms": extra[loser].median(),
                        "added / a booking": multiple.median,
                        "quartile 1": multiple.low,
                        "quartile 3": multiple.high,
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

    def losers_worded(self) -> str:
        """Say what it was for the first one, the one who waited longest, and the last one."""
        sentences = []
        for where, table in self.by_loser().groupby("where", sort=False):
            multiples = list(table["added / a booking"])
            longest = max(multiples)
            sentences.append(
                f"In {where}, alternatives added {multiples[0]:.2f} of a booking for the first"
                f" loser on a day, {longest:.2f} for number {multiples.index(longest) + 1}, and"
                f" {multiples[-1]:.2f} for number {len(multiples)}."
            )
        return " ".join(sentences)

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
        extra = [
            queries - sent[PLAIN]
            for desk, sent in self.queries.items()
            for queries in (sent[WITH], *self.first_queries[desk])
        ]
        verdicts.add(
            "Alternatives add one query to a lost request, no more",
            held=set(extra) == {1},
            evidence=f"{extra.count(1)} of {len(extra)} requests sent one more, the first losers'"
            " among them",
        )


def cost_of_losing(desks: list[Desk], rounds: int, source: Random) -> Losing:
    """Measure what alternatives add.

    Args:
        desks: Where.
        rounds: How many turns each request has.
        source: Draws the order of turns.
    """
    rows: list[dict[str, object]] = []
    losers: list[dict[str, object]] = []
    queries: dict[str, dict[str, int]] = {}
    first_queries: dict[str, list[int]] = {}
    for desk in desks:
        client = _Client(desk)
        requests = client.requests
        lose = client.newcomer()
        first_queries[desk.name] = [_queries(lose) for _ in range(LOSERS)]
        queries[desk.name] = {}
        for name, request in requests.items():
            for _ in range(LOSERS):
                request()  # connections are warm then, and the rules are remembered
            queries[desk.name][name] = _queries(request)
        for number in range(rounds):
            of_round = {"desk": desk.name, "round": number}
            for name in source.sample(list(requests), len(requests)):
                spent = sum(requests[name]() for _ in range(REPEATS)) / REPEATS
                rows.append(of_round | {"request": name, "milliseconds": 1000 * spent})
            lose = client.newcomer()
            losers.extend(
                of_round | {"loser": loser, "milliseconds": 1000 * lose()}
                for loser in range(1, LOSERS + 1)
            )
    places = [(desk.name, name) for desk in desks for name in (PLAIN, WITH, WON)]
    rows.sort(key=lambda row: places.index((str(row["desk"]), str(row["request"]))))
    return Losing(pd.DataFrame(rows), pd.DataFrame(losers), queries, first_queries)


def _queries(request: Callable[[], float]) -> int:
    """Make a request and return how many queries it sends."""
    with counted() as sent:
        request()
    return len(sent)


class _Client:
    """Asks at a desk for a slot that is taken, or for one that is free.

    Args:
        desk: Where; a slot is taken there, if none is yet.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._generous = BookingService(desk.engine, clock=desk.clock)
        self._silent = BookingService(desk.engine, clock=desk.clock, offers=0)
        free = self._generous.free_slots(
            desk.service_id, desk.day, desk.staff_id, last=desk.day + WEEK
        )
        self._taken, self._other = desk.lost or free[len(free) // 2].slot.start, free[0].slot.start
        if not desk.lost:
            self._book(self._generous, self._taken)

    @property
    def requests(self) -> dict[str, Callable[[], float]]:
        """What asks once and says for how many seconds."""
        return {
            PLAIN: lambda: self._lose(self._silent),
            WITH: lambda: self._lose(self._generous),
            WON: lambda: self._win(self._generous),
        }

    def newcomer(self) -> Callable[[], float]:
        """Return what loses by a service where nobody has lost yet, and says for how many seconds.

        It knows the calendar already.
        """
        new = BookingService(self._desk.engine, clock=self._desk.clock)
        self._win(new)
        return lambda: self._lose(new)

    def _book(self, service: BookingService, start: datetime) -> Booking:
        return service.book(
            staff_id=self._desk.staff_id,
            service_id=self._desk.service_id,
            client="Ada",
            start=start,
        )

    def _lose(self, service: BookingService) -> float:
        began = perf_counter()
        try:
            self._book(service, self._taken)
        except BookingConflict:
            return perf_counter() - began
        raise AssertionError("a slot was booked twice")

    def _win(self, service: BookingService) -> float:
        began = perf_counter()
        booked = self._book(service, self._other)
        spent = perf_counter() - began
        service.cancel(booked.appointment.id)
        return spent


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
