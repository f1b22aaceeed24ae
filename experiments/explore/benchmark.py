"""How fast a complete verdict is reached: the explorer beside PostgreSQL's isolationtester.

Both play every schedule of the strategy `no_lock` in the shape `same_slot`: check, insert, commit,
in which nobody ever waits; isolationtester can't list schedules by itself where sessions wait.
isolationtester is given the same statements, and plays all permutations of its steps, 20 with two
sessions and 1,680 with three; it prints rows, and judges nothing. The explorer runs the real
booking code, plays one schedule of each kind, and judges each against all properties. What is
timed is the whole of it, making the tables included. Both run in turn, several times, on one
server.

    ./lab python -m experiments.explore.benchmark
"""

from __future__ import annotations

import re
import time
from typing import TYPE_CHECKING

import pandas as pd

from experiments.explore.explore import explore
from experiments.scenes.catalogue import find_strategy
from experiments.scenes.shapes import SHAPES
from experiments.scenes.stage import Stage
from experiments.schedules import labels
from experiments.schedules.spec import run_spec, to_spec
from experiments.server.postgres import fresh_database
from experiments.show.stats import spread

if TYPE_CHECKING:
    from collections.abc import Sequence

SUBJECT, SHAPE = "no_lock", "same_slot"
ROUNDS = 3


def permutations_spec(clients: int) -> str:
    """Write the script that has isolationtester play all permutations.

    Args:
        clients: How many sessions.
    """
    found = explore(SUBJECT, shape=SHAPE, stop_at_first=True).counterexample
    assert found
    session = re.search(r"^session T1\n.*?(?=^session)", to_spec(found), re.DOTALL | re.MULTILINE)
    assert session
    sessions = (
        session[0].replace("T1", labels.client(client)).replace("Client 0", f"Client {client}")
        for client in range(clients)
    )
    # Rows are put back, not tables: to make those anew each time would take much longer. Where
    # no permutations are listed, all are played.
    setup = "setup { TRUNCATE appointment RESTART IDENTITY CASCADE; }"
    return "\n\n".join([setup, *sessions])


def benchmark(clients: Sequence[int] = (2, 3), *, rounds: int = ROUNDS) -> pd.DataFrame:
    """Time both, side by side.

    Args:
        clients: Numbers of clients.
        rounds: How often each is timed.

    Returns:
        One row a number of clients: schedules and seconds (median and quartiles) of each, and
        how many times as fast the explorer was.
    """
    rows = []
    for level in clients:
        script = permutations_spec(level)
        ours, theirs = [], []
        played = permutations = 0
        for _ in range(rounds):
            with fresh_database() as database:
                started = time.perf_counter()
                result = explore(SUBJECT, shape=SHAPE, clients=level, search="reduced", on=database)
                ours.append(time.perf_counter() - started)
            assert result.complete
            assert not result.holds
            played = result.schedules
            seconds, permutations = _isolationtester(script, level)
            theirs.append(seconds)
        rows.append(
            {
                "clients": level,
                "explorer, schedules": played,
                "explorer, seconds": str(spread(ours)),
                "isolationtester, permutations": permutations,
                "isolationtester, seconds": str(spread(theirs)),
                "times as fast": round(spread(theirs).median / spread(ours).median, 1),
            }
        )
    return pd.DataFrame(rows)


def _isolationtester(script: str, clients: int) -> tuple[float, int]:
    """Return the seconds that it took to play all permutations, and how many there were."""
    with fresh_database() as database:
        started = time.perf_counter()
        Stage(database.engine(), find_strategy(SUBJECT), SHAPES[SHAPE].scene(clients))
        output = run_spec(script, database).output
        seconds = time.perf_counter() - started
    return seconds, output.count("starting permutation")


if __name__ == "__main__":
    print(benchmark().to_string(index=False))  # noqa: T201 - a command
