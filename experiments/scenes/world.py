"""A small world of requests, explored as a whole: every pair that could make a difference.

Three people work in two time zones, and offer four services. A client books, lists and books,
cancels or moves; two of them do so at once. Which of their slots overlap, and where on the clock
they lie, is all that a lock can depend on. So for each pair of services the two slots are put into
every relation that intervals can be in (Allen, 1983), for what is promised and for what is blocked,
and across edges at which a name for a lock might change: of an hour, a day here and there and a
month at once, and of a night in which the clocks go back.

Of three clients there is a smaller world: three requests out of a few, in every combination.

Ids and names are chosen so that they meet where somebody joins, lowers or shortens them. Pairs that
differ by a symmetry are one: clients are alike, and a shift in time that crosses no edge is noticed
by nobody.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from difflib import get_close_matches
from functools import partial
from itertools import combinations, combinations_with_replacement, cycle, islice
from typing import TYPE_CHECKING

from experiments.scenes import salon
from experiments.scenes.allen import relation
from experiments.scenes.kept import KEPT
from experiments.scenes.parameters import BadExperiment
from experiments.scenes.places import VISIT, Place, Service
from experiments.scenes.shapes import SHAPES, Call, Scene, Shape

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from sqlalchemy import Connection

MINUTE, HOUR = timedelta(minutes=1), timedelta(hours=1)
GRID = 5 * MINUTE
LONG = Service(1, 150 * MINUTE, before=30 * MINUTE, after=15 * MINUTE)
BRIEF = Service(2, 20 * MINUTE, after=10 * MINUTE)
STAY = Service(3, 26 * HOUR)
SERVICES = (VISIT, LONG, BRIEF, STAY)
# Joined with an hour or a service they meet; lowered or shortened the names do.
STAFF = (
    (1, "Alexandra", "Europe/Berlin"),
    (11, "alexandra", "Asia/Kolkata"),
    (3, "Alexandria", "Europe/Berlin"),
)
SERVICE_IDS = ((1, "Visit"), (11, "Long visit"), (2, "Brief visit"), (3, "Stay"))
EVERYBODY = tuple(range(len(STAFF)))
PAIR = (0, 1)
"""Who offers the brief visit: two are enough for a booking with anybody."""

QUIET = datetime(2030, 1, 7, 9, 5, tzinfo=UTC)
# Where a month begins in UTC, an hour, half a day and a day do, too, and what lasts longer than an
# hour begins before midnight in Berlin.
MONTH, DAYS = "a month", "longer than a day"
EDGES = {
    MONTH: datetime(2030, 2, 1, tzinfo=UTC),
    "the clocks go back": datetime(2030, 10, 27, 1, tzinfo=UTC),
}
LATER = 6 * HOUR

MAIN, CLIENTS, RULES, APART, THREE = (
    "main", "one client", "rules", "processes", "three clients"
)  # fmt: skip
"""The parts of the world: what is written, and so what can matter, differs between them."""


@dataclass(frozen=True, slots=True)
class Pair:
    """Two requests, or three, and what stands before them.

    Attributes:
        name: What commands and counterexamples call it.
        scene: What happens.
        dimension: What of the world it is there for.
        part: Which part of the world it belongs to.
        alike: How many pairs it stands for, itself included.
    """

    name: str
    scene: Scene
    dimension: str
    part: str = MAIN
    alike: int = 1


def make_salon(connection: Connection) -> salon.Salon:
    """Store the world's salon.

    Args:
        connection: To a database with the schema, in a transaction that the caller commits.
    """
    services = [(*named, each) for named, each in zip(SERVICE_IDS, SERVICES, strict=True)]
    offers = {BRIEF.number: PAIR}
    return salon.given(connection, STAFF, services, offers, GRID)


def book(place: Place, key: str | None = None, **more: object) -> Call:
    """A booking."""
    return replace(Call("book", place, key=key), **more)  # type: ignore[arg-type]  # fields, all


def cancel(existing: int = 0) -> Call:
    """A cancel."""
    return Call("cancel", existing=existing)


def move(place: Place, existing: int = 0) -> Call:
    """A move."""
    return Call("reschedule", place, existing)


def at(staff: int, after: timedelta = timedelta(), service: Service = VISIT) -> Place:
    """A place, so long after a quiet morning begins."""
    return Place(staff, QUIET + after, service)


def meetings(one: Service, other: Service) -> dict[tuple[str, str], list[timedelta]]:
    """Return how far apart two slots can begin, by how they then lie to each other.

    Both ways round are one where the services are the same.
    """
    found: dict[tuple[str, str], list[timedelta]] = {}
    reach = one.duration + one.before + one.after + other.duration + other.before + other.after
    first = at(0, service=one)
    for steps in range(-(reach // GRID) - 1, reach // GRID + 2):
        second = at(0, steps * GRID, other)
        lies = relation(first.during, second.during), relation(first.blocked, second.blocked)
        mirrored = relation(second.during, first.during), relation(second.blocked, first.blocked)
        known = mirrored if one == other and mirrored in found else lies
        found.setdefault(known, []).append(steps * GRID)
    return found


def _relations() -> Iterator[Pair]:
    """Two bookings with one person, in every relation, across every edge."""
    for one, other in ((VISIT, VISIT), (VISIT, LONG), (BRIEF, LONG), (LONG, LONG), (VISIT, STAY)):
        stays = STAY in (one, other)
        for lies, offsets in meetings(one, other).items():
            overlap = at(0, service=one).overlaps(at(0, offsets[0], other))
            # Those who overlap as little as they can are those who share the fewest names; but in
            # the middle of a stay lies a day in which it neither begins nor ends.
            apart = max(offsets, key=abs) if overlap and not stays else min(offsets, key=abs)
            for edge, instant in EDGES.items():
                if edge != MONTH and (stays or not overlap):
                    continue
                # The later of the two begins at the edge; where both begin at once, they cross it.
                first = instant - max(apart, timedelta()) if apart else instant - 4 * GRID
                scene = [book(Place(0, first, one)), book(Place(0, first + apart, other))]
                yield Pair(
                    f"{_name(one)}, {_name(other)}: {' and '.join(dict.fromkeys(lies))}, {edge}",
                    Scene([], scene, in_world=True),
                    DAYS if stays else edge,
                    alike=len(offsets) * (2 if one != other else 1),
                )


def _quiet() -> Iterator[Pair]:
    """Two bookings where no edge is near, with each of the three."""
    for staff in EVERYBODY:
        for apart in (timedelta(), 3 * GRID):
            yield _pair(
                f"two visits of {staff}, {apart // MINUTE} minutes apart",
                "people",
                [book(at(staff)), book(at(staff, apart))],
            )


def _others() -> Iterator[Pair]:
    """Two bookings that don't touch each other."""
    for one, other in combinations(EVERYBODY, 2):
        yield _pair(f"visits of {one} and {other}", "people", [book(at(one)), book(at(other))])
    eleven, at_one = QUIET.replace(hour=11, minute=0), QUIET.replace(hour=1, minute=0)
    yield _pair(
        "hours that join with ids alike",
        "people",
        [book(Place(0, eleven)), book(Place(1, at_one))],
    )
    yield _pair(
        "services that join with ids alike",
        "people",
        [book(at(0, service=LONG)), book(at(1, service=VISIT))],
    )


