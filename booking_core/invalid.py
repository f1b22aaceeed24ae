"""A request that was refused: what all errors have, and what every check raises.

It stands below everything else, so that the smallest value can refuse to be made.
"""

from typing import ClassVar


class BookingError(Exception):
    """A request that did not end in a booking.

    Attributes:
        code: Names the reason for programs.
        outcome: The word under which experiments count the request.
        attempts: How many times the transaction was tried before this was the answer.
    """

    code: str = "BOOKING_ERROR"
    outcome: ClassVar[str] = "error"
    attempts: int = 1


class InvalidRequest(BookingError, ValueError):
    """The request can't be served as it stands; nothing was written.

    Attributes:
        code: The rule that was broken, such as `OUTSIDE_HOURS` or `UNKNOWN_STAFF`.
    """

    outcome = "invalid"

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
