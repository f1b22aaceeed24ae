"""A stage on which clients are stepped by hand, for learning and for talks.

    with Hand("advisory") as stage:
        a, b = stage.clients
        a.step()
        b.step()

Each call lets one step of that client through to the server and returns what can then be seen:
what came of it, who is before which step, and who holds and waits for what, as `pg_locks` says.
Row locks are written into the rows and are not in `pg_locks`; who waits for one is seen waiting
for the end of its holder's transaction. When all are done, the replies and the rows are judged.

The explorer plays one run, in a thread of its own, and asks at each choice whose step is next; the
answer is whoever is stepped.
"""

from __future__ import annotations

import queue
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Self

from experiments.explore import narrate
from experiments.explore.explorer import Explorer, Learnt, Run
from experiments.explore.plays import BookingPlay, Judgement
from experiments.explore.view import Standing, View
from experiments.scenes.catalogue import find_strategy
from experiments.scenes.shapes import SHAPES
from experiments.schedules import labels
from experiments.server.connection import connect
from experiments.server.postgres import fresh_database
from experiments.steer.blockers import DOOR
from experiments.steer.turns import Move

if TYPE_CHECKING:
    from booking_core.strategies import Strategy
    from experiments.schedules.schedule import Step
    from experiments.steer.turn import Turn
    from experiments.steer.turns import Turns

ATTEMPTS = 3
SECONDS = 30
"""How long a step may take before the stage is taken to be broken."""

# ruff: noqa: S608 - the number is ours
_LOCKS = f"""
    SELECT pid, granted, CASE locktype
           WHEN 'advisory' THEN 'advisory lock ' || CASE objsubid
                WHEN 1 THEN ((classid::bigint << 32) | objid::bigint)::text
                ELSE format('(%%s, %%s)', classid, objid) END
           WHEN 'transactionid' THEN CASE WHEN granted
                THEN 'a transaction that writes' ELSE 'the end of a transaction' END
           WHEN 'relation' THEN format('table %%s (%%s)', relation::regclass, mode)
           ELSE format('%%s of %%s (%%s)', locktype, relation::regclass, mode) END AS words
      FROM pg_locks LEFT JOIN pg_class ON pg_class.oid = relation
     WHERE pid = ANY(%s) AND mode <> 'AccessShareLock' AND locktype <> 'virtualxid'
           AND (locktype, classid) <> ('advisory', {DOOR})
           AND (relation IS NULL OR relkind = 'r' AND relnamespace = 'public'::regnamespace)
     ORDER BY pid, granted DESC, words
"""


