"""Which schedules are played, and in which order.

A schedule is found by playing it: a run follows a *path* of choices that is known from an earlier
run, makes the one choice there that is new, and then lets the client that has the turn go on as
long as it can. Every choice that it could have made otherwise on its way waits in a queue for its
own run. So each schedule is played exactly once, those with fewest preemptions first: the first
counterexample is about as simple as any.

The *reduced* search adds sleep sets (Godefroid, 1996). Where the choices a and b at one point
commute, the schedules that begin with b need not be tried with a right after it: with a first they
have been. The client of a then sleeps on the way after b, until a step is made that a does not
commute with. Of schedules that differ only in the order of steps that commute, one is played.
"""

from __future__ import annotations

import heapq
from dataclasses import dataclass, field
from itertools import count
from typing import TYPE_CHECKING, NamedTuple

from experiments.explore.independence import Footprint, Ledger, independent
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
    """A point at which several clients could go on.

    Attributes:
        path: The choices that lead to it.
        asleep: Whose steps need not be tried.
        footprints: What each client's step would do, if no error came of it, and if one did.
        tried: The clients whose steps were chosen, in this order. Faults depend on everything.
        failed: Of those that were played: whether an error came of it.
    """

    path: tuple[Choice, ...]
    asleep: frozenset[int] = frozenset()
    footprints: dict[int, tuple[Footprint, Footprint]] = field(default_factory=dict)
    tried: list[int] = field(default_factory=list)
    failed: dict[int, bool] = field(default_factory=dict)

    def after(self, move: Move) -> frozenset[int]:
        """Who sleeps after a client's step."""
        client, fault = move
        if fault:
            return frozenset()
        before = self.tried[: self.tried.index(client)]
        return frozenset(
            other
            for other in self.asleep.union(before)
            if other != client and independent(self._footprint(other), self._footprint(client))
        )

    def _footprint(self, client: int) -> Footprint:
        return self.footprints[client][self.failed.get(client, True)]


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
        self._queue: list[tuple[int, int, Fork | None, Move]] = [(0, 0, None, Move(0))]
        self.exhausted = False
        self.lost = self.wayward = 0

    def runs(self) -> Iterator[Run | None]:
        """Play schedule after schedule.

        Yields:
            Each run; None for one that turned out to be like an earlier one on its way.
        """
        while self._queue:
            cost, _, fork, move = heapq.heappop(self._queue)
            for _ in range(self.TRIES):
                walk = _Walk(
                    self._explorer, fork, move, cost, reduce=self._reduce, faults=self._faults
                )
                run = self._explorer.run(walk)
                if not walk.diverged:
                    break
            else:
                self.lost += 1
                self.wayward += not any(turn.server_decided for turn in run.turns)
                continue
            for extra, other_fork, other in walk.alternatives:
                if self._most is None or extra <= self._most:
                    heapq.heappush(self._queue, (extra, next(self._number) + 1, other_fork, other))
            yield None if walk.cut else run
        self.exhausted = True


class _Walk:
    """Makes the choices of one run.

    Attributes:
        alternatives: The choices that it could have made otherwise: preemptions, fork, client.
        cut: Whether all that was left had been tried before.
        diverged: Whether its path could not be followed.
    """

    def __init__(  # noqa: PLR0913 - all that a run depends on
        self,
        explorer: Explorer,
        fork: Fork | None,
        move: Move,
        cost: int,
        *,
        reduce: bool,
        faults: int,
    ) -> None:
        self._ledger = Ledger(explorer.references, explorer.default_level)
        self._reduce = reduce
        self._fork = fork
        self._new = move
        self._faults = faults
        self._cost = cost
        self._path: list[Choice] = []
        self._asleep: frozenset[int] = frozenset()
        self._last: Turn | None = None
        self._pending: list[tuple[Fork, int]] = []
        self.alternatives: list[tuple[int, Fork, Move]] = []
        self.cut = False
        self.diverged = False

    def __call__(self, turns: Turns) -> Move:
        """Choose what is done next."""
        self._settle()
        ready = turns.ready
        if self.cut or self.diverged:
            # To the end all the same: to abandon connections costs more than to use them.
            return self._note(turns, _going_on(ready, self._last))
        position = len(self._path)
        if self._fork is not None and position <= len(self._fork.path):
            return self._follow(turns, self._fork, position)
        awake = [client for client in ready if client not in self._asleep]
        if not awake:
            if faults := self._possible_faults(turns):
                self._offer(Fork(tuple(self._path), self._asleep), faults, interrupted=-1)
            self.cut = True
            return self._note(turns, _going_on(ready, self._last))
        return self._note(turns, self._branch(turns, awake))

    def _follow(self, turns: Turns, fork: Fork, position: int) -> Move:
        known = fork.path[position] if position < len(fork.path) else None
        move = known.move if known else self._new
        if not possible(move, turns) or (known and known.sql != _sql(turns, move)):
            self.diverged = True
            return self._note(turns, _going_on(turns.ready, self._last))
        if known is None:
            self._asleep = fork.after(move) if self._reduce else frozenset()
            if not move.fault:
                self._pending.append((fork, move.client))
        return self._note(turns, move)

    def _branch(self, turns: Turns, awake: list[int]) -> Move:
        ready = turns.ready
        current = self._last.client if self._last else -1
        client = current if current in awake else awake[0]
        interrupts = current in ready
        faults = self._possible_faults(turns)
        if len(awake) > 1 or self._asleep or faults:
            fork = Fork(tuple(self._path), self._asleep)
            if self._reduce:
                waiting = [turn for turn in turns.flying if turn.client in turns.waiting]
                fork.footprints = {
                    each: (
                        self._ledger.footprint(turn, waiting, may_fail=False),
                        self._ledger.footprint(turn, waiting, may_fail=True),
                    )
                    for each, turn in ready.items()
                }
            fork.tried = [client, *(each for each in awake if each != client)]
            for other in fork.tried[1:]:
                self.alternatives.append((self._cost + interrupts, fork, Move(other)))
            self._offer(fork, faults, interrupted=current if interrupts else -1)
            if self._reduce:
                self._asleep = fork.after(Move(client))
                self._pending.append((fork, client))
        self._cost += interrupts and client != current
        return Move(client)

    def _possible_faults(self, turns: Turns) -> list[Move]:
        met = sum(bool(choice.move.fault) for choice in self._path)
        return turns.faults if met < self._faults else []

    def _offer(self, fork: Fork, faults: list[Move], *, interrupted: int) -> None:
        """Have things go wrong here too, in runs of their own."""
        for fault in faults:
            passed_over = interrupted not in (-1, fault.client)
            self.alternatives.append((self._cost + passed_over, fork, fault))

    def _note(self, turns: Turns, move: Move) -> Move:
        turn = turns.ready.get(move.client)
        if self._reduce and turn is not None:
            if move.fault:
                self._ledger.forget(move.client)
            else:
                self._ledger.note(turn)
        self._path.append(Choice(move, _sql(turns, move)))
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
