"""A booking service for PostgreSQL in which two people never get the same chair.

    from booking_core import BookingService, schema
    from booking_core.strategies import DEFAULT

    with engine.begin() as connection:
        schema.create(connection, DEFAULT(), backstop=True)
    service = BookingService(engine)
    booking = service.book(staff_id=1, service_id=1, start=start, client="Ada")

`booking` has the service, `strategies` the ways of keeping rivals out, `availability` what is
free (`free_time` is the arithmetic), `alternatives` what is offered instead of a lost slot,
`calendars` the rules of what may be booked, `schema` the tables, `errors` what can go wrong.
"""

from booking_core.booking import BookingService
from booking_core.errors import BookingConflict, BookingError, InvalidRequest, SlotBusy
from booking_core.requests import Appointment, Booking
from booking_core.slots import Slot
from booking_core.strategies import DEFAULT, STRATEGIES, Strategy, Traits

__all__ = [
    "DEFAULT",
    "STRATEGIES",
    "Appointment",
    "Booking",
    "BookingConflict",
    "BookingError",
    "BookingService",
    "InvalidRequest",
    "Slot",
    "SlotBusy",
    "Strategy",
    "Traits",
]
