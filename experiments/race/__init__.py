"""Races: clients on warm connections, released together, and what came of them.

    from experiments.race import race

    race("advisory", clients=20).summary()

`race` is what one calls, `course` releases the clients and measures how far apart they started,
`contention` races every strategy in every shape, and `figures` draws what came of it.
"""

from experiments.race.race import RaceResult, race, races

__all__ = ["RaceResult", "race", "races"]
