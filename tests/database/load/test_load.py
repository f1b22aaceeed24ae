"""Loads on a real server: what is counted is what happened, and the judge sees every lie."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner, Result
from sqlalchemy import text

from booking_core import schema
from booking_core.strategies import DEFAULT, STRATEGIES, Strategy
from experiments.cli.load import load_command
from experiments.judge.ledger import Judgement, judge
from experiments.load import measurements
from experiments.load.load import LoadResult, load
from experiments.load.measurements import ENDS, NOUNS
from experiments.load.plan import OPERATIONS
from experiments.load.replies import OUTCOMES, Replies
from experiments.load.users import PRACTICE
from experiments.load.workload import Target
from experiments.scenes import salon
from experiments.scenes.places import GRID, STEP
from experiments.scenes.shapes import OPENING
from experiments.server.postgres import server

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy import Connection

    from booking_core.strategies.transaction import BookingTransaction
    from experiments.server.postgres import Database

MIX = {"book": 2, "cancel": 1, "reschedule": 1}


def _count(result: LoadResult, name: str) -> float:
    return result.metrics[name].aggregate(result.metrics[name].main)


def _run(*words: str) -> Result:
    return CliRunner().invoke(load_command, words, prog_name="booking-lab load")


ORIGIN = [
    word
    for condition in (
        "booking_successes:count==1",
        "booking_conflicts:count==99",
        "booking_errors:count==0",
        "booking_successes + booking_conflicts + booking_busy + booking_errors == iterations",
        "double_bookings==0",
        "dishonest_replies==0",
    )
    for word in ("--threshold", condition)
]


def test_a_hundred_users_want_one_slot_and_one_gets_it() -> None:
    """The origin's k6 script, with thresholds that k6 can't state, over several processes."""
    result = _run("--executor", "per-vu-iterations", "--vus", "100", "--processes", "2", *ORIGIN)
    assert result.exit_code == 0, result.output
    assert "✗" not in result.stdout


def test_an_exhibit_fails_its_thresholds_which_are_named(tmp_path: Path) -> None:
    """Exit code 99, each failed threshold with what was seen, and the summary is written."""
    written = tmp_path / "summary.json"
    words = ["--strategy", "no_lock", "--vus", "20", "--processes", "1", "--hold-ms", "20"]
    result = _run(*words, *ORIGIN, "--json", "--summary", str(written))
    assert result.exit_code == 99
    assert (
        "threshold failed: booking_successes:count==1 (booking_successes:count is" in result.stderr
    )
    assert "threshold failed: double_bookings==0 (double_bookings is" in result.stderr
    assert "threshold failed: booking_errors" not in result.stderr
    told = json.loads(written.read_text(encoding="utf-8"))
    assert told == json.loads(result.stdout)
    assert told["metrics"]["double_bookings"]["thresholds"]["double_bookings==0"]["ok"] is False


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--threshold", "boking_successes:count==1"], "There is no number 'boking_successes'"),
        (["--threshold", "booking_duration:p95<1"], "no aggregate 'p95'"),
        (["--threshold", "booking_successes"], "is no threshold"),
        (["--strategy", "nonsense"], "There is no strategy 'nonsense'"),
        (["--mix", "book"], "is no weight"),
        (["--mix", "walk=1"], "There is no operation 'walk'"),
        (["--vus", "1000"], "max_connections"),
    ],
)
def test_a_wrong_word_is_answered_in_a_sentence(words: list[str], said: str) -> None:
    """Exit code 2 before anything runs, and no traceback."""
    result = _run(*words)
    assert result.exit_code == 2
    assert said in result.stderr.replace("\n", " ")
    assert "Traceback" not in result.output


def test_the_command_explains_itself_with_examples() -> None:
    """--help is enough to start with."""
    assert "booking-lab load --executor constant-arrival-rate" in _run("--help").stdout


@pytest.mark.parametrize("strategy", STRATEGIES.values(), ids=STRATEGIES)
def test_sound_strategies_stay_sound_under_a_mix(strategy: type[Strategy]) -> None:
    """Books, cancels and moves beside each other: no double booking, no reply that is not true."""
    if server().version < strategy.minimum_server:
        pytest.skip(f"{strategy.name} needs PostgreSQL {strategy.minimum_server // 10000}")
    result = load(
        strategy,
        vus=5,
        iterations=12,
        processes=1,
        staff=2,
        days=1,
        skew="zipf",
        mix=MIX,
        hold_ms=0,
        offers=0,
    )
    judged = {name: _count(result, name) for name in Judgement().as_dict()}
    assert dict.fromkeys(judged, 0) == judged
    counted = sum(_count(result, f"{noun}_{end}") for noun in NOUNS.values() for end in ENDS)
    assert counted == _count(result, "iterations") == 60
    assert _count(result, "iterations_failed") == 0, result.details
    assert _count(result, "cancel_successes") > 0
    assert _count(result, "reschedule_successes") > 0


def test_an_open_loop_begins_or_drops_every_iteration() -> None:
    """Fifty a second for half a second are twenty-five; users are added up to their maximum."""
    result = load(
        "function",
        executor="constant-arrival-rate",
        rate=50,
        duration_s=0.5,
        vus=1,
        max_vus=3,
        processes=1,
        hold_ms=30,
        staff=5,
        skew="uniform",
    )
    assert _count(result, "iterations") + _count(result, "dropped_iterations") == 25
    assert 1 <= _count(result, "vus") <= 3 == _count(result, "vus_max")
    due = result.requests()["due_s"]
    assert (due * 50).round(5).mod(1).eq(0).all()


def test_users_may_share_fewer_connections_than_they_are() -> None:
    """A pool of two serves eight; who waits for a connection waits, and is served."""
    result = load("advisory", vus=8, pool_size=2, processes=1, iterations=2, offers=0)
    assert (_count(result, "booking_successes"), _count(result, "booking_conflicts")) == (1, 15)


class Broken(Strategy):
    """A strategy with a fault of its own."""

    name = "broken"

    def guard(self, tx: BookingTransaction) -> None:
        """Send nonsense."""
        tx.connection.execute(text("SELECT nonsense"))


def test_errors_are_counted_and_the_first_of_each_kind_is_told() -> None:
    """A strategy that raises ends no load."""
    result = load(Broken, vus=3, processes=1)
    assert _count(result, "booking_errors") == _count(result, "iterations") == 3
    assert "nonsense" in result.details["error"]
    assert result.outcomes == {"book: error": 3}


class Lies:
    """A small true history in a database, to which one lie is added.

    The first user books appointment one and cancels it; the second books it again, and a third
    is refused because of that. The fourth books another slot and moves there and back.
    """

    def __init__(self, connection: Connection, staff_id: int) -> None:
        self.connection = connection
        self.staff_id = staff_id
        self._told = Replies()
        self.first = self.row("0-1", 0, "cancelled")
        self.second = self.row("1-1", 0)
        self.moved = self.row("3-1", 10)
        self.reply(0, 1, "book", "booked", 0, self.first, at=10)
        self.reply(0, 2, "cancel", "cancelled", 0, self.first, at=20)
        self.reply(1, 1, "book", "booked", 0, self.second, at=30)
        self.reply(2, 1, "book", "conflict", 0, 0, at=40, taken_by=self.second)
        self.reply(3, 1, "book", "booked", 10, self.moved, at=50)
        self.reply(3, 2, "reschedule", "booked", 20, self.moved, at=60)
        self.reply(3, 3, "reschedule", "booked", 10, self.moved, at=70)
        self.reply(3, 4, "reschedule", "conflict", 2, self.moved, at=80, taken_by=self.second)

    def row(self, client: str, start: int, status: str = "confirmed") -> int:
        """Store an appointment and return its id."""
        instant = OPENING + start * GRID
        return int(
            self.connection.execute(
                text("""
                    INSERT INTO appointment
                        (staff_id, service_id, client, during, blocked, status, request_digest)
                    SELECT :staff_id, id, :client, tstzrange(:start, :end), tstzrange(:start, :end),
                           :status, ''
                      FROM service RETURNING id
                """),
                {
                    "staff_id": self.staff_id,
                    "client": client,
                    "start": instant,
                    "end": instant + STEP,
                    "status": status,
                },
            ).scalar_one()
        )

    def reply(  # noqa: PLR0913, PLR0917 - a reply has as many parts
        self,
        vu: int,
        number: int,
        operation: str,
        outcome: str,
        start: int,
        appointment_id: int,
        *,
        at: int,
        until: int | None = None,
        taken_by: int = 0,
    ) -> None:
        """Note what a user was told."""
        target = Target(self.staff_id, start, OPENING)
        instants = (at, at, at + 5 if until is None else until)
        self._told.add(
            vu, number, operation, outcome, 1, target, appointment_id, taken_by, instants
        )

    def judged(self) -> dict[str, int]:
        """Return what the judge finds."""
        with self.connection.begin_nested() as savepoint:
            found = judge(
                self.connection,
                measurements.columns([self._told.records()]),
                operations=OPERATIONS,
                outcomes=OUTCOMES,
                practice=PRACTICE,
            )
            savepoint.rollback()  # with it go the judge's tables
        return {name: count for name, count in asdict(found).items() if count}


@pytest.fixture(scope="module")
def staff_id(database: Database) -> int:
    """Make a salon of one, once."""
    with database.engine().begin() as connection:
        schema.create(connection, DEFAULT())
        (only,) = salon.plain(connection, 1).staff.values()
    return only


@pytest.fixture
def lies(database: Database, staff_id: int) -> Iterator[Lies]:
    """Give a history that is true so far, and leave nothing of it."""
    with database.engine().connect() as connection:
        yield Lies(connection, staff_id)


def test_a_true_history_is_not_accused(lies: Lies) -> None:
    """The control of all the following."""
    assert lies.judged() == {}


def test_a_booked_reply_without_a_row_is_found(lies: Lies) -> None:
    """Somebody was told of an appointment that does not exist."""
    lies.reply(4, 1, "book", "booked", 40, 999, at=90)
    assert lies.judged() == {"bookings_without_row": 1}


def test_two_replies_with_one_row_are_found(lies: Lies) -> None:
    """Somebody was given an appointment that is somebody else's."""
    lies.reply(4, 1, "book", "booked", 10, lies.moved, at=90)
    assert lies.judged()["bookings_without_row"] == 1


