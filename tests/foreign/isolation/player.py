"""Plays isolation tests through the hub, and says what is otherwise than PostgreSQL expects.

Each session is a client whose steps are held back on the wire. A step is let through when its turn
comes, and what follows is awaited: until every session is ready for its next step, is done, or
waits in the server for another. What PostgreSQL's own isolationtester would print of this is then
read off:

-   A step that is answered has ended, one that waits is reported as waiting, and those that waited
    and have ended since are reported behind it, in the order in which they were sent.
-   A step that closes a circle of waiting sessions waits as well, though the server has broken the
    circle by the time that everything is at rest.
-   A session whose last step is under way gets no other before that has ended.

Messages (NOTICE and the like) are compared for each session by itself: the hub holds them back with
the answers, so when they came can't be told.
"""

from __future__ import annotations

import difflib
import time
from collections import deque
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, Self

import psycopg
from isolation.expected import Event, Permutation, Table
from psycopg import generators
from psycopg.pq import DiagnosticField, ExecStatus

from experiments.explore.explorer import SETTINGS
from experiments.server.connection import connect
from experiments.steer.blockers import Blockers
from experiments.steer.clients import Client, Stuck
from experiments.steer.hub import Hub
from experiments.steer.turns import Move, Turns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    import sqlalchemy
    from isolation.specs import Mention, Spec
    from isolation.specs import Session as Script
    from psycopg.abc import PQGen
    from psycopg.pq.abc import PGresult

    from experiments.server.postgres import Database
    from experiments.steer.turn import Turn

GUARD_SECONDS = 20.0
"""How long the server may take over a step that nobody blocks; some sleep, or await a deadlock."""

LOOK_SECONDS = 0.02

# How pg_regress has values written.
_WRITTEN = {
    "datestyle": "Postgres,MDY",
    "intervalstyle": "postgres_verbose",
    "timezone": "America/Los_Angeles",
}


class Outcome(NamedTuple):
    """What one text brought that was sent in one go."""

    tables: tuple[Table, ...]
    errors: tuple[str, ...]


class Broken(Exception):
    """A permutation can't be played to its end; the message says why."""


@dataclass(slots=True)
class Session:
    """A session of a spec, and the client that plays it.

    Attributes:
        script: What it sends.
        url: The way through the hub.
        client: Its thread.
        names: The names of the sessions by their server processes, shared by all.
        connection: Its connection, opened by its client and kept over permutations.
        outcomes: What its texts brought in this permutation, as far as it was told.
        messages: What it was told besides.
        sent: How many of its texts were sent.
        active: Its step that is not reported to have ended.
    """

    script: Script
    url: sqlalchemy.URL
    client: Client
    names: dict[int, str]
    connection: psycopg.Connection | None = None
    outcomes: list[Outcome] = field(default_factory=list)
    messages: list[str] = field(default_factory=list)
    sent: int = 0
    active: Sent | None = None

    def work(self, texts: Sequence[str]) -> Callable[[], None]:
        """Return the code that sends texts, one after the other."""
        self.outcomes, self.messages, self.sent, self.active = [], [], 0, None

        def send() -> None:
            if self.connection is None:
                self.connection = connect(self.url)
                self.connection.add_notice_handler(self._hear)
                self.connection.add_notify_handler(self._notice)
                self.names[self.connection.info.backend_pid] = self.script.name
            for text in texts:
                self.outcomes.append(_send(self.connection, text))

        return send

    def _hear(self, said: psycopg.errors.Diagnostic) -> None:
        self.messages.append(f"{self.script.name}: {said.severity}:  {said.message_primary}")

    def _notice(self, note: psycopg.Notify) -> None:
        self.messages.append(
            f'{self.script.name}: NOTIFY "{note.channel}" with payload "{note.payload}"'
            f" from {self.names[note.pid]}"
        )


@dataclass(slots=True, eq=False)
class Sent:
    """A step that was sent.

    Attributes:
        session: Whose it is.
        mention: Which it is, and what holds back the report of its end.
        place: Which of its session's texts it is.
        sql: The text.
        waited: Whether it was seen to wait at first.
    """

    session: Session
    mention: Mention
    place: int
    sql: str
    waited: bool

    @property
    def outcome(self) -> Outcome | None:
        """What it brought; None where that isn't told yet."""
        told = self.session.outcomes
        return told[self.place] if len(told) > self.place else None


