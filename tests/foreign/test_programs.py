"""Other people's programs, unmodified, are explored completely and judged rightly."""

from __future__ import annotations

from dataclasses import replace

import pytest

from experiments.explore.explore import explore_program
from experiments.explore.foreign import ASKED, STACKS, explore_stacks, levels, missing, program

SCHEDULES = {"same slot": 8, "overlapping": 70, "adjacent": 70}


def there(name: str) -> None:
    """Skip where the tools of a stack are not there."""
    if reason := missing(name):
        pytest.skip(reason)


HANDLERS = [name for name in STACKS if not STACKS[name].lock]


@pytest.mark.parametrize("name", HANDLERS)
def test_six_drivers_of_one_protocol_agree(name: str) -> None:
    """The same statements make the same schedules, whatever sends them.

    The origin's handler holds under SERIALIZABLE. Under READ COMMITTED its key lets overlapping
    bookings through in 60 of 70 schedules.
    """
    there(name)

    table = explore_stacks([name], progress=False)

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

    table = explore_stacks(["prisma"], progress=False).set_index(["isolation", "asked"])

    assert table.loc[("SERIALIZABLE", "overlapping"), "errors told"] > 0
    assert table.loc["READ COMMITTED", "errors told"].sum() == 0


@pytest.mark.parametrize("asked", ASKED)
def test_what_select_for_update_locks_decides(asked: str) -> None:
    """Over the appointments there is nothing to lock before the first; over the person it holds."""
    there("django")
    results = {
        name: explore_program(program(name, *levels(name), asked))
        for name in ("django, appointments locked", "django, person locked")
    }

    assert all(result.complete for result in results.values())
    assert results["django, person locked"].holds
    assert results["django, appointments locked"].holds == (asked == "adjacent")
