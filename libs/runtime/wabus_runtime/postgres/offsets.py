"""How far a projection has come in each partition, and waiting for it: read your own writes."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Mapping
from contextlib import aclosing, suppress

import asyncpg

from wabus_runtime.postgres.database import Connection, listening

LOOK_AGAIN = 1.0  # seconds; a wait outlives a lost notification by looking without being woken
LOOK_PAUSE = 0.005  # seconds between two looks, so that a busy projection is not asked after each of its transactions

Offsets = Mapping[tuple[str, int], int]
"""By topic (without prefix) and partition, the offset after the last record that is, or must be, in the tables."""


class NotCaughtUp(Exception):
    """The tables did not get in time to the offsets without which their reader can't go on."""


def beside(name: str) -> str:
    """The name under which counts what changes in a projection's tables beside its log, such as what people decide."""
    return f"{name}-beside"


async def offsets(connection: asyncpg.Pool | Connection, *names: str) -> dict[tuple[str, int], int]:
    """How far projections have got in each partition, no partition being of two of them."""
    rows = await connection.fetch(
        "SELECT topic, partition, next_offset FROM projection_offsets WHERE projection = ANY($1)", names
    )
    return {(row["topic"], row["partition"]): row["next_offset"] for row in rows}


def has_reached(found: Offsets, wanted: Offsets) -> bool:
    """Whether tables at the offsets `found` hold all that those at `wanted` do. Pure."""
    return all(found.get(place, 0) >= offset for place, offset in wanted.items())


async def wait_for(pool: asyncpg.Pool, name: str, wanted: Offsets, timeout: float) -> bool:
    """Whether the projection reaches all these offsets within `timeout` seconds; takes a connection for itself."""
    with suppress(TimeoutError):
        async with asyncio.timeout(timeout), aclosing(_looks(pool, name)) as looks:
            async for found in looks:
                if has_reached(found, wanted):
                    return True
    return False


class ProjectionOffsets:
    """How far a projection is: one connection a process, however many wait. What was reached once stays reached."""

    def __init__(self, pool: asyncpg.Pool, name: str) -> None:
        self._pool = pool
        self._name = name
        self._offsets: Offsets = {}
        self._looked = asyncio.Event()

    async def run(self, ready: Callable[[], None]) -> None:
        """Follow the projection for ever; raises when the connection is lost."""
        async with aclosing(_looks(self._pool, self._name)) as looks:
            async for self._offsets in looks:
                looked, self._looked = self._looked, asyncio.Event()
                looked.set()
                ready()

    async def wait_for(self, wanted: Offsets, timeout: float) -> bool:
        """Whether the tables get there within `timeout` seconds."""
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                while not has_reached(self._offsets, wanted):
                    await self._looked.wait()
                return True
        return False


def channel(name: str) -> str:
    """The NOTIFY channel on which a projection tells of every transaction."""
    return "projection_" + name.replace("-", "_")


async def _looks(pool: asyncpg.Pool, name: str) -> AsyncGenerator[Offsets]:
    """The offsets now, and again whenever they may have moved."""
    moved = asyncio.Event()
    async with listening(pool, channel(name), lambda *_: moved.set()) as connection:
        while True:
            moved.clear()
            yield await offsets(connection, name)
            await asyncio.sleep(LOOK_PAUSE)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN):
                    await moved.wait()
