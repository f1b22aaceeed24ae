"""Races: clients on warm connections, released together, and what came of them.

    from experiments.race import race

    race("advisory", clients=20).summary()

`race` is what one calls. A `programme` says what is played in each round, `clients` make their
calls in threads, or in `processes` of their own, and the `course` measures how far apart they
started; all of it is a `result`. `contention` races every strategy in every shape, and `figures`
draws what came of it.
"""

from experiments.race.race import RaceResult, race, races

__all__ = ["RaceResult", "race", "races"]
