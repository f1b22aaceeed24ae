"""The tables.

Local rules (weekly hours, breaks) are stored in the wall time of the location; everything that
happens once (appointments, time off, closed days) is stored as a range of instants. An appointment
has two ranges: `during` is what the client was promised, `blocked` is `during` and its buffers.
Two confirmed appointments of one staff member must not overlap in `blocked`; every strategy is
one way of keeping that true.

The rules are read far more often than they change, so the service keeps what it has read. The
table `rulebook` counts the changes: triggers raise its version, and a booking is stored only if
the version is still the one under which it was checked.

The schema is made per strategy: `create` adds what the strategy needs and nothing else, so that
a strategy which relies on its locks alone is seen without a constraint that would hide its
faults.
"""

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import TSTZRANGE

from booking_core.strategies import Strategy

HALF_OPEN = (
    "NOT (isempty(during) OR lower_inf(during) OR upper_inf(during))"
    " AND lower_inc(during) AND NOT upper_inc(during)"
)
USABLE = f"{HALF_OPEN} AND during <@ tstzrange('1000-01-01 00:00+00', '9000-01-01 00:00+00')"
# What a month or a year is in days, PostgreSQL and Python don't agree on.
LENGTH = (
    "{0} BETWEEN interval '0' AND interval '{1} days'"
    " AND extract(year FROM {0}) = 0 AND extract(month FROM {0}) = 0"
)

TIMESTAMPTZ = sa.DateTime(timezone=True)

metadata = sa.MetaData()

location = sa.Table(
    "location",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("time_zone", sa.Text, nullable=False),
    sa.Column("minimum_notice", sa.Interval, nullable=False),
    sa.Column("horizon", sa.Interval, nullable=False),
    sa.CheckConstraint(LENGTH.format("minimum_notice", 4000), name="location_minimum_notice"),
    sa.CheckConstraint(LENGTH.format("horizon", 4000), name="location_horizon"),
)

staff = sa.Table(
    "staff",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
    sa.Column("location_id", sa.ForeignKey("location.id"), nullable=False),
    sa.Column("name", sa.Text, nullable=False),
)

service = sa.Table(
    "service",
    metadata,
    sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
    sa.Column("name", sa.Text, nullable=False, unique=True),
    sa.Column("duration", sa.Interval, nullable=False),
    sa.Column("buffer_after", sa.Interval, nullable=False),
    sa.Column("grid", sa.Interval, nullable=False),
    sa.Column("buffer_before", sa.Interval, nullable=False, server_default=sa.text("interval '0'")),
    sa.CheckConstraint(
        f"duration > interval '0' AND {LENGTH.format('duration', 2)}", name="service_takes_time"
    ),
    sa.CheckConstraint(LENGTH.format("buffer_before", 2), name="service_buffer_before"),
    sa.CheckConstraint(LENGTH.format("buffer_after", 2), name="service_buffer_after"),
    sa.CheckConstraint(
        "grid BETWEEN interval '1 minute' AND interval '1 day'"
        " AND extract(epoch FROM grid) % 60 = 0",
        name="service_grid_in_minutes",
    ),
)

offering = sa.Table(
    "offering",
    metadata,
    sa.Column("service_id", sa.ForeignKey("service.id"), primary_key=True),
    sa.Column("staff_id", sa.ForeignKey("staff.id"), primary_key=True, index=True),
)

# A shift or break that ends at or before its start ends on the next day.
working_hours = sa.Table(
    "working_hours",
    metadata,
    sa.Column("staff_id", sa.ForeignKey("staff.id"), primary_key=True),
    sa.Column("weekday", sa.SmallInteger, primary_key=True, comment="Monday is 0"),
    sa.Column("kind", sa.Text, primary_key=True),
    sa.Column("starts", sa.Time, primary_key=True),
    sa.Column("ends", sa.Time, nullable=False),
    sa.CheckConstraint("weekday BETWEEN 0 AND 6", name="working_hours_weekday"),
    sa.CheckConstraint("kind IN ('shift', 'break')", name="working_hours_kind"),
    # PostgreSQL knows 24:00, Python does not; midnight at the end of a day is 00:00 here.
    sa.CheckConstraint("'24:00' NOT IN (starts, ends)", name="working_hours_midnight"),
)


