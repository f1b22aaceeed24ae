"""Which steps commute: the rules of PostgreSQL that the reduced search relies on."""

from __future__ import annotations

from dataclasses import replace

import pytest
from psycopg.sql import Composed

from experiments.explore.independence import (
    Change,
    Footprint,
    Ledger,
    Lock,
    Look,
    independent,
    only_waits,
)
from experiments.sql.keys import DRAWN, Keyed, distinct
from experiments.sql.recogniser import Recogniser, _wanted
from experiments.sql.statements import (
    ALL,
    EXCLUSIVE,
    KEY_SHARE,
    NO_KEY_UPDATE,
    SHARE,
    SHARED,
    TABLE_MODES,
    UPDATE,
    Statement,
)
from experiments.sql.written import Written
from experiments.steer.messages import Unit
from experiments.steer.turn import Turn

TABLES = {"staff", "appointment", "claim", "service", "note"}
ONE_PLACE = """
    BEGIN
        PERFORM pg_advisory_lock(7265, hashtext(NEW.client_id));
        IF EXISTS (SELECT FROM appointment WHERE client_id = NEW.client_id) THEN
            RAISE EXCEPTION 'the client is elsewhere';
        END IF;
        RETURN NEW;
    END
"""


class Rows(list[tuple[object, ...]]):
    """What a query brings."""

    def fetchall(self) -> Rows:
        """Return all of them."""
        return self


class Catalogue:
    """Answers what the recogniser asks of a database."""

    def execute(self, query: str | Composed, _: object = None) -> Rows:
        """Return the rows of a query."""
        if isinstance(query, Composed):  # whether a column is given
            return Rows([])
        return Rows(self._rows(query))

    def _rows(self, query: str) -> list[tuple[object, ...]]:
        if "'f'" in query and "pg_constraint" in query:
            return [
                ("appointment", "staff", False, False, ["id"]),
                ("claim", "appointment", True, False, ["id"]),
                ("note", "staff", False, True, ["id"]),
            ]
        if "pg_inherits" in query:
            return [("appointment_2030", "appointment")]
        if "attgenerated" in query:
            return []
        if "pg_depend" in query:
            return [("priced",)]
        if "prosrc" in query:
            return [
                ("book_slot", "BEGIN INSERT INTO appointment VALUES (1); END", False),
                ("anything", "BEGIN EXECUTE 'DROP TABLE ' || name; END", False),
                ("plus_one", "SELECT $1 + 1", True),
                ("one_place", ONE_PLACE, False),
                ("anybody", "BEGIN PERFORM book_slot(1); END", False),
                ("counted", "BEGIN UPDATE claim SET version = version + 1; END", False),
            ]
        if "pg_trigger" in query:
            wants = " WHEN (((new.client_id IS NOT NULL) AND (new.status = 'x'::text))) EXECUTE "
            return [
                ("service", "counted", [], "AFTER UPDATE FOR EACH ROW EXECUTE FUNCTION counted()"),
                ("staff", "counted", ["location_id"], ""),
                ("appointment", "one_place", [], wants),
            ]
        if "pg_proc" in query:
            return [("pg_notify",), ("pg_advisory_lock",), ("random",)]
        if "LIKE" in query:
            return [("pg_locks",)] if "<> 'r'" in query else [("pg_type",)]
        if "'v'" in query:
            return [("report",)]
        return [(name,) for name in (*TABLES, "appointment_2030")]


@pytest.fixture
def read() -> Recogniser:
    """A recogniser that knows a salon's tables."""
    return Recogniser(Catalogue())  # type: ignore[arg-type]


READ = Statement(tables=frozenset({"appointment"}), words=frozenset({"id", "status"}))
CHANGE = (Change("appointment", frozenset({ALL})),)
ROWS = frozenset({Lock("write", "appointment")})

CHECK = Footprint(reads=(Look(READ, {}),), quiet=True)
INSERT = Footprint(asks=ROWS)
COMMIT = Footprint(lets_go=ROWS, publishes=CHANGE, last=True)
COMMIT_OF_NOTHING = Footprint(last=True)
ROLLBACK = Footprint(lets_go=ROWS, last=True)


