"""Days on which clocks matter, asked of the real database and compared with answers by hand.

A case is a salon with one staff member who works the same hours every day, one service, a day
or several, and what must be offered then. The answer was written by somebody with a calendar and
a pencil (`named_cases`); nothing here works it out a second time. It is given as runs, each of
starts that follow one another at the service's grid, with the offset from UTC that they have:

    Sun 00:00 to 01:30 +01:00
    Sun 03:00 to 05:30 +02:00

so a wall time that never occurs is in no run, and one that occurs twice is in two of them.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

import pandas as pd

from booking_core import BookingService
from experiments.availability.shop import two_days_before
from experiments.availability.tiny_salon import EVERY_DAY, Span, TinySalon, offer

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from sqlalchemy import Engine

    from experiments.show.verdicts import Verdicts

DAY = timedelta(days=1)


USUAL = 30  # minutes that a service takes, and between two starts


@dataclass(frozen=True, slots=True)
class Answer:
    """What is offered.

    Attributes:
        count: How many starts.
        runs: The starts, in runs of one offset.
        missing: Wall times that the clock jumps over, where a start would have been.
        twice: Wall times that are offered twice, as two instants.
    """

    count: int
    runs: tuple[str, ...]
    missing: tuple[str, ...] = ()
    twice: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Case:
    """A day, the rules of a salon, and what must be offered.

    Attributes:
        name: In words, unique.
        zone: Where the salon is, an IANA name.
        first: The first day that is listed, a date on the wall.
        answer: What must be offered.
        shifts: Every day, on the wall; one that does not end after its start ends the next day.
        breaks: The same.
        off: Time off, from and to, on the wall: `2030-03-31T00:30`.
        taken: Starts of appointments that are there already, with their offset.
        last: The last day that is listed; the first one if left out.
        weekdays: On which the staff member works, Monday is 0.
        minutes: How long the service takes.
        grid: Minutes between two starts.
    """

    name: str
    zone: str
    first: date
    answer: Answer
    shifts: tuple[Span, ...] = (("00:00", "06:00"),)
    breaks: tuple[Span, ...] = ()
    off: tuple[Span, ...] = ()
    taken: tuple[str, ...] = ()
    last: date | None = None
    weekdays: tuple[int, ...] = EVERY_DAY
    minutes: int = USUAL
    grid: int = USUAL

    @property
    def rules(self) -> str:
        """The rules in words, for a table; a service that is as usual is left out."""
        parts = [_worded("shift", self.shifts), _worded("break", self.breaks)]
        parts.append(_worded("off", [(_day_and_time(a), _day_and_time(b)) for a, b in self.off]))
        parts.append(", ".join(f"taken {_day_and_time(start)}" for start in self.taken))
        if (self.minutes, self.grid) != (USUAL, USUAL):
            parts.append(f"{self.minutes} minutes, every {self.grid}")
        return "; ".join(_unbroken(part) for part in parts if part)


def starts(engine: Engine, case: Case) -> list[datetime]:
    """Store a case's salon and ask what is offered; it is two days earlier.

    Args:
        engine: As `open_tiny_salons` returned it; each case can be asked once.
        case: Which case.

    Returns:
        The starts that are offered, in order, on the wall of the salon.
    """
    salon = TinySalon(case.name, case.zone, case.shifts, case.breaks, case.off, case.weekdays)
    with engine.begin() as connection:
        staff_id = salon.open(connection)
        service_id = offer(connection, staff_id, case.name, minutes=case.minutes, grid=case.grid)
    present = two_days_before(case.first)
    service = BookingService(engine, clock=lambda: present)
    for start in map(datetime.fromisoformat, case.taken):
        service.book(staff_id=staff_id, service_id=service_id, start=start, client="Grace")
    (found,) = service.free_time(service_id, case.first, case.last or case.first, staff_id=staff_id)
    return [free.local_start for free in found.slots()]


def answer(offered: Sequence[datetime], grid: int) -> Answer:
    """Describe starts as a case's answer is written.

    Args:
        offered: Aware datetimes of one zone, in order.
        grid: Minutes between two starts.
    """
    step = timedelta(minutes=grid)
    runs: list[list[datetime]] = []
    missing: list[str] = []
    for start in offered:
        before = runs[-1][-1] if runs else None
        if before and _elapsed(before, start) == step and before.utcoffset() == start.utcoffset():
            runs[-1].append(start)
            continue
        runs.append([start])
        if before and _elapsed(before, start) == step:
            missing.extend(_walls_between(before, start, step))
    shown = Counter((start.date(), start.time()) for start in offered)
    return Answer(
        len(offered),
        tuple(f"{run[0]:%a %H:%M} to {run[-1]:%H:%M} {_offset(run[0])}" for run in runs),
        tuple(missing),
        tuple(f"{wall:%H:%M}" for (_, wall), times in shown.items() if times > 1),
    )


@dataclass(frozen=True)
class CaseBook:
    """Cases and what the database offered.

    Attributes:
        found: What was offered, for each case.
    """

    found: dict[Case, list[datetime]]

    @classmethod
    def ask(cls, engine: Engine, cases: Iterable[Case]) -> CaseBook:
        """Ask the database about each of the cases, as `starts` does."""
        return cls({case: starts(engine, case) for case in cases})

    def offered(self, name: str) -> tuple[Case, list[datetime]]:
        """Return a case by its name, and the starts that were offered."""
        ((case, found),) = ((c, found) for c, found in self.found.items() if c.name == name)
        return case, found

    def differing(self) -> list[str]:
        """Return the names of the cases in which something else was offered."""
        return [
            case.name
            for case, found in self.found.items()
            if answer(found, case.grid) != case.answer
        ]

    def frame(self) -> pd.DataFrame:
        """Return a row a case: what is asked, what must be offered, and whether it was."""
        return pd.DataFrame([self._row(case) for case in self.found])

    def record(self, verdicts: Verdicts) -> None:
        """State what must hold."""
        differing = self.differing()
        verdicts.add(
            "On days on which clocks change exactly those starts are offered that exist",
            held=not differing and bool(self.found),
            evidence=f"{len(self.found) - len(differing)} of {len(self.found)} named cases have"
            " the answer that was written by hand",
        )

    def _row(self, case: Case) -> dict[str, object]:
        actual = answer(self.found[case], case.grid)
        clock = [
            f"{_unbroken(' '.join(walls))} {words}"
            for walls, words in ((case.answer.missing, "never"), (case.answer.twice, "twice"))
            if walls
        ]
        return {
            "case": case.name,
            "where and when": f"{case.zone}, {_unbroken(f'{case.first:%d %b %Y}')}",
            "rules": case.rules,
            "starts": case.answer.count,
            "which": ", ".join(map(_unbroken, case.answer.runs)) or "none",
            "clock shows": ", ".join(clock) or None,
            "offered": "✓ same"
            if actual == case.answer
            else f"✗ {actual.count}: {', '.join(actual.runs)}",
        }


def _elapsed(earlier: datetime, later: datetime) -> timedelta:
    # Two datetimes of one zone would be subtracted by their walls.
    return later.astimezone(UTC) - earlier.astimezone(UTC)


def _walls_between(earlier: datetime, later: datetime, step: timedelta) -> list[str]:
    wall, end = earlier.replace(tzinfo=None) + step, later.replace(tzinfo=None)
    walls = []
    while wall < end:
        walls.append(f"{wall:%H:%M}")
        wall += step
    return walls


def _unbroken(words: str) -> str:
    """Keep words on one line of a table."""
    return words.replace(" ", "\N{NO-BREAK SPACE}")


def _offset(moment: datetime) -> str:
    written = f"{moment:%z}"
    return f"{written[:3]}:{written[3:]}"


def _worded(kind: str, spans: Iterable[Span]) -> str:
    return ", ".join(f"{kind} {begins} to {ends}" for begins, ends in spans)


def _day_and_time(written: str) -> str:
    moment = datetime.fromisoformat(written)
    return f"{moment:%a %H:%M}" + (f" {_offset(moment)}" if moment.tzinfo else "")
