"""A virtual user asks for what the plan says, and touches only what it booked itself."""

from __future__ import annotations

from collections import Counter
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import make_url

from booking_core.errors import BookingConflict, OutcomeUnknown
from booking_core.slots import Slot
from booking_core.strategies import DEFAULT
from experiments.load.executors import SECOND, clock
from experiments.load.measurements import columns, in_words
from experiments.load.plan import Plan
from experiments.load.replies import Replies
from experiments.load.share import Share
from experiments.load.users import PlainUser
from experiments.load.workload import Workload
from experiments.scenes.places import STEP
from experiments.scenes.shapes import OPENING

STAFF = list(range(11, 21))


class Service:
    """Answers at once, and remembers who stands where."""

    def __init__(self) -> None:
        self.confirmed: set[int] = set()
        self.given = 0
        self.raises: Exception | None = None

    def book(self, **_: object) -> Any:  # noqa: ANN401 - as much of a Booking as is read
        """Book anything."""
        if self.raises:
            raise self.raises
        self.given += 1
        self.confirmed.add(self.given)
        return SimpleNamespace(attempts=1, appointment=SimpleNamespace(id=self.given))

    def reschedule(self, own_id: int, **_: object) -> Any:  # noqa: ANN401 - as above
        """Move what stands."""
        assert own_id in self.confirmed
        return SimpleNamespace(attempts=2, appointment=SimpleNamespace(id=own_id))

    def cancel(self, own_id: int) -> None:
        """Cancel what stands."""
        if self.raises:
            raise self.raises
        self.confirmed.remove(own_id)

    def free_slots(self, *_: object) -> list[object]:
        """Offer nothing."""
        return []


def _iterate(service: Service, times: int, *, seed: int = 1, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401 - Plan's
    plan = Plan(seed=seed, staff=len(STAFF), **parameters)
    share = Share(make_url("postgresql://"), DEFAULT(), plan, 0, STAFF, [1])
    replies = Replies()
    user = PlainUser(0, share, service, Workload(plan, STAFF), replies)  # type: ignore[arg-type]  # a stand-in
    for _ in range(times):
        user.iterate(clock())
    return in_words(columns([replies.records()]))


MIX = {"book": 2, "cancel": 1, "reschedule": 1, "list": 1}


def test_a_mix_is_drawn_by_its_weights_and_whoever_has_nothing_books() -> None:
    """The stand-in refuses to cancel or move what does not stand any more."""
    service = Service()
    told = _iterate(service, 2000, skew="uniform", mix=MIX)
    counts = Counter(told["operation"])
    assert told["operation"][0] in ("book", "list")
    assert set(told["outcome"]) == {"booked", "cancelled", "listed"}
    assert counts["list"] == pytest.approx(400, rel=0.15)
    assert counts["reschedule"] == pytest.approx(counts["cancel"], rel=0.2)
    assert len(service.confirmed) == counts["book"] - counts["cancel"]


def test_a_seed_repeats_what_is_asked() -> None:
    """Another one asks for something else."""
    told = [
        list(_iterate(Service(), 50, skew="zipf", mix=MIX, seed=seed)["staff_id"])
        for seed in (1, 1, 2)
    ]
    assert told[0] == told[1] != told[2]


def test_skews_say_which_calendars_are_asked_for() -> None:
    """One slot, the n-th staff member 1/n times as often as the first, or all equally."""
    popular = {}
    for skew in ("one_slot", "zipf", "uniform"):
        workload, source = Workload(Plan(skew=skew, days=1), STAFF), Random(1)
        targets = [workload.target(source) for _ in range(20_000)]
        popular[skew] = Counter(target.staff_id for target in targets)
        starts = {target.instant for target in targets}
        assert len(starts) == (1 if skew == "one_slot" else 96)
        assert all(OPENING <= start < OPENING + 96 * STEP for start in starts)
    assert {STAFF[0]: 20_000} == popular["one_slot"]
    first = popular["zipf"][STAFF[0]]
    for rank, staff_id in enumerate(STAFF, 1):
        assert popular["zipf"][staff_id] == pytest.approx(first / rank, rel=0.15)
        assert popular["uniform"][staff_id] == pytest.approx(2000, rel=0.15)


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        (BookingConflict(Slot(OPENING, OPENING + STEP), 7), "conflict"),
        (OutcomeUnknown("lost"), "unknown"),
        (RuntimeError("nonsense"), "error"),
    ],
)
def test_whatever_a_call_raises_is_a_reply(raised: Exception, outcome: str) -> None:
    """Nothing ends a load; a conflict is kept with the rival that it named."""
    service = Service()
    service.raises = raised
    told = _iterate(service, 1)
    assert [outcome] == list(told["outcome"])
    assert [7 if outcome == "conflict" else 0] == list(told["taken_by"])


def test_an_appointment_in_doubt_is_not_touched_again() -> None:
    """Its later replies could not be judged."""
    plan = Plan(skew="uniform", mix={"cancel": 1}, staff=len(STAFF))
    share = Share(make_url("postgresql://"), DEFAULT(), plan, 0, STAFF, [1])
    service, replies = Service(), Replies()
    user = PlainUser(0, share, service, Workload(plan, STAFF), replies)  # type: ignore[arg-type]  # a stand-in
    user.iterate(clock())
    service.raises = OutcomeUnknown("lost")
    user.iterate(clock())
    service.raises = None
    user.iterate(clock())
    assert list(in_words(columns([replies.records()]))["operation"]) == ["book", "cancel", "book"]


def test_a_late_start_is_kept_beside_when_it_was_due() -> None:
    """The user does not move the instant from which its latency counts."""
    plan = Plan()
    share = Share(make_url("postgresql://"), DEFAULT(), plan, 0, STAFF, [1])
    replies = Replies()
    due = clock() - SECOND
    PlainUser(0, share, Service(), Workload(plan, STAFF), replies).iterate(due)  # type: ignore[arg-type]  # a stand-in
    (told,) = columns([replies.records()])
    assert told["due"] == due
    assert due + SECOND <= told["started"] <= told["ended"]