def lock(kind: str, table: str, strength: int) -> Footprint:
    """A step that asks for one lock."""
    return Footprint(asks=frozenset({Lock(kind, table, strength)}))


def commute(one: Footprint, other: Footprint) -> bool:
    """Whether the steps commute; it must not matter who is asked."""
    assert independent(one, other) == independent(other, one)
    return independent(one, other)


def test_a_read_does_not_see_what_is_not_committed() -> None:
    """READ COMMITTED: a check commutes with a rival's insert, not with its COMMIT."""
    assert commute(CHECK, INSERT)
    assert commute(CHECK, ROLLBACK)
    assert not commute(CHECK, COMMIT)


def test_writes_to_one_table_may_meet_in_an_index() -> None:
    """Two inserts, and an insert and the end of the other's transaction, do not commute."""
    assert not commute(INSERT, INSERT)
    assert not commute(INSERT, COMMIT)
    assert not commute(INSERT, ROLLBACK)
    assert commute(COMMIT, COMMIT)


def test_a_snapshot_fixes_what_is_seen() -> None:
    """REPEATABLE READ: the first statement commutes with no COMMIT, later reads with all."""
    assert not commute(Footprint(snapshot=True, quiet=True), COMMIT)
    assert commute(Footprint(snapshot=True, quiet=True), COMMIT_OF_NOTHING)
    assert commute(Footprint(quiet=True), COMMIT)


def test_serializable_steps_commute_where_both_read() -> None:
    """SERIALIZABLE: reads, writes and ends decide together who is failed."""
    reading = Footprint(serializable=True, quiet=True)
    writing = Footprint(serializable=True, asks=ROWS)

    assert commute(reading, reading)
    assert not commute(reading, writing)
    assert not commute(reading, Footprint(serializable=True, last=True))
    assert commute(reading, INSERT)


@pytest.mark.parametrize(
    ("one", "other", "conflict"),
    [
        (KEY_SHARE, KEY_SHARE, False),
        (KEY_SHARE, NO_KEY_UPDATE, False),
        (KEY_SHARE, UPDATE, True),
        (SHARE, SHARE, False),
        (SHARE, NO_KEY_UPDATE, True),
        (NO_KEY_UPDATE, NO_KEY_UPDATE, True),
        (UPDATE, UPDATE, True),
    ],
)
def test_row_locks_conflict_as_the_manual_says(one: int, other: int, *, conflict: bool) -> None:
    """FOR NO KEY UPDATE lets the foreign keys' checks through, FOR UPDATE does not."""
    assert commute(lock("row", "staff", one), lock("row", "staff", other)) != conflict
    assert commute(lock("row", "staff", one), lock("row", "service", other))


@pytest.mark.parametrize("mode", range(len(TABLE_MODES)))
def test_table_locks_conflict_both_ways(mode: int) -> None:
    """ACCESS EXCLUSIVE conflicts with all, ACCESS SHARE with nothing else."""
    strongest, weakest = len(TABLE_MODES) - 1, 0

    assert not commute(lock("table", "staff", mode), lock("table", "staff", strongest))
    assert commute(lock("table", "staff", mode), lock("table", "staff", weakest)) == (
        mode != strongest
    )
    for other in range(len(TABLE_MODES)):
        commute(lock("table", "staff", mode), lock("table", "staff", other))


ONE, TWO = frozenset({("staff_id", "1")}), frozenset({("staff_id", "2")})
DRAW = frozenset({("id", DRAWN)})


def test_what_is_known_of_rows_keeps_them_apart() -> None:
    """A look at one member of staff sees no change of another's, and their rows don't meet."""
    look = Footprint(reads=(Look(READ, {"appointment": ONE}),), quiet=True)
    for values, seen in ((ONE, True), (TWO, False), (frozenset(), True)):
        change = Change("appointment", frozenset({ALL}), values)
        assert commute(look, Footprint(publishes=(change,), last=True)) != seen
        mine, theirs = Lock("row", "staff", UPDATE, ONE), Lock("row", "staff", UPDATE, values)
        assert (
            commute(Footprint(asks=frozenset({mine})), Footprint(asks=frozenset({theirs}))) != seen
        )


