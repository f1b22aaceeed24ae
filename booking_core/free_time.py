"""Free time as arithmetic on multiranges, done by PostgreSQL.

For each staff member who offers a service:

    open      = shifts - breaks - time off - closed days, as instants
    startable = each piece of it, shortened by the service's duration, where it may be asked for
    busy      = what appointments block, widened by what the service would block around its start
    free      = startable - busy

`busy` pieces are open at both ends: a service may begin at the instant at which what another one
blocks has ended. What is left are the instants at which the service can begin; those on the grid
of the wall clock are offered. They come as runs, that is first and last start, in seconds since
1970, so that a month of starts is a few dozen numbers.

No query a day or a slot: PostgreSQL visits the index on (staff_id, blocked) once a staff member.

Lengths are used in seconds. An interval of a day or more would be added by the calendar of the
session's time zone, in which a day has 23 hours once a year.

Manual: 8.17 Range Types, 9.20 Range/Multirange Functions.
"""

# Who offers the service. To be narrowed down by `whose`.
_MEMBERS = """
      FROM service
      JOIN offering ON offering.service_id = service.id
      JOIN staff ON staff.id = offering.staff_id
      JOIN location ON location.id = staff.location_id
     CROSS JOIN LATERAL (
           SELECT make_interval(secs => date_part('epoch', duration)) AS lasts,
                  make_interval(secs => date_part('epoch', duration + buffer_after)) AS blocks,
                  make_interval(secs => date_part('epoch', buffer_before)) AS sets_up,
                  date_part('epoch', grid)::bigint AS step
           ) AS service_in_seconds"""
EVERYBODY = "service.id = %(service_id)s::integer"
ONE = f"{EVERYBODY} AND staff.id = %(staff_id)s::integer"
THERE = f"{EVERYBODY} AND location.id = %(location_id)s::integer"

