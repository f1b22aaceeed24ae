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


@pytest.mark.parametrize("clients", CLIENTS)
def test_three_clients_move_one_appointment_and_one_names_somebody(clients: int) -> None:
    """Whoever names nobody wants another time only; two targets are never the same slot."""
    scene = SHAPES["two_moves"].scene(clients)
    places = [call.place for call in scene.calls if call.place]
    assert clients == len({(place.staff // 2, place.start) for place in places})
    for client, call in enumerate(scene.calls):
        assert call.existing is not None
        assert scene.calls[client - client % 3].existing == call.existing
        assert call.keeps_staff == (client % 3 > 0)
        assert call.keeps_staff or call.place not in scene.existing


@pytest.mark.parametrize("clients", CLIENTS)
def test_one_client_can_be_in_one_of_the_first_places_and_in_all_later_ones(clients: int) -> None:
    """With different staff, so that no calendar keeps them apart; later ones begin at once."""
    scene = SHAPES["one_client"].scene(clients)
    places = [call.place for call in scene.calls if call.place]
    later = places[2::3]
    first = [place for place in places if place not in later]
    assert {"one client"} == {call.client_id for call in scene.calls}
    assert clients == len({place.staff for place in places})
    assert all(one.excludes(other) for one, other in combinations(first, 2))
    assert not any(place.excludes(other) for place in later for other in places)
    assert clients < 3 or max(place.during.end for place in first) == later[0].start
    assert len({place.start for place in first}) > 1
