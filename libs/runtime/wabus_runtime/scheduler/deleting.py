"""Deletes what is past its time, now and then and a little at a time, so that nobody waits long for it."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime

from wabus_runtime.observe.liveness import watched

BEAT_WITHIN = 60.0  # seconds that one step of a pass may take at least, before it counts as stuck


async def look_after(
    name: str,
    every: float,
    look: Callable[[datetime, Callable[[], None]], Awaitable[None]],
    ready: Callable[[], None],
) -> None:
    """Call `look` with the time and a beat for ever, with up to `every` seconds between two passes.

    Any number of workers may do so: each pause is cut by up to a fifth at random, so that they do not meet. `name` is
    what `/healthz` calls it.
    """
    with watched(name, max(BEAT_WITHIN, every * 2)) as beat:
        ready()
        while True:
            beat()
            await look(datetime.now(UTC), beat)
            await asyncio.sleep(every * random.uniform(0.8, 1))  # noqa: S311


async def delete_all(delete: Callable[[], Awaitable[int]], beat: Callable[[], None], pause: float) -> None:
    """Call `delete`, which says how many it has deleted, until none is left, with `pause` seconds between two calls.

    `beat` is called after each that has deleted some.
    """
    while await delete():
        beat()
        await asyncio.sleep(pause)
