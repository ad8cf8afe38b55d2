"""Traffic as Meta and readers make it, through a balancer that knows which process is being restarted."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import aiohttp
from system import System
from webhooks import conversation, encoded, signed, status, text, webhook

GATEWAY = "wabus_gateway"


@dataclass
class Traffic:
    """Delivers as Meta does: several at once, in any order, again until it is taken, sometimes twice or forged."""

    system: System
    dice: random.Random
    acknowledged: set[str] = field(default_factory=set[str])
    """The ids in webhooks that were answered with 200."""
    refused: set[str] = field(default_factory=set[str])
    """The ids in webhooks that must have been refused."""
    answers: Counter[int] = field(default_factory=Counter[int])
    """How often each status was answered to what was in order; 0 stands for no answer."""
    out_of_rotation: str | None = None
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def deliver(self, lane: int) -> None:
        moment, number = str(int(time.time())), 0
        while not self.stop.is_set():
            number += 1
            webhooks = [self._webhook(f"wamid.{lane}.{number}.{part}", part, moment) for part in range(3)]
            self.dice.shuffle(webhooks)
            for wamids, payload in webhooks:
                while await self._post(payload) != 200:  # noqa: ASYNC110 - until it is taken
                    await asyncio.sleep(0.1)
                self.acknowledged.update(wamids)
            if self.dice.random() < 0.3:
                await self._post(webhooks[0][1])
            if self.dice.random() < 0.2:
                await self._forge(f"forged.{lane}.{number}")

    async def read(self, service: str, path: str, headers: dict[str, str]) -> None:
        """Ask for something again and again."""
        while not self.stop.is_set():
            request = self.system.http.get(self.system.url(self._process(service), path), headers=headers)
            self.answers[await _status(request)] += 1
            await asyncio.sleep(0.05)

    async def begin(self, gateway: str) -> Callable[[], Awaitable[int]]:
        """Send the first half of a webhook; returns what sends the rest and gives the answer's status."""
        wamids, payload = self._webhook(f"wamid.halves.{gateway}", 0, str(int(time.time())))
        body = encoded(payload)
        head = "".join(f"{name}: {value}\r\n" for name, value in signed(body).items())
        reader, writer = await asyncio.open_connection("127.0.0.1", self.system.ports[gateway])
        writer.write(
            f"POST /webhooks/whatsapp HTTP/1.1\r\nHost: x\r\n{head}Content-Length: {len(body)}\r\n\r\n".encode()
        )
        writer.write(body[:40])
        await writer.drain()

        async def finish() -> int:
            writer.write(body[40:])
            line = await asyncio.wait_for(reader.readline(), 10)
            writer.close()
            answered = int(line.split()[1])
            if answered == 200:
                self.acknowledged.update(wamids)
            return answered

        return finish

    def _webhook(self, wamid: str, part: int, moment: str) -> tuple[list[str], dict[str, Any]]:
        sender = f"1650{part}"
        messages = [{**text(f"{wamid}.{one}", sender=sender), "timestamp": moment} for one in range(2)]
        delivered = {**status(f"{wamid}.status", recipient=sender), "timestamp": moment}
        payload = webhook(conversation(messages=messages), conversation(statuses=[delivered]))
        return [*(message["id"] for message in messages), delivered["id"]], payload

    async def _post(self, payload: dict[str, Any], secret: str | None = None) -> int:
        body = encoded(payload)
        headers = signed(body, secret) if secret else signed(body)
        url = self.system.url(self._process(GATEWAY), "/webhooks/whatsapp")
        answered = await _status(self.system.http.post(url, data=body, headers=headers))
        if not secret:
            self.answers[answered] += 1
        return answered

    async def _forge(self, wamid: str) -> None:
        self.refused.add(wamid)
        payload = webhook(conversation(messages=[text(wamid)]))
        assert await self._post(payload, "guessed") in (0, 403, 429, 503)

    def _process(self, service: str) -> str:
        processes = [name for name in self.system.ports if name.partition(":")[0] == service]
        return self.dice.choice([name for name in processes if name != self.out_of_rotation])


async def _status(request: Any) -> int:
    try:
        async with request as answer:
            await answer.read()
            return answer.status
    except (aiohttp.ClientError, OSError, TimeoutError):
        return 0
