"""The model: clients, a pool, a network, processors, and the locks at which bookings meet.

It runs the script of a strategy (`experiments.model.scripts`) for many clients in simulated time.
For each round trip a client works in Python, a message travels, the server works through the
statements, and the answer travels back. At the statement that locks, rivals meet, and what happens
then follows from the strategy's traits:

- It waits (`waits`): they queue in the order in which they came, and the lock is held until the
  COMMIT is on disk.
- It is refused (`may_answer_busy`): the transaction is rolled back, the connection given back, and
  the request tried again after a pause, as often as the retry policy allows.
- It is overtaken (`neighbours_retry` without `may_answer_busy`): whoever has read the calendar
  before a rival's booking was done must start again when it comes to its own.

Who is a rival, `neighbours_wait` and `neighbours_retry` say. The retry policy is the real one's own
object. What is not in the model: deadlocks, tables that grow, vacuum, checkpoints, failures.
"""

from __future__ import annotations

from itertools import count
from random import Random
from typing import TYPE_CHECKING, Any

import simpy

from experiments.model.answers import ANSWERED, Answers, Row
from experiments.model.attempt import Attempt, Server
from experiments.model.cells import Site
from experiments.model.machine import (
    Calendar,
    Computer,
    Interpreter,
    Log,
    Network,
    Pool,
    Rest,
    User,
)
from experiments.scenes.catalogue import find_strategy

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from booking_core.strategies import Strategy
    from experiments.model.calibration import Calibration
    from experiments.model.cells import Cell


