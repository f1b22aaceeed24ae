"""Bad inputs: each with the error it gets, and nothing written."""

# ruff: noqa: SIM300 - expected == actual

from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest
from desk import MINUTE, NOW, TEN, Desk, open_desk, refused
from sqlalchemy import Engine, text
from sqlalchemy.exc import IntegrityError

from booking_core import BookingService
from booking_core.schema import metadata

HOUR = 60 * MINUTE
DAY = timedelta(days=1)
INJECTION = "Robert'); DROP TABLE appointment; --"


@pytest.fixture
def desk() -> Iterator[Desk]:
    """Open the desk, with an appointment of somebody else's in the book."""
    with open_desk() as opened:
        opened.service().book(**opened.ask(start=TEN + 4 * HOUR, client="Zoe", key="Zoe's"))
        yield opened
        assert 0 < len(opened.rows())


def _counts(engine: Engine) -> dict[str, int]:
    """Return how many rows each table has."""
    counts = ", ".join(f"(SELECT count(*) FROM {name}) AS {name}" for name in metadata.tables)
    with engine.connect() as connection:
        return connection.execute(text(f"SELECT {counts}")).one()._asdict()


# When it can't be; the same whether one books or moves there.
TIMES: list[Any] = [
    pytest.param(datetime(2030, 1, 8, 10), "NAIVE_DATETIME", id="naive"),  # noqa: DTZ001
    pytest.param("2030-01-08T09:00:00+00:00", "NOT_A_DATETIME", id="text"),
    pytest.param(date(2030, 1, 8), "NOT_A_DATETIME", id="date"),
    pytest.param(1893661200, "NOT_A_DATETIME", id="number"),
    pytest.param(float("nan"), "NOT_A_DATETIME", id="NaN"),
    pytest.param(None, "NOT_A_DATETIME", id="none"),
    pytest.param(True, "NOT_A_DATETIME", id="true"),
    pytest.param(datetime(9999, 12, 31, 23, 59, tzinfo=UTC), "OUT_OF_RANGE", id="year 9999"),
    pytest.param(datetime(1, 1, 1, tzinfo=UTC), "OUT_OF_RANGE", id="year 1"),
    pytest.param(datetime(8999, 12, 31, 23, 45, tzinfo=UTC), "OUT_OF_RANGE", id="year 8999"),
    pytest.param(datetime(1000, 1, 1, tzinfo=UTC), "IN_THE_PAST", id="year 1000"),
    pytest.param(datetime(8998, 12, 31, 23, 45, tzinfo=UTC), "TOO_FAR_AHEAD", id="year 8998"),
    pytest.param(datetime(1001, 1, 1, tzinfo=UTC), "IN_THE_PAST", id="year 1001"),
    pytest.param(NOW - 2 * DAY, "IN_THE_PAST", id="past"),
    pytest.param(NOW, "TOO_SOON", id="now"),
    pytest.param(NOW + 45 * MINUTE, "TOO_SOON", id="inside the notice"),
    pytest.param(TEN + 91 * DAY, "TOO_FAR_AHEAD", id="beyond the horizon"),
    pytest.param(TEN - 3 * HOUR, "OUTSIDE_HOURS", id="before hours"),
    pytest.param(TEN + 6.5 * HOUR, "OUTSIDE_HOURS", id="past the end of hours"),
    pytest.param(TEN + 12 * HOUR, "OUTSIDE_HOURS", id="at night"),
    pytest.param(TEN + 4 * DAY, "OUTSIDE_HOURS", id="on a Saturday"),
    pytest.param(TEN + 2.25 * HOUR, "IN_A_BREAK", id="across a break"),
    pytest.param(TEN + 2.75 * HOUR, "IN_A_BREAK", id="out of a break"),
    pytest.param(TEN + 7 * MINUTE, "OFF_GRID", id="off the grid"),
    pytest.param(TEN + timedelta(seconds=1), "OFF_GRID", id="a second late"),
    pytest.param(TEN + timedelta(microseconds=1), "OFF_GRID", id="a microsecond late"),
]