@pytest.mark.parametrize("outcome", ["conflict", "busy", "error"])
def test_a_row_of_somebody_who_was_told_no_is_found(lies: Lies, outcome: str) -> None:
    """A row without a booked reply; where the answer was lost there may be one."""
    lies.row("4-1", 40)
    lies.reply(4, 1, "book", "unknown", 40, 0, at=90)
    assert lies.judged() == {}
    lies.row("4-2", 50)
    lies.reply(4, 2, "book", outcome, 50, 0, at=100, taken_by=0)
    assert lies.judged()["rows_without_booking"] == 1


def test_a_second_row_of_one_request_is_found(lies: Lies) -> None:
    """Booked twice, told once."""
    lies.row("1-1", 40)
    assert lies.judged() == {"rows_without_booking": 1}


@pytest.mark.parametrize(
    ("operation", "outcome", "start"),
    [("cancel", "cancelled", 10), ("reschedule", "booked", 30)],
)
def test_a_change_that_did_not_take_place_is_found(
    lies: Lies, operation: str, outcome: str, start: int
) -> None:
    """Told of a cancel or a move, but the row stands where it stood."""
    lies.reply(3, 5, operation, outcome, start, lies.moved, at=90)
    assert lies.judged() == {"rows_otherwise": 1}


@pytest.mark.parametrize(
    ("start", "at", "taken_by", "why"),
    [
        (40, 90, "second", "it is for another time"),
        (0, 90, "first", "it was cancelled long before"),
        (0, 22, "second", "it was booked only later"),
        (20, 90, "moved", "it had moved away again"),
        (0, 90, None, "it does not exist"),
    ],
)
def test_a_conflict_with_nobody_in_the_way_is_found(
    lies: Lies, start: int, at: int, taken_by: str | None, why: str
) -> None:
    """A conflict names an appointment that overlapped while the request was open."""
    rival = getattr(lies, taken_by) if taken_by else 999
    lies.reply(4, 1, "book", "conflict", start, 0, at=at, taken_by=rival)
    assert lies.judged() == {"false_conflicts": 1}, why


