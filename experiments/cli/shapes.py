"""The command `booking-lab shapes`."""

from __future__ import annotations

import json
from collections import Counter
from typing import TYPE_CHECKING, Any

import click

from experiments.cli.options import WRITABLE
from experiments.scenes.atlas import atlas
from experiments.scenes.kept import KEPT
from experiments.scenes.shapes import SHAPES
from experiments.scenes.words import asked
from experiments.scenes.world import DIMENSIONS, EVERYTHING, THREE, Pair

if TYPE_CHECKING:
    from pathlib import Path


@click.command("shapes")
@click.option(
    "--dimension",
    type=click.Choice([*DIMENSIONS, THREE]),
    help="Only the pairs that are there for this.",
)
@click.option("--draw", type=WRITABLE, help="Draw the pairs into this file.")
@click.option("--count", is_flag=True, help="Only say how many there are.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list instead of a table.")
def shapes_command(*, dimension: str | None, draw: Path | None, count: bool, as_json: bool) -> None:
    """List what clients may ask for: the named shapes of races, and every pair of requests.

    A race takes a pair too, by its name: its clients make the two requests in turns.

    A pair of requests stands for all that a symmetry turns it into: clients are alike, and a shift
    in time that crosses no edge of a day or an hour makes no difference.

    \b
    Examples:
      booking-lab shapes
      booking-lab shapes --count
      booking-lab shapes --dimension "a month" --draw month.png
      booking-lab explore --shape "a cancel, twice" --strategy advisory
    """
    pairs = [
        pair
        for pair in EVERYTHING.values()
        if pair.dimension == dimension or (dimension is None and pair.part != THREE)
    ]
    if draw:
        atlas(pairs).savefig(draw)
    if as_json:
        click.echo(json.dumps([_described(pair) for pair in pairs], indent=2))
        return
    if not count:
        if dimension is None:
            click.secho("Shapes of races, for any number of clients", bold=True)
            for shape in SHAPES.values():
                click.echo(f"  {shape.name:<26} {shape.expected}")
            click.secho("\nPairs that once broke something, under names of their own", bold=True)
            for kept in KEPT.values():
                click.echo(f"  {kept.name:<26} {kept.pair} (broke {', '.join(kept.broke)})")
        for name in dict.fromkeys(pair.dimension for pair in pairs):
            click.secho(f"\n{name}", bold=True)
            for pair in pairs:
                if pair.dimension == name:
                    click.echo(f"  {pair.name}")
    counted = Counter(pair.dimension for pair in pairs)
    words = ", ".join(f"{name} {number}" for name, number in counted.items())
    alike = sum(pair.alike for pair in pairs)
    click.echo(f"\n{len(pairs):,} pairs of requests, which stand for {alike:,}: {words}")


def _described(pair: Pair) -> dict[str, Any]:
    return {
        "name": pair.name,
        "dimension": pair.dimension,
        "stands_for": pair.alike,
        "before": len(pair.scene.existing),
        "asked": [asked(call) for call in pair.scene.calls],
    }
