"""The floors: a room imports only rooms below it, and no files import each other in a circle.

Imports that serve types alone count, and so do those inside functions: who reads a file has to
know what it names, whenever that is loaded.
"""

# ruff: noqa: SIM300 - expected == actual

import ast
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

HOUSE = Path(__file__).parents[2]
# Each package's rooms, from the ground up; a file beside them is a room of one file. The
# package's own face, its `__init__.py`, stands above them all.
ORDERS = {
    "booking_core": (
        "invalid",
        "slots",
        "errors",
        "retry",
        "requests",
        "database",
        "calendar",
        "strategies",
        "schema",
        "claims",
        "booking",
    ),
    "experiments": (
        "server",
        "show",
        "scenes",
        "judge",
        "schedules",
        "sql",
        "steer",
        "waiting",
        "race",
        "hazards",
        "load",
        "bench",
        "explore",
        "availability",
        "model",
        "report",
        "plugin",
        "cli",
    ),
}
Imports = Mapping[str, set[str]]


def _files(package: Path) -> dict[str, Path]:
    """Return a package's files by the names that they are imported under."""
    files = {}
    for path in sorted(package.rglob("*.py")):
        parts = path.relative_to(package.parent).with_suffix("").parts
        files[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return files


def _imported(path: Path, files: AbstractSet[str]) -> set[str]:
    """Return which of a package's files another one imports, wherever in it.

    `from house.attic import trunk` is the file of that name where there is one, whatever else the
    room's `__init__` may call so; any other name is the `__init__`'s.
    """
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} imports relatively"
            module = node.module or ""
            names = {f"{module}.{alias.name}" for alias in node.names}
            imported |= {name if name in files else module for name in names}
    return imported & files


def _imports(package: Path) -> Imports:
    """Return for each file of a package which others of it are imported there."""
    files = _files(package)
    return {name: _imported(path, files.keys()) for name, path in files.items()}


def _room(name: str) -> str:
    """Return the room of a file; the package's own face has none."""
    _, *inside = name.split(".")
    return inside[0] if inside else ""


def _against(imports: Imports, order: Sequence[str]) -> list[str]:
    """Return the imports of what stands above."""
    floors = {room: floor for floor, room in enumerate((*order, ""))}
    return [
        f"{name} imports {other}"
        for name, others in imports.items()
        for other in sorted(others)
        if floors[_room(other)] > floors[_room(name)]
    ]


def _circle(imports: Imports) -> list[str]:
    """Return files that import each other in a circle, the first one twice; none if all is well."""
    try:
        TopologicalSorter(imports).prepare()
    except CycleError as error:
        circle: list[str] = error.args[1]
        return circle
    return []


def _without_words(package: Path) -> list[str]:
    """Return the rooms whose `__init__.py` is missing, or does not say what they are for."""
    faces = [path / "__init__.py" for path in sorted(package.iterdir()) if any(path.glob("*.py"))]
    return [
        face.parent.name
        for face in faces
        if not (face.exists() and ast.get_docstring(ast.parse(face.read_text(encoding="utf-8"))))
    ]


@pytest.mark.parametrize("package", ORDERS)
def test_a_room_imports_only_rooms_below_it(package: str) -> None:
    """Whoever opens a room has met everything that it is built on."""
    assert [] == _against(_imports(HOUSE / package), ORDERS[package])


@pytest.mark.parametrize("package", ORDERS)
def test_no_files_import_each_other_in_a_circle(package: str) -> None:
    """A file can be read, and changed, without those that use it."""
    assert [] == _circle(_imports(HOUSE / package))


@pytest.mark.parametrize("package", ORDERS)
def test_every_room_stands_in_the_order_and_says_what_it_is_for(package: str) -> None:
    """A new room is given its floor, and its `__init__.py` a docstring."""
    rooms = {_room(name) for name in _files(HOUSE / package)} - {""}
    assert sorted(ORDERS[package]) == sorted(rooms)
    assert [] == _without_words(HOUSE / package)


def test_nothing_lies_in_the_hall_of_the_experiments() -> None:
    """Whoever comes in finds rooms."""
    assert ["__init__.py"] == [
        path.name for path in (HOUSE / "experiments").iterdir() if path.is_file()
    ]


# What follows tries the instruments on a house of two rooms that is made up.


@pytest.fixture
def house(tmp_path: Path) -> Path:
    """Build a house with wine in the cellar and a trunk in the attic."""
    for file, text in {
        "__init__.py": "",
        "cellar/__init__.py": '"""What keeps."""\n',
        "cellar/wine.py": "import ast\n",
        "attic/__init__.py": '"""What is kept."""\nfrom house.attic.trunk import open_it, trunk\n',
        "attic/trunk.py": "from house.cellar import wine\nfrom house.cellar.wine import Bottle\n",
    }.items():
        path = tmp_path / "house" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return tmp_path / "house"


def test_a_house_in_order_is_left_in_peace(house: Path) -> None:
    """Imports downwards are what rooms are for."""
    imports = _imports(house)
    assert {"house.cellar.wine"} == imports["house.attic.trunk"]
    assert {"house.attic.trunk"} == imports["house.attic"]
    assert [] == _against(imports, ["cellar", "attic"])
    assert [] == _circle(imports)
    assert [] == _without_words(house)


@pytest.mark.parametrize(
    ("source", "seen"),
    [
        ("import house.attic.trunk", "house.attic.trunk"),
        ("from house.attic.trunk import lid", "house.attic.trunk"),
        ("from house.attic import trunk", "house.attic.trunk"),
        ("from house.attic import open_it", "house.attic"),
        ("from house import door", "house"),
        ("if TYPE_CHECKING:\n    from house.attic.trunk import Lid", "house.attic.trunk"),
        ("def pour():\n    from house.attic import trunk", "house.attic.trunk"),
    ],
)
def test_an_import_against_the_order_is_seen(house: Path, source: str, seen: str) -> None:
    """However it is written, for types alone or inside a function too."""
    (house / "cellar" / "wine.py").write_text(source, encoding="utf-8")
    found = _against(_imports(house), ["cellar", "attic"])
    assert [f"house.cellar.wine imports {seen}"] == found


def test_a_circle_is_seen_even_for_types_and_in_one_room(house: Path) -> None:
    """Of files of one room, and of a file with its room's `__init__.py`."""
    cork = house / "cellar" / "cork.py"
    cork.write_text("from house.cellar.wine import Bottle\n", encoding="utf-8")
    assert [] == _circle(_imports(house))
    wine = house / "cellar" / "wine.py"
    wine.write_text("if TYPE_CHECKING:\n    from house.cellar import cork\n", encoding="utf-8")
    assert {"house.cellar.wine", "house.cellar.cork"} == set(_circle(_imports(house)))
    wine.write_text("", encoding="utf-8")
    trunk = house / "attic" / "trunk.py"
    trunk.write_text("from house.attic import open_it\n", encoding="utf-8")
    assert {"house.attic", "house.attic.trunk"} == set(_circle(_imports(house)))


def test_a_room_without_words_is_seen(house: Path) -> None:
    """One that nobody introduced, and one without a face, which mypy takes for something else."""
    (house / "attic" / "__init__.py").unlink()
    (house / "cellar" / "__init__.py").write_text("", encoding="utf-8")
    assert ["attic", "cellar"] == _without_words(house)