def _befores() -> Iterator[Pair]:
    """Two bookings with one person, of whom something is known already."""
    relations = {"equal": timedelta(), "overlapping": 6 * GRID, "touching": 15 * GRID}
    for name, apart in relations.items():
        calls = [book(at(0)), book(at(0, apart))]
        for before, place in {
            "there": at(0),
            "right before": at(0, -15 * GRID),
            "right after": at(0, apart + 15 * GRID),
        }.items():
            yield _pair(f"{name}, and one is {before}", "before", calls, [place])
        yield _pair(
            f"{name}, and one was cancelled there", "before", calls, [at(0)], cancelled=(0,)
        )
    yield _pair("one is taken, one is free", "before", [book(at(0)), book(at(0, LATER))], [at(0)])


def _keys() -> Iterator[Pair]:
    """Bookings with idempotency keys."""
    here, later = at(0), at(0, LATER)
    for name, calls in {
        "one key, one request": [book(here, "k"), book(here, "k")],
        "one key, another time": [book(here, "k"), book(later, "k")],
        "one key, another person": [book(here, "k"), book(at(1), "k")],
        "one key of two owners": [book(here, "k", scope="a"), book(here, "k", scope="b")],
        "two keys": [book(here, "k"), book(here, "l")],
        "a key and none": [book(here, "k"), book(here)],
    }.items():
        yield _pair(name, "keys", calls)
    known = {0: "k"}
    for name, other in {
        "itself": book(here, "k"),
        "another booking there": book(here),
        "a cancel": cancel(),
        "a move": move(later),
        "another request": book(later, "k"),
    }.items():
        again = [book(here, "k"), other]
        yield _pair(f"a key again, beside {name}", "keys", again, [here], keys=known)
    again = [book(here, "k"), book(here)]
    yield _pair("a key again, cancelled meanwhile", "keys", again, [here], (0,), keys=known)
    spent = [book(here, "k"), book(later, "k")]
    yield _pair("a key after a conflict", "keys", spent, [here])


