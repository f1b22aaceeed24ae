"""What clients ask for, in words."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.scenes.places import VISIT
from experiments.scenes.shapes import OPENING

if TYPE_CHECKING:
    from experiments.scenes.places import Place
    from experiments.scenes.shapes import Call


def asked(call: Call) -> str:
    """Say what a call asks for."""
    what = call.operation if call.existing is None else f"{call.operation} of {call.existing}"
    what = "list, then book" if call.lists else what
    where = ""
    if call.place:
        when, how_long = f" at {_when(call.place)}", _how_long(call.place)
        if call.team:
            where = f" anybody{when}{how_long}"
        else:
            where = when if call.keeps_staff else f" {where_it_is(call.place)}"
    whose = f" for {call.client_id}" if call.client_id else ""
    scope = f" of {call.scope}" if call.scope else ""
    return f"{what}{where}{whose}" + (f" with the key {call.key!r}{scope}" if call.key else "")


def where_it_is(place: Place) -> str:
    """Say where an appointment is."""
    return f"staff {place.staff} at {_when(place)}{_how_long(place)}"


def _when(place: Place) -> str:
    """The time, and the day where it is another one than in shapes."""
    format_ = "%H:%M" if place.start.date() == OPENING.date() else "%-d %b %H:%M"
    return f"{place.start:{format_}}"


def _how_long(place: Place) -> str:
    if place.service == VISIT:
        return ""
    minutes = int(place.service.duration.total_seconds() // 60)
    return f" for {minutes // 60} hours" if minutes % 60 == 0 else f" for {minutes} minutes"
