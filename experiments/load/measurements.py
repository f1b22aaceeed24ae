"""What a load's replies amount to: its metrics, under k6's names where k6 has one.

Every reply is one iteration and has one end. So the counters of an operation
(`booking_successes`, `booking_conflicts`, `booking_busy` and `booking_errors`; likewise `cancel_`,
`reschedule_` and `list_`) add up to that operation's iterations, and all sixteen of them to
`iterations`. A success is what was booked, cancelled, moved or listed; whatever is neither that
nor `conflict` nor `busy` is an error. Durations count from when an iteration was due: in a closed
loop that is when its user began it.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np

from experiments.judge.ledger import Judgement
from experiments.load.metrics import Counter, Gauge, Metric, Rate, Trend
from experiments.load.plan import OPERATIONS, Plan
from experiments.load.replies import FIELDS, OUTCOMES

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from experiments.load.share import Part

RECORD = np.dtype([(name, f"<{code}") for name, code in FIELDS.items()])
NOUNS = dict(zip(OPERATIONS, ("booking", "cancel", "reschedule", "list"), strict=True))
ENDS = ("successes", "conflicts", "busy", "errors")
_ERROR = ENDS.index("errors")
_END_OF = {"booked": 0, "replayed": 0, "cancelled": 0, "listed": 0, "conflict": 1, "busy": 2}


def columns(records: Iterable[bytes]) -> NDArray[np.void]:
    """Return the records of all processes as one array, in the order of their starts."""
    replies = np.frombuffer(b"".join(records), RECORD)
    return replies[np.argsort(replies["started"], kind="stable")]


def lasted(replies: NDArray[np.void]) -> float:
    """Return the seconds from the first start to the last end."""
    return int(replies["ended"].max() - replies["started"].min()) / 1e9 if replies.size else 0.0


def measure(
    plan: Plan, parts: Sequence[Part], replies: NDArray[np.void], judgement: Judgement
) -> dict[str, Metric]:
    """Return a load's metrics by name.

    Args:
        plan: What was asked for.
        parts: What each process reports.
        replies: All replies.
        judgement: What the database said about them.
    """
    seconds = lasted(replies)
    vus = sum(part.vus for part in parts)
    return {
        **_operations(replies, seconds),
        **_iterations(replies, seconds),
        "dropped_iterations": _counter(sum(part.dropped for part in parts), seconds),
        "vus": Gauge(vus, min(vus, plan.vus), vus),
        "vus_max": Gauge(plan.most_vus),
        **{name: Gauge(count) for name, count in judgement.as_dict().items()},
        **_release(plan, replies),
        **_client_cpu(sum(part.cpu_s for part in parts), replies.size, seconds),
    }


def blank(plan: Plan) -> dict[str, Metric]:
    """Return the metrics of a load in which nothing happened, to check thresholds beforehand."""
    return measure(plan, [], columns([]), Judgement())


def _operations(replies: NDArray[np.void], seconds: float) -> dict[str, Metric]:
    metrics: dict[str, Metric] = {}
    ends = _ends(replies)
    latency = replies["ended"] - replies["due"]
    for code, noun in enumerate(NOUNS.values()):
        mine = replies["operation"] == code
        counts = np.bincount(ends[mine], minlength=len(ENDS)).tolist()
        for end, count in zip(ENDS, counts, strict=True):
            metrics[f"{noun}_{end}"] = _counter(count, seconds)
        metrics[f"{noun}_duration"] = Trend.of(latency[mine])
    return metrics


def _iterations(replies: NDArray[np.void], seconds: float) -> dict[str, Metric]:
    return {
        "iterations": _counter(replies.size, seconds),
        "iterations_failed": Rate(int((_ends(replies) == _ERROR).sum()), replies.size),
        "iteration_duration": Trend.of(replies["ended"] - replies["due"]),
        "iteration_delay": Trend.of(replies["started"] - replies["due"]),
        "attempts": _counter(int(replies["attempts"].sum(dtype=np.int64)), seconds),
    }


def _ends(replies: NDArray[np.void]) -> NDArray[np.int64]:
    """Return the place of each reply's end in `ENDS`."""
    end_of = np.array([_END_OF.get(outcome, _ERROR) for outcome in OUTCOMES])
    ends: NDArray[np.int64] = end_of[replies["outcome"]]
    return ends


def _counter(count: int, seconds: float) -> Counter:
    return Counter(count, count / seconds if seconds else 0.0)


def _release(plan: Plan, replies: NDArray[np.void]) -> dict[str, Metric]:
    """How far apart the users started, and that as a share of the latency just then."""
    if plan.executor == "constant-arrival-rate":  # they are not meant to meet
        return {}
    firsts = replies[replies["number"] == 1]
    skew_ns = int(np.ptp(firsts["started"])) if firsts.size else 0
    latency_ns = float(np.median(firsts["ended"] - firsts["started"])) if firsts.size else 1.0
    return {
        "release_skew_us": Gauge(skew_ns / 1000),
        "release_skew_share": Gauge(skew_ns / latency_ns),
    }


def _client_cpu(cpu_s: float, iterations: int, seconds: float) -> dict[str, Metric]:
    cores = os.cpu_count() or 1
    return {
        "client_cpu_s": Gauge(cpu_s),
        "client_cpu_us_per_iteration": Gauge(1e6 * cpu_s / iterations if iterations else 0),
        "client_cpu_share": Gauge(cpu_s / (seconds * cores) if seconds else 0),
    }


def outcomes(replies: NDArray[np.void]) -> dict[str, int]:
    """Return how often each operation ended in each outcome, as `book: deadlock`."""
    kinds, counts = np.unique(replies[["operation", "outcome"]], return_counts=True)
    return {
        f"{OPERATIONS[operation]}: {OUTCOMES[outcome]}": int(count)
        for (operation, outcome), count in zip(kinds.tolist(), counts, strict=True)
    }


def in_words(replies: NDArray[np.void]) -> dict[str, Any]:
    """Return the replies as columns for people.

    Returns:
        vu, number (of the user's request), operation, outcome, attempts, staff_id,
        appointment_id, taken_by, due_s and started_s (seconds since the first was due), and
        latency_ms (since it was due itself).
    """
    first = replies["due"].min() if replies.size else 0
    return {
        "vu": replies["vu"],
        "number": replies["number"],
        "operation": np.array(OPERATIONS)[replies["operation"]],
        "outcome": np.array(OUTCOMES)[replies["outcome"]],
        "attempts": replies["attempts"],
        "staff_id": replies["staff_id"],
        "appointment_id": replies["appointment_id"],
        "taken_by": replies["taken_by"],
        "due_s": (replies["due"] - first) / 1e9,
        "started_s": (replies["started"] - first) / 1e9,
        "latency_ms": (replies["ended"] - replies["due"]) / 1e6,
    }