@pytest.mark.parametrize(
    ("start", "at", "until", "taken_by"),
    [
        (4, 90, 95, "second"),  # overlaps with another start
        (0, 12, 15, "first"),  # it stood just then
        (0, 28, 31, "second"),  # it came while the request was open
        (0, 15, 21, "first"),  # it went while the request was open
        (20, 66, 71, "moved"),  # it was there between two moves
    ],
)
def test_a_conflict_with_whoever_stood_there_is_true(
    lies: Lies, start: int, at: int, until: int, taken_by: str
) -> None:
    """Moves and cancels are followed, and a request has all the time that it was open."""
    rival = getattr(lies, taken_by)
    lies.reply(4, 1, "book", "conflict", start, 0, at=at, until=until, taken_by=rival)
    assert lies.judged() == {}


def test_a_conflict_with_oneself_is_found(lies: Lies) -> None:
    """Whoever moves an appointment is not in its own way."""
    lies.reply(3, 5, "reschedule", "conflict", 10, lies.moved, at=90, taken_by=lies.moved)
    assert lies.judged() == {"false_conflicts": 1}


def test_a_double_booking_is_found_in_the_rows(lies: Lies) -> None:
    """Two confirmed appointments that overlap."""
    fifth = lies.row("4-1", 2)
    lies.reply(4, 1, "book", "booked", 2, fifth, at=90)
    assert lies.judged() == {"double_bookings": 1}


def test_a_double_booking_is_found_when_it_has_been_cancelled_since(lies: Lies) -> None:
    """The rows have forgotten it; those who stood at the same chair have not."""
    fifth = lies.row("4-1", 2, "cancelled")
    lies.reply(4, 1, "book", "booked", 2, fifth, at=90)
    lies.reply(4, 2, "cancel", "cancelled", 2, fifth, at=100)
    assert lies.judged() == {"double_bookings": 1}
