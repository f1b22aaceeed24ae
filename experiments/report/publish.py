"""From a profile to a folder that somebody who never saw the code can read.

    index.html        the answer first: what holds, on how much evidence, what to choose when
    NN_name.html      a page for each notebook
    figures/, data/   PNG; CSV and JSON
    notebooks/        the executed notebooks
    verdicts.json     everything that was claimed, for programs

Notebooks run one at a time, since they measure, and one that fails does not stop the others: a
report that tells a failure is worth more than none. The report is put together in a scratch
folder beside its destination and takes its place in one move when it is complete, so that an
old report stays readable until there is a new one, and a killed run leaves nothing behind.
"""

import json
import shutil
import sys
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nbformat
from tqdm import tqdm

from experiments.report import runs
from experiments.report.pages import Pages, duration
from experiments.report.profiles import NOTEBOOKS, Profile
from experiments.report.report import FORMAT, Report
from experiments.report.runs import Run
from experiments.server.watchdog import remove_scratch_folder, scratch_folder
from experiments.show import results
from experiments.show.environment import environment
from experiments.show.redaction import Redactor


class FolderRefused(Exception):
    """The destination holds something else or can't be written to. The message is for users."""


def publish(  # noqa: PLR0913 - all but the profile and the destination have a default
    profile: Profile,
    out: Path,
    *,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    notebooks: Path = NOTEBOOKS,
    facts: Mapping[str, str] | None = None,
    progress: bool = True,
) -> Report:
    """Run a profile's notebooks and publish what came of them.

    Args:
        profile: Which notebooks, and with which parameters.
        out: The folder to publish to; a report that is there already is replaced.
        overrides: For a notebook's name parameters that replace the profile's.
        notebooks: Where the notebooks are.
        facts: What else belongs in the report's footer, such as the server's version.
        progress: Whether to say on stderr what is going on.

    Returns:
        The report; its `ok` says whether everything held.

    Raises:
        ProfileError: The profile or an override does not fit the notebooks; nothing was run.
        FolderRefused: `out` holds something else than a report, or can't be written to; nothing
            was run.
    """
    profile = profile.overridden(overrides or {})
    profile.check(notebooks)
    out = out.resolve()
    _check_destination(out)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        # Beside the destination, hence on the same file system, where a move is one step.
        scratch = scratch_folder(out.parent)
    except OSError as error:
        raise FolderRefused(f"{out.parent} can't be written to: {error.strerror}") from error
    try:
        report = _run(profile, out, scratch, notebooks, facts or {}, progress=progress)
        site = scratch / "site"
        site.mkdir()
        _fill(site, report, Redactor(scratch, out, notebooks))
        _check_destination(out)
        _move(site, out, scratch)
    finally:
        remove_scratch_folder(scratch)
    return report


def _run(  # noqa: PLR0913 - as publish
    profile: Profile,
    out: Path,
    scratch: Path,
    notebooks: Path,
    facts: Mapping[str, str],
    *,
    progress: bool,
) -> Report:
    tell = tqdm.write if progress else lambda *_, **__: None
    count = len(profile.notebooks)
    tell(
        f"Profile {profile.name}: {count} notebook{'s'[: count != 1]},"
        f" about {duration(profile.seconds)}",
        file=sys.stderr,
    )
    started, clock = datetime.now(UTC), time.monotonic()
    redactor = Redactor(scratch, out, notebooks)
    done = []
    for plan in profile.notebooks:
        run = runs.run(
            plan,
            folder=notebooks,
            scratch=scratch,
            execution_timeout=profile.execution_timeout,
            redactor=redactor,
            progress=progress,
        )
        tell(f"{run.name}: {run.status}, {duration(run.seconds)}", file=sys.stderr)
        done.append(run)
    made_with = environment(**facts)
    return Report(
        folder=out,
        profile=profile.name,
        runs=tuple(done),
        started=started,
        seconds=time.monotonic() - clock,
        facts=redactor.document(made_with),
    )


def _fill(site: Path, report: Report, redactor: Redactor) -> None:
    (site / "notebooks").mkdir()
    for run in report.runs:
        nbformat.write(  # type: ignore[no-untyped-call]
            run.notebook, site / "notebooks" / f"{run.name}.ipynb"
        )
        _copy(run, site, redactor)
    (site / "verdicts.json").write_bytes(results.as_json(report.record()))
    Pages(report, site).write()


def _copy(run: Run, site: Path, redactor: Redactor) -> None:
    for kind in ("figures", "data"):
        for path in sorted((run.results / kind).glob("*")):
            target = site / kind / run.name / path.name
            target.parent.mkdir(parents=True, exist_ok=True)
            if path.suffix == ".png":
                shutil.copyfile(path, target)
            else:
                target.write_text(redactor.text(path.read_text("utf-8")), encoding="utf-8")


def _check_destination(out: Path) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    try:
        record = json.loads((out / "verdicts.json").read_bytes())
        ours = record["format"] == FORMAT
    except (OSError, ValueError, TypeError, KeyError):
        ours = False
    if not ours:
        raise FolderRefused(f"{out} holds something that is not a report of this lab")


def _move(site: Path, out: Path, scratch: Path) -> None:
    old = scratch / "old"
    if out.exists():
        out.rename(old)
    try:
        site.rename(out)
    except BaseException:
        if old.exists():
            old.rename(out)
        raise