def test_numbers_that_are_drawn_differ() -> None:
    """Two rows that draw their ids have different ones; which is which may matter, or may not."""
    assert distinct(DRAW, DRAW)
    assert not distinct(DRAW, frozenset({("id", "1")}))
    assert not distinct(DRAW, ONE)
    assert not commute(lock("draw", "staff", 1), lock("draw", "staff", 0))
    assert commute(lock("draw", "staff", 0), lock("draw", "staff", 0))


def test_an_advisory_lock_is_its_key() -> None:
    """Two keys are two locks; one that isn't known may be any."""
    keys = [
        Footprint(asks=frozenset({Lock("advisory", key)})) for key in ("(1,)", "(2,)", "(1, 2)", "")
    ]
    one, other, pair, unknown = keys
    assert commute(one, other)
    assert commute(one, pair)
    assert not commute(one, one)
    assert not any(commute(unknown, each) for each in keys)


HAS = Lock("advisory", "(1,)", EXCLUSIVE, certain=True)
ENDS = Footprint(lets_go=frozenset({HAS}), had=frozenset({HAS}), publishes=CHANGE, last=True)
WAITS = Footprint(asks=frozenset({HAS}), patient=True, first=True)


@pytest.mark.parametrize(
    ("holder", "asker"),
    [
        (ENDS, replace(WAITS, patient=False)),  # it takes another way
        (ENDS, replace(WAITS, asks=frozenset({HAS._replace(certain=False)}))),  # or asks for none
        (ENDS, replace(WAITS, asks=frozenset({HAS._replace(what="")}))),  # or for another one
        (ENDS, replace(WAITS, reads=(Look(READ, {}),))),  # it has looked before
        (ENDS, replace(WAITS, snapshot=True)),
        (replace(ENDS, had=frozenset({HAS._replace(strength=SHARED)})), WAITS),  # others got in
        (replace(ENDS, had=frozenset()), WAITS),
        # It has another lock while it waits, or all who ask may have it.
        (ENDS, replace(WAITS, asks=frozenset({HAS, HAS._replace(what="(2,)")}))),
        (
            replace(ENDS, had=frozenset({HAS._replace(strength=SHARED)})),
            replace(WAITS, asks=frozenset({HAS._replace(strength=SHARED)})),
        ),
        (replace(ENDS, asks=frozenset({HAS})), WAITS),
        (replace(ENDS, opaque=True), WAITS),
    ],
)
def test_who_only_waits_may_as_well_ask_later(holder: Footprint, asker: Footprint) -> None:
    """To wait for a lock is no schedule of its own, unless anybody could have noticed."""
    assert only_waits(ENDS, WAITS)
    assert not independent(ENDS, WAITS)
    assert not only_waits(holder, asker)


