"""A counterexample played again."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.explore.apart import booking_play
from experiments.explore.campaign import counterexample as written
from experiments.explore.explorer import Explorer, Learnt, Run
from experiments.explore.program import Program, ProgramPlay
from experiments.explore.result import Result
from experiments.explore.sampling import Following
from experiments.scenes.catalogue import find_strategy
from experiments.scenes.kept import KEPT
from experiments.scenes.shapes import SHAPES
from experiments.scenes.world import EVERYTHING, find_shape
from experiments.schedules.schedule import PROGRAM, Counterexample
from experiments.server.postgres import lent_database
from experiments.steer.turns import Move

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from experiments.explore.plays import BookingPlay
    from experiments.server.postgres import Database, EmbeddedServer, Server


class NotReproduced(Exception):
    """A counterexample could not be played again as it was."""


def replay(
    counterexample: Counterexample | str | Path,
    *,
    program: Program | None = None,
    on: Server | EmbeddedServer | Database | None = None,
) -> Counterexample:
    """Play a counterexample again, and return what was seen this time.

    Args:
        counterexample: It, or the path of the JSON file that holds it.
        program: The program, where it is one's counterexample.
        on: Which server, or an empty database; the process's own server if left out.

    Raises:
        NotReproduced: The schedule could not be followed, or did not break the same properties.
        UnreadableSchedule: The file holds something else.
        UnknownStrategy: There is no such strategy here.
    """
    return next(replays(counterexample, 1, program=program, on=on))


def replays(
    counterexample: Counterexample | str | Path,
    times: int,
    *,
    program: Program | None = None,
    on: Server | EmbeddedServer | Database | None = None,
) -> Iterator[Counterexample]:
    """Play a counterexample again, several times on one stage.

    Args:
        counterexample: It, or the path of the JSON file that holds it.
        times: How often.
        program: The program, where it is one's counterexample.
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
    if program is None and known.shape == PROGRAM:
        raise NotReproduced("It is a program's: say which program.")
    if program is None and known.shape not in {**SHAPES, **KEPT, **EVERYTHING}:
        raise NotReproduced(f"There is no shape {known.shape!r} to play it in.")
    result = Result(known.strategy, known.shape, known.clients, known.search)
    with lent_database(on) as database:
        booking: BookingPlay | None = None
        play: BookingPlay | ProgramPlay
        if program is None:
            play = booking = booking_play(
                database.engine(),
                find_strategy(known.strategy),
                find_shape(known.shape, known.clients).scene(known.clients),
                attempts=known.attempts,
                backstop=known.backstop,
            )
            result.attempts = booking.attempts
        else:
            play = ProgramPlay(program, database)
        # What was found without gates is played without.
        gates = any(step.kind == "write" for step in known.steps)
        with Explorer(database, play, gates=gates) as explorer:
            explorer.starts = any(step.kind == "start" for step in known.steps)
            explorer.expect(step.sql for step in known.steps if step.kind == "statement")
            for _ in range(times):
                following, run = _followed(explorer, known)
                seen = written(run, result, explorer, booking, known.backstop)
                if following.diverged or seen.choices != known.choices:
                    raise NotReproduced("The schedule could not be followed to its end.")
                if {each.broke for each in seen.breaches} != {e.broke for e in known.breaches}:
                    raise NotReproduced("The schedule was followed, and broke something else.")
                yield seen


def _followed(explorer: Explorer, known: Counterexample) -> tuple[Following, Run]:
    """Play its choices; again where they show that more is written than was thought."""
    while True:
        following = Following([Move(*choice) for choice in known.choices])
        try:
            return following, explorer.run(following)
        except Learnt:
            continue
