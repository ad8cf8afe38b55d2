"""How long and how often chaos is dealt, and waiting until everything is well again."""

import asyncio
import os
import time
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
from blows import Stores
from system import System

ROUNDS = int(os.environ.get("CHAOS_ROUNDS", "3"))
SEED = int(os.environ.get("CHAOS_SEED", "7"))
HEALED = 120.0  # seconds for everything to be well again after the last blow


async def healed(system: System, stores: Stores) -> None:
    async def unready() -> dict[str, str]:
        await stores.revive()
        return await system.unready()

    await within(HEALED, unready, {})


async def within(seconds: float, look: Callable[[], Awaitable[Any]], expected: object) -> None:
    """Wait until looking gives what is expected; otherwise show what it gave."""
    deadline = time.monotonic() + seconds
    seen: object = None
    while time.monotonic() < deadline:
        try:
            seen = await look()
        except (aiohttp.ClientError, AssertionError, OSError) as error:
            seen = error
        if seen == expected:
            return
        await asyncio.sleep(0.2)
    assert seen == expected
