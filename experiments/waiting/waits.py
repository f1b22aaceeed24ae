"""What sessions wait for, as PostgreSQL sees it.

A loop inside the server looks every few milliseconds. It runs in the server because a thread of
this process would compete with the clients it watches. `LockWaits` adds up what each session
waited for locks; `SessionTime` divides the time of all of them by what they were at.

Manual: pg_locks (chapter System Views); 27.2.3 pg_stat_activity, Wait Event Types.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from typing import TYPE_CHECKING, ClassVar, Self

from sqlalchemy import text

if TYPE_CHECKING:
    from collections.abc import Iterable

    from sqlalchemy import Connection, Engine

INTERVAL_MS = 5

# The watcher may go on for as long as somebody holds this advisory lock.
_STOP = 7_265_000_001
_WATCH = """
    DO $$ BEGIN
        LOOP
            {look};
            EXIT WHEN pg_try_advisory_xact_lock_shared({stop});
            PERFORM pg_sleep({seconds});
        END LOOP;
    END $$
"""


class _Watch:
    """Watches some sessions for as long as the `with` block runs."""

    _notes: ClassVar[str]  # the name of a table
    _columns: ClassVar[str]  # its columns
    _look: ClassVar[str]  # the statement that takes notes, about {pids}

    def __init__(self, engine: Engine, pids: Iterable[int]) -> None:
        # Both stay in AUTOCOMMIT: no snapshot of ours outlives a look.
        self._control = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._watcher = engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        self._watcher.execute(
            text(f"CREATE TEMP TABLE IF NOT EXISTS {self._notes} ({self._columns})")
        )
        self._loop = _WATCH.format(
            look=self._look.format(pids=", ".join(map(str, pids))),
            stop=_STOP,
            seconds=INTERVAL_MS / 1000,
        )

    def close(self) -> None:
        """Give the connections back."""
        self._control.close()
        self._watcher.close()

    def __enter__(self) -> Self:
        self._watcher.execute(text(f"TRUNCATE {self._notes}"))
        self._control.execute(text(f"SELECT pg_advisory_lock({_STOP})"))
        self._thread = threading.Thread(
            target=self._watcher.exec_driver_sql, args=(self._loop,), daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._control.execute(text(f"SELECT pg_advisory_unlock({_STOP})"))
        self._thread.join()
        self._read(self._watcher)

    def _read(self, notes: Connection) -> None:
        raise NotImplementedError


class LockWaits(_Watch):
    """How long each session waited for locks.

    `waitstart` says when a wait began, so only its end is sampled: what is reported is short by
    one interval at most, and a wait that begins and ends between two looks is missed.

    Args:
        engine: To the database whose sessions are watched; two connections are used.
        pids: The sessions' process ids.

    Attributes:
        milliseconds: After the block, the time that each process id waited for locks.
    """

    _notes = "seen_wait"
    _columns = "pid integer, began timestamptz, last_seen timestamptz, PRIMARY KEY (pid, began)"
    _look = """
        INSERT INTO seen_wait
        SELECT pid, waitstart, clock_timestamp() FROM pg_locks
         WHERE NOT granted AND waitstart IS NOT NULL AND pid IN ({pids})
            ON CONFLICT (pid, began) DO UPDATE SET last_seen = excluded.last_seen"""

    def __init__(self, engine: Engine, pids: Iterable[int]) -> None:
        super().__init__(engine, pids)
        self.milliseconds: dict[int, float] = defaultdict(float)

    def _read(self, notes: Connection) -> None:
        self.milliseconds.clear()
        seen = notes.execute(
            text(
                "SELECT pid, sum(extract(epoch FROM last_seen - began)) AS seconds"
                " FROM seen_wait GROUP BY pid"
            )
        )
        for row in seen:
            self.milliseconds[row.pid] = float(row.seconds) * 1000


class SessionTime(_Watch):
    """What the time of all sessions together was spent on.

    Each look counts for the time until the next one. So short waits, which no look may meet, are
    estimated without bias: they are met as rarely as they are short.

    Args:
        engine: To the database whose sessions are watched; two connections are used.
        pids: The sessions' process ids.

    Attributes:
        milliseconds: After the block, by type of wait event ("Lock", "LWLock", "IO", ...), by
            "Client" (in a transaction, until the client goes on), "CPU" (at work) and "idle" (in
            no transaction). Their sum is the number of sessions times the block's duration.
    """

    _notes = "seen_session"
    _columns = "seen timestamptz, at text, sessions bigint"
    # Without the first statement a transaction would see the same activity at every look.
    _look = """
        PERFORM pg_stat_clear_snapshot();
        WITH look AS MATERIALIZED (SELECT clock_timestamp() AS seen)
        INSERT INTO seen_session
        SELECT seen,
               CASE WHEN state = 'idle' THEN 'idle' ELSE coalesce(wait_event_type, 'CPU') END,
               count(*)
          FROM look, pg_stat_activity WHERE pid IN ({pids}) GROUP BY 1, 2"""

    def __init__(self, engine: Engine, pids: Iterable[int]) -> None:
        super().__init__(engine, pids)
        self.milliseconds: dict[str, float] = {}

    def _read(self, notes: Connection) -> None:
        seen = notes.execute(
            text("""
                SELECT at, sum(sessions * extract(epoch FROM until - seen)) AS seconds
                  FROM seen_session
                  JOIN (SELECT seen, lead(seen, 1, clock_timestamp()) OVER (ORDER BY seen) AS until
                          FROM (SELECT DISTINCT seen FROM seen_session) AS look) AS look
                 USING (seen)
                 GROUP BY at ORDER BY at
            """)
        )
        self.milliseconds = {row.at: float(row.seconds) * 1000 for row in seen}
