"""Tells Meta what was read, and that an answer is being written: once or twice is the same."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta

import asyncpg

from wabus_sender.sending.answers import CALLS_LIMITED, Again
from wabus_sender.tables.people import read_marks
from wabus_sender.worker.calling import Calls

LOOK_EVERY = 0.3  # seconds
AGAIN_AFTER = timedelta(seconds=5)
AT_ONCE = 16


async def run(
    pool: asyncpg.Pool,
    partitions: Sequence[int],
    calls: Callable[[], Calls],
    stand_still: Callable[[str, Again], Awaitable[None]],
) -> None:
    """Look after the read marks of these partitions until cancelled.

    Where Meta refuses calls of a number, whatever they are for, let it `stand_still`.
    """
    while True:
        now = datetime.now(UTC)
        marks = await read_marks.due(pool, partitions, now, now + AGAIN_AFTER, AT_ONCE)
        outcomes = await asyncio.gather(*(calls().mark(mark) for mark in marks))
        told = [*zip(marks, outcomes, strict=True)]
        await read_marks.done(pool, [mark for mark, again in told if again is None])
        for mark, again in told:
            if again and again.reason == CALLS_LIMITED:
                await stand_still(mark.phone_number_id, again)
        if len(marks) < AT_ONCE:
            await asyncio.sleep(LOOK_EVERY)
