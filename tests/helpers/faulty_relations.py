"""Faults in the relation of steps that commute: each makes a reduced search blind to something."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any

from experiments.explore import independence, reversals
from experiments.explore.independence import Footprint, Ledger, Lock
from experiments.sql.statements import ALL, Statement

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from experiments.steer.turn import Turn

    Fault = Callable[[pytest.MonkeyPatch], None]


def _footprint(**changed: Callable[[Footprint], Any]) -> Fault:
    """Something of every footprint is told wrongly."""
    honest = Ledger._alone  # noqa: SLF001 - what is made faulty

    def told(self: Ledger, turn: Turn, *, may_fail: bool) -> Footprint:
        found = honest(self, turn, may_fail=may_fail)
        return replace(found, **{name: made(found) for name, made in changed.items()})

    return lambda patch: patch.setattr(Ledger, "_alone", told)


def _no_lock(kind: str) -> Fault:
    """Locks of a kind are in nobody's way."""
    honest = independence._conflict  # noqa: SLF001 - as above

    def conflict(one: Lock, other: Lock) -> bool:
        return one.kind != kind and honest(one, other)

    return lambda patch: patch.setattr(independence, "_conflict", conflict)


def _put(owner: object, name: str, value: object) -> Fault:
    return lambda patch: patch.setattr(owner, name, value)


def _of_some_columns(self: Statement, table: str, columns: frozenset[str]) -> bool:
    return table in self.tables and ALL in columns


def _ends(name: str) -> Fault:
    """What an end of a transaction does is not told."""
    return _footprint(
        **{
            name: lambda found: (
                getattr(found, name)
                if found.asks or not found.last
                else type(getattr(found, name))()
            )
        }
    )


FAULTS: dict[str, Fault] = {
    "rows are in nobody's way": _no_lock("row"),
    "FOR SHARE lets UPDATE in": _put(independence, "_ROW_CONFLICT", 6),
    "tables are in nobody's way": _no_lock("table"),
    "advisory locks are in nobody's way": _no_lock("advisory"),
    "what is drawn matters to nobody": _no_lock("draw"),
    "nobody sees what is committed": _put(independence, "_sees", lambda *_: False),
    "snapshots are not taken": _footprint(snapshot=lambda _: False),
    "statements look at nothing": _footprint(reads=lambda _: ()),
    "SERIALIZABLE is like the others": _footprint(serializable=lambda _: False),
    "commits publish nothing": _ends("publishes"),
    "ends let nothing go": _ends("lets_go"),
    "changed columns are seen by nobody": _put(Statement, "reads", _of_some_columns),
    "rows that are known differ": _put(
        independence, "distinct", lambda one, other: bool(dict(one).keys() & dict(other).keys())
    ),
    "foreign keys lock nothing": _put(independence, "KEY_SHARE", 0),
    "everybody is patient": _footprint(patient=lambda _: True),
    "to wait is to be seen by nobody, whatever was looked at": _put(
        reversals,
        "only_waits",
        lambda holder, asker: any(
            independence._conflict(had, asked)  # noqa: SLF001 - as above
            for had in holder.lets_go
            for asked in asker.asks
        ),
    ),
}
"""For each fault what puts it in."""
