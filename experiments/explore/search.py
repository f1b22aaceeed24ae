"""Which schedules are played, and in which order.

A schedule is found by playing it: a run follows a *path* of choices that is known from an earlier
run, makes the one choice there that is new, and then lets the client that has the turn go on as
long as it can. Every choice that it could have made otherwise on its way waits in a queue for its
own run. So each schedule is played exactly once, those with fewest preemptions first: the first
counterexample is about as simple as any.

The *reduced* search plays one of the schedules that differ only in the order of steps that commute.
Of all choices that could have been made otherwise, only those wait for a run without which a race
would never be seen in the other order (`experiments.explore.reversals`). And where the choices a
and b at one point commute, the schedules that begin with b need not be tried with a right after it:
with a first they have been. The client of a then sleeps on the way after b, until a step is made
that a does not commute with (sleep sets; Godefroid, 1996).

Races tell nothing of what the server decided, nor of a run that did not end by itself: there every
other choice is tried, and so it is where preemptions are bounded or things go wrong.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from experiments.explore.independence import Footprint, independent
from experiments.explore.reversals import Step, reversals
from experiments.explore.sampling import possible
from experiments.steer.turns import Move

if TYPE_CHECKING:
    from collections.abc import Iterator

    from experiments.explore.explorer import Explorer, Run
    from experiments.steer.turn import Turn
    from experiments.steer.turns import Turns


class Choice(NamedTuple):
    """What was done, and which step it was."""

    move: Move
    sql: str


@dataclass(slots=True, eq=False)
class Fork:
    """A point at which somebody goes on.

    Attributes:
        before: The point before it, and what was chosen there; None at the beginning.
        cost: How many preemptions lie before it.
        current: Who would be preempted if somebody else went on; -1 for nobody.
        ready: Who could go on.
        asleep: Whose steps need not be tried.
        footprints: What each client's step would do, if no error came of it, and if one did.
        tried: The clients whose steps were chosen, in this order. Faults depend on everything.
        failed: Of those that were played: whether an error came of it.
    """

    before: tuple[Fork, Choice] | None = None
    cost: int = 0
    current: int = -1
    ready: tuple[int, ...] = ()
    asleep: frozenset[int] = frozenset()
    footprints: dict[int, tuple[Footprint, Footprint]] = field(default_factory=dict)
    tried: list[int] = field(default_factory=list)
    failed: dict[int, bool] = field(default_factory=dict)

    @property
    def way(self) -> list[tuple[Fork, Choice]]:
        """The points that lead to it, and what was chosen at each."""
        points, here = [], self.before
        while here is not None:
            points.append(here)
            here = here[0].before
        return points[::-1]

    @property
    def untried(self) -> list[int]:
        """The clients whose steps were not tried, and would have to be."""
        return [each for each in self.ready if each not in self.asleep.union(self.tried)]

    def after(self, move: Move) -> frozenset[int]:
        """Who sleeps after a client's step."""
        client, fault = move
        if fault:
            return frozenset()
        before = self.tried[: self.tried.index(client)]
        return frozenset(
            other
            for other in self.asleep.union(before)
            if other != client and independent(self.footprint(other), self.footprint(client))
        )

    def footprint(self, client: int) -> Footprint:
        """What a client's step does here, as far as that is known."""
        return self.footprints[client][self.failed.get(client, True)]

    def otherwise(self, move: Move) -> Alternative:
        """A choice that could be made here, for a run of its own."""
        if not move.fault:
            self.tried.append(move.client)
        return Alternative(self.cost + (self.current not in (-1, move.client)), self, move)


class Alternative(NamedTuple):
    """A choice that waits for a run of its own.

    Attributes:
        cost: How many preemptions it takes.
        fork: Where it is made; None for the first of all.
        move: What is done.
    """

    cost: int
    fork: Fork | None
    move: Move


