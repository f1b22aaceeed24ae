"""Optimistic strategies: nobody is kept out; who was overtaken notices, and starts again.

They are cheapest where rivals are rare. Where they are not, work is thrown away, and the more
rivals there are the more of it.
"""

from typing import ClassVar

from booking_core.errors import SerializationFailure
from booking_core.retry import RetryPolicy
from booking_core.strategies.base import Strategy, Traits
from booking_core.strategies.transaction import BookingTransaction

READ_VERSIONS = "SELECT id, calendar_version FROM staff WHERE id = ANY(%(staff_ids)s) ORDER BY id"
COMPARE_AND_SET = """
    UPDATE staff SET calendar_version = calendar_version + 1
     WHERE id = %(staff_id)s AND calendar_version = %(seen)s RETURNING 1"""


class Serializable(Strategy):
    """SERIALIZABLE, and another try whenever PostgreSQL refuses with 40001.

    How: no lock is taken. PostgreSQL notes what was read and fails one of two transactions whose
    reads and writes contradict every serial order; the service tries again with jitter.
    It must not look through a GiST index: once that has several pages, PostgreSQL (18.6 and
    before) overlooks contradictions, and both commit. So the index of the others goes, and all
    appointments of a staff member are read, through a btree.
    Cost: retry storms as clients grow. Reads are noted by index page, so neighbours on the same
    page are failed (and tried again) too. Every other writer must be SERIALIZABLE as well.
    Manual: 13.2.3 Serializable Isolation Level; 13.5 Serialization Failure Handling. The blind
    index: `experiments/hazards/blind_index.py`.
    """

    name = "serializable"
    isolation = "SERIALIZABLE"
    needs: ClassVar[tuple[str, ...]] = (
        "DROP INDEX IF EXISTS appointment_blocked",
        "CREATE INDEX appointment_staff ON appointment (staff_id) WHERE status = 'confirmed'",
    )
    retry = RetryPolicy(attempts=200, longest_pause=0.2)
    traits = Traits(
        waits=False, neighbours_wait="none", neighbours_retry="everybody", round_trips_under_lock=0
    )


class Version(Strategy):
    """A version per calendar: compare and set, and another try where somebody was faster.

    How: the version is read before the check and raised after it, on the condition that it is
    still the one that was read. Whoever finds another version had a rival and starts again.
    Cost: every booking of a calendar raises its version, so neighbours in the calendar make each
    other start again although they do not overlap; the update waits while a rival commits.
    Manual: 13.2.1 Read Committed Isolation Level (how UPDATE looks at a changed row again).
    """

    name = "version"
    retry = RetryPolicy(attempts=1000)
    needs = ("ALTER TABLE staff ADD COLUMN calendar_version bigint NOT NULL DEFAULT 0",)
    traits = Traits(neighbours_retry="same staff", round_trips=4, round_trips_under_lock=1)

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check, then record if no calendar has changed since before the check."""
        seen = tx.run(READ_VERSIONS, {"staff_ids": tx.staff_ids})
        if tx.rival() is not None:
            return None
        for staff_id, version in seen:
            if not tx.run(COMPARE_AND_SET, {"staff_id": staff_id, "seen": version}):
                raise SerializationFailure(f"The calendar of {staff_id} changed meanwhile.")
        return tx.record(last=True)
