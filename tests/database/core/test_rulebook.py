"""What the service knows of the rules is never held against the client, nor in their favour."""

# ruff: noqa: SIM300 - expected == actual

from collections.abc import Iterator

import pytest
from desk import MINUTE, TEN, Desk, desk_in, open_desk, refused

from booking_core import DEFAULT, STRATEGIES
from experiments.server.postgres import Database

HOUR = 60 * MINUTE
DENTIST = (
    "INSERT INTO time_off (staff_id, during, reason)"
    " VALUES (1, '[2030-01-08 08:00+00, 2030-01-08 11:00+00)', 'dentist')"
)
CHANGES = {
    "location": ("UPDATE location SET minimum_notice = '90 days'", "TOO_SOON"),
    "staff": ("UPDATE staff SET location_id = 2 WHERE name = 'Amara'", "OUTSIDE_HOURS"),
    "service": ("UPDATE service SET grid = '7 minutes' WHERE name = 'Haircut'", "OFF_GRID"),
    "offering": ("DELETE FROM offering WHERE staff_id = 1", "NOT_OFFERED"),
    "working_hours": ("TRUNCATE working_hours", "OUTSIDE_HOURS"),
    "time_off": (DENTIST, "TIME_OFF"),
}


@pytest.fixture(params=CHANGES, ids=str)
def change(request: pytest.FixtureRequest) -> tuple[str, str]:
    """Return how rules in one of the tables change, and what a client is told then."""
    return CHANGES[request.param]


def test_rules_that_have_changed_are_noticed_whatever_the_service_knew(
    fresh: Database, change: tuple[str, str]
) -> None:
    """The service has booked under the old rules; nobody tells it of the new ones."""
    statement, code = change
    desk = desk_in(fresh, DEFAULT)
    service = desk.service()
    service.cancel(service.book(**desk.ask()).appointment.id)
    desk.execute(statement)
    with refused(code):
        service.book(**desk.ask())
    assert ["cancelled"] == [row.status for row in desk.rows()]


def test_nobody_is_refused_by_rules_that_are_no_longer_in_force(fresh: Database) -> None:
    """Hours are extended; the service that refused before learns of it by the next request."""
    desk = desk_in(fresh, DEFAULT)
    service = desk.service()
    late = desk.ask(start=TEN + 11 * HOUR)
    with refused("OUTSIDE_HOURS"):
        service.book(**late)
    desk.execute("UPDATE working_hours SET ends = '23:00' WHERE kind = 'shift'")
    assert TEN + 11 * HOUR == service.book(**late).appointment.slot.start


@pytest.fixture(params=list(STRATEGIES))
def desk(request: pytest.FixtureRequest) -> Iterator[Desk]:
    """Open the desk under each sound strategy; afterwards nobody is off any more."""
    with open_desk(request.param) as opened:
        yield opened
        opened.execute("DELETE FROM time_off WHERE reason = 'dentist'")


@pytest.fixture
def overtaken(desk: Desk) -> Desk:
    """Return the desk, if a change can overtake a transaction that has begun."""
    if desk.strategy.isolation == "SERIALIZABLE":
        pytest.skip("its snapshot is older than the change: it books as if it had come first")
    return desk


def test_nobody_is_told_of_a_rival_by_rules_that_are_no_longer_in_force(desk: Desk) -> None:
    """A buffer is given up: what it kept free is booked, by a service that knew the buffer."""
    service = desk.service()
    service.book(**desk.ask(start=TEN + HOUR))
    try:
        desk.execute("UPDATE service SET buffer_after = '0' WHERE name = 'Haircut'")
        booked = service.book(**desk.ask(start=TEN + 15 * MINUTE)).appointment
    finally:
        desk.execute("UPDATE service SET buffer_after = '15 minutes' WHERE name = 'Haircut'")
    assert TEN + 15 * MINUTE == booked.slot.start


def test_no_booking_rests_on_rules_that_changed_before_it_was_stored(overtaken: Desk) -> None:
    """Between the check in memory and the insert somebody takes time off."""
    service = overtaken.service(before_record=lambda: overtaken.execute(DENTIST))
    with refused("TIME_OFF"):
        service.book(**overtaken.ask())
    assert [] == overtaken.rows()