class Hand:
    """The stage. A context manager; without `with`, `close` it.

    Args:
        strategy: A strategy, its class, or its name.
        shape: A name of `experiments.scenes.shapes.SHAPES`.
        clients: How many.
        gates: Whether a statement that looks and writes is two steps.

    Attributes:
        clients: Whom to step.
        run: What was played, once all are done.
    """

    def __init__(
        self,
        strategy: str | Strategy | type[Strategy],
        *,
        shape: str = "same_slot",
        clients: int = 2,
        gates: bool = False,
    ) -> None:
        self.clients = [Stepped(self, number) for number in range(clients)]
        self.run: Run | None = None
        self._failure: BaseException | None = None
        self._turns: Turns | None = None
        self._asked: queue.Queue[Turns | None] = queue.Queue()
        self._chosen: queue.Queue[Move | None] = queue.Queue()
        with ExitStack() as opening:
            database = opening.enter_context(fresh_database())
            play = BookingPlay(
                database.engine(),
                find_strategy(strategy),
                SHAPES[shape].scene(clients),
                attempts=ATTEMPTS,
            )
            self._explorer = opening.enter_context(Explorer(database, play, gates=gates))
            self._monitor = opening.enter_context(connect(database.url))
            self._open = opening.pop_all()
        self._thread = threading.Thread(target=self._play, name="stage", daemon=True)
        self._thread.start()
        self._await()

    def __enter__(self) -> Self:
        """Return the stage, on which nobody has done anything yet."""
        return self

    def __exit__(self, *_: object) -> None:
        """Clear the stage."""
        self.close()

    def close(self) -> None:
        """End the run, wherever it is, and drop the database."""
        if self._turns is not None:
            self._chosen.put(None)
        self._thread.join(SECONDS)
        self._open.close()

    def step(self, client: int) -> View:
        """Let a client's next step through, and return what can then be seen."""
        name = labels.client(client)
        if self._turns is None:
            return self.look("All are done.")
        if client in self._turns.waiting:
            return self.look(f"{name} waits, and can't go on by itself.")
        if client not in self._turns.ready:
            return self.look(f"{name} is done.")
        taken, before = self._turns.taken, len(self._turns.taken)
        self._chosen.put(Move(client))
        self._await()
        steps = _steps(taken)
        happened = [
            f"{labels.client(step.client)}: {labels.action(step)}, "
            + (labels.outcome(step) or "done" if step.answered_at is not None else "and waits")
            for number, step in sorted(enumerate(steps), key=lambda each: each[0] < before)
            if not step.background
            and (number >= before or (step.answered_at is not None and step.answered_at >= before))
        ]
        return self.look(". ".join(happened) + ".")

    def look(self, happened: str = "") -> View:
        """Return what can be seen now.

        Args:
            happened: What is to be said of the step before.
        """
        if self._turns is None:
            return View(f"{happened} {self._ending()}".strip(), ())
        turns = self._turns
        pids = {turn.pid: turn.client for turn in [*turns.taken, *turns.ready.values()]}
        locks = self._monitor.execute(_LOCKS, [list(pids)]).fetchall()
        standings = []
        for client in range(len(self.clients)):
            held, waited = (
                ", ".join(w for pid, has, w in locks if pids[pid] == client and has is granted)
                for granted in (True, False)
            )
            standings.append(Standing(labels.client(client), self._state(client), held, waited))
        return View(happened, tuple(standings))

    def _state(self, client: int) -> str:
        assert self._turns
        if client in self._turns.waiting:
            return f"waits for {labels.clients(tuple(sorted(self._turns.waiting[client])))}"
        turn = self._turns.ready.get(client)
        if turn is None:
            return "is done"
        (step,) = _steps([turn])
        return f"is about to: {labels.action(step)}"

    def _ending(self) -> str:
        if self.run is None:
            return f"The run was ended: {self._failure}" if self._failure else "The run was ended."
        told = [
            f"{labels.client(reply.client)} is told: {reply.outcome}"
            for reply in self.run.judgement.replies
        ]
        broken = [labels.breach(breach) for breach in narrate.breaches(self.run)]
        return ". ".join(["All are done", *told, *(broken or ["No property broke"])]) + "."

    def _await(self) -> None:
        try:
            self._turns = self._asked.get(timeout=SECONDS)
        except queue.Empty:
            raise TimeoutError("The stage does not answer.") from None

    def _play(self) -> None:
        """Play one run; in a thread of its own."""
        try:
            self.run = self._explorer.run(self._choose)
        except Learnt:
            pass
        except BaseException as failure:  # noqa: BLE001 - told to whoever steps
            self._failure = failure
        self._asked.put(None)

    def _choose(self, turns: Turns) -> Move | None:
        self._asked.put(turns)
        return self._chosen.get()


def _steps(turns: list[Turn]) -> tuple[Step, ...]:
    return narrate.steps(Run(turns, Judgement({}, ())))


class Stepped:
    """A client that is stepped by hand.

    Args:
        stage: Where it stands.
        number: Which it is.
    """

    def __init__(self, stage: Hand, number: int) -> None:
        self._stage = stage
        self._number = number

    def step(self) -> View:
        """Let its next step through, and return what can then be seen."""
        return self._stage.step(self._number)

    def __repr__(self) -> str:
        return f"<client {labels.client(self._number)}>"
