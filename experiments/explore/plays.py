"""What is played: the clients' code, how every run begins, and what is made of its end.

`BookingPlay` plays a scene on a stage (`experiments.scenes.stage`). A run begins as `Stage.reset`
leaves the tables; since there are hundreds of runs a second, that state is stored once and put
back with one round trip, the same one that brings the rows of the run before.
"""

from __future__ import annotations

import copy
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from random import Random
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from booking_core import schema
from booking_core.errors import BookingError
from experiments.explore.beginning import EVERYTHING, Beginning
from experiments.judge import history
from experiments.scenes import words
from experiments.scenes.replies import EXCUSED, Answer, Reply
from experiments.scenes.rows import as_row
from experiments.scenes.shapes import Call
from experiments.scenes.stage import Stage
from experiments.schedules.schedule import ClientReply, StoredRow, double_bookings
from experiments.steer.programs import engine
from experiments.steer.quiet import PAUSE

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Hashable, Sequence
    from datetime import datetime

    import psycopg
    from sqlalchemy import Engine

    from booking_core.booking import BookingService
    from booking_core.strategies import Strategy
    from experiments.scenes.shapes import Scene
    from experiments.steer.hub import Hub

UNCERTAIN = ("unknown", "unavailable")
PATIENCE = 5
"""How often a persistent client asks."""


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
    """What the explorer needs of a play.

    Attributes:
        clients: How many there are.
        background: What a pool sends to keep itself awake, as a regular expression.
        pause: How long a client's code pauses by itself at most, in seconds.
        numbers: Whether it matters who is given which number of a sequence.
    """

    clients: int
    background: str | None
    pause: float
    numbers: bool

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
    "SELECT id, staff_id, service_id, client, lower(during), upper(during), lower(blocked),"
    " upper(blocked), status, key_scope, idempotency_key, client_id FROM appointment ORDER BY id"
)


class _Stored(NamedTuple):
    """A row of `_ROWS`."""

    id: int
    staff_id: int
    service_id: int
    client: str
    starts: datetime
    ends: datetime
    blocked_from: datetime
    blocked_until: datetime
    status: str
    key_scope: str
    idempotency_key: str | None
    client_id: str | None


