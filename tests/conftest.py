"""One PostgreSQL server for all the tests, started when the first test needs it.

It is passed on through the environment, so the kernels that nbval starts for the notebooks use
it too. Unit tests alone start none.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from experiments.server.postgres import Database, ServerError, fresh_database, server

# How many examples are tried: fewer while somebody waits, Hypothesis's hundred in CI, and many more
# with --hypothesis-profile=full.
settings.register_profile("quick", max_examples=40)
settings.register_profile("full", max_examples=2000)
settings.load_profile("quick")
SANITIZE = Path(__file__).parent / "notebooks" / "sanitize.cfg"


def pytest_configure(config: pytest.Config) -> None:
    """Tell nbval what to overlook, wherever pytest was called from."""
    if getattr(config.option, "nbval_sanitize_with", "") is None:
        config.option.nbval_sanitize_with = str(SANITIZE)


def _need_server(items: list[pytest.Item]) -> bool:
    return any("database" in item.path.parts or item.path.suffix == ".ipynb" for item in items)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_finish(session: pytest.Session) -> None:
    """Start the server before the first kernel could inherit an environment without it."""
    if not session.config.option.collectonly and _need_server(session.items):
        try:
            server()
        except ServerError as error:
            raise pytest.UsageError(str(error)) from None


def pytest_report_collectionfinish(config: pytest.Config, items: list[pytest.Item]) -> list[str]:
    """Name the server, as soon as it is known which one it is."""
    needed = not config.option.collectonly and _need_server(items)
    return [f"server: {server().description}"] if needed else []


@pytest.fixture(scope="module")
def database() -> Iterator[Database]:
    """Give a test module a database of its own."""
    with fresh_database() as fresh:
        yield fresh


@pytest.fixture
def fresh() -> Iterator[Database]:
    """Give one test a database of its own."""
    with fresh_database() as fresh:
        yield fresh
