"""Salons to experiment on: the one in `data/salon.toml`, and plain ones of any size.

Experiments happen at fixed instants, never "now", so that a notebook shows the same salon
whenever it is run.
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from sqlalchemy import insert
from sqlalchemy.dialects.postgresql import Range

from booking_core import schema, whole_days
from booking_core.booking import BookingService
from booking_core.schema import (
    closure,
    location,
    offering,
    other_hours,
    service,
    staff,
    time_off,
    working_hours,
)
from booking_core.slots import instant
from booking_core.strategies import DEFAULT
from experiments.scenes.places import BUFFER, DURATION, GRID

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
    from random import Random

    from sqlalchemy import Connection, Table

    from experiments.scenes.places import Service
    from experiments.server.postgres import Database

SALON = Path(__file__).parents[2] / "data" / "salon.toml"
NOW = datetime(2030, 1, 6, 12, tzinfo=UTC)  # a Sunday, when experiments happen
DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")

# Of the rules of plain salons: schedules and scripts quote it, wherever they are played.
VERSION = 1


@dataclass(frozen=True, slots=True)
class Salon:
    """The ids of what was stored, by name."""

    staff: dict[str, int]
    services: dict[str, int]
    locations: dict[str, int] = field(default_factory=dict)


def now() -> datetime:
    """Return the instant at which experiments happen."""
    return NOW


def load(connection: Connection, path: Path = SALON) -> Salon:
    """Store the salon that a TOML file describes.

    Args:
        connection: To a database with the schema, in a transaction that the caller commits.
        path: The file; `data/salon.toml` shows what it holds.
    """
    described = tomllib.loads(path.read_text(encoding="utf-8"))
    zones = {place["name"]: ZoneInfo(place["time_zone"]) for place in described["location"]}
    locations = {
        place["name"]: _insert(
            connection,
            location,
            name=place["name"],
            time_zone=place["time_zone"],
            minimum_notice=timedelta(hours=place["minimum_notice_hours"]),
            horizon=timedelta(days=place["horizon_days"]),
            notice_days=place.get("notice_whole_days"),
            horizon_days=place.get("horizon_whole_days"),
        )
        for place in described["location"]
    }
    for place in described["location"]:
        for closed in place.get("closures", ()):
            _insert(
                connection,
                closure,
                location_id=locations[place["name"]],
                during=_during(closed, zones[place["name"]]),
                reason=closed["reason"],
            )
    services = {
        offered["name"]: _insert(
            connection,
            service,
            name=offered["name"],
            duration=timedelta(minutes=offered["duration_minutes"]),
            buffer_before=timedelta(minutes=offered.get("buffer_before_minutes", 0)),
            buffer_after=timedelta(minutes=offered["buffer_after_minutes"]),
            grid=timedelta(minutes=offered["grid_minutes"]),
            grid_from_opening=offered.get("grid_from_opening", False),
            client_once=offered.get("client_once", False),
        )
        for offered in described["service"]
    }
    members = {}
    for member in described["staff"]:
        zone = zones[member["location"]]
        staff_id = _insert(
            connection, staff, name=member["name"], location_id=locations[member["location"]]
        )
        members[member["name"]] = staff_id
        for name in member["services"]:
            connection.execute(
                insert(offering), {"staff_id": staff_id, "service_id": services[name]}
            )
        for kind in ("shift", "break"):
            for hours in member.get(f"{kind}s", ()):
                connection.execute(insert(working_hours), list(_weekly(staff_id, kind, hours)))
        for hours in member.get("other_hours", ()):
            _insert(connection, other_hours, staff_id=staff_id, **_once(hours))
        for off in member.get("time_off", ()):
            _insert(
                connection,
                time_off,
                staff_id=staff_id,
                during=_during(off, zone),
                reason=off["reason"],
            )
    return Salon(members, services, locations)


def open_salon(
    database: Database, clock: Callable[[], datetime] = now, source: Random | None = None
) -> tuple[Salon, BookingService]:
    """Make the salon of `data/salon.toml` ready for bookings, as one would in production.

    Args:
        database: An empty one.
        clock: Tells the present instant.
        source: For what the service draws.

    Returns:
        The salon, and a service with the default strategy and the exclusion constraint behind it.
    """
    engine = database.engine()
    with engine.begin() as connection:
        schema.create(connection, DEFAULT(), backstop=True)
        stored = load(connection)
    return stored, BookingService(engine, clock=clock, source=source)


def plain(connection: Connection, size: int, *, client_once: bool = False) -> Salon:
    """Store a salon of so many staff members who work around the clock and offer one service.

    Args:
        connection: To a database with the schema, in a transaction that the caller commits.
        size: How many staff members.
        client_once: Whether the service wants a client to be in one place.
    """
    location_id = _somewhere(connection, "Anywhere", "UTC")
    service_id = _insert(
        connection,
        service,
        name="Visit",
        duration=DURATION,
        buffer_after=BUFFER,
        grid=GRID,
        client_once=client_once,
    )
    names = [f"Staff {number}" for number in range(1, size + 1)]
    members = {
        name: _insert(connection, staff, name=name, location_id=location_id) for name in names
    }
    _work_around_the_clock(connection, members.values(), [service_id])
    return Salon(members, {"Visit": service_id}, {"Anywhere": location_id})


def given(
    connection: Connection,
    staff: Iterable[tuple[int, str, str]],
    services: Iterable[tuple[int, str, Service]],
    offers: Mapping[int, Sequence[int]],
    grid: timedelta,
) -> Salon:
    """Store a salon in which everything is given: ids, names, zones and services.

    Args:
        connection: To a database with the schema, in a transaction that the caller commits.
        staff: The id, the name and the time zone of each member of staff, who has a location of
            its own.
        services: The id and the name of each service, and what it takes up.
        offers: Who offers a service, where not everybody does: numbers of staff, by the service's.
        grid: How often a service may start.
    """
    members: dict[str, int] = {}
    places: dict[str, int] = {}
    offered: dict[str, int] = {}
    for staff_id, name, zone in staff:
        places[zone] = places.get(zone) or _somewhere(connection, zone, zone)
        row = {"id": staff_id, "name": name, "location_id": places[zone]}
        members[name] = _insert(connection, schema.staff, **row)
    left_out = set()
    for service_id, name, each in services:
        left_out |= {
            (staff_id, service_id)
            for number, staff_id in enumerate(members.values())
            if number not in offers.get(each.number, (number,))
        }
        offered[name] = _insert(
            connection,
            service,
            id=service_id,
            name=name,
            duration=each.duration,
            buffer_before=each.before,
            buffer_after=each.after,
            grid=grid,
            client_once=True,
        )
    _work_around_the_clock(connection, members.values(), offered.values(), left_out)
    return Salon(members, offered, places)


def _somewhere(connection: Connection, name: str, zone: str) -> int:
    """Store a place where nothing has to be booked long before."""
    return _insert(
        connection,
        location,
        name=name,
        time_zone=zone,
        minimum_notice=timedelta(),
        horizon=timedelta(days=365),
    )


def _work_around_the_clock(
    connection: Connection,
    staff_ids: Iterable[int],
    service_ids: Iterable[int],
    left_out: Collection[tuple[int, int]] = (),
) -> None:
    """Let some members of staff offer some services at any time, but for some of them."""
    staff_ids, service_ids = list(staff_ids), list(service_ids)
    hours = {"kind": "shift", "starts": time(), "ends": time()}
    connection.execute(
        insert(working_hours),
        [
            {"staff_id": member, "weekday": weekday, **hours}
            for member in staff_ids
            for weekday in range(7)
        ],
    )
    # At last, or each rule would give it another version.
    connection.execute(
        insert(offering),
        [
            {"staff_id": member, "service_id": service_id, "version": VERSION}
            for member in staff_ids
            for service_id in service_ids
            if (member, service_id) not in left_out
        ],
    )


def _insert(connection: Connection, table: Table, **values: Any) -> int:  # noqa: ANN401 - a row's
    key = connection.execute(insert(table).values(**values)).inserted_primary_key
    assert key is not None
    return int(key[0])


def _weekly(staff_id: int, kind: str, hours: dict[str, Any]) -> Iterable[dict[str, Any]]:
    for day in hours["days"]:
        yield {
            "staff_id": staff_id,
            "weekday": DAYS.index(day),
            "kind": kind,
            "starts": time.fromisoformat(hours["from"]),
            "ends": time.fromisoformat(hours["to"]),
        }


def _once(hours: dict[str, Any]) -> dict[str, Any]:
    return {
        "first": date.fromisoformat(hours["first"]),
        "last": date.fromisoformat(hours["last"]) if "last" in hours else None,
        "weeks": hours.get("weeks", 1),
        "kind": hours.get("kind", "shift"),
        "starts": time.fromisoformat(hours.get("from", "00:00")),
        "ends": time.fromisoformat(hours.get("to", "00:00")),
    }


def _during(written: dict[str, str], zone: ZoneInfo) -> Range[datetime]:
    if "first" in written:  # whole days
        first, last = (date.fromisoformat(written[each]) for each in ("first", "last"))
        slot = whole_days(first, last, zone.key)
        return Range(slot.start, slot.end, bounds="[)")
    return Range(_local(written["from"], zone), _local(written["to"], zone), bounds="[)")


def _local(written: str, zone: ZoneInfo) -> datetime:
    wall = datetime.fromisoformat(written)
    return instant(wall.date(), wall.time(), zone)
