"""Exhibits that get the client wrong: nobody can be in two places, and two requests meet nowhere.

Two slots of different staff are free, each for itself; together they are too many for one client.
The lock on a calendar keeps the two requests apart, so the client needs a lock too. All of these
do without the trigger that the schema has for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from booking_core.errors import InvalidRequest
from booking_core.schema import CLIENTS
from experiments.scenes.exhibit import KeptApart, lock_text
from experiments.scenes.replies import CLIENT_ELSEWHERE

if TYPE_CHECKING:
    from booking_core.strategies.transaction import BookingTransaction

LOOK_ELSEWHERE = """
    SELECT id FROM appointment
     WHERE client_id = %(client_id)s AND status = 'confirmed' AND staff_id <> %(staff_id)s
       AND during && tstzrange(%(starts)s, %(ends)s) AND id IS DISTINCT FROM %(moved_id)s
     LIMIT 1
"""
LOCK_CLIENT = f"SELECT pg_advisory_xact_lock({CLIENTS}, hashtext(%(client_id)s))"


class ClientExhibit(KeptApart):
    """A strategy that guards calendars soundly, and looks after clients by itself."""

    needs = ("DROP TRIGGER one_place ON appointment",)
    breaks_in = "one_client"
    fault = "clients_in_two_places"

    @staticmethod
    def look_elsewhere(tx: BookingTransaction) -> None:
        """Refuse a client who is seen somewhere else.

        Raises:
            InvalidRequest: `CLIENT_ELSEWHERE`.
        """
        if tx.request.client_id is not None and tx.run(LOOK_ELSEWHERE):
            raise InvalidRequest(CLIENT_ELSEWHERE, "The client has an appointment somewhere else.")


class ClientUnlocked(ClientExhibit):
    """A check whether the client is elsewhere, under the lock of the calendar.

    The other request of the client holds the lock of another calendar, and checks as well.
    """

    name = "client_unlocked"
    seen = "everywhere: a validation that queries for another appointment"

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check both, then insert."""
        self.look_elsewhere(tx)
        return super().claim(tx)


class KeyOfClientAndStaff(ClientUnlocked):
    """A lock on client and staff member together: with another member of staff it is another key.

    It stops the client who presses twice, which is what it was tested with.
    """

    name = "key_of_client_and_staff"
    seen = "code reviews: the lock was named after all that must not meet"

    def guard(self, tx: BookingTransaction) -> None:
        """Wait for the calendar, and for the pair."""
        super().guard(tx)
        lock_text(tx, f"{tx.request.client_id}:{tx.request.staff_id}")


class ClientCheckedEarly(ClientExhibit):
    """The right lock, and the check before it: what it saw is old when the lock is had."""

    name = "client_checked_early"
    seen = "code reviews: whoever is going to be refused shall not wait first"

    def guard(self, tx: BookingTransaction) -> None:
        """Look for the client, then wait for the calendar and for the client."""
        self.look_elsewhere(tx)
        super().guard(tx)
        if tx.request.client_id is not None:
            tx.send(LOCK_CLIENT)
