"""Pairs of requests that once broke something, kept under names of their own.

Two clients broke each of these locks with such a pair, and so do twenty who ask for it in turns.
Whoever races a few shapes and not the whole world begins with these: they break what the named
shapes of races hardly show.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Kept:
    """A pair of the world under another name.

    Attributes:
        name: What commands and parameters call it.
        pair: The pair's name in `experiments.scenes.world`.
        broke: The exhibits that it broke.
    """

    name: str
    pair: str
    broke: tuple[str, ...]


KEPT: dict[str, Kept] = {
    kept.name: kept
    for kept in (
        Kept(
            "two_services",
            "visit, long visit: during, a month",
            ("key_of_service", "constraint_with_service", "key_of_month"),
        ),
        Kept(
            "across_midnight",
            "long visit, long visit: met by and overlapped by, a month",
            ("key_of_day", "key_of_both_ends", "promises_compared", "constraint_on_promises"),
        ),
        Kept(
            "across_a_clock_change",
            "brief visit, long visit: starts and during, the clocks go back",
            ("wall_clock_compared",),
        ),
        Kept("joined_ids", "hours that join with ids alike", ("joined_key",)),
        Kept("names_alike", "visits of 0 and 2", ("shortened_name", "lock_rows_for_some")),
        Kept(
            "slot_of_a_cancelled",
            "equal, and one was cancelled there",
            ("status_left_out",),
        ),
        Kept("keys_of_two_owners", "one key of two owners", ("constraint_without_keys",)),
        Kept(
            "move_to_another",
            "a move to another, and a booking whose set-up needs it",
            ("old_calendar_only", "lower_calendar_only", "start_alone", "key_of_two_hours"),
        ),
        Kept(
            "move_later",
            "a move to a later time, and a move of 1's to there",
            ("higher_calendar_only",),
        ),
        Kept(
            "crossing_moves",
            "a move to another, and a move that crosses it",
            ("swallowed_deadlock",),
        ),
        Kept("cancel_and_move", "a cancel, and a move overlapping itself", ("move_revives",)),
        Kept("cancel_twice", "a cancel, twice", ("cancel_repeats", "cancel_revives")),
        Kept("key_of_another", "one key, another person", ("key_not_unique", "key_not_stored")),
        Kept("one_and_another", "three: twice book one slot, once another", ("lost_isolation",)),
    )
}
