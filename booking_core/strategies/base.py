"""What every strategy is: two steps inside the booking transaction, and some claims about itself.

`guard` takes whatever keeps rivals out, `claim` records the appointment or returns nothing
because the slot is taken; or else one `statement` does both. A sound strategy of one's own needs
no more than this:

    class StaffMutex(Strategy):
        name = "staff_mutex"

        def guard(self, tx):
            tx.send("SELECT pg_advisory_xact_lock(42)")

The service owns the transaction, the retries and the outcome; a strategy never commits.
"""

from dataclasses import dataclass
from typing import ClassVar, Literal

from sqlalchemy import Connection

from booking_core.database.session import Isolation
from booking_core.errors import UnsupportedServer
from booking_core.requests import Request
from booking_core.retry import RetryPolicy
from booking_core.strategies import statements
from booking_core.strategies.transaction import BookingTransaction


@dataclass(frozen=True, slots=True)
class Traits:
    """What a strategy claims about itself; the instruments verify it.

    Attributes:
        waits: Whether a request can wait inside PostgreSQL for a rival's transaction.
        may_answer_busy: Whether `busy` is among its answers.
        neighbours_wait: Who waits for a booking besides those who want the same slot: nobody,
            requests for the same staff member, or everybody.
        neighbours_retry: Whose bookings can make a request start again, likewise.
        round_trips: Of one booking without rivals, BEGIN and COMMIT included. Statements that
            need not wait for each other's answers travel together.
        round_trips_under_lock: How many of them begin while rivals are kept out.
    """

    waits: bool = True
    may_answer_busy: bool = False
    neighbours_wait: Literal["none", "same staff", "everybody"] = "same staff"
    neighbours_retry: Literal["none", "same staff", "everybody"] = "none"
    round_trips: int = 2
    round_trips_under_lock: int = 1


# Of a lock that answers at once where it is taken; whoever is refused tries again.
REFUSES = Traits(waits=False, may_answer_busy=True, neighbours_retry="same staff")


class Strategy:
    """One way of keeping rivals out. Subclass it and override what differs.

    Attributes:
        name: What experiments and commands call it.
        sound: Whether it is meant to be sound; exhibits say no.
        isolation: The isolation level of the booking transaction; AUTOCOMMIT where a booking is
            one `statement`. What a guard takes there is gone before the claim.
        retry: When the service tries again.
        needs: SQL statements that prepare the schema for it, without parameters.
        needs_constraint: Whether it works only with the exclusion constraint.
        minimum_server: The oldest server it works on, as PostgreSQL's server_version_num.
        traits: What it claims about itself.
    """

    name: ClassVar[str] = "unnamed"
    sound: ClassVar[bool] = True
    isolation: Isolation = "READ COMMITTED"
    retry: RetryPolicy = RetryPolicy()
    needs: ClassVar[tuple[str, ...]] = ()
    needs_constraint: ClassVar[bool] = False
    minimum_server: ClassVar[int] = 140000  # multiranges
    traits: ClassVar[Traits] = Traits()

    def statement(self, request: Request) -> str | None:
        """Return the one statement that claims the slot; None where guard and claim do it.

        It is a transaction by itself, sent in autocommit with `request.parameters`, written
        `%(name)s`. It returns one row: the appointment's id, or null, and the id of an
        appointment that overlaps, or null. Where both are null the service finds out why.
        """
        del request
        return None

    def guard(self, tx: BookingTransaction) -> None:
        """Take what keeps rivals out of the calendars `tx.staff_ids`.

        Raises:
            SlotBusy: It can't be had in time. The service decides whether to try again.
        """

    def claim(self, tx: BookingTransaction) -> int | None:
        """Record the request and return the appointment's id, or None: the slot is taken."""
        # Whoever extends this may have something to send afterwards.
        last = type(self).claim is Strategy.claim
        return None if tx.rival() is not None else tx.record(last=last)

    def release(self, connection: Connection, appointment_id: int) -> bool:
        """Cancel an appointment in the caller's transaction.

        No guard is needed: freeing a slot can't make two appointments overlap.

        Returns:
            Whether it was confirmed until now.
        """
        asked = {"appointment_id": appointment_id}
        return connection.exec_driver_sql(statements.CANCEL, asked).rowcount == 1

    def check_server(self, connection: Connection) -> None:
        """Make sure that the server is new enough.

        Raises:
            UnsupportedServer: It is not.
        """
        version = int(connection.exec_driver_sql("SHOW server_version_num").scalar_one())
        if version < self.minimum_server:
            needed, have = self.minimum_server // 10000, version // 10000
            raise UnsupportedServer(
                f"The strategy {self.name} needs PostgreSQL {needed}; this is {have}."
            )

    def __repr__(self) -> str:
        return f"<strategy {self.name}>"


class Guarded(Strategy):
    """A strategy whose guard keeps everybody out who could want the same slot.

    Then check and record need not be two statements, and nothing of the client's happens while
    the lock is held.
    """

    traits = Traits(round_trips=1, round_trips_under_lock=0)

    def claim(self, tx: BookingTransaction) -> int | None:
        """Check and record in one statement."""
        # As above.
        return tx.claim(last=type(self).claim is Guarded.claim)
