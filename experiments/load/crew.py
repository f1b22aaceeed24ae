"""A crew: client processes that start their work together.

Threads of one Python process share one interpreter, so with many of them Python itself becomes
what is measured. A crew spreads the clients' work over processes; each may still run threads of
its own. Nothing is shared but a gate, which opens when everybody is ready.

Work is a function of a module, and its arguments and results can be pickled: processes are made
by a server of Python's own (start method "forkserver"), because a fork of a process with threads
and database connections inherits both, and neither survives it.
"""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Protocol, TypeVar, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from multiprocessing.connection import Connection
    from multiprocessing.context import ForkServerContext

READY_SECONDS = 120
"""How long the slowest process may take to be ready before all give up."""

_METHOD = "forkserver" if "forkserver" in multiprocessing.get_all_start_methods() else "spawn"
_CONTEXT = cast("ForkServerContext", multiprocessing.get_context(_METHOD))
_CONTEXT.set_forkserver_preload(["__main__", "booking_core", "psycopg"])

Share = TypeVar("Share")
Result = TypeVar("Result")
Answer = tuple[Any, Exception | None]


class Gate(Protocol):
    """Where a process waits until all are ready; a barrier."""

    def wait(self) -> int:
        """Wait for the others."""

    def abort(self) -> None:
        """Let nobody wait for a process that has failed."""


class CrewError(RuntimeError):
    """A process ended without a result."""


def run_crew(work: Callable[[Share, Gate], Result], shares: Sequence[Share]) -> list[Result]:
    """Run work in as many processes as there are shares, and return the results in their order.

    A single share is worked on in this process.

    Args:
        work: A function of a module. It makes itself ready, waits at the gate, and goes on.
        shares: What each process is to do.

    Raises:
        CrewError: A process died.
        Exception: What `work` raised in the first process that failed.
    """
    if len(shares) == 1:
        return [work(shares[0], threading.Barrier(1))]
    gate = _CONTEXT.Barrier(len(shares), timeout=READY_SECONDS)
    members = []
    try:
        for share in shares:
            ours, theirs = _CONTEXT.Pipe(duplex=False)
            process = _CONTEXT.Process(target=_work, args=(work, share, gate, theirs), daemon=True)
            process.start()
            theirs.close()
            members.append((process, ours))
        answers: dict[Connection, Answer] = {}
        while waited_for := [pipe for _, pipe in members if pipe not in answers]:
            ready = multiprocessing.connection.wait(waited_for)
            answers |= {pipe: _received(pipe, gate) for pipe in waited_for if pipe in ready}
    except BaseException:
        for process, _ in members:
            process.terminate()
        raise
    finally:
        for process, pipe in members:
            pipe.close()
            process.join()
    failures = [failure for _, failure in answers.values() if failure]
    # Where one fails, the others find the gate broken; that tells nothing.
    failures.sort(key=lambda failure: isinstance(failure, threading.BrokenBarrierError))
    if failures:
        raise failures[0]
    return [answers[pipe][0] for _, pipe in members]


def _received(pipe: Connection, gate: Gate) -> Answer:
    try:
        answer: Answer = pipe.recv()
    except EOFError:
        gate.abort()
        return None, CrewError("A client process ended without a result.")
    return answer


def _work(work: Callable[[Any, Gate], object], share: object, gate: Gate, pipe: Connection) -> None:
    answer: Answer
    try:
        answer = work(share, gate), None
    except Exception as error:  # noqa: BLE001 - handed to whoever called
        gate.abort()
        answer = None, error
    with suppress(BrokenPipeError):  # nobody waits for it any more
        pipe.send(answer)
