"""Exhibits that book soundly and cancel wrongly."""

from __future__ import annotations

from typing import TYPE_CHECKING

from experiments.scenes.exhibit import KeptApart

if TYPE_CHECKING:
    from sqlalchemy import Connection

STATUS = "SELECT status FROM appointment WHERE id = %(appointment_id)s"
CANCEL_ANYTHING = "UPDATE appointment SET status = 'cancelled' WHERE id = %(appointment_id)s"
TOGGLE = """
    UPDATE appointment
       SET status = CASE status WHEN 'confirmed' THEN 'cancelled' ELSE 'confirmed' END
     WHERE id = %(appointment_id)s
"""


class CancelRepeats(KeptApart):
    """A cancel that reads whether the appointment is confirmed, and then cancels it by its id.

    Two that read at the same time both cancel it, and both are told so: two refunds.
    """

    name = "cancel_repeats"
    seen = "SandeepVashishtha/Eventra issue 17081"
    fault = "dishonest_replies"

    def release(self, connection: Connection, appointment_id: int) -> bool:
        """Look, then cancel."""
        own = {"appointment_id": appointment_id}
        if connection.exec_driver_sql(STATUS, own).scalar() != "confirmed":
            return False
        connection.exec_driver_sql(CANCEL_ANYTHING, own)
        return True


class CancelRevives(KeptApart):
    """A cancel that turns the status around.

    A second one confirms the appointment again, in a slot that somebody may have booked since.
    """

    name = "cancel_revives"
    seen = "code reviews: one button for both"
    fault = "dishonest_replies"

    def release(self, connection: Connection, appointment_id: int) -> bool:
        """Turn the status around."""
        own = {"appointment_id": appointment_id}
        return connection.exec_driver_sql(TOGGLE, own).rowcount == 1


EXHIBITS_OF_CANCELS = (CancelRepeats, CancelRevives)
