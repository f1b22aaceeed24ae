"""A published report tells everything that happened, to everybody, and nothing else."""

import json
import os
import re
import tempfile
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import nbformat
import pytest
from bs4 import BeautifulSoup, Tag
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from experiments.report.profiles import PlannedNotebook, Profile, ProfileError
from experiments.report.publish import FolderRefused, publish
from experiments.report.report import Report
from experiments.report.runs import Run
from experiments.show.results import FOLDER_VARIABLE
from experiments.show.verdicts import Verdict

SECRET = "fake-hunter2-password"
URL = f"postgresql://ann:{SECRET}@db.example.org/salon"

HELD = """\
import matplotlib.pyplot as plt
import pandas as pd
from experiments.show.results import footer, show_figure, show_table
from experiments.show.verdicts import Verdicts
figure, axes = plt.subplots(figsize=(3, 2))
show_figure(figure, name="summary", alt="An <empty> plot of 'nothing'")
show_table(pd.DataFrame({"strategy": ["advisory"], "ms": [1.25]}), name="summary", caption="Cost")
show_table(
    pd.DataFrame({"strategy": ["advisory"], "choose when": ["rivals < 100"]}),
    name="choose", caption="By situation",
)
footer(seed=rounds)
verdicts = Verdicts("01_held")
verdicts.add("It holds", held=True, evidence="faults", trials=rounds, unit="rounds")
verdicts.add("It holds still", held=True, evidence="faults", trials=rounds, unit="rounds")
verdicts.conclude()
"""
FAILED = """\
import os, sys, warnings, pandas as pd
from experiments.show.results import show_table
from experiments.show.verdicts import Verdicts
print(os.getcwd(), os.environ["BOOKING_DATABASE_URL"], sys.prefix)
warnings.warn("from a file")
show_table(pd.DataFrame({"where": [os.getcwd()]}), name="places", caption="Places")
verdicts = Verdicts("02_failed")
verdicts.add("Pigs <fly>", held=False, evidence=os.environ["HOME"], failures=2, trials=9)
verdicts.conclude()
"""
CRASHED = """\
import os
from experiments.show import results
raise OSError(f"no way to {os.environ['BOOKING_DATABASE_URL']} from {results.__file__}\\nmore")
"""


def notebook(title: str, code: str, parameters: str = "") -> nbformat.NotebookNode:
    """Make a notebook with a heading, a question, and one cell of code."""
    return new_notebook(
        cells=[
            new_markdown_cell(f"# {title}\n\nWhat of *{title}*? See [held](01_held.ipynb)."),
            new_code_cell(parameters, metadata={"tags": ["parameters"]}),
            new_code_cell(code),
        ],
        metadata={"kernelspec": {"name": "python3", "display_name": "Py", "language": "python"}},
    )


@pytest.fixture(scope="module")
def notebooks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a folder of notebooks that end in every way a notebook can end."""
    folder = tmp_path_factory.mktemp("notebooks")
    for name, made in {
        "01_held": notebook("Held", HELD, "rounds: int = 7  # how many"),
        "02_failed": notebook("Failed", FAILED),
        "03_crashed": notebook("Crashed", CRASHED),
        "04_silent": notebook("Silent", "6 * 7"),
        "06_quiet": notebook("Quiet", ""),
        "05_slow": notebook("Slow", "import time\ntime.sleep(60)"),
    }.items():
        nbformat.write(made, folder / f"{name}.ipynb")
    return folder


def profile(*names: str, execution_timeout: int = 60) -> Profile:
    """Plan some of the notebooks."""
    return Profile("sample", execution_timeout, tuple(PlannedNotebook(n, 2, {}) for n in names))


@pytest.fixture(scope="module")
def report(notebooks: Path, tmp_path_factory: pytest.TempPathFactory) -> Report:
    """Publish them once for all tests that only read."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BOOKING_DATABASE_URL", URL)
        return publish(
            profile("01_held", "02_failed", "03_crashed", "04_silent"),
            tmp_path_factory.mktemp("somewhere") / "below" / "report",
            overrides={"01_held": {"rounds": 1200}},
            notebooks=notebooks,
            facts={"server": URL},
            progress=False,
        )


