"""What the availability notebook is built from tells right from wrong."""

# ruff: noqa: SIM300 - expected == actual

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime
from random import Random
from typing import Any

import pytest

from booking_core import InvalidRequest
from booking_core.slots import FreeSlot
from experiments.availability import anyone, buffers, honesty, listing_report, lost
from experiments.availability.cost_of_losing import (
    PLAIN,
    WITH,
    WON,
    Desk,
    cost_of_losing,
)
from experiments.availability.diary import diary
from experiments.availability.shop import Shop
from experiments.bench.listing import Listing, ListingPlan, listing
from experiments.server.postgres import Database, fresh_database
from experiments.show.verdicts import Verdicts

TUESDAY = date(2030, 4, 30)
BERLIN_STAFF = ["Amara", "Bruno", "Chidi"]


@pytest.fixture(scope="module")
def shop(database: Database) -> Shop:
    """Open the salon for four days with a holiday, an afternoon off and some appointments."""
    opened = Shop.open(database, TUESDAY, 4, seed=1)
    opened.fill(2, Random(1))
    return opened


def test_closed_days_are_those_of_the_salon(shop: Shop) -> None:
    """The first of May in Berlin, the fourth of July in Brooklyn: nothing is offered there."""
    haircut = shop.salon.services["Haircut"]
    open_there = {
        day: {free.staff for free in shop.booking.free_slots(haircut, day)}
        for day in (date(2030, 5, 1), date(2030, 5, 2), date(2030, 7, 3), date(2030, 7, 4))
    }
    assert {
        date(2030, 5, 1): {"Dolores"},
        date(2030, 5, 2): {"Amara", "Chidi", "Dolores", "Eli"},
        date(2030, 7, 3): {"Amara", "Bruno", "Chidi", "Dolores"},
        date(2030, 7, 4): {"Amara", "Chidi"},
    } == open_there


def test_a_diary_has_the_rules_and_the_appointments(shop: Shop) -> None:
    """Hours on the wall, cut to the day: shift, break, afternoon off, holiday, buffers."""
    days = diary(shop, ["Amara"], "Haircut")
    friday = days.pieces("Amara", date(2030, 5, 3))
    hours = {
        (kind, begins, ends)
        for kind, begins, ends in friday[["kind", "begins", "ends"]].itertuples(index=False)
    }
    assert {("shift", 9, 17), ("break", 12.5, 13), ("time off", 13, 24)} <= hours
    (closed,) = days.frame[days.frame["kind"] == "closed"].to_dict("records")
    assert (date(2030, 5, 1), 0, 24, "Labour Day") == tuple(
        closed[name] for name in ("day", "begins", "ends", "words")
    )
    for kind, length in (("buffer", 0.25), ("set-up", 1 / 6)):
        mine = days.frame[days.frame["kind"] == kind]
        assert not mine.empty
        assert (mine["ends"] - mine["begins"]).tolist() == pytest.approx([length] * len(mine))
    free = days.frame[days.frame["kind"] == "free"]
    assert len(free) == sum(
        len(time)
        for time in shop.booking.free_time(
            shop.salon.services["Haircut"],
            shop.days[0],
            shop.days[-1],
            staff_id=shop.salon.staff["Amara"],
        )
    )


def test_every_offer_is_tried_and_others_are_refused(shop: Shop) -> None:
    """All of what is listed is booked and given back, and nothing beside it can be."""
    checked = honesty.check(shop, sample=40, source=Random(1))
    listed = {
        name: sum(len(time) for time in shop.booking.free_time(number, shop.days[0], shop.days[-1]))
        for name, number in shop.salon.services.items()
    }
    assert listed == {name: ends["booked"] for name, ends in checked.offered.items()}
    assert {40} == {ends.total() for ends in checked.others.values()}
    assert not any(ends["booked"] for ends in checked.others.values())
    verdicts = Verdicts("test")
    honesty.record([checked], verdicts)
    assert all(verdict.held for verdict in verdicts.all)


