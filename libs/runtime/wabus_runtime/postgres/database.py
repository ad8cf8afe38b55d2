"""PostgreSQL: a pool that speaks JSON, and each package's own migrations under one advisory lock."""

import asyncio
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from importlib import import_module
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Any

import asyncpg
import asyncpg.pool
import orjson
import stamina
import structlog

from wabus_runtime.settings import DatabaseSettings

if TYPE_CHECKING:
    import sqlalchemy
    from alembic.script import ScriptDirectory

CONNECT_TIMEOUT = 10  # seconds
COMMAND_TIMEOUT = 30  # seconds
REPLICA_TIMEOUT = 5  # seconds to connect to a read replica, and for its answer; then the primary is asked
CLOSE_TIMEOUT = 2  # seconds
RUNTIME = "wabus_runtime"  # names the table with the version of the tables that every service has
MIGRATION_LOCK = 0x7761627573  # "wabus"

_REVISION = re.compile(r'^revision = "(\w+)"$', re.MULTILINE)

log = structlog.get_logger()

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
"""What a query runs on: a connection of its own, or one lent by a pool."""

DATABASE_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # the client lost track of a connection that broke
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.TooManyConnectionsError,
    asyncpg.DeadlockDetectedError,
    asyncpg.SerializationError,
    asyncpg.QueryCanceledError,
    asyncpg.InsufficientResourcesError,
    OSError,
)
"""What asyncpg raises when PostgreSQL is away, full or in trouble: the same statement may succeed later."""


async def open_pool(settings: DatabaseSettings, schema: str | None = None) -> asyncpg.Pool:
    """A pool whose connections exchange `json` and `jsonb` as Python objects; waits half a minute for the server.

    With a `schema`, or where the settings have one, its statements see the tables there and no others.
    """
    schema = schema or settings.database_schema
    async for attempt in _patiently():
        with attempt:
            return await asyncpg.create_pool(
                settings.database_url.get_secret_value(),
                min_size=1,
                max_size=settings.database_pool_size,
                timeout=CONNECT_TIMEOUT,
                command_timeout=COMMAND_TIMEOUT,
                init=_speak_json,
                reset=_leave,
                server_settings={"search_path": schema} if schema else None,
            )
    raise AssertionError("unreachable")


@asynccontextmanager
async def listening(pool: asyncpg.Pool, channel: str, take: Callable[..., None]) -> AsyncGenerator[Connection]:
    """A connection that listens on a NOTIFY channel; `take` gets each notification as asyncpg gives it."""
    async with pool.acquire() as connection:
        await connection.add_listener(channel, take)
        try:
            yield connection
        finally:
            await connection.remove_listener(channel, take)


def _patiently() -> AsyncIterator[stamina.Attempt]:
    """For 30 s as often as PostgreSQL is away: it may be starting with us."""
    return stamina.retry_context(on=DATABASE_AWAY, attempts=None, timeout=30, wait_max=2)


async def open_replica(settings: DatabaseSettings) -> asyncpg.Pool | None:
    """A pool on the read replica, where there is one; it connects when it is asked, for a replica may be away."""
    if settings.read_database_url is None:
        return None
    return await asyncpg.create_pool(
        settings.read_database_url.get_secret_value(),
        min_size=0,
        max_size=settings.database_pool_size,
        timeout=REPLICA_TIMEOUT,
        command_timeout=REPLICA_TIMEOUT,
        init=_speak_json,
        reset=_leave,
        server_settings={"default_transaction_read_only": "on"}
        | ({"search_path": settings.database_schema} if settings.database_schema else {}),
    )


async def close_pool(pool: asyncpg.Pool) -> None:
    """Close a pool in bounded time."""
    try:
        async with asyncio.timeout(CLOSE_TIMEOUT):
            await pool.close()
    except TimeoutError:
        pool.terminate()


@asynccontextmanager
async def migrated_pool(settings: DatabaseSettings, package: str) -> AsyncGenerator[asyncpg.Pool]:
    """A pool on a database that has the runtime's and the package's migrations."""
    pool = await open_pool(settings)
    try:
        async for attempt in _patiently():
            with attempt:
                await migrate(settings, package)
        yield pool
    finally:
        await close_pool(pool)


class TablesTooNew(Exception):
    """A newer release has changed the tables in a way that this one can't live with: roll back as the runbook says."""


def database_settings(package: str) -> type[DatabaseSettings]:
    """What says where a package's tables are: settings of its own, which an entry point names, or those of all."""
    own = entry_points(group="wabus.databases", name=package)
    return next((entry.load() for entry in own), DatabaseSettings)


def packages_with_tables() -> list[str]:
    """The packages of the services installed here that have migrations."""
    packages = {entry.value.partition(".")[0] for entry in entry_points(group="wabus.services")}
    return sorted(package for package in packages if _versions(package).is_dir())


