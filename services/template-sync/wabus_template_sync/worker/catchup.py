"""Waiting until the tables hold what was published: one LISTEN connection a process, however many wait."""

import asyncio
from collections.abc import Callable, Mapping

import asyncpg
from wabus_runtime.postgres.offsets import channel, offsets

LOOK_AGAIN = 1.0  # seconds; a wait outlives a lost notification by looking without being woken
BREATH = 0.005  # seconds between two looks, so that a busy projection is not asked after each of its transactions

Positions = Mapping[tuple[str, int], int]
"""By topic and partition, the offset after the last record that must be in the tables."""


class CatchUp:
    """How far a projection is; what was reached once stays reached."""

    def __init__(self, pool: asyncpg.Pool, projection: str) -> None:
        self._pool = pool
        self._projection = projection
        self._offsets: dict[tuple[str, int], int] = {}
        self._moved = asyncio.Event()
        self._looked = asyncio.Event()

    async def run(self, ready: Callable[[], None]) -> None:
        """Follow the projection for ever; raises when the connection is lost."""
        async with self._pool.acquire() as connection:
            await connection.add_listener(channel(self._projection), self._wake)
            try:
                while True:
                    self._moved.clear()
                    self._offsets = await offsets(connection, self._projection)
                    looked, self._looked = self._looked, asyncio.Event()
                    looked.set()
                    ready()
                    await asyncio.sleep(BREATH)
                    try:
                        async with asyncio.timeout(LOOK_AGAIN):
                            await self._moved.wait()
                    except TimeoutError:
                        continue
            finally:
                await connection.remove_listener(channel(self._projection), self._wake)

    async def until(self, positions: Positions, timeout: float) -> bool:
        """Whether the tables get there within `timeout` seconds."""
        try:
            async with asyncio.timeout(timeout):
                while not all(self._offsets.get(place, 0) >= offset for place, offset in positions.items()):
                    await self._looked.wait()
        except TimeoutError:
            return False
        return True

    def _wake(self, *_: object) -> None:
        self._moved.set()
