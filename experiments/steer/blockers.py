"""Who waits for whom inside the server: PostgreSQL's word, and nobody else's.

A statement that takes long is no statement that waits. Only `pg_blocking_pids` tells, which sees
locks of every kind and also who is ahead in the queue.

The same connection holds statements back before they write. Where there are gates
(`experiments.explore.gates`), every row that is written passes two doors, one behind the other:
advisory locks, which are named after the server process, and of which this connection may have the
first one shut. To let a process through, the second is shut before the first is opened, and opened
once the first is shut again, so that no process is fast enough to pass twice.

Manual: 9.27.1 Session Information Functions; 13.3.5 Advisory Locks.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from psycopg.errors import LockNotAvailable

from experiments.steer.clients import Stuck

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    import psycopg

    from experiments.steer.turn import Turn

DOOR = 1_195_463_749
"""The first half of the key of a gate's first door; a number that nothing else is likely to use."""
SECOND_DOOR = DOOR + 1

_ASK = """
    SELECT pid, pg_blocking_pids(pid) || pg_safe_snapshot_blocking_pids(pid)
      FROM unnest(%s::integer[]) AS pid
"""
# ruff: noqa: S608 - the numbers are ours
_SHUT = f"SELECT pg_advisory_lock({DOOR}, %s::integer)"
_OPEN = f"SELECT pg_advisory_unlock({DOOR}, pid) FROM unnest(%s::integer[]) AS pid"
_LET_THROUGH = f"""
    SELECT pg_advisory_lock({SECOND_DOOR}, pid), pg_advisory_unlock({DOOR}, pid),
           pg_advisory_lock({DOOR}, pid), pg_advisory_unlock({SECOND_DOOR}, pid)
      FROM unnest(ARRAY[%s::integer]) AS pid
"""
_OPEN_ALL = "SELECT pg_advisory_unlock_all()"


class Blockers:
    """Asks the server, over a connection that no client uses.

    Args:
        connection: To the same server, in autocommit.

    Attributes:
        pid: The server process that is asked, and for which those wait who are held back.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection
        self.pid = connection.info.backend_pid
        self._shut: set[int] = set()
        connection.execute("SET lock_timeout = '10s'")

    def ask(self, asked: Iterable[int], clients: Mapping[int, int]) -> dict[int, set[int]]:
        """Return for some server processes which clients they wait for.

        Args:
            asked: The processes.
            clients: The client of every process that a client has.
        """
        rows = self._connection.execute(_ASK, [list(asked)], prepare=True)
        # A blocker that is no client (autovacuum) goes away by itself: that is no wait of ours.
        return {
            pid: {clients[blocker] for blocker in blockers if blocker in clients}
            for pid, blockers in rows
        }

    def end(self, pids: Iterable[int]) -> None:
        """End sessions, whatever they are doing."""
        self._connection.execute(
            "SELECT pg_terminate_backend(pid) FROM unnest(%s::integer[]) AS pid", [list(pids)]
        )

    # Gates

    def shut(self, turn: Turn) -> None:
        """Have a statement stop before the first row that it writes.

        Raises:
            Stuck: Its process keeps a door.
        """
        if turn.pid not in self._shut:
            self._shut.add(turn.pid)
            self._lock(_SHUT, turn)

    def let_through(self, turn: Turn) -> None:
        """Let a statement that stands at its gate write a row; it stops before the next.

        Raises:
            Stuck: Its process keeps a door.
        """
        self._lock(_LET_THROUGH, turn)

    def open(self, pids: Collection[int]) -> None:
        """Have processes stop no more; one that stands at its gate goes on."""
        shut = self._shut.intersection(pids)
        if shut:
            self._shut -= shut
            self._connection.execute(_OPEN, [list(shut)], prepare=True)

    def open_others(self, pids: Collection[int]) -> None:
        """Forget the gates of all processes but some: the others have come to their end."""
        self.open(self._shut.difference(pids))

    def _lock(self, sql: str, turn: Turn) -> None:
        try:
            self._connection.execute(sql.encode(), [turn.pid], prepare=True)
        except LockNotAvailable:
            # It was cancelled at the very moment at which it went through.
            self._connection.execute(_OPEN_ALL)
            self._shut.clear()
            raise Stuck(turn.client, "keeps a lock of the explorer's own") from None


def in_a_circle(waiting: Mapping[int, Iterable[int]]) -> bool:
    """Whether some of those who wait do so for each other, as in a deadlock."""
    left = {client: set(others) & waiting.keys() for client, others in waiting.items()}
    while free := {client for client, others in left.items() if not others & left.keys()}:
        left = {client: others for client, others in left.items() if client not in free}
    return bool(left)
