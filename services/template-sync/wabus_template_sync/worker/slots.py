"""Places that are few: taken for a while, and given back while their holder only waits."""

import asyncio
from collections.abc import Sequence
from types import TracebackType


class Slot:
    """A place of a semaphore, as an async context manager. First come, first served."""

    def __init__(self, places: asyncio.Semaphore) -> None:
        self._places = places
        self._held = False

    async def __aenter__(self) -> "Slot":
        await self.take()
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None):
        self.leave()

    async def take(self) -> None:
        await self._places.acquire()
        self._held = True

    def leave(self) -> None:
        if self._held:
            self._held = False
            self._places.release()


async def back_off_outside(seconds: float, places: Sequence[Slot]) -> None:
    """Wait, leaving the places to others meanwhile. They are taken again in the order given."""
    for place in places:
        place.leave()
    await asyncio.sleep(seconds)
    for place in places:
        await place.take()
