"""Races: clients on warm connections, released together, and what came of them."""

from experiments.race.race import BadExperiment, RaceResult, race, races

__all__ = ["BadExperiment", "RaceResult", "race", "races"]
