"""The command `booking-lab explore`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from experiments.cli.complaints import in_a_sentence
from experiments.cli.options import WRITABLE, strategy_option
from experiments.explore import ATTEMPTS, SEARCHES, explore, explore_program, replay
from experiments.explore.app import load_app
from experiments.explore.pairs import explore_pairs
from experiments.scenes.shapes import SHAPES
from experiments.schedules.drawing import drawing
from experiments.schedules.transcript import transcript

if TYPE_CHECKING:
    from experiments.explore import Counterexample, Result
    from experiments.explore.pairs import Explored

READABLE = click.Path(exists=True, dir_okay=False, path_type=Path)


@click.command("explore")
@click.option("--app", type=READABLE, help="A program of your own, described in this TOML file.")
@strategy_option
@click.option(
    "--shape",
    default="same_slot",
    show_default=True,
    help="What the clients ask for: a name from `booking-lab shapes`.",
)
@click.option(
    "--world",
    type=click.Choice(["small"]),
    help="Every pair of requests in place of one shape, one schedule of each kind.",
)
@click.option("--clients", type=int, default=2, show_default=True, help="How many.")
@click.option(
    "--search",
    type=click.Choice(SEARCHES),
    default="exhaustive",
    show_default=True,
    help="Every schedule; one of each kind; those with few preemptions; or some at random.",
)
@click.option("--preemptions", type=int, default=2, show_default=True, help="For a bounded search.")
@click.option("--schedules", type=int, default=500, show_default=True, help="For a sampled search.")
@click.option("--seed", type=int, default=1, show_default=True, help="For a sampled search.")
@click.option(
    "--attempts", type=int, default=ATTEMPTS, show_default=True, help="Tries of a request, at most."
)
@click.option(
    "--faults",
    type=int,
    default=0,
    show_default=True,
    help="Things that may go wrong in a schedule: a broken line, a lost answer, an ended session.",
)
@click.option("--first", is_flag=True, help="End at the first counterexample.")
@click.option("--save", type=WRITABLE, help="Write the counterexample to this JSON file.")
@click.option("--picture", type=WRITABLE, help="Draw the counterexample into this file.")
@click.option(
    "--replay", "replayed", type=READABLE, help="Play the counterexample of this file again."
)
@click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object.")
def explore_command(  # noqa: PLR0913 - a command has as many options
    *,
    app: Path | None,
    strategy: str,
    shape: str,
    world: str | None,
    clients: int,
    search: Any,  # noqa: ANN401 - click has checked it
    preemptions: int,
    schedules: int,
    seed: int,
    attempts: int,
    faults: int,
    first: bool,
    save: Path | None,
    picture: Path | None,
    replayed: Path | None,
    as_json: bool,
) -> None:
    """Try every order in which the clients' statements can run, on the real server.

    The exit code is 1 where a property breaks, with the schedule that breaks it; with a program of
    your own also where nothing could be proven.

    \b
    Examples:
      booking-lab explore --strategy advisory --shape overlapping
      booking-lab explore --strategy key_of_start --shape overlapping --save broken.json
      booking-lab explore --replay broken.json
      booking-lab explore --strategy staff_row --clients 3 --search reduced --json
      booking-lab explore --strategy advisory --faults 1
      booking-lab explore --strategy key_of_day --world small --first
      booking-lab explore --app app.toml --search reduced --picture broken.png
    """
    with in_a_sentence():
        if replayed:
            seen = replay(replayed, program=load_app(app) if app else None)
            click.echo(seen.to_json() if as_json else transcript(seen))
            sys.exit(1)
        if world:
            explored = explore_pairs(
                strategy, attempts=attempts, stop_at_first=first, progress=sys.stderr.isatty()
            )
            _save(explored.counterexample, save, picture)
            if as_json:
                click.echo(json.dumps(explored.as_dict(), indent=2))
            else:
                _print_pairs(explored)
            sys.exit(0 if explored.holds else 1)
        result = (
            explore_program(
                load_app(app),
                search=search,
                preemptions=preemptions,
                faults=faults,
                stop_at_first=first,
                progress=sys.stderr.isatty(),
            )
            if app
            else explore(
                strategy,
                shape=shape,
                clients=clients,
                search=search,
                preemptions=preemptions,
                schedules=schedules,
                seed=seed,
                attempts=attempts,
                faults=faults,
                stop_at_first=first,
                progress=sys.stderr.isatty(),
            )
        )
    _save(result.counterexample, save, picture)
    if as_json:
        click.echo(json.dumps(result.as_dict(), indent=2))
    else:
        _print(result, result.counterexample)
    sys.exit(0 if result.holds and (result.complete or not app) else 1)


def _save(found: Counterexample | None, save: Path | None, picture: Path | None) -> None:
    if found and save:
        found.save(save)
    if found and picture:
        drawing(found).savefig(picture)


def _print_pairs(explored: Explored) -> None:
    verdict = "holds" if explored.holds else "BROKEN"
    click.secho(f"{explored.strategy}, every pair of requests: {verdict}", bold=True)
    click.echo(f"  {explored.words}, {explored.seconds:.1f} s")
    for result in explored.broken:
        seen = ", ".join(
            f"{name.replace('_', ' ')} ({times})"
            for name, times in [*result.violations.items(), *result.broken.items()]
        )
        click.secho(f"  {result.shape}: {seen}", fg="red")
    for result in explored.results:
        if result.holds and not result.complete:
            click.echo(f"  {result.shape}: not complete. {'; '.join(result.notes)}")
    if explored.counterexample:
        click.echo(f"\n{transcript(explored.counterexample)}")


def _print(result: Result, found: Counterexample | None) -> None:
    shape = f"{SHAPES[result.shape].title}, " if result.shape in SHAPES else ""
    doubtful = result.holds and result.doubts
    verdict = "INCONCLUSIVE" if doubtful else "holds" if result.holds else "BROKEN"
    click.secho(f"{result.strategy}, {shape}{result.clients} clients: {verdict}", bold=True)
    extent = "complete" if result.complete else "not complete"
    click.echo(
        f"  {result.search}{', ' + result.bound if result.bound else ''}, {extent}: "
        f"{result.schedules} schedules, {result.steps} steps, {result.seconds:.1f} s"
    )
    counts = {
        "waits": result.waits,
        "retries": result.retries,
        "busy": result.busy,
        "deadlocks": result.deadlocks,
        "varied": result.varied,
    }
    click.echo("  " + ", ".join(f"{name} {count}" for name, count in counts.items()))
    for name, count in [*result.violations.items(), *result.broken.items()]:
        click.secho(f"  {name.replace('_', ' ')} in {count} schedules", fg="red")
    for note in result.notes:
        click.echo(f"  {note}")
    if found:
        click.echo(f"\n{transcript(found)}")
