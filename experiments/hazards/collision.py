"""Colliding inserts under an exclusion constraint, with and without ON CONFLICT DO NOTHING.

A plain insert stores its row first and looks for rivals afterwards. Where it finds one that is not
committed it waits for the rival's end, with its own row in the index. From then on the two rows lie
in each other's way, and whoever of several waiters wakes up finds the others' rows and waits for
one of them, which waits for it. So with one waiter, or where the first commits, nothing happens:
the constraint refuses the rest (23P01). A deadlock takes two that have stored their rows and not
yet failed. There are three ways to it:

- The first rolls back while several wait. Of N waiters N - 1 die as victims of a deadlock, one
  every `deadlock_timeout`, because each wakes the next pair. This is certain.
- The first commits, which refuses a second (23P01, that is, a rollback) for which several wait
  who don't overlap the first. Then as above. It takes slots that overlap two others, and four
  clients.
- Two store their rows within the same microseconds, before either looks. This is chance: on two
  cores in 9 of 72 rounds of two clients. Everybody who comes meanwhile joins the heap: of 20
  clients with one and the same slot and a `deadlock_timeout` of 1 s, 19 were victims, and the
  round took 18 s; in most rounds nothing happened. This explains how 20 clients can take 14 to
  19 seconds, and why a search through the orders of statements, in which only one statement
  is on its way at a time and everybody commits, finds no deadlock among three.

The deadlock's wait is `deadlock_timeout`, and nothing else: at 100 ms the same round takes a
tenth. To try a victim again helps little, for its row joins the heap once more: six clients with
five tries each were all but one told `deadlock`, after 29 deadlocks in all.

With ON CONFLICT DO NOTHING an insert looks before it stores, waits with no row of its own in the
index, and where two do meet, one takes its row back and looks again. PostgreSQL's own words for
the third way are "fairly harmless" (the comment at the head of execIndexing.c), which is true of
two clients. ON CONFLICT does not help against transactions of several inserts in opposite orders
(see `lock_order`), which deadlock with it as without.
"""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING

import pandas as pd
from sqlalchemy import exc, text

from booking_core.strategies.constraint import Exclusion
from experiments.hazards.deadlocks import deadlock_engine
from experiments.hazards.hazard import Hazard, never, side
from experiments.hazards.together import together
from experiments.scenes.shapes import SHAPES
from experiments.scenes.stage import Stage
from experiments.server.postgres import fresh_database
from experiments.waiting.onlooker import Onlooker, until

if TYPE_CHECKING:
    from concurrent.futures import Future

    from sqlalchemy import Connection, Engine

Hours = tuple[int, int]

FORMS = {"plain": "", "ON CONFLICT DO NOTHING": "ON CONFLICT DO NOTHING"}
PLAIN, HARMLESS = FORMS
_INSERT = """
    INSERT INTO appointment (staff_id, service_id, client, during, blocked, request_digest)
    SELECT staff.id, service.id, 'Somebody', place, place, ''
      FROM staff, service, tstzrange(
           timestamptz '2030-01-07 00:00Z' + make_interval(hours => :first),
           timestamptz '2030-01-07 00:00Z' + make_interval(hours => :until)) AS place
    {form} RETURNING id
"""
_EMPTY = text("TRUNCATE appointment CASCADE")
ROLLBACK, COMMIT, AT_ONCE = (
    "the first rolls back",
    "the first commits",
    "all at once",
)
CHAIN = "the first commits, the second overlaps two"


def collision(
    *, clients: int = 6, deadlock_timeout_ms: int = 50, rounds: int = 2, races: int = 10
) -> Hazard:
    """Let inserts collide, in each of the ways.

    Args:
        clients: How many wait for the first, or start at once; 3 where `deadlock_timeout` is not
            ours to lower, for every victim takes that long.
        deadlock_timeout_ms: How long PostgreSQL lets them wait, where we may say so.
        rounds: How often each way is gone that leaves nothing to chance.
        races: How often all start at once.
    """
    rows = []
    with fresh_database() as database:
        engine, timeout_ms = deadlock_engine(database, deadlock_timeout_ms, clients + 1)
        clients = clients if timeout_ms == deadlock_timeout_ms else 3
        control = database.engine()
        Stage(control, Exclusion(), SHAPES["same_slot"].scene(1))
        with Onlooker(control) as onlooker:
            for number in range(1, max(rounds, races) + 1):
                for form in FORMS:
                    ways = [ROLLBACK, COMMIT, CHAIN] if number <= rounds else []
                    ways += [AT_ONCE] if number <= races else []
                    for way in ways:
                        with control.begin() as connection:
                            connection.execute(_EMPTY)
                        answers, took = _collide(way, form, engine, onlooker, clients)
                        rows.append(
                            {
                                "variant": form,
                                "way": way,
                                "round": number,
                                "booked": answers.count("booked"),
                                "conflict": answers.count("23P01") + answers.count("nothing"),
                                "deadlock": answers.count("40P01"),
                                "answered_after_ms": took,
                            }
                        )
    return _judged(pd.DataFrame(rows), clients, timeout_ms)


