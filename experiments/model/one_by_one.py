"""What if statements did not travel together: a session that waits for each one's answer."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any
from unittest.mock import patch

from booking_core.database import session
from booking_core.database.wire import NOTHING, Rows, Wire

if TYPE_CHECKING:
    from collections.abc import Mapping


class OneByOne(Wire):
    """Sends every statement by itself."""

    _rows: Rows

    def add(self, sql: str, parameters: Mapping[str, object] = NOTHING) -> None:
        """Send a statement, and wait for its answer."""
        super().add(sql, parameters)
        self._rows = super().flush()

    def flush(self, *, commit: bool = False) -> Rows:
        """Return the last answer, once COMMIT is answered too where it is wanted."""
        if commit:
            super().flush(commit=True)
        return self._rows


def one_by_one(*, really: bool = True) -> AbstractContextManager[Any]:
    """Have all sessions of this process send statements one by one, if that is really wanted."""
    return patch.object(session, "Wire", OneByOne) if really else nullcontext()
