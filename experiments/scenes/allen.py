"""The thirteen relations that two intervals can be in (J. F. Allen, 1983)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from booking_core.slots import Slot

_MIRRORED = {
    "before": "after",
    "meets": "met by",
    "overlaps": "overlapped by",
    "starts": "started by",
    "during": "contains",
    "finishes": "finished by",
}


def relation(one: Slot, other: Slot) -> str:
    """Say how one interval lies to another."""
    if (one.start, one.end) == (other.start, other.end):
        return "equals"
    found = _one_way(one, other)
    return found or _MIRRORED[_one_way(other, one)]


def _one_way(one: Slot, other: Slot) -> str:
    """Say how one lies to another; empty where it is the other that lies so to the one."""
    if one.end <= other.start:
        return "meets" if one.end == other.start else "before"
    if one.start == other.start:
        return "starts" if one.end < other.end else ""
    if one.end == other.end:
        return "finishes" if one.start > other.start else ""
    if one.start < other.start < one.end < other.end:
        return "overlaps"
    return "during" if other.start < one.start and one.end < other.end else ""
