"""Whoever is killed while messages are sent: nothing is sent twice, nothing is forgotten, and what was sent is known.

The judge is the simulated Meta's ledger of what was really sent. `make test-long` deals a blow of each kind under a
small load, `make chaos` a blow every ten seconds for as long as `CHAOS_ROUNDS` says, under a hundred sends a second.
"""

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp
import asyncpg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from blows import Stores
from healing import HEALED, ROUNDS, SEED, healed, within
from local_stack import free_ports
from machine import Network
from simulated_meta import Store, create_app, new_world
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from simulated_meta.seed import template as template_of
from system import System, connect_demo, ended

Client = TestClient[web.Request, web.Application]
Serve = Callable[[web.Application], Awaitable[Client]]
Json = dict[str, Any]

LONG = ROUNDS > 9
BLOWS = round(1.5 * ROUNDS) if LONG else 5
BETWEEN = (8.0, 10.0) if LONG else (1.0, 3.0)  # seconds
RATE = 100 if LONG else 20  # sends a second
CALLERS = 20
ROLES = {
    "wabus_gateway": (),
    "wabus_sender:api": ("--role", "api"),
    "wabus_sender:api2": ("--role", "api"),
    "wabus_sender:worker": ("--role", "worker"),
    "wabus_sender:worker2": ("--role", "worker"),
}
SETTLED = 120.0  # seconds after the last blow for everything to have an end
LATENCY = 200  # ms until Meta answers: so long a kill can find a call under way
LOST_ANSWERS = 0.01
"""The share of Meta's answers that never arrive, although it has taken the message."""

pytestmark = [pytest.mark.long, pytest.mark.timeout(240 + 15 * BLOWS)]


@dataclass
class Load:
    """Asks for messages again and again, each with a key, until it is told that they will be sent."""

    system: System
    headers: dict[str, str]
    dice: random.Random
    accepted: dict[str, str] = field(default_factory=dict[str, str])
    """Of each key the send that it became."""
    answers: Counter[int] = field(default_factory=Counter[int])
    stop: asyncio.Event = field(default_factory=asyncio.Event)

    async def ask(self, caller: int) -> None:
        number, pause = 0, CALLERS / RATE
        while not self.stop.is_set():
            begun = time.monotonic()
            number += 1
            await self._until_taken(f"{caller}-{number}", f"49151{caller:03d}{number:05d}")
            await asyncio.sleep(max(0.0, pause - (time.monotonic() - begun)))

    async def _until_taken(self, key: str, to: str) -> None:
        body = {"from": DEMO_PHONE, "to": to, "type": "template", "template": TEMPLATE}
        while True:
            api = self.dice.choice(["wabus_sender:api", "wabus_sender:api2"])
            status, send_id = await self._post(api, body, key)
            self.answers[status] += 1
            if status == 202 and send_id:
                assert self.accepted.setdefault(key, send_id) == send_id
                return
            assert status in (0, 429, 500, 502, 503, 504), (status, send_id)
            await asyncio.sleep(0.1)

    async def _post(self, api: str, body: Json, key: str) -> tuple[int, str | None]:
        headers = self.headers | {"Idempotency-Key": key}
        try:
            async with self.system.http.post(self.system.url(api, "/messages"), json=body, headers=headers) as answer:
                content = await answer.json()
                return answer.status, content.get("send_id") or content.get("code")
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
            return 0, None


TEMPLATE = {"name": "notice", "language": {"code": "en_US"}}


@dataclass
class Sending:
    """The processes that send, beside a simulated Meta whose ledger is read."""

    system: System
    meta: Client
    database_url: str

    async def counts(self) -> Json:
        async with self.meta.get("/_control/sending") as answer:
            return (await answer.json())["counts"]

    async def ledger(self) -> list[Json]:
        found: list[Json] = []
        while True:
            async with self.meta.get(f"/_control/sent?after={len(found)}&limit=5000") as answer:
                page = (await answer.json())["data"]
            if not page:
                return found
            found += page

    async def start(self, name: str) -> None:
        await self.system.start(name, *ROLES[name])

    async def states(self) -> dict[str, str]:
        """The state of every send."""
        connection = await asyncpg.connect(self.database_url)
        try:
            return dict(await connection.fetch("SELECT send_id::text, state FROM sender.sends"))
        finally:
            await connection.close()

    async def calling(self) -> int:
        return Counter((await self.states()).values())["calling"]


