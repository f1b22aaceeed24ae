"""The load generator: many virtual users, for as long as it takes, judged by the database.

    from experiments.load import load

    load("advisory", vus=100).metrics["booking_successes"]

`load` is what one calls, `plan` what can be asked for, and `feasibility` says whether it can be
done. `crew` runs client processes together, `share` is what each is to do, `client_process` one of
them; `users` live there, `executors` tell them when to ask, `workload` what for, and `replies`
keeps what they are told. `measurements` makes `metrics` of that, which `thresholds` hold against
conditions and `summary` prints as k6 does. `rush`, `endurance` and `choice` are experiments with
it.
"""

from experiments.load.load import LoadResult, load
from experiments.load.plan import Plan

__all__ = ["LoadResult", "Plan", "load"]
