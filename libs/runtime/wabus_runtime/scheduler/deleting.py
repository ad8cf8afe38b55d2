"""Deletes a little at a time, so that nobody waits long for what is deleted."""

import asyncio
from collections.abc import Awaitable, Callable


async def delete_all(delete: Callable[[], Awaitable[int]], beat: Callable[[], None], pause: float) -> None:
    """Call `delete`, which says how many it has deleted, until none is left, with `pause` seconds between two calls.

    `beat` is called after each that has deleted some.
    """
    while await delete():
        beat()
        await asyncio.sleep(pause)
