"""A counterexample played again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.explore.campaign import counterexample as written
from experiments.explore.explorer import Explorer
from experiments.explore.plays import BookingPlay
from experiments.explore.result import Result
from experiments.explore.sampling import Following
from experiments.scenes.catalogue import find_strategy
from experiments.scenes.shapes import SHAPES
from experiments.schedules.schedule import Counterexample
from experiments.server.postgres import lent_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from experiments.server.postgres import Database, EmbeddedServer, Server


class NotReproduced(Exception):
    """A counterexample could not be played again as it was."""


def replay(
    counterexample: Counterexample | str | Path,
    *,
    on: Server | EmbeddedServer | Database | None = None,
) -> Counterexample:
    """Play a counterexample again, and return what was seen this time.

    Args:
        counterexample: It, or the path of the JSON file that holds it.
        on: Which server, or an empty database; the process's own server if left out.

    Raises:
        NotReproduced: The schedule could not be followed, or did not break the same properties.
        UnreadableSchedule: The file holds something else.
        UnknownStrategy: There is no such strategy here.
    """
    return next(replays(counterexample, 1, on=on))


def replays(
    counterexample: Counterexample | str | Path,
    times: int,
    *,
    on: Server | EmbeddedServer | Database | None = None,
) -> Iterator[Counterexample]:
    """Play a counterexample again, several times on one stage.

    Args:
        counterexample: It, or the path of the JSON file that holds it.
        times: How often.
        on: Which server, or an empty database; the process's own server if left out.

    Yields:
        What was seen each time.

    Raises:
        NotReproduced: The schedule could not be followed, or did not break the same properties.
    """
    known = (
        counterexample
        if isinstance(counterexample, Counterexample)
        else Counterexample.load(counterexample)
    )
    if known.shape not in SHAPES:
        raise NotReproduced(f"There is no shape {known.shape!r} to play it in.")
    result = Result(known.strategy, known.shape, known.clients, known.search)
    with lent_database(on) as database:
        play = BookingPlay(
            database.engine(),
            find_strategy(known.strategy),
            SHAPES[known.shape].scene(known.clients),
            attempts=known.attempts,
            backstop=known.backstop,
        )
        result.attempts = play.attempts
        with Explorer(database, play) as explorer:
            for _ in range(times):
                following = Following(known.choices)
                run = explorer.run(following)
                seen = written(run, result, explorer, play, known.backstop)
                if following.diverged or seen.choices != known.choices:
                    raise NotReproduced("The schedule could not be followed to its end.")
                if {each.broke for each in seen.breaches} != {e.broke for e in known.breaches}:
                    raise NotReproduced("The schedule was followed, and broke something else.")
                yield seen
