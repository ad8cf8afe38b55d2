"""How close one worker comes to what the bounds of Graph allow, how fair it is, and how much memory it takes.

    python benchmarks/template_sync.py [--accounts 1000] [--templates 250] [--page 50] [--large 6000]
        [--latency 20] [--concurrency 2] [--first-concurrency 1]

Starts PostgreSQL, Kafka, a Graph that answers each call after `--latency` milliseconds, and one worker, each a process
of its own. All accounts are asked for at once, twice: connected (every template is new, and becomes an event and a row)
and unchanged. On paper a round takes calls x latency / concurrency: a slot is never without a call, and nothing else
takes time. Rates bound nothing here, for Graph allows an account 5,000 calls an hour. Goal: at least 0.8 of the bound.

Concurrency is set so that this is the bound and not the processor: a worker is one Python process, so it can't do more
than a core has time for, however many calls SYNC_CONCURRENCY (8 unless it is set) lets it have open. What a template
and a sync cost of a core is printed beside, and from it at which concurrency the core is the bound. Run it on a machine
that is idle: its cores have a broker, a database and this Graph to carry as well.

Then an account of `--large` templates, in bounded memory; and an unchanged sync writes one event, which is counted.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, cast

import asyncpg
import psutil
import uvloop
from aiokafka import AIOKafkaConsumer, TopicPartition
from pydantic import SecretStr
from simulated_meta.seed import demo_templates
from stack import free_ports, ready, stores
from wabus_events import TEMPLATES, AccountConnected, CredentialStored, Event, TemplateSyncRequested, fact_id
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.kafka.clients import ensure_topics, new_consumer, topic_name
from wabus_runtime.kafka.transactions import TransactionalPublisher
from wabus_runtime.settings import CredentialSettings, KafkaSettings, load
from wabus_template_sync.templates.facts import connect_sync_id

GOAL = 0.8
ROUND_TIMEOUT = 1800.0  # seconds
ACCOUNT = b"@account@"  # stands for the account's id in the prepared pages
LARGE = "9"  # what the id of the large account begins with; those of the others begin with 1
MEMORY_GOAL = 100.0  # MB that the large account may add to what the worker needs anyway; 17 KB a template


def pages(templates: int, page: int) -> list[bytes]:
    """A listing of made-up templates, as Graph's answers."""
    patterns = demo_templates()
    listed = [
        {**patterns[number % len(patterns)], "id": f"{ACCOUNT.decode()}{number:05d}", "name": f"template_{number}"}
        for number in range(templates)
    ]
    found: list[bytes] = []
    for first in range(0, templates, page):
        last = min(first + page, templates)
        cursors = {"cursors": {"before": str(first), "after": str(last)}}
        more = {"next": f"https://graph.example/message_templates?after={last}"} if last < templates else {}
        body = json.dumps({"data": listed[first:last], "paging": cursors | more}).encode()
        found.append(body)
    return found


