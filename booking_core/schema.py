"""The tables.

Local rules (weekly hours and exceptions from them) are stored in the wall time of the location;
everything that happens once (appointments, time off, closed days) is stored as a range of instants.
An appointment has two ranges: `during` is what the client was promised, `blocked` is `during` and
its buffers. Two confirmed appointments of one staff member must not overlap in `blocked`; every
strategy is one way of keeping that true.

The rules are read far more often than they change, so the service keeps what it has read. Each row
of `offering` carries the version of all the rules that a booking of this service with this staff
member depends on: triggers write the number of the transaction that changed one of them, and a
booking is stored only if the version is still the one under which it was checked.

That a client is in one place is kept by a trigger, whatever the strategy, where the service wants
it (`client_once`): when an appointment is written, and so after every lock on a calendar, the
client is locked, and then looked for elsewhere.

The schema is made per strategy: `create` adds what the strategy needs and nothing else, so that
a strategy which relies on its locks alone is seen without a constraint that would hide its
faults.
"""

import sqlalchemy as sa
from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import TSTZRANGE

from booking_core.strategies import Strategy

HALF_OPEN = "lower_inc(during) AND NOT upper_inc(during) AND NOT upper_inf(during)"
USABLE = f"{HALF_OPEN} AND during <@ tstzrange('1000-01-01 00:00+00', '9000-01-01 00:00+00')"
# What a month or a year is in days, PostgreSQL and Python don't agree on.
LENGTH = (
    "{0} BETWEEN interval '0' AND interval '{1} days'"
    " AND extract(year FROM {0}) = 0 AND extract(month FROM {0}) = 0"
)

# No other transaction had or will have its number.
TRANSACTION = "CAST(CAST(pg_current_xact_id() AS text) AS bigint)"
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
    # In place of the two lengths, where given: whole days on the wall.
    sa.Column("notice_days", sa.Integer),
    sa.Column("horizon_days", sa.Integer),
    sa.CheckConstraint("notice_days BETWEEN 0 AND 4000", name="location_notice_days"),
    sa.CheckConstraint("horizon_days BETWEEN 0 AND 4000", name="location_horizon_days"),
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
    sa.Column("grid_from_opening", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.Column("client_once", sa.Boolean, nullable=False, server_default=sa.false()),
    sa.CheckConstraint("duration > interval '0'", name="service_takes_time"),
    sa.CheckConstraint(LENGTH.format("duration", 2), name="service_duration"),
    sa.CheckConstraint(LENGTH.format("buffer_before", 2), name="service_buffer_before"),
    sa.CheckConstraint(LENGTH.format("buffer_after", 2), name="service_buffer_after"),
    sa.CheckConstraint("extract(epoch FROM grid) % 60 = 0", name="service_grid_in_minutes"),
    sa.CheckConstraint("grid BETWEEN '1 minute' AND '1 day'", name="service_grid"),
)

offering = sa.Table(
    "offering",
    metadata,
    sa.Column("service_id", sa.ForeignKey("service.id"), primary_key=True),
    sa.Column("staff_id", sa.ForeignKey("staff.id"), primary_key=True, index=True),
    sa.Column("version", sa.BigInteger, nullable=False, server_default=sa.text(TRANSACTION)),
)


# A shift or break that ends before its start ends on the next day, and so does a shift that ends
# at its start.
def _hours(name: str, kinds: str, *dates: sa.schema.SchemaItem, primary: bool) -> sa.Table:
    """Return a table of hours on the wall."""
    return sa.Table(
        name,
        metadata,
        sa.Column("staff_id", sa.ForeignKey("staff.id"), primary_key=primary, nullable=False),
        *dates,
        sa.Column("kind", sa.Text, primary_key=primary, nullable=False, server_default="shift"),
        sa.Column("starts", sa.Time, primary_key=primary, nullable=False, server_default="00:00"),
        sa.Column("ends", sa.Time, nullable=False, server_default="00:00"),
        sa.CheckConstraint(f"kind IN ({kinds})", name=f"{name}_kind"),
        # PostgreSQL knows 24:00, Python does not; midnight at the end of a day is 00:00 here.
        sa.CheckConstraint("'24:00' NOT IN (starts, ends)", name=f"{name}_midnight"),
    )


