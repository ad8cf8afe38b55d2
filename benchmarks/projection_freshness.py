"""How long after the gateway has accepted a webhook its row can be read, at a fixed rate of webhooks."""

import asyncio
import hashlib
import hmac
import json
import os
import time
from datetime import UTC, datetime
from uuid import UUID

import aiohttp
import asyncpg
from stack import ready, report
from wabus_events import MessageReceived, fact_id
from wabus_runtime.postgres.offsets import channel

WARM_UP = 5.0  # seconds
VISIBLE_WITHIN = 30.0  # seconds


class Reader:
    """Looks for the rows of accepted webhooks each time that the projection tells of a transaction."""

    def __init__(self, database: asyncpg.Connection) -> None:
        self._database = database
        self._accepted: dict[UUID, float] = {}
        self._told = asyncio.Event()
        self.took: list[float] = []
        self.all_seen = asyncio.Event()

    def accepted(self, event_id: UUID, at: float) -> None:
        self._accepted[event_id] = at
        self.all_seen.clear()

    async def run(self) -> None:
        await self._database.add_listener(channel("health-projector"), self._hear)
        while True:
            await self._told.wait()
            self._told.clear()
            await self.look()

    def _hear(self, *_: object) -> None:
        self._told.set()

    async def look(self) -> None:
        rows = await self._database.fetch(
            "SELECT event_id FROM counted_messages WHERE event_id = ANY($1) AND day >= current_date - 1",
            list(self._accepted),
        )
        now = time.perf_counter()
        self.took.extend(now - self._accepted.pop(row["event_id"]) for row in rows)
        if not self._accepted:
            self.all_seen.set()


def webhook(number: int, sent_at: int) -> tuple[bytes, UUID]:
    """A message webhook, and the id of its event."""
    contact, wamid = f"1650555{number % 10_000:04d}", f"wamid.fresh.{sent_at}.{number}"
    message = {"from": contact, "id": wamid, "timestamp": str(sent_at), "type": "text", "text": {"body": "Hello " * 20}}
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": str(number % 50)},
        "contacts": [{"profile": {"name": "Sheena Nelson"}, "wa_id": contact}],
        "messages": [message],
    }
    entry = {"id": str(number % 100), "changes": [{"value": value, "field": "messages"}]}
    body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
    return body, UUID(fact_id(MessageReceived.type, wamid))


async def freshness(gateway: str, rate: float, seconds: float) -> None:
    """Post signed webhooks at fixed times, whatever the answers do, and print how they fared."""
    database = await asyncpg.connect(os.environ["DATABASE_URL"])
    reader, clock = Reader(database), time.perf_counter
    answered: list[float] = []
    refused = 0
    secret = os.environ["META_APP_SECRETS"].encode()

    async def post(session: aiohttp.ClientSession, number: int, due: float, counts: bool) -> None:
        nonlocal refused
        body, event_id = webhook(number, int(datetime.now(UTC).timestamp()))
        signature = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
        async with session.post(
            f"{gateway}/webhooks/whatsapp", data=body, headers={"X-Hub-Signature-256": signature}
        ) as answer:
            at = clock()
            if answer.status != 200:
                refused += 1
            elif counts:
                answered.append(at - due)
                reader.accepted(event_id, at)

    looking = asyncio.create_task(reader.run())
    try:
        async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=256)) as session:
            await ready(gateway)
            begun, posts = clock(), set[asyncio.Task[None]]()
            for number in range(int(rate * (WARM_UP + seconds))):
                due = begun + number / rate
                await asyncio.sleep(max(0.0, due - clock()))
                task = asyncio.create_task(post(session, number, due, due - begun >= WARM_UP))
                posts.add(task)
                task.add_done_callback(posts.discard)
            await asyncio.gather(*posts)
        async with asyncio.timeout(VISIBLE_WITHIN):
            await reader.all_seen.wait()
    finally:
        looking.cancel()
        await database.close()
    print(f"freshness at {rate:.0f} webhooks a second: {len(reader.took):,} accepted, {refused} refused")
    report("due -> answered 200", answered)
    report("answered 200 -> row visible", reader.took)