# Starts between `earliest` and `latest`, both included, within notice and horizon.
_STARTABLE = """
     CROSS JOIN LATERAL (
           SELECT greatest({earliest}, %(now)s::timestamptz
                      + make_interval(secs => date_part('epoch', minimum_notice))) AS earliest,
                  least({latest}, %(now)s::timestamptz
                      + make_interval(secs => date_part('epoch', horizon))) AS latest
           ) AS bounds
     CROSS JOIN LATERAL (
           SELECT CASE WHEN earliest <= latest
                       THEN tstzrange(earliest, latest, '[]') END AS askable,
                  tstzrange(earliest, greatest(latest, earliest) + lasts) AS touched,
                  floor(date_part('epoch', earliest) / 86400)::integer - 2 AS first_day,
                  floor(date_part('epoch', latest + lasts) / 86400)::integer + 1 AS last_day
           ) AS asked
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
               ON hours.staff_id = staff.id AND hours.weekday = (day + 3) %% 7
            CROSS JOIN LATERAL (
                  SELECT date '1970-01-01' + day + hours.starts AS starts,
                         date '1970-01-01' + day + (hours.ends <= hours.starts)::integer
                             + hours.ends AS ends
                  ) AS wall
             JOIN {first_clock}
               ON first_clock.zone = time_zone AND first_clock.walls @> wall.starts
             JOIN {last_clock}
               ON last_clock.zone = time_zone AND last_clock.walls @> wall.ends
            CROSS JOIN LATERAL (
                  SELECT (wall.starts - make_interval(secs => first_clock.ahead))
                             AT TIME ZONE 'UTC' AS starts,
                         (wall.ends - make_interval(secs => last_clock.ahead))
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

_FREE = """
     CROSS JOIN LATERAL (
           SELECT startable - coalesce(
                      range_agg(tstzrange(lower(blocked) - blocks, upper(blocked) + sets_up, '()')),
                      '{}') AS free
             FROM appointment
            WHERE appointment.staff_id = staff.id AND status = 'confirmed'
              AND blocked && tstzrange(lower(askable) - sets_up, upper(askable) + blocks)
              AND NOT isempty(startable)  -- or there is nothing to look at
           ) AS rest"""

# The starts on the grid within a multirange. A piece is closed at both ends, so its last instant
# belongs to it; a stretch of the clock and a day on the wall are not, and the grid begins anew
# with each day.
_RUNS = """
           unnest({multirange}) AS piece
      JOIN {clock} ON clock.zone = time_zone AND clock.instants && piece
     CROSS JOIN LATERAL (
           SELECT date_part('epoch', lower(piece * clock.instants)) + ahead AS from_wall,
                  CASE WHEN upper_inc(piece * clock.instants)
                       THEN floor(date_part('epoch', upper(piece)) + ahead)
                       ELSE ceil(date_part('epoch', upper(piece * clock.instants)) + ahead) - 1
                       END AS to_wall
           ) AS wall_seconds
     CROSS JOIN LATERAL generate_series(
           floor(from_wall / 86400)::bigint, floor(to_wall / 86400)::bigint) AS day
     CROSS JOIN LATERAL (
           SELECT day * 86400
                  + ceil(greatest(from_wall - day * 86400, 0) / step)::bigint * step AS first,
                  least(to_wall::bigint, day * 86400 + 86399) AS limit
           ) AS of_day
     CROSS JOIN LATERAL (
           SELECT first - ahead AS first_start,
                  first - ahead + (of_day.limit - first) / step * step AS last_start
            WHERE first <= of_day.limit
           ) AS run"""

_DAYS = """
    SELECT time_zone, staff.id, staff.name,
           (date_part('epoch', duration) * 1000000)::bigint, step,
           ARRAY(SELECT unnest(ARRAY[first_start, last_start])
                   FROM {runs}
                  WHERE day BETWEEN %(first_day)s::integer AND %(last_day)s::integer
                  ORDER BY 1)::text
    {members}
    {startable}
    {free}
     WHERE {whose}
     ORDER BY staff.name, staff.id"""

# The rings come in order and each is worked out by itself, so the first rows are the nearest: the
# outer LIMIT needs no ORDER BY, which would have all rings worked out.
_NEAREST = """
    SELECT found.*
      FROM (VALUES {rings}) AS ring (inside, outside)
     CROSS JOIN LATERAL (
           SELECT time_zone, staff.id, staff.name,
                  (date_part('epoch', duration) * 1000000)::bigint, start
           {members}
           {startable}
           {free}
            CROSS JOIN LATERAL (
                  SELECT start, abs(start - date_part('epoch', {wanted})) AS distance
                    FROM {runs}
                   CROSS JOIN LATERAL generate_series(first_start, last_start, step) AS start
                  ) AS candidate
            WHERE {whose} AND distance > inside
              AND NOT EXISTS (SELECT FROM unnest(%(refused_staff)s::integer[],
                                                 %(refused_starts)s::bigint[]) AS refused (who, at)
                               WHERE who = staff.id AND at = start)
            ORDER BY distance, staff.id <> %(staff_id)s::integer, start, staff.name, staff.id
            LIMIT %(limit)s::integer
           ) AS found
     LIMIT %(limit)s::integer"""
# How far from the wanted start, in seconds, starts are looked for: an hour, six, the following
# week, and as far as it takes. A ring is worked out only where those inside it hold too few.
_RINGS = "(-1, 3600), (3600, 21600), (21600, 8 * 86400), (8 * 86400, 400 * 86400)"

_CANDIDATES = """
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
                                        {wanted} + interval '12 hours'))
    {members}
    {startable}
     WHERE {whose}
     ORDER BY staff.name, staff.id"""
_WANTED = "%(wanted)s::timestamptz"


def _clock(name: str) -> str:
    """Return what wall clocks show, as a table; see `zones.clocks`."""
    return f"""unnest(%(zones)s::text[], %(instants)s::tstzrange[], %(walls)s::tsrange[],
                  %(ahead)s::integer[]) AS {name} (zone, instants, walls, ahead)"""


def _startable(earliest: str, latest: str) -> str:
    return _STARTABLE.format(
        earliest=earliest,
        latest=latest,
        first_clock=_clock("first_clock"),
        last_clock=_clock("last_clock"),
    )


def _runs(multirange: str) -> str:
    return _RUNS.format(multirange=multirange, clock=_clock("clock"))


def runs(whose: str) -> str:
    """Return the query for the free runs of days on the wall, a row for each staff member.

    Rows: the time zone, the id, the name, the service's duration in microseconds, its grid in
    seconds, and the runs, first and last start in turn, as PostgreSQL writes an array.

    Args:
        whose: `EVERYBODY`, `ONE` or `THERE`.
    """
    return _DAYS.format(
        members=_MEMBERS,
        startable=_startable("%(earliest)s::timestamptz", "%(latest)s::timestamptz"),
        free=_FREE,
        runs=_runs("free"),
        whose=whose,
    )


def nearest(whose: str) -> str:
    """Return the query for the best starts instead of a lost one.

    Rows: the time zone, the id, the name, the service's duration in microseconds, the start in
    seconds since 1970.

    Args:
        whose: `EVERYBODY` or `THERE`.
    """
    radius = "make_interval(secs => outside)"
    return _NEAREST.format(
        members=_MEMBERS,
        startable=_startable(
            f"greatest(%(earliest)s::timestamptz, {_WANTED} - {radius})", f"{_WANTED} + {radius}"
        ),
        free=_FREE,
        runs=_runs("free"),
        rings=_RINGS,
        wanted=_WANTED,
        whose=whose,
    )


def candidates(whose: str) -> str:
    """Return the query for who could take a start.

    Rows: the time zone, the id, whether the rules allow it, the id of an appointment in the way,
    or null, and for how many seconds appointments promise their time in the twelve hours before
    and after.

    Args:
        whose: `EVERYBODY` or `THERE`.
    """
    return _CANDIDATES.format(
        members=_MEMBERS,
        startable=_startable(_WANTED, _WANTED),
        runs=_runs("startable"),
        wanted=_WANTED,
        whose=whose,
    )
