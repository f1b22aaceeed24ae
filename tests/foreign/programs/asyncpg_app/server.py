"""Books appointments over HTTP: aiohttp, and SQLAlchemy's ORM on asyncpg."""

import asyncio
import datetime as dt
import os
from typing import Any

import sqlalchemy as sa
from aiohttp import web
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

ISOLATION = os.environ.get("ISOLATION", "SERIALIZABLE")
POOL = int(os.environ.get("POOL", "10"))
PORT = int(os.environ.get("PORT", "0"))
TRIES = 5
RETRYABLE = {"40001", "40P01"}  # serialization_failure, deadlock_detected

engine = create_async_engine(
    sa.make_url(os.environ["DATABASE_URL"]).set(drivername="postgresql+asyncpg"),
    isolation_level=ISOLATION,
    pool_size=POOL,
    max_overflow=0,
)
Session = async_sessionmaker(engine, expire_on_commit=False)
routes = web.RouteTableDef()


class Base(DeclarativeBase):
    """The tables."""


class Staff(Base):
    """Somebody who can be booked."""

    __tablename__ = "staff"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


class Appointment(Base):
    """A client's time with a staff member."""

    __tablename__ = "appointment"

    id: Mapped[int] = mapped_column(primary_key=True)
    staff_id: Mapped[int] = mapped_column(sa.ForeignKey("staff.id"))
    starts_at: Mapped[dt.datetime] = mapped_column(sa.DateTime(timezone=True))
    ends_at: Mapped[dt.datetime] = mapped_column(sa.DateTime(timezone=True))
    client: Mapped[str]
    status: Mapped[str] = mapped_column(default="confirmed")


class TimeConflictError(Exception):
    """The staff member has another appointment then."""


async def book(staff: int, start: str, minutes: int, client: str) -> int:
    """Book an appointment and return its id."""
    starts_at = dt.datetime.fromisoformat(start)
    ends_at = starts_at + dt.timedelta(minutes=minutes)
    hour = int(starts_at.timestamp()) // 3600

    async with Session.begin() as session:
        await session.execute(sa.select(sa.func.pg_advisory_xact_lock(staff ^ hour)))
        overlapping = await session.scalar(
            sa.select(Appointment.id)
            .where(
                Appointment.staff_id == staff,
                Appointment.status == "confirmed",
                Appointment.starts_at < ends_at,
                Appointment.ends_at > starts_at,
            )
            .limit(1)
        )
        if overlapping is not None:
            raise TimeConflictError
        appointment = Appointment(
            staff_id=staff, starts_at=starts_at, ends_at=ends_at, client=client
        )
        session.add(appointment)
    return appointment.id


async def book_with_retries(booking: dict[str, Any]) -> int:
    """Book, and try again where PostgreSQL says that this may help."""
    for attempt in range(1, TRIES):
        try:
            return await book(**booking)
        except DBAPIError as error:
            if error.orig.sqlstate not in RETRYABLE:
                raise
        await asyncio.sleep(0.001 * 2**attempt)
    return await book(**booking)


@routes.post("/book")
async def post_book(request: web.Request) -> web.Response:
    """Answer POST /book."""
    try:
        return web.json_response({"id": await book_with_retries(await request.json())}, status=201)
    except TimeConflictError:
        return web.json_response({"error": "TIME_CONFLICT"}, status=409)
    except DBAPIError as error:
        code = error.orig.sqlstate or type(error.orig).__name__
        return web.json_response({"error": code}, status=500)
    except Exception as error:  # noqa: BLE001 - the client is told what it was
        return web.json_response({"error": type(error).__name__}, status=500)


async def main() -> None:
    """Serve until the process is ended."""
    app = web.Application()
    app.add_routes(routes)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT).start()
    (address,) = runner.addresses
    print(f"listening on 127.0.0.1:{address[1]}", flush=True)  # noqa: T201 - says where it is
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
