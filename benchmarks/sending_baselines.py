"""What calls the same simulated Meta without promising anything: a bare loop, pywa, and a job of procrastinate.

procrastinate and psycopg are no dependencies of this project: `pip install procrastinate "psycopg[binary,pool]"` brings
them, and without them its rows are left out.
"""

import asyncio
import importlib.util
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from typing import Any

import aiohttp
import httpx
from pywa_async.client import WhatsApp
from sending_meta import Meta

Json = dict[str, Any]

QUEUE = "sends"


def has_procrastinate() -> bool:
    return all(importlib.util.find_spec(name) for name in ("procrastinate", "psycopg"))


def message(to: str, text: str = "Your order is on its way.") -> Json:
    return {
        "messaging_product": "whatsapp",
        "recipient_type": "individual",
        "to": to,
        "type": "text",
        "text": {"body": text},
    }


def person(number: int) -> str:
    """Somebody's number; each is written to once, so that no pair is too fast."""
    return f"49151{number:08d}"


async def bare(meta: Meta, count: int, concurrency: int) -> float:
    """Calls a second of a loop that does nothing but call."""
    connector = aiohttp.TCPConnector(limit=concurrency)
    async with aiohttp.ClientSession(connector=connector) as http:

        async def call(number: int) -> None:
            url = f"{meta.url}/v23.0/{meta.numbers[number % len(meta.numbers)]}/messages"
            body = message(person(number)) | {"biz_opaque_callback_data": f"b{number}"}
            async with http.post(url, json=body, headers={"Authorization": f"Bearer {meta.token}"}) as answer:
                content = await answer.json()
                if "messages" not in content:
                    raise RuntimeError(str(content["error"]["code"]))

        return await rate_of(call, count, concurrency)


async def pywa(meta: Meta, count: int, concurrency: int) -> float:
    """Calls a second by pywa's client."""
    async with AsyncExitStack() as stack:
        clients: list[WhatsApp] = []
        for number in meta.numbers:
            limits = httpx.Limits(max_connections=concurrency, max_keepalive_connections=concurrency)
            session = await stack.enter_async_context(httpx.AsyncClient(limits=limits, timeout=60))
            clients.append(WhatsApp(phone_id=number, token=meta.token, session=session, server=None))
            session.base_url = f"{meta.url}/v23.0"

        async def call(number: int) -> None:
            client = clients[number % len(clients)]
            await client.send_message(to=person(number), text="Your order is on its way.", tracker=f"p{number}")

        return await rate_of(call, count, concurrency)


async def rate_of(call: Callable[[int], Awaitable[None]], count: int, concurrency: int) -> float:
    numbers = iter(range(count))
    begun = time.perf_counter()

    async def lane() -> None:
        for number in numbers:
            await call(number)

    await asyncio.gather(*(lane() for _ in range(concurrency)))
    return count / (time.perf_counter() - begun)
