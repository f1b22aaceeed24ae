"""Clients of any kind, and the server that they may talk to.

A client is a function that is given an engine, a long-lived command that is told a line and answers
with one, a command that is run anew each time, or an HTTP request to a server that the lab starts.
All but the function find the database in `DATABASE_URL`, a URI as libpq, node-postgres and Prisma
read it, and in libpq's own variables.
"""

from __future__ import annotations

import json
import os
import queue
import re
import shlex
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from typing import IO, Any
from urllib.parse import quote

import sqlalchemy

START_SECONDS = 30.0
LOOK_SECONDS = 0.01
ANSWER_SECONDS = 60.0
"""How long an answer may take at most; who is held back for longer is found to be stuck before."""
END_SECONDS = 5.0
NEVER = 2**31
LAST_LINES = 20


class ProgramError(Exception):
    """A program could not be started, or has ended. The message is a sentence for the user."""


@dataclass(frozen=True, slots=True)
class Worker:
    """A long-lived command: it is sent a line, and answers with one.

    Attributes:
        cmd: The command, as a list or as a shell would write it.
        line: What it is sent for each schedule.
        env: Variables besides those for the database.
    """

    cmd: str | Sequence[str]
    line: str
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Command:
    """A command that is run anew for each schedule; it is told its exit code and what it prints.

    Attributes:
        cmd: The command.
        stdin: What it reads.
        env: Variables besides those for the database.
    """

    cmd: str | Sequence[str]
    stdin: str = ""
    env: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Request:
    """An HTTP request to the server.

    Attributes:
        method: Its method.
        path: Its path, with the query if there is one.
        body: What is sent as JSON; nothing where it is None.
        headers: Further headers.
    """

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What a request was answered.

    Attributes:
        status: The status.
        body: The body: read as JSON where it is.
    """

    status: int
    body: Any

    def __str__(self) -> str:
        return f"{self.status} {json.dumps(self.body)}" if self.body != "" else str(self.status)


@dataclass(frozen=True, slots=True)
class Exit:
    """How a command ended.

    Attributes:
        code: Its exit code.
        printed: What it printed.
    """

    code: int
    printed: str

    def __str__(self) -> str:
        return f"exit {self.code}: {self.printed.strip()}"


@dataclass(frozen=True, slots=True)
class Server:
    """A server that requests go to.

    Attributes:
        cmd: The command. `{url}` in it, and in the environment, is the database's URI.
        env: Variables besides those for the database.
        ready: What it prints when it accepts requests, as a regular expression whose group is the
            port.
        cwd: Where it is started.
        tcp: Whether its driver knows only TCP.
        anew: Whether it is started anew for each schedule, since it remembers something.
    """

    cmd: str | Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    ready: str = r"listening on \S*?:(\d+)"
    cwd: str | os.PathLike[str] | None = None
    tcp: bool = False
    anew: bool = False


Kind = Worker | Command | Request | Callable[["sqlalchemy.Engine"], Any]


def engine(url: sqlalchemy.URL) -> sqlalchemy.Engine:
    """Return an engine for a client in this process.

    psycopg prepares nothing by itself: when it would, depends on how often a statement was sent in
    earlier schedules. What is prepared explicitly is prepared as ever.
    """
    options = {"prepare_threshold": NEVER}
    return sqlalchemy.create_engine(url, pool_size=1, max_overflow=20, connect_args=options)


def uri(url: sqlalchemy.URL) -> str:
    """Write a database's URL as libpq reads it, the password included."""
    if not url.host:
        # Without a host, a port before the path is understood by nobody; `set` can't take it away.
        url = url._replace(port=None).update_query_dict({"port": str(url.port or 5432)})
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def variables(url: sqlalchemy.URL, env: Mapping[str, str]) -> dict[str, str]:
    """Return the environment of a program that connects to a database.

    Nothing else that tells of a database comes along, or a program could find another way to it.
    """
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PG", "BOOKING_", "DATABASE_"))
    }
    own = {
        "DATABASE_URL": uri(url),
        "PGHOST": url.host or str(url.query.get("host", "")),
        "PGPORT": str(url.port or 5432),
        "PGUSER": url.username or "",
        "PGDATABASE": url.database or "",
        "PGPASSWORD": url.password or "",
    }
    given = {name: value.replace("{url}", own["DATABASE_URL"]) for name, value in env.items()}
    return kept | {name: value for name, value in own.items() if value} | given


