"""A load's summary: as text, the way k6 ends a test, and as the JSON that k6 hands over.

The JSON has the shape of k6's `handleSummary` data, so that what reads the one reads the other:
`metrics` with `type`, `contains`, `values` and `thresholds`, and `state`, `options` and
`root_group`. What k6 has no place for stands beside them under `load`. A threshold that names
several metrics is listed under the first of them. As with k6, what was never measured is left
out.

k6's manual: Results output, End of test, Custom summary.
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from experiments.load.measurements import NOUNS
from experiments.load.metrics import TREND_STATS, Counter, Metric, Rate, Trend

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from experiments.load.load import LoadResult
    from experiments.load.thresholds import Threshold

_WIDTH = 30  # of a name and the dots after it


def as_dict(result: LoadResult, thresholds: Sequence[Threshold] = ()) -> dict[str, Any]:
    """Return the summary for programs, in the shape of k6's."""
    return {
        "metrics": {
            name: {
                "type": metric.kind,
                "contains": metric.contains,
                "values": metric.values(),
                **_conditions(name, result, thresholds),
            }
            for name, metric in _measured(result, thresholds)
        },
        "state": {
            "isStdOutTTY": sys.stdout.isatty(),
            "isStdErrTTY": sys.stderr.isatty(),
            "testRunDurationMs": result.seconds * 1000,
        },
        "options": {
            "summaryTrendStats": list(TREND_STATS),
            "summaryTimeUnit": "",
            "noColor": False,
        },
        "root_group": {"name": "", "path": "", "id": "", "groups": [], "checks": []},
        "load": {
            "strategy": result.strategy,
            "plan": asdict(result.plan),
            "outcomes": result.outcomes,
            "details": result.details,
            "server": result.settings,
        },
    }


def as_text(result: LoadResult, thresholds: Sequence[Threshold] = ()) -> str:
    """Return the summary for people: thresholds first, then the metrics."""
    return "\n".join(_lines(result, thresholds))


def _lines(result: LoadResult, thresholds: Sequence[Threshold]) -> Iterator[str]:
    if thresholds:
        yield "  █ THRESHOLDS\n"
    for name in dict.fromkeys(threshold.name for threshold in thresholds):
        yield f"    {name}"
        yield from (f"    {_verdict(each, result)}" for each in thresholds if each.name == name)
        yield ""
    yield "  █ TOTAL RESULTS\n"
    for name, metric in _measured(result, thresholds):
        yield f"    {name:.<{_WIDTH}}: {_values(metric)}"
    if result.details:
        yield "\n  █ FIRST ERROR OF EACH KIND\n"
        yield from (f"    {kind}: {detail}" for kind, detail in result.details.items())


def _verdict(threshold: Threshold, result: LoadResult) -> str:
    mark = "✓" if threshold.holds(result.metrics) else "✗"
    # Like k6, which does not repeat the metric's name.
    own = f"{threshold.name}:" if threshold.condition != threshold.written else ""
    seen = " ".join(
        f"{side.removeprefix(own)}={value:.10g}"
        for side, value in threshold.seen(result.metrics).items()
    )
    return f"{mark} '{threshold.condition}' {seen}"


def _measured(result: LoadResult, thresholds: Sequence[Threshold]) -> Iterator[tuple[str, Metric]]:
    """Yield what was measured; of operations that nobody asked for, only what is named."""
    named = {threshold.name for threshold in thresholds}
    idle = [
        noun
        for operation, noun in NOUNS.items()
        if not any(key.startswith(f"{operation}:") for key in result.outcomes)
    ]
    for name, metric in result.metrics.items():
        empty = isinstance(metric, Trend) and not metric.count
        if not empty and (name in named or name.partition("_")[0] not in idle):
            yield name, metric


def _conditions(
    name: str, result: LoadResult, thresholds: Sequence[Threshold]
) -> dict[str, dict[str, dict[str, bool]]]:
    mine = {
        threshold.condition: {"ok": threshold.holds(result.metrics)}
        for threshold in thresholds
        if threshold.name == name
    }
    return {"thresholds": mine} if mine else {}


def _values(metric: Metric) -> str:
    values = metric.values()
    match metric:
        case Trend():
            return " ".join(f"{key}={_duration(ms):<9}" for key, ms in values.items()).rstrip()
        case Counter():
            return f"{metric.count:<9} {metric.rate:.6g}/s"
        case Rate():
            return f"{values['rate']:<9.2%} {metric.passes} out of {metric.cases}"
    return f"{values['value']:<9.6g} min={values['min']:<9.6g} max={values['max']:.6g}"


def _duration(milliseconds: float) -> str:
    if milliseconds < 1:
        return f"{milliseconds * 1000:.4g}µs"
    if milliseconds < 1000:  # noqa: PLR2004 - a second
        return f"{milliseconds:.4g}ms"
    return f"{milliseconds / 1000:.4g}s"
