"""A client: code under test in a thread of its own, which runs only while it has the turn.

The thread parks before each step and after its last one; whoever steers it finds the step in
`turn`, and resumes the thread with the server's answer. So at any moment at most one client's
code runs, and it runs from one step to the next in one go.

Code under test may be broken. A client that parks no more (an endless loop, a wait for something
else than the server) is given up after a while: its session is ended, its thread told to end, and
another client takes its place. A client that is dismissed gets an exception at every further
step until it has ended; it is no `Exception`, so that code which goes on after errors ends too.
"""

from __future__ import annotations

import ctypes
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import psycopg

from experiments.steer.steering import IDLE, Park, SteeredConnection, Turn

if TYPE_CHECKING:
    from collections.abc import Callable

    import sqlalchemy


class Dismissed(BaseException):
    """The run is over for this client."""


class Stuck(Exception):
    """A client has neither sent a step nor ended in time."""

    def __init__(self, client: int) -> None:
        super().__init__(f"client {client} neither sent a statement nor ended")
        self.client = client


class Client:
    """Code under test, steered.

    Args:
        number: Which client it is.
        connect: Makes its engine, given what a step waits in.
        inline: Whether a step may be played at once, without being parked for.
        guard_seconds: How long its code may run without a step.

    Attributes:
        engine: What its code connects with.
        turn: The step before which it is parked; None before it has begun and when it is done.
        answer: What its code returned; None where it ended otherwise.
        failure: How its code ended otherwise.
        done: Whether its code has ended.
        running: Whether its code is running right now.
        dismissed: Whether the run is over for it.
    """

    def __init__(
        self,
        number: int,
        connect: Callable[[Park], sqlalchemy.Engine],
        inline: Callable[[Turn], bool],
        guard_seconds: float,
    ) -> None:
        self.number = number
        self.turn: Turn | None = None
        self.answer: Any = None
        self.failure: BaseException | None = None
        self.done = True
        self.running = False
        self.dismissed = False
        self._inline = inline
        self._guard = guard_seconds
        self._connections: dict[SteeredConnection, int] = {}  # the server process of each
        self._work: Callable[[], Any] | None = None
        self._reply: tuple[Any, BaseException | None] = (None, None)
        self._may_go = threading.Lock()
        self._has_parked = threading.Lock()
        self._may_go.acquire()
        self._has_parked.acquire()
        self.engine = connect(self._park)
        self._thread = threading.Thread(target=self._run, name=f"client {number}", daemon=True)
        self._thread.start()

    def begin(self, work: Callable[[], Any]) -> None:
        """Run the code up to its first step.

        Raises:
            Stuck: It doesn't get there.
        """
        self._work, self.dismissed, self.done = work, False, False
        self.answer = self.failure = None
        self._resume()

    def resume(self, value: Any, error: BaseException | None = None) -> None:  # noqa: ANN401 - psycopg's
        """Hand over what the server answered, and run the code up to its next step.

        Raises:
            Stuck: It doesn't get there.
        """
        self.turn, self._reply = None, (value, error)
        self._resume()

    def dismiss(self) -> None:
        """End the run for this client, which must be parked: it gets an exception at every step.

        Raises:
            Stuck: It doesn't end.
        """
        self.dismissed = True
        if not self.done:
            self.resume(None, Dismissed())

    def tidy(self, *, unlock: bool) -> set[int]:
        """Leave no transaction, lock or connection behind for the next run.

        Args:
            unlock: Whether locks may have been taken that outlive their transaction.

        Returns:
            The server processes of connections that are closed. They let go of their locks when
            they end, which is later than the end of the connection.
        """
        pool: Any = self.engine.pool
        kept = pool.checkedin() > 0
        for connection in list(self._connections):
            connection.park = None
            if connection.closed or not kept:
                continue
            try:
                if connection.pgconn.transaction_status != IDLE:
                    connection.rollback()
                if unlock:
                    connection.execute("SELECT pg_advisory_unlock_all()")
                    connection.rollback()
            except psycopg.Error:
                connection.close()
        if pool.checkedout():  # leaked by the code under test
            for connection in list(self._connections):
                connection.close()
            self.engine.dispose()
        closed = {each for each in self._connections if each.closed}
        return {self._connections.pop(each) for each in closed}

    def close(self) -> None:
        """End the thread and close the connections, whatever the code is doing."""
        self.dismissed = True
        try:
            if self.running:
                # It is parked nowhere; the exception reaches it between two of its instructions.
                ident = ctypes.c_ulong(self._thread.ident or 0)
                ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(Dismissed))
                self._await_parked()
            if not self.done:
                self.resume(None, Dismissed())
        except Stuck:
            return  # a daemon, which ends with the process
        self._work = None
        self._may_go.release()
        self.engine.dispose()
        for connection in self._connections:
            connection.close()

    @property
    def pids(self) -> list[int]:
        """The server processes of its open connections."""
        return [pid for each, pid in self._connections.items() if not each.closed]

    def _resume(self) -> None:
        self.running = True
        self._may_go.release()
        self._await_parked()

    def _await_parked(self) -> None:
        if not self._has_parked.acquire(timeout=self._guard):
            raise Stuck(self.number)
        self.running = False

    def _park(self, turn: Turn) -> Any:  # noqa: ANN401 - psycopg's
        """Wait for the turn; runs in the client's thread."""
        self._connections[turn.connection] = turn.pid
        turn.client = self.number
        if self.dismissed:
            if turn.kind == "rollback":
                return turn.connection.drive(turn)
            raise Dismissed
        if self._inline(turn):
            value = turn.connection.drive(turn)
            turn.result = turn.cursor.pgresult if turn.cursor else None
            return value
        self.turn = turn
        self._has_parked.release()
        self._may_go.acquire()
        value, error = self._reply
        if error is not None:
            raise error
        return value

    def _run(self) -> None:
        # An exception that was sent to code which then ended by itself arrives late.
        with suppress(Dismissed):
            self._work_on()

    def _work_on(self) -> None:
        while True:
            self._may_go.acquire()
            if self._work is None:
                return
            try:
                self.answer = self._work()
            except BaseException as failure:  # noqa: BLE001 - code under test may raise anything
                self.failure = failure
            self.turn, self.done = None, True
            self._has_parked.release()
