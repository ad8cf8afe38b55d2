"""How fast messages are counted, beside COPY and upsert of the very rows, and how fast counts are told.

    python benchmarks/insights.py [--messages 20000] [--rate 10] [--seconds 20] [fold] [api] [costs]

Starts Kafka and PostgreSQL of its own. Fold: templates are asked for, accepted, sent, delivered, read, and some are
answered; the records, as they are in Kafka, are decoded and folded in batches of 2,000, each in a transaction. The
plain way writes the rows that came of it, which it knows already, in the same batches into the same tables of another
schema, by COPY and upsert; only the database's time counts for it.

API: 1,000 templates that were sent on each of 400 days to two countries. All 400 days are asked for, ordered by the
rate of reads, and beside it the very query, by asyncpg, at the same rate in the same run, before and after.

Costs: what each of these templates cost on each of these days, in each country, summed up as the worker does; of today
and yesterday something has changed since. What the page asks is asked, over all days, or
over half of them with what has changed since the other half, and beside it the very queries.

Goals: at least 0.4 of the plain way; p99 at most five times that of the bare query, and at most 50 ms.
"""

import argparse
import asyncio
import gc
import heapq
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable, Iterable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any, NamedTuple
from uuid import UUID

import aiohttp
import asyncpg
import uvloop
from projection_baseline import in_batches, prepared_upsert, write
from stack import api_of, free_ports, paced, report, stores
from wabus_events import (
    Event,
    MessageAccepted,
    MessageReceived,
    MessageStatusChanged,
    SendRequested,
    decode,
    encode,
    fact_id,
)
from wabus_insights.costs.budget import Month
from wabus_insights.performance.counting import COUNTS
from wabus_insights.performance.spans import spans_of
from wabus_insights.settings import InsightsDatabaseSettings
from wabus_insights.tables.costs import reading as costs_reading
from wabus_insights.tables.performance import counts, listing, reading
from wabus_insights.worker.costs import summing
from wabus_insights.worker.performance.folding import Performance
from wabus_insights.worker.planning.outlook import outlook
from wabus_runtime.directory.directory import Directory
from wabus_runtime.http.auth import make_token
from wabus_runtime.postgres.database import migrate, migrated_pool
from wabus_runtime.projection.declaration import MAX_BATCH
from wabus_runtime.projection.recorded import TURN_RECORDS, Recorded, Write
from wabus_runtime.service.process import GC_THRESHOLD
from wabus_runtime.settings import AuthSettings, KafkaSettings, load
from wabus_whatsapp.ids import message_id

GOAL_OF_PLAIN, GOAL_TIMES, GOAL_MS = 0.4, 5.0, 50.0
KEY = b"a key of thirty-two bytes or more"
START = datetime.now(UTC).replace(microsecond=0) - timedelta(days=2)
ACCOUNTS, TEMPLATES, PEOPLE = 20, 200, 20_000
ANSWERED = 0.1  # of the messages
DAYS, LISTED = 400, 1_000
KEYS = {
    "send_requests": "send_id",
    "people": "person",
    "send_facts": "message_id",
    "acts": "person, phone_number_id, bit, at",
    "template_hours": "org_id, template_id, hour, version, phone_number_id, country, waba_id, day",
    "template_days": "org_id, day, template_id, phone_number_id, country, waba_id",
    "template_months": "org_id, month, template_id, phone_number_id, country, waba_id",
    "read_times": "org_id, template_id, day, version, bucket, waba_id, utc_day",
}
"""In the order in which they are written."""
SCHEMA = "plain"


def history(count: int, random: random.Random) -> Iterator[Event]:
    """Messages over a day, each with what becomes of it, all in the order of time."""
    waiting: list[tuple[datetime, int, Event]] = []
    for number in range(count):
        at = START + timedelta(seconds=number * 86_400 / count)
        for event in message(number, at, random):
            heapq.heappush(waiting, (event.time, number * 10 + len(waiting), event))
        while waiting and waiting[0][0] <= at:
            yield heapq.heappop(waiting)[2]
    while waiting:
        yield heapq.heappop(waiting)[2]


