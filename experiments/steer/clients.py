"""A client: code under test in a thread of its own.

It runs from the moment that it is begun, or gets an answer, until it asks the server for the next;
who decides when that is sent is not in this thread. When the code has ended, the thread says so
through a socket, so that whoever waits for statements and for ends can wait for both.

Code under test may be broken. A client that neither sends anything nor ends is given up: its
connections are closed, its thread is told to end, and another client takes its place. What tells it
is no `Exception`, so that code which goes on after errors ends too.
"""

from __future__ import annotations

import ctypes
import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

TELL_SECONDS = 0.01
"""How long a thread has to end before it is told again: what it was told can get lost."""


class Dismissed(BaseException):
    """The run is over for this client."""


class NotPlayed(Exception):
    """The client took no part."""


class Stuck(Exception):
    """A client has neither sent a step nor ended in time."""

    def __init__(self, client: int, why: str = "") -> None:
        super().__init__(f"client {client} {why or 'neither sent a statement nor ended'}")
        self.client = client


class Client:
    """Code under test, in a thread.

    Args:
        number: Which client it is.

    Attributes:
        signal: Has something to read when the code has ended.
        answer: What its code returned; None where it ended otherwise.
        failure: How its code ended otherwise.
        done: Whether its code has ended.
    """

    def __init__(self, number: int) -> None:
        self.number = number
        self.answer: Any = None
        self.failure: BaseException | None = None
        self.done = True
        self.signal, self._said = socket.socketpair()
        self._work: Callable[[], Any] | None = None
        self._may_go = threading.Semaphore(0)
        self._thread = threading.Thread(target=self._run, name=f"client {number}", daemon=True)
        self._thread.start()

    @property
    def thread(self) -> int:
        """What the system calls its thread."""
        assert self._thread.native_id is not None
        return self._thread.native_id

    def begin(self, work: Callable[[], Any]) -> None:
        """Run the code."""
        self._work, self.done = work, False
        self.answer = self.failure = None
        self._may_go.release()

    def sit_out(self) -> None:
        """Take no part in a run."""
        self.answer, self.failure = None, NotPlayed()

    def hear(self) -> None:
        """Take note that the code has ended."""
        self.signal.recv(1)
        self.done = True

    def close(self, seconds: float) -> None:
        """End the code, whatever it is doing, and the thread; its connections are closed.

        Args:
            seconds: How long that may take. A thread that doesn't end then is a daemon, and ends
                with the process.
        """
        give_up = time.monotonic() + seconds
        self._work = None
        self._may_go.release()
        while self._thread.is_alive() and time.monotonic() < give_up:
            if not self.done:
                self._tell()
            self._thread.join(TELL_SECONDS)
        self.signal.close()
        self._said.close()

    def _tell(self) -> None:
        # It reaches the thread between two of its instructions.
        ident = ctypes.c_ulong(self._thread.ident or 0)
        ctypes.pythonapi.PyThreadState_SetAsyncExc(ident, ctypes.py_object(Dismissed))

    def _run(self) -> None:
        with suppress(Dismissed, OSError):
            while True:
                self._may_go.acquire()
                if self._work is None:
                    return
                try:
                    self.answer = self._work()
                except BaseException as failure:  # noqa: BLE001 - code may raise anything
                    self.failure = failure
                self._said.send(b".")
