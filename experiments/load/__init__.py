"""The load generator: many virtual users, for as long as it takes, judged by the database."""

from experiments.load.load import LoadResult, load
from experiments.load.plan import Plan

__all__ = ["LoadResult", "Plan", "load"]