@dataclass(slots=True)
class Played:
    """What one permutation led to.

    Attributes:
        seen: In the words of isolationtester.
        broken: Why it wasn't played to its end; empty where it was.
    """

    seen: Permutation
    broken: str = ""


class Stage:
    """The sessions of a spec, and the hub between them and the server. A context manager.

    Args:
        database: Where.
        spec: What.
        name: Of the spec.
        patience: Seconds after which nobody goes on by themselves.
    """

    def __init__(self, database: Database, spec: Spec, name: str, patience: float) -> None:
        self._database, self._spec, self._name = database, spec, name
        self._patience = patience
        self._open = ExitStack()
        self._sessions: list[Session] = []
        self._by_step: dict[str, tuple[Session, str]] = {}
        self._events: list[Event] = []
        self._setup: list[Table] = []
        self._waiting: list[Sent] = []
        self._hub: Hub
        self._blockers: Blockers
        self._turns: Turns
        self._control: psycopg.Connection

    def __enter__(self) -> Self:
        with self._open:
            self._control = self._open.enter_context(
                connect(self._named(self._database.url, "control connection"))
            )
            for name, value in _WRITTEN.items():
                self._control.execute("SELECT set_config(%s, %s, false)", [name, value])
            self._blockers = Blockers(self._open.enter_context(connect(self._database.url)))
            self._hub = Hub(self._database.url, SETTINGS | _WRITTEN, _every_step_is_a_choice)
            self._open.callback(self._hub.close)
            names: dict[int, str] = {}
            for number, script in enumerate(self._spec.sessions):
                url = self._named(self._hub.gate(number), script.name)
                session = Session(script, url, Client(number), names)
                self._sessions.append(session)
                self._by_step |= {step.name: (session, step.sql) for step in script.steps}
            self._open.callback(self._leave)
            clients = [session.client for session in self._sessions]
            self._turns = Turns(self._hub, clients, self._blockers, GUARD_SECONDS)
            self._open = self._open.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._open.close()

    def _named(self, url: sqlalchemy.URL, session: str) -> sqlalchemy.URL:
        return url.update_query_dict({"application_name": f"isolation/{self._name}/{session}"})

    def _leave(self) -> None:
        self._end_sessions()
        for session in self._sessions:
            self._hub.unwatch(session.client.signal)
            session.client.close(GUARD_SECONDS)
            if session.connection is not None:
                session.connection.close()

    def play(self, mentions: Sequence[Mention]) -> Played:
        """Play a permutation; where it breaks, this stage can't be used again."""
        self._events, self._setup, self._waiting = [], [], []
        broken = ""
        try:
            for text in self._spec.setups:
                self._setup += self._brought(_send(self._control, text), "the setup")
            self._perform(mentions)
        except (Broken, Stuck) as error:
            broken = str(error)
            self._end_sessions()  # or they would stand in the way of the teardown
        try:
            if self._spec.teardown:
                self._add(self._brought(_send(self._control, self._spec.teardown), "the teardown"))
        except Broken as error:
            broken = broken or str(error)
        self._add(messages=[text for session in self._sessions for text in session.messages])
        steps = tuple(mention.step for mention in mentions)
        return Played(Permutation(steps, tuple(self._setup), tuple(self._events)), broken)

    def _brought(self, outcome: Outcome, by: str) -> tuple[Table, ...]:
        """Return what a setup or teardown brought, which may not fail."""
        if outcome.errors:
            raise Broken(f"{by} failed: {outcome.errors[0]}")
        return outcome.tables

    def _add(self, tables: Iterable[Table] = (), messages: Iterable[str] = ()) -> None:
        """Add to the last event what came behind it."""
        if self._events:
            last = self._events.pop()
            self._events.append(
                replace(
                    last,
                    tables=(*last.tables, *tables),
                    notices=(*last.notices, *messages),
                )
            )

    def _end_sessions(self) -> None:
        for one in list(self._hub.conversations):
            self._hub.end(one, self._blockers)

    def _perform(self, mentions: Sequence[Mention]) -> None:
        """Have the sessions play their parts."""
        own = [self._by_step[mention.step] for mention in mentions]
        works = {}
        for number, session in enumerate(self._sessions):
            script = session.script
            texts = [text for of, text in own if of is session]
            setup, teardown = (list(filter(None, [one])) for one in (script.setup, script.teardown))
            works[number] = session.work([*setup, *texts, *teardown])
        self._turns.begin(works)
        for session in self._sessions:
            if session.script.setup:
                self._setup += self._frame(session)
        for mention in mentions:
            self._take_step(mention)
        self._finish()

    def _finish(self) -> None:
        """Wait for whoever still waits, and have the sessions tidy up."""
        self._report_ended()
        while self._waiting:
            if not self._await_somebody():
                raise Broken(f"{self._waiting[0].mention.step} waits for ever")
            self._report_ended()
        for session in self._sessions:
            if session.script.teardown:
                self._add(self._frame(session))
        for session in self._sessions:
            if session.client.failure is not None:
                raise Broken(f"{session.script.name} failed: {session.client.failure}")

    def _frame(self, session: Session) -> tuple[Table, ...]:
        """Let a session's setup or teardown through."""
        place = session.sent
        self._let_through(session)
        frame = f"the setup or teardown of {session.script.name}"
        if len(session.outcomes) <= place:
            raise Broken(f"{frame} waits")
        return self._brought(session.outcomes[place], frame)

    def _let_through(self, session: Session) -> bool:
        """Let a session's next text through, and say whether it waited.

        The hub has let it through already where it takes neither a snapshot nor a lock.
        """
        place, number = session.sent, session.client.number
        session.sent += 1
        if len(session.outcomes) > place:
            return False
        if number not in self._turns.ready:
            return True
        turn = self._turns.grant(Move(number))
        return bool(turn.waited_for)

    def _take_step(self, mention: Mention) -> None:
        session, sql = self._by_step[mention.step]
        while session.active is not None:
            before = len(self._events)
            self._report(session.active, again=True)
            self._report_ended()
            stays = session.active is not None and len(self._events) == before
            if stays and not self._await_somebody():
                raise Broken(f"{mention.step} can't be sent: {session.script.name} still waits")
        sent = Sent(session, mention, session.sent, sql, waited=False)
        session.active = sent
        sent.waited = self._let_through(session)
        ended = self._report(sent, again=False)
        self._report_ended()
        if not ended:
            self._waiting.append(sent)

    def _await_somebody(self) -> bool:
        """Wait until somebody who waits goes on though nobody lets them, and say whether one has.

        A wait has an end where a time is set for it, or where it is cancelled: the server says
        that somebody was told so before they are.
        """
        in_server = [sent for sent in self._waiting if sent.outcome is None]
        give_up = time.monotonic() + self._patience
        while time.monotonic() < give_up:
            if any(sent.outcome is not None for sent in in_server) and self._hub.running is None:
                return True
            self._hub.listen(LOOK_SECONDS)
            for one in list(self._hub.conversations):
                if self._hub.running is None and one.asks and (one.answered or one.closed):
                    client = self._sessions[self._hub.deliver(one)].client
                    if client.done:
                        self._hub.running = None
        return False

    def _report_ended(self) -> None:
        """Report those that waited and have ended, as long as one sets another free."""
        before = -1
        while before < len(self._events):
            before = len(self._events)
            for sent in self._waiting:
                self._report(sent, again=True)
        self._waiting = [sent for sent in self._waiting if sent.session.active is sent]

    def _report(self, sent: Sent, *, again: bool) -> bool:
        """Report a step as ended where it has, otherwise, unless it is again, as waiting."""
        if sent.session.active is not sent:
            return False
        outcome, step = sent.outcome, sent.mention.step
        once = any(blocker.step is None for blocker in sent.mention.blockers)
        if outcome is None or self._held_back(sent) or (not again and (once or sent.waited)):
            if not again:
                self._events.append(Event(step, sent.sql, True, False, (), (), ()))
            return False
        sql = "" if again else sent.sql
        self._events.append(Event(step, sql, False, again, outcome.tables, outcome.errors, ()))
        sent.session.active = None
        return True

    def _held_back(self, sent: Sent) -> bool:
        """Whether a mark in the permutation holds back the report of a step's end.

        Marks that await notices don't: they are there for the order in which these are printed,
        and here everything that could be sent has been when anything is reported.
        """
        names = {blocker.step for blocker in sent.mention.blockers if blocker.notices is None}
        return any(
            session.active is not None and session.active.mention.step in names
            for session in self._sessions
        )


