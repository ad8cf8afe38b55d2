"""How fast conversations are folded, beside COPY and upsert of the very rows, and from a history that is out of order.

    python benchmarks/conversations.py [--events 200000] [--people 20000] [--port 29500]

Starts Kafka and PostgreSQL of its own. A history of messages and statuses is written to Kafka before the worker's
process starts: a person writes, and is answered by a message that is sent, delivered and read. Every item has number
and user id, as Meta gives them. It is folded without the index of texts, with it, and once more with 30 % of statuses
late, doubled and turned, which must give the same tables. The plain way writes the rows of the first fold in the same
batches into the same tables of another schema.

Goals: at least 0.4 of the plain way; 10,000 events a second without the index and 8,000 with it; out of order at least
0.9 of the rate in order.
"""

import argparse
import asyncio
import os
import random
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import asyncpg
import psutil
from conversations_baseline import plain
from projection import process, write_history
from stack import stores
from wabus_events import AccountConnected, Event, MessageReceived, MessageStatusChanged, fact_id
from wabus_runtime.kafka.clients import ensure_topics
from wabus_runtime.projection.declaration import MAX_BATCH
from wabus_runtime.settings import KafkaSettings, load

GOAL_OF_PLAIN, GOAL_WITHOUT_TEXT, GOAL_WITH_TEXT, GOAL_OUT_OF_ORDER = 0.4, 10_000, 8_000, 0.9
ACCOUNTS = 50
LATE = 0.3  # of the statuses
STALLED_AFTER = 60.0  # seconds
LOOK_EVERY = 0.05  # seconds
START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)
WORDS = (
    "order",
    "parcel",
    "invoice",
    "tomorrow",
    "thanks",
    "where",
    "address",
    "refund",
    "size",
    "colour",
    "when",
    "is",
)


def connections() -> Iterator[Event]:
    for account in range(ACCOUNTS):
        yield AccountConnected(
            id=fact_id(AccountConnected.type, account),
            time=START - timedelta(days=1),
            org_id=f"org-{account}",
            waba_id=str(account),
        )


def history(count: int, people: int, random: random.Random) -> Iterator[Event]:
    """In order: of four events one is a message that comes, and three are statuses of one that was sent."""
    sent: list[tuple[int, int, str]] = []
    for number in range(count):
        time = START + timedelta(seconds=number * 100_000 // count)
        if number % 4 == 0:
            person = random.randrange(people)
            wamid = f"wamid.HBgLMTY1MDU1NTEyMzQVAgASGBQzQTdCNTg5RTQ5{number:09d}"
            yield received(person, wamid, time, " ".join(random.choices(WORDS, k=10)))
            sent.append((person, number, f"wamid.HBgLMTY1MDU1NTEyMzQVAgARGBI5QTdCNTg5{number:09d}"))
        else:
            person, _, wamid = sent[-1]
            yield told(person, wamid, time, ("sent", "delivered", "read")[number % 4 - 1])


def out_of_order(events: Iterable[Event], random: random.Random) -> Iterator[Event]:
    """The same, with some statuses late, which turns them, and as many of them twice."""
    late: list[tuple[int, Event]] = []
    for number, event in enumerate(events):
        if isinstance(event, MessageStatusChanged) and random.random() < LATE:
            late.append((number + random.randrange(1, 4_000), event))
            if random.random() < 0.5:
                yield event
        else:
            yield event
        if number % 500 == 0:
            due = [each for at, each in late if at <= number]
            late = [(at, each) for at, each in late if at > number]
            random.shuffle(due)
            yield from due
    yield from (each for _, each in late)


def received(person: int, wamid: str, time: datetime, text: str) -> Event:
    ids, about = of_person(person, wamid, time)
    item = {
        "from": ids[0],
        "from_user_id": ids[1],
        "id": wamid,
        "timestamp": str(int(time.timestamp())),
        "type": "text",
    }
    contact = {"profile": {"name": f"Person {person}"}, "wa_id": ids[0], "user_id": ids[1]}
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": about["phone_number_id"]},
        "contacts": [contact],
        "messages": [item | {"text": {"body": text}}],
    }
    return MessageReceived(id=fact_id(MessageReceived.type, wamid), message_type="text", value=value, **about)


