"""How fast the health-projector folds, in how much memory, and how fresh its rows are.

    python benchmarks/projection.py [--events 1000000] [--batch 2000] [--rate 500] [--seconds 20] [--port 29400]

Starts Kafka and PostgreSQL of its own. Two histories are written to Kafka before the projector's process starts: one of
messages and statuses, one of facts about accounts and templates. Folding each is compared with a plain COPY and upsert
of the very rows that it wrote, in the same batches, in the same tables of another schema (`projection_baseline.py`).
Goal: at least half of that rate. Then webhooks go through the real gateway at a fixed rate, and each is timed from its
200 to its row (`projection_freshness.py`).
"""

import argparse
import asyncio
import os
import random
import secrets
import sys
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import asyncpg
import psutil
from aiokafka import AIOKafkaProducer
from projection_baseline import plain
from projection_freshness import freshness
from stack import stores
from wabus_events import Event, MessageReceived, MessageStatusChanged, Record, encode, fact_id
from wabus_events.models.accounts import AccountConnected, PhoneNumberQualityChanged, WebhookSeen
from wabus_events.models.templates import TemplatesSynced, TemplateStatusChanged, TemplateSyncRequested
from wabus_runtime.kafka.clients import client_options, ensure_topics, partition_of, topic_name
from wabus_runtime.projection.declaration import MAX_BATCH
from wabus_runtime.settings import KafkaSettings, load

GOAL = 0.5
WABAS = 200
LOOK_EVERY = 0.05  # seconds
STALLED_AFTER = 60.0  # seconds

History = Callable[[int, random.Random], Iterator[Event]]

START = datetime.now(UTC).replace(microsecond=0) - timedelta(hours=30)


def message_history(count: int, random: random.Random) -> Iterator[Event]:
    """Conversations: a message comes, one is sent, which is delivered and read; one in fifty fails."""
    for number in range(count):
        waba, contact = random.randrange(WABAS), f"1650555{random.randrange(10_000):04d}"
        phone, wamid = f"{waba}0{random.randrange(3)}", f"wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQzQTdCNTg5RTQ5{number:09d}"
        envelope: dict[str, Any] = {
            "time": START + timedelta(seconds=number * 100_000 // count),
            "org_id": f"org-{waba}",
        }
        about: dict[str, Any] = {"waba_id": str(waba), "phone_number_id": phone, "wamid": wamid, "contact": contact}
        value: dict[str, Any] = {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "15550783881", "phone_number_id": phone},
        }
        status = ("received", "sent", "delivered", "read")[number % 4]
        if status == "received":
            value["contacts"] = [{"profile": {"name": "Sheena Nelson"}, "wa_id": contact}]
            value["messages"] = [{"from": contact, "id": wamid, "type": "text", "text": {"body": "Is it there? " * 8}}]
            yield MessageReceived(
                id=fact_id(MessageReceived.type, wamid), message_type="text", value=value, **about, **envelope
            )
            continue
        status, errors = ("failed", [131026]) if number % 50 == 1 else (status, [])
        value["statuses"] = [
            {
                "id": wamid,
                "status": status,
                "recipient_id": contact,
                "conversation": {"id": secrets.token_hex(16), "origin": {"type": "utility"}},
                "pricing": {"billable": True, "pricing_model": "PMP", "category": "utility"},
            }
        ]
        yield MessageStatusChanged(
            id=fact_id(MessageStatusChanged.type, wamid, status),
            status=status,
            error_codes=errors,
            value=value,
            **about,
            **envelope,
        )


def fact_history(count: int, random: random.Random) -> Iterator[Event]:
    """Accounts that are connected, and from then on synced, seen, and told of templates and of phone numbers."""
    for number in range(count):
        waba = number if number < WABAS else random.randrange(WABAS)
        time, template = START + timedelta(seconds=number * 100_000 // count), f"{waba}{random.randrange(20)}"
        common = {"waba_id": str(waba), "org_id": f"org-{waba // 2}", "time": time}
        named = {"template_id": template, "name": f"offer_{template}", "language": "en"}
        sync = {"sync_id": str(number), "reason": "reconciliation"}
        kind: type[Event] = AccountConnected
        details: dict[str, Any] = {"phone_numbers": [{"phone_number_id": "1", "display_phone_number": "15550783881"}]}
        if number >= WABAS:
            kind, details = random.choice(
                [
                    (TemplateStatusChanged, {**named, "event": random.choice(["APPROVED", "PAUSED"]), "value": {}}),
                    (
                        PhoneNumberQualityChanged,
                        {"display_phone_number": "15550783881", "event": "FLAGGED", "current_limit": None, "value": {}},
                    ),
                    (WebhookSeen, {"day": time.date(), "field": "messages"}),
                    (TemplateSyncRequested, sync),
                    (
                        TemplatesSynced,
                        {
                            **sync,
                            **dict.fromkeys(("added", "changed", "removed"), 0),
                            **{"total": 20, "approved": 19, "by_status": {"APPROVED": 19}, "started_at": time},
                        },
                    ),
                ]
            )
        yield kind.model_validate({"id": fact_id(kind.type, waba, number), **common, **details})


HISTORIES: dict[str, History] = {"messages": message_history, "facts": fact_history}


@dataclass
class Folded:
    """What the projector's process did with one history."""

    events: int
    seconds: float
    resident: list[tuple[float, int]] = field(default_factory=list[tuple[float, int]])
    """How much was done, as a share, and the bytes that were resident then."""

    @property
    def rate(self) -> float:
        return self.events / self.seconds


async def write_history(settings: KafkaSettings, history: Iterator[Event]) -> int:
    """Put a history into Kafka, each event in the partition that its key has; returns how many there were."""
    producer = AIOKafkaProducer(**client_options(settings), linger_ms=20, max_batch_size=256 * 1024)
    await producer.start()
    sent = 0
    try:
        for event in history:
            record: Record = encode(event, "/benchmark")
            await producer.send(
                topic_name(settings, record.topic),
                record.value,
                key=record.key,
                partition=partition_of(record.key, event.topic.partitions),
                headers=record.headers,
            )
            sent += 1
        await producer.flush()
    finally:
        await producer.stop()
    return sent


@asynccontextmanager
async def process(module: str, *arguments: str, port: int) -> AsyncGenerator[psutil.Process]:
    """A service's process, while it is needed."""
    running = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments), env={**os.environ, "HTTP_PORT": str(port)}
    )
    try:
        yield psutil.Process(running.pid)
    finally:
        running.terminate()
        await running.wait()


