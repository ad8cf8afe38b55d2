"""What following conversations costs beside Centrifugo, what is missed by who is cut off, and how fresh frames are.

    python benchmarks/feed.py [--connections 5000] [--rate 200] [--webhooks 500] [--seconds 20] [--centrifugo PATH]
                              [--only fan-out|cuts|freshness]

Starts Kafka and PostgreSQL of its own, a worker, the API and a gateway, each as a process. Clients are processes too.

1. Fan-out: `--connections` server-sent event streams of 50 organisations, while `--rate` messages a second come from
   Kafka. Deliveries are divided by the CPU seconds of the process that sends them. Then as many streams of Centrifugo
   (`go install github.com/centrifugal/centrifugo/v6@v6.9.1`; `--centrifugo` is its path) get messages of the same size
   at the same rate by its HTTP API. Goal: half of Centrifugo's deliveries a core-second.
2. Cuts: each client is cut off three times for two seconds meanwhile, and comes back with its cursor. Goal: none misses
   anything.
3. Freshness: `--webhooks` signed webhooks a second, each from the gateway's answer until its frame, one stream for
   each organisation. A frame may be there before that answer, which then took nothing. Goal: p50 30 ms, p99 150 ms.
   What each process took of the machine is told too: they share two cores with Kafka, PostgreSQL and who posts.
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import os
import random
import resource
import sys
import tempfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, cast
from urllib.parse import quote

import aiohttp
import psutil
import uvloop
from gateway_limits import cpu_seconds, memory_mb
from stack import free_ports, ready, report, stores
from wabus_events import AccountConnected, Event, MessageReceived, fact_id
from wabus_runtime.http.auth import make_token
from wabus_runtime.kafka.clients import ensure_topics
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.settings import AuthSettings, KafkaSettings, load

ORGANISATIONS = 50
PEOPLE = 20  # of each
CUTS, CUT_FOR = 3, 2.0  # times, seconds
SETTLE = 6.0  # seconds from the last message until those who were cut off have everything
OPENED_AT_ONCE = 200
GOAL_OF_CENTRIFUGO, GOAL_P50, GOAL_P99 = 0.5, 30.0, 150.0
TEXT = "n={number} at={at} " + "and some words as people write them. " * 3


def organisation(number: int) -> str:
    return f"org-{number % ORGANISATIONS}"


def message(number: int, *, text: str) -> Event:
    """A message to one organisation after the other."""
    wamid, now = f"wamid.feed.{time.time_ns()}.{number}", datetime.now(UTC).replace(microsecond=0)
    person = f"1650555{number // ORGANISATIONS % PEOPLE:04}"
    account = str(number % ORGANISATIONS)
    item = {"id": wamid, "from": person, "timestamp": str(int(now.timestamp())), "type": "text", "text": {"body": text}}
    return MessageReceived(
        id=fact_id(MessageReceived.type, wamid),
        time=now,
        org_id=organisation(number),
        waba_id=account,
        phone_number_id=account,
        wamid=wamid,
        contact=person,
        message_type="text",
        value={
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550783881", "phone_number_id": account},
            "contacts": [{"profile": {"name": "Sheena Nelson"}, "wa_id": person}],
            "messages": [item],
        },
    )


class Stream(asyncio.Protocol):
    """A client that reads server-sent events, and knows which messages it has seen."""

    def __init__(self, request: bytes, came: list[tuple[int, float, float]]) -> None:
        self._request = request
        self._came = came
        """Of each message its number, when it was sent, and when it was here."""
        self._rest = b""
        self._transport: asyncio.Transport | None = None
        self.last_id = b""
        self.begun = asyncio.Event()
        self.seen: set[int] = set()
        self.frames = 0
        self.bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = opened = cast(asyncio.Transport, transport)
        self._rest = b""
        header = b"Last-Event-ID: %s\r\n" % self.last_id if self.last_id else b""
        opened.write(self._request + header + b"\r\n")

    def data_received(self, data: bytes) -> None:
        now = time.perf_counter()
        events = (self._rest + data).split(b"\n\n")
        self._rest = events.pop()
        for event in events:
            self.begun.set()
            if (found := event.rfind(b"id: ", 0, 300)) >= 0 and event[found - 1 : found] in (b"\n", b""):
                self.last_id = event[found + 4 : event.index(b"\n", found)]
            at = event.find(b"n=")
            if at < 0:
                continue
            self.frames += 1
            self.bytes += len(event)
            while at >= 0:
                end = event.index(b" ", at)
                if event[at + 2 : end].isdigit():
                    number = int(event[at + 2 : end])
                    if number not in self.seen:
                        self.seen.add(number)
                        self._came.append((number, int(event[end + 4 : event.index(b" ", end + 1)]) / 1e9, now))
                at = event.find(b"n=", end)

    def cut(self) -> None:
        """Leave without a word."""
        if self._transport:
            self._transport.abort()


async def clients(port: int, requests: Sequence[bytes], cuts: int) -> None:
    """A process of clients: opens, says so, and at the word of its parent says what came."""
    came: list[tuple[int, float, float]] = []
    streams = [Stream(request, came) for request in requests]
    loop = asyncio.get_running_loop()

    async def connect(stream: Stream) -> None:
        await loop.create_connection(lambda: stream, "127.0.0.1", port)

    for first in range(0, len(streams), OPENED_AT_ONCE):
        some = streams[first : first + OPENED_AT_ONCE]
        await asyncio.gather(*map(connect, some))
        for each in some:
            await asyncio.wait_for(each.begun.wait(), 60)
    print(json.dumps({"open": len(streams)}), flush=True)

    async def cut(stream: Stream) -> None:
        for _ in range(cuts):
            await asyncio.sleep(random.uniform(0.5, 4))
            stream.cut()
            await asyncio.sleep(CUT_FOR)
            await connect(stream)

    reader = asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    cutting = [asyncio.create_task(cut(stream)) for stream in streams]
    await reader.readline()
    told = {
        "frames": sum(each.frames for each in streams),
        "deliveries": sum(len(each.seen) for each in streams),
        "bytes": sum(each.bytes for each in streams),
        "fewest": min(len(each.seen) for each in streams),
        "most": max(len(each.seen) for each in streams),
        "came": random.sample(came, min(len(came), 50_000)),
        "failed": sum(each.done() and each.exception() is not None for each in cutting),
    }
    print(json.dumps(told), flush=True)


@asynccontextmanager
async def following(
    port: int, requests: Sequence[bytes], cuts: int = 0
) -> AsyncGenerator[Callable[[], Awaitable[dict[str, Any]]]]:
    """Clients in a process of their own, all open; gives what asks them for what came."""
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump([each.decode() for each in requests], file)
        file.flush()
        process = await asyncio.create_subprocess_exec(
            sys.executable, __file__, "--clients", file.name, "--port", str(port), "--cuts", str(cuts),
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**24,
        )  # fmt: skip
        assert process.stdout
        assert process.stdin
        stdout, stdin = process.stdout, process.stdin
        try:
            assert json.loads(await asyncio.wait_for(stdout.readline(), 300))["open"] == len(requests)

            async def told() -> dict[str, Any]:
                stdin.write(b"\n")
                return json.loads(await asyncio.wait_for(stdout.readline(), 60))

            yield told
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()


@asynccontextmanager
async def service(*command: str, port: int) -> AsyncGenerator[psutil.Process]:
    process = await asyncio.create_subprocess_exec(
        *command, env=os.environ | {"HTTP_PORT": str(port)}, stderr=asyncio.subprocess.DEVNULL
    )
    try:
        await ready(f"http://127.0.0.1:{port}")
        yield psutil.Process(process.pid)
    finally:
        process.terminate()
        await process.wait()


def requests_of(count: int, port: int) -> list[bytes]:
    auth = load(AuthSettings)
    now, lasts = datetime.now(UTC), timedelta(hours=1)
    tokens = [
        make_token(auth, org_id=organisation(each), role="service", now=now, lifetime=lasts)
        for each in range(ORGANISATIONS)
    ]
    return [
        b"GET /conversations/stream HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nAuthorization: Bearer %s\r\n"
        % (port, tokens[number % ORGANISATIONS].encode())
        for number in range(count)
    ]


async def paced(rate: float, seconds: float, send: Callable[[int], Awaitable[object]]) -> int:
    """Send at fixed times, whatever becomes of what was sent before; how many were sent."""
    begun, sent = time.perf_counter(), set[asyncio.Task[object]]()
    count = int(rate * seconds)
    for number in range(count):
        await asyncio.sleep(max(0.0, begun + number / rate - time.perf_counter()))
        task = asyncio.ensure_future(send(number))
        sent.add(task)
        task.add_done_callback(sent.discard)
    await asyncio.gather(*sent)
    return count


async def publish_at(publisher: Publisher, rate: float, seconds: float) -> int:
    async def send(number: int) -> None:
        await publisher.publish([message(number, text=TEXT.format(number=number, at=time.perf_counter_ns()))])

    return await paced(rate, seconds, send)


async def fan_out(
    options: argparse.Namespace, publisher: Publisher, api: psutil.Process, port: int
) -> tuple[float, int]:
    idle = memory_mb(api)
    async with following(port, requests_of(options.connections, port)) as told:
        full = memory_mb(api)
        begun, cpu = time.perf_counter(), cpu_seconds(api)
        sent = await publish_at(publisher, options.rate, options.seconds)
        await asyncio.sleep(1)
        spent, took = cpu_seconds(api) - cpu, time.perf_counter() - begun
        came = await told()
    wanted = sent * options.connections // ORGANISATIONS
    size = came["bytes"] // max(1, came["frames"])
    each = came["deliveries"] / spent
    print(
        f"fan-out to {options.connections:,} streams, {options.rate:.0f} messages a second for {options.seconds:.0f} s"
    )
    print(f"  {came['deliveries']:,} of {wanted:,} deliveries in {came['frames']:,} frames of {size:,} bytes")
    print(f"  {spent:.1f} CPU seconds in {took:.1f} s: {each:,.0f} deliveries a core-second")
    print(f"  {(full - idle) * 1e3 / options.connections:.1f} kB a stream")
    report("published -> frame", [seen - sent for _, sent, seen in came["came"]])
    return each, size


async def fan_out_of_centrifugo(options: argparse.Namespace, port: int, size: int) -> float:
    config = {
        "http_server": {"port": port, "address": "127.0.0.1"},
        "client": {"insecure": True},
        "http_api": {"insecure": True},
        "uni_sse": {"enabled": True},
        "channel": {"without_namespace": {"allow_subscribe_for_client": True}},
        "health": {"enabled": True},
        "log": {"level": "error"},
    }
    filler = "x" * max(1, size - 120)
    with tempfile.NamedTemporaryFile("w", suffix=".json") as file:
        json.dump(config, file)
        file.flush()
        process = await asyncio.create_subprocess_exec(options.centrifugo, "--config", file.name)
        try:
            requests = [
                b"GET /connection/uni_sse?cf_connect=%s HTTP/1.1\r\nHost: 127.0.0.1:%d\r\n"
                % (quote(json.dumps({"subs": {organisation(number): {}}})).encode(), port)
                for number in range(options.connections)
            ]
            async with aiohttp.ClientSession() as session:
                async with asyncio.timeout(30):
                    while True:
                        try:
                            async with session.get(f"http://127.0.0.1:{port}/health") as answer:
                                if answer.status == 200:
                                    break
                        except aiohttp.ClientError:
                            await asyncio.sleep(0.1)
                centrifugo = psutil.Process(process.pid)
                async with following(port, requests) as told:
                    cpu = cpu_seconds(centrifugo)

                    async def send(number: int) -> None:
                        text = f"n={number} at={time.perf_counter_ns()} {filler}"
                        body = {"channel": organisation(number), "data": {"text": text}}
                        async with session.post(f"http://127.0.0.1:{port}/api/publish", json=body) as answer:
                            assert answer.status == 200

                    await paced(options.rate, options.seconds, send)
                    await asyncio.sleep(1)
                    spent = cpu_seconds(centrifugo) - cpu
                    came = await told()
        finally:
            process.terminate()
            await process.wait()
    each = came["deliveries"] / spent
    print(f"Centrifugo: {came['deliveries']:,} deliveries in {spent:.1f} CPU seconds: {each:,.0f} a core-second")
    report("published -> frame", [seen - sent for _, sent, seen in came["came"]])
    return each


async def cuts(options: argparse.Namespace, publisher: Publisher, port: int) -> int:
    count = min(options.connections, 500)
    async with following(port, requests_of(count, port), CUTS) as told:
        sent = await publish_at(publisher, options.rate, max(options.seconds, 20))
        await asyncio.sleep(SETTLE)
        came = await told()
    each = sent // ORGANISATIONS
    missed = each * count - came["deliveries"]
    print(f"cuts: {count} clients, each cut off {CUTS} times for {CUT_FOR:.0f} s: {missed} of {each * count:,} missed")
    print(f"  the fewest that one client has is {came['fewest']} of {each}; {came['failed']} could not come back")
    return missed


def spent_by_all() -> dict[str, float]:
    """CPU seconds of all processes of the benchmark so far, by what they are."""
    spent: dict[str, float] = {}
    for each in (own := psutil.Process(), *own.children(recursive=True)):
        with suppress(psutil.Error):
            command, times = each.cmdline(), each.cpu_times()
            services = [part.removeprefix("wabus_") for part in command if part.startswith("wabus_")]
            roles = [part for part in command if part in ("api", "worker")]
            is_ours = Path(command[0]).name.startswith("python")
            name = "-".join(services + roles) if services else "clients" if is_ours else each.name()
            spent[name] = spent.get(name, 0.0) + times.user + times.system
    return spent


async def freshness(options: argparse.Namespace, gateway: int, port: int) -> bool:
    secret, answered = os.environ["META_APP_SECRETS"].encode(), dict[int, float]()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=256)) as session:

        async def post(number: int) -> None:
            event = message(number, text=TEXT.format(number=number, at=time.perf_counter_ns()))
            assert isinstance(event, MessageReceived)
            entry = {"id": event.waba_id, "changes": [{"value": event.value, "field": "messages"}]}
            body = json.dumps({"object": "whatsapp_business_account", "entry": [entry]}).encode()
            signature = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
            headers = {"X-Hub-Signature-256": signature}
            async with session.post(
                f"http://127.0.0.1:{gateway}/webhooks/whatsapp", data=body, headers=headers
            ) as answer:
                if answer.status == 200:
                    answered[number] = time.perf_counter()

        async with following(port, requests_of(ORGANISATIONS, port)) as told:
            before, begun = spent_by_all(), time.perf_counter()
            sent = await paced(options.webhooks, options.seconds, post)
            took = time.perf_counter() - begun
            after = spent_by_all()
            await asyncio.sleep(3)
            came = await told()
    print(f"freshness at {options.webhooks:.0f} webhooks a second")
    print(f"  {len(answered):,} of {sent:,} accepted, {came['deliveries']:,} told in {came['frames']:,} frames")
    shares = sorted(((spent - before.get(name, 0.0)) / took, name) for name, spent in after.items())
    print("  of a core: " + ", ".join(f"{name} {share:.2f}" for share, name in reversed(shares) if share > 0.005))
    numbered = {number: (sent_at, seen) for number, sent_at, seen in came["came"] if number in answered}
    report("webhook sent -> answer", [answered[number] - sent_at for number, (sent_at, _) in numbered.items()])
    report("webhook sent -> frame", [seen - sent_at for sent_at, seen in numbered.values()])
    from_answer = sorted(max(0.0, seen - answered[number]) for number, (_, seen) in numbered.items())
    p99 = report("answer -> frame", from_answer)
    p50 = from_answer[len(from_answer) // 2] * 1000
    print(f"  goal: p50 at most {GOAL_P50:.0f} ms, p99 at most {GOAL_P99:.0f} ms")
    return p50 <= GOAL_P50 and p99 <= GOAL_P99


async def run(options: argparse.Namespace) -> bool:
    """Whether every goal is met."""
    met = True
    ports = free_ports(8)
    os.environ["CONVERSATIONS_STREAMS"] = "20000"
    async with stores(ports[:4]):
        await ensure_topics(load(KafkaSettings))
        publisher = Publisher(load(KafkaSettings), "/wabus/benchmark")
        await publisher.start()
        since = datetime.now(UTC) - timedelta(days=1)
        await publisher.publish(
            [
                AccountConnected(
                    id=fact_id(AccountConnected.type, each), time=since, org_id=organisation(each), waba_id=str(each)
                )
                for each in range(ORGANISATIONS)
            ]
        )
        python = sys.executable
        async with (
            service(python, "-m", "wabus_conversations", "--role", "worker", port=ports[4]),
            service(python, "-m", "wabus_conversations", "--role", "api", port=ports[3]) as api,
        ):
            await publish_at(publisher, 500, ORGANISATIONS * PEOPLE / 500)
            if options.only in (None, "fan-out"):
                ours, size = await fan_out(options, publisher, api, ports[3])
                if options.centrifugo:
                    theirs = await fan_out_of_centrifugo(options, ports[5], size)
                    print(f"  ours is {ours / theirs:.2f} of Centrifugo's (goal: at least {GOAL_OF_CENTRIFUGO})")
                    met &= ours / theirs >= GOAL_OF_CENTRIFUGO
            if options.only in (None, "cuts"):
                met &= await cuts(options, publisher, ports[3]) == 0
            if options.only in (None, "freshness"):
                async with service(python, "-m", "wabus_gateway", port=ports[6]):
                    met &= await freshness(options, ports[6], ports[3])
        await publisher.stop()
    return met


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--connections", type=int, default=5_000)
    parser.add_argument("--rate", type=float, default=200)
    parser.add_argument("--webhooks", type=float, default=500)
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--centrifugo", help="the path of its binary")
    parser.add_argument("--only", choices=("fan-out", "cuts", "freshness"))
    parser.add_argument("--clients", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--port", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--cuts", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    if options.clients:
        requests = [each.encode() for each in json.loads(options.clients.read_text())]
        uvloop.run(clients(options.port, requests, options.cuts))
    elif not uvloop.run(run(options)):
        sys.exit(1)


if __name__ == "__main__":
    main()
