"""The command `booking-lab strategies`."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import click

from experiments.scenes.catalogue import ALL
from experiments.scenes.choosing import choose_when
from experiments.scenes.exhibit import Exhibit

if TYPE_CHECKING:
    from booking_core.strategies import Strategy


@click.command("strategies")
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
        **asdict(strategy.traits),
        "choose_when": choose_when(strategy),
    }
    if isinstance(strategy, Exhibit):
        described |= {
            "seen": strategy.seen,
            "breaks_in": strategy.breaks_in,
            "breaks_with_clients": strategy.breaks_with,
            "fault": strategy.fault,
        }
    return described