def test_what_a_transaction_has_it_asks_for_no_more() -> None:
    """A table that is locked more strongly, or a key again; what may not have been had, it does."""
    keyed = Keyed(locks=frozenset({"(1,)"}), certain=frozenset({"(1,)"}))
    text = "SELECT pg_advisory_xact_lock(1)"

    def asks(first: Statement, second: Statement, *, known: Keyed = keyed, count: int = 1) -> int:
        ledger = Ledger({})
        for number, statement in enumerate((first, second)):
            turn = Turn(1, Unit([], "query"), "statement", text, in_transaction=True, client=0)
            turn.statement, turn.keyed, turn.answered_at = statement, known, number
            turn.begin, turn.result.count = "" if number else "BEGIN", count
            if number:
                return len(ledger.footprint(turn, [], may_fail=False).asks)
            ledger.note(turn)
            ledger.settle(turn)
        raise AssertionError

    lock = Statement(advisory=EXCLUSIVE, patient=True)
    assert asks(lock, lock) == 0
    assert asks(replace(lock, patient=False), lock) == 1
    assert asks(replace(lock, advisory=SHARED), lock) == 1
    assert asks(lock, replace(lock, advisory=SHARED)) == 0
    assert asks(lock, lock, known=Keyed(locks=frozenset({"(1,)"}))) == 1
    assert asks(replace(lock, outlives=True), lock) == 1
    table = Statement(tables=frozenset({"staff"}), patient=True)
    exclusive, share = (TABLE_MODES.index(mode) for mode in ("exclusive", "share"))
    assert asks(replace(table, table_lock=exclusive), replace(table, table_lock=share)) == 0
    assert asks(replace(table, table_lock=share), replace(table, table_lock=exclusive)) == 1
    row = frozenset({("id", "1")})
    rows = replace(table, row_lock=UPDATE)
    one = Keyed({"staff": {"id": "1"}}, row=("staff", row))
    assert asks(rows, rows, known=one) == 0
    assert asks(rows, rows, known=one, count=0) == 1  # there was none
    assert asks(rows, rows, known=Keyed({"staff": {"id": "1"}})) == 3


def test_a_table_is_locked_before_the_snapshot_is_taken() -> None:
    """In REPEATABLE READ, LOCK TABLE sees nothing yet, and the statement after it does."""
    ledger = Ledger({})
    share = TABLE_MODES.index("share")
    first = Turn(1, Unit([], "query"), "statement", "LOCK", in_transaction=True, client=0)
    first.begin, first.isolation = "BEGIN", "REPEATABLE READ"
    first.statement = Statement(tables=frozenset({"staff"}), table_lock=share, patient=True)
    assert not ledger.footprint(first, [], may_fail=False).snapshot
    ledger.note(first)
    second = replace(first, begin="", statement=READ)
    assert ledger.footprint(second, [], may_fail=False).snapshot
    ledger.note(second)
    assert not ledger.footprint(second, [], may_fail=False).snapshot


def test_an_answer_does_not_commute_with_a_question() -> None:
    """Properties speak of requests that were open at the same time."""
    assert not commute(COMMIT_OF_NOTHING, Footprint(first=True))
    assert commute(COMMIT_OF_NOTHING, CHECK)


def test_what_is_not_known_depends_on_everything() -> None:
    """Rather too many schedules than one too few."""
    assert not commute(Footprint(opaque=True), COMMIT_OF_NOTHING)


def test_reads_and_writes_are_told_apart(read: Recogniser) -> None:
    """The tables and columns that a statement touches are read off its text."""
    check = read("SELECT id FROM appointment WHERE staff_id = %(staff_id)s -- no staff")
    insert = read('INSERT INTO "appointment" (staff_id) VALUES (1) RETURNING id')
    update = read("UPDATE staff SET calendar_version = calendar_version + 1, name = f(a, b)")
    delete = read("DELETE FROM public.claim WHERE appointment_id = 1")

    assert check.only_reads
    assert check.tables == {"appointment"}
    assert insert.writes == {"appointment": {ALL}}
    assert update.writes == {"staff": {"calendar_version", "name"}}
    assert delete.writes == {"claim": {ALL}}


def test_a_read_of_other_columns_sees_no_change(read: Recogniser) -> None:
    """The rules of what may be booked commute with a raised version of the calendar."""
    update = read("UPDATE staff SET calendar_version = 1")
    columns = update.writes["staff"]

    assert not read("SELECT staff.name FROM staff").reads("staff", columns)
    assert read("SELECT calendar_version FROM staff").reads("staff", columns)
    assert read("SELECT * FROM staff").reads("staff", columns)


@pytest.mark.parametrize(
    ("clause", "strength"),
    [
        ("FOR UPDATE", UPDATE),
        ("FOR NO KEY UPDATE NOWAIT", NO_KEY_UPDATE),
        ("FOR SHARE", SHARE),
        ("FOR KEY SHARE SKIP LOCKED", KEY_SHARE),
        ("", 0),
    ],
)
def test_locking_reads_are_recognised(read: Recogniser, clause: str, strength: int) -> None:
    """A locking read is no write, and no mere read either."""
    statement = read(f"SELECT id FROM staff WHERE id = 1 {clause}")

    assert statement.row_lock == strength
    assert not statement.writes
    assert statement.only_reads == (strength == 0)