@pytest.fixture
async def sending(
    topics: object,
    stores: Stores,
    network: Network,
    environment: dict[str, str],
    serve: Serve,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> AsyncIterator[Sending]:
    ports = dict(zip(ROLES, free_ports(len(ROLES)), strict=True))
    store = Store(new_world("1234567890", ["an-app-secret-for-tests"]))
    url = f"http://127.0.0.1:{ports['wabus_gateway']}"
    store.world.callback_url, store.world.verify_token = f"{url}/webhooks/whatsapp", "a-verify-token-for-tests"
    waba = store.world.wabas[DEMO_WABA]
    waba.templates["1"] = template_of("1", "notice")
    waba.phones[DEMO_PHONE].throughput = "HIGH"
    meta = await serve(create_app(store, delay_scale=0.01))
    monkeypatch.setenv("META_GRAPH_URL", str(meta.make_url("")).rstrip("/"))
    monkeypatch.setenv("PUBLIC_URL", url)
    monkeypatch.setenv("META_TOKEN", next(iter(store.world.tokens)))
    monkeypatch.setenv("GRAPH_TIMEOUT", "3")
    database = urlsplit(environment["DATABASE_URL"])
    env = {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{network.kafka.port}",
        "DATABASE_URL": f"postgresql://wabus:{database.password}@127.0.0.1:{network.postgres.port}{database.path}",
    }
    connector = aiohttp.TCPConnector(force_close=True)
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=10), connector=connector) as http:
        system = System(http, tmp_path, ports, env=env)
        async with ended(system):
            made = Sending(system, meta, environment["DATABASE_URL"])
            await asyncio.gather(*(made.start(name) for name in ROLES))
            yield made


async def test_whoever_is_killed_nothing_is_sent_twice_and_all_that_was_sent_is_known(
    sending: Sending, stores: Stores
) -> None:
    print(f"CHAOS_SEED={SEED}")
    system, dice = sending.system, random.Random(SEED)
    await healed(system, stores)
    load = Load(system, await connect_demo(), random.Random(SEED))
    lost = {"times": 10**9, "share": LOST_ANSWERS, "seed": SEED, "path": "/messages", "body": "cut"}
    await sending.meta.post("/_control/faults", json={"fail": lost, "latency_ms": LATENCY})
    callers = [asyncio.create_task(load.ask(caller)) for caller in range(CALLERS)]
    claimed = 0  # by those who were killed
    blows: list[Callable[[], Awaitable[int]]] = []
    for _ in range(BLOWS):
        await asyncio.sleep(dice.uniform(*BETWEEN))
        await stores.revive()
        blows = blows or dice.sample(kinds := dealt(sending, stores, dice), len(kinds))
        claimed += await blows.pop()()
        _raise(callers)
    await healed(system, stores)
    await asyncio.sleep(1)
    load.stop.set()
    await asyncio.wait_for(asyncio.gather(*callers), HEALED)

    async def not_known() -> int:
        return len({*load.accepted.values()} - {*await sending.states()})

    await within(SETTLED, not_known, 0)

    async def open_sends() -> Counter[str]:
        return Counter(each for each in (await sending.states()).values() if each in ("queued", "calling"))

    await within(SETTLED, open_sends, Counter())

    async def told() -> int:
        return (await sending.counts())["statuses_due"]

    await within(SETTLED, told, 0)
    by_mark = {entry["opaque"]: entry for entry in await sending.ledger()}
    sent = {mark.partition(":")[2] for mark in by_mark}

    async def unsettled() -> int:
        return sum(state == "unknown" for send_id, state in (await sending.states()).items() if send_id in sent)

    await within(SETTLED, unsettled, 0)
    states, counts = await sending.states(), await sending.counts()
    ends = Counter(states.values())
    print(f"{len(load.accepted)} asked for, {counts['sent']} sent, {dict(ends)}, claimed at kills {claimed}, "
          f"answers cut {counts['unanswered']}, answers to callers {dict(load.answers)}")  # fmt: skip
    assert counts["doubled"] == {}
    assert {*load.accepted.values()} == {*states}
    assert len({*load.accepted.values()}) == len(load.accepted)
    assert {*ends} <= {"accepted", "refused", "expired", "cancelled", "unknown"}
    assert {send_id for send_id, state in states.items() if state == "accepted"} == sent
    assert ends["unknown"] <= claimed
    assert len(load.accepted) > RATE * BLOWS / 4


def dealt(sending: Sending, stores: Stores, dice: random.Random) -> list[Callable[[], Awaitable[int]]]:
    """The kinds of blows; each returns how many sends were claimed by whom it has killed."""

    async def kill(name: str) -> int:
        await sending.system.end(name, signal.SIGKILL)
        return await sending.calling()

    async def worker(name: str = "wabus_sender:worker") -> int:
        claimed = await kill(name)
        await sending.start(name)
        return claimed

    async def other_worker() -> int:
        return await worker("wabus_sender:worker2")  # the number is one of these two's

    async def api() -> int:
        name = dice.choice(["wabus_sender:api", "wabus_sender:api2"])
        await sending.system.end(name, signal.SIGKILL)
        await sending.start(name)
        return 0

    async def kafka() -> int:
        await stores.kafka.kill()
        await asyncio.sleep(dice.uniform(0, 2))
        await stores.kafka.start()
        return 0

    async def postgres() -> int:
        await stores.postgres.kill()
        await asyncio.sleep(dice.uniform(0, 2))
        await stores.postgres.start()
        return 0

    return [worker, other_worker, api, kafka, postgres]


def _raise(callers: list[asyncio.Task[None]]) -> None:
    """A caller that was refused what it may ask for ends the test at once."""
    for each in callers:
        if each.done():
            each.result()
