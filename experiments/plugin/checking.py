"""An exploration as a test: it passes only where everything was played and nothing broke."""

from __future__ import annotations

import hashlib
import re
import warnings
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

from experiments.explore.explore import explore_program
from experiments.explore.program import Program
from experiments.explore.replaying import NotReproduced, replay
from experiments.judge.invariants import Invariant
from experiments.scenes.parameters import BadExperiment
from experiments.schedules import labels
from experiments.schedules.schedule import UnreadableSchedule
from experiments.schedules.transcript import transcript
from experiments.steer.programs import ProgramError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from experiments.explore.program import Setup
    from experiments.explore.result import Result
    from experiments.plugin.bounds import Bounds
    from experiments.schedules.schedule import Counterexample
    from experiments.server.postgres import Database
    from experiments.steer.programs import Kind, Server

LETTERS = 80  # of a test's name in a file's; a file system allows 255


class Interleavings:
    """What the fixture is: called with a program, it explores it.

    Args:
        database: Where; it is cleared each time.
        bounds: What is explored.
        node: The test.
        folder: Where counterexamples are kept.
    """

    def __init__(self, database: Database, bounds: Bounds, node: pytest.Item, folder: Path) -> None:
        self._database = database
        self._bounds = bounds
        self._node = node
        self._folder = folder
        self._calls = 0

    def __call__(
        self,
        clients: Sequence[Kind],
        *,
        setup: Setup,
        never: Invariant | str | Sequence[Invariant | str],
        server: Server | None = None,
        background: str | None = None,
    ) -> Result:
        """Explore a program, and fail the test where it breaks or too little was played.

        Args:
            clients: What the clients do, as for `Program`.
            setup: What makes the tables and their rows.
            never: What must never be: invariants, or SQL that must return no row.
            server: The server that requests go to.
            background: What nobody's statements look like, as a regular expression.

        Returns:
            What the exploration showed.

        Raises:
            pytest.fail.Exception: A schedule breaks an invariant, not every schedule was played,
                or the program can't be explored at all.
        """
        self._calls += 1
        kept = self._kept()
        try:
            program = Program(
                clients,
                setup,
                [never] if isinstance(never, Invariant | str) else never,
                server=server,
                name=self._node.name,
                background=background,
            )
            self._replay(program, kept)
            result = explore_program(
                program,
                search=self._bounds.search,
                preemptions=self._bounds.preemptions,
                faults=self._bounds.faults,
                limit=self._bounds.limit,
                stop_at_first=True,
                on=self._database.clear(),
            )
        except (BadExperiment, ProgramError) as error:
            raise pytest.fail.Exception(str(error), pytrace=False) from None
        if result.counterexample:
            result.counterexample.save(kept)
            pytest.fail(_told(_broken(result), result.counterexample, kept), pytrace=False)
        if doubt := self._doubt(result):
            pytest.fail(doubt, pytrace=False)
        return result

    def _kept(self) -> Path:
        """Return the path under which this call's counterexample is kept."""
        name = self._node.nodeid
        # Tests whose names differ only in what no file's name can have are different tests.
        digest = hashlib.sha256(name.encode()).hexdigest()[:8]
        plain = re.sub(r"[^\w.]+", "-", name, flags=re.ASCII)[-LETTERS:].strip("-.")
        return self._folder / f"{plain}-{digest}-{self._calls}.json"

    def _replay(self, program: Program, kept: Path) -> None:
        """Fail at once where the schedule that broke last time still does, or forget it."""
        if not kept.exists():
            return
        with suppress(NotReproduced, UnreadableSchedule):
            seen = replay(kept, program=program, on=self._database.clear())
            words = "; ".join(map(labels.breach, seen.breaches))
            pytest.fail(
                _told(f"{words}, in the schedule that broke before.", seen, kept), pytrace=False
            )
        kept.unlink()
        kept.with_suffix(".png").unlink(missing_ok=True)

    def _doubt(self, result: Result) -> str:
        """Say why nothing is proven; empty if all is well."""
        if result.complete and result.holds:
            return ""
        reasons = [f"{words} ({times} times)" for words, times in result.broken.items()]
        reasons += result.doubts
        if result.schedules + result.cut >= self._bounds.limit:
            if self._bounds.may_be_incomplete and not reasons:
                return ""
            reasons += [
                f"the search ended at its limit of {self._bounds.limit} schedules",
                "raise it, allow fewer preemptions, or say may_be_incomplete=True",
            ]
        return (
            f"Nothing is proven, although no schedule of {result.schedules} breaks: "
            + "; ".join(reasons)
        )


def _broken(result: Result) -> str:
    found = [
        f"{labels.PROPERTIES.get(name, name)} broke in {count} of {result.schedules} schedules"
        for name, count in result.violations.items()
    ]
    return f"{', '.join(found)}, and the search ended there."


def _told(sentence: str, found: Counterexample, kept: Path) -> str:
    picture = kept.with_suffix(".png")
    # What a library has to say while it is imported, or of a letter that its font lacks, is no
    # reason not to tell of the counterexample.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from experiments.schedules.drawing import drawing  # noqa: PLC0415 - it has matplotlib

        drawing(found, title=found.strategy).savefig(picture)
    return f"{sentence}\nCounterexample: {kept}\nPicture: {picture}\n\n{transcript(found)}"
