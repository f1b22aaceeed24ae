"""The booking transaction, as a strategy sees it.

It carries the request and the two statements that nearly every strategy shares: `rival` looks
for an appointment that overlaps, `record` stores the request. Between the two lies the gap into
which a rival can slip; closing it is what a strategy is for.
"""

from collections.abc import Callable, Mapping

from sqlalchemy import Connection

from booking_core.database.session import Session
from booking_core.database.wire import Rows
from booking_core.requests import Request
from booking_core.strategies import statements


def do_nothing() -> None:
    """Spend no time between check and record."""


class BookingTransaction:
    """One try at a request, inside the transaction that the service owns.

    Attributes:
        request: What is asked for.
        parameters: The request's, for statements.
        before_record: Called between check and record; experiments spend time there.
        taken_by: The id of an overlapping appointment, once one was seen.
    """

    def __init__(
        self, session: Session, request: Request, before_record: Callable[[], None] = do_nothing
    ) -> None:
        self._session = session
        self.request = request
        self.parameters = request.parameters
        self.before_record = before_record
        self.taken_by: int | None = None

    @property
    def staff_ids(self) -> list[int]:
        """The calendars to guard, in the one order in which guards are taken."""
        return self.request.staff_ids

    @property
    def connection(self) -> Connection:
        """SQLAlchemy's, for whatever the strategy has to send; it never commits."""
        return self._session.connection

    def send(self, sql: str, parameters: Mapping[str, object] | None = None) -> None:
        """Send a statement whose answer tells nothing, such as one that waits for a lock.

        It travels with the next statement, so it costs no round trip. In AUTOCOMMIT it is a
        transaction by itself, so a lock that it takes is gone before the next one runs.

        Args:
            sql: With parameters as psycopg writes them, `%(name)s`.
            parameters: Their values; the request's if left out.
        """
        self._session.send(sql, self.parameters if parameters is None else parameters)

    def run(
        self, sql: str, parameters: Mapping[str, object] | None = None, *, last: bool = False
    ) -> Rows:
        """Send a statement and return its rows. One round trip.

        Args:
            sql: With parameters as psycopg writes them, `%(name)s`.
            parameters: Their values; the request's if left out.
            last: Whether nothing comes after it, so that the service's COMMIT may travel along.
        """
        parameters = self.parameters if parameters is None else parameters
        return self._session.run(sql, parameters, last=last)

    def rival(self) -> int | None:
        """Return the id of a confirmed appointment that overlaps the request, if one is seen.

        One round trip. The appointment that is being rescheduled is no rival of itself.
        """
        look = statements.LOOK_FOR_OTHERS if self.request.moves else statements.LOOK
        self.taken_by = next((row[0] for row in self.run(look)), None)
        return self.taken_by

    def record(self, *, or_nothing: bool = False, last: bool = False) -> int | None:
        """Store the request: insert an appointment, or move the one that is rescheduled.

        One round trip.

        Args:
            or_nothing: Whether an insert that a constraint forbids is left out silently
                (`ON CONFLICT DO NOTHING`) instead of failing the transaction. An UPDATE has no
                such clause, so a move fails in any case.
            last: Whether nothing comes after it, so that the service's COMMIT may travel along.

        Returns:
            The appointment's id; None where it was left out, where the rules have changed since
            the request was checked, or where the appointment to move was cancelled meanwhile.
        """
        self.before_record()
        if self.request.moves:
            statement = statements.RECORD_MOVE
        else:
            statement = statements.RECORD_OR_NOTHING if or_nothing else statements.RECORD
        return next((row[0] for row in self.run(statement, last=last)), None)

    def claim(self, *, last: bool = False) -> int | None:
        """Check and record in one statement; for who keeps rivals out already.

        It travels with whatever was sent before, and where it is the last one with the service's
        COMMIT: nothing of the client's happens while the lock is held. Where something is to
        happen between check and record, they are two.

        Args:
            last: Whether nothing comes after it, so that the service's COMMIT may travel along.

        Returns:
            As `record`; None too where somebody has the slot, whom `taken_by` names then.
        """
        if self.before_record is not do_nothing:
            return None if self.rival() is not None else self.record(last=last)
        statement = statements.CLAIM_MOVE if self.request.moves else statements.CLAIM
        claimed: int | None
        ((claimed, self.taken_by),) = self.run(statement, last=last)
        return claimed
