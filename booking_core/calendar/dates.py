"""Dates on the wall of a place."""

from datetime import UTC, date, datetime, time
from zoneinfo import ZoneInfo

from booking_core.invalid import InvalidRequest
from booking_core.slots import DAY, Slot, in_utc, instant


def whole_days(first: date, last: date, time_zone: str) -> Slot:
    """Return the instants of whole dates on the wall: of time off, say, or of a holiday.

    Args:
        first: The first date.
        last: The last one, which belongs to them.
        time_zone: On whose wall, an IANA name.

    Raises:
        InvalidRequest: `NOT_A_DATE`, `OUT_OF_RANGE`, `END_BEFORE_START` or `UNKNOWN_TIME_ZONE`.
    """
    check_dates(first, last)
    place = place_of(time_zone)
    return Slot(instant(first, time(), place), instant(last + DAY, time(), place))


def check_dates(first: date, last: date) -> None:
    """Make sure that these are dates, in order.

    Raises:
        InvalidRequest: `NOT_A_DATE`, `OUT_OF_RANGE` or `END_BEFORE_START`.
    """
    for day in (first, last):
        if not isinstance(day, date) or isinstance(day, datetime):
            raise InvalidRequest("NOT_A_DATE", f"{day!r} is not a date.")
        in_utc(datetime.combine(day, time(), UTC))
    if last < first:
        raise InvalidRequest("END_BEFORE_START", f"The last day, {last}, is before {first}.")


def place_of(time_zone: str) -> ZoneInfo:
    """Return a time zone by its IANA name.

    Raises:
        InvalidRequest: `UNKNOWN_TIME_ZONE`.
    """
    try:
        return ZoneInfo(time_zone)
    except (KeyError, OSError, ValueError):
        said = f"There is no time zone {time_zone!r}; use one such as Europe/Berlin."
        raise InvalidRequest("UNKNOWN_TIME_ZONE", said) from None
