"""Who waits for whom inside the server: PostgreSQL's word, and nobody else's.

A statement that takes long is no statement that waits. Only `pg_blocking_pids` tells, which sees
locks of every kind and also who is ahead in the queue.

Manual: 9.27.1 Session Information Functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import psycopg

_ASK = """
    SELECT pid, pg_blocking_pids(pid) || pg_safe_snapshot_blocking_pids(pid)
      FROM unnest(%s::integer[]) AS pid
"""


class Blockers:
    """Asks the server, over a connection that no client uses.

    Args:
        connection: To the same server, in autocommit.
    """

    def __init__(self, connection: psycopg.Connection) -> None:
        self._connection = connection

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


def in_a_circle(waiting: Mapping[int, Iterable[int]]) -> bool:
    """Whether some of those who wait do so for each other, as in a deadlock."""
    left = {client: set(others) & waiting.keys() for client, others in waiting.items()}
    while free := {client for client, others in left.items() if not others & left.keys()}:
        left = {client: others for client, others in left.items() if client not in free}
    return bool(left)