class Graph(asyncio.Protocol):
    """One connection to a Graph that lists templates, each page after the same time."""

    def __init__(self, latency: float, page: int, small: list[bytes], large: list[bytes]) -> None:
        self._latency = latency
        self._page = page
        self._listings = {"1": small, LARGE: large}
        self._received = b""
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def data_received(self, data: bytes) -> None:
        self._received += data
        while b"\r\n\r\n" in self._received:
            request, _, self._received = self._received.partition(b"\r\n\r\n")
            asyncio.get_running_loop().call_later(self._latency, self._answer, request.split(b" ", 2)[1].decode())

    def _answer(self, target: str) -> None:
        path, _, query = target.partition("?")
        account = path.split("/")[2]
        after = next((int(part[6:]) for part in query.split("&") if part.startswith("after=")), 0)
        body = self._listings[account[0]][after // self._page].replace(ACCOUNT, account.encode())
        usage = '{"call_count":1,"total_cputime":1,"total_time":1}'
        head = (
            f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            f"X-App-Usage: {usage}\r\n\r\n"
        )
        if self._transport and not self._transport.is_closing():
            self._transport.write(head.encode() + body)


async def serve_graph(options: argparse.Namespace) -> None:
    small, large = pages(options.templates, options.page), pages(options.large, options.page)
    loop = asyncio.get_running_loop()
    server = await loop.create_server(
        lambda: Graph(options.latency / 1000, options.page, small, large), "127.0.0.1", options.graph
    )
    print("ready", flush=True)
    await server.serve_forever()


@dataclass(frozen=True)
class Round:
    """Syncs that were asked for at once, in the order of asking."""

    ended: list[float]
    """Seconds since the first of them began."""
    took: list[float]
    """Seconds since its own first call."""
    visible: float
    """When the last of them was in the tables."""
    events: int
    """What they wrote to templates.v1."""

    @property
    def lasted(self) -> float:
        return max(self.ended)


@dataclass
class Bench:
    """The worker of the moment, and how it is asked and watched."""

    pool: asyncpg.Pool
    publisher: TransactionalPublisher
    consumer: AIOKafkaConsumer
    topic: str
    worker: asyncio.subprocess.Process | None = None
    idle: float = 0
    """MB of memory of a worker that does nothing."""

    async def start(self, concurrency: int) -> psutil.Process:
        """A new worker, in the place of the one before."""
        await self.stop()
        self.worker = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wabus_template_sync", "--role", "worker"),
            env={**os.environ, "SYNC_CONCURRENCY": str(concurrency)},
        )
        await ready(f"http://127.0.0.1:{os.environ['HTTP_PORT']}")
        process = psutil.Process(self.worker.pid)
        # That of the first, which had nothing to read yet.
        self.idle = self.idle or process.memory_info().rss / 2**20
        return process

    async def stop(self) -> None:
        if self.worker:
            with suppress(ProcessLookupError):
                self.worker.terminate()
            await self.worker.wait()

    async def round(self, asking: Sequence[Event], sync_ids: Sequence[str]) -> Round:
        places = [TopicPartition(self.topic, number) for number in range(TEMPLATES.partitions)]
        begin = await self.consumer.end_offsets(places)
        await self.publisher.publish(asking)
        async with asyncio.timeout(ROUND_TIMEOUT):
            while await self.pool.fetchval(_ENDED, sync_ids) < len(sync_ids):  # noqa: ASYNC110
                await asyncio.sleep(0.25)
        visible = datetime.now(UTC)
        rows = await self.pool.fetch(_TIMES, sync_ids)
        assert all(row["status"] == "synced" for row in rows), "a sync failed"
        began = min(row["started_at"] for row in rows)
        own = sum(event.topic == TEMPLATES for event in asking)
        return Round(
            [(row["finished_at"] - began).total_seconds() for row in rows],
            [(row["finished_at"] - row["started_at"]).total_seconds() for row in rows],
            (visible - began).total_seconds(),
            await self._committed_since(begin) - own,
        )

    async def _committed_since(self, begin: dict[TopicPartition, int]) -> int:
        """How many events a reader of the topic gets from there on."""
        ends = await self.consumer.end_offsets(list(begin))
        self.consumer.assign(list(begin))
        for place, offset in begin.items():
            self.consumer.seek(place, offset)
        count = 0
        while any([await self.consumer.position(place) < end for place, end in ends.items()]):
            count += sum(map(len, (await self.consumer.getmany(timeout_ms=200)).values()))
        return count


_ENDED = "SELECT count(*) FROM template_syncs WHERE sync_id = ANY($1) AND finished_at IS NOT NULL"
_TIMES = """
    SELECT s.status, s.started_at, s.finished_at FROM unnest($1::text[]) WITH ORDINALITY AS asked(sync_id, number)
    JOIN template_syncs AS s USING (sync_id) ORDER BY asked.number
"""