class Simulation:
    """A strategy's clients in simulated time.

    Args:
        cell: What they do.
        calibration: What it costs.
        seed: For everything that is drawn; the same seed gives the same answers.
        site: Where things run.
        strategy: The strategy, where it is not to be found by the cell's name.
    """

    def __init__(
        self,
        cell: Cell,
        calibration: Calibration,
        *,
        seed: int = 1,
        site: Site | None = None,
        strategy: Strategy | None = None,
    ) -> None:
        site = site or Site()
        machine = calibration.machine
        recorded = calibration.recorded[cell.strategy]
        self.env = simpy.Environment()
        self.cell = cell
        self._strategy = strategy or find_strategy(cell.strategy)
        self._source = Random(f"{seed}, {cell}")  # noqa: S311 - no secret
        self._machine = machine
        self._scripts = recorded.scripts(held=cell.hold_ms > 0, one_by_one=cell.one_by_one)
        self._way = recorded.way(one_by_one=cell.one_by_one)
        self._vain_s = recorded.vain_s
        computer = Computer(self.env, site.cores or machine.cores, machine.crowding, self._source)
        self._network = Network(
            self.env, machine, cell.delay_ms / 1000, None if site.apart else computer
        )
        self.server = Server(
            self.env,
            computer,
            Log(self.env, computer, machine.flush_cpu),
            self._network,
            machine,
            site.two_phase,
        )
        self._clients = [
            Interpreter(
                self.env,
                Computer(self.env, 1, 0, self._source) if site.apart else computer,
                self._source,
            )
            for _ in range(cell.crew)
        ]
        pool = cell.pool or cell.clients
        self._pools = [
            Pool(self.env, self._rests(max(1, cell.share(pool, each)), server=True), client)
            for each, client in enumerate(self._clients)
        ]
        self._calendars: dict[object, Calendar] = {}
        self.answers: list[Row] = []

    def closed(self) -> Answers:
        """Let the cell's clients ask again and again until its time is over."""
        numbers = count()
        for client in range(self.cell.clients):
            self.env.process(self._client(client % self.cell.crew, numbers))
        self.env.run(self.cell.seconds)
        return Answers.of(self.cell.seconds, self.answers)

    def arriving(self, rate: float) -> Answers:
        """Let requests arrive at random, so many a second, until the cell's time is over."""
        self.env.process(self._arrivals(rate))
        self.env.run(self.cell.seconds)
        return Answers.of(self.cell.seconds, self.answers)

    def crowd(self, spread_s: float = 0.0, gate: int | None = None) -> Answers:
        """Let every client ask once, all within a moment, and go on until all are answered.

        Args:
            spread_s: Over how many seconds they come.
            gate: How many are let through at a time by a queue in front of the database, which
                tells the others that the slot is taken as soon as it hears so itself; None for
                no such queue.
        """
        front = simpy.Resource(self.env, gate) if gate else None
        for client in range(self.cell.clients):
            comes = self._source.uniform(0, spread_s)
            self.env.process(self._once(client, comes, front))
        self.env.run()
        return Answers.of(self.env.now, self.answers)

    def _client(self, process: int, numbers: Iterator[int]) -> Generator[simpy.Event, Any, None]:
        user = self._user(process)
        while True:
            yield from self._request(process, user, *self.cell.target(next(numbers)))

    def _arrivals(self, rate: float) -> Generator[simpy.Event, Any, None]:
        for number in count():
            yield self.env.timeout(self._source.expovariate(rate))
            process = number % self.cell.crew
            request = self._request(process, self._user(process), *self.cell.target(number))
            self.env.process(request)

    def _once(
        self, client: int, comes: float, front: simpy.Resource | None
    ) -> Generator[simpy.Event, Any, None]:
        yield self.env.timeout(comes)
        calendar, place = self.cell.target(client)
        process = client % self.cell.crew
        user = self._user(process)
        if front is None:
            yield from self._request(process, user, calendar, place)
            return
        started = self.env.now
        with front.request() as turn:
            yield turn
            if place in self._at(calendar).taken:
                self.answers.append((started, self.env.now, "conflict", 0))
            else:
                yield from self._request(process, user, calendar, place, started=started)

    def _user(self, process: int) -> User:
        return User(self._clients[process], self._rests(1, server=False)[0])

    def _request(
        self,
        process: int,
        user: User,
        calendar: int,
        place: int,
        *,
        started: float | None = None,
    ) -> Generator[simpy.Event, Any, None]:
        """Try a request until it is answered; between two tries no connection is held."""
        started = self.env.now if started is None else started
        retry = self._strategy.retry
        for attempt in count(1):
            session = yield from self._pools[process].take()
            self.server.computer.busy += 1
            outcome = yield from self._attempt(user, session, calendar, place)
            self.server.computer.busy -= 1
            self._pools[process].give(session)
            if outcome in ANSWERED or attempt >= retry.attempts:
                break
            yield self._sleep(retry.pause(attempt, self._source))
        self.answers.append((started, self.env.now, outcome, attempt))

    def _rests(self, number: int, *, server: bool) -> list[Rest]:
        return [Rest(self.env, self._machine, server=server) for _ in range(number)]

    def _attempt(
        self, user: User, session: Rest, calendar: int, place: int
    ) -> Generator[simpy.Event, Any, str]:
        """Run the transaction once; return how it ended."""
        traits = self._strategy.traits
        rivals = {"none": (calendar, place), "same staff": calendar, "everybody": None}
        attempt = Attempt(
            server=self.server,
            traits=traits,
            scripts=self._scripts,
            meeting=self._at(rivals[traits.neighbours_wait]),
            overtakers=self._at(rivals[traits.neighbours_retry]),
            calendar=self._at(calendar),
            place=place,
            session=session,
        )
        number = 0
        while number < len(attempt.script.trips):
            if number == attempt.script.hold_before:
                with self.server.computer.idle():
                    yield self._sleep(self.cell.hold_ms / 1000)
            yield from self._python(user, attempt)
            yield from self._carry()
            refusal = yield from attempt.serve(number, self._source)
            yield from self._carry()
            if refusal:
                if refusal.must_roll_back:  # until then what is locked stays so
                    yield from self._python(user, attempt)
                    yield from self._carry()
                    yield from attempt.roll_back()
                    yield from self._carry()
                yield from user.work(self._vain_s)
                return refusal.outcome
            number += 1
        yield from self._python(user, attempt)
        return "conflict" if attempt.lost else "booked"

    def _python(self, user: User, attempt: Attempt) -> Generator[simpy.Event, Any, None]:
        """Let the client work: its share before, between and after the round trips."""
        times = self._way.lost if attempt.lost else self._way.booked
        yield from user.work(times.draw(self._source) / (len(attempt.script.trips) + 1))

    def _carry(self) -> Generator[simpy.Event, Any, None]:
        with self.server.computer.idle():
            yield from self._network.carry()

    def _sleep(self, seconds: float) -> simpy.Event:
        return self.env.timeout(seconds + self.server.machine.oversleep_s)

    def _at(self, rivals: object) -> Calendar:
        """Return where those meet who are each other's rivals."""
        if rivals not in self._calendars:
            self._calendars[rivals] = Calendar(self.env)
        return self._calendars[rivals]


def simulate(
    cell: Cell,
    calibration: Calibration,
    *,
    seed: int = 1,
    **options: Any,  # noqa: ANN401 - as Simulation's
) -> Answers:
    """Simulate a cell: its clients ask again and again until its time is over.

    Args:
        cell: What they do.
        calibration: What it costs.
        seed: For everything that is drawn; the same seed gives the same answers.
        options: As `Simulation` takes them.
    """
    return Simulation(cell, calibration, seed=seed, **options).closed()
