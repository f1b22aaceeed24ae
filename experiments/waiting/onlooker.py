"""An onlooker, who knows how many sessions wait for a lock right now, and waits until some do.

An experiment that sleeps and hopes measures the sleep. Here "the rival waits" is PostgreSQL's
word, and whoever depends on it goes on when it is true.
"""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Self

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from sqlalchemy import Engine

    from experiments.scenes.stage import Stage

PATIENCE = 60.0  # seconds; what takes longer does not happen any more
LOOK_EVERY = 0.001  # seconds
# Locks on transactions belong to no database, so sessions are told by theirs.
_WAITING = text("""
    SELECT count(DISTINCT pid) FROM pg_locks JOIN pg_stat_activity USING (pid)
     WHERE NOT granted AND datname = current_database()
""")


class NothingHappened(RuntimeError):
    """What an experiment waited for did not come true."""


class Onlooker:
    """Looks at the locks of one database, over a connection of its own. A context manager.

    Args:
        engine: To a database that nobody else uses.
    """

    def __init__(self, engine: Engine) -> None:
        self._connection = engine.connect().execution_options(isolation_level="AUTOCOMMIT")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()

    def waiting(self) -> int:
        """Return how many sessions wait for a lock."""
        return int(self._connection.execute(_WAITING).scalar_one())

    def until_waiting(self, sessions: int) -> None:
        """Return when so many sessions wait for a lock.

        Raises:
            NothingHappened: They don't.
        """
        until(lambda: self.waiting() >= sessions)


def until(true: Callable[[], bool]) -> None:
    """Return when a condition holds.

    Raises:
        NothingHappened: It does not come true.
    """
    give_up = time.monotonic() + PATIENCE
    while not true():
        if time.monotonic() > give_up:
            raise NothingHappened(f"A condition did not come true in {PATIENCE:.0f} seconds.")
        time.sleep(LOOK_EVERY)


@contextmanager
def held(stage: Stage, engine: Engine) -> Iterator[None]:
    """Hold a calendar's lock: the scene's first client stops in the middle of its booking.

    It has checked and not yet recorded. When the block ends it goes on and commits.

    Args:
        stage: Whose strategy says which lock that is.
        engine: For the holder's connection.
    """
    there, may_go = threading.Event(), threading.Event()

    def stop() -> None:
        there.set()
        may_go.wait()

    service = stage.service(engine, offers=0, before_record=stop)
    with ThreadPoolExecutor(1) as threads:
        holding = threads.submit(stage.perform, service, 0)
        holding.add_done_callback(lambda _: there.set())  # where it fails, nobody waits for it
        there.wait()
        try:
            yield
        finally:
            may_go.set()
