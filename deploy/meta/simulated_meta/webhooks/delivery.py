"""Sends webhooks as Meta does: signed, at least once, with growing delays while the answer is not 200."""

import asyncio
import time
import uuid
from collections import deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

import aiohttp

from simulated_meta.state import World
from simulated_meta.webhooks.wire import OVERRIDABLE_FIELDS, encode, sign

# Seconds between attempts. "Webhooks" (WhatsApp Business Platform): the delays grow, and it gives up after 7 days.
DELAYS = (1, 2, 5, 10, 30, 60, 300, 900, 3600, *([4 * 3600] * 41))
ATTEMPT_TIMEOUT = 10.0  # seconds
CONCURRENT = 16
QUEUE_MAX = 20_000  # deliveries that wait or are to be tried again
KEPT = 1000  # deliveries listed


@dataclass(frozen=True)
class Way:
    """How the service under test is reached where its public address does not lead to it, as from a container."""

    public_url: str = ""
    through: str = ""

    def to(self, url: str) -> str:
        """The address to call for a URL. Pure."""
        beyond = url.removeprefix(self.public_url)
        if not self.through or beyond == url or beyond[:1] not in ("", "/", "?"):
            return url
        return self.through + beyond


class QueueFull(Exception):
    """More webhooks wait than the sender keeps."""


@dataclass
class Attempt:
    at: float
    milliseconds: int
    status: int | None = None
    error: str | None = None


@dataclass
class Delivery:
    id: str
    url: str
    fields: list[str]
    state: Literal["waiting", "retrying", "delivered", "failed"] = "waiting"
    attempts: list[Attempt] = field(default_factory=list[Attempt])

    def as_json(self) -> dict[str, Any]:
        return asdict(self)


def target_of(world: World, waba_id: str, field_name: str) -> str | None:
    """Where a change goes: the WABA's alternate callback for message-type fields, else the app's own callback."""
    waba = world.wabas.get(waba_id)
    subscription = waba.subscribed_apps.get(world.app_id) if waba else None
    if field_name in OVERRIDABLE_FIELDS and subscription and subscription.override_callback_uri:
        return subscription.override_callback_uri
    return world.callback_url


class Sender:
    """A bounded set of deliveries under way. `delay_scale` 0.01 makes a test's retries a hundred times faster."""

    def __init__(self, session: aiohttp.ClientSession, delay_scale: float = 1.0, way: "Way | None" = None) -> None:
        self.delay_scale = delay_scale
        self.recent: deque[Delivery] = deque(maxlen=KEPT)
        self._session = session
        self._way = way or Way()
        self._slots = asyncio.Semaphore(CONCURRENT)
        self._tasks: set[asyncio.Task[None]] = set()

    def send(
        self, url: str, payload: dict[str, Any], fields: Sequence[str], secret: str
    ) -> "tuple[Delivery, asyncio.Event]":
        """Queue one webhook; the event is set once its first attempt has ended. Raises QueueFull."""
        if len(self._tasks) >= QUEUE_MAX:
            raise QueueFull
        body = encode(payload)
        delivery = Delivery(uuid.uuid4().hex, url, list(fields))
        self.recent.append(delivery)
        tried = asyncio.Event()
        task = asyncio.create_task(self._deliver(delivery, body, sign(body, secret), tried))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return delivery, tried

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _deliver(self, delivery: Delivery, body: bytes, signature: str, tried: asyncio.Event) -> None:
        for delay in (*DELAYS, None):
            async with self._slots:
                attempt = await self._attempt(delivery.url, body, signature)
            delivery.attempts.append(attempt)
            if attempt.status == 200:
                delivery.state = "delivered"
            else:
                delivery.state = "retrying" if delay is not None else "failed"
            tried.set()
            if delivery.state != "retrying":
                return
            await asyncio.sleep((delay or 0) * self.delay_scale)

    async def _attempt(self, url: str, body: bytes, signature: str) -> Attempt:
        started = time.monotonic()
        status = error = None
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "facebookexternalua",
            "X-Hub-Signature-256": signature,
        }
        try:
            async with self._session.post(
                self._way.to(url),
                data=body,
                headers=headers,
                timeout=aiohttp.ClientTimeout(total=ATTEMPT_TIMEOUT),
                allow_redirects=False,
            ) as response:
                await response.read()
                status = response.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as failure:
            error = type(failure).__name__
        return Attempt(time.time(), round((time.monotonic() - started) * 1000), status, error)


async def handshake(session: aiohttp.ClientSession, url: str, verify_token: str) -> str | None:
    """Meta's verification request of a callback URL; None when it answered as it must, else what was wrong.

    Source: "Create a webhook endpoint" (WhatsApp Business Platform), Verification requests.
    """
    challenge = str(uuid.uuid4().int % 10**10)
    query = {"hub.mode": "subscribe", "hub.verify_token": verify_token, "hub.challenge": challenge}
    try:
        async with session.get(
            url,
            params=query,
            headers={"User-Agent": "facebookplatform/1.0"},
            timeout=aiohttp.ClientTimeout(total=ATTEMPT_TIMEOUT),
            allow_redirects=False,
        ) as response:
            text = (await response.content.read(4096)).decode(errors="replace")
            if response.status != 200:
                return f"HTTP Status Code = {response.status}; HTTP Message = {response.reason}"
    except (aiohttp.ClientError, TimeoutError, ValueError) as failure:
        return f"cURL error: {type(failure).__name__}"
    return None if text == challenge else "Response does not match challenge"
