"""Exhibits that leave it to a constraint which does not forbid enough.

All of them check first, so only those who come at the same moment meet at the constraint.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from booking_core.strategies import Traits
from experiments.scenes.exhibit import Exhibit

if TYPE_CHECKING:
    from booking_core.strategies.transaction import BookingTransaction


def _forbid(same: str, condition: str = "") -> tuple[str]:
    """Return the statement that adds a constraint on what is the same where others overlap."""
    excluded = f"EXCLUDE USING gist ({same}) WHERE (status = 'confirmed'{condition})"
    return (f"ALTER TABLE appointment ADD CONSTRAINT appointment_no_overlap {excluded}",)


BLOCKED = "staff_id WITH =, blocked WITH &&"


class Constrained(Exhibit):
    """An exhibit that checks, then inserts unless its constraint forbids it."""

    traits = Traits(neighbours_wait="none", round_trips=2, round_trips_under_lock=0)

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check, then insert or learn that the slot is taken."""
        return None if tx.rival() is not None else tx.record(or_nothing=True, last=True)


class ConstraintOnPromises(Constrained):
    """An exclusion constraint on what is promised instead of what is blocked.

    Two appointments of which only the buffers overlap pass.
    """

    name = "constraint_on_promises"
    seen = "code reviews: buffers came later"
    needs = _forbid("staff_id WITH =, during WITH &&")


class ConstraintWithService(Constrained):
    """An exclusion constraint on staff member and service together.

    Two services of one person pass.
    """

    name = "constraint_with_service"
    seen = "code reviews: the key had everything in it that the request had"
    needs = _forbid(f"service_id WITH =, {BLOCKED}")


class ConstraintForSomeStaff(Constrained):
    """An exclusion constraint on the rows of two staff members.

    Two appointments of anybody else pass.
    """

    name = "constraint_for_some_staff"
    seen = "code reviews: a pilot that nobody extended"
    needs = _forbid(BLOCKED, " AND staff_id <= 2")


class ConstraintForSomeServices(Constrained):
    """An exclusion constraint on the rows of one service.

    Two appointments for another one pass, and so do one for this and one for another.
    """

    name = "constraint_for_some_services"
    seen = "code reviews: courses may be booked twice, and everything else became a course"
    needs = _forbid(BLOCKED, " AND service_id = 1")


class ConstraintWithoutKeys(Constrained):
    """An exclusion constraint on rows without an idempotency key.

    Two requests with keys of their own pass.
    """

    name = "constraint_without_keys"
    seen = "code reviews: who has a key can't book twice anyway"
    needs = _forbid(BLOCKED, " AND idempotency_key IS NULL")


EXHIBITS_OF_CONSTRAINTS = (
    ConstraintOnPromises,
    ConstraintWithService,
    ConstraintForSomeStaff,
    ConstraintForSomeServices,
    ConstraintWithoutKeys,
)
