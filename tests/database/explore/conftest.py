"""What several tests of the explorer use."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from experiments.server.database import Database


@pytest.fixture
def empty(database: Database) -> Callable[[], Database]:
    """The module's database, emptied for each exploration."""
    return database.clear