def test_table_and_advisory_locks_are_recognised(read: Recogniser) -> None:
    """And which of them outlive the transaction."""
    table = read("LOCK TABLE appointment IN SHARE ROW EXCLUSIVE MODE")

    assert table.table_lock == TABLE_MODES.index("share row exclusive")
    assert read("SELECT pg_advisory_xact_lock(1)").advisory == EXCLUSIVE
    assert read("SELECT pg_advisory_xact_lock(1)").patient
    assert read("SELECT pg_advisory_xact_lock_shared(1)").advisory == SHARED
    assert not read("SELECT pg_try_advisory_xact_lock(1)").patient
    assert not read("SELECT plus_one(id) FROM staff FOR UPDATE").patient
    assert not read("SELECT id FROM staff FOR UPDATE SKIP LOCKED").patient
    assert not read("LOCK TABLE staff NOWAIT").patient
    assert not read("SELECT pg_advisory_xact_lock(1)").outlives
    assert read("SELECT pg_advisory_lock(1)").outlives
    assert read("SELECT pg_advisory_unlock(1)").releases


@pytest.mark.parametrize(
    "sql",
    [
        "",
        "SELECT 1; DELETE FROM staff",
        "SELECT pg_notify('a', 'b')",
        "SELECT * FROM report",
        "TRUNCATE staff",
        "SELECT count(*) FROM pg_locks",
        "DO $$ BEGIN DELETE FROM staff; END $$",
        "SELECT anything('staff')",
        "CALL something()",
    ],
)
def test_other_sql_is_not_recognised(read: Recogniser, sql: str) -> None:
    """It may write anything."""
    assert not read(sql).recognised
    assert read(sql).writes.keys() == TABLES
    assert not read(sql).only_reads


def test_functions_are_looked_up(read: Recogniser) -> None:
    """What a function writes is known, so that reads of other tables stay no choice."""
    assert read("SELECT book_slot(1)").writes == {"appointment": {ALL}}
    assert not read("SELECT book_slot(1)").recognised
    assert read("SELECT plus_one(id) FROM staff").only_reads


def test_what_a_function_calls_is_followed(read: Recogniser) -> None:
    """Who writes through somebody else's function writes all the same."""
    assert read("SELECT anybody()").writes == {"appointment": {ALL}}


def test_a_partition_is_its_table(read: Recogniser) -> None:
    """Who reads a part sees what is written to the whole."""
    assert read("SELECT id FROM appointment_2030").tables == {"appointment"}
    assert "appointment" in read("INSERT INTO appointment_2030 VALUES (1)").writes


def test_what_foreign_keys_change_is_written(read: Recogniser) -> None:
    """ON DELETE CASCADE and ON UPDATE CASCADE write tables that no statement names."""
    assert read("DELETE FROM appointment").writes.keys() == {"appointment", "claim"}
    assert read("UPDATE staff SET id = 2").writes.keys() == {"staff", "note"}
    assert read("UPDATE staff SET calendar_version = 2").writes.keys() == {"staff"}


def test_the_catalogue_changes_with_what_is_defined(read: Recogniser) -> None:
    """What drivers look up is no choice, unless somebody defines something."""
    look = read("SELECT oid FROM pg_type WHERE typname = $1")
    assert look.only_reads
    assert not any(look.reads(*change) for change in read("CALL something()").writes.items())
    assert any(look.reads(*change) for change in read("CREATE TABLE a (b int)").writes.items())


def test_names_are_read_whatever_their_case(read: Recogniser) -> None:
    """A quoted name is a name; what calls functions of its own by itself is not recognised."""
    assert read('SELECT 1 FROM "Appointment"').tables == {"appointment"}
    assert not read("INSERT INTO priced VALUES (1)").recognised


