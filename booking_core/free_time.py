"""Free time as arithmetic on multiranges, done by PostgreSQL.

For each staff member who offers a service:

    open      = shifts - breaks - time off - closed days, as instants
    startable = each piece of it, shortened by the service's duration, where it may be asked for
    busy      = what appointments block, widened by what the service would block around its start
    free      = startable - busy

`busy` pieces are open at both ends: a service may begin at the instant at which what another one
blocks has ended. What is left are the instants at which the service can begin; those on the grid
of the wall clock are offered. They come as runs, each a first start and where it stops, in seconds
since 1970, so that a month of starts is a few dozen numbers.

No query a day or a slot: PostgreSQL visits the index on (staff_id, blocked) for each staff member.

Lengths are used in seconds. An interval of a day or more would be added by the calendar of the
session's time zone, in which a day has 23 hours once a year.

Manual: 8.17 Range Types, 9.20 Range/Multirange Functions.
"""

# Whose time is asked for, of those who offer the service.
EVERYBODY = ""
ONE = " AND staff.id = %(staff_id)s::integer"
THERE = " AND staff.location_id = %(location_id)s::integer"
TEAM = """
    WITH team AS MATERIALIZED (
         SELECT staff.id, staff.name, staff.location_id{columns}
           FROM offering JOIN staff ON staff.id = offering.staff_id
          WHERE service_id = %(service_id)s::integer{whose})"""
MEMBERS = """
      FROM team AS staff
      JOIN location ON location.id = staff.location_id
      JOIN service ON service.id = %(service_id)s::integer
     CROSS JOIN LATERAL (
           SELECT make_interval(secs => date_part('epoch', duration)) AS lasts,
                  make_interval(secs => date_part('epoch', duration + buffer_after)) AS blocks,
                  make_interval(secs => date_part('epoch', buffer_before)) AS sets_up,
                  date_part('epoch', grid)::bigint AS step
           ) AS service_in_seconds"""
# Starts between two instants, both included.
_STARTABLE = """
     CROSS JOIN LATERAL (
           SELECT {earliest} AS earliest, {latest} AS latest
            OFFSET 0
           ) AS bounds
     CROSS JOIN LATERAL (
           SELECT CASE WHEN earliest <= latest
                       THEN tstzrange(earliest, latest, '[]') END AS askable,
                  tstzrange(earliest, greatest(earliest, latest) + lasts) AS touched,
                  date_part('epoch', earliest) AS first_second,
                  date_part('epoch', greatest(earliest, latest) + lasts) AS last_second
            OFFSET 0  -- worked out once, not wherever it is used
           ) AS asked
     CROSS JOIN LATERAL (  -- on most days no clock changes, and one offset does for all
           SELECT (SELECT ahead FROM {clock}
                    WHERE clock.zone = time_zone
                      AND clock.walls @> tsrange(
                              timestamp '1970-01-01' + make_interval(secs => first_second - 259200),
                              timestamp '1970-01-01' + make_interval(secs => last_second + 259200))
                  ) AS steady
            OFFSET 0
           ) AS clocks
     CROSS JOIN LATERAL (  -- the days on the wall whose shifts may matter, and the one before
           SELECT floor((first_second + coalesce(steady, -86400)) / 86400)::integer - 1
                      AS first_day,
                  floor((last_second + coalesce(steady, 86400)) / 86400)::integer AS last_day
            OFFSET 0
           ) AS days
     CROSS JOIN LATERAL (
           SELECT range_agg(during) FILTER (WHERE kind = 'shift')
                  - coalesce(range_agg(during) FILTER (WHERE kind = 'break'), '{{}}')
                  - coalesce((SELECT range_agg(time_off.during) FROM time_off
                               WHERE time_off.staff_id = staff.id
                                 AND time_off.during && touched), '{{}}')
                  - coalesce((SELECT range_agg(closure.during) FROM closure
                               WHERE closure.location_id = location.id
                                 AND closure.during && touched), '{{}}') AS open
             FROM generate_series(first_day, last_day) AS day
             JOIN working_hours AS hours  -- the first of January 1970 was a Thursday
               ON hours.staff_id = staff.id AND hours.weekday = ((day + 3) %% 7 + 7) %% 7
            CROSS JOIN LATERAL (
                  SELECT date '1970-01-01' + day + hours.starts AS starts,
                         date '1970-01-01' + day + (hours.ends <= hours.starts)::integer
                             + hours.ends AS ends
                  ) AS wall
            CROSS JOIN LATERAL (
                  SELECT (wall.starts - make_interval(secs => coalesce(steady, (
                             SELECT ahead FROM {clock}
                              WHERE clock.zone = time_zone AND clock.walls @> wall.starts))))
                             AT TIME ZONE 'UTC' AS starts,
                         (wall.ends - make_interval(secs => coalesce(steady, (
                             SELECT ahead FROM {clock}
                              WHERE clock.zone = time_zone AND clock.walls @> wall.ends))))
                             AT TIME ZONE 'UTC' AS ends
                  ) AS instant
            CROSS JOIN LATERAL (  -- empty where the gap in spring swallows it
                  SELECT tstzrange(instant.starts, greatest(instant.starts, instant.ends)) AS during
                  ) AS span
           ) AS opening
     CROSS JOIN LATERAL (
           SELECT range_agg(tstzrange(lower(piece), upper(piece) - lasts, '[]'))
                  * tstzmultirange(askable) AS startable
             FROM unnest(open) AS piece
            WHERE lower(piece) <= upper(piece) - lasts
           ) AS possible"""

