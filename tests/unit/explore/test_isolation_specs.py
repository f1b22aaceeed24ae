"""Isolation test files and what they are expected to print, read from small texts."""

from __future__ import annotations

import re

import pytest
from isolation.expected import Event, Permutation, Table, read_expected
from isolation.specs import Blocker, Mention, NotASpec, Session, Spec, Step, read_spec

SPEC = """
# Two of them turn a page; "step" is no step here: {
setup { CREATE TABLE page (id int, note text); }
setup
{
  INSERT INTO page VALUES (1, '{'); # no comment
}
teardown { DROP TABLE page; }

session "the reader's"
setup { BEGIN; }
step r1 { SELECT note FROM page; }  # looks
step "a ""b"" c" { }
teardown { COMMIT; }
session Writer step w1{UPDATE page
  SET note = 'new'\t}

permutation r1 w1 "a ""b"" c"
permutation w1(*) r1(w1,w1 notices 2)
  "a ""b"" c"
"""

PRINTED = """Parsed test spec with 2 sessions

starting permutation: look turn keep
count
-----
    2
(1 row)

step look: SELECT id, note FROM page; SELECT name FROM nobody;
id|note
--+----
 1|a|b\x20
 2|x
y\x20
10|\x20\x20\x20\x20
(3 rows)

name
----
(0 rows)

other: NOTICE:  about to turn
DETAIL:  It is page 1.
step turn:\x20
  -- The page
  -----------
  UPDATE page SET note = 'ERROR:  none';
 <waiting ...>
step keep: COMMIT; NOTIFY kept;
me: NOTIFY "kept" with payload "" from me
step turn: <... completed>
ERROR:  could not turn
the page

starting permutation: keep
step keep: COMMIT; NOTIFY kept;
FATAL:  gone
server closed the connection

me: WARNING:  too late
"""


def test_spec() -> None:
    """Everything that a file may hold stands in its place."""
    quoted = 'a "b" c'
    assert read_spec(SPEC) == Spec(
        (
            "CREATE TABLE page (id int, note text);",
            "\n  INSERT INTO page VALUES (1, '{'); # no comment\n",
        ),
        "DROP TABLE page;",
        (
            Session(
                "the reader's",
                "BEGIN;",
                (Step("r1", "SELECT note FROM page;"), Step(quoted, "")),
                "COMMIT;",
            ),
            Session("Writer", "", (Step("w1", "UPDATE page\n  SET note = 'new'"),), ""),
        ),
        (
            (Mention("r1"), Mention("w1"), Mention(quoted)),
            (
                Mention("w1", (Blocker(None),)),
                Mention("r1", (Blocker("w1"), Blocker("w1", 2))),
                Mention(quoted),
            ),
        ),
    )


def test_all_permutations() -> None:
    """They come in the order in which isolationtester plays them."""
    spec = read_spec("session a step a1 {} step a2 {} session b step b1 {} session c step c1 {}")
    orders = [" ".join(mention.step for mention in one) for one in spec.all_permutations()]
    assert spec.permutations == ()
    assert orders[:4] == ["a1 a2 b1 c1", "a1 a2 c1 b1", "a1 b1 a2 c1", "a1 b1 c1 a2"]
    assert len(orders) == len(set(orders)) == 12


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "missing"),
        ("session a", "missing"),
        ("session a step s {} permutation", "missing"),
        ("session a step step {}", "Line 1: name expected, not step"),
        ("session a\nstep s { SELECT 1", "Line 2: unexpected {"),
        ("session a step s { '}' }", "unexpected '"),
        ("session a step s {} setup {}", "end expected, not setup"),
        ("session a step s {} session b step s {}", "Two steps"),
        ("session a step s {} permutation S", "not there: {'S'}"),
        ("session a step s {} step t {} permutation s(t)", "not there: {'t'}"),
        ("session a step s {} permutation s()", "name expected"),
    ],
)
def test_no_spec(text: str, why: str) -> None:
    """What isolationtester would not play is refused."""
    with pytest.raises(NotASpec, match=re.escape(why)):
        read_spec(text)


def test_expected() -> None:
    """Tables, errors and messages belong to the events with which they came."""
    first, second = read_expected(PRINTED)
    keep = "COMMIT; NOTIFY kept;"
    assert first == Permutation(
        ("look", "turn", "keep"),
        (Table(("count",), (("2",),)),),
        (
            Event(
                "look",
                "SELECT id, note FROM page; SELECT name FROM nobody;",
                False,
                False,
                (
                    Table(("id", "note"), (("1", "a|b"), ("2", "x\ny"), ("10", ""))),
                    Table(("name",), ()),
                ),
                (),
                (),
            ),
            Event(
                "turn",
                "\n  -- The page\n  -----------\n  UPDATE page SET note = 'ERROR:  none';\n",
                True,
                False,
                (),
                (),
                ("other: NOTICE:  about to turn\nDETAIL:  It is page 1.",),
            ),
            Event(
                "keep",
                keep,
                False,
                False,
                (),
                (),
                ('me: NOTIFY "kept" with payload "" from me',),
            ),
            Event("turn", "", False, True, (), ("could not turn\nthe page",), ()),
        ),
    )
    assert second.events == (
        Event(
            "keep",
            keep,
            False,
            False,
            (),
            ("FATAL:  gone\nserver closed the connection",),
            ("me: WARNING:  too late",),
        ),
    )


def test_rulers_within_sql() -> None:
    """A line of dashes makes no table where no number of rows follows."""
    (permutation,) = read_expected("\nstarting permutation: s\nstep s: \n--A\n---\nSELECT 1\n")
    assert permutation.events[0].sql == "\n--A\n---\nSELECT 1"
    assert permutation.events[0].tables == ()


def test_widths_are_in_bytes() -> None:
    """Letters of several bytes take as many columns."""
    text = "\nstarting permutation: s\nstep s: TABLE t\na |b \n--+--\né|ü\n(1 row)\n\n"
    (permutation,) = read_expected(text)
    assert permutation.events[0].tables == (Table(("a", "b"), (("é", "ü"),)),)


def test_what_belongs_to_nothing() -> None:
    """A line that no form explains is refused."""
    with pytest.raises(ValueError, match="belongs to nothing: 'what'"):
        read_expected("\nstarting permutation: s\nwhat\nstep s: SELECT 1\n")
