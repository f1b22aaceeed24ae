"""Exhibits that trust one statement to happen at one moment.

A statement looks with the snapshot that it took at its beginning, and writes later. What is
committed in between it does not see, however short the statement is.
"""

# ruff: noqa: S608 - what is put together here is ours; values are parameters

from __future__ import annotations

from typing import TYPE_CHECKING

from booking_core.strategies import Traits, statements
from booking_core.strategies.advisory import CALENDARS
from experiments.scenes.exhibit import Exhibit

if TYPE_CHECKING:
    from booking_core.requests import Request

# Evaluated first, since both looking and writing ask for it; yet it is in the same statement.
LOCKED = f"""
    WITH locked AS MATERIALIZED (
        SELECT pg_advisory_xact_lock({CALENDARS}, calendar)
          FROM unnest(ARRAY[least(%(staff_id)s::integer, %(moved_from)s::integer),
                            greatest(%(staff_id)s::integer, %(moved_from)s::integer)]) AS calendar),
    rival AS ("""
# They are counted, or one row would do and the second calendar's lock would not be asked for.
HELD = f"(SELECT count(*) FROM locked) > 0 AND {statements.RULES_HOLD}"


class NotExists(Exhibit):
    """`INSERT … SELECT … WHERE NOT EXISTS` without a lock, a transaction by itself.

    Two statements look before either has committed its row, and both find nothing.
    """

    name = "not_exists"
    seen = "everywhere: one statement is taken for atomic"
    isolation = "AUTOCOMMIT"
    traits = Traits(waits=False, neighbours_wait="none", round_trips=1, round_trips_under_lock=0)

    def statement(self, request: Request) -> str:
        """Look, and insert or move."""
        return statements.CLAIM_MOVE if request.moves else statements.CLAIM


class LockWithinStatement(NotExists):
    """The calendar's lock, taken by the statement that looks.

    Its snapshot is taken before the lock is granted, so what the one before it committed is not
    seen.
    """

    name = "lock_within_statement"
    seen = "code reviews: the lock was put into a WITH clause to save a round trip"
    traits = Traits(round_trips=1, round_trips_under_lock=0)

    def statement(self, request: Request) -> str:
        """Lock, look, and insert or move."""
        claim = super().statement(request).replace(statements.RULES_HOLD, HELD)
        return claim.replace("WITH rival AS (", LOCKED.strip(), 1)


EXHIBITS_OF_ONE_STATEMENT = (NotExists, LockWithinStatement)