ENDS: list[Any] = [
    pytest.param(TEN - HOUR, "END_BEFORE_START", id="end before start"),
    pytest.param(TEN, "END_BEFORE_START", id="end at start"),
    pytest.param(datetime(2030, 1, 8, 10, 45), "NAIVE_DATETIME", id="naive end"),  # noqa: DTZ001
    pytest.param(45, "NOT_A_DATETIME", id="a length for an end"),
    pytest.param(TEN + HOUR, "WRONG_DURATION", id="too long"),
    pytest.param(TEN + 44 * MINUTE, "WRONG_DURATION", id="too short"),
    pytest.param(datetime.max.replace(tzinfo=UTC), "OUT_OF_RANGE", id="year 9999 for an end"),
]

NO_IDS: list[Any] = [
    *(0, -1, 99, 2**31 - 1, 2**31, 2**63, -(2**63), 10**100),
    *(True, False, 1.0, float("nan"), float("inf")),
    *(None, "1", "", b"1", INJECTION, [1], (1,), {"id": 1}),
]

NO_TEXTS: list[Any] = [
    pytest.param("", id="empty"),
    pytest.param("   ", id="blank"),
    pytest.param("x" * 201, id="too long"),
    pytest.param("x" * 5_000_000, id="enormous"),
    pytest.param("Ada\0", id="NUL"),
    pytest.param("Ada\nBob", id="two lines"),
    pytest.param("Ada\x1b[31m", id="terminal escape"),
    pytest.param("\ud83d", id="half a character"),
    pytest.param(7, id="number"),
    pytest.param(True, id="true"),
    pytest.param(float("nan"), id="NaN"),
    pytest.param(b"Ada", id="bytes"),
    pytest.param(["Ada"], id="list"),
]

BOOKINGS: list[Any] = [
    *(pytest.param({"start": case.values[0]}, case.values[1], id=case.id) for case in TIMES),
    *(pytest.param({"end": case.values[0]}, case.values[1], id=case.id) for case in ENDS),
    *(
        pytest.param({"staff_id": no}, "UNKNOWN_STAFF", id=f"staff {no!r}")
        for no in NO_IDS
        if no is not None  # which means anybody
    ),
    *(
        pytest.param({"staff_id": None, "location_id": no}, "UNKNOWN_LOCATION", id=f"at {no!r}")
        for no in NO_IDS
        if no is not None  # which means anywhere
    ),
    *(pytest.param({"service_id": no}, "UNKNOWN_SERVICE", id=f"service {no!r}") for no in NO_IDS),
    pytest.param({"service": "Beard trim"}, "NOT_OFFERED", id="not offered"),
    pytest.param(
        {"staff": "Bruno", "start": TEN + 7 * DAY}, "TIME_OFF", id="time off (skiing, all week)"
    ),
    *(
        pytest.param({"client": case.values[0]}, "BAD_CLIENT", id=f"client: {case.id}")
        for case in [*NO_TEXTS, pytest.param(None, id="none")]
    ),
    *(pytest.param({"key": case.values[0]}, "BAD_KEY", id=f"key: {case.id}") for case in NO_TEXTS),
    pytest.param({"key": "Zoe's"}, "KEY_REUSED", id="key reused"),
]


@pytest.mark.parametrize(("different", "code"), BOOKINGS)
def test_a_bad_booking_is_refused_and_writes_nothing(
    desk: Desk, different: dict[str, Any], code: str
) -> None:
    """Whatever is wrong with a request, the reply says what, and no table has grown."""
    before = _counts(desk.engine)
    for key in (None, "a key"):
        with refused(code):
            desk.service().book(**desk.ask(**{"key": key} | different))
    assert before == _counts(desk.engine)


MOVES: list[Any] = [
    *(pytest.param({"start": case.values[0]}, case.values[1], id=case.id) for case in TIMES),
    *(pytest.param({"end": case.values[0]}, case.values[1], id=case.id) for case in ENDS),
    *(
        pytest.param({"staff_id": no}, "UNKNOWN_STAFF", id=f"staff {no!r}")
        for no in NO_IDS
        if no is not None
    ),
    pytest.param({"staff": "Eli"}, "OUTSIDE_HOURS", id="to whom is not there"),
    pytest.param({"staff": "Bruno", "start": TEN + 7 * DAY}, "TIME_OFF", id="to whom is away"),
]


