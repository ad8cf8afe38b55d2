"""How far a projection has come in each partition, and waiting for it: read your own writes."""

import asyncio
from collections.abc import Mapping

import asyncpg

from wabus_runtime.postgres.database import Connection


async def offsets(connection: asyncpg.Pool | Connection, name: str) -> dict[tuple[str, int], int]:
    """How far a projection has got in each partition."""
    rows = await connection.fetch(
        "SELECT topic, partition, next_offset FROM projection_offsets WHERE projection = $1", name
    )
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


async def wait_for(pool: asyncpg.Pool, name: str, positions: Mapping[tuple[str, int], int], timeout: float) -> bool:
    """Whether the projection reaches all the next offsets within `timeout` seconds: read your own writes.

    `positions` maps (topic, partition) to the offset after the last record that must be in the tables.
    """
    moved = asyncio.Event()

    def notified(*_: object) -> None:
        moved.set()

    try:
        async with asyncio.timeout(timeout), pool.acquire() as connection:
            await connection.add_listener(channel(name), notified)
            try:
                while not await _reached(connection, name, positions):
                    await moved.wait()
                    moved.clear()
            finally:
                await connection.remove_listener(channel(name), notified)
    except TimeoutError:
        return False
    return True


def channel(name: str) -> str:
    """The NOTIFY channel on which a projection tells of every transaction."""
    return "projection_" + name.replace("-", "_")


async def _reached(connection: Connection, name: str, positions: Mapping[tuple[str, int], int]) -> bool:
    found = await offsets(connection, name)
    return all(found.get(place, 0) >= offset for place, offset in positions.items())
