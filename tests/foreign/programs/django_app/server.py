"""Books appointments over HTTP: Django in one file.

`POST /book` takes an advisory lock, at the isolation level ISOLATION. At PostgreSQL's default
level, `POST /book?lock=appointments` locks the overlapping appointments instead, and
`POST /book?lock=staff` the staff member.
"""

import concurrent.futures
import datetime as dt
import json
import os
import socket
import socketserver
import time
from typing import Any
from wsgiref import simple_server

import django
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from django.db import OperationalError, connections, models, transaction
from django.http import HttpRequest, JsonResponse
from django.urls import path
from django.views.decorators.http import require_POST
from psycopg import IsolationLevel
from psycopg.conninfo import conninfo_to_dict

ISOLATION = os.environ.get("ISOLATION", "SERIALIZABLE")
POOL = int(os.environ.get("POOL", "10"))
PORT = int(os.environ.get("PORT", "0"))
TRIES = 5
RETRYABLE = {"40001", "40P01"}  # serialization_failure, deadlock_detected


def database(**options: object) -> dict[str, Any]:
    """Return the settings of a database: DATABASE_URL, with more options."""
    parameters = conninfo_to_dict(os.environ["DATABASE_URL"])
    return {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": parameters.pop("dbname"),
        "OPTIONS": parameters | options,
        "CONN_MAX_AGE": int(os.environ.get("CONN_MAX_AGE", "0")),
    }


settings.configure(
    ALLOWED_HOSTS=["127.0.0.1", "localhost"],
    DATABASES={
        "default": database(),
        "isolated": database(isolation_level=IsolationLevel[ISOLATION.replace(" ", "_")]),
    },
    ROOT_URLCONF=__name__,
    USE_TZ=True,
)
django.setup()


class Staff(models.Model):
    """Somebody who can be booked."""

    id = models.IntegerField(primary_key=True)
    name = models.TextField()

    class Meta:  # noqa: D106 - Django's way
        app_label = "booking"
        db_table = "staff"
        managed = False

    def __str__(self) -> str:
        return self.name


class Appointment(models.Model):
    """A client's time with a staff member."""

    id = models.AutoField(primary_key=True)
    staff = models.ForeignKey(Staff, models.DO_NOTHING)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    client = models.TextField()
    status = models.TextField(default="confirmed")

    class Meta:  # noqa: D106 - Django's way
        app_label = "booking"
        db_table = "appointment"
        managed = False

    def __str__(self) -> str:
        return f"{self.client}, {self.starts_at:%Y-%m-%d %H:%M}"


class TimeConflictError(Exception):
    """The staff member has another appointment then."""


def book(lock: str, *, staff: int, start: str, minutes: int, client: str) -> int:
    """Book an appointment and return its id."""
    starts_at = dt.datetime.fromisoformat(start)
    ends_at = starts_at + dt.timedelta(minutes=minutes)
    hour = int(starts_at.timestamp()) // 3600

    using = "isolated" if lock == "advisory" else "default"
    with transaction.atomic(using):
        overlapping = Appointment.objects.using(using).filter(
            staff_id=staff, status="confirmed", starts_at__lt=ends_at, ends_at__gt=starts_at
        )
        if lock == "advisory":
            with connections[using].cursor() as cursor:
                cursor.execute("SELECT pg_advisory_xact_lock(%s)", [staff ^ hour])
            taken = overlapping.exists()
        elif lock == "staff":
            Staff.objects.using(using).select_for_update().get(id=staff)
            taken = overlapping.exists()
        elif lock == "appointments":
            taken = bool(overlapping.select_for_update())
        else:
            raise ValueError(lock)
        if taken:
            raise TimeConflictError
        appointment = Appointment.objects.using(using).create(
            staff_id=staff, starts_at=starts_at, ends_at=ends_at, client=client
        )
    return appointment.id


def book_with_retries(lock: str, booking: dict[str, Any]) -> int:
    """Book, and try again where PostgreSQL says that this may help."""
    for attempt in range(1, TRIES):
        try:
            return book(lock, **booking)
        except OperationalError as error:
            if error.__cause__.sqlstate not in RETRYABLE:
                raise
        time.sleep(0.001 * 2**attempt)
    return book(lock, **booking)


@require_POST
def post_book(request: HttpRequest) -> JsonResponse:
    """Answer POST /book."""
    try:
        lock = request.GET.get("lock", "advisory")
        appointment = book_with_retries(lock, json.loads(request.body))
    except TimeConflictError:
        return JsonResponse({"error": "TIME_CONFLICT"}, status=409)
    except Exception as error:  # noqa: BLE001 - the client is told what it was
        # Django wraps the driver's errors, which know the SQLSTATE.
        code = getattr(error.__cause__, "sqlstate", None) or type(error).__name__
        return JsonResponse({"error": code}, status=500)
    return JsonResponse({"id": appointment}, status=201)


urlpatterns = [path("book", post_book)]

workers = concurrent.futures.ThreadPoolExecutor(POOL)


class Server(socketserver.ThreadingMixIn, simple_server.WSGIServer):
    """Answers each request in a thread of the pool.

    Django keeps its connections by thread: in a new thread for each, none would be used again.
    """

    def process_request(self, request: socket.socket, client_address: tuple[str, int]) -> None:
        """Hand a request to the pool."""
        workers.submit(self.process_request_thread, request, client_address)


class Handler(simple_server.WSGIRequestHandler):
    """Keeps no access log."""

    def log_message(self, *_: object) -> None:
        """Do nothing."""


if __name__ == "__main__":
    with simple_server.make_server(
        "127.0.0.1", PORT, get_wsgi_application(), Server, Handler
    ) as server:
        print(f"listening on 127.0.0.1:{server.server_port}", flush=True)  # noqa: T201 - says where it is
        server.serve_forever()
