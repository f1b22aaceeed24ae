"""What several tests of the database use."""

from collections.abc import Iterator

import pytest

from experiments.availability.cost_of_losing import counted


@pytest.fixture
def queries() -> Iterator[list[str]]:
    """Collect the queries that are asked; each is a round trip, its transaction included."""
    with counted() as asked:
        yield asked
