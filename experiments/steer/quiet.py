"""Whether a program has come to rest: the kernel's word on its threads.

A client that neither sends a statement nor ends may wait inside of its program: for a connection,
where the pool has none left, or for a lock of the program's own. From outside that looks like work.
Linux tells what every thread does and how often it was given the processor. Where all of them sleep
and none has been given it between two looks, nothing in the program goes on by itself. A thread to
which something was sent can run as soon as it is sent, so it is not taken for one that sleeps.

A pause looks the same, but for one in the kernel's own sleep. So a client has to have been silent
for longer than its program is said to pause before anybody looks.
"""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

BETWEEN = 0.005
"""Seconds between two looks."""
PAUSE = 1.0
"""Seconds that a program is taken to pause at most, where it says nothing else."""

_ASLEEP = "SZX"  # sleeping until something happens, or ended
_SWITCHES = ("voluntary_ctxt_switches", "nonvoluntary_ctxt_switches")


def of_process(pid: int) -> list[Path]:
    """Return where Linux tells of the threads of a process, and of all that it has started."""
    found: list[Path] = []
    with suppress(OSError):  # it may have ended
        for thread in Path(f"/proc/{pid}/task").iterdir():
            found.append(thread)
            for child in (thread / "children").read_text().split():
                found += of_process(int(child))
    return found


def of_thread(ident: int) -> list[Path]:
    """Return where Linux tells of a thread of this process."""
    return [Path(f"/proc/self/task/{ident}")]


def look(threads: Iterable[Path]) -> dict[Path, str] | None:
    """Return how often each thread was given the processor; None where one is awake.

    None, too, where the system tells nothing of threads.
    """
    seen: dict[Path, str] = {}
    for thread in threads:
        try:
            lines = (thread / "status").read_text().splitlines()
            waits_in = (thread / "wchan").read_text()
        except OSError:
            return None
        told = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
        if told["State"][0] not in _ASLEEP or "nanosleep" in waits_in:
            return None
        seen[thread] = " ".join(told.get(name, "") for name in _SWITCHES)
    return seen or None
