"""Clients in processes of their own, each a Python interpreter that was started afresh.

Threads of one process share what Python keeps to itself: its interpreter, its modules, the seed of
its `hash()`. A lock that lives there, or is named after something of it, keeps them apart and
nobody else. Processes are started anew (start method "spawn"), since forks would share that too.

A process has its share of the clients, and stays for all rounds: it is told which scene begins and
at which instant, and sends back how each of its clients fared. What it is given is pickled.
"""

from __future__ import annotations

import multiprocessing
import pickle
import time
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Self

from sqlalchemy import create_engine

from experiments.race.clients import Clients, connections
from experiments.scenes.parameters import BadExperiment

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from sqlalchemy import URL

    from booking_core.strategies import Strategy
    from experiments.race.clients import Manner, Run
    from experiments.scenes.stage import Stage

HEAD_START_S = 0.03
"""From the word to the start: enough to wake every thread of every process."""

_CONTEXT = multiprocessing.get_context("spawn")


class ProcessEnded(RuntimeError):
    """A client process ended without a result."""


@dataclass(frozen=True, slots=True)
class Share:
    """What a client process needs to know.

    Attributes:
        stage: What is played; it arrives without connections.
        url: The database.
        seats: How many clients the process can have, and which of all these are.
        manner: How they behave.
    """

    stage: Stage
    url: URL = field(repr=False)
    seats: range
    manner: Manner


class Processes:
    """The clients of several processes.

    Args:
        stage: What is played.
        url: The database.
        clients: How many there are in all.
        count: Over how many processes they are spread.
        manner: How they behave.
    """

    def __init__(self, stage: Stage, url: URL, clients: int, count: int, manner: Manner) -> None:
        self._stage = stage
        most = -(-clients // count)
        self._shares = [
            Share(stage, url, range(first, first + most), manner)
            for first in range(0, most * count, most)
        ]

    def __enter__(self) -> Self:
        self._members = []
        for share in self._shares:
            ours, theirs = _CONTEXT.Pipe()
            process = _CONTEXT.Process(target=work, args=(share, theirs), daemon=True)
            process.start()
            theirs.close()
            self._members.append((process, ours))
        for _, pipe in self._members:
            _received(pipe)
        return self

    def __exit__(self, *_: object) -> None:
        for process, pipe in self._members:
            pipe.close()
            process.join()

    def play(self) -> list[Run]:
        """Let every client of the scene make its call, all at once; in the order of the calls.

        Raises:
            ProcessEnded: A process died.
        """
        instant = time.perf_counter() + HEAD_START_S
        scene = self._stage.scene
        shares = _divided(len(scene.calls), len(self._members))
        for (_, pipe), clients in zip(self._members, shares, strict=True):
            pipe.send((scene, self._stage.existing, clients, instant))
        return [run for _, pipe in self._members for run in _received(pipe)]


def work(share: Share, pipe: Connection) -> None:
    """Play the rounds that come through the pipe, until it is closed."""
    stage = share.stage
    engine = create_engine(share.url, **connections(len(share.seats)))
    with Clients(stage, engine, share.seats, share.manner) as clients:
        pipe.send([])
        while True:
            try:
                stage.scene, stage.existing, numbers, instant = pipe.recv()
            except EOFError:
                break
            try:
                pipe.send(clients.play(numbers, instant))
            except Exception as error:  # noqa: BLE001 - handed to whoever called
                pipe.send(error)
    engine.dispose()


def check_travels(strategy: Strategy) -> None:
    """Make sure that another process can be handed a strategy.

    Raises:
        BadExperiment: It can't.
    """
    if not travels(strategy):
        raise BadExperiment(
            f"Other processes can't import the strategy {strategy.name}. Put it into a module of "
            "its own, or use one process."
        )


def travels(strategy: Strategy) -> bool:
    """Whether another process can be handed a strategy."""
    if type(strategy).__module__ == "__main__":
        return False
    try:
        pickle.dumps(strategy)
    except (pickle.PicklingError, AttributeError, TypeError):
        return False
    return True


def _received(pipe: Connection) -> list[Run]:
    try:
        answer: list[Run] | Exception = pipe.recv()
    except EOFError:
        raise ProcessEnded("A client process ended without a result.") from None
    if isinstance(answer, Exception):
        raise answer
    return answer


def _divided(clients: int, count: int) -> list[range]:
    """Divide clients; neighbours stay together, who in a pair of requests make different calls."""
    edges = [clients * number // count for number in range(count + 1)]
    return [range(first, last) for first, last in pairwise(edges)]
