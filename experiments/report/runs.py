"""One notebook, run by papermill, and what came of it.

Whatever happens inside the notebook is a result: a claim that failed, an exception, a cell that
took too long, a kernel that died. A run tells which, and keeps everything that was recorded up to
then. Only what concerns the publisher itself raises.
"""

import json
import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nbformat
import papermill
from papermill.exceptions import PapermillExecutionError
from traitlets.config import Config

from experiments.report.profiles import PlannedNotebook
from experiments.show.redaction import Redactor
from experiments.show.results import FOLDER_VARIABLE
from experiments.show.verdicts import Verdict, VerdictFailed

Status = Literal["held", "failed", "crashed", "no verdicts"]

# papermill marks a failed notebook with cells of its own, made up in large red letters.
PAPERMILL_MARKER = "papermill-error-cell-tag"

# tqdm's None: no bar where stderr is no terminal.
BAR = {"disable": None, "leave": False}


@dataclass(frozen=True, slots=True)
class Run:
    """What came of running one notebook.

    Attributes:
        name: The notebook's name without its suffix.
        notebook: The notebook as executed, without anything that is not for publication.
        results: The folder with what it saved.
        seconds: How long it took.
        parameters: What it was given.
        verdicts: Its claims, as far as it came.
        error: In one line what stopped it, unless that was a failed verdict.
    """

    name: str
    notebook: nbformat.NotebookNode
    results: Path
    seconds: float
    parameters: dict[str, Any]
    verdicts: tuple[Verdict, ...]
    error: str | None

    @property
    def status(self) -> Status:
        """How it went, in a word or two."""
        if self.error is not None:
            return "crashed"
        if not self.verdicts:
            return "no verdicts"
        return "held" if all(verdict.held for verdict in self.verdicts) else "failed"

    @property
    def title(self) -> str:
        """The notebook's first heading, or its name where it has none."""
        found = re.search(r"^# +(.+?) *$", self._prose, re.MULTILINE)
        return found[1] if found else self.name

    @property
    def question(self) -> str:
        """The first paragraph below the heading, in Markdown: what the notebook asks."""
        found = re.search(r"^[^#\s].*(?:\n.*\S.*)*", self._prose, re.MULTILINE)
        return found[0] if found else ""

    @property
    def _prose(self) -> str:
        cells = (cell for cell in self.notebook.cells if cell.cell_type == "markdown")
        return "\n\n".join(cell.source for cell in cells)


def run(  # noqa: PLR0913 - each is a different thing, and all but the plan go by name
    plan: PlannedNotebook,
    *,
    folder: Path,
    scratch: Path,
    execution_timeout: int,
    redactor: Redactor,
    progress: bool,
) -> Run:
    """Run one notebook in a kernel of its own.

    Args:
        plan: The notebook and its parameters.
        folder: Where the notebook is; also its working directory, as in JupyterLab.
        scratch: Where results and papermill's output may be put.
        execution_timeout: Seconds that one cell may take.
        redactor: Takes out what is not for publication.
        progress: Whether to show a bar on stderr, where that is a terminal.

    Returns:
        What came of it.
    """
    source, executed = folder / f"{plan.name}.ipynb", scratch / f"{plan.name}.ipynb"
    results = scratch / plan.name
    results.mkdir()
    started, error = time.monotonic(), None
    try:
        with _kernel_environment(results, scratch), warnings.catch_warnings():
            # What papermill's dependencies deprecate is no news for somebody who reads a report.
            warnings.simplefilter("ignore")
            papermill.execute_notebook(
                source,
                executed,
                plan.parameters,
                cwd=folder,
                execution_timeout=execution_timeout,
                # Else the kernel warns on the terminal of its local sockets and its own end.
                extra_arguments=["--log-level=CRITICAL"],
                # By default it lies in the system's folder for temporary files, and stays there
                # when we are killed.
                config=Config(KernelManager={"connection_file": str(results / "kernel.json")}),
                progress_bar=BAR | {"desc": plan.name} if progress else False,
            )
    except PapermillExecutionError as raised:
        if raised.ename != VerdictFailed.__name__:
            error = f"{raised.ename}: {raised.evalue}".strip()
    except Exception as raised:  # noqa: BLE001 - a dead kernel or a timeout: see the docstring
        error = f"{type(raised).__name__}: {raised}".strip()
    seconds = time.monotonic() - started
    saved = executed if executed.exists() else source
    return Run(
        name=plan.name,
        notebook=_publishable(saved, redactor),
        results=results,
        seconds=seconds,
        parameters=redactor.document(plan.parameters),
        verdicts=tuple(_saved_verdicts(results, redactor)),
        error=None if error is None else _headline(redactor.text(error)),
    )


@contextmanager
def _kernel_environment(results: Path, scratch: Path) -> Iterator[None]:
    # papermill can't hand variables to a kernel; a kernel inherits ours.
    ours: Mapping[str, str] = {
        FOLDER_VARIABLE: str(results),
        # The user's own IPython settings and start-up files are no part of an experiment.
        "IPYTHONDIR": str(scratch / "ipython"),
        # The debugger would complain on the terminal about Python's frozen modules.
        "PYDEVD_DISABLE_FILE_VALIDATION": "1",
    }
    before = {name: os.environ.get(name) for name in ours}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


def _publishable(path: Path, redactor: Redactor) -> nbformat.NotebookNode:
    notebook = nbformat.read(path, as_version=4)  # type: ignore[no-untyped-call]
    notebook.cells = [
        cell for cell in notebook.cells if PAPERMILL_MARKER not in cell.metadata.get("tags", [])
    ]
    clean: nbformat.NotebookNode = nbformat.from_dict(  # type: ignore[no-untyped-call]
        redactor.document(notebook)
    )
    clean.metadata.setdefault("papermill", {}).update(input_path=path.name, output_path=path.name)
    return clean


def _saved_verdicts(results: Path, redactor: Redactor) -> Iterator[Verdict]:
    for path in sorted(results.glob("*.verdicts.json")):
        for verdict in json.loads(path.read_text(encoding="utf-8"))["verdicts"]:
            yield Verdict(**redactor.document(verdict))


def _headline(text: str) -> str:
    # The first line of a message says what happened; the rest is for the notebook's own page.
    return text.splitlines()[0]
