"""The command `booking-lab race`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from experiments.cli.complaints import end_if_failed, in_a_sentence
from experiments.cli.options import WRITABLE, strategy_option, weights_option
from experiments.load.thresholds import FAILED_EXIT_CODE, Threshold
from experiments.race.race import HOLD_MS, race
from experiments.scenes.catalogue import find_strategy
from experiments.scenes.draws import DRAWN
from experiments.scenes.world import find_shape

if TYPE_CHECKING:
    from pathlib import Path


@click.command("race")
@strategy_option
@click.option("--clients", type=int, default=20, show_default=True, help="How many at once.")
@click.option("--rounds", type=int, default=1, show_default=True, help="How often.")
@click.option(
    "--shape",
    default="same_slot",
    show_default=True,
    help="What the clients ask for: a name from `booking-lab shapes`, or world, which draws a pair "
    "of requests for each round.",
)
@weights_option
@click.option(
    "--hold-ms",
    type=float,
    default=HOLD_MS,
    show_default=True,
    help="Milliseconds that a client spends between check and insert.",
)
@click.option(
    "--processes",
    type=int,
    default=1,
    show_default=True,
    help="Over how many Python processes the clients are spread.",
)
@click.option(
    "--seed",
    type=int,
    default=1,
    show_default=True,
    help="For what is drawn, and for the jitter of retries.",
)
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    help="A condition on a number of the result, such as booked==1; may be repeated. "
    f"Exit code {FAILED_EXIT_CODE} when one fails.",
)
@click.option("--csv", type=WRITABLE, help="Write one row a request to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def race_command(  # noqa: PLR0913 - a command has as many options
    *,
    strategy: str,
    clients: int,
    rounds: int,
    shape: str,
    weights: dict[str, float] | None,
    hold_ms: float,
    processes: int,
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
      booking-lab race --shape "one key, another person" --processes 2
      booking-lab race --shape world --rounds 50 --seed 3 --weights "keys=2,moves=1"
    """
    with in_a_sentence():
        conditions = [Threshold.parse(written) for written in thresholds]
        result = race(
            find_strategy(strategy),
            clients=clients,
            rounds=rounds,
            shape=shape,
            weights=weights,
            hold_ms=hold_ms,
            processes=processes,
            seed=seed,
            progress=rounds > 1 and sys.stderr.isatty(),
        )
        summary = {**result.summary(), "again": result.again(strategy)}
        failed = [condition for condition in conditions if not condition.holds(summary)]
    if csv:
        result.requests.to_csv(csv, index=False)
    if as_json:
        click.echo(json.dumps(summary, indent=2))
    else:
        _print_race(summary)
    end_if_failed(failed, summary)


_TOLD_APART = ("strategy", "shape", "clients", "rounds", "drawn", "broken_by", "again")


def _print_race(summary: dict[str, Any]) -> None:
    shape = summary["shape"]
    drawn = shape == DRAWN
    asked = None if drawn else find_shape(shape, summary["clients"])
    click.secho(
        f"{summary['strategy']}, {asked.title if asked else 'pairs of requests'}: "
        f"{summary['clients']} clients, {summary['rounds']} round(s)",
        bold=True,
    )
    click.echo(f"  expected: {asked.expected if asked else 'some order of them explains it'}")
    for name, value in summary.items():
        if name not in _TOLD_APART:
            click.echo(f"  {name.replace('_', ' '):<32}{value}")
    for (name, rounds), command in zip(summary["broken_by"].items(), summary["again"], strict=True):
        click.echo(f"  broken in {rounds} round(s): {name}\n    {command}")
