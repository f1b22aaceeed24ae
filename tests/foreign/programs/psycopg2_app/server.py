"""Books appointments over HTTP: psycopg2 with its threaded pool."""

import contextlib
import datetime as dt
import http.server
import json
import os
import threading
import time
from collections.abc import Iterator
from typing import Any

from psycopg2 import errors
from psycopg2.extensions import cursor as Cursor  # noqa: N812 - a class in lower case
from psycopg2.pool import ThreadedConnectionPool

ISOLATION = os.environ.get("ISOLATION", "SERIALIZABLE")
POOL = int(os.environ.get("POOL", "10"))
PORT = int(os.environ.get("PORT", "0"))
TRIES = 5

pool = ThreadedConnectionPool(1, POOL, os.environ["DATABASE_URL"])
# An exhausted ThreadedConnectionPool raises instead of waiting.
free = threading.BoundedSemaphore(POOL)


class TimeConflictError(Exception):
    """The staff member has another appointment then."""


@contextlib.contextmanager
def transaction() -> Iterator[Cursor]:
    """Lend a cursor; commit at the end, roll back on an exception."""
    with free:
        connection = pool.getconn()
        try:
            connection.set_session(isolation_level=ISOLATION)
            with connection, connection.cursor() as cursor:
                yield cursor
        finally:
            pool.putconn(connection)


def book(staff: int, start: str, minutes: int, client: str) -> int:
    """Book an appointment and return its id."""
    starts_at = dt.datetime.fromisoformat(start)
    ends_at = starts_at + dt.timedelta(minutes=minutes)
    hour = int(starts_at.timestamp()) // 3600

    with transaction() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", (staff ^ hour,))
        cursor.execute(
            """
            SELECT id FROM appointment
            WHERE staff_id = %s AND status = 'confirmed' AND starts_at < %s AND ends_at > %s
            LIMIT 1
            """,
            (staff, ends_at, starts_at),
        )
        if cursor.fetchone():
            raise TimeConflictError
        cursor.execute(
            """
            INSERT INTO appointment (staff_id, starts_at, ends_at, client)
            VALUES (%s, %s, %s, %s) RETURNING id
            """,
            (staff, starts_at, ends_at, client),
        )
        (appointment,) = cursor.fetchone()
    return appointment


def book_with_retries(booking: dict[str, Any]) -> int:
    """Book, and try again where PostgreSQL says that this may help."""
    for attempt in range(1, TRIES):
        try:
            return book(**booking)
        except (errors.SerializationFailure, errors.DeadlockDetected):
            time.sleep(0.001 * 2**attempt)
    return book(**booking)


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers POST /book."""

    def do_POST(self) -> None:
        """Book."""
        if self.path != "/book":
            self.answer(404, {"error": "NOT_FOUND"})
            return
        try:
            booking = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.answer(201, {"id": book_with_retries(booking)})
        except TimeConflictError:
            self.answer(409, {"error": "TIME_CONFLICT"})
        except Exception as error:  # noqa: BLE001 - the client is told what it was
            self.answer(500, {"error": getattr(error, "pgcode", None) or type(error).__name__})

    def answer(self, status: int, body: dict[str, Any]) -> None:
        """Send a JSON response."""
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Keep no access log."""


if __name__ == "__main__":
    with http.server.ThreadingHTTPServer(("127.0.0.1", PORT), Handler) as server:
        print(f"listening on 127.0.0.1:{server.server_port}", flush=True)  # noqa: T201 - says where it is
        server.serve_forever()
