"""Clients that wait for each other inside of their program, where no server sees it."""

from __future__ import annotations

import sys
import threading
import time
from functools import partial
from typing import TYPE_CHECKING

from experiments.explore.explore import explore_program
from experiments.explore.program import Program
from experiments.explore.replaying import replay
from experiments.judge.invariants import never
from experiments.schedules.transcript import transcript
from experiments.steer.programs import Request, Server

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy import Engine

    from experiments.server.database import Database

    Empty = Callable[[], Database]

# A server whose pool has a few connections; whoever finds none waits, first come first served.
POOLED = """
import os, psycopg, sys, queue, threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

class Pool:
    def __init__(self, size):
        self.lock, self.waiting = threading.Lock(), []
        self.free = [psycopg.connect(os.environ["DATABASE_URL"], prepare_threshold=None)
                     for _ in range(size)]

    def take(self):
        with self.lock:
            if self.free:
                return self.free.pop()
            mine = queue.SimpleQueue()
            self.waiting.append(mine)
        return mine.get()

    def give(self, connection):
        with self.lock:
            if self.waiting:
                self.waiting.pop(0).put(connection)
            else:
                self.free.append(connection)

pool = Pool(int(sys.argv[1]))

class Handler(BaseHTTPRequestHandler):
    def do_POST(self):
        who = self.path[1:]
        connection = pool.take()
        try:
            with connection.transaction():
                taken = connection.execute("SELECT who FROM chair").fetchall()
                if not taken:
                    connection.execute("INSERT INTO chair VALUES (%s)", [who])
        finally:
            pool.give(connection)
        if who in sys.argv[2:]:  # works without a transaction, a connection for each statement
            for _ in range(2):
                connection = pool.take()
                connection.autocommit = True
                connection.execute("INSERT INTO noise VALUES (1)")
                connection.autocommit = False
                pool.give(connection)
        self.send_response(409 if taken else 201)
        self.end_headers()

    def log_message(self, *_):
        pass

server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
print(f"listening on 127.0.0.1:{server.server_address[1]}", flush=True)
server.serve_forever()
"""
SETUP = "CREATE TABLE chair (who text PRIMARY KEY); CREATE TABLE noise (n int)"


def pooled(size: int, clients: int, *more: str, invariant: str) -> Program:
    """A program whose clients ask a server with a pool of some size."""
    return Program(
        [Request("POST", f"/{name}") for name in "abc"[:clients]],
        SETUP,
        [never(invariant)],
        server=Server([sys.executable, "-c", POOLED, str(size), *more]),
        pause=0.05,
    )


def test_who_begins_first_is_a_choice_where_the_pool_is_small(empty: Empty) -> None:
    """With one connection the second waits inside; each of the two may be the first."""
    program = pooled(1, 2, invariant="SELECT 1 FROM chair WHERE who = 'b'")

    result = explore_program(program, on=empty())

    assert result.complete
    assert 0 < result.violations.total() < result.schedules
    assert len(result.outcomes) == 2
    assert any("starts are steps" in note for note in result.notes)
    assert any("waited longest" in note for note in result.notes)
    assert result.counterexample
    assert "-- T2 starts" in transcript(result.counterexample)
    assert replay(result.counterexample, program=program, on=empty()).steps


def test_where_the_pool_is_large_enough_no_start_is_a_step(empty: Empty) -> None:
    """The same program with two connections: nobody waits, and nothing is guessed."""
    result = explore_program(pooled(2, 2, invariant="SELECT 1 WHERE false"), on=empty())

    assert result.complete
    assert not result.notes
    assert len(result.outcomes) == 3


def test_a_reduced_search_leaves_nothing_out_where_clients_wait_inside(empty: Empty) -> None:
    """What is shared inside of a program is not known, so no two steps are known to commute."""
    program = pooled(1, 2, invariant="SELECT 1 WHERE false")

    exhaustive = explore_program(program, on=empty())
    reduced = explore_program(program, search="reduced", on=empty())

    assert exhaustive.complete
    assert reduced.complete
    assert not reduced.cut
    assert exhaustive.outcomes.keys() == reduced.outcomes.keys()


def test_connections_that_come_and_go_by_the_statement(empty: Empty) -> None:
    """A client gives its connection back after each statement, and takes one for the next."""
    result = explore_program(pooled(1, 2, "a", invariant="SELECT 1 WHERE false"), on=empty())

    assert result.complete
    assert not result.varied
    assert len(result.outcomes) == 2


def test_a_lock_of_the_programs_own_is_waited_for(empty: Empty) -> None:
    """Two functions of one process and a lock between them: the second waits, and goes on."""
    ours = threading.Lock()

    def raises(engine: Engine) -> int:
        with ours, engine.begin() as connection:
            value = int(connection.exec_driver_sql("SELECT n FROM counter").scalar_one())
            connection.exec_driver_sql(f"UPDATE counter SET n = {value + 1}")
            return value

    setup = "CREATE TABLE counter AS SELECT 0 AS n"
    lost = never("SELECT n FROM counter WHERE n = 1", "lost update")

    result = explore_program(Program([raises, raises], setup, [lost], pause=0.05), on=empty())

    assert result.complete
    assert result.holds
    assert any("starts are steps" in note for note in result.notes)
    assert len(result.outcomes) == 2  # either may be the first


def test_whoever_waits_for_ever_is_found(empty: Empty) -> None:
    """Two clients take two locks of their program in opposite order."""
    locks = [threading.Lock(), threading.Lock()]

    def takes(first: int, engine: Engine) -> None:
        with locks[first]:
            with engine.begin() as connection:
                connection.exec_driver_sql(f"UPDATE counter SET n = n + 1 WHERE id = {first}")
            with locks[1 - first], engine.begin() as connection:
                connection.exec_driver_sql(f"UPDATE counter SET n = n + 1 WHERE id = {1 - first}")

    program = Program(
        [partial(takes, 0), partial(takes, 1)],
        "CREATE TABLE counter (id int, n int); INSERT INTO counter VALUES (0, 0), (1, 0)",
        [never("SELECT 1 FROM counter WHERE n > 2")],
        pause=0.05,
    )

    result = explore_program(program, guard_seconds=0.5, on=empty())

    assert not result.holds
    assert any("nobody is left who could let it go on" in words for words in result.broken)


def test_a_pause_is_waited_for(empty: Empty) -> None:
    """Whoever sleeps will go on by itself: that is no wait for somebody else."""

    def pauses(engine: Engine) -> None:
        time.sleep(0.3)
        with engine.begin() as connection:
            connection.exec_driver_sql("UPDATE counter SET n = n + 1")

    program = Program(
        [pauses, pauses],
        "CREATE TABLE counter AS SELECT 0 AS n",
        [never("SELECT 1 FROM counter WHERE n <> 2 AND n <> 0")],
        pause=0.05,
    )

    result = explore_program(program, search="reduced", on=empty())

    assert result.complete
    assert not result.notes
