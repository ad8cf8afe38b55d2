"""From when on messages are counted: what was accepted before has been counted, and its row is gone.

Who folds reads it under a shared lock, who moves it has the lock alone: so nothing is counted by a row that is deleted
meanwhile, and nothing twice.
"""

from datetime import UTC, datetime

from wabus_runtime.postgres.database import Connection

_LOCK = 0x776162696E  # "wabin": tells it from others' advisory locks

BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


async def read(connection: Connection) -> datetime:
    """From when on messages are counted; nobody moves it until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock_shared($1)", _LOCK)
    return await held(connection)


async def held(connection: Connection) -> datetime:
    """The same, for who has the lock."""
    return await connection.fetchval("SELECT at FROM counted_since") or BEGINNING


async def lock(connection: Connection) -> None:
    """Let nobody fold until the transaction ends."""
    await connection.execute("SELECT pg_advisory_xact_lock($1)", _LOCK)


async def move(connection: Connection, at: datetime) -> None:
    """Set it, once the lock is there."""
    await connection.execute(
        "INSERT INTO counted_since (at) VALUES ($1) ON CONFLICT (one_row) DO UPDATE SET at = excluded.at", at
    )