def told(person: int, wamid: str, time: datetime, status: str) -> Event:
    ids, about = of_person(person, wamid, time)
    item = {
        "id": wamid,
        "status": status,
        "timestamp": str(int(time.timestamp())),
        "recipient_id": ids[0],
        "recipient_user_id": ids[1],
        "pricing": {"billable": True, "pricing_model": "PMP", "category": "utility", "type": "regular"},
    }
    value = {
        "messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "15550783881", "phone_number_id": about["phone_number_id"]},
        "contacts": [{"wa_id": ids[0], "user_id": ids[1]}],
        "statuses": [item],
    }
    return MessageStatusChanged(
        id=fact_id(MessageStatusChanged.type, wamid, status), status=status, value=value, **about
    )


def of_person(person: int, wamid: str, time: datetime) -> tuple[tuple[str, str], dict[str, Any]]:
    account = person % ACCOUNTS
    ids = f"1650{person:07d}", f"US.{10**15 + person}"
    return ids, {
        "waba_id": str(account),
        "org_id": f"org-{account}",
        "phone_number_id": f"number-{account}",
        "contact": ids[0],
        "user_id": ids[1],
        "wamid": wamid,
        "time": time,
    }


@dataclass
class Folded:
    """What the worker did with one history."""

    events: int
    seconds: float
    digest: dict[str, str]
    cpu: float
    """Seconds of the worker's own process."""
    cpu_of_database: float
    size: int
    """Bytes of the tables, with their indices."""

    @property
    def rate(self) -> float:
        return self.events / self.seconds


async def fold(
    url: str, server: psutil.Process, name: str, prefix: str, events: int, port: int, *, search: bool
) -> Folded:
    """Fold into a database of its own; measured from the worker's first to its last transaction."""
    administrator = await asyncpg.connect(url)
    await administrator.execute(f"CREATE DATABASE {name}")
    await administrator.close()
    os.environ |= {
        "DATABASE_URL": url.rpartition("/")[0] + f"/{name}",
        "TOPIC_PREFIX": prefix,
        "CONVERSATIONS_SEARCH": str(search),
    }
    database = await asyncpg.connect(os.environ["DATABASE_URL"], server_settings={"search_path": "conversations"})
    clock = time.perf_counter
    done = started = 0
    began = moved = clock()
    cpu = cpu_of_database = 0.0
    try:
        async with process("wabus_conversations", "--role", "worker", port=port) as worker:
            while done < events:
                await asyncio.sleep(LOOK_EVERY)
                reached = await reached_offset(database)
                if reached > done:
                    if not done:
                        started, began, cpu = reached, clock(), sum(worker.cpu_times()[:2])
                        cpu_of_database = burnt(server)
                    done, moved = reached, clock()
                if clock() - moved > STALLED_AFTER:
                    raise SystemExit(f"the worker has folded {done} of {events} events and does not move")
            spent = sum(worker.cpu_times()[:2]) - cpu, burnt(server) - cpu_of_database
        size = await database.fetchval(SIZE)
        return Folded(
            events - started, moved - began, await digests(database), *spent, size * (events - started) // done
        )
    finally:
        await database.close()


def burnt(process: psutil.Process) -> float:
    """CPU seconds of a process and of its children, those that have ended included where it has waited for them."""
    total = 0.0
    for each in (process, *process.children(recursive=True)):
        try:
            total += sum(each.cpu_times()[: 4 if each is process else 2])
        except psutil.NoSuchProcess:
            continue
    return total


async def reached_offset(database: asyncpg.Connection) -> int:
    try:
        done = await database.fetchval("SELECT sum(next_offset)::bigint FROM projection_offsets")
        return done or 0
    except asyncpg.UndefinedTableError:
        return 0


TABLES = {
    "conversations": "to_jsonb(t) - 'version' - 'last_tie' - 'heard_tie'",
    "messages": "to_jsonb(t) - 'tie' - 'month'",
    "message_statuses": "to_jsonb(t) - 'month'",
    "identifiers": "to_jsonb(t)",
    "persons": "to_jsonb(t)",
}
"""What of each table must be the same; the order of messages of one second, and where they are, is the log's."""


SIZE = """
    SELECT sum(pg_total_relation_size(oid))::bigint FROM pg_class
    WHERE relnamespace = 'conversations'::regnamespace AND relkind = 'r'
"""


