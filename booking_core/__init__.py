"""A booking service for PostgreSQL in which two people never get the same chair.

    from booking_core import BookingService, schema
    from booking_core.strategies import DEFAULT

    with engine.begin() as connection:
        schema.create(connection, DEFAULT(), backstop=True)
    service = BookingService(engine)
    booking = service.book(staff_id=1, service_id=1, start=start, client="Ada")

`booking` has the service and `claims` one try at a request, `strategies` the ways of keeping rivals
out, `calendar` the rules of what may be booked and the queries for what is free, `database` the way
to PostgreSQL and back, `schema` the tables, `errors` what can go wrong. A file imports only what
stands below it, so the package can be read from the ground (`slots`, `errors`, `requests`) up.
"""

from booking_core.booking import BookingService
from booking_core.calendar.dates import whole_days
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
    "whole_days",
]
