"""What a process leaves behind is cleared away, however the process ended.

A process that starts a server or fills a scratch folder can't promise to clean up: it may be
killed with -9. So it first starts a watchdog, a process in a session of its own, and holds the
one write end of a pipe that the watchdog reads. Through it goes, at every change, the list of
what is guarded: process groups and folders. When the owner is gone, in whatever way, the kernel
closes the write end, the watchdog reads the end of the file, ends the groups and removes the
folders. Nothing is polled while the owner lives, and it works on every Unix.

The trap is the write end: whoever else holds a copy of it keeps the watchdog waiting. Programs
that the owner starts don't (Python's descriptors aren't inherited through exec), but a child
forked without exec, as multiprocessing makes them, does. It therefore closes its copy at once.

What is guarded is on the list before it exists: a folder before it is made, a program before it
runs. It is held at a gate, a shell that waits for a line, until its process group is known.

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
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

PREFIX = "booking-lab-"
"""How the name of every scratch folder begins."""

PATIENCE_SECONDS = 3.0
"""How long a process may take to end in its own way before it is killed."""

LAST_SECONDS = 1.0
"""How long the watchdog goes on after it has killed what lingered."""

ASKING = (signal.SIGQUIT, signal.SIGTERM)
"""How a program is asked to end.

SIGQUIT is PostgreSQL's: it ends its children and gives back shared memory. Whoever is started in
the background of a script ignores it, all programs that it starts inherit that, and a shell can't
undo it. Nobody inherits that SIGTERM is ignored; PostgreSQL is past heeding it by then.
"""

_GATE = ("/bin/sh", "-c", 'read -r go && exec "$0" "$@" </dev/null')


def scratch_folder(within: Path | None = None) -> Path:
    """Make a folder that is removed when this process ends, killed with -9 included.

    Args:
        within: The folder to make it in; the system's folder for temporary files by default.

    Returns:
        The folder, empty, for this user only (mode 0700), its name beginning with `PREFIX`.
    """
    folder = (within or Path(tempfile.gettempdir())) / f"{PREFIX}{secrets.token_hex(4)}"
    _watchdog().add(folder)
    folder.mkdir(mode=0o700)
    return folder


def remove_scratch_folder(folder: Path) -> None:
    """Remove a scratch folder before this process ends.

    Args:
        folder: What `scratch_folder` returned.
    """
    _clear([], [folder])
    _watchdog().remove(folder)


def start(command: Sequence[str | Path], **options: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 - as Popen's
    """Start a program that ends when this process ends, killed with -9 included.

    It runs in a session of its own, so Ctrl-C in this process's terminal doesn't reach it, and
    reads nothing from its standard input.

    Args:
        command: The program and its arguments; no shell interprets them.
        **options: Options of `subprocess.Popen`, except `stdin` and `start_new_session`.

    Returns:
        The program, running. Pass it to `stop` when it has ended or is to end.

    Raises:
        OSError: It can't be started.
    """
    watchdog = _watchdog()
    process = subprocess.Popen(  # noqa: S603 - the command is the caller's, and quoted
        [*_GATE, *command], stdin=subprocess.PIPE, start_new_session=True, **options
    )
    watchdog.add(process)
    assert process.stdin
    with contextlib.suppress(BrokenPipeError), process.stdin as gate:
        gate.write(b"go\n")
    return process


def stop(process: subprocess.Popen[bytes]) -> int:
    """End a program, by asking first and SIGKILL later, and guard it no longer.

    Args:
        process: What `start` returned. It may have ended already.

    Returns:
        Its exit code, as `subprocess` counts: negative for a signal.
    """
    for number in ASKING:
        process.send_signal(number)
    try:
        code = process.wait(PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        code = process.wait()
    _watchdog().remove(process)
    return code


class _Watchdog:
    """The owner's side: one watchdog process, and the list of what it guards."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._processes: list[subprocess.Popen[bytes]] = []
        self._folders: list[Path] = []
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
        atexit.register(self.finish)

    def add(self, thing: subprocess.Popen[bytes] | Path) -> None:
        with self._lock:
            self._of_its_kind(thing).append(thing)
            self._tell()

    def remove(self, thing: subprocess.Popen[bytes] | Path) -> None:
        with self._lock, contextlib.suppress(ValueError):
            self._of_its_kind(thing).remove(thing)
            self._tell()

    def _of_its_kind(self, thing: subprocess.Popen[bytes] | Path) -> list[Any]:
        return self._folders if isinstance(thing, Path) else self._processes

    def _tell(self) -> None:
        groups = [process.pid for process in self._processes]
        folders = [str(folder) for folder in self._folders]
        # A dead watchdog is no reason to fail: an owner that ends in order cleans up itself.
        with contextlib.suppress(BrokenPipeError):
            os.write(self._write, json.dumps([groups, folders]).encode() + b"\n")

    def finish(self) -> None:
        """Clear everything away now: this process ends in order."""
        for process in tuple(self._processes):
            stop(process)
        os.close(self._write)
        self._process.wait()
        # Where somebody has killed the watchdog, the folders are still there.
        _clear([], self._folders)

    def disown(self) -> None:
        """Leave everything to the parent that this process was forked from."""
        atexit.unregister(self.finish)
        os.close(self._write)
        self._process.returncode = 0  # not our child: nothing to wait for, nothing to warn of


_watchdogs: list[_Watchdog] = []  # none or one: started when first needed


def _watchdog() -> _Watchdog:
    if not _watchdogs:
        _watchdogs.append(_Watchdog())
    return _watchdogs[0]


def _disown_watchdogs() -> None:
    while _watchdogs:
        _watchdogs.pop().disown()


os.register_at_fork(after_in_child=_disown_watchdogs)


def _clear(groups: Sequence[int], folders: Sequence[Path]) -> None:
    """End the groups and remove the folders, at the same time.

    One after the other could take for ever: a process that has ended still counts as alive
    until its parent has asked for its exit code, and the parent of an orphan may be slow.
    """
    for numbers, patience in ((ASKING, PATIENCE_SECONDS), ((signal.SIGKILL,), LAST_SECONDS)):
        deadline = time.monotonic() + patience
        for number in numbers:
            groups = [group for group in groups if _signal(group, number)]
        while groups or any(folder.exists() for folder in folders):
            for folder in folders:  # again, if a process still wrote while it was being emptied
                shutil.rmtree(folder, ignore_errors=True)
            if time.monotonic() > deadline:
                break
            groups = [group for group in groups if _signal(group, 0)]
            time.sleep(0.01)


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
    _clear(groups, [Path(folder) for folder in folders])


if __name__ == "__main__":
    _watch()
