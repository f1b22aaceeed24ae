"""Any program as a play: its clients, how every run begins, and what must never be.

    Program(
        clients=[Request("POST", "/book", {"staff": 1}), Request("POST", "/book", {"staff": 1})],
        server=Server(["node", "server.js"]),
        setup=Path("schema.sql"),
        never=[no_overlap("booking", resource="staff_id", starts="starts_at", ends="ends_at")],
    )

The initial state is whatever the set-up leaves. What a program remembers by itself outlives a run:
a cache, a pool. Where that makes it send something else, it is noticed, and said.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from textwrap import shorten
from typing import TYPE_CHECKING

import psycopg
import sqlalchemy

from experiments.explore.beginning import Beginning
from experiments.explore.plays import Ending, Judgement
from experiments.judge.invariants import Invariant, never
from experiments.scenes.parameters import BadExperiment
from experiments.schedules.schedule import PROGRAM, ClientReply
from experiments.steer.clients import NotPlayed
from experiments.steer.programs import (
    ANSWER_SECONDS,
    Command,
    Exit,
    HttpAnswer,
    Kind,
    Process,
    ProgramError,
    Request,
    Served,
    Server,
    Worker,
    engine,
    run,
)
from experiments.steer.quiet import PAUSE

if TYPE_CHECKING:
    from experiments.server.database import Database
    from experiments.steer.hub import Hub

Setup = str | Path | Command | Callable[[sqlalchemy.Engine], object]

MOST_ROWS = 20
MOST_PAUSE = 60
FAILED = 500  # the first status that is the server's own fault
# What no two runs have in common, whatever their order.
_PASSING = re.compile(
    r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
    r"|\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d\.\d+\S*"
)


@dataclass(frozen=True)
class Program:
    """A program to be explored.

    Attributes:
        clients: What the clients do, one entry for each: functions that are given an engine,
            workers, commands or requests.
        setup: What makes the tables and their rows: SQL, the path of a file with SQL, a command
            that finds the database in `DATABASE_URL`, or a function that is given an engine.
        never: What must never be: invariants, or SQL that must return no row.
        server: The server that requests go to.
        name: What to call it.
        background: What nobody's statements look like, such as those of a pool that keeps itself
            awake, as a regular expression.
        pause: How long the program pauses by itself at most, before it tries again for instance,
            in seconds. A client that is silent for longer, while all of the program sleeps, is
            taken to wait inside of it for another client.
    """

    clients: Sequence[Kind]
    setup: Setup
    never: Sequence[Invariant | str]
    server: Server | None = None
    name: str = PROGRAM
    background: str | None = None
    pause: float = PAUSE
    invariants: tuple[Invariant, ...] = field(init=False)

    def __post_init__(self) -> None:
        if not self.clients:
            raise BadExperiment("A program needs clients.")
        if not self.never:
            raise BadExperiment("Say what must never be: without an invariant nothing can break.")
        if not 0 < self.pause <= MOST_PAUSE:
            raise BadExperiment(f"A pause is above 0 and at most {MOST_PAUSE} s: {self.pause}")
        if self.server is None and any(isinstance(each, Request) for each in self.clients):
            raise BadExperiment("Requests need a server.")
        given = [never(each) if isinstance(each, str) else each for each in self.never]
        object.__setattr__(self, "invariants", tuple(given))


class ProgramPlay:
    """A program, played.

    Args:
        program: What.
        database: Where; its set-up is run there.

    Attributes:
        failures: What clients were told where none of them came to a good end, in any run.
    """

    def __init__(self, program: Program, database: Database) -> None:
        self.program = program
        self.clients = len(program.clients)
        self.background, self.pause = program.background, program.pause
        self.numbers = True
        self.failures: set[str] = set()
        self._well = False
        self._database = database
        self._engines: dict[int, sqlalchemy.Engine] = {}
        self._workers: dict[int, Process] = {}
        self._urls: dict[int, sqlalchemy.URL] = {}
        self._served: Served | None = None
        self._shared: sqlalchemy.URL
        self._hub: Hub

    @property
    def all_failed(self) -> bool:
        """Whether no client has come to a good end in any run."""
        return bool(self.failures) and not self._well

    def open(self, connection: psycopg.Connection) -> None:
        """Run the set-up, and remember how every run begins."""
        setup = self.program.setup
        try:
            if isinstance(setup, Command):
                self._run_setup(setup)
            elif isinstance(setup, str | Path):
                text = setup.read_text(encoding="utf-8") if isinstance(setup, Path) else setup
                connection.execute(text.encode())
            else:
                own = sqlalchemy.create_engine(self._database.url)
                try:
                    setup(own)
                finally:
                    own.dispose()
        except (psycopg.Error, OSError) as error:
            raise BadExperiment(f"The set-up failed: {str(error).partition(chr(10))[0]}") from error
        connection.execute("RESET ALL")
        connection.execute("SET timezone = 'UTC'")
        self._connection = connection
        self._beginning = Beginning(connection)
        tables = self._beginning.tables
        counts = ", ".join(f"(SELECT count(*) FROM {table})" for table in tables)  # noqa: S608
        self._counts = f"SELECT {counts}" if tables else "SELECT"
        for invariant in self.program.invariants:
            try:
                rows = connection.execute(invariant.query.encode()).fetchall()
            except psycopg.Error as error:
                raise BadExperiment(f"The invariant can't be asked: {error}") from error
            if words := invariant.check([], rows):
                raise BadExperiment(f"The invariant is broken before anybody has begun: {words}")

    def _run_setup(self, setup: Command) -> None:
        done = run(setup, self._database.url)
        if done.code:
            raise BadExperiment(f"The set-up failed: {done}")

    def enter(self, hub: Hub) -> list[Callable[[], object]]:
        """Return the clients' code, which connects through the hub."""
        if self.program.server:
            tcp = self.program.server.tcp
            self._shared = hub.loopback(None) if tcp else hub.gate(None)
            self._hub = hub
            self._serve()
        return [self._work(number, kind, hub) for number, kind in enumerate(self.program.clients)]

    def _work(self, number: int, kind: Kind, hub: Hub) -> Callable[[], object]:
        if isinstance(kind, Request):
            return partial(self._ask, kind, number)
        url = hub.gate(number)
        if isinstance(kind, Command):
            return partial(self._run_anew, kind, url, number)
        if isinstance(kind, Worker):
            self._urls[number] = url
            return partial(self._tell, kind, number)
        self._engines[number] = engine(url)
        return partial(kind, self._engines[number])

    def process(self, client: int) -> int | None:
        """Say in which process a client's code runs; None where it is a thread of this one."""
        process: Process | Served | None = self._workers.get(client)
        if isinstance(self.program.clients[client], Request):
            process = self._served
        return None if process is None else process.pid

    def _ask(self, request: Request, number: int) -> HttpAnswer:
        if self._served is None:
            raise ProgramError("the server has ended")
        return self._served.ask(request, number)

    def _run_anew(self, command: Command, url: sqlalchemy.URL, number: int) -> Exit:
        process = self._workers[number] = Process(command.cmd, url, command.env)
        try:
            return process.finish(command.stdin)
        finally:
            process.close()

    def _tell(self, worker: Worker, number: int) -> str:
        known = self._workers.get(number)
        if known is None or known.ended:
            if known:
                known.close()
            known = self._workers[number] = Process(worker.cmd, self._urls[number], worker.env)
        known.drain()
        known.tell(worker.line)
        return known.hear(ANSWER_SECONDS)

    def _serve(self) -> None:
        assert self.program.server
        self._served = Served(self.program.server, self._shared, self._hub.let_through)

    def renew(self, clients: Collection[int]) -> None:
        """Connections were ended: begin the next run without them, and with programs that live."""
        for client in clients:
            if client in self._engines:
                self._engines[client].dispose()
        server = self.program.server
        if server and (self._served is None or self._served.ended or server.anew):
            if self._served:
                self._served.close()
            self._serve()

    def abort(self) -> None:
        """End the programs, whatever they are doing."""
        for process in self._workers.values():
            process.close()
        self._workers.clear()
        if self._served:
            self._served.close()
            self._served = None

    def leave(self) -> None:
        """Let go of everything that connects."""
        self.abort()
        for each in self._engines.values():
            each.dispose()

    def close_run(self, endings: Sequence[Ending], written: Collection[str]) -> Judgement:
        """Judge a run, and leave everything as it was at the beginning."""
        told = [ending.failure or ending.value for ending in endings]
        if any(isinstance(each, NotPlayed) for each in told):
            self._beginning.put_back(written)
            return Judgement({}, ())
        self._note(told)
        faults, rows = {}, []
        counts, *looked = self._asked()
        for invariant, found in zip(self.program.invariants, looked, strict=True):
            rows.append(str(found))
            if words := invariant.check(told, found):
                faults[invariant.name] = words
        stored = self._stored(written) if faults else ()
        self._beginning.put_back(written)
        answers = tuple(map(_in_words, told))
        outcome = (answers, str(counts), tuple(rows), tuple(faults))
        return Judgement(
            faults=dict.fromkeys(faults, 1),
            outcome=_PASSING.sub("…", repr(outcome)),
            replies=tuple(
                ClientReply(
                    number,
                    asked(self.program.clients[number]),
                    answers[number],
                    invoked=ending.invoked,
                    replied=ending.replied,
                )
                for number, ending in enumerate(endings)
            ),
            words=tuple("failed" if isinstance(each, BaseException) else "done" for each in told),
            explained=faults,
            stored=stored,
        )

    def _asked(self) -> list[list[tuple[object, ...]]]:
        """Ask how many rows there are, and all invariants, in one round trip."""
        queries = [self._counts, *(each.query.strip(" ;\n") for each in self.program.invariants)]
        cursor = self._connection.execute("; ".join(queries).encode())
        found = [cursor.fetchall()]
        while cursor.nextset():
            found.append(cursor.fetchall())
        return found

    def _note(self, told: Sequence[object]) -> None:
        for each in told:
            if isinstance(each, BaseException) or getattr(each, "status", 0) >= FAILED:
                self.failures.add(_in_words(each))
            else:
                self._well = True

    def _stored(self, written: Collection[str]) -> tuple[str, ...]:
        """The rows of the tables that were written as PostgreSQL writes them, the first of each."""
        found: list[str] = []
        for table in self._beginning.among(written):
            query = f"SELECT t::text FROM {table} AS t LIMIT {MOST_ROWS}"  # noqa: S608
            name = table.removeprefix("public.")
            found += [f"{name} {row}" for (row,) in self._connection.execute(query.encode())]
        return tuple(found)


def asked(kind: Kind) -> str:
    """Say what a client asks."""
    if isinstance(kind, Request):
        body = "" if kind.body is None else f" {json.dumps(kind.body)}"
        return f"{kind.method} {kind.path}{body}"
    if isinstance(kind, Worker):
        return kind.line
    if isinstance(kind, Command):
        return kind.stdin.strip() or str(kind.cmd)
    while isinstance(kind, partial):
        kind = kind.func
    return str(getattr(kind, "__name__", kind))


def _in_words(told: object) -> str:
    if isinstance(told, BaseException):
        words = str(told).partition("\n")[0]
        return shorten(f"{type(told).__name__}: {words}", 200)
    return str(told)