def test_no_move_rests_on_rules_that_changed_before_it_was_stored(overtaken: Desk) -> None:
    """The appointment stays where it was."""
    booked = overtaken.service().book(**overtaken.ask(start=TEN + 4 * HOUR)).appointment
    service = overtaken.service(before_record=lambda: overtaken.execute(DENTIST))
    with refused("TIME_OFF"):
        service.reschedule(booked.id, start=TEN)
    assert [booked.slot.start] == [row.during.lower for row in overtaken.rows()]


def test_bookings_change_no_rules(desk: Desk) -> None:
    """A strategy that keeps something in a staff member's row does not make others read anew."""
    before = _version(desk)
    service = desk.service()
    booked = service.book(**desk.ask()).appointment
    service.reschedule(booked.id, start=TEN + HOUR)
    service.cancel(booked.id)
    assert before == _version(desk)


def _version(desk: Desk) -> int:
    with desk.engine.connect() as connection:
        return int(connection.exec_driver_sql("SELECT sum(version) FROM offering").scalar_one())


WRITES = {
    "hours": "UPDATE working_hours SET ends = ends WHERE staff_id = {staff}",
    "time off": "INSERT INTO time_off (staff_id, during, reason)"
    " VALUES ({staff}, '[2031-01-08 08:00+00, 2031-01-08 11:00+00)', 'dentist')",
    "closure": "INSERT INTO closure (location_id, during, reason)"
    " VALUES ({place}, '[2031-01-08 08:00+00, 2031-01-08 11:00+00)', 'holiday')",
    "location": "UPDATE location SET name = name WHERE id = {place}",
}


@pytest.mark.parametrize("write", WRITES.values(), ids=WRITES)
def test_nobody_waits_for_rules_that_are_being_edited(fresh: Database, write: str) -> None:
    """Somebody edits Brooklyn in an open transaction: Berlin is booked, and edited, at once.

    Reported: an import of one salon's hours blocks the bookings of all the others.
    """
    desk = desk_in(fresh, DEFAULT)
    service = desk.service()
    service.cancel(service.book(**desk.ask()).appointment.id)
    dolores, brooklyn = desk.salon.staff["Dolores"], desk.salon.locations["Brooklyn"]
    amara, berlin = desk.salon.staff["Amara"], desk.salon.locations["Berlin Mitte"]
    with desk.engine.connect() as editor, desk.engine.connect() as other:
        editor.exec_driver_sql(write.format(staff=dolores, place=brooklyn))
        assert 1 == service.book(**desk.ask()).attempts
        other.exec_driver_sql("SET lock_timeout = '5s'")
        other.exec_driver_sql(write.format(staff=amara, place=berlin))
        # Those of a calendar whose own rules are edited don't wait either: the old ones hold yet.
        assert 1 == service.book(**desk.ask(start=TEN + HOUR)).attempts
        other.commit()
        editor.commit()
    assert 2 == service.book(**desk.ask(start=TEN + 4 * HOUR)).attempts, "read anew, once"
    assert 1 == service.book(**desk.ask(staff="Bruno", start=TEN + 4 * HOUR)).attempts


def test_what_is_known_of_others_is_not_forgotten(fresh: Database, queries: list[str]) -> None:
    """An edit of Brooklyn's hours costs a booking in Berlin nothing, not even a look."""
    desk = desk_in(fresh, DEFAULT)
    service = desk.service()
    service.cancel(service.book(**desk.ask()).appointment.id)
    dolores = desk.salon.staff["Dolores"]
    desk.execute("UPDATE working_hours SET ends = ends WHERE staff_id = :who", who=dolores)
    queries.clear()
    service.book(**desk.ask())
    assert 1 == len(queries)


def test_whoever_has_moved_is_booked_where_they_are_now(fresh: Database) -> None:
    """A service that knew Amara in Berlin is asked for her in Brooklyn, where she works since."""
    desk = desk_in(fresh, DEFAULT)
    service = desk.service()
    service.cancel(service.book(**desk.ask()).appointment.id)
    brooklyn = desk.salon.locations["Brooklyn"]
    desk.execute("UPDATE staff SET location_id = :there WHERE name = 'Amara'", there=brooklyn)
    four = desk.ask(start=TEN + 6 * HOUR, location_id=brooklyn)  # ten in Brooklyn
    assert TEN + 6 * HOUR == service.book(**four).appointment.slot.start
