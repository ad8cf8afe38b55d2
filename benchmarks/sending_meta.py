"""A simulated Meta in a process of its own, for benchmarks of sending: its account, its numbers, and what it counts."""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp

Json = dict[str, Any]

STARTED_WITHIN = 30.0  # seconds
LISTED = 5_000  # entries of the ledger in one answer


@dataclass
class Meta:
    """What the control API is asked. `numbers` are those of the account, the first one is the demo world's."""

    url: str
    http: aiohttp.ClientSession
    token: str = ""
    waba_id: str = ""
    numbers: list[str] = field(default_factory=list[str])

    async def control(self, method: str, path: str, body: Mapping[str, Any] | None = None) -> Json:
        async with self.http.request(method, f"{self.url}/_control{path}", json=body) as answer:
            answer.raise_for_status()
            return await answer.json()

    async def begin(self, *, latency: int, throughput: str = "HIGH", **settings: Any) -> None:
        """An empty ledger, and answers after so many milliseconds. Windows are open, and nobody is told of statuses."""
        await self.control("DELETE", "/sending")
        await self.control("PATCH", "/sending", {"windows": False, "tells": False} | settings)
        await self.control("POST", "/faults", {"latency_ms": latency})
        for number in self.numbers:
            await self.control("PATCH", f"/phones/{number}?webhook=false", {"throughput": throughput})

    async def counts(self) -> Json:
        return (await self.control("GET", "/sending"))["counts"]

    async def ledger(self) -> list[Json]:
        """All that was sent, oldest first."""
        found: list[Json] = []
        while True:
            page = (await self.control("GET", f"/sent?after={len(found)}&limit={LISTED}"))["data"]
            if not page:
                return found
            found += page

    async def sent(self, count: int, within: float) -> None:
        """Return once so many are in the ledger. Raises `TimeoutError`."""
        async with asyncio.timeout(within):
            while (await self.counts())["sent"] < count:  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(0.1)


@asynccontextmanager
async def simulated_meta(port: int, secret: str, callback_url: str, numbers: int) -> AsyncGenerator[Meta]:
    """Meta with one account of so many numbers."""
    with tempfile.TemporaryDirectory(prefix="wabus-bench-meta-") as home:
        env = {
            **os.environ,
            "META_APP_ID": "1",
            "META_APP_SECRETS": secret,
            "META_HOME": home,
            "PUBLIC_URL": callback_url,
        }
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "simulated_meta", "--port", str(port), env=env, cwd=Path(home)
        )
        try:
            async with aiohttp.ClientSession() as http:
                meta = Meta(f"http://127.0.0.1:{port}", http)
                await _started(meta)
                state = await meta.control("GET", "/state")
                meta.waba_id = state["wabas"][0]["id"]
                meta.numbers = [phone["id"] for phone in state["wabas"][0]["phones"]]
                for number in range(1, numbers):
                    about = {"display_phone_number": f"+1 555-079-{number:04d}", "registered": True}
                    made = await meta.control("POST", f"/wabas/{meta.waba_id}/phones?webhook=false", about)
                    meta.numbers.append(made["id"])
                meta.token = (await meta.control("GET", "/tokens"))["data"][0]["value"]
                yield meta
        finally:
            process.terminate()
            await process.wait()


async def _started(meta: Meta) -> None:
    async with asyncio.timeout(STARTED_WITHIN):
        while True:
            try:
                await meta.control("GET", "/state")
                return
            except aiohttp.ClientError:
                await asyncio.sleep(0.1)
