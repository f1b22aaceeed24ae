"""The fixture `interleavings`, as other people's tests have it."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from experiments.explore import Counterexample
from experiments.plugin import checking
from experiments.schedules import drawing

pytest_plugins = ["pytester"]

# A run within this process forgets what it was the first to import; NumPy can't be imported twice.
LOADED = (checking, drawing)

PROGRAM = """
import pytest
from sqlalchemy import text

from experiments.judge.invariants import no_overlap

SETUP = "CREATE TABLE booking (id serial PRIMARY KEY, chair int, period int4range)"
NEVER = no_overlap("booking", resource="chair", period="period")
LOCK = "{lock}"

def book(engine):
    with engine.begin() as connection:
        if LOCK:
            connection.execute(text(LOCK))
        if connection.execute(text("SELECT count(*) FROM booking")).scalar_one():
            return "taken"
        connection.execute(text("INSERT INTO booking (chair, period) VALUES (1, '[1,2)')"))
        return "booked"

{mark}
def test_booking(interleavings):
    print(interleavings([book, book], setup=SETUP, never={never}))
"""
LOCK = "SELECT pg_advisory_xact_lock(1)"


@dataclass
class Someone:
    """Somebody who tests a program of their own.

    Attributes:
        pytester: Their project.
    """

    pytester: pytest.Pytester

    def tests(
        self, *options: str, lock: str = "", mark: str = "", never: str = "NEVER"
    ) -> pytest.RunResult:
        """Run the test of a program that is right only with a lock."""
        source = PROGRAM.format(
            lock=lock, mark=mark and f"@pytest.mark.interleavings({mark})", never=never
        )
        path = self.pytester.makepyfile(test_it=source)
        # Python takes a file of the same second and size for unchanged.
        os.utime(path, (0, path.stat().st_size))
        return self.pytester.runpytest_inprocess("-Werror", "-rfs", *options)

    @property
    def kept(self) -> list[str]:
        """The endings of the files that are kept."""
        folder = self.pytester.path / ".pytest_cache" / "d" / "interleavings"
        return sorted(path.suffix for path in folder.iterdir())


@pytest.fixture
def someone(pytester: pytest.Pytester) -> Someone:
    """Give somebody a project."""
    return Someone(pytester)


def test_a_counterexample_is_told_kept_and_played_first(someone: Someone) -> None:
    """Until the program is right: then it is forgotten."""
    first = someone.tests()

    first.assert_outcomes(failed=1)
    told = first.stdout.str()
    first.stdout.fnmatch_lines(
        [
            "safety broke in 1 of * schedules, and the search ended there.",
            "Counterexample: *test_it.py-test_booking-*-1.json",
            "Picture: *.png",
            "-- The program test_booking, 2 clients, READ COMMITTED, *",
            "INSERT INTO booking *; -- T1",
            "-- HERE. Broken: safety (rows 1 and 2 of booking overlap, both of chair 1)",
            "FAILED test_it.py::test_booking - Failed: safety broke in *",
        ]
    )
    assert "checking.py" not in told  # no traceback through what is not theirs
    assert someone.kept == [".json", ".png"]
    path = Path(
        next(line for line in told.splitlines() if line.startswith("Counterexa")).split()[1]
    )
    assert Counterexample.load(path).strategy == "test_booking"

    someone.tests().stdout.fnmatch_lines(["Broken: safety (*), in the schedule that broke before."])

    someone.tests(lock=LOCK).assert_outcomes(passed=1)
    assert someone.kept == []


def test_what_is_kept_and_no_counterexample_is_forgotten(someone: Someone) -> None:
    """Such as one that an older version wrote."""
    someone.tests()
    (path,) = someone.pytester.path.glob(".pytest_cache/d/interleavings/*.json")
    path.write_text("{}")

    someone.tests().stdout.fnmatch_lines(["safety broke in 1 of *"])


@pytest.mark.parametrize(
    ("never", "words"),
    [
        ("'SELECT chair FROM booking GROUP BY 1 HAVING count(*) > 1'", "*an invariant broke in*"),
        ("['SELECT WHERE false', NEVER]", "*safety broke in*"),
        ("'SELECT nonsense'", "*The invariant can't be asked: *"),
        ("[]", "*Say what must never be: *"),
    ],
)
def test_what_must_never_be_is_said_in_several_ways(
    someone: Someone, never: str, words: str
) -> None:
    """SQL, an invariant, or several of them; anything else is said in a sentence."""
    result = someone.tests(never=never)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([words])
    result.stdout.no_fnmatch_line("During handling of *")


@pytest.mark.parametrize(
    ("options", "mark", "seen"),
    [
        ([], "", "search='reduced', bound=''"),
        (["--interleavings=exhaustive"], "", "search='exhaustive', bound=''"),
        (["--interleavings=1"], "", "search='bounded', bound='1 preemptions'"),
        (["--interleavings=1"], "search='reduced'", "search='reduced', bound=''"),
        ([], "preemptions=0", "search='bounded', bound='0 preemptions'"),
        ([], "limit=1, may_be_incomplete=True", "complete=False, schedules=1,"),
    ],
)
def test_a_mark_sets_bounds_and_the_command_line_does_for_the_rest(
    someone: Someone, options: list[str], mark: str, seen: str
) -> None:
    """What is right passes within any."""
    result = someone.tests("-s", *options, lock=LOCK, mark=mark)

    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines([f"*Result(strategy='test_booking', *{seen}*"])


def test_faults_of_the_line_are_played_where_a_mark_asks_for_them(someone: Someone) -> None:
    """A lock of the transaction goes with the connection."""
    someone.tests("-s", lock=LOCK, mark="faults=1").stdout.fnmatch_lines(
        ["*bound='at most 1 fault'*complete=True*"]
    )


@pytest.mark.parametrize(
    ("lock", "mark", "why"),
    [
        (LOCK, "limit=1", "the search ended at its limit of 1 schedules; raise it, *"),
        ("nonsense", "may_be_incomplete=True", "every client failed in every schedule: *"),
    ],
)
def test_what_proves_nothing_fails(someone: Someone, lock: str, mark: str, why: str) -> None:
    """And says why; what may be incomplete may not be inconclusive."""
    result = someone.tests(lock=lock, mark=mark)

    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"Nothing is proven, although no schedule of * breaks: {why}"])


def test_the_explorer_can_be_switched_off(someone: Someone) -> None:
    """Whatever a test's mark says."""
    result = someone.tests("--interleavings=off", mark="preemptions=1")

    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["SKIPPED * --interleavings=off"])