def connected(accounts: Sequence[str]) -> tuple[list[Event], list[str]]:
    """What is published when these accounts are connected, and the ids of the syncs that this asks for."""
    keyring, now = Keyring(load(CredentialSettings)), datetime.now(UTC)
    events: list[Event] = []
    sync_ids: list[str] = []
    for account in accounts:
        about: dict[str, Any] = {"time": now, "org_id": f"org-{account}", "waba_id": account}
        sealed = keyring.seal(SecretStr(f"token-of-{account}"), org_id=about["org_id"], waba_id=account)
        credential = {"key_id": sealed.key_id, "nonce": sealed.nonce, "ciphertext": sealed.ciphertext}
        connect = AccountConnected(id=fact_id(AccountConnected.type, account), **about)
        events += [CredentialStored(id=fact_id(CredentialStored.type, account), **credential, **about), connect]
        sync_ids.append(connect_sync_id(connect))
    return events, sync_ids


def requested(accounts: Sequence[str]) -> tuple[list[Event], list[str]]:
    """Requests to sync these accounts."""
    now = datetime.now(UTC)
    ids = [fact_id("sync", account, "again") for account in accounts]
    events: list[Event] = [
        TemplateSyncRequested(
            id=fact_id(TemplateSyncRequested.type, sync_id),
            time=now,
            org_id=f"org-{account}",
            waba_id=account,
            sync_id=sync_id,
            reason="reconciliation",
        )
        for account, sync_id in zip(accounts, ids, strict=True)
    ]
    return events, ids


def processor(process: psutil.Process) -> float:
    """Seconds of processor time that it has used."""
    times = process.cpu_times()
    return times.user + times.system


@asynccontextmanager
async def peak_memory(process: psutil.Process) -> AsyncGenerator[Callable[[], float]]:
    """What the process had at most so far, in MB of resident memory."""
    peak = 0.0

    def look() -> float:
        nonlocal peak
        peak = max(peak, process.memory_info().rss / 2**20)
        return peak

    async def watch() -> None:
        while True:
            look()
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    try:
        yield look
    finally:
        watching.cancel()


def overtaken(ended: Sequence[float]) -> int:
    """How many at most were asked for later than one of these and ended before it."""
    return max(sum(other < one for other in ended[place + 1 :]) for place, one in enumerate(ended))


