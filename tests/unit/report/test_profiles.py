"""A profile that doesn't fit its notebooks is refused before anything runs."""

from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_notebook

from experiments.report import profiles
from experiments.report.profiles import PlannedNotebook, Profile, ProfileError

PARAMETERS = """\
clients: int = 20  # clients racing for the slot
hold_ms: float = 1.0  # milliseconds between check and insert
levels: list = [2, 5]  # clients racing, one race after the other
strategies: list[str] = [
    "advisory",
    "exclusion",
]  # which ones
label = "untyped"  # what to call it
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make a folder with one notebook."""
    cell = new_code_cell(PARAMETERS, metadata={"tags": ["parameters"]})
    kernel = {"name": "python3", "display_name": "Python", "language": "python"}
    notebook = new_notebook(cells=[cell], metadata={"kernelspec": kernel})
    nbformat.write(notebook, tmp_path / "01_sample.ipynb")
    return tmp_path


def profile(**parameters: object) -> Profile:
    """Plan the sample notebook with some parameters."""
    return Profile("sample", 10, (PlannedNotebook("01_sample", 3, parameters),))


@pytest.mark.parametrize(
    "parameters",
    [
        {},
        {"clients": 3, "hold_ms": 2, "levels": [7], "strategies": ["none"], "label": "x"},
        {"levels": []},
    ],
)
def test_parameters_that_fit_are_accepted(folder: Path, parameters: dict[str, Any]) -> None:
    """An int will do where a float is expected, and a list may be empty."""
    profile(**parameters).check(folder)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"cleints": 3}, "01_sample has no parameter 'cleints'; it has clients, hold_ms"),
        ({"clients": "3"}, "clients must be of type int, not '3'"),
        ({"clients": 3.5}, "clients must be of type int"),
        ({"clients": True}, "clients must be of type int, not True"),
        ({"hold_ms": "1"}, "hold_ms must be of type float"),
        ({"levels": 5}, "levels must be of type list"),
        ({"levels": [2, "5"]}, "an element of 01_sample: levels must be of type int, not '5'"),
        ({"strategies": [1]}, "an element of 01_sample: strategies must be of type str"),
        ({"label": 5}, "label must be of type str"),
    ],
)
def test_parameters_that_do_not_fit_are_refused(
    folder: Path, parameters: dict[str, Any], message: str
) -> None:
    """A papermill run would warn at most, and then measure something else than was asked for."""
    with pytest.raises(ProfileError, match=message):
        profile(**parameters).check(folder)


def test_a_missing_notebook_is_named(tmp_path: Path) -> None:
    """A typing error in a notebook's name must not end in a shorter report."""
    with pytest.raises(ProfileError, match="names 01_sample"):
        profile().check(tmp_path)


def test_overrides_win_over_the_profile_and_leave_the_rest() -> None:
    """A caller puts an exhibit among the strategies without writing a profile."""
    overridden = profile(clients=3, hold_ms=2.0).overridden({"01_sample": {"clients": 4}})
    assert overridden == profile(clients=4, hold_ms=2.0)


def test_an_override_for_a_notebook_that_does_not_run_is_refused() -> None:
    """It would have no effect, and nobody would notice."""
    with pytest.raises(ProfileError, match="runs 01_sample, but not 02_other"):
        profile().overridden({"02_other": {"clients": 4}})


def test_a_profile_is_read_as_it_is_written(tmp_path: Path) -> None:
    """Notebooks keep their order; seconds add up to the estimate."""
    path = tmp_path / "mine.toml"
    path.write_text(
        "execution_timeout = 9\n"
        "[notebooks.02_b]\nseconds = 5\nparameters.levels = [1]\n"
        "[notebooks.01_a]\nseconds = 4\n"
    )
    read = profiles.load(path)
    assert read == Profile(
        "mine",
        9,
        (PlannedNotebook("02_b", 5, {"levels": [1]}), PlannedNotebook("01_a", 4, {})),
    )
    assert read.seconds == 9


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("execution_timeout = 9", "expected execution_timeout, notebooks, found execution_timeout"),
        ("execution_timeout = 9\n[notebooks.a]\nsecnds = 5", "found secnds"),
        ("execution_timeout = '9'\n[notebooks]", "execution_timeout must be of type int"),
        ("execution_timeout = 9\n[notebooks]\na = 1", "a must be of type dict"),
        ("execution_timeout =", "Invalid value"),
    ],
)
def test_a_profile_that_cannot_be_understood_is_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    """The message says what is wrong, and with which profile."""
    path = tmp_path / "mine.toml"
    path.write_text(content)
    with pytest.raises(ProfileError, match=message):
        profiles.load(path)


def test_an_unknown_profile_names_those_there_are() -> None:
    """Whoever mistypes a name sees the choice."""
    with pytest.raises(ProfileError, match="no profile quikc; there are full, quick"):
        profiles.load("quikc")