def message(number: int, at: datetime, random: random.Random) -> Iterator[Event]:
    template, person = random.randrange(TEMPLATES), random.randrange(PEOPLE)
    account = template % ACCOUNTS
    wa_id, user_id = f"49151{person:08d}", f"DE.{person}"
    send_id = str(UUID(int=number + 1))
    wamid = f"wamid.HBgLMTY1MDU1NTEyMzQVAgARGBI5QTdCNTg5{number:09d}"
    about: dict[str, Any] = {
        "org_id": f"org-{account}", "waba_id": f"{account}", "phone_number_id": f"{account}"
    }  # fmt: skip
    content = {"type": "template", "template": {"name": f"t{template}", "language": {"code": "en"}}}
    yield SendRequested(
        id=fact_id(SendRequested.type, number), time=at, send_id=send_id, lane="marketing", kind="template", to=wa_id,
        message=content, template_name=f"t{template}", template_language="en", template_id=f"{template}",
        template_version=1, expires_at=at + timedelta(days=1), **about,
    )  # fmt: skip
    yield MessageAccepted(
        id=fact_id(MessageAccepted.type, number), time=at + timedelta(seconds=1), send_id=send_id, attempt=1,
        wamid=wamid, wa_id=wa_id, kind="template", message=content, **about,
    )  # fmt: skip
    for place, status in enumerate(("sent", "delivered", "read")):
        time = at + timedelta(seconds=2 + place * random.randrange(1, 4_000))
        item = {
            "id": wamid, "status": status, "timestamp": str(int(time.timestamp())), "recipient_id": wa_id,
            "pricing": {"billable": True, "pricing_model": "PMP", "category": "marketing", "type": "regular"},
        }  # fmt: skip
        yield MessageStatusChanged(
            id=fact_id(MessageStatusChanged.type, wamid, status), time=time, wamid=wamid, contact=wa_id,
            user_id=user_id, status=status, value={"statuses": [item]}, **about,
        )  # fmt: skip
    if random.random() < ANSWERED:
        yield MessageReceived(
            id=fact_id(MessageReceived.type, wamid), time=at + timedelta(seconds=9_000), wamid=f"{wamid}.in",
            contact=wa_id, user_id=user_id, message_type="text", value={"messages": [{"type": "text"}]}, **about,
        )  # fmt: skip


Stored = tuple[Any, bytes | None, str]


async def ours(pool: asyncpg.Pool, batches: Sequence[Sequence[Stored]]) -> float:
    """Fold records as they are in Kafka; the seconds that it took."""
    folding = Performance(KEY, Directory(load(KafkaSettings)))

    async def prepared(batch: Sequence[Stored]) -> Write:
        records: list[Recorded] = []
        for place, (headers, value, topic) in enumerate(batch):
            records.append(Recorded(decode(headers, value or b""), topic, 0, place, START))
            if place % TURN_RECORDS == 0:
                await asyncio.sleep(0)
        return await folding.apply(records)

    # As the service does; the events of all batches, which only the benchmark holds, are not searched each time.
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLD)
    begun = time.perf_counter()
    following = asyncio.create_task(prepared(batches[0]))
    for place in range(len(batches)):
        write = await following
        # As in the worker, the next is decoded while PostgreSQL is busy with this one.
        following = asyncio.create_task(prepared(batches[min(place + 1, len(batches) - 1)]))
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("UPDATE projection_offsets SET next_offset = next_offset + 1")
            await write(connection)
    following.cancel()
    return time.perf_counter() - begun


async def plain(pool: asyncpg.Pool, batches: Iterable[Sequence[Event]]) -> tuple[float, int]:
    """Write the rows that came of it, each as often as a batch touches it: the database's seconds, and how many."""
    held = await _held(pool)
    await pool.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE; CREATE SCHEMA {SCHEMA}")
    await migrate(load(InsightsDatabaseSettings), "wabus_insights", SCHEMA)
    writer = await asyncpg.connect(os.environ["DATABASE_URL"], command_timeout=60)
    try:
        await writer.execute(f"SET search_path TO {SCHEMA}")
        await writer.execute(
            "INSERT INTO projection_offsets (projection, topic, partition, owner) "
            "VALUES ('plain', '', 0, gen_random_uuid())"
        )
        await writer.execute("ALTER TABLE send_facts ALTER COLUMN person DROP EXPRESSION")
        upserts = {table: await prepared_upsert(writer, table, key) for table, key in KEYS.items()}
        took, written = 0.0, 0
        for batch in batches:
            rows = _touched(batch, held)
            begun = time.perf_counter()
            await write(writer, rows, upserts)
            took += time.perf_counter() - begun
            written += sum(map(len, rows.values()))
    finally:
        await writer.close()
    return took, written


Held = dict[str, dict[Any, list[tuple[Any, ...]]]]


