"""When to choose which strategy, in one sentence for people who decide."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from booking_core.strategies import Strategy

UNSOUND = "Never: it is unsound, and shown to prove that the instruments see it."
CHOOSE_WHEN = {
    "advisory": (
        "You want a plain queue per calendar that needs nothing of the tables; keep the "
        "exclusion constraint behind it."
    ),
    "advisory_try": (
        "Connections are scarce: requests for a hot calendar must not queue inside "
        "PostgreSQL, and clients can be told to try again."
    ),
    "staff_row": (
        "Your team thinks in rows and tables: the lock is visible, needs no key of its own, "
        "and also keeps out whoever edits the staff member."
    ),
    "staff_row_nowait": "As advisory_try, where row locks are preferred and refusals are rare.",
    "staff_row_skip_locked": (
        "As staff_row_nowait, where refusals are frequent: they are no errors here."
    ),
    "serializable": (
        "Rules span several tables, collisions are rare, and every transaction in the product "
        "runs SERIALIZABLE."
    ),
    "exclusion": (
        "The database itself must guarantee it, whoever writes. Also the backstop behind "
        "every other strategy."
    ),
    "one_statement": (
        "Many ask for what is taken already, or the database is far away: a lost slot is "
        "answered without any lock, and a free one in one round trip."
    ),
    "temporal_key": (
        "PostgreSQL 18 is given and standard SQL is wanted, with foreign keys that refer to "
        "periods."
    ),
    "version": (
        "The check runs long before the booking (a form that stays open), or locks can't be "
        "held across the steps."
    ),
    "function": (
        "A calendar is hot, or the database is far away: throughput is bounded by how long "
        "the lock is held, and nothing holds it shorter."
    ),
    "table_lock": "Never for bookings; for a migration that must see no booking in between.",
}


def choose_when(strategy: Strategy) -> str:
    """Return when to choose a strategy; nothing is known of one that somebody brought."""
    return CHOOSE_WHEN.get(strategy.name, "") if strategy.sound else UNSOUND
