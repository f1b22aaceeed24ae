"""What a process leaves behind is cleared away, however it ended."""

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from experiments.server import watchdog

# How a process heeds signals, which it would inherit from pytest's own start otherwise.
AT_A_TERMINAL = """
import signal
signal.signal(signal.SIGINT, signal.default_int_handler)
signal.signal(signal.SIGQUIT, signal.SIG_DFL)
"""
IN_THE_BACKGROUND = """
import signal
signal.signal(signal.SIGINT, signal.SIG_IGN)
signal.signal(signal.SIGQUIT, signal.SIG_IGN)
"""
# A process that guards a folder and a program, says so, and waits for its end.
OWNER = """
import sys
from experiments.server import watchdog
folder = watchdog.scratch_folder()
(folder / "deep").mkdir()
(folder / "deep" / "file").write_text("content")
program = watchdog.start({program})
print(folder, program.pid, flush=True)
{then}
sys.stdin.readline()
"""
WILLING = ["sleep", "600"]
UNWILLING = ["sh", "-c", "trap '' QUIT TERM; while :; do sleep 1; done"]
FORK_AND_WAIT = """
import os
if os.fork() == 0:
    print("forked", flush=True)
    sys.stdin.readline()
    os._exit(0)
"""
FORK_AND_END = """
import os
if os.fork() == 0:
    print(watchdog.scratch_folder(), flush=True)
    sys.exit()
os.wait()
"""

PATIENCE = 60.0  # seconds after which a test gives up on what should have happened at once


@contextmanager
def owner(
    program: list[str] = WILLING, then: str = "", where: str = AT_A_TERMINAL
) -> Iterator[tuple[subprocess.Popen[str], Path, psutil.Process]]:
    """Run an owner; give it, its folder and its program."""
    process = subprocess.Popen(
        [sys.executable, "-c", where + OWNER.format(program=program, then=then)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        assert process.stdout
        folder, pid = process.stdout.readline().split()
        yield process, Path(folder), psutil.Process(int(pid))


def running(process: psutil.Process) -> bool:
    """Say whether it runs. What has ended and waits to be asked for its exit code doesn't."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def assert_gone(folder: Path, *programs: psutil.Process) -> None:
    """Wait until all are gone."""
    deadline = time.monotonic() + PATIENCE
    while (folder.exists() or any(map(running, programs))) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not folder.exists()
    assert not any(map(running, programs))


def test_scratch_folder_is_private() -> None:
    """A scratch folder is empty, new, and open to its owner only."""
    one, other = watchdog.scratch_folder(), watchdog.scratch_folder()

    assert one != other
    assert list(one.iterdir()) == []
    assert one.stat().st_mode & 0o777 == 0o700
    assert one.name.startswith("booking-lab-")

    watchdog.remove_scratch_folder(one)
    watchdog.remove_scratch_folder(other)
    assert not one.exists()
    assert not other.exists()


def test_a_program_is_run_and_stopped(tmp_path: Path) -> None:
    """A program gets its arguments and nothing on its input; its exit code is reported."""
    out = tmp_path / "out"
    with out.open("w") as file:
        program = watchdog.start(
            ["sh", "-c", 'cat; printf %s "$1"; exit 3', "-", "a b"], stdout=file
        )
        program.wait(PATIENCE)

    assert watchdog.stop(program) == 3
    assert out.read_text() == "a b"


@pytest.mark.parametrize(
    "disposition", [signal.SIG_DFL, signal.SIG_IGN], ids=["at a terminal", "in the background"]
)
def test_a_program_is_asked_to_end(
    disposition: signal.Handlers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is asked in a way that it heeds, and not killed: also where it ignores SIGQUIT."""
    monkeypatch.setattr(watchdog, "PATIENCE_SECONDS", PATIENCE)
    before = signal.signal(signal.SIGQUIT, disposition)
    try:
        program = watchdog.start(WILLING)
    finally:
        signal.signal(signal.SIGQUIT, before)
    assert -watchdog.stop(program) in watchdog.ASKING


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_all_is_gone_when_the_owner_is_killed(number: signal.Signals) -> None:
    """Whatever signal ends the owner, its folder and its program go too."""
    with owner() as (process, folder, program):
        assert folder.exists()
        assert running(program)
        process.send_signal(number)
        assert_gone(folder, program)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_all_is_gone_when_an_owner_in_the_background_is_killed(number: signal.Signals) -> None:
    """A script's background job and all that it starts ignore SIGINT and SIGQUIT: all go too."""
    with owner(where=IN_THE_BACKGROUND) as (process, folder, program):
        process.send_signal(signal.SIGINT)
        process.send_signal(number)
        assert process.wait(PATIENCE) == -number
        assert_gone(folder, program)


# Each waits to be told, so that what it started can be looked at first.
@pytest.mark.parametrize(
    "then",
    ["", "sys.stdin.readline(); sys.exit(1)", "sys.stdin.readline(); import os; os._exit(0)"],
)
def test_all_is_gone_when_the_owner_ends(then: str) -> None:
    """An owner that just ends leaves nothing either."""
    with owner(then=then) as (process, folder, program):
        process.communicate("\n")
        assert_gone(folder, program)


def test_an_unwilling_program_is_killed() -> None:
    """A program that ignores the request to end doesn't outlive its owner for long."""
    with owner(UNWILLING) as (process, folder, program):
        process.kill()
        assert_gone(folder, program)


def test_a_forked_child_doesnt_keep_things_alive() -> None:
    """A child forked without exec inherits descriptors, and must not count as the owner."""
    with owner(then=FORK_AND_WAIT) as (process, folder, program):
        assert process.stdout
        assert process.stdout.readline() == "forked\n"
        process.kill()
        assert_gone(folder, program)


def test_a_forked_child_clears_nothing_away() -> None:
    """A forked child that ends leaves the owner's things alone, and can have its own."""
    with owner(then=FORK_AND_END) as (process, folder, program):
        assert process.stdout
        childs = Path(process.stdout.readline().strip())
        assert_gone(childs)
        assert folder.exists()
        assert running(program)