# What appointments keep from starting, as a multirange: an aggregate.
BUSY = "range_agg(tstzrange(lower(blocked) - {blocks}, upper(blocked) + {sets_up}, '()'))"

_FREE = """
     CROSS JOIN LATERAL (
           SELECT startable - coalesce({busy}, '{{}}') AS free
             FROM appointment
            WHERE appointment.staff_id = staff.id AND status = 'confirmed'
              AND blocked && tstzrange(lower(askable) - sets_up, upper(askable) + blocks)
              AND NOT isempty(startable)  -- or there is nothing to look at
              {others}
           ) AS rest"""

# The starts on the grid within a multirange. A piece is closed at both ends, so its last instant
# belongs to it; a stretch of the clock and a day on the wall are not, and the grid begins anew
# with each day.
_RUNS = """
           unnest({multirange}) AS piece
     CROSS JOIN LATERAL (
           SELECT steady AS ahead, piece AS part WHERE steady IS NOT NULL
            UNION ALL
           SELECT ahead, piece * instants
             FROM {clock}
            WHERE steady IS NULL AND clock.zone = time_zone AND clock.instants && piece
           ) AS by_clock
     CROSS JOIN LATERAL (
           SELECT date_part('epoch', lower(part)) + ahead AS from_wall,
                  CASE WHEN upper_inc(part)
                       THEN floor(date_part('epoch', upper(part)) + ahead)
                       ELSE ceil(date_part('epoch', upper(part)) + ahead) - 1 END AS to_wall
            OFFSET 0
           ) AS wall_seconds
     CROSS JOIN LATERAL generate_series(
           floor(from_wall / 86400)::bigint, floor(to_wall / 86400)::bigint) AS day
     CROSS JOIN LATERAL (
           SELECT day * 86400
                  + ceil(greatest(from_wall - day * 86400, 0) / step)::bigint * step AS first,
                  least(to_wall::bigint, day * 86400 + 86399) AS limit
            OFFSET 0
           ) AS of_day
     CROSS JOIN LATERAL (
           SELECT first - ahead AS first_start,
                  first - ahead + (of_day.limit - first) / step * step + 1 AS stop
            WHERE first <= of_day.limit
           ) AS run"""

