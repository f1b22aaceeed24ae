"""Somebody who waits for a lock, by PostgreSQL's own word, for as long as a test needs it."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from sqlalchemy import Connection, Engine, text

from experiments.waiting.onlooker import Onlooker

LOCK = text("SELECT pg_advisory_xact_lock(1)")


def _pid(connection: Connection) -> int:
    pid = int(connection.execute(text("SELECT pg_backend_pid()")).scalar_one())
    connection.rollback()
    return pid


@contextmanager
def somebody_waits(engine: Engine) -> Iterator[tuple[int, int]]:
    """Let one session wait for another's lock while a third idles, until the block ends.

    Yields:
        The process ids of who waits and of who idles.
    """
    with (
        engine.connect() as holder,
        engine.connect() as waiter,
        engine.connect() as idle,
        Onlooker(engine) as onlooker,
        ThreadPoolExecutor(1) as thread,
    ):
        pids = _pid(waiter), _pid(idle)
        holder.execute(LOCK)
        try:
            waiting = thread.submit(waiter.execute, LOCK)
            onlooker.until_waiting(1)
            yield pids
        finally:
            holder.rollback()
        waiting.result()
        waiter.rollback()