class _Undecided(Random):
    """A source that always draws the same: a run must not depend on those before it."""

    def random(self) -> float:
        """Return one half."""
        return 0.5


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
    numbers = False  # whose an appointment is and when tells it from others

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
        self._probed: dict[Hashable, str] = {}
        self._ready = False  # whether what the scene begins with is there
        self._own: list[Engine] = []

    def __getstate__(self) -> dict[str, object]:
        """Go to another process without connections, and without what is known of runs."""
        ours = {"_connection", "_beginning", "_own", "_known", "_probed"}
        return {name: value for name, value in super().__getstate__().items() if name not in ours}

    def process(self, client: int) -> int | None:  # noqa: ARG002 - as Play's
        """Say nothing: the clients' code runs in this process."""
        return None

    def open(self, connection: psycopg.Connection) -> None:
        """Remember how every run begins."""
        connection.execute("SET timezone = 'UTC'")
        self._connection = connection
        self._remember()
        self._beginning = Beginning(connection)
        self.change(self.scene)

    def empty(self) -> None:
        """Make everything what it was before anybody booked."""
        self._beginning.start_over()

    def _remember(self) -> None:
        """Learn the rules as they are before anybody changes them."""
        rules = self._usher._rulebook  # noqa: SLF001 - there is no other way in
        rules.forget()
        for service_id in self.services:
            for staff_id in self.staff:
                with suppress(BookingError):
                    rules.rules(service_id, staff_id)
        self._remembered = dict(rules._known)  # noqa: SLF001 - as above

    def change(self, scene: Scene) -> None:
        """Play another scene from now on, with as many clients on the same stage.

        Raises:
            BookingError: What it begins with can't be booked.
        """
        same = self._ready and replace(scene, calls=self.scene.calls) == self.scene
        self.scene, self._ready = scene, same
        if not same:
            self.reset()
            self._beginning.keep()
            self._ready = True
        self._known.clear()
        self._probed.clear()
        self._first = self._stored(self._beginning.put_back((), _ROWS))

    def enter(self, hub: Hub) -> list[Callable[[], Answer]]:
        """Return each client's call; a pause between two tries takes no time and is no step."""
        self._own = [engine(hub.gate(client)) for client in range(self.clients)]
        made = [self.serve(own) for own in self._own]
        return [partial(self.ask, service, client) for client, service in enumerate(made)]

    def serve(self, own: Engine) -> BookingService:
        """Return a client's service, given its connections."""
        return self.service(
            own,
            offers=0,
            source=_Undecided(self._seed),
            sleep=lambda _: None,
        )

    def _remind(self, service: BookingService) -> None:
        """Have a service know the rules that held before, and nothing of what came later.

        Who is asked first must not have more to read than who is asked later, nor may anybody
        remember what another run has left.
        """
        service._rulebook._known = dict(self._remembered)  # noqa: SLF001 - as above

    def ask(self, service: BookingService, client: int) -> Answer:
        """Make a client's call, again as long as it doesn't know what came of it."""
        self._remind(service)
        for _ in range(self._times):
            answer = self.perform(service, client)
            if answer.reply.outcome not in UNCERTAIN:
                break
        return answer

    def renew(self, clients: Collection[int]) -> None:
        """Forget connections that were ended."""
        for client in clients:
            self._own[client].dispose()

    def abort(self) -> None:
        """Do nothing: the clients' code runs in this process."""

    def leave(self) -> None:
        """Forget all connections."""
        super().leave()
        self.renew(range(self.clients))

    def close_run(self, endings: Sequence[Ending], written: Collection[str]) -> Judgement:
        """Judge a run, and leave everything as it was at the beginning."""
        rows = self._connection.execute(_ROWS.encode()).fetchall()
        answers = [
            ending.value
            if isinstance(ending.value, Answer)
            else Answer(Reply("error"), detail=f"{ending.failure or 'no answer'}")
            for ending in endings
        ]
        # Everything that the judgement depends on, unless the strategy has tables of its own.
        key = (tuple(rows), tuple(answers), tuple((e.invoked, e.replied) for e in endings))
        ours = schema.metadata.tables.keys() >= set(written)
        judged = self._known.get(key) if ours else None
        if judged is None:
            judged = self._known[key] = self._judged(rows, answers, endings, known=ours)
            self._beginning.put_back(EVERYTHING)  # whoever probes has written, too
        else:
            self._beginning.put_back(written)
        return judged

    def _judged(
        self,
        rows: Sequence[tuple[Any, ...]],
        answers: Sequence[Answer],
        endings: Sequence[Ending],
        *,
        known: bool,
    ) -> Judgement:
        after = self._stored(rows)
        faults = history.explain(
            self.scene.calls,
            self._as_charged(answers, endings),
            [(ending.invoked, ending.replied) for ending in endings],
            self.existing,
            self.before,
            {row[0]: as_row(_Stored(*row), self.staff, self.services) for row in rows},
            double_bookings=len(double_bookings(after)),
        )
        afterwards = "" if faults else self._afterwards(rows, known=known)
        if afterwards:
            faults = replace(faults, unanswered=1)
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
            explained={"unanswered": afterwards} if afterwards else {},
        )

    def _afterwards(self, rows: Sequence[tuple[Any, ...]], *, known: bool) -> str:
        """Say what can't be done afterwards: a slot that is free can be booked, once.

        Args:
            rows: What is stored.
            known: Whether that is all there is to know.
        """
        stood = tuple(rows)
        if stood not in self._probed or not known:
            self._probed[stood] = self._probe(rows)
        return self._probed[stood]

    def _probe(self, rows: Sequence[tuple[Any, ...]]) -> str:
        calls = self.scene.calls
        if any(call.operation == "close" for call in calls):
            return ""
        kept = [as_row(_Stored(*row), self.staff, self.services) for row in rows]
        taken = [row.place for row in kept if row.status == "confirmed"]
        places = [*(call.place for call in calls if call.place), *self.scene.existing]
        free = [place for place in places if not any(map(place.overlaps, taken))]
        # Where one is free it is booked, and is taken then.
        asked = [("booked", "free"), ("conflict", "taken")] if free else [("conflict", "taken")]
        calls = [Call("book", place) for place in (free or places)[:1]] * len(asked)
        answers = self.visit(calls) if calls else []
        for answer, (outcome, state) in zip(answers, asked, strict=False):
            if answer.reply.outcome != outcome:
                return f"afterwards, {answer.reply.outcome} is told of a slot that is {state}"
        return ""

    def _as_charged(self, answers: Sequence[Answer], endings: Sequence[Ending]) -> list[Reply]:
        """The replies as they are held against the strategy.

        Who gives up after the few tries that exploring allows would have gone on trying, and who
        may answer `busy` may do so because of a neighbour. Neither is held against it, as long as
        somebody got through who could be in the way, at the same time, and tried as often; or is
        not to blame either. If nobody got through, the clients only kept each other away.
        """
        charged = [self._told(answer) for answer in answers]
        through = {n for n, reply in enumerate(charged) if reply.outcome in history.SERVED}
        while True:
            excused = {
                client
                for client in range(self.clients)
                if client not in through and self._is_excused(client, answers, endings, through)
            }
            if not excused:
                break
            through |= excused
        for client in range(self.clients):
            outcome = charged[client].outcome
            if client in through and outcome not in history.SERVED:
                charged[client] = Reply(EXCUSED)
            elif outcome == "busy":
                # Without anybody else's being at it, or without having said so, it is no answer.
                charged[client] = Reply("error")
        return charged

    def _told(self, answer: Answer) -> Reply:
        """A reply, given that whoever is told nothing asks again only where things go wrong."""
        if self._times > 1:  # that it was given before: it was lost on its way
            return replace(answer.reply, replayed=False)
        return Reply("error") if answer.reply.outcome in UNCERTAIN else answer.reply

    def _is_excused(
        self,
        client: int,
        answers: Sequence[Answer],
        endings: Sequence[Ending],
        through: set[int],
    ) -> bool:
        """Whether a client that was not served is not to blame, given who else is not."""
        answer, own = answers[client], endings[client]
        refuses = self.strategy.traits.may_answer_busy
        may_be_busy = answer.reply.outcome == "busy" and refuses
        tried_again = answer.reply.outcome in ("busy", "serialization_failure", "deadlock")
        gave_up = self.bounded and tried_again and answer.attempts >= self.attempts
        others = [
            number
            for number in range(self.clients)
            if number != client
            and self._may_meet(self.scene.calls[client], number)
            and endings[number].invoked <= own.replied
            and own.invoked <= endings[number].replied
        ]
        # Who refuses to wait may fail as often as it likes while one rival is at it.
        tried = refuses or sum(answers[each].attempts for each in others) >= answer.attempts
        return not through.isdisjoint(others) and (may_be_busy or (gave_up and tried))

    def _may_meet(self, call: Call, other: int) -> bool:
        """Whether a request and another one may be in each other's way, as the strategy says."""
        traits, rival = self.strategy.traits, self.scene.calls[other]
        if "everybody" in (traits.neighbours_wait, traits.neighbours_retry):
            return True
        shared = {call.full_key, call.client_id} & {rival.full_key, rival.client_id} - {None}
        return bool(shared) or not self._staff_of(call).isdisjoint(self._staff_of(rival))

    def _staff_of(self, call: Call) -> set[int]:
        """Whose calendars a request touches, wherever others have moved its appointment."""
        staff = set(call.team)
        if call.place and not call.team:
            staff.add(call.place.staff)
        if call.existing is not None:
            staff.add(self.scene.existing[call.existing].staff)
            staff |= {
                other.place.staff
                for other in self.scene.calls
                if other.place and other.existing == call.existing
            }
        return staff

    def _stored(self, rows: Sequence[tuple[Any, ...]]) -> tuple[StoredRow, ...]:
        return tuple(
            StoredRow(
                row.id,
                self.staff[row.staff_id],
                row.client,
                row.blocked_from.isoformat(),
                row.blocked_until.isoformat(),
                row.status,
                row.idempotency_key,
                row.client_id,
            )
            for row in (_Stored(*each) for each in rows)
        )


def _keyed(client: int, call: Call) -> Call:
    keyed = call.operation == "book" and call.key is None
    return replace(call, key=f"key {client}") if keyed else call


def _reply(client: int, call: Call, answer: Answer, ending: Ending) -> ClientReply:
    reply = answer.reply
    return ClientReply(
        client,
        words.asked(call),
        reply.outcome,
        reply.appointment_id,
        reply.taken_by,
        reply.replayed,
        answer.attempts,
        answer.detail,
        ending.invoked,
        ending.replied,
        words.where_it_is(reply.place)
        if reply.place and (call.keeps_staff or call.team or call.lists)
        else "",
    )
