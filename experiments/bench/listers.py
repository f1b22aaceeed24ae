"""Three ways to find out what is free, which must give one answer.

`query` is booking_core's: it remembers the rules, and asks what is booked and whether they are
still the same. `sweep` fetches rules and appointments each time and sweeps over them in Python,
with hours that are worked out once a week's pattern. `grid` lets PostgreSQL try every start on the
grid with NOT EXISTS. The two others are written as well as one can within their idea, for days on
which no clocks change.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from itertools import chain
from typing import TYPE_CHECKING, Any, Protocol
from zoneinfo import ZoneInfo

from sqlalchemy import text

from booking_core import Slot
from booking_core.calendar.rules import Hours, working
from booking_core.slots import DAY, instant, subtract
from experiments.bench.large_salon import FIRST, NOW, SERVICE

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date

    from sqlalchemy import Row

    from experiments.bench.large_salon import LargeSalon

Starts = dict[int, list[int]]
DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Question:
    """Whose free slots are wanted, on which days.

    Attributes:
        staff: How many: 1, those at one place, or all.
        days: How many, from the first one on.
        staff_id: Which one, where it is one.
        location_id: Where, where it is one place.
    """

    staff: int
    days: int
    staff_id: int | None = None
    location_id: int | None = None

    @property
    def last(self) -> date:
        """The last day."""
        return FIRST + (self.days - 1) * DAY

    @property
    def parameters(self) -> Mapping[str, Any]:
        """As parameters of the statements here."""
        noon = datetime.combine(FIRST, time(12), UTC)
        return {
            "service_id": SERVICE,
            "staff_id": self.staff_id,
            "location_id": self.location_id,
            "earliest": noon - timedelta(hours=26),
            "latest": noon + (self.days - 1) * DAY + timedelta(hours=26),
            "first": FIRST,
            "days": self.days,
            "now": NOW,
        }


class Lister(Protocol):
    """One way to find out."""

    def __call__(self, salon: LargeSalon, question: Question) -> Starts:
        """Return the starts for each staff member, in seconds since 1970."""


def query(salon: LargeSalon, question: Question) -> Starts:
    """Ask booking_core."""
    found = salon.availability.free_time(
        SERVICE,
        FIRST,
        question.last,
        staff_id=question.staff_id,
        location_id=question.location_id,
    )
    return {time.staff_id: list(chain(*time.runs)) for time in found}


_WHOSE = """
     WHERE service.id = :service_id
       AND (staff.id = :staff_id OR CAST(:staff_id AS integer) IS NULL)
       AND (staff.location_id = :location_id OR CAST(:location_id AS integer) IS NULL)"""
_FETCH = """
    SELECT staff.id, time_zone, minimum_notice, horizon, duration, buffer_before, buffer_after,
           grid,
           (SELECT array_agg((weekday, kind, starts, ends) ORDER BY weekday, kind, starts)
              FROM working_hours WHERE staff_id = staff.id) AS hours,
           (SELECT array_agg(during)
              FROM time_off WHERE staff_id = staff.id AND during && reach) AS off,
           (SELECT array_agg(during)
              FROM closure WHERE closure.location_id = location.id AND during && reach) AS closed,
           (SELECT array_agg(CAST(date_part('epoch', lower(blocked)) AS bigint) ORDER BY blocked)
              FROM appointment
             WHERE staff_id = staff.id AND status = 'confirmed' AND blocked && reach) AS busy_from,
           (SELECT array_agg(CAST(date_part('epoch', upper(blocked)) AS bigint) ORDER BY blocked)
              FROM appointment
             WHERE staff_id = staff.id AND status = 'confirmed' AND blocked && reach) AS busy_until
      FROM service
      JOIN offering ON offering.service_id = service.id
      JOIN staff ON staff.id = offering.staff_id
      JOIN location ON location.id = staff.location_id
     CROSS JOIN LATERAL (
           SELECT tstzrange(CAST(:earliest AS timestamptz) - buffer_before,
                            CAST(:latest AS timestamptz) + duration + buffer_after) AS reach
           ) AS touched
