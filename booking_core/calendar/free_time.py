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

Lengths are used in seconds, and come as numbers, whatever style a session writes intervals in. An
interval of a day or more would be added by the calendar of the session's time zone, in which a day
has 23 hours once a year.

Manual: 8.17 Range Types, 9.20 Range/Multirange Functions.
"""

# ruff: noqa: S608 - what is put together here is ours; values are parameters

# Those who offer the service, all of them or one, everywhere or at one location; null stands for
# all, so that one query, and one plan, serves whoever is asked for. coalesce hides the conditions
# from the planner, who would expect them to leave next to nobody, and plan for that.
TEAM = """
    WITH team AS MATERIALIZED (
         SELECT staff.id, staff.name, staff.location_id
           FROM offering JOIN staff ON staff.id = offering.staff_id
          WHERE service_id = %(service_id)s::integer
            AND coalesce(staff.id = %(staff_id)s::integer, true)
            AND coalesce(location_id = %(location_id)s::integer, true))"""
MEMBERS = """
      FROM team AS staff
      JOIN location ON location.id = staff.location_id
      JOIN service ON service.id = %(service_id)s::integer
     CROSS JOIN LATERAL (
           SELECT (date_part('epoch', duration) * 1000000)::bigint AS promised,
                  make_interval(secs => date_part('epoch', duration)) AS lasts,
                  make_interval(secs => date_part('epoch', duration + buffer_after)) AS blocks,
                  make_interval(secs => date_part('epoch', buffer_before)) AS sets_up,
                  date_part('epoch', grid)::bigint AS step
           ) AS service_in_seconds"""
# Starts between two instants, both included.
_STARTABLE = """
     CROSS JOIN LATERAL (SELECT {earliest} AS earliest, {latest} AS latest OFFSET 0) AS bounds
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

# A list asks for nothing that the index does not hold: the heap is not visited.
_FREE = """
     CROSS JOIN LATERAL (
           SELECT startable - coalesce(range_agg(tstzrange(
                      lower(blocked) - blocks, upper(blocked) + sets_up, '()')), '{{}}') AS free
             FROM appointment
            WHERE appointment.staff_id = staff.id AND status = 'confirmed'
              AND blocked && tstzrange(lower(askable) - sets_up, upper(askable) + blocks)
              AND NOT isempty(startable)  -- or there is nothing to look at
              {others}
           ) AS rest"""
FREE = _FREE.format(others="")
# An appointment that is to be moved is not in its own way.
FREE_TO_MOVE = _FREE.format(others="AND id IS DISTINCT FROM %(moved_id)s::bigint")

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

FARTHEST = 400  # days from a lost slot to what is offered instead
WANTED, EARLIEST = "%(wanted)s::timestamptz", "%(earliest)s::timestamptz"
_NOW = "%(now)s::timestamptz + make_interval(secs => date_part('epoch', {}))"

# What wall clocks show, as a table; see `zones.clocks`.
_CLOCK = """unnest(%(zones)s::text[], %(instants)s::tstzrange[], %(walls)s::tsrange[],
                  %(ahead)s::integer[]) AS clock (zone, instants, walls, ahead)"""


def startable(earliest: str, latest: str) -> str:
    """Return what adds to `MEMBERS` the multirange `startable`: what the rules allow now.

    Args:
        earliest: An SQL expression, the first instant that is asked for.
        latest: The last one.
    """
    return _STARTABLE.format(
        earliest=f"greatest({earliest}, {_NOW.format('minimum_notice')})",
        latest=f"least({latest}, {_NOW.format('horizon')})",
        clock=_CLOCK,
    )


def runs_within(multirange: str) -> str:
    """Return what lists the starts on the grid within a multirange, as runs."""
    return _RUNS.format(multirange=multirange, clock=_CLOCK)


# A row for each staff member: the time zone, the id, the name, the service's duration in
# microseconds, its grid in seconds, and for each run, in any order, its first start and a second
# after its last one; null where there are none.
RUNS = f"""{TEAM}
    SELECT time_zone, staff.id, staff.name, promised, step,
           (SELECT array_agg(ARRAY[first_start, stop])
              FROM {runs_within("free")}
             WHERE day BETWEEN %(first_day)s::integer AND %(last_day)s::integer)
    {MEMBERS}
    {startable(EARLIEST, "%(latest)s::timestamptz")}
    {FREE}
     ORDER BY staff.name, staff.id"""

# A row for each staff member: the time zone, the id, whether the rules allow the start, the id of
# an appointment in the way, or null, for how many seconds appointments last that block some of the
# twelve hours before and after, and the version of the rules.
CANDIDATES = f"""{TEAM}
    SELECT time_zone, staff.id,
           EXISTS (SELECT FROM {runs_within("startable")}),
           (SELECT id FROM appointment
             WHERE staff_id = staff.id AND status = 'confirmed'
               AND blocked && tstzrange({WANTED} - sets_up, {WANTED} + blocks)
             LIMIT 1),
           (SELECT coalesce(sum(date_part('epoch', upper(during) - lower(during))), 0)
              FROM appointment
             WHERE staff_id = staff.id AND status = 'confirmed'
               AND blocked && tstzrange({WANTED} - interval '12 hours',
                                        {WANTED} + interval '12 hours')),
           (SELECT version FROM rulebook)
    {MEMBERS}
    {startable(WANTED, WANTED)}
     ORDER BY staff.name, staff.id"""

# Some rows, the best start first: the time zone, the id, the name, the service's duration in
# microseconds, and the start in seconds since 1970. Alternatives are looked for in rings around the
# wanted start, from `inside` to `outside` seconds away: within six hours, the following week, and
# as far as it takes. A ring is worked out only where those before it hold too few: they come in
# order, each is worked out by itself, and the outer LIMIT stops at enough. An ORDER BY there would
# have all of them worked out.
NEAREST = f"""{TEAM}
    SELECT found.*
      FROM (VALUES (-1, 21600), (21600, 8 * 86400), (8 * 86400, 16 * 86400),
                   (16 * 86400, 32 * 86400), (32 * 86400, 64 * 86400), (64 * 86400, 128 * 86400),
                   (128 * 86400, {FARTHEST} * 86400)) AS ring (inside, outside)
     CROSS JOIN LATERAL (SELECT make_interval(secs => outside) AS radius) AS around
     CROSS JOIN LATERAL (
           SELECT time_zone, staff.id, staff.name, promised, start
           {MEMBERS}
           {startable(f"greatest({EARLIEST}, {WANTED} - radius)", f"{WANTED} + radius")}
           {FREE_TO_MOVE}
            CROSS JOIN LATERAL (
                  SELECT start, abs(start - date_part('epoch', {WANTED})) AS distance
                    FROM {runs_within("free")}
                   CROSS JOIN LATERAL generate_series(first_start, stop - 1, step) AS start
                  ) AS candidate
            WHERE distance > inside
              AND NOT EXISTS (
                  SELECT FROM unnest(%(refused_staff)s::integer[], %(refused_starts)s::bigint[])
                                  AS refused (who, at)
                   WHERE who = staff.id AND at = start)
            ORDER BY distance, staff.id <> %(preferred)s::integer, start, staff.name, staff.id
            LIMIT %(limit)s::integer
           ) AS found
     LIMIT %(limit)s::integer"""
