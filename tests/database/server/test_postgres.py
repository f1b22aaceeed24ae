"""The server is private, configured as asked and gone with its owner; databases don't meet."""

import os
import pwd
import stat
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import psycopg
import pytest
import sqlalchemy

from experiments.server import embedded, postgres
from experiments.server.connection import connect
from experiments.server.postgres import (
    Database,
    EmbeddedServer,
    Server,
    ServerError,
    ServerSettings,
    external_server,
    fresh_database,
    server,
)

SECRET = "s3cret"
PATIENCE = 60.0  # seconds after which a test gives up on what should have happened at once
as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")


@pytest.fixture(scope="module")
def own() -> Iterator[EmbeddedServer]:
    """A server of ours, whatever BOOKING_DATABASE_URL says."""
    with EmbeddedServer() as own:
        yield own


def setting(of: EmbeddedServer | Server, name: str) -> str:
    """Ask a server for a setting."""
    with connect(of.url) as connection:
        return str(connection.execute("SELECT current_setting(%s)", [name]).fetchall()[0][0])


def names(of: Server) -> set[str]:
    """Ask a server for its databases."""
    with connect(of.url) as connection:
        return {name for (name,) in connection.execute("SELECT datname FROM pg_database")}


def postmaster(of: EmbeddedServer) -> psutil.Process:
    """Find the process that started all of the server's others, which come and go."""
    return psutil.Process(int((of.folder / "data" / "postmaster.pid").read_text().split()[0]))


