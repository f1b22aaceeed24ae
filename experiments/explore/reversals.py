"""Which steps of a run could have come in the other order, and what would have to be tried for it.

Two steps of different clients race where they do not commute and nothing that lies between them
puts one before the other. Then there is a schedule in which the later one comes first, and which
looks different to somebody. It begins at the point before the earlier step, with one of the clients
who can go first there in whatever happened since and does not depend on that step. Where none of
these is tried at that point, one has to be. Of all that could be tried elsewhere, nothing shows
anything new. Between clients who have nothing to do with each other there is no race, and so one
schedule.

That is the *source set* of Abdulla, Aronis, Jonsson and Sagonas (Optimal dynamic partial order
reduction, POPL 2014). A client that waits in the server has taken its step; whoever lets it go on
comes before its next.

Where somebody asks for a lock that another client has let go, that is no race but a cause: whoever
asks earlier waits until then. What could have come in the other order is who has the lock first
(Flanagan and Godefroid, Dynamic partial-order reduction for model checking software, POPL 2005).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from experiments.explore.independence import Footprint, commute, independent, only_waits

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence


class Step(NamedTuple):
    """A step of a run.

    Attributes:
        client: Whose.
        footprint: What it did.
        answered_at: The number of the step during which its answer came: its own, or that of the
            step that let it go on; None where no answer came.
    """

    client: int
    footprint: Footprint
    answered_at: int | None


class Reversal(NamedTuple):
    """A race of two steps.

    Attributes:
        earlier: The number of the step that came first.
        later: The client of the other.
        first: The clients of whom one has to be tried in the place of the earlier step.
    """

    earlier: int
    later: int
    first: list[int]


def reversals(steps: Sequence[Step]) -> Iterator[Reversal]:
    """Find the races of a run.

    They may lie before the point at which it left an earlier run: who has to do with whom is known
    only at the end.

    Args:
        steps: The run's.
    """
    groups = _groups(steps)
    before: list[int] = []  # for each step the set of those that happen before it, as bits
    latest: dict[int, int] = {}
    for number, step in enumerate(steps):
        behind = _of_its_own(steps, before, latest.get(step.client))
        latest[step.client] = number
        racing, causes = [], 0
        for other in range(number - 1, -1, -1):
            earlier = steps[other]
            if behind >> other & 1 or earlier.client == step.client:
                continue
            if groups[earlier.client] is not groups[step.client] or independent(
                earlier.footprint, step.footprint
            ):
                continue
            if only_waits(earlier.footprint, step.footprint):
                causes |= before[other] | 1 << other
            else:
                behind |= before[other] | 1 << other
                racing.append(other)
        before.append(behind | causes)
        for other in racing:
            yield Reversal(other, step.client, _first(steps, before, other, number))


def _groups(steps: Sequence[Step]) -> dict[int, set[int]]:
    """For each client those who have anything to do with each other, through others too."""
    groups = {step.client: {step.client} for step in steps}
    for number, step in enumerate(steps):
        for other in steps[:number]:
            mine, theirs = groups[step.client], groups[other.client]
            if mine is not theirs and not commute(other.footprint, step.footprint):
                mine |= theirs
                groups |= dict.fromkeys(theirs, mine)
    return groups


def _of_its_own(steps: Sequence[Step], before: Sequence[int], last: int | None) -> int:
    """What happens before a client's next step, given its last one."""
    if last is None:
        return 0
    behind = before[last] | 1 << last
    answered = steps[last].answered_at
    if answered is not None and answered > last:
        behind |= before[answered] | 1 << answered
    return behind


def _first(steps: Sequence[Step], before: Sequence[int], earlier: int, later: int) -> list[int]:
    """Who can go first in what happened since a step and does not depend on it."""
    since = [n for n in range(earlier + 1, later) if not before[n] >> earlier & 1]
    clients: dict[int, bool] = {}
    seen = 0
    for number in [*since, later]:
        clients.setdefault(steps[number].client, not before[number] & seen)
        seen |= 1 << number
    return [client for client, goes_first in clients.items() if goes_first]
