"""What a list of free slots costs, side by side: booking_core's way and two others.

In each round everybody answers the same question, in another order each time, on warm connections;
quick answers are repeated within a turn. The first answers are compared with each other. Times are
those of the caller: the query, what comes back, and what Python makes of it.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from random import Random
from time import perf_counter
from typing import TYPE_CHECKING, Any

import pandas as pd
import psycopg
from tqdm.auto import tqdm

from booking_core.calendar.availability import BLOCKED, SETTINGS, team
from experiments.bench.large_salon import AT_ONE_PLACE, SERVICE, STAFF, LargeSalon
from experiments.bench.listers import LISTERS, Question, Starts
from experiments.scenes.parameters import BadExperiment, check_limits
from experiments.show.stats import spread

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from sqlalchemy import Connection

    from experiments.server.postgres import EmbeddedServer, Server

CELL = ["appointments", "staff", "days"]
WHOSE = {1: {"staff_id": 7}, AT_ONE_PLACE: {"location_id": 3}, STAFF: {}}
TURN_SECONDS = 0.05  # for which quick answers are repeated
PATIENCE_SECONDS = 3.0  # who takes longer for one answer has one turn
INDEX = "appointment_blocked"
PARAMETER = re.compile(r"%\((\w+)\)s")


@dataclass(frozen=True)
class ListingPlan:
    """What is to be measured.

    Attributes:
        staff: Whose slots are listed: 1, 20 or 500 staff members'.
        days: For how many days.
        appointments: How many there are in the table, each in thousands of 500.
        rounds: How many turns everybody has.
        listers: Who takes part.
        seed: For the order of turns.

    Raises:
        BadExperiment: A number is out of range.
    """

    staff: Sequence[int] = (1, 20, 500)
    days: Sequence[int] = (1, 30)
    appointments: Sequence[int] = (10_000, 1_000_000)
    rounds: int = 5
    listers: Sequence[str] = tuple(LISTERS)
    seed: int = 1

    def __post_init__(self) -> None:
        for number in self.staff:
            if number not in WHOSE:
                raise BadExperiment(f"staff is {number}; it must be one of {[*WHOSE]}.")
        for number in self.days:
            check_limits("days", number, 1, 60)  # later, clocks change
        for number in self.appointments:
            if not 0 <= number <= 1_460_000 or number % STAFF:  # noqa: PLR2004 - eight a day each
                raise BadExperiment(
                    f"appointments is {number}; it must be a multiple of {STAFF} "
                    "between 0 and 1460000."
                )
        check_limits("rounds", self.rounds, 1, 1000)
        if unknown := [name for name in self.listers if name not in LISTERS]:
            raise BadExperiment(f"There is no {unknown[0]!r}. There are: {', '.join(LISTERS)}.")


@dataclass(frozen=True)
class Listing:
    """What was measured.

    Attributes:
        frame: One row a turn: round, appointments, staff, days, lister, milliseconds (of one
            answer), starts (how many were free).
        differences: Who answered otherwise than the query did, in a sentence each.
        plans: How PostgreSQL answers the query for one staff member and one day, as EXPLAIN
            ANALYZE shows it, for each number of appointments.
    """

    frame: pd.DataFrame
    differences: list[str] = field(default_factory=list)
    plans: dict[int, str] = field(default_factory=dict)

    def medians(self) -> pd.DataFrame:
        """Return one row a cell and lister.

        Columns: appointments, staff, days, lister, starts; milliseconds, the median over the
        rounds, with its quartiles; ratio_to_best_other, how many times as fast as the fastest of
        the others it is, the median of the ratios within the rounds.
        """
        rows = []
        for cell, turns in self.frame.groupby(CELL, sort=False):
            by_round = turns.pivot_table(index="round", columns="lister", values="milliseconds")
            by_round = by_round.ffill()  # who was too slow had one turn
            for lister in by_round.columns:
                taken = spread(by_round[lister])
                others = by_round.drop(columns=lister).min(axis=1)
                rows.append(
                    {
                        **dict(zip(CELL, cell, strict=True)),
                        "lister": lister,
                        "starts": int(turns["starts"].iloc[0]),
                        "milliseconds": taken.median,
                        "milliseconds_low": taken.low,
                        "milliseconds_high": taken.high,
                        "ratio_to_best_other": (others / by_round[lister]).median(),
                    }
                )
        return pd.DataFrame(rows)

    def uses_index(self) -> bool:
        """Whether each plan reads appointments through their index alone."""
        return all(
            INDEX in plan and "Seq Scan on appointment" not in plan for plan in self.plans.values()
        )


def listing(
    plan: ListingPlan,
    on: Server | EmbeddedServer | None = None,
    *,
    progress: bool = False,
) -> Listing:
    """Measure what lists of free slots cost.

    Args:
        plan: What is to be measured.
        on: Which server; the process's own if left out.
        progress: Whether to show a bar.
    """
    turns: list[dict[str, Any]] = []
    differences: list[str] = []
    plans: dict[int, str] = {}
    cells = len(plan.appointments) * len(plan.staff) * len(plan.days)
    with tqdm(total=cells, disable=not progress, unit="list") as bar:
        for appointments in plan.appointments:
            with LargeSalon(appointments, on) as salon:
                for staff in plan.staff:
                    for days in plan.days:
                        question = Question(staff, days, **WHOSE[staff])
                        where = dict(zip(CELL, (appointments, staff, days), strict=True))
                        measured = _turns(salon, question, plan, differences)
                        turns.extend(where | turn for turn in measured)
                        bar.update()
                plans[appointments] = _plan(salon)
    return Listing(pd.DataFrame(turns), differences, plans)


def _turns(
    salon: LargeSalon, question: Question, plan: ListingPlan, differences: list[str]
) -> Iterator[dict[str, Any]]:
    """Yield the turns of one cell; note who answers otherwise than the query does."""
    source = Random(plan.seed)  # noqa: S311 - an order, no secret
    ours = LISTERS["query"](salon, question)
    patient = []
    for name in plan.listers:  # unmeasured, if it can be afforded: connections are warm then
        turn, theirs = _turn(salon, question, name)
        if differing := [
            who for who in {**ours, **theirs} if ours.get(who, []) != theirs.get(who, [])
        ]:
            differences.append(
                f"{name} and query differ for {len(differing)} of {question.staff} staff members "
                f"over {question.days} days, beginning with staff member {differing[0]}."
            )
        if turn["milliseconds"] < 1000 * PATIENCE_SECONDS:
            patient.append(name)
        else:
            yield {"round": 0, **turn}
    for number in range(plan.rounds):
        for name in source.sample(patient, len(patient)):
            turn, _ = _turn(salon, question, name)
            yield {"round": number, **turn}


def _turn(salon: LargeSalon, question: Question, name: str) -> tuple[dict[str, Any], Starts]:
    answers = 0
    began = perf_counter()
    while not answers or perf_counter() - began < TURN_SECONDS:
        starts = LISTERS[name](salon, question)
        answers += 1
    turn = {
        "lister": name,
        "milliseconds": 1000 * (perf_counter() - began) / answers,
        "starts": sum(map(len, starts.values())),
    }
    return turn, starts


def _plan(salon: LargeSalon) -> str:
    """Return how PostgreSQL answers the query for one staff member and one day."""
    question = Question(1, 1, **WHOSE[1])
    parameters = {
        **team(SERVICE, question.staff_id, question.location_id),
        "earliest": question.parameters["earliest"],
        "latest": question.parameters["latest"],
        "lasts": None,
    }
    names = list(dict.fromkeys(PARAMETER.findall(BLOCKED)))
    numbered = PARAMETER.sub(lambda found: f"${names.index(found[1]) + 1}", BLOCKED)
    values = ", ".join(f"%({name})s" for name in names)
    with salon.engine.connect() as connection, _written_out(connection) as cursor:
        cursor.execute(SETTINGS)
        # As it is run: prepared, with a plan that does not know the values.
        cursor.execute(f"PREPARE listing AS {numbered}")
        cursor.execute(
            f"EXPLAIN (ANALYZE, COSTS OFF, BUFFERS OFF) EXECUTE listing({values})", parameters
        )
        plan = "\n".join(row[0] for row in cursor.fetchall())
        cursor.execute("DEALLOCATE listing")
        return plan


def _written_out(connection: Connection) -> psycopg.ClientCursor[Any]:
    """Return a cursor that writes parameters into the statement, as EXECUTE wants it."""
    return psycopg.ClientCursor(connection.connection.driver_connection)  # type: ignore[arg-type]