def _collide(
    way: str, form: str, engine: Engine, onlooker: Onlooker, clients: int
) -> tuple[list[str], float]:
    """Let clients collide once; return what each was told, and after how long all were."""
    if way == AT_ONCE:
        answers, took = together([partial(_client, engine, form, (9, 10))] * clients)
        return [told for told, _ in answers], took
    # In the chain the second overlaps the first, and the others the second alone.
    wanted = [(10, 13)] + [(12, 13)] * (clients - 1) if way == CHAIN else [(9, 11)] * clients
    with engine.connect() as first, ThreadPoolExecutor(clients) as threads:
        _insert(first, form, (9, 11))
        asked: list[Future[str]] = []
        for hours in wanted:
            asked.append(threads.submit(_client, engine, form, hours))
            until(partial(_settled, onlooker, asked))
        started = time.perf_counter()
        (first.rollback if way == ROLLBACK else first.commit)()
        answers_ = [each.result() for each in asked]
        return answers_, 1000 * (time.perf_counter() - started)


def _client(engine: Engine, form: str, hours: Hours) -> str:
    with engine.connect() as connection:
        try:
            stored = _insert(connection, form, hours)
            connection.commit()
        except exc.DBAPIError as error:
            return str(getattr(error.orig, "sqlstate", error))
        return "booked" if stored else "nothing"


def _insert(connection: Connection, form: str, hours: Hours) -> int | None:
    statement = text(_INSERT.format(form=FORMS[form]))
    first, until_ = hours
    stored: int | None = connection.scalar(statement, {"first": first, "until": until_})
    return stored


def _settled(onlooker: Onlooker, asked: list[Future[str]]) -> bool:
    """Whether everybody who has asked is answered or waits for a lock."""
    return sum(each.done() for each in asked) + onlooker.waiting() >= len(asked)


def _judged(runs: pd.DataFrame, clients: int, timeout_ms: int) -> Hazard:
    plain = runs[runs["variant"] == PLAIN]
    harmless = runs[runs["variant"] == HARMLESS]
    rollback, commit, chain, race = (
        plain[plain["way"] == way] for way in (ROLLBACK, COMMIT, CHAIN, AT_ONCE)
    )
    took = rollback["answered_after_ms"].median()
    took_harmless = harmless[harmless["way"] == ROLLBACK]["answered_after_ms"].median()
    return Hazard(
        name="collision",
        question="When do colliding inserts deadlock under an exclusion constraint?",
        setting=f"{clients} clients insert; deadlock_timeout {timeout_ms} ms",
        runs=runs,
        by=("variant", "way"),
        sentence=f"When the first rolled back, {rollback['deadlock'].median():.0f} of {clients}"
        f" clients who waited with a plain insert died in deadlocks, one after another, in"
        f" {took:.0f} ms; with {HARMLESS} none did, in {took_harmless:.0f} ms. Started at once,"
        f" plain inserts deadlocked in {int((race['deadlock'] > 0).sum())} of {len(race)}"
        " rounds.",
        sides=(
            side(PLAIN, rollback, "answered_after_ms"),
            side(HARMLESS, harmless[harmless["way"] == ROLLBACK], "answered_after_ms"),
        ),
        verdicts=(
            never(
                "When the first of several colliding inserts rolls back, all who waited but one"
                " die in deadlocks",
                rollback["deadlock"] != clients - 1,
                f"not {clients - 1} of {clients}",
                "rounds",
            ),
            never(
                "When the first commits, none of those who want its slot does",
                commit["deadlock"] > 0,
                "with a deadlock",
                "rounds",
            ),
            never(
                "When the first commits and the second overlaps it and several others, all of"
                " these but one die",
                chain["deadlock"] != clients - 2,
                f"not {clients - 2} of {clients - 1}",
                "rounds",
            ),
            never(
                "With ON CONFLICT DO NOTHING colliding inserts never deadlock",
                harmless["deadlock"] > 0,
                "with a deadlock",
                "rounds",
            ),
        ),
    )
