"""What a SQL statement touches, and which kinds of locks there are."""

from __future__ import annotations

from dataclasses import dataclass, field

Changes = dict[str, frozenset[str]]

ALL = "*"
"""Stands for every column."""

# Row locks in order of strength. Two conflict where they add up to 5 or more.
KEY_SHARE, SHARE, NO_KEY_UPDATE, UPDATE = 1, 2, 3, 4

# Advisory locks in order of strength.
SHARED, EXCLUSIVE = 1, 2

TABLE_MODES = (
    "access share",
    "row share",
    "row exclusive",
    "share update exclusive",
    "share",
    "share row exclusive",
    "exclusive",
    "access exclusive",
)


@dataclass(frozen=True, slots=True)
class Statement:
    """What a statement touches.

    Attributes:
        recognised: Whether the rest can be relied on.
        tables: The tables it names.
        words: All its words, lower case: a column that is not among them is not read.
        writes: The columns that it writes, by table; `ALL` where rows come or go.
        row_lock: The strongest lock that it asks on rows that exist, on any table it names; 0
            where it asks none.
        table_lock: The mode of LOCK TABLE, as a position in `TABLE_MODES`.
        advisory: The weakest advisory lock that it takes or releases; 0 where it does neither.
        patient: Whether it waits for the locks that it asks for where others have them, and does
            nothing else then.
        releases: Whether it lets go of a lock before its transaction ends.
        outlives: Whether it takes a lock that outlives its transaction.
        serializable: Whether it raises the isolation level of its transaction.
        looks_at: The tables that it reads, not counting those that it names only to write them.
        again: Whether it may look again later, with another snapshot: it calls functions, or sets
            off triggers.
        draws: Where numbers are drawn from sequences that it names: the tables that draw theirs by
            default, and an empty name, which stands for all sequences.
    """

    recognised: bool = True
    tables: frozenset[str] = frozenset()
    words: frozenset[str] = frozenset()
    writes: Changes = field(default_factory=dict)
    row_lock: int = 0
    table_lock: int | None = None
    advisory: int = 0
    patient: bool = False
    releases: bool = False
    outlives: bool = False
    serializable: bool = False
    draws: frozenset[str] = frozenset()
    looks_at: frozenset[str] = frozenset()
    again: bool = False

    @property
    def only_reads(self) -> bool:
        """Whether nobody else could notice it."""
        return self.recognised and not (
            self.writes
            or self.row_lock
            or self.table_lock
            or self.advisory
            or self.serializable
            or self.draws
        )

    def reads(self, table: str, columns: frozenset[str]) -> bool:
        """Whether it may see a change of these columns of a table."""
        return table in self.tables and (
            ALL in columns or ALL in self.words or not columns.isdisjoint(self.words)
        )
