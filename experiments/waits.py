"""How long each session waited for locks, as PostgreSQL saw it.

A loop inside the server looks at `pg_locks` every few milliseconds. `waitstart` says when a wait
began, so only its end is sampled: what is reported is short by one interval at most, and a wait
that begins and ends between two looks is missed. The loop runs in the server because a thread of
this process would compete with the clients it watches.

Manual: pg_locks (chapter System Views).
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING, Self

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Engine

INTERVAL_MS = 5

# The watcher may go on for as long as somebody holds this advisory lock.
_STOP = 7_265_000_001
_WATCH = """
    DO $$ BEGIN
        LOOP
            INSERT INTO seen_wait
            SELECT pid, waitstart, clock_timestamp() FROM pg_locks
             WHERE NOT granted AND waitstart IS NOT NULL AND pid IN ({pids})
                ON CONFLICT (pid, began) DO UPDATE SET last_seen = excluded.last_seen;
            EXIT WHEN pg_try_advisory_xact_lock_shared({stop});
            PERFORM pg_sleep({seconds});
        END LOOP;
    END $$
"""


class LockWaits:
    """Watches some sessions for as long as the `with` block runs.

    Args:
        engine: To the database whose sessions are watched; two connections are used.
        pids: The sessions' process ids.

    Attributes:
        milliseconds: After the block, the time that each process id waited for locks.
    """

    def __init__(self, engine: Engine, pids: Iterable[int]) -> None:
        # Both stay in AUTOCOMMIT: no snapshot of ours outlives a look.
        self._control = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._watcher = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._watcher.execute(
            text(
                "CREATE TEMP TABLE IF NOT EXISTS seen_wait"
                " (pid integer, began timestamptz, last_seen timestamptz, PRIMARY KEY (pid, began))"
            )
        )
        self._loop = _WATCH.format(
            pids=", ".join(map(str, pids)), stop=_STOP, seconds=INTERVAL_MS / 1000
        )
        self.milliseconds: dict[int, float] = defaultdict(float)

    def close(self) -> None:
        """Give the connections back."""
        self._control.close()
        self._watcher.close()

    def __enter__(self) -> Self:
        self._watcher.execute(text("TRUNCATE seen_wait"))
        self._control.execute(text(f"SELECT pg_advisory_lock({_STOP})"))
        self._thread = threading.Thread(
            target=self._watcher.exec_driver_sql, args=(self._loop,), daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._control.execute(text(f"SELECT pg_advisory_unlock({_STOP})"))
        self._thread.join()
        self.milliseconds.clear()
        seen = self._watcher.execute(
            text(
                "SELECT pid, sum(extract(epoch FROM last_seen - began)) AS seconds"
                " FROM seen_wait GROUP BY pid"
            )
        )
        for row in seen:
            self.milliseconds[row.pid] = float(row.seconds) * 1000
