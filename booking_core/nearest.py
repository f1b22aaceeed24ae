"""What to offer instead of a lost slot, asked of the database.

`nearest_free` looks at everybody, from the morning of the wanted day on: it works out what the
rules allow (`free_time`) and takes away what appointments block. Nearly all of that is the rules.
Whoever remembers what they allow (`openings`) asks only whether somebody has been there first:
start by start, the best one first, which reads one index entry for each; or, where many of them
are taken, with arithmetic on ranges, which reads all that is booked up to where something is free.
The answer is the same, for it is given only where the rules have not changed since, and as many as
are wanted were found; or else the same statement falls back on `nearest_free`.

That is a function because PostgreSQL starts up the whole plan of a statement, whatever of it is
needed in the end, and this one's takes as long as five starts take to be looked up. What is inside
a function waits until it is called.

Manual: 41.6.1.2 RETURN NEXT and RETURN QUERY; 36.7 Function Volatility Categories (STABLE: with the
snapshot of the statement that calls it).
"""

from __future__ import annotations

import re

from booking_core.free_time import (
    BUSY,
    EARLIEST,
    MEMBERS,
    TEAM,
    WANTED,
    askable,
    free,
    runs_within,
    startable,
)

SMALL_TEAM = 8  # how many can all be looked at together, instead of a few at a time

_SOMEWHERE = """
            AND (%(location_id)s::integer IS NULL
                 OR staff.location_id = %(location_id)s::integer)"""

# An appointment that is to be moved is not in its own way.
_OTHERS = "AND id IS DISTINCT FROM %(moved_id)s::bigint"
_REFUSED = """unnest(%(refused_staff)s::integer[], %(refused_starts)s::bigint[])
                                 AS refused (who, at)"""

# How far from the wanted start, in seconds, alternatives are looked for: within six hours, the
# following week, and as far as it takes. In a large team it is first asked who is free at that very
# time, a few at a time, and then within an hour. A ring is worked out only where those before it
# hold too few: they come in order, each is worked out by itself, and the outer LIMIT stops at
# enough. An ORDER BY there would have all of them worked out.
_NEAREST = """{team}
    SELECT found.*, members
      FROM (SELECT count(*)::integer AS members, count(*) > {small_team} AS large FROM team) AS size
     CROSS JOIN LATERAL (
           VALUES (-1, 0, 1, 8), (-1, 0, 9, NULL), (0, 3600, 1, NULL),
                  (CASE WHEN large THEN 3600 ELSE -1 END, 21600, 1, NULL),
                  (21600, 8 * 86400, 1, NULL), (8 * 86400, 16 * 86400, 1, NULL),
                  (16 * 86400, 32 * 86400, 1, NULL), (32 * 86400, 64 * 86400, 1, NULL),
                  (64 * 86400, 128 * 86400, 1, NULL), (128 * 86400, 400 * 86400, 1, NULL)
           ) AS ring (inside, outside, first, last)
     CROSS JOIN LATERAL (
           SELECT time_zone, staff.id, staff.name,
                  (date_part('epoch', duration) * 1000000)::bigint, start
           {members}
           {startable}
           {free}
            CROSS JOIN LATERAL (
                  SELECT start, abs(start - date_part('epoch', {wanted})) AS distance
                    FROM {runs}
                   CROSS JOIN LATERAL generate_series(first_start, stop - 1, step) AS start
                  ) AS candidate
            WHERE (large OR outside > 3600) AND distance > inside
              AND place BETWEEN ring.first AND coalesce(ring.last, place)
              AND NOT EXISTS (SELECT FROM {refused} WHERE who = staff.id AND at = start)
            ORDER BY distance, staff.id <> %(staff_id)s::integer, start, staff.name, staff.id
            LIMIT %(limit)s::integer
           ) AS found
     LIMIT %(limit)s::integer"""

# Rows: the time zone, the id, the name, the service's duration in microseconds, the start in
# seconds since 1970, and how many there are who offer the service; the best first.
_CREATE = """
CREATE FUNCTION nearest_free({types})
RETURNS TABLE (time_zone text, staff_id integer, staff text, duration bigint, start bigint,
               members integer)
LANGUAGE plpgsql STABLE AS $$
#variable_conflict use_column
BEGIN
    RETURN QUERY {body};
END $$
"""

_NEAREST_FREE = "SELECT * FROM nearest_free({arguments})"

# As `nearest_free`, with one more column, null; then a row for each staff member, by name, without
# a start and with what the rules allow between two instants, whatever the present one is, as JSON:
# the version of the rules, the grid in seconds, notice and horizon in microseconds, the seconds
# that are blocked before a start and after it, and the runs.
_LEARN = """
    SELECT time_zone, staff_id, staff, duration, start, members, NULL::text
      FROM nearest_free({arguments})
     UNION ALL
    SELECT * FROM (
    {team}
    SELECT time_zone, staff.id, staff.name,
           (date_part('epoch', duration) * 1000000)::bigint, NULL::bigint, NULL::integer,
           jsonb_build_array(
               (SELECT version FROM rulebook), step,
               (date_part('epoch', minimum_notice) * 1000000)::bigint,
               (date_part('epoch', horizon) * 1000000)::bigint,
               date_part('epoch', sets_up), date_part('epoch', blocks),
               (SELECT coalesce(jsonb_agg(jsonb_build_array(first_start, stop)), '[]')
                  FROM {runs}))::text
    {members}
    {startable}
     ORDER BY staff.name, staff.id) AS allowed"""

