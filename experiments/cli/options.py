"""Options that several commands share, and what they may be given."""

from __future__ import annotations

from pathlib import Path

import click

WRITABLE = click.Path(dir_okay=False, writable=True, path_type=Path)

strategy_option = click.option(
    "--strategy",
    default="advisory",
    show_default=True,
    help="A name from `booking-lab strategies`, or your own as module:attribute.",
)


def weights(
    _: click.Context, option: click.Parameter, written: str | None
) -> dict[str, float] | None:
    """Read weights such as `book=8,cancel=1`."""
    if written is None:
        return None
    read: dict[str, float] = {}
    for part in written.split(","):
        name, _equals, weight = part.partition("=")
        try:
            read[name.strip()] = float(weight)
        except ValueError:
            raise click.BadParameter(f"{part!r} is no weight; write {option.metavar}.") from None
    return read


weights_option = click.option(
    "--weights",
    callback=weights,
    metavar="keys=2,moves=1",
    help="How often each dimension of the world is drawn, those that are left out never; all alike "
    "if not given.",
)