def _anybody() -> Iterator[Pair]:
    """Bookings with whoever is free, of the two who offer a service."""
    here = [at(staff, service=BRIEF) for staff in PAIR]
    anyone = book(here[0], team=PAIR)
    for name, other in {"anybody": anyone, "one": book(here[0])}.items():
        yield _pair(f"anybody, beside {name}", "anybody", [anyone, other])
        yield _pair(f"the only one left, beside {name}", "anybody", [anyone, other], here[1:])
    yield _pair("nobody left, beside a cancel", "anybody", [anyone, cancel(1)], here)
    later = move(at(1, LATER, BRIEF), 1)
    yield _pair("nobody left, beside a move", "anybody", [anyone, later], here)
    back = [at(0, LATER, BRIEF)]
    yield _pair("anybody, beside a move", "anybody", [anyone, move(here[0])], back)


def _lists() -> Iterator[Pair]:
    """Bookings of what was offered."""
    listed = book(at(0), lists=True)
    yield _pair("two who look at the list", "lists", [listed, listed])
    yield _pair("one looks at the list", "lists", [listed, book(at(0, 6 * GRID))])
    yield _pair("one looks at the list, one cancels", "lists", [listed, cancel()], [at(0)])
    yield _pair("one looks at the list, one moves", "lists", [listed, move(at(0))], [at(0, LATER)])


def _cancels() -> Iterator[Pair]:
    """A cancel, and whatever else."""
    for name, place in {
        "there": at(0),
        "overlapping": at(0, 6 * GRID),
        "where its buffer was": at(0, 12 * GRID),
        "where the set-up needs it": at(0, 15 * GRID, LONG),
        "right after": at(0, 15 * GRID),
        "with another": at(1),
    }.items():
        yield _pair(f"a cancel, and a booking {name}", "cancels", [cancel(), book(place)], [at(0)])
    yield _pair("a cancel, twice", "cancels", [cancel(), cancel()], [at(0)])
    two = [at(0), at(0, LATER)]
    yield _pair("two cancels", "cancels", [cancel(0), cancel(1)], two)
    yield _pair("cancelled already", "cancels", [cancel(), book(at(0))], [at(0)], (0,))
    revived = [move(at(0, LATER)), book(at(0))]
    yield _pair("cancelled already, and moved", "cancels", revived, [at(0)], (0,))
    for name, place in TARGETS.items():
        yield _pair(f"a cancel, and a move {name}", "cancels", [cancel(), move(place)], [at(0)])
        if place != at(0):
            calls = [cancel(1), move(place)]
            two = [at(0), _in_the_way(at(0), place)]
            yield _pair(f"a cancel of what is there, and a move {name}", "cancels", calls, two)


def _in_the_way(here: Place, there: Place) -> Place:
    """Where another appointment can stand that is in the way of a move from here to there."""
    return replace(here, start=here.start + 15 * GRID) if here.overlaps(there) else there