async def digests(database: asyncpg.Connection) -> dict[str, str]:
    found: dict[str, str] = {}
    for table, row in TABLES.items():
        query = f"SELECT count(*) || ' ' || sum(hashtextextended(({row})::text, 0)::numeric) FROM {table} AS t"
        found[table] = str(await database.fetchval(query, timeout=600))
    return found


async def benchmark(options: argparse.Namespace) -> bool:
    async with stores(range(options.port, options.port + 4)) as postgres:
        assert postgres.child is not None
        return await compare(postgres.url, psutil.Process(postgres.child.pid), options)


async def compare(url: str, server: psutil.Process, options: argparse.Namespace) -> bool:
    """Fold, and write plainly; whether the goals are met."""
    in_order = list(history(options.events, options.people, random.Random(6)))
    counts: dict[str, int] = {}
    for prefix, events in (("ordered.", in_order), ("turned.", list(out_of_order(in_order, random.Random(7))))):
        os.environ["TOPIC_PREFIX"] = prefix
        settings = load(KafkaSettings)
        await ensure_topics(settings)
        await write_history(settings, connections())
        counts[prefix] = await write_history(settings, iter(events))
    met: list[bool] = []
    port = options.port + 3
    without = await fold(url, server, "without", "ordered.", counts["ordered."], port, search=False)
    met.append(say("without the index of texts", without, GOAL_WITHOUT_TEXT))
    some = batches(in_order[: options.baseline], options.batch)
    before = burnt(server)
    seconds, client, rows = await plain(os.environ["DATABASE_URL"], some)
    plainly = min(options.baseline, options.events)
    at_once, least = plainly / seconds, 1e6 * (client + burnt(server) - before) / plainly
    all_of_it = 1e6 * (without.cpu + without.cpu_of_database) / without.events
    ratio = without.rate / at_once
    how = f"the same {rows:,} rows, {options.batch} events a transaction"
    print(f"  plain COPY and upsert of {how}: {at_once:,.0f} events a second")
    print(f"  that is {ratio:.2f} of it (goal: at least {GOAL_OF_PLAIN}); by CPU, database and client, "
          f"{least:.0f} of {all_of_it:.0f} µs: {least / all_of_it:.2f}", flush=True)  # fmt: skip
    met.append(ratio >= GOAL_OF_PLAIN)
    with_text = await fold(url, server, "with_text", "ordered.", counts["ordered."], port, search=True)
    met.append(say("with it", with_text, GOAL_WITH_TEXT))
    turned = await fold(url, server, "turned", "turned.", counts["turned."], port, search=True)
    met.append(say("with it, 30 % of the statuses late, doubled and turned", turned, 0))
    differing = [table for table in TABLES if turned.digest[table] != with_text.digest[table]]
    ratio = turned.rate / with_text.rate
    print(f"  that is {ratio:.2f} of the rate in order (goal: at least {GOAL_OUT_OF_ORDER})")
    print(f"  tables that differ: {', '.join(differing) or 'none'} (goal: none)", flush=True)
    return all([*met, ratio >= GOAL_OUT_OF_ORDER, not differing])


def batches(events: Sequence[Event], size: int) -> Iterator[list[Event]]:
    remaining = iter(events)
    while batch := list(islice(remaining, size)):
        yield batch


def say(how: str, folded: Folded, goal: float) -> bool:
    wanted = f" (goal: at least {goal:,.0f})" if goal else ""
    print(f"{how}: folded {folded.events:,} events at {folded.rate:,.0f} a second{wanted}, the worker's CPU "
          f"{1e6 * folded.cpu / folded.events:.0f} µs each, the database's "
          f"{1e6 * folded.cpu_of_database / folded.events:.0f}, {folded.size / folded.events:.0f} bytes in tables",
          flush=True)  # fmt: skip
    return folded.rate >= goal


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--people", type=int, default=20_000)
    parser.add_argument("--baseline", type=int, default=100_000, help="at most so many are written plainly")
    parser.add_argument("--batch", type=int, default=MAX_BATCH, help="events in a transaction of the plain way")
    parser.add_argument("--port", type=int, default=29500, help="the first of four")
    sys.exit(not asyncio.run(benchmark(parser.parse_args())))


if __name__ == "__main__":
    main()
