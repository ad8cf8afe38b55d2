"""Looking at something for those who follow it: when it has changed or may have, and now and then all the same."""

import asyncio
import random
from collections.abc import Awaitable, Callable
from contextlib import suppress

import structlog

from wabus_runtime.postgres.database import DATABASE_AWAY

TRY_AGAIN = (0.5, 1.5)  # seconds, at random between these, until what failed is tried again

log = structlog.get_logger()


class Looking:
    """Who looks, and is told by `look` that there may be something to see."""

    def __init__(self, what: str) -> None:
        """`what` is looked at, in the words of a log."""
        self._what = what
        self._stale = asyncio.Event()

    def look(self) -> None:
        """It has changed, or may have."""
        self._stale.set()

    async def run(self, look: Callable[[], Awaitable[None]], every: Callable[[], float], *, pause: float) -> None:
        """Look for ever: `pause` seconds after the last time at the soonest, `every()` seconds more at the latest.

        What goes wrong is logged and tried again: those who follow keep what they have, and miss nothing by it.
        """
        while True:
            self._stale.clear()
            try:
                await look()
            except Exception as error:
                log.warning(
                    "what somebody follows could not be read",
                    action="feed_read_failed",
                    what=self._what,
                    error=type(error).__name__,
                    exc_info=not isinstance(error, (TimeoutError, *DATABASE_AWAY)),
                )
                await asyncio.sleep(random.uniform(*TRY_AGAIN))  # noqa: S311
                continue
            await asyncio.sleep(pause)
            with suppress(TimeoutError):
                async with asyncio.timeout(every()):
                    await self._stale.wait()
