"""Clients in processes of their own: Python interpreters that were started afresh.

Threads of one process share what Python keeps to itself: its modules, and what `hash()` makes of a
name. A lock that lives there keeps them apart, and nobody else. So here each client is another
interpreter, with a seed for its hashes that is its number: what comes of it is the same every time.
It is told what the scene is, makes its client's call through the explorer as a thread would, and
sends back how that ended.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from functools import partial
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from experiments.explore.plays import BookingPlay
from experiments.race.processes import travels
from experiments.steer.programs import END_SECONDS, ProgramError, engine

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import sqlalchemy
    from sqlalchemy import Engine

    from booking_core.strategies import Strategy
    from experiments.scenes.replies import Answer
    from experiments.scenes.shapes import Scene
    from experiments.steer.hub import Hub


def booking_play(control: Engine, strategy: Strategy, scene: Scene, **more: Any) -> BookingPlay:  # noqa: ANN401 - as BookingPlay's
    """Return a scene's play, with clients in processes where the scene wants them apart.

    A strategy that other processes can't import is played by threads all the same.

    Args:
        control: An engine to the database, for preparing the stage.
        strategy: How rivals are kept out.
        scene: What is played.
        more: As for `BookingPlay`.
    """
    kind = Apart if scene.apart and travels(strategy) else BookingPlay
    return kind(control, strategy, scene, **more)


class Apart(BookingPlay):
    """A scene for the booking service, each client in a process of its own."""

    def enter(self, hub: Hub) -> list[Callable[[], Answer]]:
        """Return what makes each client's call."""
        self._urls = [hub.gate(client) for client in range(self.clients)]
        self._others: list[_Other] = []
        self._begin_all()
        return [partial(self._ask_there, client) for client in range(self.clients)]

    def _begin_all(self) -> None:
        self._others = [_Other(self, url, client) for client, url in enumerate(self._urls)]
        for other in self._others:
            other.await_ready()
        self._broken: set[int] = set()

    def _ask_there(self, client: int) -> Answer:
        anew = client in self._broken
        self._broken.discard(client)
        return self._others[client].ask((self.scene, self.existing, anew))

    def process(self, client: int) -> int | None:
        """Say in which process a client's code runs."""
        return self._others[client].pid

    def renew(self, clients: Collection[int]) -> None:
        """Connections were ended: let the clients forget them."""
        self._broken.update(clients)

    def abort(self) -> None:
        """End the processes, whatever they are doing, and begin with others."""
        self._end_all()
        self._begin_all()

    def leave(self) -> None:
        """Let go of everything that connects."""
        super().leave()
        self._end_all()

    def _end_all(self) -> None:
        for other in self._others:
            other.end()


class _Other:
    """An interpreter that makes one client's calls."""

    def __init__(self, play: Apart, url: sqlalchemy.URL, client: int) -> None:
        ours, theirs = socket.socketpair()
        descriptor = str(theirs.fileno())
        with theirs:
            self._process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
                [sys.executable, "-c", f"import {__name__} as apart; apart.serve()", descriptor],
                pass_fds=[theirs.fileno()],
                env=os.environ
                | {"PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": str(client + 1)},
            )
        self._pipe = Connection(ours.detach())
        self._pipe.send((play, url, client))
        self.pid = self._process.pid

    def await_ready(self) -> None:
        """Wait until it has imported what it needs."""
        self._received()

    def ask(self, what: tuple[Scene, list[int], bool]) -> Answer:
        """Have it make its client's call."""
        self._pipe.send(what)
        answer: Answer = self._received()
        return answer

    def _received(self) -> Any:  # noqa: ANN401 - what was sent
        try:
            return self._pipe.recv()
        except (EOFError, OSError):
            raise ProgramError("a client's process has ended") from None

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(END_SECONDS)
        self._pipe.close()


def serve() -> None:
    """Make a client's call as often as it is asked for, until the pipe is closed."""
    pipe = Connection(int(sys.argv[1]))
    play, url, client = pipe.recv()
    own = engine(url)
    service = play.serve(own)
    pipe.send(None)
    while True:
        try:
            play.scene, play.existing, anew = pipe.recv()
        except EOFError:
            return
        if anew:
            own.dispose()
        pipe.send(play.ask(service, client))