async def fold(database: asyncpg.Connection, events: int, before: int, port: int) -> Folded:
    """Run the projector's worker until it has folded `events` more; measured from its first to its last transaction."""
    clock = time.perf_counter
    done = started = 0
    began = moved = clock()
    resident: list[tuple[float, int]] = []
    async with process("wabus_health_projector", "--role", "worker", port=port) as worker:
        while done < events:
            await asyncio.sleep(LOOK_EVERY)
            reached = await reached_offset(database) - before
            if reached > done:
                if not done:
                    started, began = reached, clock()
                done, moved = reached, clock()
                resident.append((done / events, worker.memory_info().rss))
            if clock() - moved > STALLED_AFTER:
                raise SystemExit(f"the projector has folded {done} of {events} events and does not move")
    return Folded(events - started, moved - began, resident)


async def reached_offset(database: asyncpg.Connection) -> int:
    """How many records the projector has folded in all; 0 before its tables are there."""
    try:
        done = await database.fetchval(
            "SELECT sum(next_offset)::bigint FROM projection_offsets WHERE projection = 'health-projector'"
        )
        return done or 0
    except asyncpg.UndefinedTableError:
        return 0


async def compare(
    name: str,
    settings: KafkaSettings,
    history: History,
    options: argparse.Namespace,
) -> bool:
    """Fold a history, then write the same rows plainly; whether the goal is met."""
    database = await asyncpg.connect(os.environ["DATABASE_URL"])
    try:
        before = await reached_offset(database)
        count = await write_history(settings, history(options.events, random.Random(6)))
        folded = await fold(database, count, before, options.port + 3)
        print(f"{name}: folded {folded.events:,} events at {folded.rate:,.0f} a second", flush=True)
        for share in (0.1, 0.25, 0.5, 0.75, 1.0):
            done, resident = min(folded.resident, key=lambda each: abs(each[0] - share))
            print(f"  resident at {done:4.0%}: {resident / 1e6:,.0f} MB", flush=True)
        some = islice(history(options.events, random.Random(6)), options.baseline)
        seconds, rows = await plain(database, some, options.batch)
    finally:
        await database.close()
    at_once = min(count, options.baseline) / seconds
    ratio = folded.rate / at_once
    print(
        f"  plain COPY and upsert of the same {rows:,} rows, {options.batch} events a transaction: "
        f"{at_once:,.0f} events a second"
    )
    print(f"  that is {ratio:.2f} of it (goal: at least {GOAL})")
    return ratio >= GOAL


async def benchmark(options: argparse.Namespace) -> bool:
    async with stores(range(options.port, options.port + 4)):
        settings = load(KafkaSettings)
        await ensure_topics(settings)
        met = [await compare(name, settings, HISTORIES[name], options) for name in options.histories]
        async with (
            process("wabus_health_projector", "--role", "worker", port=options.port + 3),
            process("wabus_gateway", port=options.port + 4),
        ):
            await freshness(f"http://127.0.0.1:{options.port + 4}", options.rate, options.seconds)
    return all(met)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=1_000_000, help="of each history")
    parser.add_argument("--histories", nargs="*", choices=list(HISTORIES), default=list(HISTORIES))
    parser.add_argument("--baseline", type=int, default=200_000, help="at most so many are written plainly")
    parser.add_argument("--batch", type=int, default=MAX_BATCH, help="events in a transaction of the plain way")
    parser.add_argument("--rate", type=float, default=500, help="webhooks a second")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--port", type=int, default=29400, help="the first of five")
    sys.exit(not asyncio.run(benchmark(parser.parse_args())))


if __name__ == "__main__":
    main()
