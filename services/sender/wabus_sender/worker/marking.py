"""Tells Meta what was read, and that an answer is being written: once or twice is the same."""

import asyncio
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg

from wabus_sender.tables.people import read_marks
from wabus_sender.worker.calling import Calls

LOOK_EVERY = 0.3  # seconds
AGAIN_AFTER = timedelta(seconds=5)
AT_ONCE = 16


async def run(pool: asyncpg.Pool, partitions: Sequence[int], calls: Callable[[], Calls]) -> None:
    """Look after the read marks of these partitions until cancelled."""
    while True:
        now = datetime.now(UTC)
        marks = await read_marks.due(pool, partitions, now, now + AGAIN_AFTER, AT_ONCE)
        told = await asyncio.gather(*(calls().mark(mark) for mark in marks))
        if any(told):
            await read_marks.done(pool, [mark for mark, done in zip(marks, told, strict=True) if done])
        if len(marks) < AT_ONCE:
            await asyncio.sleep(LOOK_EVERY)
