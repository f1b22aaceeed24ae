"""The command `booking-lab bench`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING

import click
import pandas as pd

from experiments.bench import Benchmark, Plan, bench, profile
from experiments.bench.bench import REFERENCES
from experiments.bench.contenders import ServiceContender, everybody, find_contender
from experiments.bench.listing import ListingPlan, listing
from experiments.cli.complaints import in_a_sentence
from experiments.show.tables import MISSING, to_text

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


def _numbers(_: click.Context, option: click.Parameter, written: str) -> list[int]:
    """Read whole numbers with commas between them."""
    try:
        return [int(part) for part in written.split(",")]
    except ValueError:
        raise click.BadParameter(
            f"{written!r} is no list of whole numbers such as 1,20,100.", param=option
        ) from None


@click.group("bench", invoke_without_command=True)
@click.option(
    "--contender", "contenders", multiple=True, metavar="NAME",
    help="Who takes part, may be repeated; all if left out. "
    f"One of {', '.join(everybody())}, or service:NAME+alternatives.",
)  # fmt: skip
@click.option(
    "--workload", "workloads", multiple=True, default=Plan.workloads, show_default=True,
    help="One slot, booked at once, or any slot of 1,000 staff members; may be repeated.",
)  # fmt: skip
@click.option(
    "--clients", callback=_numbers, default="1,20,100", show_default=True, metavar="N,N,…",
    help="How many at once.",
)  # fmt: skip
@click.option(
    "--seconds", type=int, default=Plan.seconds, show_default=True,
    help="How long each turn is measured; whole seconds.",
)  # fmt: skip
@click.option(
    "--warm-seconds", type=int, default=Plan.warm_seconds, show_default=True,
    help="How long each turn runs before that, uncounted.",
)  # fmt: skip
@click.option(
    "--rounds", type=int, default=Plan.rounds, show_default=True, help="Turns of each contender."
)
@click.option(
    "--processes", type=int, default=Plan.processes, show_default=True,
    help="Over how many processes the service's clients are spread.",
)  # fmt: skip
@click.option(
    "--staff", type=int, default=Plan.staff, show_default=True, help="The size of the salon."
)
@click.option("--seed", type=int, default=Plan.seed, show_default=True, help="For all that varies.")
@click.option(
    "--profile", "profiled", is_flag=True,
    help="Instead: where an attempt's time goes, for the service's contenders, one client each.",
)  # fmt: skip
@click.option("--json", "as_json", is_flag=True, help="Print the result as a JSON list.")
@click.pass_context
def bench_command(  # noqa: PLR0913 - a command has as many options
    context: click.Context,
    *,
    contenders: tuple[str, ...],
    workloads: Sequence[str],
    clients: list[int],
    seconds: int,
    warm_seconds: int,
    rounds: int,
    processes: int,
    staff: int,
    seed: int,
    profiled: bool,
    as_json: bool,
) -> None:
    """Measure the service beside pgbench on the same server, in rounds that alternate.

    A contender is service:STRATEGY, which is BookingService.book in a tight loop from client
    processes, or pgbench with the origin's statements, our statements, our function, or a bare
    insert. No alternatives are computed for a conflict, as pgbench computes none either;
    service:STRATEGY+alternatives shows what they cost. Ratios are medians of the ratios within the
    rounds, with their quartiles. The exit code is 1 where the rows belie what was replied.

    \b
    Examples:
      booking-lab bench
      booking-lab bench --json --rounds 3 --clients 20,100
      booking-lab bench --workload hot_slot --contender service:function \\
        --contender service:function+alternatives --contender pgbench:function
      booking-lab bench --profile --contender service:advisory
    """
    if context.invoked_subcommand:
        return
    with in_a_sentence():
        plan = Plan(
            contenders or everybody(), workloads, clients, seconds, warm_seconds, rounds,
            processes, staff, seed,
        )  # fmt: skip
        if profiled:
            tables = list(_profiles(plan))
        else:
            minutes = plan.estimated_seconds / 60
            click.echo(f"{plan.turns} turns, about {minutes:.1f} minutes", err=True)
            result = bench(plan, progress=sys.stderr.isatty())
    if profiled:
        _print(pd.concat(tables), ["strategy", "workload"], as_json=as_json)
        return
    for name, reason in result.skipped.items():
        click.echo(f"{name} is left out. {reason}", err=True)
    if as_json:
        click.echo(json.dumps(result.records(), indent=2))
    else:
        _print(_readable(result), ["workload", "clients"], as_json=False)
    for sentence in result.wrong():
        click.secho(sentence, err=True, fg="red")
    sys.exit(1 if result.wrong() else 0)


@bench_command.command("availability")
@click.option(
    "--staff", callback=_numbers, default="1,20,500", show_default=True, metavar="N,N,…",
    help="Whose free slots are listed: 1, 20 or 500 staff members'.",
)  # fmt: skip
@click.option(
    "--days", callback=_numbers, default="1,30", show_default=True, metavar="N,N,…",
    help="For how many days.",
)  # fmt: skip
@click.option(
    "--appointments", callback=_numbers, default="10000,1000000", show_default=True,
    metavar="N,N,…", help="How many are in the table.",
)  # fmt: skip
@click.option(
    "--rounds", type=int, default=ListingPlan.rounds, show_default=True, help="Turns of each way."
)
@click.option("--plan", "planned", is_flag=True, help="Show how PostgreSQL answers, too.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as a JSON list.")
def availability_command(  # noqa: PLR0913 - as above
    *,
    staff: list[int],
    days: list[int],
    appointments: list[int],
    rounds: int,
    planned: bool,
    as_json: bool,
) -> None:
    """Measure what a list of free slots costs, in three ways that must give one answer.

    query is booking_core's: rules are remembered, and one query says what is booked. sweep fetches
    rules and appointments each time and sweeps over them in Python. grid tries every start with NOT
    EXISTS in PostgreSQL. The exit code is 1 where the answers differ, or where the plan does not
    use the index.

    \b
    Examples:
      booking-lab bench availability
      booking-lab bench availability --json --staff 1,20 --appointments 1000000
      booking-lab bench availability --staff 1 --days 1 --plan
    """
    with in_a_sentence():
        found = listing(
            ListingPlan(staff, days, appointments, rounds), progress=sys.stderr.isatty()
        )
    frame = found.medians()
    if as_json:
        click.echo(json.dumps(json.loads(frame.to_json(orient="records")), indent=2))
    else:
        _print(frame, ["appointments", "staff", "days"], as_json=False)
    for number, plan in found.plans.items():
        if planned:
            click.echo(
                f"\nOne staff member, one day, {number:,} appointments:\n{plan}", err=as_json
            )
    for sentence in found.differences:
        click.secho(sentence, err=True, fg="red")
    if not found.uses_index():
        click.secho("The plan does not use the index on appointments.", err=True, fg="red")
    sys.exit(1 if found.differences or not found.uses_index() else 0)


def _profiles(plan: Plan) -> Iterator[pd.DataFrame]:
    for contender in map(find_contender, plan.contenders):
        if isinstance(contender, ServiceContender):
            for workload in plan.workloads:
                parts = profile(contender.strategy, workload, seed=plan.seed)
                names = {"strategy": contender.strategy.name, "workload": workload}
                yield parts.assign(**names)


def _readable(result: Benchmark) -> pd.DataFrame:
    frame = result.ratios()
    for name in (f"ratio_to_{reference}" for reference in REFERENCES):
        low, high = frame.pop(f"{name}_low"), frame.pop(f"{name}_high")
        frame[name] = [
            MISSING if pd.isna(ratio) else f"{ratio:.2f} ({least:.2f} to {most:.2f})"
            for ratio, least, most in zip(frame[name], low, high, strict=True)
        ]
    frame["client_cpu_share"] = [f"{share:.0%}" for share in frame["client_cpu_share"]]
    return frame.sort_values(["workload", "clients", "per_second"], ascending=[True, True, False])


def _print(frame: pd.DataFrame, by: list[str], *, as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(frame.to_dict("records"), indent=2))
        return
    for names, rows in frame.groupby(by, sort=False):
        caption = ", ".join(f"{name} {value}" for name, value in zip(by, names, strict=True))
        table = rows.drop(columns=by).rename(columns=lambda name: str(name).replace("_", " "))
        click.echo(f"\n{to_text(table, caption)}")
