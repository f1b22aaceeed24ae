"""SERIALIZABLE that looks through a GiST index, beside one that looks through a btree.

Two transactions look for rivals, find none, insert and commit, the second after the first has
committed: no race, no chance. One of them must fail (40001), for in every serial order the second
would have found the first. PostgreSQL 18.6 lets both commit where the check goes through a GiST
index that has grown beyond one page. Through a btree, or by reading the whole table, the second
is refused each time. On a nearly empty calendar all three refuse, which is why tests that begin
with empty tables see nothing.

What seems to happen (inferred from what varies, not read in the source): a scan that finds no
branch to descend into notes only the upper page as read. The first insert widens a key on that
page, which is a conflict; the second fits under the widened key and touches only the leaf, which
nobody has noted.

Manual: 13.2.3 Serializable Isolation Level; 64.2 GiST Indexes.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from sqlalchemy import Engine, exc, text

from booking_core.strategies.optimistic import Serializable
from experiments.hazards.hazard import Hazard, never
from experiments.scenes.shapes import SHAPES
from experiments.scenes.stage import Stage
from experiments.server.postgres import fresh_database

if TYPE_CHECKING:
    from booking_core.strategies import Strategy


class ThroughGist(Serializable):
    """The strategy as one writes it first: it looks through the index that all others use."""

    name = "serializable_through_gist"
    needs = ()


VARIANTS: dict[str, type[Strategy]] = {"GiST": ThroughGist, "btree": Serializable}
GIST, BTREE = VARIANTS
_FILL = text("""
    INSERT INTO appointment (staff_id, service_id, client, during, blocked, request_digest)
    SELECT staff.id, service.id, 'Earlier', place, place, ''
      FROM staff, service, generate_series(1, :stored) AS number,
           LATERAL (SELECT timestamptz '2030-01-07 00:00Z' - make_interval(hours => number) AS hour)
               AS long_ago,
           tstzrange(hour, hour + interval '1 hour') AS place
""")
_WANTED = "tstzrange('2030-01-07 09:00Z', '2030-01-07 10:00Z')"
_LOOK = text(f"""
    SELECT appointment.id FROM appointment JOIN staff ON staff.id = staff_id
     WHERE staff_id = 1 AND status = 'confirmed' AND blocked && {_WANTED}
""")  # noqa: S608 - our own
_INSERT = text(f"""
    INSERT INTO appointment (staff_id, service_id, client, during, blocked, request_digest)
    SELECT 1, service.id, 'Somebody', {_WANTED}, {_WANTED}, '' FROM service
""")  # noqa: S608 - our own
# As the planner would, were the table large; who reads all of a small one notes all of it.
_USE_THE_INDEX = text("SET LOCAL enable_seqscan = off")


def blind_index(*, stored: int = 400, rounds: int = 4) -> Hazard:
    """Let two transactions check, then insert and commit, one after the other.

    Args:
        stored: Appointments that are there already; a page holds some two hundred.
        rounds: How often, with each index.
    """
    rows = []
    with fresh_database() as database:
        for variant, strategy in VARIANTS.items():
            database.clear()
            engine = database.engine(isolation_level="SERIALIZABLE")
            Stage(database.engine(), strategy(), SHAPES["same_slot"].scene(2))
            for number in range(1, rounds + 1):
                with engine.begin() as connection:
                    connection.execute(text("TRUNCATE appointment CASCADE"))
                    connection.execute(_FILL, {"stored": stored})
                refused = _second_is_refused(engine)
                rows.append(
                    {
                        "variant": variant,
                        "round": number,
                        "booked_twice": int(not refused),
                        "second_refused": int(refused),
                    }
                )
    return _judged(pd.DataFrame(rows), stored)


def _second_is_refused(engine: Engine) -> bool:
    """Let both book, and tell what became of the second."""
    with engine.connect() as first, engine.connect() as second:
        for session in (first, second):
            session.execute(_USE_THE_INDEX)
            assert session.execute(_LOOK).first() is None
        first.execute(_INSERT)
        first.commit()
        try:
            second.execute(_INSERT)
            second.commit()
        except exc.OperationalError as error:
            if getattr(error.orig, "sqlstate", None) != "40001":
                raise
            return True
        return False


def _judged(runs: pd.DataFrame, stored: int) -> Hazard:
    by_gist, by_btree = (runs[runs["variant"] == variant] for variant in VARIANTS)
    twice = int(by_gist["booked_twice"].sum())
    return Hazard(
        name="blind_index",
        question="Does SERIALIZABLE keep two bookings of one slot apart, whatever the index?",
        setting=f"two transactions look, insert and commit in turn; {stored} appointments are"
        " there already",
        runs=runs,
        sentence=f"Where the check went through the {GIST} index, both committed in {twice} of"
        f" {len(by_gist)} rounds: the slot was booked twice, under SERIALIZABLE. Through the"
        f" {BTREE} the second was refused in {int((by_btree['booked_twice'] == 0).sum())} of"
        f" {len(by_btree)}.",
        verdicts=(
            never(
                "SERIALIZABLE that looks through a btree refuses the second of two bookings",
                by_btree["booked_twice"] > 0,
                "booked twice",
                "rounds",
            ),
        ),
    )
