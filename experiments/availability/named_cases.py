"""The named cases and their answers, written by hand.

Where a shift, a break or time off begins or ends, a wall time that occurs twice means the first,
one that never occurs means the moment of the change.
"""

from __future__ import annotations

from datetime import date, timedelta

from experiments.availability.clock_cases import Answer, Case

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"
LORD_HOWE, KATHMANDU = "Australia/Lord_Howe", "Asia/Kathmandu"
PYONGYANG, CARACAS = "Asia/Pyongyang", "America/Caracas"

SPRING, AUTUMN = date(2030, 3, 31), date(2030, 10, 27)  # Sundays on which Berlin's clocks change
SATURDAY = (5,)
OFFICE = (("09:00", "17:00"),)


def _early(  # noqa: PLR0913 - a case and its answer
    name: str,
    zone: str,
    day: date,
    count: int,
    *runs: str,
    missing: tuple[str, ...] = (),
    twice: tuple[str, ...] = (),
) -> Case:
    """Return a day with a shift from midnight to six: half an hour, every half hour."""
    return Case(name, zone, day, Answer(count, runs, missing, twice))


def _night(  # noqa: PLR0913 - a case and its answer
    name: str,
    zone: str,
    sunday: date,
    count: int,
    *runs: str,
    missing: tuple[str, ...] = (),
    twice: tuple[str, ...] = (),
) -> Case:
    """Return a weekend with a shift from ten on Saturday to six on Sunday."""
    return Case(
        name,
        zone,
        sunday - timedelta(days=1),
        Answer(count, runs, missing, twice),
        shifts=(("22:00", "06:00"),),
        last=sunday,
        weekdays=SATURDAY,
    )


# The day of the change, and the same day where nothing changes.
_DAYS = (
    _early("Spring in Berlin", BERLIN, SPRING, 10,
           "Sun 00:00 to 01:30 +01:00", "Sun 03:00 to 05:30 +02:00", missing=("02:00", "02:30")),
    _early("Autumn in Berlin", BERLIN, AUTUMN, 14,
           "Sun 00:00 to 02:30 +02:00", "Sun 02:00 to 05:30 +01:00", twice=("02:00", "02:30")),
    _early("Spring in New York", NEW_YORK, date(2030, 3, 10), 10,
           "Sun 00:00 to 01:30 -05:00", "Sun 03:00 to 05:30 -04:00", missing=("02:00", "02:30")),
    _early("Autumn in New York", NEW_YORK, date(2030, 11, 3), 14,
           "Sun 00:00 to 01:30 -04:00", "Sun 01:00 to 05:30 -05:00", twice=("01:00", "01:30")),
    _early("Spring on Lord Howe, by half an hour", LORD_HOWE, date(2030, 10, 6), 11,
           "Sun 00:00 to 01:30 +10:30", "Sun 02:30 to 05:30 +11:00", missing=("02:00",)),
    _early("Autumn on Lord Howe, by half an hour", LORD_HOWE, date(2030, 4, 7), 13,
           "Sun 00:00 to 01:30 +11:00", "Sun 01:30 to 05:30 +10:30", twice=("01:30",)),
    _early("Kathmandu, which changes nothing", KATHMANDU, SPRING, 12, "Sun 00:00 to 05:30 +05:45"),
)  # fmt: skip

# The night before, from one day into the next.
_NIGHTS = (
    _night("A night of seven hours, Berlin", BERLIN, SPRING, 14,
           "Sat 22:00 to 01:30 +01:00", "Sun 03:00 to 05:30 +02:00", missing=("02:00", "02:30")),
    _night("A night of nine hours, Berlin", BERLIN, AUTUMN, 18,
           "Sat 22:00 to 02:30 +02:00", "Sun 02:00 to 05:30 +01:00", twice=("02:00", "02:30")),
    _night("A night of seven hours, New York", NEW_YORK, date(2030, 3, 10), 14,
           "Sat 22:00 to 01:30 -05:00", "Sun 03:00 to 05:30 -04:00", missing=("02:00", "02:30")),
    _night("A night of nine hours, New York", NEW_YORK, date(2030, 11, 3), 18,
           "Sat 22:00 to 01:30 -04:00", "Sun 01:00 to 05:30 -05:00", twice=("01:00", "01:30")),
    _night("A night of seven and a half hours, Lord Howe", LORD_HOWE, date(2030, 10, 6), 15,
           "Sat 22:00 to 01:30 +10:30", "Sun 02:30 to 05:30 +11:00", missing=("02:00",)),
    _night("A night of eight and a half hours, Lord Howe", LORD_HOWE, date(2030, 4, 7), 17,
           "Sat 22:00 to 01:30 +11:00", "Sun 01:30 to 05:30 +10:30", twice=("01:30",)),
    _night("A night like any other, Kathmandu", KATHMANDU, SPRING, 16,
           "Sat 22:00 to 05:30 +05:45"),
)  # fmt: skip

