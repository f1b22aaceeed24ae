"""The house: booking_core stands alone, stays small, and says what it is for."""

# ruff: noqa: SIM300 - expected == actual

import ast
import io
import subprocess
import sys
import tokenize
from dataclasses import asdict
from pathlib import Path

import pytest

import booking_core
from booking_core.database.session import Isolation
from booking_core.strategies import DEFAULT, STRATEGIES, Strategy
from experiments.scenes.choosing import choose_when

CORE = Path(booking_core.__file__).parent
MODULES = sorted(CORE.rglob("*.py"))
NAMES = [path.relative_to(CORE.parent).as_posix() for path in MODULES]
MOST_LINES = 250  # of code, in one file: what is more wants to be two
MOST_IN_ALL = 2_000  # what can be read over one coffee
ALLOWED = {"booking_core", "psycopg", "sqlalchemy", *sys.stdlib_module_names}
WITHOUT_CODE = {
    tokenize.COMMENT,
    tokenize.DEDENT,
    tokenize.ENDMARKER,
    tokenize.INDENT,
    tokenize.NEWLINE,
    tokenize.NL,
}


def _imported(path: Path) -> set[str]:
    """Return the top-level packages that a module imports, wherever in it."""
    packages = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            packages |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name} imports relatively"
            packages.add((node.module or "").partition(".")[0])
    return packages


def _lines_of_code(source: str) -> int:
    """Count the lines that hold code: neither blank, nor a comment, nor a docstring."""
    documented: set[int] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef)) and ast.get_docstring(
            node
        ):
            text = node.body[0]
            documented |= set(range(text.lineno, (text.end_lineno or 0) + 1))
    lines = {
        line
        for token in tokenize.generate_tokens(io.StringIO(source).readline)
        if token.type not in WITHOUT_CODE
        for line in range(token.start[0], token.end[0] + 1)
    }
    return len(lines - documented)


def test_lines_are_counted_without_words() -> None:
    """The measure that the next test relies on."""
    source = (
        '"""Two\nlines."""\n\n# A comment.\ndef one():\n    """Words."""\n    return """a\nb"""\n'
    )
    assert 3 == _lines_of_code(source)


@pytest.mark.parametrize("path", MODULES, ids=NAMES)
def test_a_module_of_the_core_is_small_and_stands_alone(path: Path) -> None:
    """It imports nothing of the experiments, nor what only they need, and is read at one go."""
    assert set() == _imported(path) - ALLOWED
    assert _lines_of_code(path.read_text(encoding="utf-8")) <= MOST_LINES
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


def test_the_core_stays_small() -> None:
    """Whoever wants to see how a lock keeps rivals out reads all of it at one sitting."""
    counts = {
        name: _lines_of_code(path.read_text(encoding="utf-8"))
        for name, path in zip(NAMES, MODULES, strict=True)
    }
    assert sum(counts.values()) <= MOST_IN_ALL, counts


def test_the_core_can_be_imported_without_the_lab() -> None:
    """A booking product takes booking_core and none of the lab's dependencies."""
    script = (
        "import sys, booking_core, booking_core.schema, booking_core.calendar.availability\n"
        "print(*sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", script], check=True, capture_output=True, text=True, cwd=CORE.parent
    ).stdout.split()
    assert "booking_core" in loaded
    lab = {"experiments", "click", "matplotlib", "pandas", "papermill", "numpy", "simpy", "IPython"}
    assert set() == lab & set(loaded)


def test_every_public_name_exists() -> None:
    """What `__all__` promises can be imported."""
    assert [] == [name for name in booking_core.__all__ if not hasattr(booking_core, name)]


def test_the_sound_strategies_are_the_ones_that_readers_know() -> None:
    """Twelve, under these names, and the one that is put into production is among them."""
    assert [
        "advisory",
        "advisory_try",
        "exclusion",
        "function",
        "one_statement",
        "serializable",
        "staff_row",
        "staff_row_nowait",
        "staff_row_skip_locked",
        "table_lock",
        "temporal_key",
        "version",
    ] == sorted(STRATEGIES)
    assert DEFAULT in STRATEGIES.values()


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES))
def test_a_strategy_says_how_it_works_what_it_costs_and_when_to_choose_it(
    strategy: type[Strategy],
) -> None:
    """Engineers read the docstring, stakeholders the sentence, instruments the traits."""
    words = strategy.__doc__ or ""
    assert ["How:", "Cost:", "Manual:"] == [
        part for part in ("How:", "Cost:", "Manual:") if part in words
    ]
    assert choose_when(strategy).endswith(".")
    assert strategy.sound
    assert strategy.isolation in Isolation.__args__  # type: ignore[attr-defined]
    assert 0 <= strategy.traits.round_trips_under_lock < strategy.traits.round_trips
    # What is not waited for is either refused or tried again.
    assert strategy.traits.waits or strategy.retry.attempts > 1


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=list(STRATEGIES))
def test_traits_are_plain_values(strategy: type[Strategy]) -> None:
    """Tables and JSON show them as they are."""
    traits = asdict(strategy.traits)
    assert {
        "waits",
        "may_answer_busy",
        "neighbours_wait",
        "neighbours_retry",
        "round_trips",
        "round_trips_under_lock",
    } == set(traits)
    assert all(isinstance(value, (bool, int, str)) for value in traits.values())