@pytest.mark.parametrize(
    "sql",
    [
        "TABLE staff",
        "SELECT row_to_json(s) FROM staff s",
        "SELECT staff FROM staff",
        "SELECT s FROM staff AS s WHERE s.id = 1",
        "SELECT id, xmin FROM staff",
        "SELECT id FROM staff NATURAL JOIN service",
        "SELECT * FROM staff",
    ],
)
def test_whole_rows_have_all_columns(read: Recogniser, sql: str) -> None:
    """Who reads a row reads what is not named in it too."""
    assert read(sql).reads("staff", frozenset({"calendar_version"}))


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT id FROM staff WHERE id = 1",
        "SELECT s.id FROM public.staff AS s JOIN service ON service.id = s.id",
        "SELECT staff.id FROM staff, service WHERE staff.id = service.id FOR UPDATE OF staff",
    ],
)
def test_named_columns_are_all_that_is_read(read: Recogniser, sql: str) -> None:
    """What nobody names, nobody sees."""
    assert not read(sql).reads("staff", frozenset({"calendar_version"}))


def test_checks_and_running_transactions_are_not_taken_for_reads(read: Recogniser) -> None:
    """What runs deferred checks, or tells of transactions, depends on everything."""
    assert not read("SET CONSTRAINTS ALL IMMEDIATE").recognised
    assert not read("SELECT pg_current_snapshot()").recognised
    assert not read("CALL fastpath()").recognised
    assert read("SELECT id FROM ärzte").words >= {"ärzte"}


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("INSERT INTO appointment (staff, id) VALUES (1, 2) RETURNING appointment.id", set()),
        ("INSERT INTO public.appointment SELECT 1 WHERE EXISTS (SELECT FROM claim)", {"claim"}),
        ("INSERT INTO claim (SELECT id FROM claim)", {"claim"}),
        ("UPDATE ONLY claim SET version = claim.version + 1 WHERE claim.id = 1", set()),
        ("UPDATE claim SET version = 2 FROM service WHERE service.id = 1", {"service"}),
        ("UPDATE claim SET version = 2 WHERE id = (SELECT max(id) FROM claim)", {"claim"}),
        ("WITH gone AS (DELETE FROM claim RETURNING id) SELECT id FROM gone", set()),
        ("DELETE FROM claim USING appointment_2030 AS a WHERE a.id = claim.id", {"appointment"}),
        ("INSERT INTO claim VALUES (1) ON CONFLICT DO UPDATE SET version = claim.version", set()),
        ("SELECT id FROM claim FOR UPDATE", {"claim"}),
    ],
)
def test_what_is_only_named_to_be_written_is_not_looked_at(
    read: Recogniser, sql: str, tables: set[str]
) -> None:
    """A statement that looks elsewhere can be overtaken before it writes; another can't."""
    assert read(sql).recognised
    assert read(sql).looks_at == tables
    assert not read(sql).again


def test_functions_and_triggers_look_wherever_they_like(read: Recogniser) -> None:
    """What is not recognised may look at everything; rows that are loaded look at nothing."""
    read.learn("INSERT INTO appointment (client_id) VALUES ('me')")
    watched = read("INSERT INTO appointment (client_id) VALUES ('me')")

    assert watched.looks_at == {"appointment"}
    assert watched.again
    assert read("SELECT book_slot(1)").looks_at == TABLES
    assert read("SELECT book_slot(1)").again
    assert not read("COPY claim FROM stdin").looks_at
    assert not read("ALTER TABLE claim ADD COLUMN x int").looks_at


def test_who_looks_at_what_nobody_writes_need_not_be_held_back(read: Recogniser) -> None:
    """Only what is written can change between a look and a write."""
    written = Written()
    insert = read("INSERT INTO appointment (id) SELECT 1 WHERE EXISTS (SELECT id FROM claim)")
    written.learn(insert)

    assert not written.looked_at_by(insert)
    written.learn(read("UPDATE claim SET version = 2"))
    assert not written.looked_at_by(insert)
    written.learn(read("DELETE FROM claim"))
    assert written.looked_at_by(insert)
    assert not written.looked_at_by(read("SELECT id FROM claim"))


