"""What requests share in the simulation: processors, interpreters, the log, connections, the line.

A piece of work takes a processor for as long as it lasts; pieces are short (microseconds), so
that whoever waits for a processor waits about as long as under an operating system that lets all
take turns. A Python process runs one thread at a time, however many processors there are: its
threads queue for the interpreter first. Commits that are due while a flush to disk is under way
are flushed together by the next one, as PostgreSQL does it.
"""

from __future__ import annotations

from collections import deque
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import simpy

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from random import Random

    from experiments.model.calibration import Machine


LONG_S = 1.0


class Computer:
    """A number of processors; whoever waits for one gets it in no particular order.

    Args:
        env: Where time passes.
        cores: How many processors.
        crowding: By which part work takes longer in a crowd, times the square root of how many
            requests are at work but the first: to switch between many takes time.
        source: Decides the order.

    Attributes:
        busy: How many requests are at work, or would be if a processor were free.
    """

    def __init__(self, env: simpy.Environment, cores: int, crowding: float, source: Random) -> None:
        self._env = env
        self._cores = simpy.PriorityResource(env, cores)
        self._source = source
        self._crowding = crowding
        self.busy = 0

    @contextmanager
    def idle(self) -> Iterator[None]:
        """Count a request no longer while it waits for something else than a processor."""
        self.busy -= 1
        yield
        self.busy += 1

    def work(self, seconds: float) -> Generator[simpy.Event, Any, None]:
        """Take a processor for so many seconds, as soon as one is free."""
        if not seconds:
            return
        with self._cores.request(priority=self._source.random()) as turn:  # type: ignore[arg-type]  # any order will do
            yield turn
            crowd = max(0, self.busy - 1) ** 0.5
            yield self._env.timeout(seconds * (1 + self._crowding * crowd))


class Interpreter:
    """A Python process: its threads run one at a time, on a processor of its computer.

    Whoever waits for the interpreter gets it in no particular order.
    """

    def __init__(self, env: simpy.Environment, computer: Computer, source: Random) -> None:
        self._lock = simpy.PriorityResource(env, 1)
        self._computer = computer
        self._source = source

    def work(self, seconds: float) -> Generator[simpy.Event, Any, None]:
        """Run Python for so many seconds."""
        with self._lock.request(priority=self._source.random()) as turn:  # type: ignore[arg-type]  # any order will do
            yield turn
            yield from self._computer.work(seconds)


class Rest:
    """When a process, a client's thread or a session of the server's, was last at work."""

    def __init__(self, env: simpy.Environment, machine: Machine, *, server: bool) -> None:
        self._env = env
        self._machine = machine
        self._server = server
        # Before it begins everybody has waited for the others, which takes longer than any rest.
        self._last = env.now - LONG_S

    def over(self) -> float:
        """Return how many times longer work takes now, after the rest."""
        return self._machine.slower(self._env.now - self._last, server=self._server)

    def begin(self) -> None:
        """Note that there is nothing to do from now on."""
        self._last = self._env.now


class User:
    """A client: a thread of a Python process.

    Args:
        interpreter: The process.
        rest: The thread's.
    """

    def __init__(self, interpreter: Interpreter, rest: Rest) -> None:
        self._interpreter = interpreter
        self._rest = rest

    def work(self, seconds: float) -> Generator[simpy.Event, Any, None]:
        """Work for so many seconds, or longer after a rest."""
        yield from self._interpreter.work(seconds * self._rest.over())
        self._rest.begin()


class Pool:
    """The connections of a process; a pool of SQLAlchemy's.

    It is not fair, and that matters: who gives a connection back wakes one of those who wait, but
    before that one runs, the next request of the same thread may have taken it again.

    Args:
        env: Where time passes.
        sessions: The server's sessions at the connections' other ends.
        client: The process.
    """

    def __init__(self, env: simpy.Environment, sessions: list[Rest], client: Interpreter) -> None:
        self._env = env
        self._free = deque(sessions)
        self._client = client
        self._waiting: deque[simpy.Event] = deque()

    def take(self) -> Generator[simpy.Event, Any, Rest]:
        """Take a connection, as soon as there is one."""
        while not self._free:
            woken = self._env.event()
            self._waiting.append(woken)
            yield woken
            yield from self._client.work(0)  # it must have the interpreter to look
        return self._free.popleft()

    def give(self, session: Rest) -> None:
        """Give a connection back."""
        self._free.append(session)
        if self._waiting:
            self._waiting.popleft().succeed()


class Log:
    """The write-ahead log: what was written is flushed to disk, one flush at a time."""

    def __init__(self, env: simpy.Environment, computer: Computer, cpu_share: float) -> None:
        self._env = env
        self._computer = computer
        self._cpu_share = cpu_share
        self._flushing = simpy.Resource(env, 1)
        self._written = 0
        self._flushed = 0

    def flush(self, seconds: float) -> Generator[simpy.Event, Any, None]:
        """Return when what has been written until now is on disk; one flush takes so long."""
        self._written += 1
        mine = self._written
        with self._flushing.request() as turn:
            yield turn
            if self._flushed >= mine:  # somebody's flush took it along
                return
            covers = self._written
            yield from self._computer.work(seconds * self._cpu_share)
            yield self._env.timeout(seconds * (1 - self._cpu_share))
            self._flushed = covers


class Network:
    """The way between clients and server.

    Args:
        env: Where time passes.
        machine: What a message costs.
        delay_s: What the network adds to a round trip, in seconds.
        proxy: The computer on which a proxy passes messages on, one at a time; None where there
            is a real network instead, which takes no processor.
    """

    def __init__(
        self, env: simpy.Environment, machine: Machine, delay_s: float, proxy: Computer | None
    ) -> None:
        self._env = env
        self._one_way_s = delay_s / 2 + machine.wake_s
        # Messages are passed on in the order in which they came.
        self._proxy = simpy.Resource(env, 1) if proxy and delay_s else None
        self._computer = proxy
        self._proxy_s = machine.proxy_s
        if self._proxy:
            self._one_way_s += machine.late_s / 2

    def carry(self) -> Generator[simpy.Event, Any, None]:
        """Carry a message from one end to the other."""
        if self._proxy and self._computer:
            with self._proxy.request() as turn:
                yield turn
                yield from self._computer.work(self._proxy_s)
        yield self._env.timeout(self._one_way_s)


class Calendar:
    """Where rivals meet: a lock, a count of bookings, and what is taken.

    Attributes:
        lock: Held by one at a time; the others queue, or are refused.
        due: Bookings that nothing can stop any more.
        done: Bookings that everybody can see.
        taken: The places that are booked.
    """

    def __init__(self, env: simpy.Environment) -> None:
        self.lock = simpy.Resource(env, 1)
        self.due = 0
        self.done = 0
        self.taken: set[int] = set()