async def _held(pool: asyncpg.Pool) -> Held:
    """The rows of each table, by what an event finds them by."""
    by: dict[str, Callable[[Any], Any]] = {
        "send_requests": lambda row: str(row["send_id"]),
        "send_facts": lambda row: str(row["message_id"]),
        "people": lambda row: str(row["person"]),
        "acts": lambda row: (str(row["person"]), row["at"]),
        "template_hours": lambda row: (row["org_id"], row["template_id"], row["hour"]),
        "template_days": lambda row: (row["org_id"], row["template_id"], row["day"]),
        "template_months": lambda row: (row["org_id"], row["template_id"]),
        "read_times": lambda row: (row["org_id"], row["template_id"], row["day"]),
    }
    found: Held = {}
    for table, key in by.items():
        for row in await pool.fetch(f"SELECT * FROM {table}", timeout=600):
            found.setdefault(table, {}).setdefault(key(row), []).append(tuple(row))
    facts = await pool.fetch(
        "SELECT message_id, number_id, user_id, org_id, template_id, date_trunc('hour', accepted_at) FROM send_facts"
    )
    found["of_message"] = {str(row[0]): [tuple(row)] for row in facts}
    return found


def _touched(events: Sequence[Event], held: Held) -> dict[str, list[tuple[Any, ...]]]:
    wanted: dict[str, set[Any]] = {table: set() for table in KEYS}
    for event in events:
        match event:
            case SendRequested():
                wanted["send_requests"].add(event.send_id)
            case MessageAccepted() | MessageStatusChanged():
                name = message_id(event.org_id or "", event.phone_number_id, event.wamid)
                wanted["send_facts"].add(name)
                [(_, number, _, org_id, template_id, hour)] = held["of_message"][name]
                if isinstance(event, MessageAccepted):
                    wanted["people"].add(str(number))
                wanted["template_hours"].add((org_id, template_id, hour))
                wanted["template_days"].add((org_id, template_id, hour.date()))
                wanted["template_months"].add((org_id, template_id))
                if isinstance(event, MessageStatusChanged) and event.status == "read":
                    wanted["read_times"].add((org_id, template_id, hour.date()))
            case _:
                pass
    return {
        table: sorted((row for key in keys for row in held.get(table, {}).get(key, ())), key=str)
        for table, keys in wanted.items()
    }


async def fold(options: argparse.Namespace) -> bool:
    events = list(history(options.messages, random.Random(7)))
    batches = list(in_batches(events, MAX_BATCH))
    stored = [[_stored(event) for event in batch] for batch in batches]
    async with migrated_pool(load(InsightsDatabaseSettings), "wabus_insights") as pool:
        await pool.execute(
            "INSERT INTO projection_offsets (projection, topic, partition, owner) "
            "VALUES ('insights', '', 0, gen_random_uuid())"
        )
        seconds = await ours(pool, stored)
        read, accepted = await pool.fetchrow("SELECT sum(read), sum(accepted) FROM template_months")
        assert read == accepted == options.messages, "all are accepted and read"
        plainly, written = await plain(pool, batches)
    ratio = plainly / seconds
    print(f"  folded                  {len(events):8,} events {len(events) / seconds:10,.0f} a second")
    print(f"  plain COPY and upsert   {written:8,} rows   {len(events) / plainly:10,.0f} events a second")
    print(f"the fold has {ratio:.2f} of the plain way (goal: at least {GOAL_OF_PLAIN})")
    return ratio >= GOAL_OF_PLAIN


def _stored(event: Event) -> Stored:
    record = encode(event, "/wabus/bench")
    return record.headers, record.value, event.topic.name


async def fill(pool: asyncpg.Pool) -> None:
    """Counts of 400 days."""
    names = ", ".join(COUNTS)
    some = "100, 99, 95, (40 + t % 50)::int, 0, 1, (t % 9)::int, (t % 7)::int, (t % 3)::int"
    await pool.execute(
        f"""
        INSERT INTO template_days (org_id, day, template_id, phone_number_id, country, waba_id, {names})
        SELECT 'org', current_date - d, t::text, '9', c, '1', {some}
        FROM generate_series(0, {DAYS - 1}) AS d, generate_series(1, {LISTED}) AS t, unnest(ARRAY['DE', 'US']) AS c
        ORDER BY d DESC, t, c
        """,
        timeout=600,
    )
    await pool.execute(counts.SUM_UP_MONTHS.format("true"), timeout=600)
    await pool.execute(
        """
        INSERT INTO templates (waba_id, template_id, name, language, category, at)
        SELECT '1', t::text, 'template_' || t, 'en', 'MARKETING', now() FROM generate_series(1, $1) AS t
        ON CONFLICT DO NOTHING
        """,
        LISTED,
    )
    await pool.execute("VACUUM ANALYZE")


