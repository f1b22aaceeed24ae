"""Looks for alternatives, in the way that promises to be the quickest.

Whoever is the first to lose a slot on some day has everybody looked at. Where more slots are lost,
it pays to learn what the rules allow around that day (`openings`): the next losers only ask who has
been there first. How far from the wanted start the last ones had to go tells how to ask: where
little is taken, start by start; where much is, for all that is booked up to there. The answers are
the same in every case (`nearest`).
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

from booking_core import nearest
from booking_core.free_slots import FreeSlot
from booking_core.openings import Openings
from booking_core.slots import TICK, seconds

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from booking_core.wire import Rows

FARTHEST = timedelta(days=400)  # from a lost slot to what is offered instead; see `nearest`
LEARNED = timedelta(days=2)  # from the morning of a wanted day, in which openings are known
FARTHEST_LEARNED = timedelta(days=16)  # from a wanted start, where many days are booked up
MOST_LEARNED = timedelta(days=200)  # likewise, of all who offer the service together
MARGIN = timedelta(hours=4)  # how much farther to look than the last loser had to
MOST_REMEMBERED = (
    200  # that are remembered; ten kilobytes for a small team, a hundred for a large one
)
TRIES = 8  # starts that are looked up for each one that is wanted
# To learn what a team may do takes longer than to search, the longer the larger it is: it is worth
# a search for so many of its members.
REPAID = 5


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


@dataclass(slots=True)
class WantedDay:
    """What is remembered of a day on which slots are lost. Threads share it without a lock.

    Attributes:
        openings: What the rules allow, once it has been learned.
        searches: How often everybody was looked at since then.
        members: How many offer the service, as far as it is known.
        distance: How far from the wanted start the last alternatives were.
    """

    openings: Openings | None = None
    searches: int = 0
    members: int = 0
    distance: timedelta = timedelta()

    @property
    def pays_to_learn(self) -> bool:
        """Whether enough slots have been lost."""
        return self.searches > 0 and self.searches * REPAID >= self.members

    @property
    def reach(self) -> timedelta:
        """How far from a wanted start to look."""
        return self.distance + MARGIN

    def until(self, lost: Lost) -> datetime:
        """Return up to where its rules are to be learned: a while beyond what is booked up."""
        until = lost.day.morning + LEARNED
        farther = self.reach + LEARNED
        if farther > FARTHEST_LEARNED or farther * self.members > MOST_LEARNED:
            return until
        return max(until, lost.start + farther)


@dataclass(frozen=True, slots=True)
class Lost:
    """A slot that was lost.

    Attributes:
        day: On which it was wanted.
        start: The wanted start, an aware datetime.
        staff_id: Who comes first at equal distance.
        now: The present instant.
        version: Of the rules; None where it is not known, so that nothing can be remembered.
        turned_down: What is not to be offered, a staff member's id and seconds since 1970.
        limit: How many alternatives are wanted.
        asked: The parameters of `nearest_free`.
    """

    day: Key
    start: datetime
    staff_id: int
    now: datetime
    version: int | None
    turned_down: set[tuple[int, int]]
    limit: int
    asked: dict[str, object]


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
        found = self._look(day, lost)
        farthest = abs(found[-1].slot.start - lost.start) if len(found) == lost.limit else FARTHEST
        # It falls slowly, so that who loses an empty afternoon does not hide the full morning.
        day.distance = max(farthest, day.distance / 2)
        return found

    def _look(self, day: WantedDay, lost: Lost) -> list[FreeSlot]:
        known = day.openings
        if known and known.version == lost.version:
            wanted, distance = lost.start.timestamp(), day.distance.total_seconds()
            tries = TRIES * lost.limit
            if (
                wanted + distance <= known.until
                and known.count(wanted - distance, wanted + distance, tries) <= tries
            ):
                return self._first_free(known, lost, tries)
            if seconds(lost.start + day.reach) < known.until:
                return self._free_runs(known, lost, day.reach)
            if seconds(day.until(lost)) <= known.until:  # no more of them may be known
                return self._search(day, lost)
        if day.pays_to_learn and lost.version is not None:
            return self._learn(day, lost)
        return self._search(day, lost)

    def _search(self, day: WantedDay, lost: Lost) -> list[FreeSlot]:
        """Look at everybody."""
        rows = self._ask(nearest.NEAREST, lost.asked)
        day.searches += 1
        if rows:
            day.members = rows[0][-1]
        return [_slot(*row) for row in rows]

    def _learn(self, day: WantedDay, lost: Lost) -> list[FreeSlot]:
        """Look at everybody, and remember what the rules allow around the day."""
        day.searches = 0  # the others go on searching meanwhile, and also if this fails
        until = day.until(lost)
        rows = self._ask(nearest.LEARN, lost.asked | {"until": until})
        known = Openings.read([row for row in rows if row[-1]], seconds(until))
        if known:
            day.openings = known
        return [_slot(*row) for row in rows if not row[-1]]

    def _first_free(self, known: Openings, lost: Lost, tries: int) -> list[FreeSlot]:
        """Look up one start after the other."""
        best = known.nearest(lost.start.timestamp(), lost.staff_id, lost.now)
        tried = list(islice((each for each in best if each not in lost.turned_down), tries))
        first = {
            "first_staff": [who for who, _ in tried],
            "first_starts": [start for _, start in tried],
        }
        return self._remembered(nearest.FIRST_FREE, known, lost, first)

    def _free_runs(self, known: Openings, lost: Lost, reach: timedelta) -> list[FreeSlot]:
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
        return self._remembered(nearest.FREE_RUNS, known, lost, between)

    def _remembered(
        self, query: str, known: Openings, lost: Lost, asked: Mapping[str, object]
    ) -> list[FreeSlot]:
        rules = {"version": known.version, "sets_up": known.sets_up, "blocks": known.blocks}
        rows = self._ask(query, lost.asked | rules | dict(asked))
        return [_slot(*row) if row[0] else known.slot(row[1], row[4]) for row in rows]


def _slot(
    time_zone: str, staff_id: int, staff: str, duration: int, start: int, *_: object
) -> FreeSlot:
    """Return what a row of `nearest_free` says."""
    return FreeSlot.starting(start, duration * TICK, staff_id, staff, time_zone)