class Systematic:
    """Every schedule, or one of each kind, fewest preemptions first.

    Args:
        explorer: Plays them.
        reduce: Whether one of each kind is enough.
        preemptions: How many are allowed; any number if left out.
        faults: How many things may go wrong in a schedule, anywhere.

    Attributes:
        exhausted: Whether nothing is left to play that the explorer could decide.
        lost: How many paths could not be followed again.
        wayward: How many of them although the server decided nothing in them.
    """

    TRIES = 5  # for a path that depends on the server's decisions

    def __init__(
        self,
        explorer: Explorer,
        *,
        reduce: bool = False,
        preemptions: int | None = None,
        faults: int = 0,
    ) -> None:
        self._explorer = explorer
        # What is shared inside of a program is not known, so no two steps are known to commute.
        self._reduce = reduce and not explorer.starts
        self._most = preemptions
        self._faults = faults
        self._number = count()
        self._queue: list[tuple[int, int, Alternative]] = []
        self._wait(Alternative(0, None, Move(0)))
        self.exhausted = False
        self.lost = self.wayward = 0

    def runs(self) -> Iterator[Run | None]:
        """Play schedule after schedule.

        Yields:
            Each run; None for one that turned out to be like an earlier one on its way.
        """
        by_races = self._reduce and not self._faults and self._most is None
        while self._queue:
            *_, chosen = heapq.heappop(self._queue)
            for _ in range(self.TRIES):
                walk = _Walk(
                    self._explorer,
                    chosen,
                    reduce=self._reduce,
                    everything=not by_races,
                    faults=self._faults,
                )
                run = self._explorer.run(walk)
                if not walk.diverged:
                    break
            else:
                self.lost += 1
                self.wayward += not any(turn.server_decided for turn in run.turns)
                continue
            for alternative in walk.alternatives(run):
                self._wait(alternative)
            yield None if walk.cut else run
        self.exhausted = True

    def _wait(self, alternative: Alternative) -> None:
        if self._most is None or alternative.cost <= self._most:
            heapq.heappush(self._queue, (alternative.cost, next(self._number), alternative))