def _absence(name: str, owner: str) -> sa.Table:
    """Return a table of times at which nothing of somebody's, or of a place's, is open."""
    return sa.Table(
        name,
        metadata,
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        sa.Column(f"{owner}_id", sa.ForeignKey(f"{owner}.id"), nullable=False, index=True),
        sa.Column("during", TSTZRANGE, nullable=False),
        sa.Column("reason", sa.Text, nullable=False),
        sa.CheckConstraint(USABLE, name=f"{name}_half_open"),
    )


time_off = _absence("time_off", "staff")
# A public holiday, say, or an afternoon on which a whole location is closed.
closure = _absence("closure", "location")

# One row.
rulebook = sa.Table("rulebook", metadata, sa.Column("version", sa.BigInteger, nullable=False))

appointment = sa.Table(
    "appointment",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("staff_id", sa.ForeignKey("staff.id"), nullable=False),
    sa.Column("service_id", sa.ForeignKey("service.id"), nullable=False),
    sa.Column("client", sa.Text, nullable=False),
    sa.Column("during", TSTZRANGE, nullable=False),
    sa.Column("blocked", TSTZRANGE, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default="confirmed"),
    sa.Column("created_at", TIMESTAMPTZ, nullable=False, server_default=sa.func.now()),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("request_digest", sa.Text, nullable=False),
    sa.CheckConstraint("status IN ('confirmed', 'cancelled')", name="appointment_status"),
    sa.CheckConstraint(HALF_OPEN, name="appointment_half_open"),
    sa.CheckConstraint(
        "blocked @> during AND lower_inc(blocked) AND NOT upper_inc(blocked)",
        name="appointment_blocked_covers_during",
    ),
    # Most requests carry no key and are spared the index.
    sa.Index(
        "appointment_idempotency_key",
        "idempotency_key",
        unique=True,
        postgresql_where=sa.text("idempotency_key IS NOT NULL"),
    ),
)

OVERLAP_INDEX = (
    "CREATE INDEX appointment_blocked ON appointment"
    " USING gist (staff_id, blocked) WHERE (status = 'confirmed')"
)
NO_OVERLAP = (
    "ALTER TABLE appointment ADD CONSTRAINT appointment_no_overlap"
    " EXCLUDE USING gist (staff_id WITH =, blocked WITH &&) WHERE (status = 'confirmed')"
)

# Where rules are; a strategy may keep something of its own in the row of a staff member.
RULES = (location, staff, service, offering, working_hours, time_off, closure)
COUNT_CHANGES = (
    "INSERT INTO rulebook VALUES (1)",
    """
    CREATE FUNCTION rules_changed() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE rulebook SET version = version + 1;
        RETURN NULL;
    END $$
    """,
    *(
        "CREATE TRIGGER rules_changed AFTER INSERT OR UPDATE"
        f" {'OF name, location_id' if table is staff else ''} OR DELETE OR TRUNCATE"
        f" ON {table.name} FOR EACH STATEMENT EXECUTE FUNCTION rules_changed()"
        for table in RULES
    ),
)


def create(connection: Connection, strategy: Strategy, *, backstop: bool | None = None) -> None:
    """Create the tables and what the strategy needs of them.

    Args:
        connection: A connection to a database without these tables, in a transaction that the
            caller commits.
        strategy: Whose needs are to be met.
        backstop: Whether the exclusion constraint stands behind the strategy. By default it
            does where the strategy cannot work without it.

    Raises:
        UnsupportedServer: The server is too old for the strategy.
    """
    strategy.check_server(connection)
    connection.execute(sa.text("CREATE EXTENSION IF NOT EXISTS btree_gist"))
    metadata.create_all(connection)
    constrained = strategy.needs_constraint if backstop is None else backstop
    connection.execute(sa.text(NO_OVERLAP if constrained else OVERLAP_INDEX))
    for statement in (*COUNT_CHANGES, *strategy.needs):
        connection.exec_driver_sql(statement)
