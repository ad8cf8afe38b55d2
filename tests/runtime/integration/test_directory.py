"""The directory on a real Kafka."""

import asyncio
from datetime import UTC, datetime

from wabus_events import AccountConnected, WebhookSeen
from wabus_runtime.directory.directory import Directory
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.settings import KafkaSettings

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)


async def test_who_connects_now_is_known_when_asked_for(topics: KafkaSettings, publisher: Publisher) -> None:
    await publisher.publish([AccountConnected(id="1", time=NOW, org_id="shop", waba_id="w1")])
    directory = Directory(topics)
    following = asyncio.create_task(directory.run(lambda: None))
    try:
        await directory.whole(60)
        before = directory.owner("w1", NOW), directory.owner("w2", NOW)
        seen = WebhookSeen(id="2", time=NOW, org_id="shop", waba_id="w1", day=NOW.date(), field="messages")
        await publisher.publish([seen, AccountConnected(id="3", time=NOW, org_id="shop", waba_id="w2")])
        await directory.refresh()
    finally:
        following.cancel()
        await asyncio.wait([following])

    assert before == ("shop", None)
    assert directory.owner("w2", NOW) == "shop"
    assert directory.knows("w2", "shop")
    assert directory.account("w1")
