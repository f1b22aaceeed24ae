"""What a notebook shows can be read by people, and what it saves by programs."""

import base64
import json
from pathlib import Path
from typing import Any

import matplotlib.pyplot as plt
import pandas as pd
import pytest
from PIL import Image

from experiments.show import results, tables


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[tuple[dict[str, str], dict[str, Any]]]:
    """Collect what a notebook would show, with its metadata."""
    calls: list[tuple[dict[str, str], dict[str, Any]]] = []
    monkeypatch.setattr(
        results, "display", lambda bundle, *, metadata, **_: calls.append((bundle, metadata))
    )
    return calls


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Name a results folder, as the publisher does."""
    monkeypatch.setenv(results.FOLDER_VARIABLE, str(tmp_path))
    return tmp_path


def test_a_figure_carries_its_alt_text_wherever_it_goes(
    shown: list[tuple[dict[str, str], dict[str, Any]]], folder: Path
) -> None:
    """The alt text is in the notebook's output and inside the saved PNG; the figure is closed."""
    before = plt.get_fignums()
    figure, _axes = plt.subplots(figsize=(2, 1))
    alt = "Two bars: “held” is thrice as high"
    results.show_figure(figure, name="bars", alt=alt)
    [(bundle, metadata)] = shown
    assert metadata == {"image/png": {"alt": alt, "width": 192}}
    saved = folder / "figures" / "bars.png"
    assert saved.read_bytes() == base64.b64decode(bundle["image/png"])
    with Image.open(saved) as picture:
        assert picture.info["Description"] == alt
        assert picture.size == (384, 192)
    assert plt.get_fignums() == before


@pytest.mark.parametrize(("name", "alt"), [("bars", " "), ("../bars", "x"), ("Bars", "x")])
def test_a_figure_without_alt_text_or_with_a_bad_name_is_refused(name: str, alt: str) -> None:
    """A name becomes a file's name; a figure that not everybody can read is not finished."""
    figure, _axes = plt.subplots()
    with pytest.raises(ValueError, match=r"alt text|a name"):
        results.show_figure(figure, name=name, alt=alt)
    plt.close(figure)


def test_a_table_is_shown_rounded_and_saved_in_full(
    shown: list[tuple[dict[str, str], dict[str, Any]]], folder: Path
) -> None:
    """People get a caption, scopes and few digits; programs get every digit, NaN as null."""
    frame = pd.DataFrame(
        {
            "strategy": ["advisory", "<none>"],
            "rounds": [12000, 5],
            "ms": [12.34567, float("nan")],
            "sound": [True, False],
        }
    ).set_index("strategy")
    results.show_table(frame, name="summary", caption="What was seen")
    [(bundle, _)] = shown
    page = bundle["text/html"]
    assert "<caption>What was seen</caption>" in page
    assert "<th scope='col'>strategy</th><th scope='col' class='number'>rounds</th>" in page
    assert (
        "<tr><th scope='row'>advisory</th><td class='number'>12,000</td>"
        "<td class='number'>12</td><td>yes</td></tr>"
    ) in page
    assert "<th scope='row'>&lt;none&gt;</th>" in page
    assert json.loads((folder / "data/summary.json").read_text()) == {
        "name": "summary",
        "caption": "What was seen",
        "columns": ["strategy", "rounds", "ms", "sound"],
        "rows": [
            {"strategy": "advisory", "rounds": 12000, "ms": 12.34567, "sound": True},
            {"strategy": "<none>", "rounds": 5, "ms": None, "sound": False},
        ],
    }
    assert (folder / "data/summary.csv").read_text() == (
        "strategy,rounds,ms,sound\nadvisory,12000,12.34567,True\n<none>,5,,False\n"
    )


@pytest.mark.parametrize(
    ("numbers", "texts"),
    [
        ([1.0, 2000.0], ["1", "2,000"]),
        ([0.4, 150.0], ["0.40", "150.00"]),
        ([12.34, 987.6], ["12", "988"]),
        ([0.00012, 3.0], ["0.000", "3.000"]),
        ([0.0, float("nan"), 1.5], ["0.0", "\N{EN DASH}", "1.5"]),
    ],
)
def test_the_numbers_of_a_column_have_the_same_decimals(
    numbers: list[float], texts: list[str]
) -> None:
    """Only then do they line up and can be compared at a glance."""
    assert list(tables.readable(pd.DataFrame({"ms": numbers}))["ms"]) == texts


def test_an_empty_table_says_so(shown: list[tuple[dict[str, str], dict[str, Any]]]) -> None:
    """An experiment that found nothing still has something to show."""
    results.show_table(pd.DataFrame({"a": []}), name="empty", caption="Nothing found")
    [(bundle, _)] = shown
    assert bundle["text/plain"] == "Nothing found\n(no rows)"


def test_the_footer_names_settings_and_versions_but_no_place(
    shown: list[tuple[dict[str, str], dict[str, Any]]], folder: Path
) -> None:
    """Enough to repeat the run; nothing that tells where the machine keeps its files."""
    results.footer(seed=7)
    facts = json.loads((folder / "environment.json").read_text())
    assert facts["seed"] == "7"
    assert {"system", "cores", "Python", "SQLAlchemy", "psycopg"} <= facts.keys()
    assert not any("/" in value for value in facts.values())
    [(bundle, _)] = shown
    assert "seed: 7" in bundle["text/plain"]
    assert "<dt>seed</dt> <dd>7</dd>" in bundle["text/html"]