# Hours, breaks, time off and appointments that meet the change.
_MEETINGS = (
    Case("Time off ends inside the gap", BERLIN, SPRING,
         # 02:30 is never shown: it means the moment at which it is 03:00.
         Answer(7, ("Sun 00:00 to 00:00 +01:00", "Sun 03:00 to 05:30 +02:00")),
         off=(("2030-03-31T00:30", "2030-03-31T02:30"),)),
    Case("Time off begins inside the gap", BERLIN, SPRING,
         Answer(6, ("Sun 00:00 to 01:30 +01:00", "Sun 05:00 to 05:30 +02:00")),
         off=(("2030-03-31T02:30", "2030-03-31T05:00"),)),
    Case("Time off ends at the first of two 02:30", BERLIN, AUTUMN,
         Answer(9, ("Sun 02:30 to 02:30 +02:00", "Sun 02:00 to 05:30 +01:00"), twice=("02:30",)),
         off=(("2030-10-27T00:00", "2030-10-27T02:30"),)),
    Case("Time off over a weekend with a change", BERLIN, date(2030, 3, 29),
         Answer(8, ("Fri 09:00 to 11:00 +01:00", "Mon 12:00 to 16:00 +02:00")),
         shifts=OFFICE, off=(("2030-03-29T12:00", "2030-04-01T12:00"),),
         last=date(2030, 4, 1), minutes=60, grid=60),
    Case("A shift of the hour that is not there", BERLIN, SPRING, Answer(0, ()),
         shifts=(("02:00", "03:00"),)),
    Case("A shift of the hour that is there twice", BERLIN, AUTUMN,
         Answer(4, ("Sun 02:00 to 02:30 +02:00", "Sun 02:00 to 02:30 +01:00"),
                twice=("02:00", "02:30")),
         shifts=(("02:00", "03:00"),)),
    Case("A break of the hour that is there twice", BERLIN, AUTUMN,
         Answer(5, ("Sun 00:00 to 01:00 +02:00", "Sun 03:00 to 05:00 +01:00")),
         breaks=(("02:00", "03:00"),), minutes=60, grid=60),
    Case("Two hours from one o'clock end at four", BERLIN, SPRING,
         Answer(4, ("Sun 00:00 to 01:00 +01:00", "Sun 03:00 to 04:00 +02:00"), missing=("02:00",)),
         minutes=120, grid=60),
    Case("The first 02:00 is taken, the second is not", BERLIN, AUTUMN,
         Answer(6, ("Sun 00:00 to 01:00 +02:00", "Sun 02:00 to 05:00 +01:00")),
         taken=("2030-10-27T02:00+02:00",), minutes=60, grid=60),
    Case("The second 02:00 is taken, the first is not", BERLIN, AUTUMN,
         Answer(6, ("Sun 00:00 to 02:00 +02:00", "Sun 03:00 to 05:00 +01:00")),
         taken=("2030-10-27T02:00+01:00",), minutes=60, grid=60),
)  # fmt: skip

# At the end of 4 May 2018, by half an hour; on 1 May 2016 at half past two, by half an hour.
_LAWS = (
    Case("The day before the law changed, Pyongyang", PYONGYANG, date(2018, 5, 4),
         Answer(8, ("Fri 09:00 to 16:00 +08:30",)), shifts=OFFICE, minutes=60, grid=60),
    Case("The day after the law changed, Pyongyang", PYONGYANG, date(2018, 5, 5),
         Answer(8, ("Sat 09:00 to 16:00 +09:00",)), shifts=OFFICE, minutes=60, grid=60),
    Case("The night in which the law changed, Pyongyang", PYONGYANG, date(2018, 5, 4),
         Answer(15, ("Fri 22:00 to 23:00 +08:30", "Sat 00:00 to 05:30 +09:00"),
                missing=("23:30",)),
         shifts=(("22:00", "06:00"),), last=date(2018, 5, 5), weekdays=(4,)),
    Case("The day before the law changed, Caracas", CARACAS, date(2016, 4, 30),
         Answer(8, ("Sat 09:00 to 16:00 -04:30",)), shifts=OFFICE, minutes=60, grid=60),
    _early("The day on which the law changed, Caracas", CARACAS, date(2016, 5, 1), 11,
           "Sun 00:00 to 02:00 -04:30", "Sun 03:00 to 05:30 -04:00", missing=("02:30",)),
    Case("The day after the law changed, Caracas", CARACAS, date(2016, 5, 2),
         Answer(8, ("Mon 09:00 to 16:00 -04:00",)), shifts=OFFICE, minutes=60, grid=60),
)  # fmt: skip

CASES = (*_DAYS, *_NIGHTS, *_MEETINGS, *_LAWS)
