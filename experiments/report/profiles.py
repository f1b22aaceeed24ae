"""Which notebooks a report runs, with which parameters, and about how long that takes.

A profile is a TOML file beside this module: `quick`, `full`, or one of your own.

    execution_timeout = 120            # seconds that one cell may take

    [notebooks.04_contention]
    seconds = 60                       # about how long the notebook takes on two cores
    parameters.levels = [2, 5, 10]     # instead of the notebook's own

papermill only warns about a parameter that a notebook doesn't have, and then measures something
else than was asked for. Everything is therefore compared with the notebooks before one runs.
"""

import ast
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import papermill

FOLDER = Path(__file__).parent / "profiles"
NOTEBOOKS = Path(__file__).parents[2] / "notebooks"

TYPES = {"int": int, "float": float, "str": str, "bool": bool, "list": list, "dict": dict}


class ProfileError(Exception):
    """A profile, or what overrides it, does not fit the notebooks. The message is for users."""


@dataclass(frozen=True, slots=True)
class PlannedNotebook:
    """One notebook of a profile.

    Attributes:
        name: Its file's name without the suffix.
        seconds: About how long it takes on two cores.
        parameters: What is set differently from the notebook's own parameters.
    """

    name: str
    seconds: int
    parameters: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Profile:
    """What one report runs.

    Attributes:
        name: What the profile is called.
        execution_timeout: Seconds that one cell may take before its notebook counts as crashed.
        notebooks: In the order in which they run.
    """

    name: str
    execution_timeout: int
    notebooks: tuple[PlannedNotebook, ...]

    @property
    def seconds(self) -> int:
        """About how long all of it takes."""
        return sum(notebook.seconds for notebook in self.notebooks)

    def overridden(self, overrides: Mapping[str, Mapping[str, Any]]) -> "Profile":
        """Set parameters of some notebooks differently.

        Args:
            overrides: For each notebook's name its parameters.

        Returns:
            A profile with the parameters replaced; those not named stay as they are.

        Raises:
            ProfileError: A notebook is not part of this profile.
        """
        planned = [notebook.name for notebook in self.notebooks]
        for name in overrides:
            if name not in planned:
                raise ProfileError(f"{self.name} runs {_listed(planned)}, but not {name}")
        notebooks = tuple(
            replace(notebook, parameters=notebook.parameters | dict(overrides[notebook.name]))
            if notebook.name in overrides
            else notebook
            for notebook in self.notebooks
        )
        return replace(self, notebooks=notebooks)

    def check(self, folder: Path = NOTEBOOKS) -> None:
        """Make sure that every notebook is there and takes its parameters.

        Args:
            folder: Where the notebooks are.

        Raises:
            ProfileError: A notebook is missing, or doesn't know a parameter, or expects
                another type.
        """
        for notebook in self.notebooks:
            path = folder / f"{notebook.name}.ipynb"
            if not path.is_file():
                raise ProfileError(f"{self.name} names {notebook.name}, which is no notebook here")
            known = papermill.inspect_notebook(path)
            for name, value in notebook.parameters.items():
                if name not in known:
                    raise ProfileError(
                        f"{notebook.name} has no parameter {name!r}; it has {_listed(known)}"
                    )
                _check_parameter(f"{notebook.name}: {name}", value, known[name])


def load(name: str | Path, folder: Path = FOLDER) -> Profile:
    """Read a profile.

    Args:
        name: The name of one in `folder`, or the path of a TOML file.
        folder: Where the named profiles are.

    Returns:
        The profile, not yet compared with the notebooks.

    Raises:
        ProfileError: There is no such profile, or it can't be understood.
    """
    path = Path(name) if Path(name).suffix == ".toml" else folder / f"{name}.toml"
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ProfileError(f"no profile {name}; there are {_listed(names(folder))}") from None
    except tomllib.TOMLDecodeError as error:
        raise ProfileError(f"profile {name}: {error}") from error
    _check_keys(f"profile {name}", content, {"execution_timeout": int, "notebooks": dict})
    for notebook, plan in content["notebooks"].items():
        _check_kind(f"profile {name}: {notebook}", plan, dict)
        plan.setdefault("parameters", {})
        _check_keys(f"profile {name}, {notebook}", plan, {"seconds": int, "parameters": dict})
    return Profile(
        name=path.stem,
        execution_timeout=content["execution_timeout"],
        notebooks=tuple(
            PlannedNotebook(name=notebook, **plan)
            for notebook, plan in content["notebooks"].items()
        ),
    )


def names(folder: Path = FOLDER) -> list[str]:
    """List the profiles that can be named.

    Args:
        folder: Where the named profiles are.

    Returns:
        Their names in alphabetical order.
    """
    return sorted(path.stem for path in folder.glob("*.toml"))


def _check_keys(where: str, content: dict[str, Any], expected: dict[str, type]) -> None:
    if content.keys() != expected.keys():
        raise ProfileError(f"{where}: expected {_listed(expected)}, found {_listed(content)}")
    for key, kind in expected.items():
        _check_kind(f"{where}: {key}", content[key], kind)


def _check_parameter(where: str, value: object, known: dict[str, str]) -> None:
    # papermill tells a parameter's annotation and its default, both as source text.
    try:
        default = ast.literal_eval(known["default"])
    except (ValueError, SyntaxError):
        default = None
    annotation = known["inferred_type_name"].split("[")[0]
    kind = TYPES.get(annotation, type(default))
    if kind is not type(None):
        _check_kind(where, value, kind)
    if isinstance(value, list) and isinstance(default, list) and default:
        for element in value:
            _check_kind(f"an element of {where}", element, type(default[0]))


def _check_kind(where: str, value: object, kind: type) -> None:
    # An int will do for a float; a bool is an int for Python only.
    fits = isinstance(value, int | float) if kind is float else isinstance(value, kind)
    if not fits or (isinstance(value, bool) and kind is not bool):
        raise ProfileError(f"{where} must be of type {kind.__name__}, not {value!r}")


def _listed(found: Iterable[str]) -> str:
    return ", ".join(found) or "none"
