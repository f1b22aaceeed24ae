"""The desk of the salon in `data/salon.toml`: a database for each strategy, to be booked at.

Making one takes a quarter of a second, so each is made once and emptied between tests.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from random import Random
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from sqlalchemy import Engine, Row, text

from booking_core import BookingService, schema
from booking_core.errors import InvalidRequest, UnsupportedServer
from booking_core.slots import FreeSlot
from booking_core.strategies import STRATEGIES, Strategy
from experiments.scenes import salon
from experiments.server.postgres import Database, fresh_database

BERLIN = ZoneInfo("Europe/Berlin")
BROOKLYN = ZoneInfo("America/New_York")
NOW = salon.NOW  # noon in UTC on Sunday the sixth
MINUTE = timedelta(minutes=1)
# Tuesday, when Amara, Bruno and Chidi are all there. A haircut and its buffer take an hour.
TEN = datetime(2030, 1, 8, 10, tzinfo=BERLIN).astimezone(UTC)
TUESDAY = date(2030, 1, 8)
# One of each way of writing: where a rule does not depend on which lock is taken.
FAMILIES = ["advisory", "serializable", "exclusion", "one_statement", "temporal_key", "function"]
PATIENCE = 60  # seconds after which a test gives up on what should have happened at once


@dataclass
class Desk:
    """A salon, and how to book there.

    Attributes:
        database: Of its own.
        engine: With connections for a handful of clients.
        make: Makes the strategy that the schema was made for.
        salon: Ids by name.
    """

    database: Database
    engine: Engine
    make: type[Strategy]
    salon: salon.Salon
    strategy: Strategy = field(init=False)

    def __post_init__(self) -> None:
        self.strategy = self.make()

    def service(self, **options: Any) -> BookingService:  # noqa: ANN401 - the service's own
        """Return a booking service in which it is the Sunday before."""
        given: dict[str, Any] = {"strategy": self.make(), "clock": lambda: NOW} | options
        return BookingService(given.pop("engine", self.engine), **given)

    def ask(self, **different: Any) -> dict[str, Any]:  # noqa: ANN401 - `book`'s own
        """Return what a client asks for: a haircut with Amara at ten, unless told otherwise."""
        staff = different.pop("staff", "Amara")
        service = different.pop("service", "Haircut")
        return {
            "staff_id": self.salon.staff[staff],
            "service_id": self.salon.services[service],
            "start": TEN,
            "client": "Ada",
        } | different

    def rows(self) -> list[Row[Any]]:
        """Return all that is stored about appointments."""
        with self.engine.connect() as connection:
            return list(connection.execute(text("SELECT * FROM appointment ORDER BY id")))

    def empty(self) -> None:
        """Forget all appointments."""
        # Not TRUNCATE, which makes new files and waits for the disk.
        for table in ["claim"] * (self.strategy.name == "temporal_key") + ["appointment"]:
            self.execute(f"DELETE FROM {table}")

    def waiting(self) -> int:
        """Return how many sessions wait for a lock."""
        with self.engine.connect() as connection:
            return int(
                connection.execute(
                    text(
                        "SELECT count(*) FROM pg_stat_activity"
                        " WHERE datname = current_database() AND wait_event_type = 'Lock'"
                    )
                ).scalar_one()
            )

    def execute(self, statement: str, **values: object) -> None:
        """Do something behind the service's back, and commit."""
        with self.engine.begin() as connection:
            connection.execute(text(statement), values)


_desks: dict[tuple[str, bool | None], Desk | UnsupportedServer] = {}


def _opened(make: type[Strategy], backstop: bool | None) -> Desk:
    if (make.name, backstop) not in _desks:
        try:
            _desks[make.name, backstop] = _open(make, backstop)
        except UnsupportedServer as error:
            _desks[make.name, backstop] = error
    desk = _desks[make.name, backstop]
    if isinstance(desk, UnsupportedServer):
        raise desk
    return desk


def _open(make: type[Strategy], backstop: bool | None) -> Desk:
    return desk_in(fresh_database(), make, backstop=backstop)


def desk_in(database: Database, make: type[Strategy], *, backstop: bool | None = None) -> Desk:
    """Set up a desk in an empty database."""
    engine = database.engine(pool_size=8, max_overflow=0, pool_timeout=PATIENCE)
    with engine.begin() as connection:
        schema.create(connection, make(), backstop=backstop)
        stored = salon.load(connection)
    return Desk(database, engine, make, stored)


@contextmanager
def open_desk(
    make: type[Strategy] | str = "advisory", *, backstop: bool | None = None
) -> Iterator[Desk]:
    """Lend a desk without appointments; afterwards every connection must have been given back.

    Skips the test where the server is too old for the strategy.
    """
    try:
        desk = _opened(STRATEGIES[make] if isinstance(make, str) else make, backstop)
    except UnsupportedServer as error:
        pytest.skip(str(error))
    desk.empty()
    yield desk
    assert desk.engine.pool.checkedout() == 0  # type: ignore[attr-defined]


def stopped_at(moment: datetime) -> Callable[[], datetime]:
    """Return a clock that has stopped."""
    return lambda: moment


@contextmanager
def refused(code: str) -> Iterator[None]:
    """Expect the request in the block to be invalid, for this reason."""
    with pytest.raises(InvalidRequest) as refusal:
        yield
    assert code == refusal.value.code, f"refused as {refusal.value.code}: {refusal.value}"


def fill(desk: Desk, seed: int) -> BookingService:
    """Book at random for a week, and return the service."""
    source = Random(seed)
    service = desk.service()
    for days_later in range(7):
        for name in ("Haircut", "Colour", "Beard trim"):
            day = TUESDAY + timedelta(days=days_later)
            found = service.free_slots(desk.salon.services[name], day)
            if found:
                chosen = source.choice(found)
                service.book(
                    staff_id=chosen.staff_id,
                    service_id=desk.salon.services[name],
                    start=chosen.slot.start,
                    client="Ada",
                )
    return service


def everything(desk: Desk, service: BookingService, days: range, name: str) -> list[FreeSlot]:
    """Return what is free on so many days after Tuesday, for everybody, day by day."""
    return [
        free
        for days_later in days
        for free in service.free_slots(
            desk.salon.services[name], TUESDAY + timedelta(days=days_later)
        )
    ]
