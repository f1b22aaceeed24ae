"""Free time as the database works it out, compared with an oracle that goes minute by minute.

`--hypothesis-profile=full` compares 2,000 random salons for each promise instead of a hundred.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import HealthCheck, event, given, settings
from hypothesis import strategies as st
from random_salons import RandomSalon, salons
from slow_calendar import SlowCalendar
from sqlalchemy import Connection, Engine, Insert, insert, select
from sqlalchemy.dialects.postgresql import Range
from wall_clocks import minute_of, moment_of

from booking_core import DEFAULT, Appointment, Slot, schema
from booking_core.calendar.availability import Availability
from booking_core.calendar.rules import Hours
from booking_core.slots import FreeSlot
from experiments.server.postgres import Database

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
ALWAYS = Slot(datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC))
AROUND = 3 * 24 * 60  # minutes on either side of the change that the oracle sees well
given_salons = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


@pytest.fixture(scope="module")
def engine(database: Database) -> Iterator[Engine]:
    """Return an engine for an empty salon; its sessions are in a zone with days of 23 hours."""
    made = database.engine(connect_args={"options": "-c timezone=Europe/Berlin"})
    with made.begin() as connection:
        schema.create(connection, DEFAULT())
    return made


def _store(engine: Engine, salon: RandomSalon) -> Availability:
    """Make the database hold this salon and no other, and return who knows it."""
    offered = salon.service
    with engine.begin() as connection:
        for table in reversed(schema.metadata.sorted_tables):
            connection.exec_driver_sql(f"DELETE FROM {table.name}")
        locations = {slow.calendar.location_id: slow.calendar for slow in salon.calendars}
        for number, calendar in locations.items():
            connection.execute(
                insert(schema.location).values(
                    id=number,
                    name=f"Location {number}",
                    time_zone=calendar.zone.key,
                    minimum_notice=calendar.minimum_notice,
                    horizon=calendar.horizon,
                    notice_days=calendar.notice_days,
                    horizon_days=calendar.horizon_days,
                )
            )
            for slot in calendar.closed:
                connection.execute(
                    insert(schema.closure).values(
                        location_id=number, during=_range(slot), reason="closed"
                    )
                )
        connection.execute(
            insert(schema.service).values(
                id=offered.id,
                name=offered.name,
                duration=offered.duration,
                buffer_before=offered.buffer_before,
                buffer_after=offered.buffer_after,
                grid=offered.grid,
                grid_from_opening=offered.grid_from_opening,
            )
        )
        for slow in salon.calendars:
            _store_calendar(connection, slow)
    return Availability(engine, lambda: salon.calendars[0].now)


def _store_calendar(connection: Connection, slow: SlowCalendar) -> None:
    calendar = slow.calendar
    who = {"staff_id": calendar.staff_id}
    connection.execute(
        insert(schema.staff).values(
            id=calendar.staff_id, name=calendar.staff, location_id=calendar.location_id
        )
    )
    connection.execute(insert(schema.offering).values(service_id=slow.service.id, **who))
    for hours in calendar.hours:
        connection.execute(_filed(hours).values(**who))
    for slot in calendar.off:
        connection.execute(insert(schema.time_off).values(during=_range(slot), reason="off", **who))
    for other in slow.busy:
        connection.execute(
            insert(schema.appointment).values(
                service_id=slow.service.id,
                client="Ada",
                during=_range(other.promised),
                blocked=_range(other.blocked),
                request_digest="",
                **who,
            )
        )
    connection.execute(
        insert(schema.appointment).values(
            service_id=slow.service.id,
            client="Bob, who has cancelled",
            during=_range(ALWAYS),
            blocked=_range(ALWAYS),
            status="cancelled",
            request_digest="",
            **who,
        )
    )


def _filed(hours: Hours) -> Insert:
    """Return how hours are stored: those of every week by the weekday, others by their dates."""
    row = {"kind": hours.kind, "starts": hours.starts, "ends": hours.ends}
    if hours.first.year == 1:
        return insert(schema.working_hours).values(weekday=hours.first.weekday(), **row)
    last = None if hours.last == date.max else hours.last
    return insert(schema.other_hours).values(first=hours.first, last=last, weeks=hours.weeks, **row)


def _range(slot: Slot) -> Range[datetime]:
    return Range(slot.start, slot.end, bounds="[)")


def _expected(slow: SlowCalendar, first: date, last: date) -> list[datetime]:
    """Return the starts whose date on the wall is one of these days."""
    middle = slow.change.minute
    return [
        moment_of(minute)
        for minute in slow.starts(middle - AROUND, middle + AROUND)
        if first <= slow.walls.at(minute).date() <= last
    ]


@given_salons
@given(salons(), st.integers(-2, 1), st.integers(0, 1))
def test_exactly_the_starts_that_the_rules_allow_are_listed(
    engine: Engine, salon: RandomSalon, offset: int, more: int
) -> None:
    """What is offered can be booked and nothing else is: hours, breaks, buffers, clocks, all."""
    availability = _store(engine, salon)
    first = salon.change.moment.date() + offset * DAY
    last = first + more * DAY
    expected = [
        (slow.calendar.staff, start)
        for slow in salon.calendars
        for start in _expected(slow, first, last)
    ]
    event("some starts" if expected else "no start")
    found = availability.free_time(1, first, last)
    assert expected == [(free.staff, free.slot.start) for time in found for free in time.slots()]
    for time in found:
        assert len(time) == len(list(time.slots()))
    for slow in salon.calendars:
        (alone,) = availability.free_time(1, first, last, staff_id=slow.calendar.staff_id)
        assert alone in found
    location_id = salon.calendars[0].calendar.location_id
    names = {slow.calendar.staff for slow in salon.at(location_id)}
    there = availability.free_time(1, first, last, location_id=location_id)
    assert [time for time in found if time.staff in names] == there


@given_salons
@given(salons(), st.integers(-2000, 2000), st.integers(1, 12), st.data())
def test_alternatives_are_the_nearest_of_all_that_could_be_booked(
    engine: Engine, salon: RandomSalon, offset: int, limit: int, data: st.DataObject
) -> None:
    """From the morning on: nearest, the same staff member, earlier, by name; none twice refused."""
    availability = _store(engine, salon)
    asked = data.draw(st.sampled_from(salon.calendars))
    wanted = moment_of(salon.change.minute + offset)
    anywhere = data.draw(st.booleans())
    if anywhere:  # that is, where locations have been met
        availability.free_time(1, wanted.date(), wanted.date())
    location_id = asked.calendar.location_id
    everybody = salon.calendars if anywhere else salon.at(location_id)
    could = _could(everybody, asked, wanted)
    event("some alternatives" if could else "none")
    anything = [(name, start) for *_, start, name in could]
    refused = data.draw(st.lists(st.sampled_from(anything), max_size=3)) if anything else []
    moves = data.draw(st.sampled_from([None, *_appointments(engine, salon)]))
    turned_down = [*refused, (_name(salon, moves.staff_id), moves.slot.start)] if moves else refused
    picky = [
        (name, start)
        for *_, start, name in _could([_without(slow, moves) for slow in everybody], asked, wanted)
        if (name, start) not in turned_down
    ]
    for picks, expected in ((False, anything), (True, picky)):
        found = availability.alternatives(
            1,
            wanted,
            asked.calendar.zone.key,
            staff_id=asked.calendar.staff_id,
            location_id=None if anywhere else location_id,
            refused=[_slot(salon, name, start) for name, start in refused] if picks else [],
            moves=moves if picks else None,
            limit=limit,
        )
        assert expected[:limit] == [(free.staff, free.slot.start) for free in found]


def _could(
    everybody: Iterable[SlowCalendar], asked: SlowCalendar, wanted: datetime
) -> list[tuple[timedelta, bool, datetime, str]]:
    """Return all that could be booked from the morning on, the best first."""
    today = asked.walls.at(minute_of(wanted)).date()
    morning = moment_of(asked.walls.when(today, datetime.min.time()))
    return sorted(
        (abs(start - wanted), slow.calendar is not asked.calendar, start, slow.calendar.staff)
        for slow in everybody
        for start in _expected(slow, date.min, date.max)
        if start >= morning
    )


def _appointments(engine: Engine, salon: RandomSalon) -> list[Appointment]:
    """Return the salon's appointments as they are stored."""
    columns = schema.appointment.c
    confirmed = select(columns.id, columns.staff_id, columns.during).where(
        columns.status == "confirmed"
    )
    with engine.connect() as connection:
        return [
            Appointment(
                row.id,
                row.staff_id,
                salon.service.id,
                "Ada",
                Slot(row.during.lower, row.during.upper),
            )
            for row in connection.execute(confirmed.order_by(columns.id))
        ]


