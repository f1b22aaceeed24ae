"""Looks for alternatives, in the way that promises to be the quickest.

Whoever is the first to lose a slot on some day has everybody looked at. Where more slots are lost,
it pays to learn what the rules allow around that day (`openings`): the next losers only ask who has
been there first. How far from the wanted start the last ones had to go tells how to ask: where
little is taken, start by start; where much is, for all that is booked up to there. The answers are
the same in every case (`nearest`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from booking_core import nearest
from booking_core.free_slots import FreeSlot
from booking_core.openings import Openings
from booking_core.slots import EPOCH, TICK

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from booking_core.wire import Rows

FARTHEST = timedelta(days=400)  # from a lost slot to what is offered instead; see `nearest`
HOUR = timedelta(hours=1)
# Days that are remembered; ten to a hundred kilobytes each where a start comes every quarter.
MOST_REMEMBERED = 200
# Starts that are looked up for each one that is wanted.
TRIES = 8
# How much farther to look than the last loser had to, and how far beyond that to learn the rules.
MARGIN = timedelta(hours=4)
SPARE = timedelta(days=2)
# Up to where the rules are learned, from the morning of a wanted day; and where many days are
# booked up, how far from the wanted start at most, and how many days times people.
LEARNED = timedelta(days=2)
FARTHEST_LEARNED = timedelta(days=16)
MOST_LEARNED = timedelta(days=200)
# To learn the rules takes longer than a search, the longer the more people there are. One search
# for every five of them makes up for it.
MEMBERS_PER_SEARCH = 5


class Key(NamedTuple):
    """What a day is remembered by.

    Attributes:
        service_id: Which service.
        location_id: Where; None for anywhere.
        morning: When the day begins, an aware datetime.
        zones: How many time zones were known.
    """

    service_id: int
    location_id: int | None
    morning: datetime
    zones: int


class Row(NamedTuple):
    """What the queries of `nearest` return; None where what is remembered tells it.

    Attributes:
        duration: The service's, in microseconds.
        start: In seconds since 1970; None where it is told what the rules allow.
        members: How many offer the service.
        allowed: What the rules allow, as JSON.
    """

    time_zone: str | None
    staff_id: int
    staff: str
    duration: int
    start: int
    members: int
    allowed: str | None = None

    @property
    def by_search(self) -> bool:
        """Whether `nearest_free` has found it."""
        return self.time_zone is not None

    def slot(self) -> FreeSlot:
        """Return the free slot that `nearest_free` has found."""
        return FreeSlot.starting(
            self.start, self.duration * TICK, self.staff_id, self.staff, self.time_zone or ""
        )

    def slot_of(self, known: Openings) -> FreeSlot:
        """Return the free slot, whoever has found it."""
        return self.slot() if self.by_search else known.slot(self.staff_id, self.start)


@dataclass(frozen=True, slots=True)
class Lost:
    """A slot that was lost.

    Attributes:
        day: On which it was wanted.
        start: The wanted start, in UTC.
        staff_id: Who comes first at equal distance.
        now: The present instant.
        version: Of the rules; None where it is not known, so that nothing can be remembered.
        turned_down: What is not to be offered, a staff member's id and seconds since 1970.
        limit: How many alternatives are wanted.
        others: What `nearest_free` is told besides.
    """

    day: Key
    start: datetime
    staff_id: int
    now: datetime
    version: int | None
    turned_down: set[tuple[int, int]]
    limit: int
    others: dict[str, object]

    @property
    def asked(self) -> dict[str, object]:
        """The parameters of `nearest_free`."""
        return self.others | {
            "now": self.now,
            "wanted": self.start,
            "staff_id": self.staff_id,
            "refused_staff": [who for who, _ in self.turned_down],
            "refused_starts": [at for _, at in self.turned_down],
            "limit": self.limit,
        }


@dataclass(frozen=True, slots=True)
class Trail:
    """How losers fared who wanted to start in the same hour.

    Attributes:
        distance: How far the last one had to go; `FARTHEST` where there were fewer free slots than
            were wanted.
        in_vain: Whether starts were tried, one after the other, without finding enough.
    """

    distance: timedelta = timedelta()
    in_vain: bool = False


@dataclass(slots=True)
class WantedDay:
    """What is remembered of a day on which slots are lost. Threads share it without a lock.

    Attributes:
        openings: What the rules allow, once it has been learned.
        learning: Whether somebody is learning it.
        searches: How often everybody was looked at since it was learned last.
        members: How many offer the service, as far as it is known.
    """

    openings: Openings | None = None
    learning: bool = False
    searches: int = 0
    members: int = 0
    _trails: dict[int, Trail] = field(default_factory=dict)
    _last: Trail = field(default_factory=Trail)

    def trail(self, start: datetime) -> Trail:
        """Return how losers fared in the hour of a start, or else the last one in any hour."""
        return self._trails.get(_hour(start), self._last)

    def note(self, lost: Lost, found: list[FreeSlot], *, in_vain: bool = False) -> None:
        """Remember how a loser fared, after starts were tried in vain or otherwise."""
        if lost.turned_down:
            return  # it was farther for them alone
        enough = found and len(found) == lost.limit
        distance = abs(found[-1].slot.start - lost.start) if enough else FARTHEST
        before = self.trail(lost.start)
        in_vain |= before == Trail(distance, in_vain=True)
        self._trails[_hour(lost.start)] = self._last = Trail(distance, in_vain)

    def pays_to_learn(self, version: int | None) -> bool:
        """Say whether to learn what the rules allow, which are of that version."""
        if version is None or self.learning or (self.openings and version < self.openings.version):
            return False
        return self.searches > 0 and self.searches * MEMBERS_PER_SEARCH >= self.members

    def until(self, lost: Lost) -> datetime:
        """Return up to where to learn what the rules allow: beyond what is booked up, if it may be.

        Beyond the horizon nobody may start, so that there is nothing to learn.
        """
        near = lost.day.morning + LEARNED
        ahead = self.trail(lost.start).distance + MARGIN + SPARE
        if self.openings:
            ahead = min(ahead, lost.now + self.openings.horizon - lost.start + HOUR)
        if ahead > FARTHEST_LEARNED or ahead * self.members > MOST_LEARNED:
            return near
        return max(near, lost.start + ahead)


class Alternatives:
    """Looks for alternatives, and remembers what the rules allow; may be shared by threads.

    Args:
        ask: Asks the database a query, with its parameters.
    """

    def __init__(self, ask: Callable[[str, dict[str, object]], Rows]) -> None:
        self._ask = ask
        self._days: OrderedDict[Key, WantedDay] = OrderedDict()

    def to(self, lost: Lost) -> list[FreeSlot]:
        """Return free slots instead of a lost one, the best first."""
        day = self._days.setdefault(lost.day, WantedDay())
        if len(self._days) > MOST_REMEMBERED:
            self._days.popitem(last=False)
        return self._look(day, lost)

    def _look(self, day: WantedDay, lost: Lost) -> list[FreeSlot]:
        known = day.openings
        if not known or known.version != lost.version:
            return self._learn_or_search(day, lost)
        trail = day.trail(lost.start)
        distance, reach = trail.distance, trail.distance + MARGIN
        if not trail.in_vain and _tries_reach(known, lost, distance):
            return self._first_free(day, known, lost)
        if distance <= HOUR and len(known.colleagues) > nearest.SMALL_TEAM:
            return self._search(day, lost)  # of so many only a few are looked at there
        complete = lost.now + known.horizon <= known.until  # nobody may start later
        if complete and distance == FARTHEST:
            return self._free_runs(day, known, lost, FARTHEST, enough=0)
        if complete or lost.start + reach < known.until:
            return self._free_runs(day, known, lost, reach, enough=lost.limit)
        if day.until(lost) <= known.until:  # more may not be learned
            return self._search(day, lost)
        return self._learn_or_search(day, lost)

    def _learn_or_search(self, day: WantedDay, lost: Lost) -> list[FreeSlot]:
        if day.pays_to_learn(lost.version):
            return self._learn(day, lost)
        return self._search(day, lost)

    def _search(self, day: WantedDay, lost: Lost) -> list[FreeSlot]:
        """Look at everybody."""
        rows = self._rows(nearest.NEAREST, lost.asked)
        day.searches += 1
        if rows:
            day.members = rows[0].members
        found = [row.slot() for row in rows]
        day.note(lost, found)
        return found

    def _learn(self, day: WantedDay, lost: Lost) -> list[FreeSlot]:
        """Look at everybody, and remember what the rules allow around the day."""
        until = day.until(lost)
        day.learning = True  # the others search meanwhile
        try:
            rows = self._rows(nearest.LEARN, lost.asked | {"until": until})
            known = Openings.read([row for row in rows if row.allowed], until)
        finally:
            day.learning = False
            day.searches = 0
        if known:
            day.openings = known
            day.members = len(known.colleagues)
        found = [row.slot() for row in rows if not row.allowed]
        day.note(lost, found)
        return found

    def _first_free(self, day: WantedDay, known: Openings, lost: Lost) -> list[FreeSlot]:
        """Try one start after the other."""
        best = known.nearest(lost.start.timestamp(), lost.staff_id, lost.now)
        wanted = (each for each in best if each not in lost.turned_down)
        tried = list(islice(wanted, TRIES * lost.limit))
        first = {
            "first_staff": [who for who, _ in tried],
            "first_starts": [start for _, start in tried],
        }
        rows = self._remembered(nearest.FIRST_FREE, known, lost, first, lost.limit)
        found = [row.slot_of(known) for row in rows]
        day.note(lost, found, in_vain=not rows or rows[0].by_search)
        return found

    def _free_runs(
        self, day: WantedDay, known: Openings, lost: Lost, reach: timedelta, *, enough: int
    ) -> list[FreeSlot]:
        """Look at all that is booked no farther than that from the wanted start."""
        wanted, far = lost.start.timestamp(), reach.total_seconds()
        runs = list(known.runs_between(wanted - far, wanted + far, lost.now))
        firsts, lasts = [first for _, first, _ in runs], [last for _, _, last in runs]
        between = {
            "team": list(known.colleagues),
            "run_staff": [who for who, _, _ in runs],
            "run_firsts": firsts,
            "run_lasts": lasts,
            "earliest_run": min(firsts, default=wanted),
            "latest_run": max(lasts, default=wanted),
            "step": known.step,
        }
        rows = self._remembered(nearest.FREE_RUNS, known, lost, between, enough)
        found = [row.slot_of(known) for row in rows]
        day.note(lost, found)
        return found

    def _remembered(
        self, query: str, known: Openings, lost: Lost, asked: Mapping[str, object], enough: int
    ) -> list[Row]:
        """Ask about what is remembered, and for all alternatives where it is not enough."""
        rules = {
            "version": known.version,
            "sets_up": known.sets_up,
            "blocks": known.blocks,
            "enough": enough,
        }
        return self._rows(query, lost.asked | rules | dict(asked))

    def _rows(self, query: str, asked: dict[str, object]) -> list[Row]:
        return [Row(*row) for row in self._ask(query, asked)]


def _tries_reach(known: Openings, lost: Lost, distance: timedelta) -> bool:
    """Say whether so many starts may be tried as are nearer than that to the wanted one."""
    if lost.start + distance > known.until:
        return False
    wanted, far = lost.start.timestamp(), distance.total_seconds()
    tries = TRIES * lost.limit
    return known.count(wanted - far, wanted + far, tries) < tries


def _hour(moment: datetime) -> int:
    return (moment - EPOCH) // HOUR
