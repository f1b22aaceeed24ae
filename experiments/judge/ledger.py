"""The ledger: what every client was told, held against the rows by the database itself.

`experiments.judge.history` judges a round of some dozen requests in Python. A load has hundreds of
thousands, with cancels and moves among them, so its replies are copied into the database and
compared there. That is possible because an appointment is moved and cancelled only by the virtual
user who booked it, one call after the other: its replies tell where it stood, and when.

A stay is the time that an appointment spent at one place. It began while the request that put it
there was open, and ended while the one that took it away was. So it certainly lasted from the end
of the first to the start of the second, and possibly from the start of the first to the end of
the second. Two appointments that certainly stood in each other's way at one time are a double
booking, even if one of them is gone by now; a conflict may name whoever possibly did.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from sqlalchemy import text

from experiments.judge.history import DOUBLE_BOOKINGS
from experiments.scenes.places import GRID, STEP
from experiments.scenes.shapes import OPENING

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    from numpy.typing import NDArray
    from sqlalchemy import Connection, TextClause

_AT_ONCE = 10_000  # replies that are Python objects at a time

# What a reply was about, in the words of the rows.
_REPLY = text("""
    CREATE TEMP TABLE reply ON COMMIT DROP AS
    SELECT (CAST(:operations AS text[]))[told.operation + 1] AS operation,
           (CAST(:outcomes AS text[]))[told.outcome + 1] AS outcome,
           vu || '-' || number AS client,
           staff_id::integer,
           tstzrange(:opening + start * :grid, :opening + start * :grid + :step) AS place,
           nullif(appointment_id, 0) AS appointment_id,
           taken_by, started, ended
      FROM told
""")
# All that may have changed an appointment. A booking whose answer was lost is found by its client.
_CHANGE = """
    CREATE TEMP TABLE change ON COMMIT DROP AS
    SELECT coalesce(reply.appointment_id, row.id) AS appointment_id,
           operation, outcome, reply.staff_id, place, started, ended
      FROM reply
      LEFT JOIN appointment AS row ON outcome = 'unknown' AND row.client = reply.client
     WHERE outcome IN ('booked', 'cancelled', 'unknown')
"""
_STAY = """
    CREATE TEMP TABLE stay ON COMMIT DROP AS
    SELECT appointment_id, staff_id, place, possible, certain
      FROM (SELECT *,
                   int8range(started, min(ended) FILTER (WHERE outcome <> 'unknown') OVER later)
                       AS possible,
                   CASE WHEN outcome <> 'unknown' AND (min(started) OVER later < ended) IS NOT TRUE
                        THEN int8range(ended, min(started) OVER later)
                   END AS certain
              FROM change
            WINDOW later AS (PARTITION BY appointment_id ORDER BY started
                             ROWS BETWEEN 1 FOLLOWING AND UNBOUNDED FOLLOWING)) AS changed
     WHERE operation <> 'cancel'
"""
_PREPARE = (
    _CHANGE,
    _STAY,
    "CREATE INDEX ON stay USING gist (staff_id, place, certain)",
    "CREATE INDEX ON stay (appointment_id)",
    "ANALYZE reply, change, stay, appointment",
)

_SEEN_DOUBLE = text("""
    SELECT count(DISTINCT (one.appointment_id, other.appointment_id))
      FROM stay AS one
      JOIN stay AS other
        ON one.appointment_id < other.appointment_id AND one.staff_id = other.staff_id
           AND one.place && other.place AND one.certain && other.certain
""")
_BOOKINGS_WITHOUT_ROW = text("""
    SELECT count(*)
      FROM reply
      LEFT JOIN appointment AS row ON row.id = appointment_id AND row.client = reply.client
     WHERE operation = 'book' AND outcome = 'booked' AND row.id IS NULL
""")
_ROWS_WITHOUT_BOOKING = text("""
    SELECT count(*)
      FROM appointment AS row
      LEFT JOIN reply
        ON reply.client = row.client AND operation = 'book'
           AND (outcome = 'booked' AND appointment_id = row.id OR outcome = 'unknown')
     WHERE reply.client IS NULL AND row.client <> :practice
""")
_ROWS_OTHERWISE = text("""
    SELECT count(*)
      FROM (SELECT DISTINCT ON (appointment_id) *
              FROM change ORDER BY appointment_id, started DESC) AS last
      JOIN appointment AS row ON row.id = appointment_id
     WHERE outcome <> 'unknown'
       AND (row.staff_id, row.blocked, row.status) IS DISTINCT FROM
           (last.staff_id, place, CASE outcome WHEN 'cancelled' THEN outcome ELSE 'confirmed' END)