def period() -> tuple[date, date]:
    today = datetime.now(UTC).date()
    return today - timedelta(days=DAYS - 1), today


async def fill_costs(pool: asyncpg.Pool) -> None:
    """What was charged on 400 days, summed up; of the last two something has changed since."""
    await pool.execute(
        f"""
        INSERT INTO cost_days (cell_id, band, org_id, waba_id, phone_number_id, market, country, sure, category,
            pricing_type, template_id, campaign, day, currency, basis, scope, known, volume, reported, rate)
        SELECT gen_random_uuid(), 0, 'org', '1', '9', CASE c WHEN 'DE' THEN 'Germany' ELSE 'North America' END, c, true,
            CASE WHEN t % 3 = 0 THEN 'utility' ELSE 'marketing' END, 'regular', t::text, 'campaign ' || t % 20,
            current_date - d, 'EUR', 'card', '1', 'rated', 95, 0, 0.0456
        FROM generate_series(0, {DAYS - 1}) AS d, generate_series(1, {LISTED}) AS t, unnest(ARRAY['DE', 'US']) AS c
        ORDER BY d DESC, t, c
        """,
        timeout=600,
    )
    await pool.execute(
        "INSERT INTO planned_accounts (waba_id, org_id, time_zone, currency) VALUES ('1', 'org', 'UTC', 'EUR')"
    )
    begun = time.perf_counter()
    await summing.look(pool, datetime.now(UTC), lambda: None)
    print(f"  {DAYS * LISTED * 2:,} cells summed up in {time.perf_counter() - begun:.1f} s")
    await pool.execute("UPDATE cost_days SET volume = volume + 1 WHERE day >= current_date - 1", timeout=600)
    await pool.execute("VACUUM ANALYZE", timeout=600)


class Question(NamedTuple):
    """What is asked of the API, and what that asks the database."""

    path: str
    params: dict[str, str]
    rows: str
    """The part of the answer that has them, and how many there are."""
    expected: int
    bare: Callable[[asyncpg.Pool], Awaitable[int]]


