"""The staff row locked FOR UPDATE and FOR NO KEY UPDATE, beside an insert that asks for no lock.

An insert of an appointment checks its foreign key by locking the staff row FOR KEY SHARE. FOR
UPDATE announces that the key may change or the row may go, so the insert waits; FOR NO KEY UPDATE
announces that neither happens, and lets it through. Whoever holds the row may be a booking, or
anybody who edits the staff member; the insert is an import that knows nothing of strategies.

Manual: 13.3.2 Row-Level Locks, table 13.3.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any

import pandas as pd
from sqlalchemy import text

from booking_core.strategies import DEFAULT
from experiments.hazards.hazard import Hazard, never, side
from experiments.hazards.together import timed
from experiments.scenes.shapes import SHAPES
from experiments.scenes.stage import Stage
from experiments.server.postgres import fresh_database
from experiments.waiting.onlooker import Onlooker, until

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sqlalchemy import Engine

LOCKS = {
    "FOR UPDATE": text("SELECT id FROM staff FOR UPDATE"),
    "FOR NO KEY UPDATE": text("SELECT id FROM staff FOR NO KEY UPDATE"),
}
HARSH, MILD = LOCKS
_IMPORT = text("""
    INSERT INTO appointment (staff_id, service_id, client, during, blocked, request_digest)
    SELECT staff.id, service.id, 'Import', place, place, ''
      FROM staff, service, tstzrange('2030-01-07 09:00Z', '2030-01-07 10:00Z') AS place
""")


def parent_row(*, hold_ms: float = 100.0, rounds: int = 4) -> Hazard:
    """Insert an appointment while its staff member's row is locked.

    Args:
        hold_ms: How long the row stays locked once the insert has been answered or waits.
        rounds: How often, the variants in turn.
    """
    rows = []
    with fresh_database() as database, ThreadPoolExecutor(1) as threads:
        control, importer = database.engine(), database.engine()
        stage = Stage(control, DEFAULT(), SHAPES["same_slot"].scene(1))
        _insert(importer)
        with Onlooker(control) as onlooker:
            for number in range(1, rounds + 1):
                for variant, lock in LOCKS.items():
                    stage.reset()
                    with control.begin() as holder:
                        holder.execute(lock)
                        imported = threads.submit(timed, partial(_insert, importer))
                        until(partial(_settled, onlooker, imported))
                        blocked = not imported.done()
                        # How long the row is held is the experiment's choice, not a condition.
                        time.sleep(hold_ms / 1000)
                    _, insert_ms = imported.result()
                    rows.append(
                        {
                            "variant": variant,
                            "round": number,
                            "blocked": int(blocked),
                            "insert_ms": insert_ms,
                        }
                    )
    runs = pd.DataFrame(rows)
    median = runs.groupby("variant")["insert_ms"].median()
    return Hazard(
        name="parent_row",
        question="Who waits for a staff row that is locked?",
        setting=f"an appointment is inserted while the staff row is locked, {hold_ms:.0f} ms",
        runs=runs,
        sentence=f"Beside {HARSH} an insert took {median[HARSH]:.1f} ms, which is as long as the"
        f" row was held; beside {MILD} {median[MILD]:.1f} ms.",
        sides=(
            side(HARSH, runs[runs["variant"] == HARSH], "insert_ms"),
            side(MILD, runs[runs["variant"] == MILD], "insert_ms"),
        ),
        verdicts=(
            never(
                "FOR UPDATE on the staff row blocks inserts of appointments",
                runs[runs["variant"] == HARSH]["blocked"] == 0,
                "an insert let through",
                "rounds",
            ),
            never(
                "FOR NO KEY UPDATE lets them through",
                runs[runs["variant"] == MILD]["blocked"] > 0,
                "an insert blocked",
                "rounds",
            ),
        ),
    )


def _settled(onlooker: Onlooker, work: Future[Any]) -> bool:
    """Whether the work is done, or waits for a lock."""
    return work.done() or onlooker.waiting() > 0


def _insert(importer: Engine) -> None:
    with importer.begin() as connection:
        connection.execute(_IMPORT)
