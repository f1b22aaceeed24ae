"""The command `booking-lab simulate`."""

from __future__ import annotations

import json
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import click

from experiments.cli.complaints import in_a_sentence
from experiments.cli.options import strategy_option
from experiments.model.calibration import Calibration
from experiments.model.cells import WORKLOADS, Cell, Site
from experiments.model.law import law
from experiments.model.simulate import Simulation
from experiments.model.trial import measure_machine, open_salons
from experiments.scenes.parameters import BadExperiment

FILE = click.Path(dir_okay=False, path_type=Path)
APART = 10  # client processes, where each has a machine of its own


@click.command("simulate")
@strategy_option
@click.option("--clients", type=int, default=20, show_default=True, help="How many at once.")
@click.option(
    "--workload",
    type=click.Choice(list(WORKLOADS)),
    default="hot_calendar",
    show_default=True,
    help="What they want.",
)
@click.option("--delay-ms", type=float, default=0.0, help="What the network adds to a round trip.")
@click.option("--hold-ms", type=float, default=0.0, help="Spent between check and insert.")
@click.option("--pool", type=int, help="Connections of all clients; one each if left out.")
@click.option("--one-by-one", is_flag=True, help="Send every statement by itself.")
@click.option("--rate", type=float, help="Let requests arrive, so many a second, instead.")
@click.option("--seconds", type=float, default=1.0, show_default=True, help="Simulated.")
@click.option("--cores", type=int, help="Of the server; clients then have machines of their own.")
@click.option("--seed", type=int, default=1, show_default=True, help="For what is drawn.")
@click.option("--calibration", type=FILE, help="Read what was saved instead of measuring again.")
@click.option("--save", type=FILE, help="Save what was measured to this file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def simulate_command(  # noqa: PLR0913 - a command has as many options
    *,
    strategy: str,
    rate: float | None,
    cores: int | None,
    seed: int,
    calibration: Path | None,
    save: Path | None,
    as_json: bool,
    **parameters: Any,  # noqa: ANN401 - as Cell's attributes
) -> None:
    """Predict what a strategy can do, from one client's uncontended run on the real server.

    What only a trial against the server can tell, how much slower everything is in a crowd and
    after a rest, is left out, unless --calibration names what a run of 06_capacity_model saved.

    \b
    Examples:
      booking-lab simulate --strategy advisory --clients 100
      booking-lab simulate --strategy my_locks:MyLock --delay-ms 20 --one-by-one --json
      booking-lab simulate --save here.json
      booking-lab simulate --calibration here.json --cores 32 --clients 500 --workload spread
    """
    with in_a_sentence():
        known = _known(strategy, calibration)
        if save:
            known.save(save)
        cell = Cell(strategy=strategy, processes=APART if cores else 2, **parameters)
        site = Site(cores, apart=bool(cores))
        simulation = Simulation(cell, known, seed=seed, site=site)
        answers = simulation.arriving(rate) if rate else simulation.closed()
        bound = law(cell, known, apart=bool(cores), cores=cores)
    found = {
        **cell.as_dict(),
        "rate": rate,
        "per_second": round(answers.per_second, 1),
        "p50_ms": round(answers.latency_ms(50), 3),
        "p95_ms": round(answers.latency_ms(95), 3),
        "attempts": round(answers.mean_attempts, 2),
        "bound_per_second": round(bound.most, 1),
        "bound_by": bound.limit,
        "mean_value_per_second": round(bound.mean_value, 1),
        "seed": seed,
    }
    if as_json:
        click.echo(json.dumps(found, indent=2))
        return
    click.secho(f"{strategy}, {cell.setting}", bold=True)
    for key in ("per_second", "p50_ms", "p95_ms", "attempts", "bound_per_second", "bound_by"):
        click.echo(f"  {key.replace('_', ' '):<24}{found[key]}")


def _known(strategy: str, calibration: Path | None) -> Calibration:
    if calibration:
        try:
            known = Calibration.load(calibration)
        except (OSError, ValueError) as error:
            raise BadExperiment(f"The calibration can't be read: {error}") from None
        if strategy not in known.recorded:
            raise BadExperiment(
                f"{calibration.name} knows nothing of {strategy!r}; "
                f"it knows {', '.join(known.recorded)}."
            )
        return known
    with ExitStack() as opened:
        salons, skipped = open_salons([strategy], opened)
        if skipped:
            raise BadExperiment(next(iter(skipped.values())))
        return measure_machine(salons, None)
