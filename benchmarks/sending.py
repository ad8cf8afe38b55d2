"""How many calls a second one sender makes beside a bare loop, how near it keeps to a number's level, and how long an
answer waits behind a campaign.

    python benchmarks/sending.py [--sends 12000] [--concurrency 64 128] [--latency 50] [--seconds 20] [--queued 1000000]

Starts PostgreSQL, Kafka and a simulated Meta of its own, which counts as Meta documents its limits and answers after
`--latency` ms. What is asked for is published as the API would; the rate is that of the middle of the simulated Meta's
ledger. Baselines run before and after in the same run: a bare aiohttp loop of the same concurrency, which promises
nothing, pywa, and a job of procrastinate, which is at least once (left out where it is not installed). At the end the
sender and procrastinate are killed again and again, and the ledger says what was doubled and lost.

Goals: at least 0.8 of the bare loop, and 1,000 calls a second; 94 to 96 % of the level of 80 and of 1,000 without one
130429 or 131056; an answer by POST /messages at Meta within a second (p99) while a campaign waits.
"""

import argparse
import asyncio
import os
import signal
import sys
import time
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from uuid import uuid4

import aiohttp
import asyncpg
import sending_procrastinate
import uvloop
from pydantic import SecretStr
from sending_baselines import bare, has_procrastinate, person, pywa
from sending_meta import Meta, simulated_meta
from stack import api_of, free_ports, paced, ready, report, stores
from wabus_events import AccountConnected, CredentialStored, Event, MessageReceived, PhoneNumber, SendRequested
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.http.auth import make_token
from wabus_runtime.kafka.clients import ensure_topics
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.settings import AuthSettings, CredentialSettings, KafkaSettings, load
from wabus_sender.worker.telling import tell

ORG = "org"
NUMBERS = 9
"""The first has the level of 80, the others of 1,000: a single one of these can't be too slow for the process."""
AT_ONCE = 2_000  # events in one publish
WITHIN = 900.0  # seconds for one part
GOAL_OF_BARE, GOAL_RATE, GOAL_ANSWER = 0.8, 1_000.0, 1_000.0  # a share, calls a second, ms
LEVEL_FROM, LEVEL_TO = 0.94, 0.96
PROBES_A_SECOND = 5.0
KILLED_EVERY, KILLED_LATENCY = 2.0, 200  # seconds, ms
PARTS = ("throughput", "pacing", "answers", "kills")
Lane = Literal["authentication", "service", "utility", "marketing"]


class People:
    """Numbers of persons who were not written to before, so that no pair is too fast."""

    def __init__(self) -> None:
        self._next = 0

    def take(self, count: int) -> list[str]:
        self._next += count
        return [person(number) for number in range(self._next - count, self._next)]


def connection(meta: Meta) -> list[Event]:
    """What is published when the account is connected."""
    now = datetime.now(UTC)
    sealed = Keyring(load(CredentialSettings)).seal(SecretStr(meta.token), org_id=ORG, waba_id=meta.waba_id)
    about: dict[str, Any] = {"time": now, "org_id": ORG, "waba_id": meta.waba_id}
    levels = ["STANDARD", *["HIGH"] * (len(meta.numbers) - 1)]
    numbers = [
        PhoneNumber(phone_number_id=number, throughput=level, coexistence=False)
        for number, level in zip(meta.numbers, levels, strict=True)
    ]
    stored = CredentialStored(
        id=str(uuid4()), key_id=sealed.key_id, nonce=sealed.nonce, ciphertext=sealed.ciphertext, **about
    )
    return [stored, AccountConnected(id=str(uuid4()), phone_numbers=numbers, **about)]


def requests(
    meta: Meta, numbers: Sequence[str], people: Sequence[str], lane: Lane, label: str | None = None
) -> Iterable[Event]:
    """Templates to so many people, from these numbers in turn."""
    template = {"name": "notice", "language": {"code": "en_US"}}
    for at, to in enumerate(people):
        now = datetime.now(UTC)
        yield SendRequested(
            id=str(uuid4()),
            time=now,
            org_id=ORG,
            waba_id=meta.waba_id,
            phone_number_id=numbers[at % len(numbers)],
            send_id=str(uuid4()),
            lane=lane,
            kind="template",
            to=to,
            message={"type": "template", "template": template},
            template_name="notice",
            template_language="en_US",
            label=label,
            expires_at=now + timedelta(hours=12),
        )


async def publish(publisher: Publisher, events: Iterable[Event]) -> None:
    batch: list[Event] = []
    for event in events:
        batch.append(event)
        if len(batch) == AT_ONCE:
            await publisher.publish(batch)
            batch = []
    if batch:
        await publisher.publish(batch)


@asynccontextmanager
async def worker(port: int, calls: int, ending: signal.Signals = signal.SIGTERM) -> AsyncGenerator[None]:
    """One sender, ready, with so many calls at once at most."""
    env = {**os.environ, "HTTP_PORT": str(port), "SENDER_CALLS": str(calls)}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "wabus_sender", "--role", "worker", env=env)
    try:
        await ready(f"http://127.0.0.1:{port}")
        yield
    finally:
        if process.returncode is None:
            process.send_signal(ending)
        await process.wait()


