"""The shapes of races are what their names say."""

from __future__ import annotations

from itertools import combinations

import pytest

from experiments.scenes.shapes import SHAPES

CLIENTS = [2, 3, 20, 201]


@pytest.mark.parametrize("clients", CLIENTS)
@pytest.mark.parametrize("name", SHAPES)
def test_every_client_has_a_call(name: str, clients: int) -> None:
    """A race of N clients is one of N clients."""
    assert clients == len(SHAPES[name].scene(clients).calls)


@pytest.mark.parametrize("clients", CLIENTS)
@pytest.mark.parametrize("name", ["same_slot", "overlapping", "same_key"])
def test_where_one_is_booked_all_overlap(name: str, clients: int) -> None:
    """No two of the places could both be booked, or one of N would be too strict."""
    places = {call.place for call in SHAPES[name].scene(clients).calls}
    assert all(one and other and one.overlaps(other) for one, other in combinations(places, 2))


@pytest.mark.parametrize("clients", CLIENTS)
@pytest.mark.parametrize("name", ["adjacent", "other_staff"])
def test_where_all_are_booked_none_overlap(name: str, clients: int) -> None:
    """All of the places can be booked, or everybody would be too much to ask."""
    places = [call.place for call in SHAPES[name].scene(clients).calls]
    assert clients == len(set(places))
    assert not any(one and other and one.overlaps(other) for one, other in combinations(places, 2))


def test_adjacent_slots_touch() -> None:
    """The next one starts where the one before, buffer included, ends."""
    first, second = (call.place for call in SHAPES["adjacent"].scene(2).calls)
    assert first is not None
    assert second is not None
    assert first.blocked.end == second.blocked.start


def test_overlapping_starts_lie_in_different_hours() -> None:
    """A key of staff and start hour is not enough to make even two of them meet."""
    starts = {call.place.start for call in SHAPES["overlapping"].scene(2).calls if call.place}
    assert len({start.hour for start in starts}) == 2


@pytest.mark.parametrize("clients", CLIENTS)
def test_a_swap_moves_every_appointment_onto_another(clients: int) -> None:
    """Each client moves an appointment of its own onto a slot that is taken."""
    scene = SHAPES["swap"].scene(clients)
    assert clients == len({call.existing for call in scene.calls})
    for call in scene.calls:
        assert call.existing is not None
        assert call.place in scene.existing
        assert call.place != scene.existing[call.existing]
