"""A slow network: a program between clients and server that delivers everything a while later.

It stands in a folder of its own that nobody else may enter and listens on a Unix socket there, as
the embedded server does, and passes bytes on as they come, both ways, each after half of the
delay. What is on its way does not hold up what comes after it, as on a real line, so throughput is
not limited; and the order is kept. It is a process of its own, or the clients' interpreter would
be what delays. It runs as the same user, so the server lets it in by the same rule.

A line on its standard input sets the delay in milliseconds; it answers with the seconds of a
processor that it has taken so far. It ends when its input ends, hence with whoever started it.

It uses `select`: `epoll`, asyncio's usual choice, knows whole milliseconds only.
"""

from __future__ import annotations

import asyncio
import os
import selectors
import subprocess
import sys
import time
from collections import deque
from typing import TYPE_CHECKING, Self

from experiments.server.connection import ServerError
from experiments.server.watchdog import remove_scratch_folder, scratch_folder

if TYPE_CHECKING:
    from sqlalchemy import URL

PORT = 5432
READY = "ready"


class End(asyncio.Protocol):
    """One end of a connection: what comes in here goes out at the other end, a while later.

    Args:
        delay: The delay of a round trip in seconds, a list of one, which may change.
    """

    def __init__(self, delay: list[float]) -> None:
        self.other: End | None = None
        self._delay = delay
        self._under_way: deque[bytes] = deque()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Remember the way out."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Send it on its way."""
        self._under_way.append(data)
        loop = asyncio.get_running_loop()
        loop.call_at(loop.time() + self._delay[0] / 2, self._deliver)

    def connection_lost(self, _: Exception | None) -> None:
        """Close the other end when all has arrived there."""
        loop = asyncio.get_running_loop()
        loop.call_at(loop.time() + self._delay[0] / 2, self._close_other)

    def _deliver(self) -> None:
        # The one that has been under way longest, whichever timer this is.
        data = self._under_way.popleft()
        if self.other and self.other._transport:  # noqa: SLF001 - the same class
            self.other._transport.write(data)  # noqa: SLF001 - the same class

    def _close_other(self) -> None:
        if self.other and self.other._transport:  # noqa: SLF001 - the same class
            self.other._transport.close()  # noqa: SLF001 - the same class


class Client(End):
    """The end at which clients connect; the server's is opened for each.

    Args:
        delay: As for `End`.
        target: The path of the server's socket, or its host and port.
    """

    def __init__(self, delay: list[float], target: list[str]) -> None:
        super().__init__(delay)
        self._target = target

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Connect to the server too; nothing is read from the client before that."""
        super().connection_made(transport)
        assert isinstance(transport, asyncio.Transport)
        transport.pause_reading()
        self._opening = asyncio.get_running_loop().create_task(self._open(transport))

    async def _open(self, transport: asyncio.Transport) -> None:
        loop = asyncio.get_running_loop()
        there = End(self._delay)
        self.other, there.other = there, self
        try:
            if len(self._target) == 1:
                await loop.create_unix_connection(lambda: there, self._target[0])
            else:
                await loop.create_connection(lambda: there, self._target[0], int(self._target[1]))
        except OSError:
            transport.close()
        else:
            transport.resume_reading()


async def serve(listen: str, target: list[str]) -> None:
    """Carry between whoever connects and the server, until the standard input ends.

    Args:
        listen: The path of the socket to listen on.
        target: The path of the server's, or its host and port.
    """
    delay = [0.0]
    loop = asyncio.get_running_loop()
    over = loop.create_future()

    def obey() -> None:
        line = sys.stdin.readline()
        if line:
            delay[0] = float(line) / 1000
            print(time.process_time(), flush=True)  # noqa: T201 - the answer
        elif not over.done():
            over.set_result(None)

    async with await loop.create_unix_server(lambda: Client(delay, target), listen):
        loop.add_reader(sys.stdin, obey)
        print(READY, flush=True)  # noqa: T201 - whoever started it waits for it
        await over


class Proxy:
    """A proxy in a process of its own, without delay at first. A context manager.

    Args:
        url: Of any database on the server.

    Raises:
        ServerError: It did not start.
    """

    def __init__(self, url: URL) -> None:
        host = str(url.query.get("host") or url.host or "")
        port = url.port or PORT
        target = [f"{host}/.s.PGSQL.{port}"] if host.startswith("/") else [host, str(port)]
        self._folder = scratch_folder()
        listen = str(self._folder / f".s.PGSQL.{PORT}")
        try:
            self._process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, "-m", "experiments.model.proxy", listen, *target],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
            )
        except OSError:
            remove_scratch_folder(self._folder)
            raise
        if self._answer() != READY:
            self.__exit__()
            raise ServerError("The slow network could not be set up.")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()
        remove_scratch_folder(self._folder)

    def through(self, url: URL) -> URL:
        """Return the way to the same database through the proxy."""
        return url.set(host=None, port=PORT, query={**url.query, "host": str(self._folder)})

    def delay(self, milliseconds: float) -> float:
        """Add so many milliseconds to each round trip from now on.

        Returns:
            The seconds of a processor that the proxy has taken so far.
        """
        assert self._process.stdin
        print(milliseconds, file=self._process.stdin, flush=True)
        return float(self._answer())

    def _answer(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().strip()


def main() -> None:
    """Be the proxy."""
    listen, *target = sys.argv[1:]
    os.umask(0o077)
    with asyncio.Runner(
        loop_factory=lambda: asyncio.SelectorEventLoop(selectors.SelectSelector())
    ) as runner:
        runner.run(serve(listen, target))


if __name__ == "__main__":
    main()
