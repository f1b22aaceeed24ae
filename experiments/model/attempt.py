"""One attempt at a booking, as the server sees it: statement after statement, and the rivals.

What a strategy does when it meets a rival follows from its traits; `simulate` tells the rules.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Generator
    from random import Random

    import simpy
    from simpy.resources.resource import Request

    from booking_core.strategies import Traits
    from experiments.model.calibration import Machine
    from experiments.model.machine import Calendar, Computer, Log, Network, Rest
    from experiments.model.scripts import Script, Step

REFUSED, OVERTAKEN = "busy", "serialization_failure"


@dataclass(frozen=True, slots=True)
class Refusal:
    """That an attempt was in vain.

    Attributes:
        outcome: What a request is told that has no further try.
        must_roll_back: Whether the transaction is still open, which costs a round trip.
    """

    outcome: str
    must_roll_back: bool


@dataclass(frozen=True, slots=True)
class Server:
    """What the server has to run an attempt.

    Attributes:
        env: Where time passes.
        computer: Its processors.
        log: Its write-ahead log.
        network: The way to another node, where a booking is committed on two.
        machine: What things cost.
        two_phase: Whether it is.
    """

    env: simpy.Environment
    computer: Computer
    log: Log
    network: Network
    machine: Machine
    two_phase: bool


class Attempt:
    """One attempt.

    Args:
        server: Who runs it.
        traits: What the strategy claims about itself.
        scripts: What it sends for a booking, and where the slot is taken.
        meeting: Where it meets those whom it waits for, or is refused by.
        overtakers: Where those book who make it start again.
        calendar: The calendar, with what is taken.
        place: What is wanted.
        session: Of the server's, by its rest.

    Attributes:
        script: What is sent, as far as is known now.
    """

    def __init__(  # noqa: PLR0913 - an attempt has as many sides
        self,
        *,
        server: Server,
        traits: Traits,
        scripts: tuple[Script, Script],
        meeting: Calendar,
        overtakers: Calendar,
        calendar: Calendar,
        place: int,
        session: Rest,
    ) -> None:
        self.script, self._lost = scripts
        self._server = server
        self._traits = traits
        self._meeting = meeting
        self._overtakers = overtakers
        self._calendar = calendar
        self._place = place
        self._turn: Request | None = None
        self._seen = 0
        self._session = session
        self._slower = 1.0
        self._optimistic = traits.neighbours_retry != "none" and not traits.may_answer_busy

    @property
    def lost(self) -> bool:
        """Whether the slot was found taken."""
        return self.script is self._lost

    def serve(self, trip: int, source: Random) -> Generator[simpy.Event, Any, Refusal | None]:
        """Work through the statements of a round trip; return why it was in vain, if it was."""
        self._slower = self._session.over()
        yield from self._server.computer.work(self._server.machine.server_s * self._slower)
        refusal = yield from self._statements(trip, source)
        self._session.begin()
        return refusal

    def roll_back(self) -> Generator[simpy.Event, Any, None]:
        """Undo it, and release what is locked."""
        slower = self._session.over()
        yield from self._server.computer.work(self._server.machine.server_s * slower)
        self.let_go()
        self._session.begin()

    def _statements(self, trip: int, source: Random) -> Generator[simpy.Event, Any, Refusal | None]:
        if trip == 0:
            self._seen = self._overtakers.done
            self._look()
        last = trip == len(self.script.trips) - 1
        for place in range(len(self.script.trips[trip])):
            step = self.script.trips[trip][place]
            if step.locks:
                refusal = yield from self._meet()
                if refusal:
                    return refusal
                step = self.script.trips[trip][place]
            if last and not self._traits.waits and self._overtaken():
                return Refusal(OVERTAKEN, must_roll_back=not step.commits)
            yield from self._execute(step, source)
        return None

    def let_go(self) -> None:
        """Release what is locked."""
        if self._turn:
            self._meeting.lock.release(self._turn)
            self._turn = None

    def _look(self) -> None:
        if self._place in self._calendar.taken:
            self.script = self._lost

    def _overtaken(self) -> bool:
        return self._optimistic and not self.lost and self._overtakers.due != self._seen

    def _meet(self) -> Generator[simpy.Event, Any, Refusal | None]:
        """Wait for rivals, or be refused, as the strategy has it."""
        lock = self._meeting.lock
        by_slot = self._traits.neighbours_wait == "none"
        if by_slot and self.lost:  # a constraint waits for nobody whose fate is known
            return None
        if lock.count and not self._traits.waits:
            return Refusal(REFUSED, must_roll_back=True)
        waits = bool(lock.count)
        self._session.begin()
        self._turn = lock.request()
        with self._server.computer.idle():
            yield self._turn
        if waits:
            yield from self._server.computer.work(self._server.machine.handover_s)
            self._slower = self._session.over()
        if self._overtaken():
            return Refusal(OVERTAKEN, must_roll_back=True)
        self._look()
        if by_slot and self.lost:
            self.let_go()
        return None

    def _execute(self, step: Step, source: Random) -> Generator[simpy.Event, Any, None]:
        seconds = step.times.draw(source) * self._slower
        if not step.commits or self.lost:
            yield from self._server.computer.work(seconds)
        else:
            self._overtakers.due += 1
            yield from self._commit(seconds)
            self._overtakers.done += 1
            self._calendar.taken.add(self._place)
        if step.commits:
            self.let_go()

    def _commit(self, seconds: float) -> Generator[simpy.Event, Any, None]:
        server = self._server
        flush = max(0.0, seconds - server.machine.commit_s)
        yield from server.computer.work(min(seconds, server.machine.commit_s))
        yield from server.log.flush(flush)
        if server.two_phase:  # what was flushed is PREPARE TRANSACTION
            yield from server.network.carry()
            yield from server.network.carry()
            yield from server.computer.work(server.machine.server_s)
            yield from server.log.flush(flush)
