"""Values on the wire, put into words: as SQL writes them, and as people read them.

What is binary is read by psycopg, which knows how each type is sent.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import psycopg
from psycopg import sql
from psycopg.pq import Format

if TYPE_CHECKING:
    from collections.abc import Sequence

_PLAIN = {16, 20, 21, 23, 26, 700, 701, 1700}  # numbers and truth values need no quotes
_UNKNOWN = 705


def literal(value: bytes | None, *, oid: int, binary: bool, cast: bool = False) -> str:
    """Write a value as SQL does.

    Args:
        value: As it is on the wire.
        oid: Its type; 0 where it is not known.
        binary: Whether it is in the type's binary form.
        cast: Whether the client itself gave the type, so that it has to be said.
    """
    if value is None:
        return "NULL"
    if binary:
        loaded = _loaded(value, oid)
        return sql.Literal(loaded).as_string(None)
    text = value.decode(errors="replace")
    if oid in _PLAIN:
        return {"t": "true", "f": "false"}.get(text, text)
    quoted = "'" + text.replace("'", "''") + "'"
    known = psycopg.adapters.types.get(oid) if cast and oid != _UNKNOWN else None
    return f"{quoted}::{known.name}" if known else quoted


def shown(value: bytes | None, *, oid: int, binary: bool) -> str | None:
    """Write a value as PostgreSQL would show it; None stays None."""
    if value is None:
        return None
    if not binary:
        return value.decode(errors="replace")
    loaded = _loaded(value, oid)
    if isinstance(loaded, bool):
        return "t" if loaded else "f"
    return str(loaded)


def rendered(
    text: str,
    parameters: Sequence[bytes | None],
    formats: Sequence[bool],
    given: Sequence[int],
    types: Sequence[int],
) -> str:
    """Put parameters into a text, in place of `$1`, `$2` and so on.

    Args:
        text: The text.
        parameters: The values, as they are on the wire.
        formats: For each whether it is binary.
        given: For each the type that the client gave; 0 where it gave none.
        types: For each its type, as far as it is known.
    """
    texts = literals(parameters, formats, given, types)

    def written(found: re.Match[str]) -> str:
        place = int(found[1]) - 1
        return texts[place] if place < len(texts) else found[0]

    return re.sub(r"\$(\d+)", written, text)


def literals(
    parameters: Sequence[bytes | None],
    formats: Sequence[bool],
    given: Sequence[int],
    types: Sequence[int],
) -> list[str]:
    """Write parameters as SQL does; the arguments are those of `rendered`."""
    found = []
    for place, value in enumerate(parameters):
        declared = given[place] if place < len(given) else 0
        known = types[place] if place < len(types) else declared
        oid = declared or known
        found.append(literal(value, oid=oid, binary=formats[place], cast=declared != 0))
    return found


def _loaded(value: bytes, oid: int) -> Any:  # noqa: ANN401 - whatever the type is
    try:
        loader = psycopg.adapters.get_loader(oid, Format.BINARY)
        if loader is None:
            return value
        return loader(oid).load(value)
    except (psycopg.Error, ValueError):
        return value