def middle_rate(moments: Sequence[float]) -> float:
    """Calls a second between the first fifth and the last tenth."""
    ordered = sorted(moments)
    begin, end = len(ordered) // 5, len(ordered) * 9 // 10
    return (end - begin) / (ordered[end] - ordered[begin])


async def throughput(meta: Meta, publisher: Publisher, people: People, port: int, calls: int, asked: Any) -> bool:
    """Print calls a second beside the baselines; whether the goals are met."""

    async def begin() -> None:
        await meta.begin(latency=asked.latency, limits=False)

    await begin()
    before = await bare(meta, asked.sends, calls)
    await begin()
    await publish(publisher, requests(meta, meta.numbers[1:], people.take(asked.sends), "utility"))
    async with worker(port, calls):
        await meta.sent(asked.sends, WITHIN)
        ours = middle_rate([entry["at"] for entry in await meta.ledger()])
        doubled = (await meta.counts())["doubled"]
    await begin()
    after = await bare(meta, asked.sends, calls)
    base = (before + after) / 2
    met = ours >= GOAL_OF_BARE * base and ours >= GOAL_RATE and not doubled
    print(f"  {calls:4} at once: bare loop {before:6.0f}/s and {after:6.0f}/s, sender {ours:6.0f}/s = "
          f"{ours / base:.2f}; doubled {len(doubled)}; {'met' if met else 'missed'}", flush=True)  # fmt: skip
    await begin()
    few = max(500, asked.sends // 10)
    print(f"             pywa {await pywa(meta, few, calls):6.0f}/s", flush=True)
    if has_procrastinate():
        await begin()
        rate = await sending_procrastinate.rate(meta, os.environ["DATABASE_URL"], few, calls)
        print(f"             procrastinate {rate:6.0f}/s", flush=True)
    return met


async def pacing(meta: Meta, publisher: Publisher, people: People, port: int, level: int, asked: Any) -> bool:
    """Print how near to its level a number is kept; whether the goal is met."""
    await meta.begin(latency=asked.latency)
    number = meta.numbers[0] if level == 80 else meta.numbers[1]
    await meta.control(
        "PATCH", f"/phones/{number}?webhook=false", {"throughput": "STANDARD" if level == 80 else "HIGH"}
    )
    count = int(level * asked.seconds)
    await publish(publisher, requests(meta, [number], people.take(count), "utility"))
    async with worker(port, 256):
        await meta.sent(count, WITHIN)
    counts = await meta.counts()
    rate = middle_rate([entry["at"] for entry in await meta.ledger()])
    refused = {code: counts["refused"].get(code, 0) for code in ("130429", "131056")}
    met = LEVEL_FROM <= rate / level <= LEVEL_TO and not any(refused.values())
    most = counts["numbers"][number]["highest_in_a_second"]
    print(f"  level {level:4}: {rate:7.1f}/s = {rate / level:.3f}; most in any second {most}; refused {refused}; "
          f"{'met' if met else 'missed'}", flush=True)  # fmt: skip
    return met


async def answers(meta: Meta, publisher: Publisher, people: People, ports: Sequence[int], asked: Any) -> bool:
    """Print how long answers wait while a campaign of the same number does; whether the goal is met."""
    await meta.begin(latency=asked.latency)
    number = meta.numbers[0]
    await meta.control("PATCH", f"/phones/{number}?webhook=false", {"throughput": "STANDARD"})
    probes = people.take(int(PROBES_A_SECOND * (asked.seconds + 5)))
    wrote = [
        MessageReceived(
            id=str(uuid4()), time=datetime.now(UTC), org_id=ORG, waba_id=meta.waba_id, phone_number_id=number,
            wamid=f"wamid.{uuid4().hex}", contact=each, message_type="text", value={},
        )
        for each in probes
    ]  # fmt: skip
    await publish(publisher, wrote)
    begun = time.perf_counter()
    await publish(publisher, requests(meta, [number], people.take(asked.queued), "marketing"))
    print(f"  {asked.queued:,} of a campaign published in {time.perf_counter() - begun:.0f} s", flush=True)
    os.environ["SENDER_QUEUE_LIMIT"] = str(2 * asked.queued)  # an organisation's bound is not what is measured
    token = make_token(load(AuthSettings), org_id=ORG, role="agent", now=datetime.now(UTC), lifetime=timedelta(hours=9))
    asked_at: dict[str, float] = {}
    async with worker(ports[1], 256), api_of("wabus_sender", ports[0]), aiohttp.ClientSession() as http:
        await meta.sent(80, WITHIN)
        await _folded(os.environ["DATABASE_URL"], asked.queued)  # what is asked for later is behind it in the log

        async def ask(at: int) -> None:
            body = {"from": number, "to": probes[at], "type": "text", "text": {"body": "Here you are."}}
            asked_at[probes[at]] = time.time()
            url = f"http://127.0.0.1:{ports[0]}/messages"
            async with http.post(url, json=body, headers={"Authorization": f"Bearer {token}"}) as answer:
                if answer.status != 202:
                    raise RuntimeError(await answer.text())

        await paced(PROBES_A_SECOND, asked.seconds, ask)
        await asyncio.sleep(3)
    sent_at = {entry["input"]: entry["at"] for entry in await meta.ledger() if entry["input"] in asked_at}
    missing = len(asked_at) - len(sent_at)
    took = [sent_at[to] - at for to, at in asked_at.items() if to in sent_at]
    p99 = report("from POST to Meta", took)
    met = p99 <= GOAL_ANSWER and not missing
    print(f"  not sent within three seconds: {missing}; {'met' if met else 'missed'}", flush=True)
    return met


async def kills(meta: Meta, publisher: Publisher, people: People, port: int, asked: Any) -> bool:
    """Print what a sender and a queue that is at least once do when they are killed again and again."""

    async def begin() -> None:
        await meta.begin(latency=KILLED_LATENCY, limits=False)

    os.environ["GRAPH_TIMEOUT"] = "3"
    await begin()
    count = asked.sends // 4
    await publish(publisher, requests(meta, [meta.numbers[1]], people.take(count), "utility", label="kills"))
    while (await meta.counts())["sent"] < count * 0.8:
        async with worker(port, 64, signal.SIGKILL):
            await asyncio.sleep(KILLED_EVERY)
    async with worker(port, 64):
        states = await _ended("kills", count)
    counts = await meta.counts()
    unknown, doubled = states.get("unknown", 0), len(counts["doubled"])
    lost = count - counts["sent"] - unknown
    met = not doubled and lost <= 0
    print(f"  sender:        {count} asked for, {doubled} doubled, {max(0, lost)} lost, {unknown} unknown of which "
          f"{unknown - (count - counts['sent'])} were sent; {'met' if met else 'missed'}", flush=True)  # fmt: skip
    if has_procrastinate():
        await begin()
        url = os.environ["DATABASE_URL"]
        doubled, lost, stuck = await sending_procrastinate.killed(meta, url, count, 64, KILLED_EVERY)
        print(f"  procrastinate: {count} asked for, {doubled} doubled, {lost} lost ({stuck} until the jobs of dead "
              f"workers were retried)", flush=True)  # fmt: skip
    return met


async def _ended(label: str, count: int) -> dict[str, int]:
    """The states of the sends with a label once none of them waits any more. Raises `TimeoutError`."""
    query = "SELECT state, count(*) FROM sender.sends WHERE label = $1 GROUP BY state"
    connection_ = await asyncpg.connect(os.environ["DATABASE_URL"])
    try:
        async with asyncio.timeout(WITHIN):
            while True:
                states: dict[str, int] = dict(await connection_.fetch(query, label))
                if sum(states.values()) == count and not states.keys() & {"queued", "calling"}:
                    return states
                await asyncio.sleep(0.5)
    finally:
        await connection_.close()


async def _folded(postgres_url: str, count: int) -> None:
    """Return once so many of a campaign are in the tables, waiting or sent. Raises `TimeoutError`."""
    known = "SELECT count(*) FROM sender.sends WHERE lane = 'marketing'"
    connection_ = await asyncpg.connect(postgres_url)
    try:
        async with asyncio.timeout(WITHIN):
            while await connection_.fetchval(known) < count:  # noqa: ASYNC110 - it is another process
                await asyncio.sleep(1)
    finally:
        await connection_.close()


async def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sends", type=int, default=12_000)
    parser.add_argument("--concurrency", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--latency", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--queued", type=int, default=1_000_000)
    parser.add_argument("--only", nargs="+", choices=PARTS)
    asked = parser.parse_args()
    parts = asked.only or PARTS
    ports = free_ports(6)
    met: list[bool] = []
    async with stores(ports[:4]):
        secret, callback = os.environ["META_APP_SECRETS"], os.environ["PUBLIC_URL"]
        async with simulated_meta(ports[4], secret, callback, NUMBERS) as meta:
            os.environ["META_GRAPH_URL"] = meta.url
            await meta.control("POST", f"/wabas/{meta.waba_id}/templates", {"name": "notice"})
            await ensure_topics(load(KafkaSettings))
            publisher = Publisher(load(KafkaSettings), "/wabus/bench")
            await publisher.start()
            await tell(publisher, connection(meta))  # topics that are new may have no leader yet
            people = People()
            if "throughput" in parts:
                print(f"calls a second, Meta answering after {asked.latency} ms")
                met += [await throughput(meta, publisher, people, ports[5], each, asked) for each in asked.concurrency]
            if "pacing" in parts:
                print("pacing")
                met += [await pacing(meta, publisher, people, ports[5], level, asked) for level in (80, 1_000)]
            if "answers" in parts:
                print("answers before a campaign")
                met.append(await answers(meta, publisher, people, [ports[3], ports[5]], asked))
            if "kills" in parts:
                print(f"killed every {KILLED_EVERY:.0f} s, Meta answering after {KILLED_LATENCY} ms")
                met.append(await kills(meta, publisher, people, ports[5], asked))
            await publisher.stop()
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(uvloop.run(main()))
