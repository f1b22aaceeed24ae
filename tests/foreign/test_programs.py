"""Other people's programs, unmodified, are explored completely and judged rightly."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING

import pytest

from experiments.explore.explore import explore_program
from experiments.explore.foreign import explore_stacks, missing, program

if TYPE_CHECKING:
    import pandas as pd

SCHEDULES = {"same slot": 8, "overlapping": 70, "adjacent": 70}


def there(name: str) -> None:
    """Skip where the tools of a stack are not there."""
    if reason := missing(name):
        pytest.skip(reason)


@cache
def explored(name: str) -> pd.DataFrame:
    """Explore a stack once for all tests that look at what came of it."""
    return explore_stacks([name], progress=False)


# asyncpg, psycopg2, and what Django's select_for_update locks are in 11_your_own_code: its tables,
# which nbval compares, and its verdicts say the same of them. Django's handler is the report's.
@pytest.mark.parametrize("name", ["node-pg", "prisma"])
def test_six_drivers_of_one_protocol_agree(name: str) -> None:
    """The same statements make the same schedules, whatever sends them.

    The origin's handler holds under SERIALIZABLE. Under READ COMMITTED its key lets overlapping
    bookings through in 60 of 70 schedules.
    """
    there(name)

    table = explored(name)

    assert table["complete"].all()
    assert not table["other faults"].any()
    for row in table.to_dict("records"):
        broken = 60 if (row["isolation"], row["asked"]) == ("READ COMMITTED", "overlapping") else 0
        assert (row["schedules"], row["double bookings"]) == (SCHEDULES[row["asked"]], broken)
        assert row["errors told"] == 0 or name == "prisma"


def test_a_pool_of_one_makes_the_second_wait_inside() -> None:
    """Nobody sends anything while somebody else has the connection; who begins is a choice."""
    there("node-pg")
    stack = program("node-pg", "SERIALIZABLE", "overlapping")
    assert stack.server
    server = replace(stack.server, env={**stack.server.env, "POOL": "1"})

    result = explore_program(replace(stack, server=server, pause=0.05))

    assert result.complete
    assert result.holds
    assert (result.schedules, len(result.outcomes)) == (10, 2)


def test_prismas_documented_retry_does_not_see_a_refusal_at_commit() -> None:
    """Refused at COMMIT, its transaction throws an error without the code that is tried again."""
    there("prisma")

    table = explored("prisma").set_index(["isolation", "asked"])

    assert table.loc[("SERIALIZABLE", "overlapping"), "errors told"] > 0
    assert table.loc["READ COMMITTED", "errors told"].sum() == 0
