"""The committed notebooks keep the rules that let nbval, papermill and readers trust them.

nbval compares what a cell outputs with what is committed. It passes a cell that was never run,
and it can't see what a reader misses; the rules here are about that.
"""

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import nbformat
import papermill
import pytest
from IPython.core.inputtransformer2 import TransformerManager
from nbformat import NotebookNode

from experiments.report import profiles
from experiments.show.redaction import Redactor

FOLDER = Path(__file__).parents[2] / "notebooks"
NOTEBOOKS = {path.stem: path for path in sorted(FOLDER.glob("*.ipynb"))}
# A place to try things, strategies of one's own included: it may define, and claims nothing.
PLAYGROUND = "99_playground"

TYPED_AND_COMMENTED = re.compile(r"\w+: [\w\[\], ]+ = [^=]+?  # \S.*")
# Two names or more after a slash that no word, tag or address stands before.
ABSOLUTE_PATH = re.compile(r"(?<![\w.:/<~])~?/(?:[\w.+-]+/)+[\w.+-]+")

each_notebook = pytest.mark.parametrize("name", NOTEBOOKS)
each_but_the_playground = pytest.mark.parametrize(
    "name", [name for name in NOTEBOOKS if name != PLAYGROUND]
)


def code_cells(name: str) -> list[NotebookNode]:
    """Read a notebook's cells of code."""
    cells = nbformat.read(NOTEBOOKS[name], as_version=4).cells
    return [cell for cell in cells if cell.cell_type == "code"]


def outputs(name: str) -> Iterator[NotebookNode]:
    """Read everything that a notebook's cells put out."""
    for cell in code_cells(name):
        yield from cell.outputs


def texts(document: Any) -> Iterator[str]:  # noqa: ANN401 - whatever an output holds
    """Find every text in an output, pictures left out."""
    if isinstance(document, str):
        yield document
    elif isinstance(document, list):
        for element in document:
            yield from texts(element)
    elif isinstance(document, dict):
        for key, element in document.items():
            if not key.startswith("image/") or isinstance(element, dict):
                yield from texts(element)


def test_the_notebooks_that_a_reader_needs_are_there() -> None:
    """Without them everything below would pass on nothing."""
    assert {"00_start_here", "04_contention"} <= NOTEBOOKS.keys()


@pytest.mark.parametrize("profile", profiles.names())
def test_a_profile_fits_the_notebooks(profile: str) -> None:
    """Its notebooks exist and take its parameters."""
    profiles.load(profile).check()


@each_notebook
def test_every_cell_was_run_in_order_from_a_fresh_kernel(name: str) -> None:
    """A cell without an execution count passes nbval and is compared with nothing."""
    cells = [cell for cell in code_cells(name) if cell.source.strip()]
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1))


@each_notebook
def test_nothing_committed_is_an_error(name: str) -> None:
    """Tracebacks are not compared: a committed error would stay unnoticed."""
    assert [out.ename for out in outputs(name) if out.output_type == "error"] == []


@each_notebook
def test_there_is_one_cell_of_typed_and_commented_parameters(name: str) -> None:
    """A profile can set each of them, and papermill's help says what they mean."""
    tagged = [c for c in code_cells(name) if "parameters" in c.metadata.get("tags", [])]
    assert len(tagged) == 1
    lines = tagged[0].source.strip().splitlines()
    assert [line for line in lines if not TYPED_AND_COMMENTED.fullmatch(line)] == []
    assert len(papermill.inspect_notebook(NOTEBOOKS[name])) == len(lines)


@each_but_the_playground
def test_cells_import_call_and_show(name: str) -> None:
    """What is defined in a cell can't be tested, linted or imported."""
    manager = TransformerManager()
    for cell in code_cells(name):
        for node in ast.walk(ast.parse(manager.transform_cell(cell.source))):
            assert not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef), (
                f"cell [{cell.execution_count}] defines {node.name}"
            )
            named_lambda = isinstance(node, ast.Assign) and isinstance(node.value, ast.Lambda)
            assert not named_lambda, f"cell [{cell.execution_count}] defines a lambda"


@each_but_the_playground
def test_the_last_cell_concludes_the_verdicts(name: str) -> None:
    """Anything after it would be run on claims that may have failed."""
    concluding = [".conclude()" in cell.source for cell in code_cells(name) if cell.source.strip()]
    assert concluding.count(True) == 1
    assert concluding[-1]


@each_notebook
def test_every_picture_has_an_alt_text(name: str) -> None:
    """A figure that not everybody can read is not finished."""
    pictures = [out for out in outputs(name) if "image/png" in out.get("data", {})]
    alts = [out.metadata.get("image/png", {}).get("alt", "") for out in pictures]
    assert [alt for alt in alts if not alt.strip()] == []
    # nbval fails on every SVG, since matplotlib numbers its parts anew each time.
    assert [out for out in outputs(name) if "image/svg+xml" in out.get("data", {})] == []


@each_notebook
def test_outputs_tell_nothing_about_the_machine_or_the_database(name: str) -> None:
    """What is committed is published."""
    redactor = Redactor()
    for output in outputs(name):
        for text in texts(output):
            assert redactor.text(text) == text
            assert not ABSOLUTE_PATH.search(text), ABSOLUTE_PATH.search(text)
