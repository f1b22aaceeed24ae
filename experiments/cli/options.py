"""Options that several commands share, and what they may be given."""

from __future__ import annotations

from pathlib import Path

import click

from experiments.scenes.shapes import SHAPES

WRITABLE = click.Path(dir_okay=False, writable=True, path_type=Path)

strategy_option = click.option(
    "--strategy",
    default="advisory",
    show_default=True,
    help="A name from `booking-lab strategies`, or your own as module:attribute.",
)
shape_option = click.option(
    "--shape",
    type=click.Choice(list(SHAPES)),
    default="same_slot",
    show_default=True,
    help="What the clients ask for.",
)