class Process:
    """A program that runs beside the lab and ends with it.

    Args:
        cmd: The command.
        url: The database.
        env: Variables besides those for the database.
        cwd: Where it is started.
    """

    def __init__(
        self,
        cmd: str | Sequence[str],
        url: sqlalchemy.URL,
        env: Mapping[str, str],
        cwd: str | os.PathLike[str] | None = None,
    ) -> None:
        parts = shlex.split(cmd) if isinstance(cmd, str) else list(cmd)
        self.name = " ".join(parts)  # without the URI
        try:
            self._process = subprocess.Popen(  # noqa: S603 - the user's own program
                [part.replace("{url}", uri(url)) for part in parts],
                env=variables(url, env),
                cwd=cwd,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            raise ProgramError(f"{self.name} can't be started: {error}") from error
        self._secrets = [
            each
            for each in (uri(url), url.password, quote(str(url.password or ""), safe=""))
            if each
        ]  # for nobody's eyes
        self._lines: queue.Queue[str | None] = queue.Queue()
        self._last: list[str] = []
        assert self._process.stdout
        threading.Thread(target=self._read, args=(self._process.stdout,), daemon=True).start()

    @property
    def pid(self) -> int:
        """What the system calls it."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it has come to its end."""
        return self._process.poll() is not None

    def tell(self, line: str) -> None:
        """Send it a line."""
        assert self._process.stdin
        try:
            self._process.stdin.write(line.rstrip("\n") + "\n")
            self._process.stdin.flush()
        except OSError as error:
            raise ProgramError(self._obituary()) from error

    def hear(self, seconds: float) -> str:
        """Return the next line that it prints.

        Raises:
            ProgramError: It has ended, or prints nothing in time.
        """
        line = self.heard(seconds)
        if line is None:
            raise ProgramError(f"{self.name} has printed nothing for {seconds:.0f} s")
        return line

    def heard(self, seconds: float = 0.0) -> str | None:
        """Return the next line; None where it prints none in time.

        Raises:
            ProgramError: It has ended.
        """
        try:
            line = self._lines.get(block=seconds > 0, timeout=seconds or None)
        except queue.Empty:
            return None
        if line is None:
            raise ProgramError(self._obituary())
        return line

    def drain(self) -> None:
        """Pass over what it has printed so far."""
        with suppress(queue.Empty):
            while (line := self._lines.get_nowait()) is not None:
                del line

    def finish(self, stdin: str) -> Exit:
        """Tell it all that it is to read, and await its end."""
        assert self._process.stdin
        if stdin:
            self.tell(stdin)
        self._process.stdin.close()
        printed = []
        with suppress(ProgramError):
            while True:
                printed.append(self.hear(ANSWER_SECONDS))
        return Exit(self._process.wait(ANSWER_SECONDS), "\n".join(printed))

    def close(self) -> None:
        """End it, and everything that it has started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, 15)
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, 9)
            self._process.wait()
        for stream in (self._process.stdin, self._process.stdout):
            with suppress(OSError):
                if stream:
                    stream.close()

    def _read(self, stream: IO[str]) -> None:
        with suppress(ValueError):  # it was closed
            for printed in stream:
                line = printed.rstrip("\n")
                for secret in self._secrets:
                    line = line.replace(secret, "…")
                self._lines.put(line)
                self._last = [*self._last, line][-LAST_LINES:]
        self._lines.put(None)

    def _obituary(self) -> str:
        said = " / ".join(self._last) or "it said nothing"
        try:
            self._process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            return f"{self.name} has closed its output: {said}"
        return f"{self.name} ended with code {self._process.returncode}: {said}"


class Served:
    """A server while it runs, to which requests can be made.

    Args:
        server: What it is.
        url: The database.
        meanwhile: Called again and again until it accepts requests, with seconds that may pass:
            lets through what it sends to the database.
    """

    def __init__(
        self, server: Server, url: sqlalchemy.URL, meanwhile: Callable[[float], object]
    ) -> None:
        self._process = Process(server.cmd, url, server.env, server.cwd)
        try:
            self.port = self._await_ready(server.ready, meanwhile)
        except BaseException:
            self._process.close()
            raise

    def _await_ready(self, ready: str, meanwhile: Callable[[float], object]) -> int:
        give_up = time.monotonic() + START_SECONDS
        while time.monotonic() < give_up:
            if found := re.search(ready, self._process.heard() or ""):
                return int(found[1])
            meanwhile(LOOK_SECONDS)
        raise ProgramError(
            f"{self._process.name} has not printed what says that it is ready ({ready})"
            f" for {START_SECONDS:.0f} s"
        )

    @property
    def pid(self) -> int:
        """What the system calls its process."""
        return self._process.pid

    @property
    def ended(self) -> bool:
        """Whether it has come to its end."""
        return self._process.ended

    def ask(self, request: Request, client: int) -> HttpAnswer:
        """Make a request, and return what it was answered.

        Its trace says which client it is of; a server that passes traces on to PostgreSQL in
        comments (sqlcommenter) tells so whose each statement is.
        """
        connection = HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_SECONDS)
        headers = {
            "Content-Type": "application/json",
            "traceparent": f"00-b00c{client:028x}-{client + 1:016x}-01",
            **request.headers,
        }
        body = None if request.body is None else json.dumps(request.body)
        try:
            connection.request(request.method, request.path, body, headers)
            answer = connection.getresponse()
            text = answer.read().decode(errors="replace")
        except (OSError, HTTPException) as error:
            raise ProgramError(f"the server did not answer: {type(error).__name__}") from error
        finally:
            connection.close()
        with suppress(ValueError):
            return HttpAnswer(answer.status, json.loads(text))
        return HttpAnswer(answer.status, text)

    def close(self) -> None:
        """End it."""
        self._process.close()


def run(command: Command, url: sqlalchemy.URL) -> Exit:
    """Run a command to its end."""
    process = Process(command.cmd, url, command.env)
    try:
        return process.finish(command.stdin)
    finally:
        process.close()
