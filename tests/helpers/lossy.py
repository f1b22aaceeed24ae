"""A line that breaks when the server has committed, and before its answer is there."""

from typing import Any, ClassVar

import psycopg
from desk import Desk
from sqlalchemy import Engine, create_engine

from booking_core.database.wire import COMMIT


class Lossy(psycopg.Connection[Any]):
    """A connection that can lose the answer to a write that was committed.

    Attributes:
        lose: Whether the next one is lost.
    """

    lose: ClassVar[bool] = False

    def wait(self, gen: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401 - psycopg's own
        """Wait for the answer, and lose it if it was to be lost."""
        # SQLAlchemy, when it meets a server for the first time, ends transactions too.
        losing = Lossy.lose and gen.__name__ == "_exchange"
        losing = losing and _commits(**gen.gi_frame.f_locals)
        answer = super().wait(gen, *arguments, **options)
        if losing:
            Lossy.lose = False
            self.close()
            raise psycopg.OperationalError("server closed the connection unexpectedly")
        return answer


def _commits(**exchange: Any) -> bool:  # noqa: ANN401 - the arguments of `Wire._exchange`
    last: str = exchange["statements"][-1][0]
    alone = exchange["self"].autocommit and ("UPDATE" in last or "claim_slot" in last)
    return last == COMMIT or alone


def lossy_engine(desk: Desk) -> Engine:
    """Return an engine for a desk whose connections can lose an answer."""
    _, options = desk.engine.dialect.create_connect_args(desk.database.url)
    return create_engine(desk.database.url, creator=lambda: Lossy.connect(**options))