class _Walk:
    """Makes the choices of one run.

    Args:
        explorer: Plays it.
        chosen: Where it leaves what is known, and how.
        reduce: Whether schedules that differ in nothing that matters are one.
        everything: Whether all other choices are to be tried, or only those that races call for.
        faults: How many things may go wrong.

    Attributes:
        cut: Whether all that was left had been tried before.
        diverged: Whether its path could not be followed.
    """

    def __init__(
        self,
        explorer: Explorer,
        chosen: Alternative,
        *,
        reduce: bool,
        everything: bool,
        faults: int,
    ) -> None:
        self._ledger = explorer.ledger()
        self._reduce = reduce
        self._everything = everything
        self._faults = faults
        self._cost, fork, self._new = chosen
        self._known: list[tuple[Fork, Choice]] = fork.way if fork else []
        self._forks = [point for point, _ in self._known]
        self._forks += [fork] if fork else []
        self._choices: list[Choice] = []
        self._asleep: frozenset[int] = frozenset()
        self._last: Turn | None = None
        self._pending: list[tuple[Fork, int]] = []
        self._alternatives: list[Alternative] = []
        self.cut = False
        self.diverged = False

    def __call__(self, turns: Turns) -> Move:
        """Choose what is done next."""
        self._settle()
        ready = turns.ready
        if self.cut or self.diverged:
            # To the end all the same: to abandon connections costs more than to use them.
            return self._note(turns, _going_on(ready, self._last))
        if len(self._choices) < len(self._forks):
            return self._follow(turns)
        awake = [client for client in ready if client not in self._asleep]
        if not awake:
            if faults := self._possible_faults(turns):
                self._offer(Fork(self._before(), self._cost, asleep=self._asleep), faults)
            self.cut = True
            return self._note(turns, _going_on(ready, self._last))
        return self._note(turns, self._branch(turns, awake))

    def _follow(self, turns: Turns) -> Move:
        position = len(self._choices)
        known = self._known[position][1] if position < len(self._known) else None
        move = known.move if known else self._new
        if not possible(move, turns) or (known and known.sql != _sql(turns, move)):
            self.diverged = True
            return self._note(turns, _going_on(turns.ready, self._last))
        if known is None:
            fork = self._forks[-1]
            self._asleep = fork.after(move) if self._reduce else frozenset()
            if not move.fault:
                self._pending.append((fork, move.client))
        return self._note(turns, move)

    def _branch(self, turns: Turns, awake: list[int]) -> Move:
        ready = turns.ready
        current = self._last.client if self._last and self._last.client in ready else -1
        client = current if current in awake else awake[0]
        # What the server decided otherwise this time may have taken a step away.
        self._asleep &= ready.keys()
        fork = Fork(self._before(), self._cost, current, tuple(ready), self._asleep)
        if self._reduce:
            waiting = [turn for turn in turns.flying if turn.client in turns.waiting]
            fork.footprints = {
                each: (
                    self._ledger.footprint(turn, waiting, may_fail=False),
                    self._ledger.footprint(turn, waiting, may_fail=True),
                )
                for each, turn in ready.items()
            }
        self._forks.append(fork)
        fork.tried.append(client)
        if self._everything:
            self._try_all(fork)
        self._offer(fork, self._possible_faults(turns))
        if self._reduce:
            self._asleep = fork.after(Move(client))
            self._pending.append((fork, client))
        self._cost += current not in (-1, client)
        return Move(client)

    def _before(self) -> tuple[Fork, Choice] | None:
        return (self._forks[-1], self._choices[-1]) if self._forks else None

    def _possible_faults(self, turns: Turns) -> list[Move]:
        met = sum(bool(choice.move.fault) for choice in self._choices)
        return turns.faults if met < self._faults else []

    def _offer(self, fork: Fork, faults: list[Move]) -> None:
        """Have things go wrong here too, in runs of their own."""
        self._alternatives += map(fork.otherwise, faults)

    def _try_all(self, fork: Fork) -> None:
        self._alternatives += [fork.otherwise(Move(client)) for client in fork.untried]

    def alternatives(self, run: Run) -> list[Alternative]:
        """Return the choices that are to be made otherwise, in runs of their own.

        Args:
            run: What was played.
        """
        self._settle()
        if self._everything:
            return self._alternatives
        new = self._forks[len(self._known) :]
        if run.broken or run.server_decided:
            for fork in new:
                self._try_all(fork)
        for race in reversals(self._steps(run)):
            fork = self._forks[race.earlier]
            if not fork.asleep.union(fork.tried).isdisjoint(race.first):
                continue
            client = race.later if race.later in race.first else race.first[0]
            if client in fork.ready:
                self._alternatives.append(fork.otherwise(Move(client)))
            else:
                self._try_all(fork)
        return self._alternatives

    def _steps(self, run: Run) -> list[Step]:
        """The steps up to where the run was cut, if it was."""
        played = [number for number, turn in enumerate(run.turns) if not turn.background]
        position = {number: place for place, number in enumerate(played)}
        steps = []
        for fork, number in zip(self._forks, played, strict=False):
            turn = run.turns[number]
            answered = None if turn.answered_at is None else position.get(turn.answered_at)
            steps.append(Step(turn.client, fork.footprint(turn.client), answered))
        return steps

    def _note(self, turns: Turns, move: Move) -> Move:
        turn = turns.ready.get(move.client)
        if self._reduce and turn is not None:
            if move.fault:
                self._ledger.forget(move.client)
            else:
                self._ledger.note(turn)
        self._choices.append(Choice(move, _sql(turns, move)))
        self._last = turn
        return move

    def _settle(self) -> None:
        """Take account of what came of the step before, now that it is known."""
        if self._last is None or not self._reduce:
            return
        self._ledger.settle(self._last)
        for fork, client in self._pending:
            fork.failed[client] = self._last.error is not None or self._last.answered_at is None
        self._pending.clear()


def _sql(turns: Turns, move: Move) -> str:
    turn = turns.ready.get(move.client)
    if turn is None:
        return ""
    return f"-- goes on\n{turn.sql}" if turn.kind == "write" else turn.sql


def _going_on(ready: dict[int, Turn], last: Turn | None) -> Move:
    return Move(last.client if last and last.client in ready else min(ready))