def page(report: Report, name: str) -> BeautifulSoup:
    """Read one of the report's pages."""
    return BeautifulSoup((report.folder / name).read_text(), "html.parser")


def words(soup: Tag) -> str:
    """Give a page's text, spaces evened out."""
    return re.sub(r"\s+", " ", soup.get_text())


def test_every_notebook_runs_whatever_became_of_the_others(report: Report) -> None:
    """One failure must neither stop nor hide anything else, and the report is not ok."""
    assert [(run.name, run.status) for run in report.runs] == [
        ("01_held", "held"),
        ("02_failed", "failed"),
        ("03_crashed", "crashed"),
        ("04_silent", "no verdicts"),
    ]
    assert not report.ok


def test_the_front_page_answers_first(report: Report) -> None:
    """The headline and the evidence are computed; claims on the same rounds count them once."""
    front = page(report, "index.html")
    heading = front.find("h1")
    assert heading
    assert heading.get_text() == "1 of 3 claims failed and 1 notebook crashed."
    tiles = {
        words(tile.find_all()[0]): words(tile.find_all()[1]) for tile in front.select(".tiles div")
    }
    assert tiles["claims held"] == "2 of 3"
    assert tiles["rounds as evidence"] == "1,200"
    assert report.evidence == {"rounds": 1200, "attempts": 9}


def test_the_front_page_names_what_failed_before_all_else(report: Report) -> None:
    """Notebook, claim and evidence of a failed verdict; notebook and error of a crash."""
    front = page(report, "index.html")
    alert = front.find(class_="alert")
    assert alert
    assert alert.find_previous("h2") is None
    text = words(alert)
    assert "✗ failed Failed: Pigs <fly>. …: 2 in 9 attempts (22.2%" in text
    assert "✗ crashed Crashed: The notebook stopped. OSError: no way to … from …" in text
    assert [link["href"] for link in alert.find_all("a")] == ["02_failed.html", "03_crashed.html"]


def test_the_front_page_shows_what_notebooks_call_choose_and_summary(report: Report) -> None:
    """What to choose when, and the measurements behind it, with data that was computed."""
    front = page(report, "index.html")
    captions = [caption.get_text() for caption in front.find_all("caption")]
    assert captions[0] == "By situation"
    assert "Cost" in captions
    assert "rivals < 100" in words(front)
    picture = front.find("img")
    assert picture
    assert picture["alt"] == "An <empty> plot of 'nothing'"
    assert (report.folder / str(picture["src"])).is_file()


def test_a_notebook_that_claims_nothing_is_said_to_claim_nothing(report: Report) -> None:
    """No verdicts must not look like verdicts that held."""
    assert "No verdicts: this notebook claims nothing." in words(page(report, "index.html"))
    assert "\N{EN DASH} no verdicts" in words(page(report, "04_silent.html"))


def test_a_page_folds_its_code_and_shows_its_error_at_the_top(report: Report) -> None:
    """Whoever doesn't read code reads prose, figures and what went wrong."""
    crashed = page(report, "03_crashed.html")
    alert, heading = crashed.find(class_="alert"), crashed.find("h1")
    assert alert
    assert heading
    assert heading in alert.find_all_next("h1")
    assert "OSError: no way to" in alert.get_text()
    held = page(report, "01_held.html")
    for code in held.find_all(class_="highlight"):
        details = code.find_parent("details")
        assert details
        assert not details.has_attr("open")
    assert "papermill-error-cell" not in str(crashed)