TARGETS = {
    "overlapping itself": at(0, 6 * GRID),
    "to a later time": at(0, LATER),
    "to another": at(1),
    "to another, later": at(1, LATER),
    "onto itself": at(0),
}


def _moves() -> Iterator[Pair]:
    """A move, and whatever else."""
    ways = [(name, at(0), there) for name, there in TARGETS.items()]
    ways += [
        (f"back {name}", replace(here, staff=there.staff), replace(there, staff=here.staff))
        for name, here, there in ways
        if there.staff != here.staff
    ]
    for name, here, there in ways:
        for what, other, more in _beside(here, there):
            yield _pair(f"a move {name}, and {what}", "moves", [move(there), other], [here, *more])


def _beside(here: Place, there: Place) -> Iterator[tuple[str, Call, list[Place]]]:
    """What else may happen when something is moved from here to there."""

    def shifted(place: Place, steps: int, service: Service = VISIT) -> Place:
        return replace(place, start=place.start + steps * GRID, service=service)

    yield "a booking there", book(there), []
    yield "a booking that overlaps", book(shifted(there, 6)), []
    yield "a booking in its buffer", book(shifted(there, 12)), []
    yield "a booking whose set-up needs it", book(shifted(there, 15, LONG)), []
    if there != here:
        yield "a booking where it was", book(here), []
    yield "a booking far away", book(shifted(there, 120)), []
    if there == here:
        return
    away = move(shifted(there, 120), 1)
    yield "a move out of there", away, [_in_the_way(here, there)]
    for whose in EVERYBODY[:2]:
        elsewhere = shifted(replace(there, staff=whose), 60)
        yield f"a move of {whose}'s to there", move(there, 1), [elsewhere]
        yield f"a move of {whose}'s to where it was", move(here, 1), [elsewhere]
    if there.overlaps(here):
        return
    yield "a move the other way", move(here, 1), [there]
    yield "a move that loses, and a booking where it was", book(here), [there]
    crossing = move(replace(shifted(there, 60), staff=here.staff), 1)
    yield "a move that crosses it", crossing, [shifted(there, 120)]


def _two_moves() -> Iterator[Pair]:
    """Two moves of one appointment."""
    for (one, here), (other, there) in combinations_with_replacement(TARGETS.items(), 2):
        yield _pair(f"moved {one}, and {other}", "moves of one", [move(here), move(there)], [at(0)])
    kept = replace(move(at(0, LATER)), keeps_staff=True)
    yield _pair("moved to another, and later", "moves of one", [move(at(1)), kept], [at(0)])


def _clients() -> Iterator[Pair]:
    """One client, who can't be in two places."""
    me = {"client_id": "one client"}
    for name, place in {
        "at once": at(1),
        "overlapping": at(1, 6 * GRID),
        "right after": at(1, 12 * GRID),
        "at once, for long": at(1, service=LONG),
        "with the same person": at(0, 6 * GRID),
    }.items():
        calls = [book(at(0), **me), book(place, **me)]
        yield _pair(f"one client, {name}", "one client", calls, part=CLIENTS)
    there = {0: "one client"}
    for name, other in {
        "a booking": book(at(1, LATER), **me),
        "somebody else's booking": book(at(0, LATER), client_id="another"),
    }.items():
        calls = [move(at(0, LATER)), other]
        moved = f"a client's move, and {name}"
        yield _pair(moved, "one client", calls, [at(0)], whose=there, part=CLIENTS)


def _closing() -> Iterator[Pair]:
    """A day off that is entered meanwhile."""
    close = Call("close", at(0, -HOUR, LONG))
    for name, other, before in (
        ("a booking then", book(at(0)), []),
        ("a booking at another time", book(at(0, LATER)), []),
        ("a booking with another", book(at(1)), []),
        ("a move into it", move(at(0)), [at(0, LATER)]),
        ("a cancel", cancel(), [at(0)]),
    ):
        yield _pair(f"time off, and {name}", "rules", [close, other], before, part=RULES)