# Rows: as `nearest_free`, or the id and the start alone where what is remembered will do.
_REMEMBERED = """
    WITH remembered AS MATERIALIZED ({remembered}
          LIMIT %(limit)s::integer),
    known AS MATERIALIZED (
         SELECT (SELECT version FROM rulebook) = %(version)s::bigint
                AND (SELECT count(*) FROM remembered) >= %(enough)s::integer AS will_do)
    SELECT NULL::text, who, NULL::text, NULL::bigint, start, NULL::integer
      FROM remembered
     WHERE (SELECT will_do FROM known)
     UNION ALL
    SELECT *
      FROM nearest_free({arguments})
     WHERE NOT (SELECT will_do FROM known)"""

# The starts that are to be tried are looked up in turn until there are enough; OFFSET keeps
# PostgreSQL from joining them all.
_FIRST_FREE = """
         SELECT who, start
           FROM (SELECT unnest(%(first_staff)s::integer[]) AS who,
                        unnest(%(first_starts)s::bigint[]) AS start) AS allowed
          WHERE NOT EXISTS (
                SELECT FROM appointment
                 WHERE staff_id = who AND status = 'confirmed'
                   {others}
                   AND blocked && tstzrange(to_timestamp(start) - {sets_up},
                                            to_timestamp(start) + {blocks})
                OFFSET 0)"""

# From the first start to the last one of each run, without what appointments block. What is left
# of it is closed at both ends.
_FREE_RUNS = """
         SELECT who, start
           FROM (SELECT who, place, (
                        SELECT {busy}
                          FROM appointment
                         WHERE staff_id = who AND status = 'confirmed'
                           {others}
                           AND blocked && tstzrange(
                                   to_timestamp(%(earliest_run)s::float8) - {sets_up},
                                   to_timestamp(%(latest_run)s::float8) + {blocks})
                        ) AS busy
                   FROM unnest(%(team)s::integer[]) WITH ORDINALITY AS team (who, place)
                 OFFSET 0) AS taken
           JOIN unnest(%(run_staff)s::integer[], %(run_firsts)s::bigint[], %(run_lasts)s::bigint[])
                AS run (whose, first, last) ON whose = who
          CROSS JOIN LATERAL unnest(
                tstzmultirange(tstzrange(to_timestamp(first), to_timestamp(last), '[]'))
                - coalesce(busy, '{{}}')) AS piece
          CROSS JOIN LATERAL generate_series(
                first + ceil((date_part('epoch', lower(piece)) - first)
                             / %(step)s::bigint)::bigint * %(step)s::bigint,
                floor(date_part('epoch', upper(piece)))::bigint,
                %(step)s::bigint) AS start
          WHERE NOT EXISTS (SELECT FROM {refused} WHERE refused.who = taken.who AND at = start)
          ORDER BY abs(start - date_part('epoch', {wanted})),
                taken.who <> %(staff_id)s::integer, start, place"""


def _nearest() -> str:
    radius = "make_interval(secs => outside)"
    place = "row_number() OVER (ORDER BY staff.id <> %(staff_id)s::integer, name, staff.id)"
    return _NEAREST.format(
        team=TEAM.format(columns=f", {place} AS place", whose=_SOMEWHERE),
        members=MEMBERS,
        startable=askable(f"greatest({EARLIEST}, {WANTED} - {radius})", f"{WANTED} + {radius}"),
        free=free(_OTHERS),
        runs=runs_within("free"),
        refused=_REFUSED,
        small_team=SMALL_TEAM,
        wanted=WANTED,
    )


def _remembered(query: str) -> str:
    lengths = {
        "sets_up": "make_interval(secs => %(sets_up)s::float8)",
        "blocks": "make_interval(secs => %(blocks)s::float8)",
    }
    return _REMEMBERED.format(
        arguments=_arguments,
        remembered=query.format(
            **lengths,
            busy=BUSY.format(**lengths),
            others=_OTHERS,
            refused=_REFUSED,
            wanted=WANTED,
        ),
    )


def _as_function(query: str) -> tuple[str, str, str]:
    """Return a query as the body of a function, its arguments' types, and these themselves."""
    types = dict(re.findall(r"%\((\w+)\)s::(\w+(?:\[\])?)", query))
    names = list(types)
    body = re.sub(r"%\((\w+)\)s", lambda found: f"${names.index(found[1]) + 1}", query)
    arguments = (f"%({name})s::{kind}" for name, kind in types.items())
    return body, ", ".join(types.values()), ", ".join(arguments)


_body, _types, _arguments = _as_function(_nearest())
NEAREST = _NEAREST_FREE.format(arguments=_arguments)
CREATE = _CREATE.format(body=_body, types=_types)
LEARN = _LEARN.format(
    arguments=_arguments,
    team=TEAM.format(columns="", whose=_SOMEWHERE),
    members=MEMBERS,
    startable=startable(EARLIEST, "%(until)s::timestamptz"),
    runs=runs_within("startable"),
)
FIRST_FREE = _remembered(_FIRST_FREE)
FREE_RUNS = _remembered(_FREE_RUNS)