@pytest.mark.parametrize(("level", "in_transaction"), [("READ COMMITTED", False), ("", True)])
def test_what_goes_on_has_looked(read: Recogniser, level: str, *, in_transaction: bool) -> None:
    """What is committed before it writes it doesn't see, but for the locks that it waits for."""
    ledger = Ledger({})
    look = Turn(1, Unit([], "query"), "statement", "", client=0, isolation=level)
    look.in_transaction = in_transaction
    look.statement = read("INSERT INTO claim (id) SELECT id FROM service")
    commit = Footprint(publishes=(Change("service", frozenset({ALL})),))
    first = ledger.footprint(look, (), may_fail=False)
    ledger.note(look)
    rest = ledger.footprint(look.rest(), (), may_fail=False)

    assert not independent(first, commit)
    assert independent(rest, commit)
    assert not independent(rest, Footprint(lets_go=frozenset({Lock("write", "claim")})))
    assert bool(rest.publishes) == (not in_transaction)
    assert rest.last == (not in_transaction)
    # Functions and triggers look again.
    look.statement = replace(look.statement, again=True)
    assert not independent(ledger.footprint(look.rest(), (), may_fail=False), commit)


def test_what_sets_off_a_trigger_that_writes_is_not_recognised(read: Recogniser) -> None:
    """Who writes more than is told depends on everything; other columns set off nothing."""
    assert not read("INSERT INTO staff (name) VALUES ('Ada')").recognised
    assert not read("UPDATE staff SET location_id = 2").recognised
    assert read("UPDATE staff SET calendar_version = 2").recognised
    assert read("SELECT id FROM staff FOR NO KEY UPDATE").recognised


def test_a_trigger_that_reads_and_locks_is_followed_once_its_column_is_given(
    read: Recogniser,
) -> None:
    """Who has a client id meets the others through the trigger; nobody else does."""
    insert = "INSERT INTO appointment (staff_id, client_id) SELECT f($2, 1), $1::text WHERE true"
    cancel = "UPDATE appointment SET status = 'y' WHERE id = 1"

    assert not read.learn(insert, [None, b"1"])
    assert not read.learn("INSERT INTO appointment (client_id) VALUES (NULL)")
    assert not read.learn("UPDATE appointment SET client_id = $1, status = 'x'", [None])
    assert not read.learn(cancel)
    assert not read(insert).advisory

    assert read.learn(insert, [b"somebody", b"1"])
    assert not read.learn(insert, [b"somebody", b"1"])
    for statement in map(read, (insert, cancel)):
        assert statement.recognised
        assert statement.advisory
        assert statement.reads("appointment", frozenset({"client_id"}))


@pytest.mark.parametrize(
    "sql",
    [
        "INSERT INTO appointment (client_id) VALUES ('somebody')",
        "INSERT INTO appointment VALUES (1, NULL)",
        "INSERT INTO appointment (client_id) TABLE claim",
        "UPDATE appointment SET client_id = 'somebody'",
        "UPDATE appointment SET (client_id, status) = (SELECT 1, 2)",
        "SELECT book_slot(1)",
    ],
)
def test_a_column_that_may_be_given_is_reckoned_with(read: Recogniser, sql: str) -> None:
    """Rather too many schedules than one too few."""
    assert read.learn(sql)


def test_a_choice_of_conditions_wants_no_column() -> None:
    """A trigger that may be set off without the column is never left out of account."""
    assert _wanted("X WHEN ((new.a IS NOT NULL)) EXECUTE FUNCTION f()") == "a"
    assert _wanted("X WHEN (((new.a IS NOT NULL) OR new.b)) EXECUTE FUNCTION f()") is None
    assert _wanted("X WHEN ((NOT (new.a IS NOT NULL))) EXECUTE FUNCTION f()") is None
    assert _wanted("X FOR EACH ROW EXECUTE FUNCTION f()") is None