""")
_FALSE_CONFLICTS = text("""
    SELECT count(*)
      FROM reply
     WHERE outcome = 'conflict' AND NOT EXISTS (
           SELECT FROM stay
            WHERE stay.appointment_id = taken_by
              AND stay.appointment_id IS DISTINCT FROM reply.appointment_id
              AND stay.staff_id = coalesce(reply.staff_id, stay.staff_id)
              AND stay.place && reply.place
              AND possible && int8range(started, ended, '[]'))
""")


@dataclass(frozen=True, slots=True)
class Judgement:
    """How often a property was broken; all zero where none was.

    Attributes:
        double_bookings: Pairs of confirmed appointments that overlap in the rows, or did
            according to the replies.
        bookings_without_row: `booked` replies that own no row.
        rows_without_booking: Rows that no `booked` reply owns.
        rows_otherwise: Appointments that are not where, or not what, the last reply about them
            said.
        false_conflicts: Conflicts that name an appointment which did not overlap while the
            request was open.
    """

    double_bookings: int = 0
    bookings_without_row: int = 0
    rows_without_booking: int = 0
    rows_otherwise: int = 0
    false_conflicts: int = 0

    @property
    def dishonest_replies(self) -> int:
        """How many replies the rows contradict, in whatever way."""
        faults: int = sum(asdict(self).values())
        return faults - self.double_bookings

    def as_dict(self) -> dict[str, int]:
        """Return the counts by name, the sum of dishonest replies among them."""
        return {**asdict(self), "dishonest_replies": self.dishonest_replies}


def judge(
    connection: Connection,
    replies: NDArray[np.void],
    *,
    operations: Sequence[str],
    outcomes: Sequence[str],
    practice: str,
) -> Judgement:
    """Hold the replies to a load against the rows.

    Args:
        connection: To the database, when everybody is done. Temporary tables are made and go with
            the transaction.
        replies: One record a reply, of whole numbers: vu and number (whose name the row bears,
            as "vu-number"), operation, outcome, staff_id, start (in steps of the salon's grid),
            appointment_id, taken_by, started, ended; others are of no interest. Calls that concern
            one appointment must not overlap in time.
        operations: The words for the numbers of operations, `book` and `cancel` among them.
        outcomes: The words for the numbers of outcomes.
        practice: The client of rows that nobody asked for in the load.
    """
    columns = ", ".join(f"{name} bigint" for name in replies.dtype.names or ())
    connection.exec_driver_sql(f"CREATE TEMP TABLE told ({columns}) ON COMMIT DROP")
    _copy(connection, replies)
    connection.execute(
        _REPLY,
        {
            "operations": list(operations),
            "outcomes": list(outcomes),
            "opening": OPENING,
            "grid": GRID,
            "step": STEP,
        },
    )
    for statement in _PREPARE:
        connection.exec_driver_sql(statement)

    return found(
        connection,
        bookings_without_row=_BOOKINGS_WITHOUT_ROW,
        rows_without_booking=_ROWS_WITHOUT_BOOKING,
        rows_otherwise=_ROWS_OTHERWISE,
        practice=practice,
    )


def found(
    connection: Connection,
    *,
    bookings_without_row: TextClause,
    rows_without_booking: TextClause,
    rows_otherwise: TextClause,
    practice: str,
) -> Judgement:
    """Count what is wrong, once the tables `reply`, `change` and `stay` are made.

    Args:
        connection: To the database.
        bookings_without_row: Counts the replies that own no row.
        rows_without_booking: Counts the rows that no reply owns, but for those of `:practice`.
        rows_otherwise: Counts the appointments that are not as the last reply about them said.
        practice: The client of rows that nobody asked for in the load.
    """

    def count(query: TextClause, **parameters: str) -> int:
        return int(connection.execute(query, parameters).scalar_one())

    return Judgement(
        double_bookings=max(count(DOUBLE_BOOKINGS), count(_SEEN_DOUBLE)),
        bookings_without_row=count(bookings_without_row),
        rows_without_booking=count(rows_without_booking, practice=practice),
        rows_otherwise=count(rows_otherwise),
        false_conflicts=count(_FALSE_CONFLICTS),
    )


def _copy(connection: Connection, replies: NDArray[np.void]) -> None:
    session = connection.connection.driver_connection
    assert session is not None
    with session.cursor() as cursor, cursor.copy("COPY told FROM STDIN") as copy:
        for first in range(0, len(replies), _AT_ONCE):
            for told in replies[first : first + _AT_ONCE].tolist():
                copy.write_row(told)