_DAYS = """{team}
    SELECT time_zone, staff.id, staff.name,
           (date_part('epoch', duration) * 1000000)::bigint, step,
           (SELECT array_agg(ARRAY[first_start, stop])::text
              FROM {runs}
             WHERE day BETWEEN %(first_day)s::integer AND %(last_day)s::integer)
    {members}
    {startable}
    {free}
     ORDER BY staff.name, staff.id"""

_CANDIDATES = """{team}
    SELECT time_zone, staff.id,
           EXISTS (SELECT FROM {runs}),
           (SELECT id FROM appointment
             WHERE staff_id = staff.id AND status = 'confirmed'
               AND blocked && tstzrange({wanted} - sets_up, {wanted} + blocks)
             LIMIT 1),
           (SELECT coalesce(sum(date_part('epoch', upper(during) - lower(during))), 0)::bigint
              FROM appointment
             WHERE staff_id = staff.id AND status = 'confirmed'
               AND blocked && tstzrange({wanted} - interval '12 hours',
                                        {wanted} + interval '12 hours')),
           (SELECT version FROM rulebook)
    {members}
    {startable}
     ORDER BY staff.name, staff.id"""
WANTED = "%(wanted)s::timestamptz"
EARLIEST, LATEST = "%(earliest)s::timestamptz", "%(latest)s::timestamptz"
_NOW = "%(now)s::timestamptz + make_interval(secs => date_part('epoch', {}))"

# What wall clocks show, as a table; see `zones.clocks`.
_CLOCK = """unnest(%(zones)s::text[], %(instants)s::tstzrange[], %(walls)s::tsrange[],
                  %(ahead)s::integer[]) AS clock (zone, instants, walls, ahead)"""


def startable(earliest: str, latest: str) -> str:
    """Return what adds the multirange `startable` to `MEMBERS`.

    Args:
        earliest: An SQL expression, the first instant that is asked for.
        latest: The last one.
    """
    return _STARTABLE.format(earliest=earliest, latest=latest, clock=_CLOCK)


def askable(earliest: str, latest: str) -> str:
    """Return the same for what may be booked now, that is within notice and horizon."""
    return startable(
        f"greatest({earliest}, {_NOW.format('minimum_notice')})",
        f"least({latest}, {_NOW.format('horizon')})",
    )


def free(others: str = "") -> str:
    """Return what adds the multirange `free` to `startable`.

    Args:
        others: A condition, for who does not count all appointments.
    """
    return _FREE.format(busy=BUSY.format(blocks="blocks", sets_up="sets_up"), others=others)


def runs_within(multirange: str) -> str:
    """Return what lists the starts on the grid within a multirange, as runs."""
    return _RUNS.format(multirange=multirange, clock=_CLOCK)


def runs(whose: str) -> str:
    """Return the query for the free runs of days on the wall, a row for each staff member.

    Rows: the time zone, the id, the name, the service's duration in microseconds, its grid in
    seconds, and for each run, in any order, its first start and a second after its last one, as
    PostgreSQL writes an array of pairs; null where there are none.

    Args:
        whose: `EVERYBODY`, `ONE` or `THERE`.
    """
    return _DAYS.format(
        team=TEAM.format(columns="", whose=whose),
        members=MEMBERS,
        startable=askable(EARLIEST, LATEST),
        free=free(),
        runs=runs_within("free"),
    )


def candidates(whose: str) -> str:
    """Return the query for who could take a start.

    Rows: the time zone, the id, whether the rules allow it, the id of an appointment in the way,
    or null, for how many seconds appointments last that block some of the twelve hours before and
    after, and the version of the rules.

    Args:
        whose: `EVERYBODY` or `THERE`.
    """
    return _CANDIDATES.format(
        team=TEAM.format(columns="", whose=whose),
        members=MEMBERS,
        startable=askable(WANTED, WANTED),
        runs=runs_within("startable"),
        wanted=WANTED,
    )
