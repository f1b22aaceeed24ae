"""One client process of a load: its virtual users, each a thread.

They share a booking service and its connections, as the threads of a web server do. They open
their connections and practise before the load; then all processes meet at the gate, and every
user starts at the same instant.
"""

from __future__ import annotations

import gc
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from random import Random
from typing import TYPE_CHECKING

from sqlalchemy import QueuePool, SingletonThreadPool, create_engine

from booking_core.booking import BookingService
from experiments.load.executors import SECOND, clock, executor, sleep_until
from experiments.load.replies import Replies
from experiments.load.share import Part
from experiments.load.users import PlainUser
from experiments.load.workload import Workload
from experiments.load.world_users import WorldUser
from experiments.load.world_workload import Standing, WorldWorkload
from experiments.scenes import salon

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from sqlalchemy import Engine

    from experiments.load.crew import Gate
    from experiments.load.share import Share
    from experiments.load.users import VirtualUser

_HEAD_START = SECOND // 50  # from the gate to the start, enough to wake every thread


class Hold:
    """The time that a booking spends between check and insert; none until it is set."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> None:
        """Spend it."""
        if self.seconds:
            time.sleep(self.seconds)


class ClientProcess:
    """The users of one process and what they share.

    Args:
        share: What they are to do.
    """

    def __init__(self, share: Share) -> None:
        self._share = share
        self._plan = share.plan
        self._engine = _engine(share)
        self._hold = Hold()
        self._service = BookingService(
            self._engine,
            share.strategy,
            clock=salon.now,
            source=Random(f"{self._plan.seed}, process {share.process}"),  # noqa: S311 - no secret
            offers=self._plan.offers,
            before_record=self._hold,
        )
        self._replies = Replies()
        self._user = self._users()
        self._executor = executor(self._plan, share.process)
        self._numbers = range(share.process, self._plan.most_vus, self._plan.crew)
        self._threads = ThreadPoolExecutor(len(self._numbers))
        self._lives: list[Future[None]] = []
        self._start = 0

    def run(self, gate: Gate) -> Part:
        """Make ready, meet the others at the gate, and go on until there is nothing left to do."""
        with self._threads:
            first = self._plan.divided(self._plan.vus, self._share.process)
            # Users wait twice: when they have practised, and for the start.
            meeting = threading.Barrier(first + 1)
            for _ in range(first):
                self._add(meeting)
            meeting.wait()
            self._hold.seconds = self._plan.hold_ms / 1000
            # What was there before is not searched for garbage while the load runs.
            gc.collect()
            gc.freeze()
            gate.wait()
            cpu = time.process_time()
            self._start = clock() + _HEAD_START
            meeting.wait()
            self._executor.drive(self._start, self._add)
        cpu = time.process_time() - cpu
        gc.unfreeze()
        self._engine.dispose()
        for life in self._lives:
            life.result()
        return Part(
            self._replies.records(),
            self._replies.details,
            self._executor.dropped,
            len(self._lives),
            cpu,
        )

    def _add(self, meeting: threading.Barrier | None = None) -> None:
        if len(self._lives) < len(self._numbers):
            number = self._numbers[len(self._lives)]
            self._lives.append(self._threads.submit(self._live, self._user(number), meeting))

    def _users(self) -> Callable[[int], VirtualUser]:
        """Return what makes a user of its number; they share what they draw from."""
        share, service, replies, plan = self._share, self._service, self._replies, self._plan
        if plan.workload == "world":
            standing = Standing()
            pairs = WorldWorkload(plan.weights, plan.seed, standing)
            return lambda number: WorldUser(number, share, service, pairs, standing, replies)
        workload = Workload(plan, share.staff_ids)
        return lambda number: PlainUser(number, share, service, workload, replies)

    def _live(self, user: VirtualUser, meeting: threading.Barrier | None) -> None:
        if meeting:
            user.practise()
            meeting.wait()
            meeting.wait()
            sleep_until(self._start)
        for due in self._executor.due(self._start):
            user.iterate(due)


def work(share: Share, gate: Gate) -> Part:
    """Run one process's part of a load."""
    return ClientProcess(share).run(gate)


def _engine(share: Share) -> Engine:
    plan = share.plan
    if plan.pool_size is None:  # every thread keeps its connection
        return create_engine(share.url, poolclass=SingletonThreadPool, pool_size=plan.most_vus)
    return create_engine(
        share.url,
        poolclass=QueuePool,
        pool_size=plan.divided(plan.pool_size, share.process),
        max_overflow=0,
    )
