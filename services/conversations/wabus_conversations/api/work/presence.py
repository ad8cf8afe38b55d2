"""Agents who have the feed open are there: written down at once, renewed meanwhile, and gone with the process."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from uuid import uuid4

import structlog
from wabus_runtime.http.auth import Caller
from wabus_runtime.postgres.database import DATABASE_AWAY
from wabus_runtime.postgres.read_replica import Reads

from wabus_conversations.tables.work import presence
from wabus_conversations.tables.work.presence import Who

RENEW_EVERY = 15.0  # seconds
LEASE = timedelta(seconds=45)  # after which nobody is there whose process says nothing

log = structlog.get_logger()


class Presence:
    """Who has the feed open at this process."""

    def __init__(self, reads: Callable[[], Reads]) -> None:
        self._reads = reads
        self._process = str(uuid4())
        self._open = Counter[Who]()
        self._written = set[Who]()
        self._changed = asyncio.Event()

    @asynccontextmanager
    async def here(self, caller: Caller) -> AsyncGenerator[None]:
        """Somebody has it open; of those who answer customers rules have to know."""
        if caller.role != "agent" or caller.subject is None:
            yield
            return
        who = caller.org_id, caller.subject
        self._open[who] += 1
        self._changed.set()
        try:
            yield
        finally:
            self._open[who] -= 1
            if self._open[who] <= 0:
                del self._open[who]
            self._changed.set()

    async def run(self, ready: Callable[[], None]) -> None:
        """Write it down for ever; a database that is away finds all of them when it is back."""
        ready()
        try:
            while True:
                self._changed.clear()
                try:
                    await self._write()
                except DATABASE_AWAY:
                    log.info("who is there is not written down", action="presence_unwritten", count=len(self._open))
                    await asyncio.sleep(1.0)
                    continue
                with suppress(TimeoutError):
                    async with asyncio.timeout(RENEW_EVERY):
                        await self._changed.wait()
        finally:
            with suppress(*DATABASE_AWAY):
                await presence.leave(self._reads().primary, self._process, self._written)

    async def _write(self) -> None:
        here = set(self._open)
        await presence.keep(self._reads().primary, self._process, here, LEASE)
        await presence.leave(self._reads().primary, self._process, self._written - here)
        self._written = here
