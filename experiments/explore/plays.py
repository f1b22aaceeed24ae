"""What is played: the clients' code, how every run begins, and what is made of its end.

`BookingPlay` plays a scene on a stage (`experiments.scenes.stage`). A run begins as `Stage.reset`
leaves the tables; since there are hundreds of runs a second, that state is stored once and put
back with one round trip, the same one that brings the rows of the run before.
"""

from __future__ import annotations

import copy
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, Protocol

from experiments.explore.beginning import Beginning
from experiments.judge import history
from experiments.judge.linearize import linearizable, operations
from experiments.scenes.replies import Answer, Reply
from experiments.scenes.rows import Row
from experiments.scenes.shapes import Place
from experiments.scenes.stage import Stage
from experiments.schedules.schedule import ClientReply, StoredRow, double_bookings
from experiments.steer.programs import engine
from experiments.steer.quiet import PAUSE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Sequence

    import psycopg
    from sqlalchemy import Engine

    from booking_core.booking import BookingService
    from booking_core.strategies import Strategy
    from experiments.scenes.shapes import Call, Scene
    from experiments.steer.hub import Hub

UNCERTAIN = ("unknown", "unavailable")
PATIENCE = 5
"""How often a persistent client asks."""
THROUGH = ("booked", "conflict", "cancelled")


@dataclass(frozen=True, slots=True)
class Ending:
    """How a client's code ended in a run.

    Attributes:
        value: What it returned.
        failure: What it raised instead.
        invoked: The number of its first step.
        replied: The number of its last step.
    """

    value: Any
    failure: BaseException | None
    invoked: int
    replied: int


@dataclass(frozen=True, slots=True)
class Judgement:
    """What a run came to.

    Attributes:
        faults: How often each property was broken; only those that were.
        outcome: What two runs have in common that came to the same: replies and rows, without
            ids, which depend on the order of inserts.
        replies: What each client was told.
        before: The rows at the beginning.
        after: The rows at the end.
        words: What each client was told, in a word.
        attempts: How many tries each client had.
        explained: What is wrong, in words, where the names of the faults don't tell.
        stored: What is stored in the end, in words, where that is no appointments.
    """

    faults: dict[str, int]
    outcome: Hashable
    replies: tuple[ClientReply, ...] = ()
    before: tuple[StoredRow, ...] = ()
    after: tuple[StoredRow, ...] = ()
    words: tuple[str, ...] = ()
    attempts: tuple[int, ...] = ()
    explained: dict[str, str] = field(default_factory=dict)
    stored: tuple[str, ...] = ()


class Play(Protocol):
    """What the explorer needs of a play."""

    clients: int
    background: str | None
    pause: float

    def process(self, client: int) -> int | None:
        """Say in which process a client's code runs; None where it is a thread of this one."""
        ...

    def open(self, connection: psycopg.Connection) -> None:
        """Remember how every run begins."""
        ...

    def enter(self, hub: Hub) -> list[Callable[[], Any]]:
        """Return the clients' code, which connects through the hub."""
        ...

    def renew(self, clients: Collection[int]) -> None:
        """Some clients' connections were ended: let them begin the next run with new ones."""
        ...

    def close_run(self, endings: Sequence[Ending], written: Collection[str]) -> Judgement:
        """Judge a run, and leave everything as it was at the beginning."""
        ...

    def abort(self) -> None:
        """End the programs that the clients run in, whatever they are doing."""
        ...

    def leave(self) -> None:
        """Let go of everything that connects."""
        ...


_ROWS = (
    "SELECT id, staff_id, client, lower(blocked), upper(blocked), status, idempotency_key,"
    " client_id FROM appointment ORDER BY id"
)


