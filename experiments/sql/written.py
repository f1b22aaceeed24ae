"""What is written during an exploration, as far as it was seen."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.sql.statements import Statement


@dataclass(slots=True)
class Written:
    """The columns that are written, by table."""

    columns: dict[str, frozenset[str]] = field(default_factory=dict)

    def learn(self, statement: Statement) -> bool:
        """Take account of a statement; say whether it writes more than was known."""
        news = False
        for table, columns in statement.writes.items():
            known = self.columns.get(table, frozenset())
            if not columns <= known:
                self.columns[table] = known | columns
                news = True
        return news

    def looked_at_by(self, statement: Statement) -> bool:
        """Whether a statement looks at any of it, and then writes."""
        return bool(statement.writes) and any(
            table in statement.looks_at and statement.reads(table, columns)
            for table, columns in self.columns.items()
        )

    def seen_by(self, statement: Statement) -> bool:
        """Whether a statement reads any of it."""
        return any(statement.reads(table, columns) for table, columns in self.columns.items())