def _every_step_is_a_choice(_: Turn) -> None:
    """Judge nothing: whatever is not quiet by itself is held back."""


def _send(connection: psycopg.Connection, text: str) -> Outcome:
    """Send a text as one simple query, as isolationtester does."""

    def talk() -> PQGen[list[PGresult]]:
        connection.pgconn.send_query(text.encode())
        results: list[PGresult] = yield from generators.execute(connection.pgconn)
        return results

    tables: list[Table] = []
    errors: list[str] = []
    for result in connection.wait(talk()):
        if result.status == ExecStatus.TUPLES_OK:
            tables.append(_table(result))
        elif result.status == ExecStatus.FATAL_ERROR:
            severity = (result.error_field(DiagnosticField.SEVERITY) or b"").decode()
            message = (result.error_field(DiagnosticField.MESSAGE_PRIMARY) or b"").decode()
            errors.append(message if severity == "ERROR" else f"{severity}:  {message}")
    return Outcome(tuple(tables), tuple(errors))


def _table(result: PGresult) -> Table:
    columns = range(result.nfields)
    return Table(
        tuple((result.fname(column) or b"").decode() for column in columns),
        tuple(
            # Blanks around a value are padding where it is printed, and NULL looks like nothing.
            tuple((result.get_value(row, column) or b"").decode().strip(" ") for column in columns)
            for row in range(result.ntuples)
        ),
    )


