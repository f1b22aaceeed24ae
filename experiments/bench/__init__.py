"""The benchmark: what booking costs through the service, and what PostgreSQL itself could do.

One run, side by side on one server, in rounds in which everybody has a turn, in another order each
time: what disturbs a shared machine disturbs all alike. Only ratios within a round are compared.

`workloads` has what is asked for, `contenders` who is compared, `clients` the service driven from
processes, `pgbench` and `scripts` PostgreSQL's own benchmark, `calendars` the databases, `bench`
the rounds and the ratios, `profile` where the time of one attempt goes. `throughput` is what
the load notebook takes of them, and `curves` draws it. `listing` measures lists of free slots in
the same manner: `large_salon` is where, `listers` are the ways.
"""

from experiments.bench.bench import Benchmark, Plan, bench
from experiments.bench.profile import profile

__all__ = ["Benchmark", "Plan", "bench", "profile"]