def on_paper(found: Round, concurrency: int, options: argparse.Namespace) -> float:
    """Seconds that these syncs take if a slot is never without a call and nothing else takes time."""
    return len(found.ended) * -(-options.templates // options.page) * options.latency / 1000 / concurrency


def report(name: str, found: Round, concurrency: int, options: argparse.Namespace) -> None:
    paper = on_paper(found, concurrency, options)
    alone = paper * concurrency / len(found.ended)
    ordered = sorted(found.took)
    p50, p99, most = (ordered[int(share * (len(ordered) - 1))] / alone for share in (0.5, 0.99, 1))
    print(f"{name}: {len(ordered)} accounts of {options.templates} templates, {concurrency} at once")
    print(
        f"  on paper {paper:.1f} s, took {found.lasted:.1f} s: {paper / found.lasted:.2f} of the bound "
        f"(goal: at least {GOAL}); in the tables "
        f"{found.visible - found.lasted:.1f} s later"
    )
    print(
        f"  one sync, {alone:.2f} s on paper: p50 {p50:.2f}, p99 {p99:.2f}, longest {most:.2f} times that; "
        f"at most {overtaken(found.ended)} asked for later ended before one"
    )
    print(f"  {found.events / len(ordered):.2f} events a sync (goal, when nothing has changed: 1)")


async def many(bench: Bench, name: str, asked: tuple[list[Event], list[str]], options: argparse.Namespace) -> Round:
    """All accounts at once, with a new worker."""
    concurrency = options.first_concurrency if name == "all new" else options.concurrency
    worker = await bench.start(concurrency)
    async with peak_memory(worker) as memory:
        used = processor(worker)
        found = await bench.round(*asked)
        report(name, found, concurrency, options)
        used, syncs = processor(worker) - used, len(found.ended)
        calls = on_paper(found, 1, options)
        print(
            f"  the worker used {used:.1f} s of processor time: {used / syncs * 1000:.0f} ms a sync, "
            f"{used / syncs / options.templates * 1000:.2f} ms a template; a core is all used from a concurrency of "
            f"{calls / used:.1f} on"
        )
        print(f"  its memory was {bench.idle:.0f} MB idle, {memory():.0f} MB at most", flush=True)
    return found


async def benchmark(options: argparse.Namespace) -> bool:
    accounts = [str(10**14 + number) for number in range(options.accounts)]
    async with running(options) as bench:
        new = await many(bench, "all new", connected(accounts), options)
        unchanged = await many(bench, "unchanged", requested(accounts), options)
        async with peak_memory(await bench.start(options.concurrency)) as memory:
            goals = await large(bench, memory, options)
    goals.append(on_paper(new, options.first_concurrency, options) / new.lasted >= GOAL)
    goals.append(on_paper(unchanged, options.concurrency, options) / unchanged.lasted >= GOAL)
    return all(goals) and unchanged.events == len(accounts)


async def large(bench: Bench, memory: Callable[[], float], options: argparse.Namespace) -> list[bool]:
    """An account with very many templates: its memory, and that it writes one event when nothing changed."""
    account = [LARGE + "0" * 14]
    size = sum(map(len, pages(options.large, options.page))) / 2**20
    for name, asked in (("all new", connected(account)), ("unchanged", requested(account))):
        found = await bench.round(*asked)
        print(f"an account of {options.large} templates ({size:.1f} MB of JSON), {name}: {found.events} events")
        print(
            f"  took {found.lasted:.1f} s, in the tables {found.visible - found.lasted:.1f} s later; memory "
            f"{memory():.0f} MB at most, {memory() - bench.idle:.0f} MB over idle (goal: at most {MEMORY_GOAL:.0f} MB)",
            flush=True,
        )
    return [memory() - bench.idle <= MEMORY_GOAL, found.events == 1]


@asynccontextmanager
async def running(options: argparse.Namespace) -> AsyncGenerator[Bench]:
    """Everything that a worker needs, on this machine."""
    ports = free_ports(5)
    async with stores(ports) as postgres:
        graph: asyncio.subprocess.Process | None = None
        try:
            os.environ.update({"META_GRAPH_URL": f"http://127.0.0.1:{ports[4]}", "RECONCILE_INTERVAL": "0"})
            numbers = [f"--{name}={getattr(options, name)}" for name in ("templates", "page", "latency", "large")]
            graph = await asyncio.create_subprocess_exec(
                sys.executable, __file__, *numbers, f"--graph={ports[4]}", stdout=asyncio.subprocess.PIPE
            )
            assert graph.stdout
            await graph.stdout.readline()
            settings = load(KafkaSettings)
            await ensure_topics(settings)
            async with asyncpg.create_pool(postgres.url, min_size=1, max_size=2) as pool:
                consumer = new_consumer(settings)
                publisher = TransactionalPublisher(settings, "/wabus/benchmark", "benchmark")
                bench = Bench(pool, publisher, consumer, topic_name(settings, TEMPLATES))
                await consumer.start()
                try:
                    yield bench
                finally:
                    await bench.stop()
                    await consumer.stop()
                    await publisher.stop()
        finally:
            if graph:
                with suppress(ProcessLookupError):
                    graph.terminate()
                await graph.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--accounts", type=int, default=1000)
    parser.add_argument("--templates", type=int, default=250, help="of each account")
    parser.add_argument("--page", type=int, default=50, help="templates in a page")
    parser.add_argument("--large", type=int, default=6000, help="templates of the large account")
    parser.add_argument("--latency", type=float, default=20, help="milliseconds of a call")
    parser.add_argument("--concurrency", type=int, default=2, help="SYNC_CONCURRENCY while nothing has changed")
    parser.add_argument("--first-concurrency", type=int, default=1, help="SYNC_CONCURRENCY while all templates are new")
    parser.add_argument("--graph", type=int, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.graph:
        uvloop.run(serve_graph(options))
    else:
        sys.exit(not asyncio.run(benchmark(options)))


if __name__ == "__main__":
    main()
