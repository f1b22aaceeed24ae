"""A calibration made by hand, with round numbers, for tests without a server."""

from __future__ import annotations

from experiments.model.calibration import Calibration, Machine, Recorded, Rests, Way
from experiments.model.scripts import Script, Step
from experiments.model.times import Times

MS = 0.001


def steps(*statements: tuple[str, float]) -> tuple[Step, ...]:
    """Make a round trip of statements with their milliseconds; LOCK is where rivals meet."""
    return tuple(Step(sql, Times.always(ms * MS), sql == "LOCK") for sql, ms in statements)


TOGETHER = Script((steps(("BEGIN", 0), ("LOCK", 0.1), ("CLAIM", 0.4), ("COMMIT", 0.5)),))
LOOKED = Script((steps(("BEGIN", 0), ("LOCK", 0.1), ("CLAIM", 0.2), ("COMMIT", 0)),))
HELD = Script(
    (
        steps(("BEGIN", 0), ("LOCK", 0.1), ("LOOK", 0.2)),
        steps(("INSERT", 0.2), ("COMMIT", 0.5)),
    ),
    hold_before=1,
)
HELD_LOST = Script(
    (steps(("BEGIN", 0), ("LOCK", 0.1), ("LOOK", 0.2)), steps(("COMMIT", 0))), hold_before=None
)
OPTIMISTIC = Script((steps(("BEGIN", 0), ("LOOK", 0.2)), steps(("INSERT", 0.3), ("COMMIT", 0.5))))
OPTIMISTIC_LOST = Script((steps(("BEGIN", 0), ("LOOK", 0.2)), steps(("COMMIT", 0))))


def machine(**numbers: float) -> Machine:
    """Make a machine on which nothing but statements takes time, unless it is said so."""
    free = dict.fromkeys(
        ("server_s", "wake_s", "commit_s", "flush_cpu", "proxy_s", "late_s", "oversleep_s"), 0.0
    )
    fields = {**free, "handover_s": 0.0, **numbers}
    return Machine(cores=2, rests=Rests(), **fields)  # type: ignore[arg-type]  # floats all of them


def calibration(**numbers: float) -> Calibration:
    """Make a calibration of three strategies: one waits, one tries, one is optimistic."""
    way = Way(Times.always(0.1 * MS), Times.always(0.1 * MS))
    waits = Recorded(TOGETHER, LOOKED, HELD, HELD_LOST, way, way)
    optimistic = Recorded(
        OPTIMISTIC, OPTIMISTIC_LOST, OPTIMISTIC, OPTIMISTIC_LOST, way, way, vain_s=0.1 * MS
    )
    recorded = {"advisory": waits, "staff_row_nowait": waits, "serializable": optimistic}
    return Calibration(machine(**numbers), recorded, {"system": "a test"})