def questions() -> dict[str, Question]:
    first, last = period()
    days = {"from": str(first), "to": str(last), "limit": "1000"}
    asked = reading.Asked("org", None, None, first, last)

    def listed(sort: listing.Sort, limit: int, *, costs: bool) -> Callable[[asyncpg.Pool], Awaitable[int]]:
        async def bare(pool: asyncpg.Pool) -> int:
            if costs:
                await costs_reading.of_templates(pool, costs_reading.Wanted("org", first, last))
            spans = spans_of(first, last, last)
            order = listing.Order(sort, ascending=False, min_sent=0, after=None, limit=limit + 1)
            return min(limit, len((await listing.templates(pool, asked, spans, order)).rows))

        return bare

    def by(what: str, **filters: str) -> Callable[[asyncpg.Pool], Awaitable[int]]:
        async def bare(pool: asyncpg.Pool) -> int:
            wanted = costs_reading.Wanted("org", first, last, **filters)
            return len((await costs_reading.costs(pool, wanted, what, None, 1001)).rows)

        return bare

    middle = first + timedelta(days=DAYS // 2)
    last_half = {"from": str(middle), "to": str(last)}

    async def changed(pool: asyncpg.Pool) -> int:
        halves = asked._replace(first=middle), asked._replace(last=middle - timedelta(days=1))
        spans = [spans_of(half.first, half.last, last) for half in halves]
        order = listing.Order("accepted", ascending=False, min_sent=0, after=None, limit=51)
        rows = (await listing.templates(pool, halves[0], spans[0], order)).rows
        keys = [(row["template_id"], row["waba_id"]) for row in rows]
        await listing.earlier(pool, halves[1], spans[1], keys)
        for half in halves:
            wanted = costs_reading.Wanted("org", half.first, half.last)
            await costs_reading.of_templates(pool, wanted, [key[0] for key in keys])
        return min(50, len(rows))

    async def forecast(pool: asyncpg.Pool) -> int:
        await outlook(pool, "org", None, "EUR", Month.of(last), datetime.now(UTC))
        return 1

    list_path = "/performance/templates"
    found = {
        "templates": Question(
            list_path, {**days, "limit": "100", "sort": "read_rate"}, "templates", 100,
            listed("read_rate", 100, costs=False),
        ),
        "templates by cost": Question(
            list_path, {**days, "limit": "100", "sort": "cost", "costs": "true"}, "templates", 100,
            listed("cost", 100, costs=True),
        ),
        "all templates and their costs": Question(
            list_path, {**days, "sort": "accepted", "costs": "true"}, "templates", LISTED,
            listed("accepted", 1000, costs=True),
        ),
        "what has changed of 50": Question(
            list_path, {**last_half, "limit": "50", "sort": "accepted", "costs": "true", "compare": "previous"},
            "templates", 50, changed,
        ),
        "forecast": Question("/costs/forecast", {}, "forecasts", 1, forecast),
    }  # fmt: skip
    counts = {"day": DAYS, "category": 2, "market": 2, "number": 1, "template": LISTED, "campaign": 20}
    for what, count in counts.items():
        found[f"costs by {what}"] = Question("/costs", {**days, "by": what}, "costs", count, by(what))
    for what, filters, count in (
        ("template", {"number": "9", "country": "DE"}, LISTED),
        ("day", {"country": "DE"}, DAYS),
        ("day", {"template": "17"}, DAYS),
    ):
        name = f"costs by {what}, of a {' and a '.join(filters)}"
        found[name] = Question("/costs", {**days, "by": what, **filters}, "costs", count, by(what, **filters))
    return found


async def measure_api(question: Question, options: argparse.Namespace) -> list[float]:
    auth = load(AuthSettings)
    token = make_token(auth, org_id="org", role="member", now=datetime.now(UTC), lifetime=timedelta(hours=1))
    url = f"http://127.0.0.1:{os.environ['HTTP_PORT']}{question.path}"
    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:

        async def ask(_number: int) -> None:
            async with session.get(url, params=question.params) as response:
                answer = await response.read()
            assert response.status == 200, answer
            if not _number:
                assert len(json.loads(answer)[question.rows]) == question.expected

        return await paced(options.rate, options.seconds, ask)


async def measure_query(question: Question, options: argparse.Namespace) -> list[float]:
    async with migrated_pool(load(InsightsDatabaseSettings), "wabus_insights") as pool:

        async def ask(_number: int) -> None:
            assert await question.bare(pool) == question.expected

        return await paced(options.rate, options.seconds, ask)


async def in_a_process(what: str, name: str, options: argparse.Namespace) -> list[float]:
    """One of the measurements, made by a process of its own."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--rate", str(options.rate), "--seconds", str(options.seconds),
        "--measure", what, name, stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    said, _ = await process.communicate()
    if process.returncode:
        sys.exit(f"the measurement of {name} by {what} failed")
    return json.loads(said)


async def api(options: argparse.Namespace, port: int) -> bool:
    async with migrated_pool(load(InsightsDatabaseSettings), "wabus_insights") as pool:
        await fill(pool)
        if "costs" in options.what:
            await fill_costs(pool)
    asked = [name for name in questions() if ("api" if name == "templates" else "costs") in options.what]
    async with api_of("wabus_insights", port):
        return all([await _beside(name, options) for name in asked])


async def _beside(name: str, options: argparse.Namespace) -> bool:
    before = await in_a_process("query", name, options)
    asked = await in_a_process("api", name, options)
    after = await in_a_process("query", name, options)
    print(f"{name}:")
    bare = report("bare query, before and after", before + after)
    answered = report("as it is answered", asked)
    is_met = answered <= min(GOAL_TIMES * bare, GOAL_MS)
    print(
        f"  p99 is {answered / bare:.1f} times that of the bare query (goal: at most {GOAL_TIMES:.0f}), "
        f"{answered:.0f} ms (goal: at most {GOAL_MS:.0f}): {'met' if is_met else 'missed'}"
    )
    return is_met


async def benchmark(options: argparse.Namespace) -> bool:
    ports = free_ports(4)
    async with stores(ports):
        done = [await fold(options)] if "fold" in options.what else []
        return all([*done, *([await api(options, ports[3])] if {"api", "costs"} & {*options.what} else [])])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="*", default=["fold", "api", "costs"])
    parser.add_argument("--messages", type=int, default=20_000)
    parser.add_argument("--rate", type=float, default=10, help="requests a second")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--measure", nargs=2, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is None:
        sys.exit(not uvloop.run(benchmark(options)))
    what, name = options.measure
    measure = measure_api if what == "api" else measure_query
    print(json.dumps(uvloop.run(measure(questions()[name], options))))


if __name__ == "__main__":
    main()