class _Liar:
    """Lists one slot too few, and refuses those at nine in Berlin."""

    def __init__(self, shop: Shop) -> None:
        self.booking = shop.booking

    def free_slots(self, *asked: Any) -> list[FreeSlot]:  # noqa: ANN401 - the service's own
        return self.booking.free_slots(*asked)[:-1]

    def book(self, **asked: Any) -> object:  # noqa: ANN401 - the service's own
        if asked["start"] == datetime(2030, 4, 30, 7, tzinfo=UTC):
            raise InvalidRequest("LIED", "It was offered.")
        return self.booking.book(**asked)

    def cancel(self, appointment_id: int) -> object:
        return self.booking.cancel(appointment_id)


def test_a_service_that_lists_too_much_or_too_little_is_caught() -> None:
    """With every start of the day asked for, the slot that was kept back is booked."""
    with fresh_database() as database:
        shop = Shop.open(database, TUESDAY, 1, seed=1)
        liar = replace(shop, booking=_Liar(shop))  # type: ignore[arg-type]  # as far as it is used
        checked = honesty.check(liar, sample=700, source=Random(1))
    assert 2 == checked.offered["Haircut"]["LIED"]  # Amara's and Bruno's
    assert any(ends["booked"] for ends in checked.others.values())
    verdicts = Verdicts("test")
    honesty.record([checked], verdicts)
    assert [False, False, True] == [verdict.held for verdict in verdicts.all]


def test_alternatives_in_another_order_are_not_the_best(shop: Shop) -> None:
    """Nor are those of which one was left out."""
    haircut, amara = shop.salon.services["Haircut"], shop.salon.staff["Amara"]
    eleven = datetime(2030, 4, 30, 11)  # noqa: DTZ001 - what the wall shows
    wanted = lost.nearest(shop.booking, haircut, amara, eleven)
    losses = lost.lose(shop.booking, haircut, wanted, [2, 1])
    assert [0, 2, 3] == [len(loss.refused) for loss in losses]
    for loss in losses:
        assert 5 == len(loss.alternatives)
        assert set(loss.refused).isdisjoint(loss.alternatives)
        assert lost.is_best(shop.booking, haircut, loss)
        backwards = replace(loss, alternatives=loss.alternatives[::-1])
        assert not lost.is_best(shop.booking, haircut, backwards)
        assert not lost.is_best(shop.booking, haircut, replace(loss, alternatives=()))
    assert losses[0].alternatives[2:] == losses[1].alternatives[:3]


@pytest.mark.parametrize(
    ("ends", "right"),
    [
        (["Amara", "Bruno", "conflict"], True),
        (["Amara", "Amara", "conflict"], False),
        (["Amara", "conflict", "conflict"], False),
        (["Amara", "Bruno", "busy"], False),
        (["Amara", "Bruno", "Chidi"], False),
    ],
)
def test_a_crowd_that_was_served_wrongly_is_noticed(ends: list[str], right: bool) -> None:
    """Two are free: both are booked, once each, and whoever else asks is told of a conflict."""
    assert right == anyone.Crowd(2, ends, ["Amara", "Bruno"]).each_booked_once


def test_anybody_is_whoever_has_least_to_do() -> None:
    """Counted from the replies, not asked of the service."""
    with fresh_database() as database:
        shop = Shop.open(database, TUESDAY, 1, seed=1)
        haircut, berlin = shop.salon.services["Haircut"], shop.salon.locations["Berlin Mitte"]
        start = datetime(2030, 4, 30, 10, tzinfo=UTC)
        served = anyone.crowd(shop.booking, haircut, start, 5, berlin)
        assert served.each_booked_once
        assert Counter(served.ends)["conflict"] == 5 - served.free
        shares = anyone.share_out(
            shop.booking, haircut, TUESDAY, location_id=berlin, requests=15, source=Random(1)
        )
    assert 0 == shares.unfair
    assert 15 == shares.requests == sum(shares.booked.values()) + shares.conflicts
    assert BERLIN_STAFF == list(shares.frame()["staff"])
    assert all(shares.booked[name] <= shares.could[name] for name in BERLIN_STAFF)


