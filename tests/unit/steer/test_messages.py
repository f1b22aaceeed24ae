"""What a client sends is cut into units, in the same way however it arrives."""

from __future__ import annotations

import struct
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.steer.messages import FLUSH, SYNC, Cutter, Frames, Unit, message, opening

QUERY = message(b"Q", b"SELECT 1\0")
PARSE = message(b"P", b"name\0SELECT $1\0" + struct.pack("!h", 0))
BIND = message(b"B", b"\0name\0" + struct.pack("!hhh", 0, 0, 0))
DESCRIBE = message(b"D", b"P\0")
CLOSE = message(b"C", b"P\0")
EXECUTE = message(b"E", b"\0" + struct.pack("!i", 0))
DATA, DONE, FAILED = message(b"d", b"1\n"), message(b"c"), message(b"f", b"no\0")
LEAVE = message(b"X")
STATEMENT = [PARSE, BIND, DESCRIBE, EXECUTE]


def cut(*pieces: bytes) -> list[Unit]:
    """Cut what arrives in some pieces."""
    frames, cutter = Frames(), Cutter()
    return [unit for piece in pieces for each in frames.feed(piece) for unit in cutter.feed(each)]


def ends(*messages: bytes) -> list[str]:
    """How the units end that some messages make up."""
    return [unit.ends for unit in cut(b"".join(messages))]


@pytest.mark.parametrize(
    ("messages", "expected"),
    [
        ([QUERY], ["query"]),
        ([*STATEMENT, SYNC], ["statement"]),
        ([*STATEMENT, CLOSE, SYNC], ["statement"]),
        ([*STATEMENT], []),  # what follows decides how it ends
        ([*STATEMENT, *STATEMENT, SYNC], ["execute", "execute", "sync"]),
        ([*STATEMENT, EXECUTE, SYNC], ["execute", "execute", "sync"]),
        ([*STATEMENT, FLUSH, SYNC], ["execute", "sync"]),
        ([*STATEMENT, CLOSE, *STATEMENT, SYNC], ["execute", "execute", "sync"]),
        ([PARSE, DESCRIBE, SYNC], ["sync"]),
        ([PARSE, DESCRIBE, FLUSH, BIND, EXECUTE, SYNC], ["flush", "statement"]),
        ([BIND, FLUSH], ["flush"]),
        ([SYNC, SYNC], ["sync", "sync"]),
        ([QUERY, DATA, DATA, DONE, QUERY], ["query", "copy", "query"]),
        ([QUERY, DATA, FAILED], ["query", "copy"]),
        ([*STATEMENT, SYNC, DATA, DONE, SYNC, QUERY], ["statement", "copy", "query"]),
        ([*STATEMENT, FLUSH, DATA, DONE, SYNC], ["execute", "copy"]),
        ([*STATEMENT, LEAVE], ["execute", "terminate"]),
    ],
)
def test_each_statement_is_a_unit(messages: list[bytes], expected: list[str]) -> None:
    """A simple query, or everything up to one Execute; a Sync that commits is one by itself."""
    assert ends(*messages) == expected


MESSAGES = st.lists(st.sampled_from([QUERY, *STATEMENT, CLOSE, SYNC, FLUSH]), max_size=30)


@given(MESSAGES, st.data())
def test_units_do_not_depend_on_how_bytes_arrive(
    messages: list[bytes], data: st.DataObject
) -> None:
    """A network may cut a stream anywhere."""
    sent = b"".join(messages)
    places = st.lists(st.integers(0, len(sent)), max_size=10)
    edges = sorted({0, len(sent), *data.draw(places)})
    pieces = [sent[start:end] for start, end in pairwise(edges)]

    assert cut(*pieces) == cut(sent)


@given(MESSAGES)
def test_nothing_is_lost_and_nothing_said_twice(messages: list[bytes]) -> None:
    """All units together are what was sent, in its order, but for what is not complete yet."""
    units = cut(b"".join(messages))
    together = [each for unit in units for each in unit.messages]

    assert together == messages[: len(together)]
    # What is left can't have asked for an answer.
    assert not {each[:1] for each in messages[len(together) :]} & {b"Q", b"S", b"H"}


@given(MESSAGES)
def test_at_most_one_statement_is_sent_at_once(messages: list[bytes]) -> None:
    """Each Execute is granted by itself, and always answered without waiting for the next."""
    for unit in cut(b"".join(messages)):
        executes = sum(each[:1] == b"E" for each in unit.messages)
        assert executes <= 1
        assert not executes or unit.sent()[-5:] in (SYNC, FLUSH)


def test_the_first_packet_has_no_letter() -> None:
    """It is taken when it is complete, and not before."""
    packet = struct.pack("!II", 12, 196608) + b"abcd"
    assert opening(packet[:3]) is None
    assert opening(packet[:11]) is None
    assert opening(packet + b"more") == (packet, b"more")
