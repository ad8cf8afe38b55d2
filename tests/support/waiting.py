"""Waiting for a condition instead of sleeping."""

import asyncio
from collections.abc import Awaitable, Callable

WAIT = 120.0  # seconds until a condition that should hold counts as a failure, on a machine that others keep busy

Eventually = Callable[[Callable[[], Awaitable[object]]], Awaitable[object]]
"""What the fixture `eventually` gives."""


async def wait_until(condition: Callable[[], Awaitable[object]]) -> object:
    """Wait until an async callable returns something true, and return that; what it last raised or gave is shown."""
    deadline = asyncio.get_running_loop().time() + WAIT
    last: object = None
    while asyncio.get_running_loop().time() < deadline:
        try:
            last = await condition()
        except AssertionError as error:
            last = error
        if last and not isinstance(last, AssertionError):
            return last
        await asyncio.sleep(0.05)
    raise AssertionError(f"did not happen within {WAIT} s; last seen: {last!r}")