def test_the_report_is_complete(report: Report) -> None:
    """Pages, figures, data twice, executed notebooks, and verdicts for programs."""
    files = {str(p.relative_to(report.folder)) for p in report.folder.rglob("*") if p.is_file()}
    assert files == {
        "index.html",
        "verdicts.json",
        *(f"{run.name}.html" for run in report.runs),
        *(f"notebooks/{run.name}.ipynb" for run in report.runs),
        "figures/01_held/summary.png",
        "data/01_held/summary.csv",
        "data/01_held/summary.json",
        "data/01_held/choose.csv",
        "data/01_held/choose.json",
        "data/02_failed/places.csv",
        "data/02_failed/places.json",
    }


def test_programs_read_the_same_as_people(report: Report) -> None:
    """verdicts.json says what the front page says."""
    record = json.loads((report.folder / "verdicts.json").read_text())
    assert record["ok"] is False
    assert record["headline"] == report.headline
    held = record["notebooks"][0]
    assert held["parameters"] == {"rounds": 1200}
    assert held["verdicts"][0] == {
        "claim": "It holds",
        "held": True,
        "evidence": "faults: 0 in 1,200 rounds (at most 0.25%, 95% confidence)",
        "trials": 1200,
        "failures": 0,
        "unit": "rounds",
    }
    assert record["notebooks"][2]["error"].startswith("OSError: no way to …")


def test_nothing_published_tells_of_this_machine_or_the_database(
    report: Report, notebooks: Path
) -> None:
    """Paths, URLs and passwords were printed, warned of, raised, claimed and tabled on purpose."""
    places = {
        tempfile.gettempdir(),
        str(notebooks),
        str(report.folder),
        str(Path(__file__).parents[3]),
        str(Path.home()),
        "/tmp/",
    }
    for path in report.folder.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for secret in (SECRET, URL, "postgresql://", *places):
                assert secret.encode() not in content, f"{secret} in {path}"


def test_a_page_needs_no_network(report: Report) -> None:
    """Whatever a page loads is inside it or beside it, and there is no script."""
    for path in report.folder.glob("*.html"):
        soup = page(report, path.name)
        assert soup.find("script") is None
        for tag in soup.find_all(["img", "link", "a"]):
            target = str(tag.get("src") or tag.get("href"))
            if not target.startswith(("data:", "#")):
                assert (report.folder / target).is_file(), f"{target} in {path.name}"


def test_everybody_can_read_every_page(report: Report) -> None:
    """What screen readers and keyboards need: language, title, landmarks, headings, scopes."""
    for path in report.folder.glob("*.html"):
        soup = page(report, path.name)
        assert soup.find("html", lang="en"), path.name
        assert soup.title
        assert soup.title.get_text().strip()
        assert len(soup.find_all("main")) == 1
        assert soup.find("a", class_="skip", href="#main")
        levels = [int(tag.name[1]) for tag in soup.find_all(re.compile(r"^h[1-6]$"))]
        assert levels.count(1) == 1, f"{path.name}: {levels}"
        assert all(b <= a + 1 for a, b in pairwise(levels)), path.name
        assert all(str(image.get("alt", "")).strip() for image in soup.find_all("img"))
        assert all(head.get("scope") in ("col", "row") for head in soup.find_all("th"))
        ids = [str(tag["id"]) for tag in soup.find_all(id=True)]
        assert len(ids) == len(set(ids)), path.name