def _processes() -> Iterator[Pair]:
    """Two clients in processes of their own, who share no memory."""
    calls = {
        "one slot": [book(at(0)), book(at(0))],
        "one key": [book(at(0), "k"), book(at(0), "k")],
        "two people": [book(at(0)), book(at(1))],
    }
    for name, both in calls.items():
        yield _pair(f"two processes, {name}", "processes", both, part=APART)


def _pair(  # noqa: PLR0913 - a scene has as many parts
    name: str,
    dimension: str,
    calls: list[Call],
    existing: Iterable[Place] = (),
    cancelled: Iterable[int] = (),
    *,
    part: str = MAIN,
    **more: dict[int, str],
) -> Pair:
    scene = Scene(
        list(existing), calls, frozenset(cancelled), in_world=True, apart=part == APART, **more
    )
    return Pair(name, scene, dimension, part, alike=2 if calls[0] != calls[1] else 1)


def _name(service: Service) -> str:
    return SERVICE_IDS[service.number][1].lower()


FAMILIES: tuple[Callable[[], Iterator[Pair]], ...] = (
    _quiet,
    _relations,
    _others,
    _befores,
    _keys,
    _anybody,
    _lists,
    _cancels,
    _moves,
    _two_moves,
    _clients,
    _closing,
    _processes,
)


_THREE: dict[str, Call] = {
    "book it": book(at(0)),
    "book beside it": book(at(0, LATER)),
    "book what overlaps": book(at(0, 6 * GRID)),
    "book with another": book(at(1)),
    "cancel": cancel(),
    "move there": move(at(0)),
    "move to another": move(at(1)),
}
"""What each of three may ask for, where one place is free and in another an appointment stands."""


def _triples() -> Iterator[Pair]:
    """Three requests at once, for what two can't show: all that can be made of a few."""
    there, here = book(at(0, LATER)), book(at(0))
    scenes: dict[str, tuple[list[Call], list[Place]]] = {
        # Without an appointment there is nothing to cancel, and nothing in the way.
        ", ".join(names): ([_THREE[name] for name in names], [at(0, LATER)])
        for names in combinations_with_replacement(_THREE, 3)
    }
    scenes["cancel, and twice book its slot"] = [cancel(), here, here], [at(0)]
    scenes["twice book one slot, once another"] = [there, here, here], []
    for name, (calls, before) in scenes.items():
        yield _pair(f"three: {name}", THREE, calls, before, part=THREE)


TRIPLES: dict[str, Pair] = {each.name: each for each in _triples()}
WORLD: dict[str, Pair] = {pair.name: pair for family in FAMILIES for pair in family()}
EVERYTHING = {**WORLD, **TRIPLES}

DIMENSIONS = tuple(dict.fromkeys(pair.dimension for pair in WORLD.values()))


def find_shape(name: str, clients: int) -> Shape:
    """Return a shape of a race, or a pair of requests as one.

    Args:
        name: A name of `SHAPES`, `KEPT` or `EVERYTHING`.
        clients: How many are to take part. They make a pair's requests in turns.

    Raises:
        BadExperiment: There is none of that name, or not for so few.
    """
    if name in SHAPES:
        return SHAPES[name]
    pair = KEPT[name].pair if name in KEPT else name
    if pair not in EVERYTHING:
        known = [*SHAPES, *KEPT, *EVERYTHING]
        near = "; ".join(map(repr, get_close_matches(name, known, n=3))) or "none is like it"
        raise BadExperiment(
            f"There is no shape {name!r}: {near}. `booking-lab shapes` lists them all."
        )
    scene = EVERYTHING[pair].scene
    if clients < len(scene.calls):
        raise BadExperiment(
            f"{name!r} has {len(scene.calls)} requests, too many for {clients} client(s)."
        )
    return Shape(name, pair, "some order of them explains it", partial(_in_turns, scene))


def _in_turns(scene: Scene, clients: int) -> Scene:
    """Return a scene in which so many clients make the calls, one after the other and again."""
    return replace(scene, calls=list(islice(cycle(scene.calls), clients)))


def title_of(name: str) -> str:
    """Return what pictures call a shape or a pair."""
    return SHAPES[name].title if name in SHAPES else name