def _without(slow: SlowCalendar, moves: Appointment | None) -> SlowCalendar:
    """Return a calendar as it is for whoever moves an appointment: it keeps its length."""
    if not moves:
        return slow
    own = moves.slot if moves.staff_id == slow.calendar.staff_id else None
    return replace(
        slow,
        service=slow.service.as_booked(moves),
        busy=[each for each in slow.busy if each.promised != own],
    )


def _name(salon: RandomSalon, staff_id: int) -> str:
    (name,) = (s.calendar.staff for s in salon.calendars if s.calendar.staff_id == staff_id)
    return name


def _slot(salon: RandomSalon, name: str, start: datetime) -> FreeSlot:
    (calendar,) = (s.calendar for s in salon.calendars if s.calendar.staff == name)
    return FreeSlot(calendar.staff_id, name, salon.service.slot(start), calendar.zone.key)


@given_salons
@given(salons(), st.integers(-2000, 2000))
def test_candidates_are_those_whom_the_rules_allow_and_nobody_has(
    engine: Engine, salon: RandomSalon, offset: int
) -> None:
    """Who asks for anybody is told of everybody who could, and of nobody else."""
    availability = _store(engine, salon)
    # Often one of the starts, for most minutes are none.
    starts = salon.calendars[0].starts(salon.change.minute - 2000, salon.change.minute + 2000)
    minute = starts[offset % len(starts)] if starts else salon.change.minute + offset
    expected = [
        (slow.calendar.staff_id, slow.allows(minute), slow.is_free(minute))
        for slow in salon.calendars
    ]
    event("somebody" if any(allowed for _, allowed, _ in expected) else "nobody")
    found = availability.candidates(1, moment_of(minute))
    assert expected == [(each.staff_id, not each.refusal, not each.taken) for each in found]
    half_a_day = timedelta(hours=12)
    before = salon.service.buffer_before
    after = salon.service.duration + salon.service.buffer_after
    near = Slot(moment_of(minute) - half_a_day - before, moment_of(minute) + half_a_day + after)
    for slow, candidate in zip(salon.calendars, found, strict=True):
        near_by = [
            each.blocked.end - each.blocked.start
            for each in slow.busy
            if each.blocked.overlaps(near)
        ]
        assert sum(near_by, timedelta()) == timedelta(seconds=candidate.load)