def test_a_new_report_replaces_the_old_one_and_leaves_nothing_behind(
    notebooks: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A page of last time must not stand beside those of today, nor scratch beside either.

    A run says at its start how long it takes, on stderr, where nothing else chatters.
    """
    before = {name: os.environ.get(name) for name in (FOLDER_VARIABLE, "IPYTHONDIR")}
    out = tmp_path / "report"
    out.mkdir()
    for name in ("04_silent", "06_quiet"):
        report = publish(profile(name), out, notebooks=notebooks)
        assert report.ok
        assert sorted(p.name for p in out.glob("*.html")) == [f"{name}.html", "index.html"]
        assert list(tmp_path.iterdir()) == [out]
        assert "What failed" not in words(page(report, "index.html"))
        assert before == {name: os.environ.get(name) for name in before}
        captured = capsys.readouterr()
        plan, done = captured.err.splitlines()
        assert plan == "Profile sample: 1 notebook, about 2 s"
        assert re.fullmatch(rf"{name}: no verdicts, \d+ s", done)
        assert captured.out == ""


def test_a_cell_that_takes_too_long_is_a_crash(notebooks: Path, tmp_path: Path) -> None:
    """A lock that is never released must not keep the report from appearing."""
    slow = profile("05_slow", execution_timeout=1)
    report = publish(slow, tmp_path / "report", notebooks=notebooks, progress=False)
    assert report.headline == "1 notebook crashed."
    assert "timed out" in words(page(report, "index.html"))


@pytest.mark.parametrize("inhabitant", ["thesis.txt", "verdicts.json"])
def test_a_folder_that_is_not_a_report_is_left_alone(
    notebooks: Path, tmp_path: Path, inhabitant: str
) -> None:
    """A mistyped --out must not cost anybody their files, and is told before anything runs."""
    (tmp_path / inhabitant).write_text("[]")
    with pytest.raises(FolderRefused, match="not a report"):
        publish(profile("04_silent"), tmp_path, notebooks=notebooks)
    assert [p.name for p in tmp_path.iterdir()] == [inhabitant]


def test_a_destination_that_cannot_be_is_refused_in_a_sentence(
    notebooks: Path, tmp_path: Path
) -> None:
    """No traceback, and nothing runs for minutes only to find no place to go."""
    (tmp_path / "file").touch()
    with pytest.raises(FolderRefused, match="can't be written to"):
        publish(profile("04_silent"), tmp_path / "file" / "report", notebooks=notebooks)


def test_an_override_that_does_not_fit_stops_everything_beforehand(
    notebooks: Path, tmp_path: Path
) -> None:
    """Nobody waits for a long run that measures something else than was asked for."""
    with pytest.raises(ProfileError, match="has no parameter 'turns'"):
        publish(
            profile("01_held"),
            tmp_path / "report",
            overrides={"01_held": {"turns": 3}},
            notebooks=notebooks,
        )
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("held", "errors", "headline", "ok"),
    [
        ([], [None], "Nothing was claimed.", True),
        ([True], [None], "The one claim held.", True),
        ([True] * 3, [None], "All 3 claims held.", True),
        ([True, False], [None], "1 of 2 claims failed.", False),
        ([False], ["Oh"], "1 of 1 claim failed and 1 notebook crashed.", False),
        ([True], [None, "Oh", "No"], "2 notebooks crashed.", False),
    ],
)
def test_the_headline_never_says_better_than_it_was(
    held: list[bool], errors: list[str | None], headline: str, ok: bool
) -> None:
    """One failure or crash takes the headline, however much else held."""
    verdicts = tuple(Verdict(f"claim {n}", h, "seen") for n, h in enumerate(held))
    runs = tuple(
        Run(str(n), new_notebook(), Path(), 1.0, {}, () if n else verdicts, error)
        for n, error in enumerate(errors)
    )
    report = Report(Path(), "sample", runs, datetime.now(UTC), 1.0, {})
    assert (report.headline, report.ok) == (headline, ok)


@pytest.mark.parametrize(
    ("cells", "title", "question"),
    [
        ([], "07_sample", ""),
        (["# One\n\nWhat?\nAnd why?\n\nMore."], "One", "What?\nAnd why?"),
        (["# One", "## Two\n\nWhat *now*?"], "One", "What *now*?"),
        (["Before.\n\n# One"], "One", "Before."),
    ],
)
def test_a_notebook_is_introduced_by_its_own_first_words(
    cells: list[str], title: str, question: str
) -> None:
    """The front page repeats the heading and the first paragraph, and makes nothing up."""
    written = new_notebook(cells=[new_markdown_cell(cell) for cell in cells])
    run = Run("07_sample", written, Path(), 1.0, {}, (), None)
    assert (run.title, run.question) == (title, question)