@pytest.mark.parametrize(("different", "code"), MOVES)
def test_a_bad_move_is_refused_and_moves_nothing(
    desk: Desk, different: dict[str, Any], code: str
) -> None:
    """What can't be booked can't be moved to; the appointment stays where it was."""
    service = desk.service()
    mine = service.book(**desk.ask(start=TEN - HOUR)).appointment
    before = desk.rows()
    wanted = dict(different)
    if "staff" in wanted:
        wanted["staff_id"] = desk.salon.staff[wanted.pop("staff")]
    with refused(code):
        service.reschedule(mine.id, **{"start": TEN} | wanted)
    assert before == desk.rows()


def test_a_colour_can_not_be_moved_to_whom_does_not_offer_it(desk: Desk) -> None:
    """A move keeps the service, so whoever takes over must offer it."""
    service = desk.service()
    mine = service.book(**desk.ask(service="Colour")).appointment
    before = desk.rows()
    with refused("NOT_OFFERED"):
        service.reschedule(mine.id, start=TEN, staff_id=desk.salon.staff["Bruno"])
    assert before == desk.rows()


@pytest.mark.parametrize("no_id", NO_IDS, ids=repr)
def test_what_is_no_appointment_is_neither_cancelled_nor_moved(desk: Desk, no_id: Any) -> None:  # noqa: ANN401 - anything at all
    """An id of another world is unknown, and never an error of PostgreSQL's."""
    service = desk.service()
    before = desk.rows()
    if no_id == 99:
        no_id = before[-1].id + 1000  # ids are not given out twice
    with refused("UNKNOWN_APPOINTMENT"):
        service.cancel(no_id)
    with refused("UNKNOWN_APPOINTMENT"):
        service.reschedule(no_id, start=TEN)
    with refused("UNKNOWN_APPOINTMENT"):
        service.find(no_id)
    assert before == desk.rows()


@pytest.mark.parametrize(
    "written",
    [
        INJECTION,
        "' OR '1'='1",
        '"; SELECT pg_sleep(60); --',
        "%s %(client)s :client {0} $1 \\",
        "{'a': 1}, [2, 3)",
        "NULL",
    ],
)
def test_sql_in_a_text_is_a_text(desk: Desk, written: str) -> None:
    """It is stored and given back literally, in a name and in a key, and the tables are there."""
    service = desk.service()
    before = _counts(desk.engine)
    booked = service.book(**desk.ask(client=written, key=written))
    assert written == booked.appointment.client == service.find(booked.appointment.id).client
    row = desk.rows()[-1]
    assert (written, written) == (row.client, row.idempotency_key)
    assert service.book(**desk.ask(client=written, key=written)).replayed
    with refused("KEY_REUSED"):
        service.book(**desk.ask(client="Ada", key=written))
    assert before | {"appointment": before["appointment"] + 1} == _counts(desk.engine)


@pytest.mark.parametrize("name", ["José", "明日香", "O'Neil", "Ada 👩", "ﷺ" * 200, "x" * 200])
def test_names_are_stored_in_every_script(desk: Desk, name: str) -> None:
    """UTF-8 from one end to the other; the limit counts characters, not bytes."""
    appointment = desk.service().book(**desk.ask(client=name)).appointment
    assert name == desk.service().find(appointment.id).client == desk.rows()[-1].client


def test_a_naive_clock_is_a_fault_of_the_product_not_of_the_client(desk: Desk) -> None:
    """It books nothing: no instant is guessed at."""
    before = desk.rows()
    service = BookingService(desk.engine, clock=lambda: datetime(2030, 1, 6, 12))  # noqa: DTZ001
    with pytest.raises((TypeError, ValueError)):
        service.book(**desk.ask())
    assert before == desk.rows()


@pytest.mark.parametrize("grid", ["90 seconds", "1 minute 1 microsecond", "25 hours", "1 month"])
def test_a_grid_that_could_not_be_kept_is_not_stored(desk: Desk, grid: str) -> None:
    """A grid in half minutes would be offered and then refused; one beyond a day means nothing."""
    with pytest.raises(IntegrityError):
        desk.execute(
            "INSERT INTO service (name, duration, buffer_after, grid)"
            " VALUES ('Odd', '1 hour', '0', CAST(:grid AS interval))",
            grid=grid,
        )
