"""Tells Meta whom a number blocks, or no more: twice is the same as once."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import asyncpg
from wabus_events import BlockRefused, ContactBlocked, ContactUnblocked, Event, fact_id
from wabus_runtime.kafka.publisher import Publisher

from wabus_sender.sending.answers import CALLS_LIMITED, Again, Refused
from wabus_sender.sending.people.blocking import Done, decided
from wabus_sender.tables.people import blocks
from wabus_sender.tables.people.blocks import Wanted
from wabus_sender.worker.calling import Calls
from wabus_sender.worker.telling import tell

LOOK_EVERY = 0.3  # seconds
AGAIN_AFTER = timedelta(seconds=5)
AT_ONCE = 16


async def run(
    pool: asyncpg.Pool,
    publisher: Publisher,
    partitions: Sequence[int],
    calls: Callable[[], Calls],
    stand_still: Callable[[str, Again], Awaitable[None]],
) -> None:
    """Look after what is asked for in these partitions until cancelled.

    Where Meta refuses calls of a number, whatever they are for, let it `stand_still`.
    """
    while True:
        now = datetime.now(UTC)
        wanted = await blocks.due(pool, partitions, now, now + AGAIN_AFTER, AT_ONCE)
        outcomes = await asyncio.gather(*(calls().block(each) for each in wanted))
        for each, outcome in zip(wanted, outcomes, strict=True):
            if isinstance(outcome, Again) and outcome.reason == CALLS_LIMITED:
                await stand_still(each.phone_number_id, outcome)
                await blocks.uncount(pool, each.request_id)
        found = [
            event
            for each, outcome in zip(wanted, outcomes, strict=True)
            if (event := event_of(each, decided(outcome, each.attempts), datetime.now(UTC)))
        ]
        if found:
            await tell(publisher, found)
        if len(wanted) < AT_ONCE:
            await asyncio.sleep(LOOK_EVERY)


def event_of(wanted: Wanted, outcome: Done | Refused | Again, now: datetime) -> Event | None:
    """What is told of an outcome; nothing of what is tried again."""
    about: dict[str, Any] = {
        "time": now,
        "org_id": wanted.org_id,
        "waba_id": wanted.waba_id,
        "phone_number_id": wanted.phone_number_id,
        "request_id": wanted.request_id,
        "wa_id": wanted.wa_id,
        "user_id": wanted.user_id,
    }
    match outcome:
        case Done():
            kind = ContactBlocked if wanted.blocks else ContactUnblocked
            return kind(id=fact_id(kind.type, wanted.request_id), **about)
        case Refused():
            return BlockRefused(
                id=fact_id(BlockRefused.type, wanted.request_id),
                blocks=wanted.blocks,
                code=outcome.code,
                error_code=outcome.error_code,
                **about,
            )
        case Again():
            return None