def python(code: str, **options: object) -> subprocess.Popen[str]:
    """Run code in a Python of its own, which shares this process's server."""
    return subprocess.Popen(
        [sys.executable, "-c", code],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def wait_until(holds: Callable[[], bool]) -> None:
    """Wait until a condition holds."""
    deadline = time.monotonic() + PATIENCE
    while not holds() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert holds()


class TestPrivacy:
    """Nobody else reaches an embedded server."""

    def test_it_listens_on_no_network(self, own: EmbeddedServer) -> None:
        """It has one socket, in its folder, and no TCP connections."""
        assert setting(own, "listen_addresses") == ""
        assert postmaster(own).net_connections() == []
        assert (own.folder / ".s.PGSQL.5432").is_socket()

    def test_its_folder_is_closed_to_others(self, own: EmbeddedServer) -> None:
        """Nobody but its account may enter the folder that holds socket and data."""
        assert stat.S_IMODE(own.folder.stat().st_mode) == 0o700
        assert stat.S_IMODE((own.folder / "data").stat().st_mode) == 0o700

    @as_root
    @pytest.mark.parametrize("account", embedded.ACCOUNTS[:2])
    def test_other_accounts_are_refused(self, own: EmbeddedServer, account: str) -> None:
        """Not even the account that it runs as gets in: that one is refused by name."""
        runs_as = own.folder.owner()
        read, write = os.pipe()
        child = os.fork()
        if child == 0:
            entry = pwd.getpwnam(account)
            os.setgroups([])
            os.setgid(entry.pw_gid)
            os.setuid(entry.pw_uid)
            try:
                connect(own.url)
            except ServerError as error:
                os.write(write, str(error).encode())
            os._exit(0)
        os.close(write)
        os.waitpid(child, 0)
        answer = os.read(read, 1000).decode()
        os.close(read)

        expected = "Peer authentication failed" if account == runs_as else "Permission denied"
        assert expected in answer

    @as_root
    def test_it_doesnt_run_as_root(self, own: EmbeddedServer) -> None:
        """Its account is without rights, also when its owner is root."""
        assert set(postmaster(own).uids()) == {own.folder.stat().st_uid}
        assert own.folder.stat().st_uid != 0


class TestStart:
    """A server starts in whatever surroundings, with the settings that were asked for."""

    def test_settings_take_effect(self) -> None:
        """What is varied reaches the server."""
        settings = ServerSettings(
            max_connections=17, fsync=False, synchronous_commit="off", deadlock_timeout_ms=123
        )
        with EmbeddedServer(settings) as own:
            assert setting(own, "max_connections") == "17"
            assert setting(own, "fsync") == "off"
            assert setting(own, "synchronous_commit") == "off"
            assert setting(own, "deadlock_timeout") == "123ms"

    def test_its_defaults_are_durable(self, own: EmbeddedServer) -> None:
        """A commit waits for the disk unless an experiment says otherwise."""
        assert setting(own, "fsync") == "on"
        assert setting(own, "synchronous_commit") == "on"
        assert setting(own, "full_page_writes") == "on"
        assert own.version >= 180000

    def test_odd_surroundings_dont_matter(
        self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        """A stray PGPORT and a TMPDIR too long for a socket are common."""
        far = tmp_path / ("x" * 100)
        far.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(far))
        for name in ("PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGDATA", "LC_ALL", "TZ"):
            monkeypatch.setenv(name, "99")

        with EmbeddedServer() as own, fresh_database(own) as fresh:
            assert own.folder.parent == Path("/tmp")
            with fresh.engine().connect() as connection:
                assert connection.scalar(sqlalchemy.text("SHOW timezone")) == "UTC"

    @as_root
    def test_binaries_out_of_reach_are_copied(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """An environment below a 0700 home can't be read by the server's account."""
        open_to_all = embedded._open_to_all  # noqa: SLF001 - the one thing that differs there
        monkeypatch.setattr(
            embedded, "_open_to_all", lambda path: "bin" not in path.parts and open_to_all(path)
        )
        with EmbeddedServer() as own:
            assert Path(postmaster(own).exe()).is_relative_to(own.folder)
        assert not own.folder.exists()

    def test_a_user_without_a_name_is_told_so(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """PostgreSQL needs a passwd entry; the message shows the way out."""
        monkeypatch.setattr(pwd, "getpwuid", {}.__getitem__)
        with pytest.raises(ServerError, match="has no name on this system; set BOOKING_DATABASE_"):
            EmbeddedServer()

    def test_a_failure_says_why(self) -> None:
        """What the server wrote before it gave up is in the message, and nothing is left."""
        with pytest.raises(ServerError, match=r"synchronous_commit.*BOOKING_DATABASE_URL"):
            EmbeddedServer(ServerSettings(synchronous_commit="perhaps"))

    @as_root
    @pytest.mark.parametrize("user", ["daemon", 54321])
    def test_plain_users_need_no_rights(self, own: EmbeddedServer, user: str | int) -> None:
        """A plain user has a server too; one without a passwd entry is told what to do.

        Another user's server, passed on by mistake, is out of reach and therefore not used.
        """
        code = (
            "from experiments.server.postgres import *\n"
            "try: print(fresh_database().name)\n"
            "except ServerError as error: print(error)"
        )
        environment = {
            "PATH": os.defpath,
            "PYTHONPATH": os.pathsep.join(sys.path),
            "BOOKING_LAB_SERVER": own.url.render_as_string(),
        }
        program = subprocess.run(
            [python_for_everybody(), "-c", code],
            user=user,
            group="daemon",
            extra_groups=[],
            env=environment,
            cwd="/",
            capture_output=True,
            text=True,
            check=False,
        )
        assert program.stderr == ""
        expected = "booking_lab_" if user == "daemon" else "PostgreSQL can't run as user 54321"
        assert program.stdout.startswith(expected)


def python_for_everybody() -> str:
    """Find a Python like this one that other users may run, with the packages of this one."""
    for path in map(Path, (sys.executable, f"/usr/bin/python3.{sys.version_info.minor}")):
        if path.exists() and embedded._open_to_all(path.resolve()):  # noqa: SLF001 - the same question
            break
    else:
        pytest.skip("this Python lies where other users can't reach it")
    if not embedded._open_to_all(Path(psycopg.__file__).parent):  # noqa: SLF001 - the same question
        pytest.skip("this environment lies where other users can't reach it")
    return str(path)


class TestEnd:
    """Nothing is left of an embedded server."""

    def test_close_removes_it(self) -> None:
        """Its processes and its folder are gone when `close` returns; closing twice is fine."""
        own = EmbeddedServer()
        were = [postmaster(own), *postmaster(own).children()]
        own.close()
        own.close()
        assert not own.folder.exists()
        assert not any(one.is_running() for one in were)

    def test_it_ends_in_order_in_the_background(self) -> None:
        """In the background of a script SIGINT and SIGQUIT are ignored: it heeds SIGQUIT still."""
        code = (
            "import signal\n"
            "signal.signal(signal.SIGINT, signal.SIG_IGN)\n"
            "signal.signal(signal.SIGQUIT, signal.SIG_IGN)\n"
            "from experiments.server import watchdog\n"
            "from experiments.server.postgres import *\n"
            "watchdog.PATIENCE_SECONDS = 60.0\n"
            "own = EmbeddedServer()\n"
            "server = own._process\n"
            "own.close()\n"
            "print(server.returncode, own.folder.exists())"
        )
        with python(code) as owner:
            out, err = owner.communicate()
        assert err == ""
        assert out == "0 False\n"  # negative, had a signal killed it

    @pytest.mark.parametrize("moment", ["data/PG_VERSION", "data/postmaster.pid"])
    def test_its_owner_may_be_killed(self, moment: str) -> None:
        """Killed with -9, while the server starts or later: all is gone."""
        code = "from experiments.server.postgres import *; own = EmbeddedServer(); input()"
        with tempfile.TemporaryDirectory() as home:
            Path(home).chmod(0o755)
            with python(code, env={**os.environ, "TMPDIR": home}) as owner:
                wait_until(lambda: any(Path(home).glob(f"*/{moment}")))
                (folder,) = Path(home).iterdir()
                were = psutil.Process(owner.pid).children(recursive=True)
                assert {"initdb", "postgres"} & programs(were)
                owner.kill()
                wait_until(lambda: not folder.exists() and not any(map(works, were)))


def programs(processes: list[psutil.Process]) -> set[str]:
    """Return what those run that are still there: a server's workers come and go."""
    return {one.info["name"] for one in psutil.process_iter(["name"]) if one in processes}


def works(process: psutil.Process) -> bool:
    """Say whether it runs. What has ended and waits to be asked for its exit code doesn't."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


class TestDatabases:
    """Everybody has a database of their own; they don't meet and don't stay."""

    def test_it_is_fresh(self, fresh: Database) -> None:
        """It is empty, speaks UTF-8, sorts the same everywhere and knows btree_gist."""
        with fresh.engine().connect() as connection:
            rows = connection.execute(
                sqlalchemy.text(
                    "SELECT current_database(), current_setting('server_encoding'),"
                    " 'a' > 'B', (SELECT array_agg(extname ORDER BY extname) FROM pg_extension),"
                    " (SELECT count(*) FROM pg_tables WHERE schemaname = 'public')"
                )
            ).all()
        assert rows == [(fresh.name, "UTF8", True, ["btree_gist", "plpgsql"], 0)]
        assert fresh.version == server().version

    def test_databases_are_isolated(self, database: Database, fresh: Database) -> None:
        """Neither tables nor advisory locks of one are seen in the other."""
        with connect(database.url) as one, connect(fresh.url) as other:
            one.execute("CREATE TABLE mine ()")
            with pytest.raises(psycopg.errors.UndefinedTable):
                other.execute("TABLE mine")
            for session in (one, other):
                rows = session.execute("SELECT pg_try_advisory_lock(1)").fetchall()
                assert rows == [(True,)]

    def test_drop_drops_it(self) -> None:
        """It is dropped whoever is connected, its engines are disposed of; twice is fine."""
        with fresh_database() as fresh:
            assert fresh.name in names(server())
            engine = fresh.engine()
            engine.connect().close()  # stays open in the engine's pool
            with connect(fresh.url):
                fresh.drop()
        assert fresh.name not in names(server())
        with pytest.raises(sqlalchemy.exc.OperationalError):
            engine.connect()

    def test_it_is_dropped_with_its_process(self) -> None:
        """Without `with`, as in a notebook, it goes when the process ends."""
        with python(
            "from experiments.server.postgres import *; print(fresh_database().name)"
        ) as process:
            out, err = process.communicate()
        assert err == ""
        assert out.startswith("booking_lab_")
        assert out.strip() not in names(server())

    def test_what_a_killed_process_left_is_swept(self, database: Database) -> None:
        """The next process drops it; databases of the living are left alone."""
        code = (
            "from experiments.server.postgres import *; "
            "print(fresh_database().name, flush=True); {}"
        )
        with python(code.format("input()")) as killed:
            assert killed.stdout
            stale = killed.stdout.readline().strip()
            assert stale in names(server())
            killed.kill()

        def swept() -> bool:
            with python(code.format("")) as process:
                process.communicate()
            return stale not in names(server())

        wait_until(swept)
        assert database.name in names(server())

    def test_a_forked_child_drops_nothing(self) -> None:
        """A child forked without exec inherits the object, but not the database."""
        code = (
            "import os, sys; from experiments.server.postgres import *; fresh = fresh_database()\n"
            "if os.fork() == 0: sys.exit()\n"
            "os.wait(); fresh.engine().connect().close(); print('there')"
        )
        with python(code) as process:
            assert process.communicate() == ("there\n", "")


class TestExternal:
    """BOOKING_DATABASE_URL names another server; what is wrong with it is one sentence."""

    @pytest.mark.parametrize(
        ("address", "message"),
        [
            (f"{SECRET}", "is no URL of the form"),
            (f"postgresql://somebody:{SECRET}@localhost:port/x", "is no URL of the form"),
            (f"mysql://somebody:{SECRET}@localhost/x", "must begin with postgresql://"),
            (f"postgresql://somebody:me@{SECRET}@localhost/x", "is written %40"),
            (f"postgresql://somebody:me/{SECRET}@localhost/x", "is written %40"),
            (f"postgresql://localhost:1/x?password=me@{SECRET}", "is written %40"),
            (f"postgresql://somebody:{SECRET}@127.0.0.1:1/x", "can't be reached: .*refused"),
            (f"postgres://127.0.0.1:1/x?password={SECRET}", "can't be reached: .*refused"),
            (f"postgresql+psycopg://somebody:{SECRET}@/x?host=/nowhere", "can't be reached"),
            (f"postgresql://127.0.0.1/x?password={SECRET}&sslmode=odd", "can't be reached"),
        ],
    )
    def test_a_bad_address_is_one_sentence(self, address: str, message: str) -> None:
        """The sentence says what is wrong, and neither it nor a traceback shows the password."""
        with pytest.raises(ServerError, match=message) as caught:
            external_server(address)
        assert "\n" not in str(caught.value)
        assert SECRET not in "".join(traceback.format_exception(caught.value))

    @pytest.mark.parametrize("scheme", ["postgresql", "postgres", "postgresql+psycopg"])
    def test_a_good_address_is_used(self, own: EmbeddedServer, scheme: str) -> None:
        """Whatever the scheme and wherever the parts stand; the password is shown nowhere."""
        found = external_server(
            f"{scheme}:///?host={own.folder}&port=5432&user=postgres&password={SECRET}"
        )
        with fresh_database(found) as fresh:
            engine = fresh.engine()
            engine.connect().close()
            assert fresh.url.password == SECRET
            assert fresh.url.drivername == "postgresql+psycopg"
            shown = f"{found!r} {fresh!r} {engine!r} {found.url} {found.description}"
        assert SECRET not in shown
        assert "named by BOOKING_DATABASE_URL, fsync=on" in found.description

    def test_it_replaces_the_embedded_server(self, own: EmbeddedServer) -> None:
        """A process given the variable starts no server, and passes none on."""
        code = (
            "import os; from experiments.server.postgres import *\n"
            "print(server().url.query['host'], 'BOOKING_LAB_SERVER' in os.environ)"
        )
        environment = {**os.environ, "BOOKING_DATABASE_URL": own.url.render_as_string()}
        environment.pop("BOOKING_LAB_SERVER", None)
        with python(code, env=environment) as process:
            assert process.communicate() == (f"{own.folder} False\n", "")

    def test_an_old_server_is_refused(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """The sentence says which version is there and which is needed."""
        monkeypatch.setattr(postgres, "OLDEST_VERSION", 990000)
        address = server().url.render_as_string(hide_password=False)
        with pytest.raises(
            ServerError, match=r"The server is PostgreSQL \d+\.\d+, and 99 or newer"
        ):
            external_server(address)

    def test_the_right_to_create_databases_is_needed(self, own: EmbeddedServer) -> None:
        """A user without it is told what to grant."""
        with connect(own.url) as connection:
            connection.execute("CREATE ROLE weak")
        weak = external_server(f"{own.url.render_as_string()}&options=-c%20role%3Dweak")
        with pytest.raises(ServerError, match="may not create databases; grant it with ALTER ROLE"):
            fresh_database(weak)
