"""A script: the statements that one attempt at a booking sends, and which of them travel together.

It is what the model knows of a strategy, apart from its traits and its retry policy. Scripts are
recorded, never written: see `experiments.model.recording`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from experiments.model.times import Times

if TYPE_CHECKING:
    from booking_core.strategies import Strategy

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
    def lock_at(self) -> int | None:
        """Which of the round trips takes the lock, counted from 0."""
        found = [n for n, trip in enumerate(self.trips) if any(step.locks for step in trip)]
        return found[0] if found else None

    @property
    def server_seconds(self) -> float:
        """How long the server is at all of it, on average, COMMIT included."""
        return sum(step.times.mean for step in self.steps)

    @property
    def locked_seconds(self) -> float:
        """How long the server is at what runs while the lock is held, on average."""
        steps = self.steps
        first = next((number for number, step in enumerate(steps) if step.locks), len(steps))
        last = next((n for n, step in enumerate(steps) if n >= first and step.commits), len(steps))
        return sum(step.times.mean for step in steps[first : last + 1])

    @property
    def trips_under_lock(self) -> int:
        """How many round trips begin while the lock is held."""
        if self.lock_at is None:
            return 0
        ends = [n for n, trip in enumerate(self.trips) if any(step.commits for step in trip)]
        return next((n for n in ends if n >= self.lock_at), len(self.trips) - 1) - self.lock_at

    @property
    def holds_under_lock(self) -> bool:
        """Whether the client spends its time while the lock is held."""
        return None not in (self.hold_before, self.lock_at) and self.hold_before > self.lock_at  # type: ignore[operator]  # no None is left

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