async def migrate(settings: DatabaseSettings, package: str, schema: str | None = None) -> None:
    """Bring the tables of the runtime and of `package` to their newest version; safe from any number of processes.

    With a `schema`, which must exist, the same tables beside the others; the schema that the settings have is made
    where it is missing. Tables that a newer release has only added
    to are left as they are; raises `TablesTooNew` where it took something away, and what asyncpg does.
    """
    own = settings.database_schema

    async def connect() -> asyncpg.Connection:
        # Not by SQLAlchemy from the URL: it would not understand sslmode and its like there.
        return await asyncpg.connect(
            settings.database_url.get_secret_value(),
            timeout=CONNECT_TIMEOUT,
            server_settings={"search_path": schema or own} if schema or own else None,
        )

    if await _are_newest(connect, (RUNTIME, package)):
        return
    # Only here, for a third of a process's start goes to these imports, and mostly there is nothing to migrate.
    import sqlalchemy
    from sqlalchemy.exc import DBAPIError
    from sqlalchemy.ext.asyncio import create_async_engine
    from sqlalchemy.pool import NullPool

    engine = create_async_engine("postgresql+asyncpg://", poolclass=NullPool, async_creator=connect)
    try:
        async with engine.connect() as connection:
            await connection.execute(sqlalchemy.text(f"SELECT pg_advisory_lock({MIGRATION_LOCK})"))
            if own and not schema:
                await connection.execute(sqlalchemy.text(f"CREATE SCHEMA IF NOT EXISTS {own}"))
            await connection.commit()
            for owner in (RUNTIME, package):
                await connection.run_sync(_upgrade, owner)
                await connection.commit()
    except DBAPIError as error:
        raise (error.orig and error.orig.__cause__) or error from error
    finally:
        await engine.dispose()


async def _are_newest(connect: Callable[[], Awaitable[asyncpg.Connection]], packages: Sequence[str]) -> bool:
    """Whether the tables of these packages have the newest version that is known here."""
    connection = await connect()
    try:
        for package in packages:
            newest = _REVISION.search(sorted(_versions(package).glob("*.py"))[-1].read_text())
            found = await connection.fetch(f"SELECT version_num FROM {version_table(package)}")  # noqa: S608
            if newest is None or [row["version_num"] for row in found] != [newest[1]]:
                return False
    except asyncpg.UndefinedTableError:
        return False
    finally:
        await connection.close(timeout=CLOSE_TIMEOUT)
    return True


def version_table(package: str) -> str:
    """The table with the version of a package's tables: in each schema that has them, and in no other."""
    return f"{package}_migrations"


def _upgrade(connection: "sqlalchemy.Connection", package: str) -> None:
    import sqlalchemy
    from alembic import command
    from alembic.config import Config
    from alembic.runtime.migration import MigrationContext
    from alembic.script import ScriptDirectory

    table = version_table(package)
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("version_locations", str(_versions(package)))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    config.attributes["version_table"] = table
    scripts = ScriptDirectory.from_config(config)
    known = [script.revision for script in scripts.walk_revisions()]
    found = MigrationContext.configure(connection, opts={"version_table": table}).get_current_revision()
    connection.rollback()  # or Alembic would find itself inside a transaction
    if found is not None and found not in known:
        _live_with(connection, table, found, head=known[0])
        return
    command.upgrade(config, "head")
    if found != known[0]:
        connection.execute(sqlalchemy.text(f"COMMENT ON TABLE {table} IS '{_oldest(scripts)}'"))


def _live_with(connection: "sqlalchemy.Connection", table: str, found: str, *, head: str) -> None:
    """Go on with tables of a newer release if they still serve the code of `head`; ids of one package are in order."""
    import sqlalchemy

    said = "SELECT obj_description(to_regclass(:table), 'pg_class')"
    oldest = connection.execute(sqlalchemy.text(said), {"table": table}).scalar()
    if oldest is None or head < oldest:
        raise TablesTooNew(
            f"{table} is at {found}, which serves releases from {oldest or found} on; this one has {head}"
        )
    log.warning("a newer release has migrated the tables", action="tables_newer", tables=table, found=found, ours=head)


def _oldest(scripts: "ScriptDirectory") -> str:
    """The oldest revision whose code the newest tables serve: as the last contracting migration says, or the first."""
    revisions = list(scripts.walk_revisions())
    said = (getattr(script.module, "serves_from", None) for script in revisions)
    return next((str(revision) for revision in said if revision), revisions[-1].revision)


def _versions(package: str) -> Path:
    """Where a package's migrations are: the runtime's are beside this module, for every service needs them."""
    home = Path(__file__) if package == RUNTIME else Path(str(import_module(package).__file__))
    return home.parent / "migrations" / "versions"


async def _leave(connection: Any) -> None:
    """Nothing to reset but what asyncpg ends itself, an open transaction: nobody here changes a session.

    Its own reset is a round trip after each query that a pool makes.
    """


async def _speak_json(connection: Any) -> None:
    await connection.set_type_codec("json", encoder=_to_json, decoder=orjson.loads, schema="pg_catalog")
    # COPY takes nothing but the binary form: a version, which is 1, before the text.
    await connection.set_type_codec(
        "jsonb", encoder=_to_jsonb, decoder=_from_jsonb, schema="pg_catalog", format="binary"
    )


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()


def _to_jsonb(value: Any) -> bytes:
    return b"\x01" + orjson.dumps(value)


def _from_jsonb(value: bytes) -> Any:
    return orjson.loads(value[1:])
