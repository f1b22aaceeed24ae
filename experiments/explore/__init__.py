"""Every order of statements, on the real PostgreSQL, with the real code.

A race samples a few of the orders in which the clients' statements can run. The explorer tries
all of them: unmodified code runs as clients whose every statement, COMMIT and ROLLBACK is a step
that is let through by whoever searches. Who waits for whom is PostgreSQL's word.

    from experiments.explore import explore, replay

    result = explore("key_of_start", shape="overlapping")
    result.counterexample.save("schedule.json")
    replay("schedule.json")

A statement that looks at what others write, and then writes, is two steps; `gates` says what else
goes on inside of the server and is not reordered.

`explore` is what one calls and `replaying` its way back. `search` and `sampling` say which
schedules are played, `independence` which of them are alike, and `reversals` which others a run
calls for; `explorer` plays them, with `view` of how the clients stand, `gates` inside of statements
and `beginning` for every run. `plays` and `program` are what is played, `apart` with clients in
processes of their own; a `campaign` counts what it showed into a `result`, and `narrate` makes a
counterexample of a run.

`pairs` plays the world of requests, `worlds` several strategies in it, and `dimensions` asks what
each part of it is good for. `matrix` plays many cells at once, for `evidence`, the proof;
`detection` compares all methods and `benchmark` the speed. `app` reads a program from a file, and
`foreign` has other people's stacks. `hand` and `playground` are for people who try things out.
"""

from experiments.explore.explore import ATTEMPTS, SEARCHES, explore, explore_program
from experiments.explore.program import Program
from experiments.explore.replaying import NotReproduced, replay, replays
from experiments.explore.result import PROPERTIES, Result
from experiments.schedules.schedule import Counterexample, UnreadableSchedule

__all__ = [
    "ATTEMPTS",
    "PROPERTIES",
    "SEARCHES",
    "Counterexample",
    "NotReproduced",
    "Program",
    "Result",
    "UnreadableSchedule",
    "explore",
    "explore_program",
    "replay",
    "replays",
]
