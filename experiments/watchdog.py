"""What a process leaves behind is cleared away, however the process ended.

A process that starts a server or fills a scratch folder can't promise to clean up: it may be
killed with -9. So it first starts a watchdog, a process in a session of its own, and holds the
one write end of a pipe that the watchdog reads. Through it goes, after every change, the list
of what is guarded: process groups and folders. When the owner is gone, in whatever way, the
kernel closes the write end, the watchdog reads the end of the file, ends the groups and removes
the folders. Neither signals nor polling is involved, and it works on every Unix.

The trap is the write end: whoever else holds a copy of it keeps the watchdog waiting. Programs
that the owner starts don't (Python's descriptors aren't inherited through exec), but a child
forked without exec, as multiprocessing makes them, does. It therefore closes its copy at once.

This file is also the program that the watchdog runs: it imports the standard library only.
"""

import atexit
import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

PREFIX = "booking-lab-"
"""How the name of every scratch folder begins."""

PATIENCE_SECONDS = 3.0
"""How long a process group may take to end before it is killed."""


class _Watchdog:
    """The owner's side: one watchdog process, and the list that it was last told."""

    def __init__(self) -> None:
        read, self._write = os.pipe()
        try:
            self._process = subprocess.Popen(  # noqa: S603 - this file, by this interpreter
                [sys.executable, "-I", "-S", __file__],
                stdin=read,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                start_new_session=True,
            )
        finally:
            os.close(read)
        self._groups: list[int] = []
        self._folders: list[str] = []
        atexit.register(self.finish)

    def guard(self, *, group: int | None = None, folder: Path | None = None) -> None:
        if group is not None:
            self._groups.append(group)
        if folder is not None:
            self._folders.append(str(folder))
        self._tell()

    def release(self, *, group: int | None = None, folder: Path | None = None) -> None:
        self._groups = [kept for kept in self._groups if kept != group]
        self._folders = [kept for kept in self._folders if kept != str(folder)]
        self._tell()

    def _tell(self) -> None:
        # A dead watchdog is no reason to fail: the owner still cleans up when it ends in order.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._write, json.dumps([self._groups, self._folders]).encode() + b"\n")

    def finish(self) -> None:
        """Let the watchdog clear everything away now, and wait for it."""
        self.abandon()
        self._process.wait()

    def abandon(self) -> None:
        """Close this process's write end."""
        atexit.unregister(self.finish)
        os.close(self._write)


_watchdogs: list[_Watchdog] = []  # none or one: started when first needed


def _watchdog() -> _Watchdog:
    if not _watchdogs:
        _watchdogs.append(_Watchdog())
    return _watchdogs[0]


def _forget_parents_watchdog() -> None:
    while _watchdogs:
        _watchdogs.pop().abandon()


os.register_at_fork(after_in_child=_forget_parents_watchdog)


def scratch_folder(within: Path | None = None) -> Path:
    """Make a folder that is removed when this process ends, killed with -9 included.

    Args:
        within: The folder to make it in; the system's folder for temporary files by default.

    Returns:
        The folder, empty, for this user only (mode 0700), its name beginning with `PREFIX`.
    """
    folder = (within or Path(tempfile.gettempdir())) / f"{PREFIX}{secrets.token_hex(4)}"
    # Guarded before it is made: the other way round a kill in between would leave it.
    _watchdog().guard(folder=folder)
    folder.mkdir(mode=0o700)
    return folder


def remove_scratch_folder(folder: Path) -> None:
    """Remove a scratch folder before this process ends.

    Args:
        folder: What `scratch_folder` returned.
    """
    _remove(folder)
    _watchdog().release(folder=folder)


def guard_group(group: int) -> None:
    """End a process group (SIGQUIT, SIGKILL if it lingers) when this process ends.

    Args:
        group: The group's id: the process id of a child started with `start_new_session=True`.
    """
    _watchdog().guard(group=group)


def release_group(group: int) -> None:
    """Guard a process group no longer, because it has ended.

    Args:
        group: What `guard_group` was given.
    """
    _watchdog().release(group=group)


def _remove(folder: Path) -> None:
    # A dying process may still write into the folder while it is being emptied.
    deadline = time.monotonic() + PATIENCE_SECONDS
    while folder.exists() and time.monotonic() < deadline:
        shutil.rmtree(folder, ignore_errors=True)


def _end(groups: list[int]) -> None:
    # SIGQUIT lets PostgreSQL end its children and give back shared memory; SIGKILL wouldn't.
    for number in (signal.SIGQUIT, signal.SIGKILL):
        deadline = time.monotonic() + PATIENCE_SECONDS
        groups = [group for group in groups if _signal(group, number)]
        while groups and time.monotonic() < deadline:
            time.sleep(0.01)
            groups = [group for group in groups if _signal(group, 0)]


def _signal(group: int, number: int) -> bool:
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):
        return False
    return True


def _watch() -> None:
    # The watchdog ends when its owner has ended, not before.
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    groups: list[int] = []
    folders: list[str] = []
    for line in sys.stdin:
        # A last line that was cut off by a kill changes nothing: the line before it holds.
        with contextlib.suppress(json.JSONDecodeError):
            groups, folders = json.loads(line)
    _end(groups)
    for folder in folders:
        _remove(Path(folder))


if __name__ == "__main__":
    _watch()
