"""The command `booking-lab report`."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import click

from experiments.cli.complaints import in_a_sentence
from experiments.report import profiles
from experiments.report.publish import publish
from experiments.server.postgres import server


@click.command("report")
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
