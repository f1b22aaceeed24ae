"""The command `booking-lab load`."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Any

import click

from experiments.cli.complaints import end_if_failed, in_a_sentence
from experiments.cli.options import WRITABLE, strategy_option, weights, weights_option
from experiments.load import summary
from experiments.load.load import load
from experiments.load.measurements import blank
from experiments.load.plan import EXECUTORS, OPERATIONS, SKEWS, WORKLOADS, Plan
from experiments.load.thresholds import FAILED_EXIT_CODE, Threshold
from experiments.scenes.catalogue import find_strategy

if TYPE_CHECKING:
    from pathlib import Path

_USUAL = Plan()


@click.command("load")
@strategy_option
@click.option(
    "--executor",
    type=click.Choice(EXECUTORS),
    default=_USUAL.executor,
    show_default=True,
    help="When iterations begin, as in k6.",
)
@click.option("--vus", type=int, default=_USUAL.vus, show_default=True, help="Virtual users.")
@click.option("--max-vus", type=int, help="Up to how many, at a constant arrival rate.")
@click.option("--iterations", type=int, help="Of each VU; 1 if left out.")
@click.option("--duration", "duration_s", type=float, help="Seconds in which iterations begin.")
@click.option("--rate", type=float, help="Iterations that begin in a second.")
@click.option(
    "--workload",
    type=click.Choice(WORKLOADS),
    default=_USUAL.workload,
    show_default=True,
    help="What users ask for: slots of calendars, or the requests of the small world.",
)
@weights_option
@click.option("--staff", type=int, default=_USUAL.staff, show_default=True, help="Calendars.")
@click.option(
    "--days",
    type=int,
    default=_USUAL.days,
    show_default=True,
    help="Over how many days starts are spread.",
)
@click.option(
    "--skew",
    type=click.Choice(SKEWS),
    default=_USUAL.skew,
    show_default=True,
    help="Which calendars are asked for.",
)
@click.option(
    "--mix",
    callback=weights,
    default="book=1",
    metavar="book=8,cancel=1,reschedule=1",
    show_default=True,
    help=f"Weights of {', '.join(OPERATIONS)}. Users cancel and move what they booked.",
)
@click.option("--processes", type=int, help="Client processes; one a core if left out.")
@click.option("--pool", "pool_size", type=int, help="Connections; one a VU if left out.")
@click.option(
    "--hold-ms",
    type=float,
    default=_USUAL.hold_ms,
    show_default=True,
    help="Milliseconds that a booking spends between check and insert.",
)
@click.option(
    "--offers",
    type=int,
    default=_USUAL.offers,
    show_default=True,
    help="Alternatives that a lost slot is answered with.",
)
@click.option("--backstop", is_flag=True, help="Put the exclusion constraint behind the strategy.")
@click.option("--seed", type=int, default=_USUAL.seed, show_default=True, help="For what is drawn.")
@click.option(
    "--threshold",
    "thresholds",
    multiple=True,
    help="A condition such as 'booking_duration:p(95)<200', across metrics too; may be repeated. "
    f"Exit code {FAILED_EXIT_CODE} when one fails.",
)
@click.option("--summary", "summary_file", type=WRITABLE, help="Write the JSON to this file too.")
@click.option("--json", "as_json", is_flag=True, help="Print the summary as k6's JSON.")
def load_command(
    *,
    strategy: str,
    backstop: bool,
    thresholds: tuple[str, ...],
    summary_file: Path | None,
    as_json: bool,
    **parameters: Any,  # noqa: ANN401 - as Plan's attributes
) -> None:
    """Put the booking service under load, like k6, and hold every reply against the database.

    Metrics: booking_successes, booking_conflicts, booking_busy, booking_errors and
    booking_duration, likewise cancel_, reschedule_ and list_; iterations, dropped_iterations,
    iteration_duration, vus. From the database: double_bookings, dishonest_replies.

    \b
    Examples:
      booking-lab load --threshold 'booking_successes:count==1' --threshold 'double_bookings==0'
      booking-lab load --strategy no_lock --threshold 'dishonest_replies + double_bookings == 0'
      booking-lab load --executor constant-vus --vus 20 --duration 10
          --staff 50 --skew zipf --mix book=8,cancel=1,reschedule=1
      booking-lab load --executor constant-arrival-rate --rate 200 --duration 10 --vus 20
          --staff 50 --skew uniform --hold-ms 0 --threshold 'booking_duration:p(95)<200'
      booking-lab load --strategy key_of_service --workload world --vus 20 --iterations 100
      booking-lab load --strategy advisory_try --pool 10 --summary summary.json
    """
    with in_a_sentence():
        conditions = [Threshold.parse(written) for written in thresholds]
        for condition in conditions:
            condition.check(blank(Plan(**parameters)))
        result = load(
            find_strategy(strategy),
            backstop=backstop or None,
            progress=sys.stderr.isatty(),
            **parameters,
        )
        failed = [condition for condition in conditions if not condition.holds(result.metrics)]
    described = json.dumps(summary.as_dict(result, conditions), indent=2)
    if summary_file:
        summary_file.write_text(described + "\n", encoding="utf-8")
    click.echo(described if as_json else summary.as_text(result, conditions))
    end_if_failed(failed, result.metrics)