def play(
    database: Database,
    spec: Spec,
    name: str,
    permutations: Iterable[Sequence[Mention]],
    patience: float = GUARD_SECONDS,
) -> list[Played]:
    """Play permutations of a spec, one after the other.

    Args:
        database: Where.
        spec: What.
        name: Of the spec; some look for it in the names of applications.
        permutations: Which, in the spec's own words.
        patience: Seconds after which a session that waits is taken to wait for ever.
    """
    played: list[Played] = []
    left = deque(permutations)
    while left:
        with Stage(database, spec, name, patience) as stage:
            while left:
                played.append(stage.play(left.popleft()))
                if played[-1].broken:
                    break
    return played


def differences(expected: Sequence[Permutation], played: Sequence[Played]) -> list[str]:
    """Say in words what is otherwise than expected; nothing where all is alike."""
    found: list[str] = []
    for wanted, one in zip(expected, played, strict=True):
        words = _compared(wanted, one)
        if words:
            found.append("\n  ".join([f"{' '.join(wanted.steps)}:", *words]))
    return found


def _compared(wanted: Permutation, played: Played) -> list[str]:
    seen = played.seen
    words = [f"broken: {played.broken}"] if played.broken else []
    if wanted.steps != seen.steps:
        words.append(f"other steps: {' '.join(seen.steps)}")
    if wanted.setup != seen.setup:
        words.append(f"the setup brought {seen.setup}, not {wanted.setup}")
    lines = difflib.ndiff([*map(in_words, wanted.events)], [*map(in_words, seen.events)])
    for line in lines:
        if line.startswith("- "):
            words.append(f"expected, not seen: {line[2:]}")
        elif line.startswith("+ "):
            words.append(f"seen, not expected: {line[2:]}")
    for who, (told, heard) in _by_session(wanted, seen).items():
        if told != heard:
            words.append(f"{who} was told {heard}, not {told}")
    return words


def in_words(event: Event) -> str:
    """Put an event into words, its messages left out."""
    state = "waits" if event.waiting else "has ended its wait" if event.completed else "ends"
    parts = [f"{event.step} {state}"]
    parts += [f"rows {table.header}: {table.rows}" for table in event.tables]
    # Behind the first line may stand what libpq has to say of a lost connection.
    parts += ["error " + error.partition("\n")[0] for error in event.errors]
    return ", ".join(parts)


def _by_session(*permutations: Permutation) -> dict[str, tuple[list[str], ...]]:
    """Return for each session what it was told in each of some permutations."""
    messages = [[text for event in each.events for text in event.notices] for each in permutations]
    names = {text.partition(":")[0] for texts in messages for text in texts}
    return {
        name: tuple(
            [text for text in texts if text.partition(":")[0] == name] for texts in messages
        )
        for name in sorted(names)
    }
