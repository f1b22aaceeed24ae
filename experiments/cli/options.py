"""Options that several commands share."""

from __future__ import annotations

import click

from experiments.scenes.shapes import SHAPES

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