working_hours = _hours(
    "working_hours",
    "'shift', 'break'",
    sa.Column("weekday", sa.SmallInteger, primary_key=True, comment="Monday is 0"),
    sa.CheckConstraint("weekday BETWEEN 0 AND 6", name="working_hours_weekday"),
    primary=True,
)
# Other hours than the weekly ones: on the date `first`, and every so many weeks until `last`, for
# ever where that is null. Where several hold on a date, see `calendar.rules.Hours`.
other_hours = _hours(
    "other_hours",
    "'shift', 'break', 'closed'",
    sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
    sa.Column("first", sa.Date, nullable=False),
    sa.Column("last", sa.Date),
    sa.Column("weeks", sa.SmallInteger, nullable=False, server_default=sa.text("1")),
    sa.CheckConstraint("first BETWEEN '1000-01-01' AND '9000-01-01'", name="other_hours_first"),
    sa.CheckConstraint("last BETWEEN first AND date '9000-01-01'", name="other_hours_last"),
    sa.CheckConstraint("weeks BETWEEN 1 AND 520", name="other_hours_weeks"),
    primary=False,
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

appointment = sa.Table(
    "appointment",
    metadata,
    sa.Column("id", sa.BigInteger, sa.Identity(), primary_key=True),
    sa.Column("staff_id", sa.ForeignKey("staff.id"), nullable=False),
    sa.Column("service_id", sa.ForeignKey("service.id"), nullable=False),
    sa.Column("client", sa.Text, nullable=False),
    sa.Column("client_id", sa.Text),
    sa.Column("during", TSTZRANGE, nullable=False),
    sa.Column("blocked", TSTZRANGE, nullable=False),
    sa.Column("status", sa.Text, nullable=False, server_default="confirmed"),
    sa.Column("created_at", TIMESTAMPTZ, nullable=False, server_default=sa.func.now()),
    sa.Column("key_scope", sa.Text, nullable=False, server_default=""),
    sa.Column("idempotency_key", sa.Text),
    sa.Column("request_digest", sa.Text, nullable=False),
    sa.CheckConstraint("status IN ('confirmed', 'cancelled')", name="appointment_status"),
    sa.CheckConstraint(HALF_OPEN, name="appointment_half_open"),
    sa.CheckConstraint("blocked @> during", name="appointment_blocked_covers_during"),
    sa.CheckConstraint("lower_inc(blocked) AND NOT upper_inc(blocked)", name="appointment_blocked"),
)

# The keys under which appointments were moved or cancelled.
change = sa.Table(
    "change",
    metadata,
    sa.Column("key_scope", sa.Text, primary_key=True),
    sa.Column("idempotency_key", sa.Text, primary_key=True),
    sa.Column("request_digest", sa.Text, nullable=False),
    sa.Column("appointment_id", sa.ForeignKey("appointment.id", ondelete="CASCADE"), index=True),
    sa.Column("created_at", TIMESTAMPTZ, nullable=False, server_default=sa.func.now(), index=True),
)

# Most requests carry no key and are spared the indexes; likewise clients without an id.
INDEXES = (
    """
    CREATE UNIQUE INDEX appointment_idempotency_key ON appointment (key_scope, idempotency_key)
     WHERE idempotency_key IS NOT NULL
    """,
    "CREATE INDEX key_age ON appointment (created_at) WHERE idempotency_key IS NOT NULL",
    """
    CREATE INDEX appointment_client ON appointment (client_id)
     WHERE client_id IS NOT NULL AND status = 'confirmed'
    """,
)
OVERLAP_INDEX = (
    "CREATE INDEX appointment_blocked ON appointment"
    " USING gist (staff_id, blocked) WHERE (status = 'confirmed')"
)
NO_OVERLAP = (
    "ALTER TABLE appointment ADD CONSTRAINT appointment_no_overlap"
    " EXCLUDE USING gist (staff_id WITH =, blocked WITH &&) WHERE (status = 'confirmed')"
)

# Where rules are, and which offerings depend on a row that is written.
_THERE = "staff_id IN (SELECT id FROM staff WHERE location_id IN (OLD.{0}, NEW.{0}))"
_THEIRS = "staff_id IN (OLD.staff_id, NEW.staff_id)"
RULES = {
    "location": _THERE.format("id"),
    "closure": _THERE.format("location_id"),
    "service": "service_id IN (OLD.id, NEW.id)",
    "staff": "staff_id IN (OLD.id, NEW.id)",
    **dict.fromkeys(("working_hours", "other_hours", "time_off"), _THEIRS),
}
RULED = {"staff": "OF name, location_id"}  # where not all columns are rules
_CHANGED = f"""
    CREATE FUNCTION {{0}}_{{1}}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        UPDATE offering SET version = {TRANSACTION} WHERE {{2}} AND version <> {TRANSACTION};
        RETURN NULL;
    END $$;
    CREATE TRIGGER {{0}}_{{1}} AFTER {{3}} ON {{0}} FOR EACH {{4}} EXECUTE FUNCTION {{0}}_{{1}}()
"""  # noqa: S608 - what is put together here is ours
VERSIONS = tuple(
    _CHANGED.format(table, what, which, events, each)
    for table, of_row in RULES.items()
    for what, which, events, each in (
        ("changed", of_row, f"INSERT OR DELETE OR UPDATE {RULED.get(table, '')}", "ROW"),
        ("emptied", "true", "TRUNCATE", "STATEMENT"),
    )
)
CLIENTS = 7_265  # our other half of the key space of advisory locks; calendars have their own
# In READ COMMITTED each statement of the function takes a snapshot of its own, after the lock.
ONE_PLACE = (
    f"""
    CREATE FUNCTION one_place() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_advisory_xact_lock({CLIENTS}, hashtext(NEW.client_id));
        IF (SELECT client_once FROM service WHERE id = NEW.service_id) AND EXISTS (
            SELECT FROM appointment
             WHERE client_id = NEW.client_id AND status = 'confirmed'
               AND staff_id <> NEW.staff_id AND during && NEW.during AND id <> NEW.id)
        THEN
            RAISE EXCEPTION 'the client is elsewhere' USING ERRCODE = 'ZC001';
        END IF;
        RETURN NEW;
    END $$
    """,  # noqa: S608 - the number is ours
    """
    CREATE TRIGGER one_place
      BEFORE INSERT OR UPDATE OF staff_id, service_id, client_id, during, status ON appointment
      FOR EACH ROW WHEN (NEW.client_id IS NOT NULL AND NEW.status = 'confirmed')
      EXECUTE FUNCTION one_place()
    """,
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
    for statement in (*INDEXES, *VERSIONS, *ONE_PLACE, *strategy.needs):
        connection.exec_driver_sql(statement)