class BookingPlay(Stage):
    """A scene for the booking service under a strategy.

    Args:
        control: An engine to the database, for preparing the stage.
        strategy: How rivals are kept out.
        scene: What is played.
        attempts: How many tries a request has at most.
        backstop: Whether the exclusion constraint stands behind the strategy.
        seed: For whatever the service draws at random.
        persistent: Whether each booking has a key of its own, and is asked for again with it as
            long as its client doesn't know what came of it.
    """

    background: str | None = None
    pause = PAUSE

    def __init__(  # noqa: PLR0913 - a play has as many parts
        self,
        control: Engine,
        strategy: Strategy,
        scene: Scene,
        *,
        attempts: int,
        backstop: bool | None = None,
        seed: int = 1,
        persistent: bool = False,
    ) -> None:
        self.bounded = attempts < strategy.retry.attempts
        self.attempts = min(attempts, strategy.retry.attempts)
        limited = copy.copy(strategy)
        limited.retry = replace(strategy.retry, attempts=self.attempts)
        if persistent:
            scene = replace(scene, calls=[_keyed(*each) for each in enumerate(scene.calls)])
        self._times = PATIENCE if persistent else 1
        super().__init__(control, limited, scene, backstop=backstop)
        self.clients = len(scene.calls)
        self._seed = seed
        self._known: dict[Hashable, Judgement] = {}
        self._engines: list[Engine] = []
        self.reset()

    def process(self, client: int) -> None:
        """Say nothing: the clients' code runs in this process."""

    def open(self, connection: psycopg.Connection) -> None:
        """Remember how every run begins."""
        connection.execute("SET timezone = 'UTC'")
        self._beginning = Beginning(connection)
        self._first = self._stored(self._beginning.put_back((), _ROWS))

    def enter(self, hub: Hub) -> list[Callable[[], Answer]]:
        """Return each client's call; a pause between two tries takes no time and is no step."""
        self._engines = [engine(hub.gate(client)) for client in range(self.clients)]
        return [
            partial(
                self._ask,
                self.service(
                    own,
                    offers=0,
                    source=Random(self._seed),  # noqa: S311 - jitter is no secret
                    sleep=lambda _: None,
                ),
                client,
            )
            for client, own in enumerate(self._engines)
        ]

    def _ask(self, service: BookingService, client: int) -> Answer:
        """Make a client's call, again as long as it doesn't know what came of it."""
        for _ in range(self._times):
            answer = self.perform(service, client)
            if answer.reply.outcome not in UNCERTAIN:
                break
        return answer

    def renew(self, clients: Collection[int]) -> None:
        """Forget connections that were ended."""
        for client in clients:
            self._engines[client].dispose()

    def abort(self) -> None:
        """Do nothing: the clients' code runs in this process."""

    def leave(self) -> None:
        """Forget all connections."""
        self.renew(range(self.clients))

    def close_run(self, endings: Sequence[Ending], written: Collection[str]) -> Judgement:
        """Judge a run, and leave everything as it was at the beginning."""
        rows = self._beginning.put_back(written, _ROWS)
        answers = [
            ending.value
            if isinstance(ending.value, Answer)
            else Answer(Reply("error"), detail=f"{ending.failure or 'no answer'}")
            for ending in endings
        ]
        # Everything that the judgement depends on.
        key = (tuple(rows), tuple(answers), tuple((e.invoked, e.replied) for e in endings))
        if key not in self._known:
            self._known[key] = self._judged(self._stored(rows), answers, endings)
        return self._known[key]

    def _judged(
        self, after: tuple[StoredRow, ...], answers: Sequence[Answer], endings: Sequence[Ending]
    ) -> Judgement:
        faults = history.judge(
            self.scene.calls,
            [self._as_charged(answer, answers) for answer in answers],
            self.existing,
            self.before,
            {row.id: _row(row) for row in after},
            double_bookings=len(double_bookings(after)),
        )
        if not faults and not self._explained(answers, endings, after):
            faults = replace(faults, dishonest_replies=1)
        names = {row.id: (row.staff, row.starts, row.client) for row in after}
        outcome = (
            tuple(
                (a.reply.outcome, names.get(a.reply.appointment_id or 0), a.reply.replayed)
                for a in answers
            ),
            tuple(sorted((row.staff, row.starts, row.client, row.status) for row in after)),
            tuple(asdict(faults).values()),
        )
        return Judgement(
            faults={name: count for name, count in asdict(faults).items() if count},
            outcome=outcome,
            replies=tuple(
                _reply(client, self.scene.calls[client], answer, ending)
                for client, (answer, ending) in enumerate(zip(answers, endings, strict=True))
            ),
            before=self._first,
            after=after,
            words=tuple(answer.reply.outcome for answer in answers),
            attempts=tuple(answer.attempts for answer in answers),
        )

    def _explained(
        self, answers: Sequence[Answer], endings: Sequence[Ending], after: Sequence[StoredRow]
    ) -> bool:
        """Whether the requests in some order would have been told the same."""
        replies = [self._first_told(answer.reply) for answer in answers]
        times = [(ending.invoked, ending.replied) for ending in endings]
        asked = operations(self.scene.calls, replies, times, self.existing)
        return linearizable(asked, self.before, {row.id: _row(row) for row in after})

    def _first_told(self, reply: Reply) -> Reply:
        """A reply without that it was given before, where that reply was lost on its way."""
        return replace(reply, replayed=reply.replayed and self._times == 1)

    def _as_charged(self, answer: Answer, answers: Sequence[Answer]) -> Reply:
        """A reply as it is held against the strategy.

        Who gives up after the few tries that exploring allows would have gone on trying, and who
        may answer `busy` may do so because of a neighbour. Neither is a lost sale as long as
        somebody got through; if nobody did, the clients only kept each other away.
        """
        reply = self._first_told(answer.reply)
        gave_up = self.bounded and answer.attempts >= self.attempts
        excused = gave_up or (reply.outcome == "busy" and self.strategy.traits.may_answer_busy)
        if reply.outcome in (*THROUGH, "invalid", "unknown") or not excused:
            return reply
        got_through = any(other.reply.outcome in THROUGH for other in answers)
        return Reply("invalid") if got_through else reply

    def _stored(self, rows: Sequence[tuple[Any, ...]]) -> tuple[StoredRow, ...]:
        return tuple(
            StoredRow(id_, self.staff[staff_id], who, starts.isoformat(), ends.isoformat(), *rest)
            for id_, staff_id, who, starts, ends, *rest in rows
        )


def _keyed(client: int, call: Call) -> Call:
    keyed = call.operation == "book" and call.key is None
    return replace(call, key=f"key {client}") if keyed else call


def _row(stored: StoredRow) -> Row:
    place = Place(stored.staff, datetime.fromisoformat(stored.starts))
    return Row(stored.id, place, stored.status, stored.key, stored.client_id)


def _reply(client: int, call: Call, answer: Answer, ending: Ending) -> ClientReply:
    reply = answer.reply
    return ClientReply(
        client,
        _in_words(call),
        reply.outcome,
        reply.appointment_id,
        reply.taken_by,
        reply.replayed,
        answer.attempts,
        answer.detail,
        ending.invoked,
        ending.replied,
        _where(reply.place) if call.keeps_staff and reply.place else "",
    )


def _in_words(call: Call) -> str:
    what = call.operation if call.existing is None else f"{call.operation} of {call.existing}"
    where = ""
    if call.place:
        where = f" at {call.place.start:%H:%M}" if call.keeps_staff else f" {_where(call.place)}"
    whose = f" for {call.client_id}" if call.client_id else ""
    return f"{what}{where}{whose}" + (f" with the key {call.key!r}" if call.key else "")


def _where(place: Place) -> str:
    return f"staff {place.staff} at {place.start:%H:%M}"
