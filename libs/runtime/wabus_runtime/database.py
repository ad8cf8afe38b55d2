"""PostgreSQL: a pool that speaks JSON, and each package's own migrations under one advisory lock."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import asyncpg.pool
import orjson
import sqlalchemy
import stamina
import structlog
from alembic import command
from alembic.config import Config
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from wabus_runtime.settings import DatabaseSettings

CONNECT_TIMEOUT = 10  # seconds
COMMAND_TIMEOUT = 30  # seconds
MIGRATION_LOCK = 0x7761627573  # "wabus"

log = structlog.get_logger()

Connection = asyncpg.Connection | asyncpg.pool.PoolConnectionProxy
"""What a query runs on: a connection of its own, or one lent by a pool."""

DATABASE_AWAY = (
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
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

    With a `schema` its statements see the tables there and no others.
    """
    async for attempt in stamina.retry_context(on=DATABASE_AWAY, attempts=None, timeout=30, wait_max=2):
        with attempt:
            return await asyncpg.create_pool(
                settings.database_url.get_secret_value(),
                min_size=1,
                max_size=settings.database_pool_size,
                timeout=CONNECT_TIMEOUT,
                command_timeout=COMMAND_TIMEOUT,
                init=_speak_json,
                server_settings={"search_path": schema} if schema else None,
            )
    raise AssertionError("unreachable")


@asynccontextmanager
async def migrated_pool(settings: DatabaseSettings, package: str) -> AsyncGenerator[asyncpg.Pool]:
    """A pool on a database that has the runtime's and the package's migrations."""
    pool = await open_pool(settings)
    try:
        await migrate(settings, package)
        yield pool
    finally:
        try:
            async with asyncio.timeout(5):
                await pool.close()
        except TimeoutError:
            pool.terminate()


async def migrate(settings: DatabaseSettings, package: str, schema: str | None = None) -> None:
    """Bring the tables of the runtime and of `package` to their newest version; safe from any number of processes.

    With a `schema`, which must exist, the same tables beside the others.
    """
    url = settings.database_url.get_secret_value()
    engine = create_async_engine(
        "postgresql+asyncpg" + url[url.index(":") :],
        poolclass=NullPool,
        connect_args={
            "timeout": CONNECT_TIMEOUT,
            "server_settings": {"search_path": schema} if schema else {},
        },
    )
    try:
        async with engine.connect() as connection:
            await connection.execute(sqlalchemy.text(f"SELECT pg_advisory_lock({MIGRATION_LOCK})"))
            await connection.commit()
            for owner in ("wabus_runtime", package):
                await connection.run_sync(_upgrade, owner)
                await connection.commit()
    finally:
        await engine.dispose()


def _upgrade(connection: sqlalchemy.Connection, package: str) -> None:
    versions = Path(str(import_module(package).__file__)).parent / "migrations" / "versions"
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.set_main_option("version_locations", str(versions))
    config.set_main_option("path_separator", "newline")
    config.attributes["connection"] = connection
    config.attributes["version_table"] = f"{package}_migrations"
    command.upgrade(config, "head")


def database_name(settings: DatabaseSettings) -> str:
    """Where the database is, without who may enter it: for messages to people."""
    parts = urlsplit(settings.database_url.get_secret_value())
    return f"{parts.hostname}:{parts.port or 5432}{parts.path}"


async def _speak_json(connection: Any) -> None:
    for kind in ("json", "jsonb"):
        await connection.set_type_codec(kind, encoder=_to_json, decoder=orjson.loads, schema="pg_catalog")


def _to_json(value: Any) -> str:
    return orjson.dumps(value).decode()
