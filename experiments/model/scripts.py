"""A script: the statements that one attempt at a booking sends, and which of them travel together.

It is what the model knows of a strategy, apart from its traits and its retry policy. Scripts are
recorded, never written: see `experiments.model.recording`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from booking_core.strategies import Strategy
    from experiments.model.times import Times

BEGIN, COMMIT = "BEGIN", "COMMIT"


@dataclass(frozen=True, slots=True)
class Step:
    """One statement.

    Attributes:
        sql: Its text, in one line.
        times: How long the server was at it, with nobody in its way.
        locks: Whether rivals meet here: who comes second waits, or is refused.
    """

    sql: str
    times: Times
    locks: bool = False

    @property
    def commits(self) -> bool:
        """Whether the transaction ends here, and with it whatever was locked."""
        return self.sql == COMMIT


Trip = tuple[Step, ...]


@dataclass(frozen=True, slots=True)
class Script:
    """What one attempt sends: a round trip after the other, each with its statements.

    Attributes:
        trips: The round trips.
        hold_before: Before which of them the client spends time of its own, counted from 0;
            none where it does not.
    """

    trips: tuple[Trip, ...]
    hold_before: int | None = None

    @property
    def steps(self) -> list[Step]:
        """All statements in order."""
        return [step for trip in self.trips for step in trip]

    @property
    def server_seconds(self) -> float:
        """How long the server is at all of it, on average, COMMIT included."""
        return sum(step.times.mean for step in self.steps)

    def seconds_after(self, first: int) -> float:
        """Return how long the server is at the statements from one on until COMMIT, on average."""
        steps = self.steps
        return sum(step.times.mean for step in steps[first : self._commit(first) + 1])

    def trips_after(self, first: int) -> int:
        """Return how many round trips begin after a statement was answered, COMMIT's included."""
        places = [number for number, trip in enumerate(self.trips) for _ in trip]
        return places[self._commit(first)] - places[first]

    def holds_after(self, first: int) -> bool:
        """Whether the client spends its time after that statement and before COMMIT."""
        places = [number for number, trip in enumerate(self.trips) for _ in trip]
        held = self.hold_before
        return held is not None and places[first] < held <= places[self._commit(first)]

    def _commit(self, first: int) -> int:
        later = range(first, len(self.steps))
        return next((number for number in later if self.steps[number].commits), later[-1])

    def one_by_one(self) -> Script:
        """Return the same statements, each in a round trip of its own, as most programs send them.

        A transaction that has no BEGIN is one statement, and stays one round trip.
        """
        trips: list[Trip] = []
        hold_before = self.hold_before
        inside = False
        for number, trip in enumerate(self.trips):
            if number == self.hold_before:
                hold_before = len(trips)
            inside |= trip[0].sql.startswith(BEGIN)
            trips += [(step,) for step in trip] if inside else [trip]
            inside &= not trip[-1].commits
        return Script(tuple(trips), hold_before)

    def locked_by(self, sql: str | None) -> Script:
        """Return the script with its lock at the first statement of that text."""
        if sql not in {step.sql for step in self.steps}:
            return self
        trips = [[replace(step, locks=step.sql == sql) for step in trip] for trip in self.trips]
        return replace(self, trips=tuple(tuple(trip) for trip in trips))


def locking_statement(strategy: Strategy, booked: Script) -> str | None:
    """Return the text of the statement at which rivals meet.

    The traits say in which round trip that is: so many begin while rivals are kept out, and the
    one before those takes the lock. In it, it is the first statement, BEGIN apart; for whatever is
    sent along with a lock comes after it.

    Args:
        strategy: Whose traits to believe.
        booked: What it sends for a booking when nothing is held in between.
    """
    traits = strategy.traits
    if not (traits.waits or traits.may_answer_busy):
        return None
    trip = booked.trips[len(booked.trips) - 1 - traits.round_trips_under_lock]
    return next((step.sql for step in trip if not step.sql.startswith(BEGIN)), None)
