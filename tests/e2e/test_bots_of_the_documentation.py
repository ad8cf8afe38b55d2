"""The two bots of the documentation, one with Kafka and one without, run as they stand: each answers once."""

import asyncio
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from local_stack import free_ports
from sending_world import ORG, PERSON, Client, Sending, Serve, received
from wabus_events import MessageReceived
from wabus_runtime.settings import KafkaSettings, load
from wabus_subscriptions.app import create_app as subscriptions
from wabus_subscriptions.settings import SubscriptionsSettings
from waiting import Eventually

pytest_plugins = ["sending_world"]
pytestmark = pytest.mark.long

DOCS = Path(__file__).parents[2] / "docs"
ANSWER = "We have got your message."
LINES = 30


def bot(page: str) -> str:
    (found,) = (
        block.partition("```")[0] for block in (DOCS / page).read_text().split("```python\n")[1:] if ANSWER in block
    )
    assert len([line for line in found.splitlines() if line.strip()]) <= LINES
    return found


@asynccontextmanager
async def running(script: str, **environment: str) -> AsyncGenerator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", script, env={"PATH": "/usr/bin:/bin", **environment}, stdout=asyncio.subprocess.DEVNULL
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


def asking(sending: Sending, sender: Client) -> dict[str, str]:
    token = sending.bearer(ORG, "service")["Authorization"].removeprefix("Bearer ")
    return {"API": str(sender.make_url("/")), "TOKEN": token}


async def answered(sending: Sending, eventually: Eventually, *events: MessageReceived) -> None:
    """Each event is answered once, however often it was published."""

    async def all_are() -> bool:
        return len(await sending.sent()) >= len(events)

    await eventually(all_are)
    said = [(each["body"]["to"], each["body"]["text"]["body"]) for each in await sending.sent()]
    assert said == [(PERSON, ANSWER)] * len(events)


async def test_a_bot_with_kafka_answers_each_message_once(
    sending: Sending, sender: Client, topics: KafkaSettings, eventually: Eventually
) -> None:
    script = bot("subscribe.md")
    assert '"127.0.0.1:19092"' in script
    script = script.replace(
        '"127.0.0.1:19092"', f'"{topics.kafka_bootstrap_servers}", topic_prefix="{topics.topic_prefix}"'
    )
    script = script.replace('group="bot"', f'group="{topics.topic_prefix}bot"')
    first, second = received(PERSON), received(PERSON)
    async with running(script, **asking(sending, sender)):

        async def follows() -> bool:
            # "latest": what is published before it follows is not told to it.
            await sending.publisher.publish([first])
            return bool(await sending.sent())

        await eventually(follows)
        await sending.publisher.publish([first, second])
        await answered(sending, eventually, first, second)


async def test_a_bot_without_kafka_answers_each_message_once(
    sending: Sending, sender: Client, serve: Serve, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SUBSCRIPTIONS_PRIVATE_ADDRESSES", "true")
    platform = await serve(subscriptions(load(SubscriptionsSettings)))

    async def ready() -> bool:
        return (await platform.get("/readyz")).status == 200

    await eventually(ready)
    port = free_ports(1)[0]
    asked = {"url": f"http://127.0.0.1:{port}/wabus", "types": ["MessageReceived"]}
    async with platform.post("/subscriptions", json=asked, headers=sending.bearer(ORG)) as answer:
        assert answer.status == 201, await answer.text()
        secret = (await answer.json())["secret"]
    script = bot("webhooks.md")
    assert "port=8090" in script
    script = script.replace("port=8090", f"port={port}")
    first, second = received(PERSON), received(PERSON)
    async with running(script, SECRET=secret, **asking(sending, sender)):
        await sending.publisher.publish([first, first, second])
        await answered(sending, eventually, first, second)
