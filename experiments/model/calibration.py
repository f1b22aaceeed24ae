"""Calibration: what the model must know of this machine, measured with nobody in anybody's way.

Measured are: a round trip that asks for nothing; a flush to disk; and of every strategy what it
sends (`recording`), how long the server is at each statement, and what Python takes of a processor
for it. Nothing of it is typed in, and nothing comes from an experiment that the model is to
predict. It is saved as JSON together with the machine's description.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, Self

from experiments.model.scripts import Script, Step
from experiments.model.times import Times

if TYPE_CHECKING:
    from pathlib import Path

MICRO = 1e-6
Fitted = Literal["cold", "crowding"]


@dataclass(frozen=True, slots=True)
class Rests:
    """How much longer work takes after a rest: caches are cold, processors have gone to sleep.

    Attributes:
        seconds: For how long a process rested before it went on, rising.
        server: How many times longer the server's work takes after each of these rests.
        client: Likewise the client's.
    """

    seconds: tuple[float, ...] = (0.0,)
    server: tuple[float, ...] = (1.0,)
    client: tuple[float, ...] = (1.0,)

    def factor(self, rest_s: float, factors: tuple[float, ...]) -> float:
        """Return how many times longer work takes after a rest, between those measured."""
        place = bisect_right(self.seconds, rest_s) - 1
        if place < 0 or place == len(factors) - 1:
            return factors[max(place, 0)]
        low, high = self.seconds[place : place + 2]
        share = (rest_s - low) / (high - low)
        return factors[place] + share * (factors[place + 1] - factors[place])


@dataclass(frozen=True, slots=True)
class Machine:
    """What a round trip and a flush cost here, whatever the strategy.

    Attributes:
        cores: Processors that server and clients share.
        server_s: Seconds of a processor that the server takes for a round trip, its statements
            apart: to be woken, to read, to answer.
        wake_s: Seconds until a process that was sent something runs; nobody is at work meanwhile.
        commit_s: Seconds that COMMIT takes without its flush.
        flush_cpu: Which part of a flush a processor is at work, from 0 to 1.
        proxy_s: Seconds of a processor that the proxy takes to pass a message on.
        late_s: Seconds by which a round trip through the proxy takes longer than it should.
        oversleep_s: Seconds by which a client that pauses or holds wakes up late.
        handover_s: Seconds of a processor that the server takes to hand a lock to who waits.
        rests: What a rest costs.
        cold: How much of that remains where others were at work meanwhile, from 0 to 1. Fitted.
        crowding: By which part all work takes longer in a crowd, times the square root of how
            many requests are at work besides. Fitted; so is the shape.
    """

    cores: int
    server_s: float
    wake_s: float
    commit_s: float
    flush_cpu: float
    proxy_s: float
    late_s: float
    oversleep_s: float
    handover_s: float
    rests: Rests
    cold: float = 0.0
    crowding: float = 0.0

    def slower(self, rest_s: float, *, server: bool) -> float:
        """Return how many times longer work takes after a rest of so many seconds.

        Args:
            rest_s: For how long the process had nothing to do.
            server: Whether it is the server's; a client's otherwise.
        """
        factors = self.rests.server if server else self.rests.client
        return 1 + self.cold * (self.rests.factor(rest_s, factors) - 1)

    def fitted(self, name: Fitted, value: float) -> Machine:
        """Return the machine with a value for one of the numbers that are fitted."""
        if name == "cold":
            return replace(self, cold=value)
        return replace(self, crowding=value)


@dataclass(frozen=True, slots=True)
class Way:
    """What a client does for one request, in the one or the other way of sending.

    Attributes:
        booked: Seconds of a processor that a client takes for a request that is booked.
        lost: Likewise for one whose slot is taken.
    """

    booked: Times
    lost: Times


@dataclass(frozen=True, slots=True)
class Recorded:
    """What is known of a strategy.

    Attributes:
        booked: What it sends for a booking.
        lost: What it sends where the slot is taken.
        booked_held: What it sends for a booking when the client spends time in between.
        lost_held: Likewise where the slot is taken.
        together: What a client does, statements travelling together where they can.
        one_by_one: What a client does when every statement travels by itself.
        vain_s: Seconds of a processor that a client takes for an attempt in vain, over and above
            one that books: errors are made, passed up and caught.
    """

    booked: Script
    lost: Script
    booked_held: Script
    lost_held: Script
    together: Way
    one_by_one: Way
    vain_s: float = 0.0

    def scripts(self, *, held: bool, one_by_one: bool) -> tuple[Script, Script]:
        """Return the scripts of a booking and of a lost slot.

        Args:
            held: Whether the client spends time between check and insert.
            one_by_one: Whether every statement travels by itself.
        """
        booked = self.booked_held if held else self.booked
        lost = self.lost_held if held else self.lost
        return (booked.one_by_one(), lost.one_by_one()) if one_by_one else (booked, lost)

    def way(self, *, one_by_one: bool) -> Way:
        """Return what a client does, in the one or the other way of sending."""
        return self.one_by_one if one_by_one else self.together


@dataclass(frozen=True)
class Calibration:
    """Everything that the model knows.

    Attributes:
        machine: What does not depend on the strategy.
        recorded: What is known of each strategy, by name.
        description: The machine and the versions, as reports give them.
    """

    machine: Machine
    recorded: dict[str, Recorded]
    description: dict[str, str] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write it to a file."""
        path.write_text(json.dumps(self.as_dict(), indent=1) + "\n", encoding="utf-8")

    def as_dict(self) -> dict[str, Any]:
        """Return it as JSON can hold it: times are lists of percentiles in microseconds."""
        return {
            "description": self.description,
            "machine": asdict(self.machine),
            "recorded": {name: _written(asdict(each)) for name, each in self.recorded.items()},
        }

    @classmethod
    def load(cls, path: Path) -> Self:
        """Read what `save` has written.

        Raises:
            ValueError: The file holds something else.
        """
        try:
            return cls.from_dict(json.loads(path.read_text(encoding="utf-8")))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{path.name} holds no calibration: {error!r}") from None

    @classmethod
    def from_dict(cls, saved: dict[str, Any]) -> Self:
        """Return what `as_dict` has written."""
        return cls(
            _machine(saved["machine"]),
            {
                name: Recorded(
                    booked=_script(each["booked"]),
                    lost=_script(each["lost"]),
                    booked_held=_script(each["booked_held"]),
                    lost_held=_script(each["lost_held"]),
                    together=_way(each["together"]),
                    one_by_one=_way(each["one_by_one"]),
                    vain_s=each["vain_s"],
                )
                for name, each in saved["recorded"].items()
            },
            saved["description"],
        )


def _written(value: Any) -> Any:  # noqa: ANN401 - as JSON
    if isinstance(value, dict):
        if value.keys() == {"seconds"}:
            return [round(each / MICRO, 1) for each in value["seconds"]]
        return {key: _written(each) for key, each in value.items()}
    return [_written(each) for each in value] if isinstance(value, (list, tuple)) else value


def _times(micros: list[float]) -> Times:
    return Times(tuple(each * MICRO for each in micros))


def _machine(saved: dict[str, Any]) -> Machine:
    rests = {name: tuple(values) for name, values in saved["rests"].items()}
    return Machine(**{**saved, "rests": Rests(**rests)})


def _way(saved: dict[str, list[float]]) -> Way:
    return Way(_times(saved["booked"]), _times(saved["lost"]))


def _script(saved: dict[str, Any]) -> Script:
    trips = tuple(
        tuple(Step(step["sql"], _times(step["times"]), step["locks"]) for step in trip)
        for trip in saved["trips"]
    )
    return Script(trips, saved["hold_before"])
