"""The command `booking-lab`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from experiments.cli.bench import bench_command
from experiments.cli.complaints import in_a_sentence
from experiments.cli.explore import explore_command
from experiments.cli.load import load_command
from experiments.cli.options import shape_option, strategy_option
from experiments.cli.simulate import simulate_command
from experiments.load.thresholds import FAILED_EXIT_CODE, Threshold
from experiments.race.race import HOLD_MS, race
from experiments.report import profiles
from experiments.report.publish import publish
from experiments.scenes.catalogue import ALL, find_strategy
from experiments.scenes.exhibits import Exhibit
from experiments.scenes.shapes import SHAPES
from experiments.server.postgres import server

if TYPE_CHECKING:
    from booking_core.strategies import Strategy


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Shows, measures and proves which lock strategies on PostgreSQL book a slot once.

    \b
    Example:
      booking-lab race --strategy advisory --clients 20 --threshold 'booked==1'
    """


for command in (bench_command, explore_command, load_command, simulate_command):
    main.add_command(command)


@main.command("report")
@click.option(
    "--profile",
    default="quick",
    show_default=True,
    help=f"One of {', '.join(profiles.names())}, or a TOML file of your own.",
)
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    default=Path("report"),
    show_default=True,
    help="The folder to publish to. A report that is there already is replaced.",
)
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="NOTEBOOK.NAME=JSON",
    help="Set a parameter of a notebook instead of the profile; may be repeated.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def report_command(*, profile: str, out: Path, settings: tuple[str, ...], as_json: bool) -> None:
    """Run the notebooks of a profile and publish what came of them as one folder.

    The exit code is 1 where a verdict failed or a notebook crashed; the report tells which.

    \b
    Examples:
      booking-lab report
      booking-lab report --profile full --out report-full
      booking-lab report --set '04_contention.levels=[3, 7]'
      booking-lab report --set '04_contention.strategies=["advisory", "no_lock"]'
    """
    with in_a_sentence():
        chosen = profiles.load(profile)
        overrides = _overrides(settings)
        # One server for all notebooks; their kernels find it in the environment.
        facts = {"server": server().description}
        report = publish(chosen, out, overrides=overrides, facts=facts)
    if as_json:
        click.echo(json.dumps(report.record(), indent=2))
    else:
        click.echo(f"{report.headline} {out / 'index.html'}")
    sys.exit(0 if report.ok else 1)


def _overrides(settings: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    overrides: dict[str, dict[str, Any]] = {}
    for setting in settings:
        where, equals, written = setting.partition("=")
        notebook, dot, name = where.partition(".")
        try:
            value = json.loads(written)
        except json.JSONDecodeError:
            value = None
        if not equals or not dot or value is None:
            raise click.UsageError(
                f"{setting!r} sets no parameter; write NOTEBOOK.NAME=JSON, for example "
                "04_contention.levels=[3, 7]."
            )
        overrides.setdefault(notebook, {})[name] = value
    return overrides


@main.command("strategies")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")
def strategies_command(*, as_json: bool) -> None:
    """List the strategies, sound ones and exhibits, with their traits.

    \b
    Examples:
      booking-lab strategies
      booking-lab strategies --json
    """
    described = [_describe(strategy()) for strategy in ALL.values()]
    if as_json:
        click.echo(json.dumps(described, indent=2))
        return
    for sound, title in ((True, "Sound"), (False, "Exhibits (unsound, kept as controls)")):
        click.secho(f"\n{title}", bold=True)
        heads = ("", "waits", "busy", "neighbours wait", "round trips", "under the lock")
        rows = [
            (
                each["name"],
                "yes" if each["waits"] else "no",
                "yes" if each["may_answer_busy"] else "no",
                each["neighbours_wait"],
                each["round_trips"],
                each["round_trips_under_lock"],
            )
            for each in described
            if each["sound"] is sound
        ]
        for row in (heads, *rows):
            name, *cells = map(str, row)
            click.echo(f"  {name:<24}" + "".join(f"{cell:<16}" for cell in cells).rstrip())


def _describe(strategy: Strategy) -> dict[str, Any]:
    described: dict[str, Any] = {
        "name": strategy.name,
        "sound": strategy.sound,
        "isolation": strategy.isolation,
        "attempts": strategy.retry.attempts,
        "minimum_server": strategy.minimum_server // 10000,
        **strategy.traits.as_dict(),
        "choose_when": strategy.choose_when,
    }
    if isinstance(strategy, Exhibit):
        described |= {
            "seen": strategy.seen,
            "breaks_in": strategy.breaks_in,
            "breaks_with_clients": strategy.breaks_with,
            "fault": strategy.fault,
        }
    return described


@main.command("race")
@strategy_option
@click.option("--clients", type=int, default=20, show_default=True, help="How many at once.")
@click.option("--rounds", type=int, default=1, show_default=True, help="How often.")
@shape_option
@click.option(
    "--hold-ms",
    type=float,
    default=HOLD_MS,
    show_default=True,
    help="Milliseconds that a client spends between check and insert.",
)
@click.option("--seed", type=int, default=1, show_default=True, help="For the jitter of retries.")
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    help="A condition on a number of the result, such as booked==1; may be repeated. "
    f"Exit code {FAILED_EXIT_CODE} when one fails.",
)
@click.option(
    "--csv",
    type=click.Path(dir_okay=False, writable=True, path_type=Path),
    help="Write one row a request to this file.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def race_command(  # noqa: PLR0913 - a command has as many options
    *,
    strategy: str,
    clients: int,
    rounds: int,
    shape: str,
    hold_ms: float,
    seed: int,
    thresholds: tuple[str, ...],
    csv: Path | None,
    as_json: bool,
) -> None:
    """Race clients on warm connections for slots, and ask the database what came of it.

    \b
    Examples:
      booking-lab race --strategy advisory --clients 100 --json
      booking-lab race --strategy key_of_start --shape overlapping --rounds 5
      booking-lab race --clients 20 --threshold 'booked==1' --threshold 'conflict==19'
      booking-lab race --strategy my_locks:MyLock --shape adjacent
    """
    with in_a_sentence():
        conditions = [Threshold.parse(written) for written in thresholds]
        result = race(
            find_strategy(strategy),
            clients=clients,
            rounds=rounds,
            shape=shape,
            hold_ms=hold_ms,
            seed=seed,
            progress=rounds > 1 and sys.stderr.isatty(),
        )
        summary = result.summary()
        failed = [condition for condition in conditions if not condition.holds(summary)]
    if csv:
        result.requests.to_csv(csv, index=False)
    if as_json:
        click.echo(json.dumps(summary, indent=2))
    else:
        _print_race(summary)
    for condition in failed:
        click.secho(condition.failure(summary), err=True, fg="red")
    if failed:
        sys.exit(FAILED_EXIT_CODE)


def _print_race(summary: dict[str, Any]) -> None:
    click.secho(
        f"{summary['strategy']}, {SHAPES[summary['shape']].title}: {summary['clients']} clients, "
        f"{summary['rounds']} round(s)",
        bold=True,
    )
    click.echo(f"  expected: {SHAPES[summary['shape']].expected}")
    for name, value in summary.items():
        if name not in ("strategy", "shape", "clients", "rounds"):
            click.echo(f"  {name.replace('_', ' '):<32}{value}")
