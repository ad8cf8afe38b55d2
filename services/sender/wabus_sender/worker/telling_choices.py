"""Tells the log of what people have chosen by a word; once or twice is the same."""

import asyncio
from collections.abc import Callable

import asyncpg
import structlog
from wabus_events import Event, OptedIn, OptedOut
from wabus_runtime.kafka.clients import KafkaUnavailable
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.observe.liveness import watched

from wabus_sender.tables.people import opt_outs
from wabus_sender.tables.people.opt_outs import Untold

LOOK_EVERY = 1.0  # seconds
AT_ONCE = 100

log = structlog.get_logger()


async def run(pool: asyncpg.Pool, publisher: Publisher, ready: Callable[[], None]) -> None:
    """For ever, as one of any number of workers."""
    with watched("sender choices") as beat:
        ready()
        while True:
            beat()
            if await tell_some(pool, publisher) < AT_ONCE:
                await asyncio.sleep(LOOK_EVERY)


async def tell_some(pool: asyncpg.Pool, publisher: Publisher) -> int:
    """Tell of some choices, if Kafka takes them; how many."""
    try:
        async with pool.acquire() as connection, connection.transaction():
            untold = await opt_outs.take_untold(connection, AT_ONCE)
            await publisher.publish([event_of(each) for each in untold])
            return len(untold)
    except KafkaUnavailable as error:
        log.warning("choices are not told yet", action="choices_wait", error=type(error).__name__)
        return 0


def event_of(told: Untold) -> Event:
    """What is told of a choice."""
    kind = OptedOut if told.opted_out else OptedIn
    return kind(
        id=told.event_id,
        time=told.at,
        org_id=told.org_id,
        waba_id=told.waba_id,
        phone_number_id=told.phone_number_id,
        wa_id=told.wa_id,
        user_id=told.user_id,
        by="keyword",
        wamid=told.wamid,
    )
