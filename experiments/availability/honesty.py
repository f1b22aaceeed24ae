"""Whether what is offered can be booked, and nothing else can.

Every slot that is offered in a window is booked, and given back. Then a sample of starts that are
not offered is asked for: each must be refused. A start that the rules forbid and one that is
taken are both no offer.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

import pandas as pd
from tqdm.auto import tqdm

from booking_core import BookingConflict, BookingError, InvalidRequest

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date
    from random import Random

    from booking_core import BookingService
    from experiments.availability.shop import Shop
    from experiments.show.verdicts import Verdicts

BOOKED = "booked"
STEP = timedelta(minutes=5)
HALF_AN_HOUR = timedelta(minutes=30)  # on it lie starts of every grid in the salon
# In UTC: what lies between is the same date in Berlin and in New York.
EARLIEST, LATEST = timedelta(hours=5), timedelta(hours=22)


@dataclass(frozen=True)
class Honesty:
    """What became of what was offered, and of what was not.

    Attributes:
        window: The days, in words.
        offered: How requests for offered slots ended, for each service: `booked`, or the code of
            the refusal.
        others: The same for starts that were not offered.
        changed: Services whose list was another one afterwards, when all had been given back.
    """

    window: str
    offered: Mapping[str, Counter[str]]
    others: Mapping[str, Counter[str]]
    changed: Sequence[str] = ()


def check(shop: Shop, *, sample: int, source: Random, progress: bool = False) -> Honesty:
    """Ask for every slot that is offered on some days, and for a sample of other starts.

    Args:
        shop: Whose offers, on which days; all of its services are asked for.
        sample: How many starts that are not offered are asked for, of each service.
        source: Draws them.
        progress: Whether to show a bar.
    """
    booking, days = shop.booking, shop.days
    staff = list(shop.salon.staff.values())
    offered: dict[str, Counter[str]] = {}
    others: dict[str, Counter[str]] = {}
    changed = []
    for name, service_id in tqdm(shop.salon.services.items(), disable=not progress, unit="service"):
        listed = _listed(booking, service_id, days)
        offered[name] = Counter(_end(booking, service_id, *place) for place in listed)
        missed = _not_offered(set(listed), staff, days, sample, source)
        others[name] = Counter(_end(booking, service_id, *place) for place in missed)
        if listed != _listed(booking, service_id, days):
            changed.append(name)
    return Honesty(f"{_date(days[0])} to {_date(days[-1])}", offered, others, changed)


def frame(checked: Sequence[Honesty]) -> pd.DataFrame:
    """Return a row a window, service and kind of start: how many were asked for, how they ended."""
    return pd.DataFrame(
        [
            {
                "days": each.window,
                "service": service,
                "starts": kind,
                "asked for": counts.total(),
                "booked": counts[BOOKED],
                "refused": counts.total() - counts[BOOKED],
                "why": _reasons(counts),
            }
            for each in checked
            for kind, ends in (("offered", each.offered), ("not offered", each.others))
            for service, counts in ends.items()
        ]
    )


def record(checked: Sequence[Honesty], verdicts: Verdicts) -> None:
    """State what must hold.

    Args:
        checked: What became of the starts, for each window.
        verdicts: Where it is stated.
    """
    offered = sum((ends for each in checked for ends in each.offered.values()), Counter[str]())
    others = sum((ends for each in checked for ends in each.others.values()), Counter[str]())
    refused = offered.total() - offered[BOOKED]
    changed = [name for each in checked for name in each.changed]
    verdicts.add(
        "Every slot that is offered can be booked",
        held=refused == 0 < offered.total(),
        evidence=f"all {offered.total():,} that were offered were asked for: {refused} refused",
    )
    verdicts.add(
        "A start that is not offered can't be booked",
        held=others[BOOKED] == 0 < others.total(),
        evidence="booked though not offered",
        failures=others[BOOKED],
        trials=others.total(),
        unit="requests",
    )
    verdicts.add(
        "What was booked and given back is offered again",
        held=not changed,
        evidence=f"lists that were others afterwards: {len(changed)}",
    )


Place = tuple[int, datetime]


def _listed(booking: BookingService, service_id: int, days: Sequence[date]) -> list[Place]:
    return [
        (free.staff_id, free.slot.start)
        for day in days
        for free in booking.free_slots(service_id, day)
    ]


def _not_offered(
    listed: set[Place], staff: Sequence[int], days: Sequence[date], sample: int, source: Random
) -> list[Place]:
    """Draw starts on those days, of anybody, that are not listed: all where there are too few."""
    on_grid: list[Place] = []
    between: list[Place] = []
    for day in days:
        for offset in range(EARLIEST // STEP, LATEST // STEP):
            start = datetime.combine(day, time(), UTC) + offset * STEP
            others = [(who, start) for who in staff if (who, start) not in listed]
            (between if offset * STEP % HALF_AN_HOUR else on_grid).extend(others)
    half = min(sample // 2, len(on_grid))
    drawn = source.sample(on_grid, half)
    return drawn + source.sample(between, min(sample - half, len(between)))


def _end(booking: BookingService, service_id: int, staff_id: int, start: datetime) -> str:
    """Ask for a start, give it back where it was booked, and say how that ended."""
    try:
        booked = booking.book(
            staff_id=staff_id, service_id=service_id, start=start, client="Grace"
        ).appointment
    except (InvalidRequest, BookingConflict) as refusal:
        return refusal.code
    except BookingError as error:
        return error.outcome
    booking.cancel(booked.id)
    return BOOKED


def _reasons(counts: Counter[str]) -> str | None:
    reasons = [f"{code} {number}" for code, number in sorted(counts.items()) if code != BOOKED]
    return ", ".join(reasons) or None


def _date(day: date) -> str:
    return f"{day.day}\N{NO-BREAK SPACE}{day:%b}"