"""
FETCH = text(_FETCH + _WHOSE)


def sweep(salon: LargeSalon, question: Question) -> Starts:
    """Fetch rules and appointments, and sweep over them here."""
    with salon.engine.connect() as connection:
        rows = connection.execute(FETCH, question.parameters).all()
    return {row.id: _swept(row, question) for row in rows}


def _swept(row: Row[Any], question: Question) -> list[int]:
    place = ZoneInfo(row.time_zone)
    hours = tuple(
        Hours.weekly(int(weekday), kind, time.fromisoformat(starts), time.fromisoformat(ends))
        for weekday, kind, starts, ends in row.hours or ()
    )
    open_hours = working(hours, place, FIRST, question.last + DAY)
    away = [Slot(each.lower, each.upper) for each in (*(row.off or ()), *(row.closed or ()))]
    first = max(_seconds(instant(FIRST, time(), place)), _seconds(NOW + row.minimum_notice))
    last = min(
        _seconds(instant(question.last + DAY, time(), place)) - 1, _seconds(NOW + row.horizon)
    )
    midnight = _seconds(instant(FIRST, time(), place))
    step = row.grid // timedelta(seconds=1)
    lasts = row.duration // timedelta(seconds=1)
    before = row.buffer_before // timedelta(seconds=1)
    after = lasts + row.buffer_after // timedelta(seconds=1)
    begins, ends = row.busy_from or [], row.busy_until or []
    starts: list[int] = []
    for shift in subtract(open_hours, away) if away else open_hours:
        start = max(_seconds(shift.start), first)
        stop = min(_seconds(shift.end) - lasts, last)
        while start <= stop:
            # Busy ranges are disjoint and in order: the next one that ends later bounds the gap.
            following = bisect_right(ends, start - before)
            gap = stop if following == len(ends) else min(begins[following] - after, stop)
            start += -(start - midnight) % DAY_SECONDS % step
            starts.extend(range(start, gap + 1, step))
            if following == len(ends):
                break
            start = max(start, ends[following] + before)
    return starts


_TRY_EACH = """
    SELECT staff.id, CAST(date_part('epoch', start) AS bigint)
      FROM service
      JOIN offering ON offering.service_id = service.id
      JOIN staff ON staff.id = offering.staff_id
      JOIN location ON location.id = staff.location_id
     CROSS JOIN generate_series(0, :days - 1) AS number
     CROSS JOIN LATERAL generate_series(
           CAST(:first AS date) + number + time '00:00',
           CAST(:first AS date) + number + time '23:59', grid) AS wall
     CROSS JOIN LATERAL (SELECT wall AT TIME ZONE time_zone AS start) AS instant
"""
_PASSES = """
       AND start BETWEEN :now + minimum_notice AND :now + horizon
       AND EXISTS (
           SELECT FROM working_hours AS hours
            WHERE hours.staff_id = staff.id AND kind = 'shift'
              AND weekday = extract(isodow FROM wall) - 1
              AND wall - date_trunc('day', wall) >= hours.starts
              AND wall - date_trunc('day', wall) + duration <= hours.ends)
       AND NOT EXISTS (
           SELECT FROM working_hours AS hours
            WHERE hours.staff_id = staff.id AND kind = 'break'
              AND weekday = extract(isodow FROM wall) - 1
              AND wall - date_trunc('day', wall) < hours.ends
              AND wall - date_trunc('day', wall) + duration > hours.starts)
       AND NOT EXISTS (
           SELECT FROM time_off
            WHERE time_off.staff_id = staff.id AND during && tstzrange(start, start + duration))
       AND NOT EXISTS (
           SELECT FROM closure
            WHERE closure.location_id = location.id
              AND during && tstzrange(start, start + duration))
       AND NOT EXISTS (
           SELECT FROM appointment
            WHERE appointment.staff_id = staff.id AND status = 'confirmed'
              AND blocked && tstzrange(start - buffer_before, start + duration + buffer_after))
     ORDER BY staff.id, start
"""
GRID = text(_TRY_EACH + _WHOSE + _PASSES)


def grid(salon: LargeSalon, question: Question) -> Starts:
    """Let PostgreSQL try each start on the grid."""
    with salon.engine.connect() as connection:
        rows = connection.execute(GRID, question.parameters).all()
    starts: Starts = {}
    for staff_id, start in rows:
        starts.setdefault(staff_id, []).append(start)
    return starts


LISTERS: dict[str, Lister] = {"query": query, "sweep": sweep, "grid": grid}


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
