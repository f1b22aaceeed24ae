"""PostgreSQL's own isolation tests come out through the hub as PostgreSQL says that they do.

They are read from a checkout of its sources, which BOOKING_LAB_POSTGRES_SOURCE names: one of the
server's major version, since others know other statements and messages. Nothing of it is kept here.
"""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from isolation.expected import Permutation, read_expected
from isolation.player import differences, in_words, play
from isolation.specs import read_spec

if TYPE_CHECKING:
    from collections.abc import Iterator

    from _pytest.mark import ParameterSet

    from experiments.server.postgres import Database

SOURCE = "BOOKING_LAB_POSTGRES_SOURCE"
FOLDER = Path(os.environ.get(SOURCE, "")) / "src" / "test" / "isolation"
MOST = 60  # permutations that are played whoever waits for the tests

_PREPARED = "prepared transactions are disabled: max_prepared_transactions is 0, as is its default"
SKIPPED = {
    "async-notify": "LISTEN is let through as soon as it is sent, so NOTIFY can't come before it",
    "intra-grant-inplace-db": "names its database, and here each has a name of its own",
    "prepared-transactions": _PREPARED,
    "prepared-transactions-cic": _PREPARED,
}


def cases() -> Iterator[ParameterSet]:
    """Give each spec and which of its permutations are played, from and up to which one."""
    if not os.environ.get(SOURCE):
        skip = pytest.mark.skip(reason=f"{SOURCE} names no checkout of PostgreSQL")
        yield pytest.param("none", 0, MOST, marks=skip, id="none")
        return
    expected = {path.stem: path for path in sorted(FOLDER.glob("expected/*.out"))}
    for path in sorted(FOLDER.glob("specs/*.spec")):
        name = path.stem
        reason = SKIPPED.get(name) or ("" if name in expected else "nothing says what is expected")
        marks = [pytest.mark.skip(reason=reason)] if reason else []
        yield pytest.param(name, 0, MOST, marks=marks, id=name)
        if not reason and len(read_expected(expected[name].read_text())) > MOST:
            why = f"more of the same: the first {MOST} permutations guard the promise"
            slow = pytest.mark.slow(why=why)
            yield pytest.param(name, MOST, None, marks=slow, id=f"{name}-others")


@pytest.mark.parametrize(("name", "first", "end"), list(cases()))
def test_postgresqls_own_tests_see_the_same(
    fresh: Database, name: str, first: int, end: int | None
) -> None:
    """Who waits, who goes on, in which order, and what comes back is what there is without a hub.

    So what the explorer sees of a schedule is what PostgreSQL does: that its clients' statements
    are held back, that BEGIN and the like are let through beforehand, and that waits are asked of
    the server, changes nothing.
    """
    spec = read_spec((FOLDER / "specs" / f"{name}.spec").read_text())
    permutations = list(spec.permutations or spec.all_permutations())[first:end]
    paths = [FOLDER / "expected" / f"{name}.out", *FOLDER.glob(f"expected/{name}_[0-9].out")]

    played = play(fresh, spec, name, permutations)

    printed = [read_expected(path.read_text())[first:end] for path in paths]
    assert min((differences(each, played) for each in printed), key=len) == []


SPEC = """
setup { CREATE TABLE page (id int PRIMARY KEY, note text); INSERT INTO page VALUES (1, 'old'); }
setup { SELECT count(*) FROM page; }
teardown { DROP TABLE page; SELECT 'torn' AS of; }

session writer
setup { BEGIN; SET LOCAL deadlock_timeout = '50ms'; }
step w1 { UPDATE page SET note = 'new' WHERE id = 1; }
step w2 { INSERT INTO page VALUES (2, 'other'); }
step wn { DO $$ BEGIN RAISE WARNING 'about to end'; END $$; }
step wc { COMMIT; }

session reader
setup { BEGIN; SET LOCAL deadlock_timeout = '1min'; SELECT 1 AS ready; }
step r1 { SELECT id, note FROM page; }
step r2 { INSERT INTO page VALUES (2, NULL) RETURNING *; SELECT 1 AS one; }
step r3 { SELECT note FROM page FOR UPDATE; }
step rc { COMMIT; }
teardown { SELECT 'left' AS of; }

permutation w1 r1 r3 wn wc rc
permutation r3(*) w1(r1) r1 rc wc
permutation w1 r2 r3 w2 rc wc
permutation w1 r3 r1
"""
ENDS = "rows ('of',): (('left',),), rows ('of',): (('torn',),)"
SEEN = [
    [
        "w1 ends",
        "r1 ends, rows ('id', 'note'): (('1', 'old'),)",
        "r3 waits",
        "wn ends",
        "wc ends",
        "r3 has ended its wait, rows ('note',): (('new',),)",
        f"rc ends, {ENDS}",
    ],
    [
        "r3 waits",
        "w1 waits",
        "r3 has ended its wait, rows ('note',): (('old',),)",
        "r1 ends, rows ('id', 'note'): (('1', 'old'),)",
        "rc ends",
        "w1 has ended its wait",
        f"wc ends, {ENDS}",
    ],
    [
        "w1 ends",
        "r2 ends, rows ('id', 'note'): (('2', ''),), rows ('one',): (('1',),)",
        "r3 waits",
        "w2 waits",
        "r3 has ended its wait, rows ('note',): (('old',), ('',))",
        "rc ends",
        "w2 has ended its wait, error deadlock detected",
        f"wc ends, {ENDS}",
    ],
    [
        "w1 ends",
        "r3 waits, rows ('of',): (('torn',),)",
    ],
]


def test_a_test_is_played_as_isolationtester_plays_it(fresh: Database) -> None:
    """Without PostgreSQL's sources: waits, deadlocks, marks, messages and frames."""
    spec = read_spec(SPEC)

    played = play(fresh, spec, "page", spec.permutations, patience=0.2)

    assert [[*map(in_words, each.seen.events)] for each in played] == SEEN
    for each in played:
        assert [(table.header, table.rows) for table in each.seen.setup] == [
            (("count",), (("1",),)),
            (("ready",), (("1",),)),
        ]
    assert played[0].seen.events[-1].notices == ("writer: WARNING:  about to end",)
    assert [each.broken for each in played] == ["", "", "", "r1 can't be sent: reader still waits"]


def test_what_is_otherwise_is_said(fresh: Database) -> None:
    """Another order, other rows, and what setup blocks and messages told."""
    spec = read_spec(SPEC)
    (played,) = play(fresh, spec, "page", spec.permutations[:1])
    seen = played.seen
    first, second, *others = seen.events
    expected = Permutation(
        seen.steps,
        (),
        (replace(second, tables=()), first, *(replace(each, notices=()) for each in others)),
    )

    assert differences([seen], [played]) == []
    (said,) = differences([expected], [played])
    assert said.split("\n  ") == [
        "w1 r1 r3 wn wc rc:",
        f"the setup brought {seen.setup}, not ()",
        "expected, not seen: r1 ends",
        "seen, not expected: r1 ends, rows ('id', 'note'): (('1', 'old'),)",
        "writer was told ['writer: WARNING:  about to end'], not []",
    ]