def test_bounds_that_cannot_be_read_are_refused(someone: Someone) -> None:
    """On the command line, and in a mark."""
    someone.tests("--interleavings=all").stderr.fnmatch_lines(["*'all' is neither exhaustive, *"])
    for mark in ("1", "preemption=1"):
        someone.tests(mark=mark).stdout.fnmatch_lines(["The mark interleavings can't be read *"])
    someone.tests(mark="search='random'").stdout.fnmatch_lines(["*'random'*"])


def test_the_option_reaches_other_processes(someone: Someone) -> None:
    """Those of xdist, to which nothing but plain values can be passed."""
    someone.tests("-n1", "--interleavings=2", lock=LOCK).assert_outcomes(passed=1)


def test_without_a_cache_what_is_kept_is_temporary(someone: Someone) -> None:
    """It is told of all the same."""
    result = someone.tests("-p", "no:cacheprovider")

    result.stdout.fnmatch_lines(["safety broke in *", "Picture: */interleavings0/*.png"])
    assert not (someone.pytester.path / ".pytest_cache").exists()


def test_whoever_does_not_ask_for_it_does_not_wait_for_it() -> None:
    """The plugin is loaded in every run: it brings nothing along."""
    heavy = "{'matplotlib', 'pandas', 'psycopg', 'sqlalchemy', 'tqdm'}"
    code = (
        f"import experiments.plugin.interleavings, sys; sys.exit(str({heavy} & {{*sys.modules}}))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.strip() == "set()"
