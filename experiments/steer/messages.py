"""Messages of PostgreSQL's protocol, and the units into which a client's are cut.

A client's messages arrive in pieces of any size. `Frames` puts them together, `Cutter` cuts their
sequence into *units*: what is forwarded to the server at once. A unit is a simple query, or all
messages up to and including one Execute, so that each statement of a pipeline is a unit. Parse and
Bind stay with their Execute, for a SELECT takes its snapshot when it is bound. What follows an
Execute decides how it ends: where it is the first Sync since the last one and nothing else ran in
between, the statement is a transaction by itself, and both are one unit; otherwise a Flush is
added, which has the server answer at once and changes nothing else.

A client can expect no answer before it has sent something that asks for one, so the message that
tells how an Execute ends always comes.

Manual: 54.2 Message Flow; 54.7 Message Formats (55.2 and 55.7 from PostgreSQL 15 on).
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from typing import Literal

Ends = Literal["query", "statement", "execute", "sync", "flush", "copy", "terminate"]

FLUSH = b"H\0\0\0\4"
SYNC = b"S\0\0\0\4"
ASKING = frozenset(b"QFSH")
"""The kinds of messages after which a client may wait for an answer."""

# What ends the answer to each kind of message; to an Execute also what begins a COPY.
ANSWERED: dict[int, frozenset[int]] = {
    ord(kind): frozenset(answers)
    for kind, answers in (
        ("P", b"1"),
        ("B", b"2"),
        ("C", b"3"),
        ("D", b"Tn"),
        ("E", b"CIsGHW"),
        ("S", b"Z"),
        ("Q", b"Z"),
        ("F", b"Z"),
    )
}
_HEADER = 5  # a letter and the length, which counts itself


class Frames:
    """Puts messages together from the pieces in which they arrive."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._missing = _HEADER  # how many bytes are needed before there is anything to cut

    def feed(self, data: bytes) -> list[bytes]:
        """Take a piece, and return the messages that are complete, their headers included."""
        if self._pieces:
            self._pieces.append(data)
            self._size += len(data)
            if self._size < self._missing:
                return []
            data = b"".join(self._pieces)
            self._pieces = []
        found, start, size = [], 0, len(data)
        self._missing = _HEADER
        while size - start >= _HEADER:
            end = start + 1 + int.from_bytes(data[start + 1 : start + _HEADER], "big")
            if end > size:
                self._missing = end - start
                break
            found.append(data[start:end])
            start = end
        if start < size:
            self._pieces, self._size = [data[start:]], size - start
        return found


def opening(data: bytes) -> tuple[bytes, bytes] | None:
    """Split off the first packet of a connection, which has no letter; None where more is to come.

    Returns:
        The packet, and what follows it.
    """
    if len(data) < 4:  # noqa: PLR2004 - the length
        return None
    size = max(int.from_bytes(data[:4], "big"), 4)
    return None if len(data) < size else (data[:size], data[size:])


def message(kind: bytes, body: bytes = b"") -> bytes:
    """Write a message."""
    return kind + struct.pack("!i", len(body) + 4) + body


@dataclass(slots=True)
class Unit:
    """What is forwarded to the server at once.

    Attributes:
        messages: The client's.
        ends: How it ends: `query`: it is a simple one. `statement`: with the Sync after its only
            Execute. `execute`: with an Execute that is followed by something else. `sync`, `flush`:
            with these, and without an Execute. `copy`: it is the data of a COPY. `terminate`: the
            client leaves.
    """

    messages: list[bytes] = field(default_factory=list)
    ends: Ends = "query"

    @property
    def binds(self) -> bool:
        """Whether a portal is opened in it, and with it a SELECT's snapshot taken."""
        return any(each[0] == _BIND for each in self.messages)

    @property
    def asks(self) -> bool:
        """Whether the client may wait for an answer once it has sent this."""
        return self.messages[-1][0] in ASKING or self.ends == "copy"

    @property
    def lone(self) -> bool:
        """Whether it is a Flush and nothing else, to which there is no answer."""
        return self.ends == "flush" and len(self.messages) == 1

    def answers(self) -> list[frozenset[int] | None]:
        """What the server answers to each message: the kinds that end the answer, if there is one.

        Not for the data of a COPY, to which it answers once.
        """
        return [ANSWERED.get(each[0]) for each in self.messages]

    def sent(self) -> bytes:
        """The bytes to forward; where the server would wait for more, with a Flush."""
        written = b"".join(self.messages)
        return written if self.messages[-1][0] != _EXECUTE else written + FLUSH


_EXECUTE, _SYNC, _FLUSH, _CLOSE, _BIND = b"ESHCB"
_QUERIES, _COPYING, _COPIED = b"QF", b"dcf", b"cf"


class Cutter:
    """Cuts a client's messages into units, one message at a time."""

    def __init__(self) -> None:
        self._pending: list[bytes] = []
        self._executed = 0  # the messages of `_pending` up to its Execute; 0 without one
        self._statements = 0  # Executes since the last Sync
        self._simple = True  # whether the last statement was a simple query
        self._copied = False  # whether the data of a COPY have come to their end

    def feed(self, piece: bytes) -> list[Unit]:
        """Take a message, and return the units that it completes."""
        kind = piece[0]
        if kind in _COPYING or self._copied:
            return self._copy(piece)
        if kind in _QUERIES:
            self._simple = True
            return [*self._cut(), *self._loose(), Unit([piece], "query")]
        if kind == _SYNC:
            return self._sync(piece)
        if kind == _FLUSH:
            if self._executed:
                self._pending.append(piece)
                self._executed = len(self._pending)
                return self._cut()
            units = [Unit([*self._pending, piece], "flush")]
            self._pending = []
            return units
        if kind == ord("X"):
            return [*self._cut(), *self._loose(), Unit([piece], "terminate")]
        # A Close may stand between an Execute and the Sync that makes both one transaction.
        units = self._cut() if self._executed and kind != _CLOSE else []
        self._pending.append(piece)
        if kind == _EXECUTE:
            self._executed = len(self._pending)
            self._statements += 1
            self._simple = False
        return units

    def _sync(self, piece: bytes) -> list[Unit]:
        alone = self._executed > 0 and self._statements == 1
        units = [] if alone else self._cut()
        units.append(Unit([*self._pending, piece], "statement" if alone else "sync"))
        self._pending, self._executed, self._statements = [], 0, 0
        return units

    def _cut(self) -> list[Unit]:
        """End a unit with its Execute, if there is one."""
        if not self._executed:
            return []
        unit = Unit(self._pending[: self._executed], "execute")
        self._pending = self._pending[self._executed :]
        self._executed = 0
        return [unit]

    def _loose(self) -> list[Unit]:
        """What nothing has ended, and now nothing will."""
        unit = Unit(self._pending, "flush")
        self._pending = []
        return [unit] if unit.messages else []

    def _copy(self, piece: bytes) -> list[Unit]:
        units = self._cut()
        self._pending.append(piece)
        if piece[0] in _COPIED:
            self._copied = True
        if not self._copied or not (self._simple or piece[0] == _SYNC):
            return units
        units.append(Unit(self._pending, "copy"))
        self._pending, self._copied, self._statements = [], False, 0
        return units