def test_buffers_keep_the_starts_around_an_appointment_free(fresh: Database) -> None:
    """An hour at noon, by hand: what comes before it must end, buffer included, when it sets up."""
    days = buffers.buffer_days(fresh)
    assert [("11:00", "13:00"), ("10:45", "13:15"), ("10:30", "13:30"), ("10:15", "13:45")] == [
        day.around for day in days
    ]
    # Nine to four, every quarter, less those between.
    assert [29 - 7, 29 - 9, 29 - 11, 29 - 13] == [day.free for day in days]
    verdicts = Verdicts("test")
    buffers.record(days, verdicts)
    assert verdicts.all[0].held
    for wrong in (replace(days[1], after=0), replace(days[2], before=45)):
        verdicts = Verdicts("wrong")
        buffers.record([days[0], wrong], verdicts)
        assert not verdicts.all[0].held


def test_alternatives_add_a_query_or_a_few(shop: Shop, fresh: Database) -> None:
    """A lost request sends one query, two with alternatives, a few where all is booked up."""
    full = Shop.open(fresh, TUESDAY, days=2, seed=1)
    desks = [
        Desk.of_shop(shop, "Bruno", "Haircut"),
        Desk.booked_up(full, "Bruno", "Haircut", Random(1)),
    ]
    haircut, bruno = full.salon.services["Haircut"], full.salon.staff["Bruno"]
    assert [] == full.booking.free_slots(haircut, full.days[0], bruno, last=full.days[-1])
    measured = cost_of_losing(desks, 1, Random(1))
    near, far = (measured.queries[desk.name] for desk in desks)
    assert {PLAIN: 1, WITH: 2, WON: 1} == near
    assert {PLAIN: 1, WITH: 3, WON: 1} == far
    assert [PLAIN, WITH, WON] * 2 == list(measured.table()["request"])
    assert [1, 2] == list(measured.added()["queries added"])
    verdicts = Verdicts("test")
    measured.record(verdicts)
    assert verdicts.all[0].held
    worse = replace(measured, queries=measured.queries | {"at a desk": {PLAIN: 1, WITH: 9, WON: 1}})
    verdicts = Verdicts("worse")
    worse.record(verdicts)
    assert not verdicts.all[0].held


@pytest.fixture(scope="module")
def measured() -> Listing:
    """Measure the smallest list there is."""
    return listing(ListingPlan([1], [1], [500], rounds=1))


def test_the_plan_names_the_index(measured: Listing) -> None:
    """Appointments are read by it alone; a plan that reads the table is refused."""
    (plan,) = measured.plans.values()
    reads = listing_report.scans(plan).set_index("table")["how"]
    assert "using appointment_blocked" in reads["appointment"]
    verdicts = Verdicts("test")
    listing_report.record(measured, verdicts)
    assert all(verdict.held for verdict in verdicts.all)
    read = plan.replace(reads["appointment"], "Seq Scan")
    worse = replace(measured, plans={500: read}, differences=["sweep and query differ."])
    verdicts = Verdicts("worse")
    listing_report.record(worse, verdicts)
    assert [False, False] == [verdict.held for verdict in verdicts.all]


def test_a_broken_promise_is_shown(measured: Listing) -> None:
    """Slower than nine tenths of the best of the others, and longer than three milliseconds."""
    slow = measured.frame.copy()
    slow.loc[slow["lister"] == "query", "milliseconds"] = 1000.0
    kept = listing_report.promises(replace(measured, frame=slow))["here"]
    assert ["✗ not kept", "✗ not kept"] == list(kept)
    fast = measured.frame.copy()
    fast.loc[fast["lister"] == "query", "milliseconds"] = 0.001
    kept = listing_report.promises(replace(measured, frame=fast))["here"]
    assert ["✓ kept", "✓ kept"] == list(kept)
