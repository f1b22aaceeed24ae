"""The command `booking-lab`: the group of all its commands."""

from __future__ import annotations

import click

from experiments.cli.bench import bench_command
from experiments.cli.explore import explore_command
from experiments.cli.load import load_command
from experiments.cli.race import race_command
from experiments.cli.report import report_command
from experiments.cli.shapes import shapes_command
from experiments.cli.simulate import simulate_command
from experiments.cli.strategies import strategies_command


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
def main() -> None:
    """Shows, measures and proves which lock strategies on PostgreSQL book a slot once.

    \b
    Example:
      booking-lab race --strategy advisory --clients 20 --threshold 'booked==1'
    """


for command in (
    bench_command,
    explore_command,
    load_command,
    race_command,
    report_command,
    shapes_command,
    simulate_command,
    strategies_command,
):
    main.add_command(command)
