"""The load page's experiments on a real server, small: controls are caught, sound ones are not."""

from __future__ import annotations

from booking_core.strategies import Strategy
from booking_core.strategies.advisory import Advisory
from experiments.bench.throughput import measure
from experiments.load.endurance import endure
from experiments.load.rush import rush
from experiments.scenes.exhibits import StaleSnapshot
from experiments.show.verdicts import Verdicts


class FromTheFuture(Strategy):
    """A strategy that no server can run yet."""

    name = "from_the_future"
    minimum_server = 990000


def test_a_mixed_load_clears_the_sound_and_catches_the_control() -> None:
    """Safety and honest replies under books, cancels and moves; the same judge sees an exhibit."""
    seen = endure(
        [Advisory, FromTheFuture], [StaleSnapshot], requests=150, control_requests=1000, vus=8
    )

    verdicts = Verdicts("test")
    seen.record(verdicts)
    assert [each.held for each in verdicts.all] == [True] * 5, verdicts.all
    # The requests of those that can't run are made by the others.
    assert list(seen.skipped) == [FromTheFuture.name]
    sound, control = seen.frame.to_dict("records")
    assert sound["requests"] == 152  # every user makes as many, so 150 are rounded up
    ends = ("booked", "cancelled", "moved", "listed", "conflicts", "busy", "errors")
    assert sum(sound[each] for each in ends) == sound["requests"]
    assert control["requests"] == 1000
    assert control["double_bookings"] > 0


def test_a_rush_holds_the_origins_thresholds_and_its_control_fails_them() -> None:
    """No lost sale, no double booking, and thresholds that can fail."""
    seen = rush("advisory", "no_lock", users=20, rounds=2)

    verdicts = Verdicts("test")
    seen.record(verdicts)
    assert [each.held for each in verdicts.all] == [True, True], verdicts.all
    assert "booking_conflicts:count==19" in [each.written for each in seen.thresholds]
    assert "✓ 'count==19' count=19" in seen.text()
    assert "release skew, ms" in list(seen.table()["measured"])


def test_a_rush_with_a_broken_strategy_does_not_hold() -> None:
    """An exhibit under test fails the claim; a sound control that fails nothing is told."""
    seen = rush("no_lock", "advisory", users=20)

    verdicts = Verdicts("test")
    seen.record(verdicts)
    assert [each.held for each in verdicts.all] == [False, False]
    assert "booking_successes:count==1" in verdicts.all[0].evidence


def test_curves_have_a_point_for_every_number_of_clients() -> None:
    """The service and pgbench, measured in one run; what is stored is what was replied."""
    seen = measure(
        ["function"], ["statements"],
        workloads=["hot_slot"], clients=[2], rounds=1, seconds=1, warm_seconds=0, staff=2,
    )  # fmt: skip

    curves = seen.curves()
    assert list(curves["contender"] + " " + curves["clients"].astype(str)) == [
        "pgbench:statements 2",
        "service:function 2",
    ]
    assert (curves["per_second"] > 0).all()
    assert set(seen.table()["contender"]) == {"pgbench: statements", "function"}
    verdicts = Verdicts("test")
    seen.record(verdicts)
    assert [each.held for each in verdicts.all] == [True]
    assert "hot slot, service:function" in seen.worded("per_second", "a second")
