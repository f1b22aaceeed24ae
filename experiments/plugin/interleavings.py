"""What pytest loads: the option, the mark and the fixture, all called `interleavings`.

A test that asks for the fixture explores one schedule of each kind unless its mark or the command
line says otherwise. A mark wins over the command line, since its test was written for it, but
nothing is explored where that says `off`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from experiments.plugin.bounds import MARK, NAME, Bounds, known

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from experiments.plugin.checking import Interleavings
    from experiments.server.postgres import Database


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add `--interleavings`."""
    parser.getgroup(NAME, "every order of statements").addoption(
        f"--{NAME}",
        type=known,
        default="reduced",
        metavar="SEARCH",
        help="which schedules are played where a test's mark does not say: exhaustive, reduced (one"
        " of each kind, the default), the number of preemptions that are allowed, or off",
    )


def pytest_configure(config: pytest.Config) -> None:
    """Register the mark."""
    config.addinivalue_line("markers", MARK)


@pytest.fixture(scope="module")
def _interleavings_database() -> Iterator[Database]:
    """Give a test module a database of its own; the server is the session's."""
    from experiments.server.postgres import ServerError, fresh_database  # noqa: PLC0415 - not cheap

    try:
        database = fresh_database()
    except ServerError as error:
        raise pytest.fail.Exception(str(error), pytrace=False) from None
    with database:
        yield database


@pytest.fixture
def interleavings(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Interleavings:
    """Explore every order in which clients' statements can run, and fail where one breaks.

    interleavings(clients, setup=..., never=..., server=...) returns what the exploration showed.
    A schedule that breaks an invariant is kept, and played first the next time.
    """
    option = str(request.config.getoption(NAME))
    if option == "off":
        pytest.skip(f"--{NAME}=off")
    from experiments.plugin.checking import Interleavings  # noqa: PLC0415 - not cheap

    return Interleavings(
        request.getfixturevalue("_interleavings_database"),
        Bounds.of(request.node, option),
        request.node,
        _folder(request.config, tmp_path_factory),
    )


def _folder(config: pytest.Config, temporary: pytest.TempPathFactory) -> Path:
    """Say where counterexamples are kept: for this run only where pytest keeps nothing."""
    if config.pluginmanager.has_plugin("cacheprovider"):
        return config.cache.mkdir(NAME)
    return temporary.mktemp(NAME)
