"""How fast the inbox and a thread are answered over a million conversations, beside the queries they stand on.

    python benchmarks/conversations_api.py [--conversations 1000000] [--long 50000] [--rate 40] [--seconds 20]
                                           [--only KIND …]

Starts PostgreSQL and Kafka of its own, writes two messages and six statuses for each conversation, and one thread of
`--long` messages, all of one organisation; then the API in a process, and another process for each measurement.
Requests are due at fixed times and measured from when they were due, so that a slow answer makes those behind it late
too. A page is 50 entries, from anywhere in the list or thread. The bare query is asyncpg's own and gives the rows that
the page is made of, at the same rate in the same run, before and after. Goal: p99 at most five times that.
"""

import argparse
import asyncio
import json
import os
import random
import sys
from datetime import UTC, datetime, timedelta
from typing import cast

import aiohttp
import asyncpg
import uvloop
from stack import WARM_UP, api_of, free_ports, paced, report, stores
from wabus_conversations.settings import ConversationsDatabaseSettings
from wabus_conversations.tables import reading
from wabus_conversations.worker.upkeep import make_months
from wabus_runtime.http.auth import make_token
from wabus_runtime.http.paging import cursor_of
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.settings import AuthSettings, load

GOAL = 5.0
PAGE = 50  # entries
AT_ONCE = 100_000  # conversations in a transaction
ORG = "org"
SPAN = timedelta(days=29)  # over which the activity of conversations is spread
FILL_TIMEOUT = 3600.0  # seconds
SEED = 7
UNTIL = "2026-11-30T12:00:00Z"

KINDS = (
    "list", "list of a number", "list of those that may be open", "thread", "long thread", "word of few", "word of all",
)  # fmt: skip
WORD_OF_ALL = "sentence"

# An id is that of a person, a conversation or a message by its first part, and its number.
ROWS = """
    CREATE FUNCTION id(kind text, number bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS
        $$ SELECT md5(kind || number)::uuid $$;
    CREATE FUNCTION said_at(number bigint, of bigint) RETURNS timestamptz IMMUTABLE LANGUAGE sql AS
        $$ SELECT '{until}'::timestamptz - '{span} seconds'::interval * (((number * 7919) % of)::float / of) $$
"""

FILL = """
    INSERT INTO identifiers (identifier_id, forgotten_as, forgotten_everywhere_as, org_id, scope, kind, value,
        first_seen, cluster, person_id, holder_id)
    SELECT id('person', n), 'as ' || n, 'everywhere ' || n, 'org', 'portfolio', 'wa_id', (49300000000 + n)::text,
        said_at(n, $3), id('person', n), id('person', n), id('person', n)
    FROM generate_series($1::bigint, $2::bigint) AS n;
    INSERT INTO persons (person_id, org_id, scope, first_seen)
    SELECT id('person', n), 'org', 'portfolio', said_at(n, $3) FROM generate_series($1::bigint, $2::bigint) AS n;
    INSERT INTO conversations (conversation_id, org_id, waba_id, phone_number_id, person_id, first_at, last_at,
        last_tie, last_message_id, unread, user_last_at, maybe_at, name, name_at)
    SELECT id('conversation', n), 'org', 'waba ' || n % 5, 'number ' || n % 20, id('person', n), said_at(n, $3),
        said_at(n, $3) + '1 minute', 2 * n + 1, id('message', 2 * n + 1), n % 2, said_at(n, $3),
        CASE WHEN n % 1000 = 0 THEN now() END, 'Name ' || n, said_at(n, $3)
    FROM generate_series($1::bigint, $2::bigint) AS n;
    INSERT INTO message_places (message_id, month)
    SELECT id('message', 2 * n + m), date_trunc('month', (said_at(n, $3) + m * '1 minute'::interval) AT TIME ZONE 'UTC')
    FROM generate_series($1::bigint, $2::bigint) AS n, generate_series(0, 1) AS m;
    INSERT INTO messages (month, message_id, wamid, org_id, waba_id, phone_number_id, conversation_id, at, tie, source,
        outgoing, kind, type, wa_id, content, text, state, sent_at, delivered_at, read_at)
    SELECT place.month, place.message_id, 'wamid.' || 2 * n + m, 'org', 'waba ' || n % 5, 'number ' || n % 20,
        id('conversation', n), said_at(n, $3) + m * '1 minute'::interval, 2 * n + m, CASE m WHEN 0 THEN 7 ELSE 5 END,
        m = 1, 'message', 'text', id('person', n),
        jsonb_build_object('id', 'wamid.' || 2 * n + m, 'type', 'text', 'from', '4930', 'timestamp', '1764000000',
            'text', jsonb_build_object('body', 'What we say about order ' || n || ' and its parts, in a sentence.')),
        'What we say about order ' || n || ' and its parts, in a sentence.', m * 9, said_at(n, $3), said_at(n, $3),
        said_at(n, $3)
    FROM generate_series($1::bigint, $2::bigint) AS n, generate_series(0, 1) AS m
    JOIN LATERAL (SELECT month, message_id FROM message_places WHERE message_id = id('message', 2 * n + m)) AS place
        ON true;
    INSERT INTO message_statuses (month, message_id, participant, status, at, wa_id, content)
    SELECT m.month, m.message_id, '', word, m.at, m.wa_id, jsonb_build_object('id', m.wamid, 'status', word)
    FROM generate_series($1::bigint, $2::bigint) AS n, generate_series(0, 1) AS which,
        message_places AS p, messages AS m, unnest(ARRAY['sent', 'delivered', 'read']) AS word
    WHERE p.message_id = id('message', 2 * n + which) AND m.month = p.month AND m.message_id = p.message_id
"""

LONG = """
    INSERT INTO conversations (conversation_id, org_id, waba_id, phone_number_id, person_id, first_at, last_at,
        last_tie, last_message_id, unread)
    SELECT id('long', 0), 'org', 'waba 0', 'number 0', id('person', 0), '{until}'::timestamptz - '29 days'::interval,
        '{until}', $1, id('of long', $1::bigint), 0;
    INSERT INTO message_places (message_id, month)
    SELECT id('of long', n),
        date_trunc('month', ('{until}'::timestamptz - ($1 - n) * '40 seconds'::interval) AT TIME ZONE 'UTC')
    FROM generate_series(1::bigint, $1::bigint) AS n;
    INSERT INTO messages (month, message_id, wamid, org_id, waba_id, phone_number_id, conversation_id, at, tie, source,
        outgoing, kind, type, wa_id, content, text, state, context_id)
    SELECT p.month, p.message_id, 'wamid.long' || n, 'org', 'waba 0', 'number 0', id('long', 0),
        '{until}'::timestamptz - ($1 - n) * '40 seconds'::interval, n, CASE n % 2 WHEN 0 THEN 7 ELSE 5 END, n % 2 = 1,
        'message', 'text', id('person', 0), jsonb_build_object('id', 'wamid.long' || n, 'type', 'text', 'text',
            jsonb_build_object('body', 'One of very many messages, number ' || n)),
        'One of very many messages, number ' || n, 0, CASE WHEN n % 10 = 0 THEN id('of long', n - 7) END
    FROM generate_series(1::bigint, $1::bigint) AS n JOIN message_places AS p ON p.message_id = id('of long', n);
    INSERT INTO messages (month, message_id, wamid, org_id, waba_id, phone_number_id, conversation_id, at, tie, source,
        outgoing, kind, type, wa_id, content, about_id)
    SELECT month, id('reaction', tie), 'wamid.r' || tie, 'org', 'waba 0', 'number 0', id('long', 0), at, tie, 7, false,
        'reaction', 'reaction', wa_id, jsonb_build_object('reaction', jsonb_build_object('emoji', '+')), message_id
    FROM messages WHERE conversation_id = id('long', 0) AND tie % 10 = 5 AND kind = 'message'
"""


def statements(text: str) -> list[str]:
    return [each for each in text.replace("{until}", UNTIL).split(";\n") if each.strip()]


async def fill(conversations: int, long: int) -> None:
    async with migrated_pool(load(ConversationsDatabaseSettings), "wabus_conversations") as pool:
        await make_months(pool, datetime.fromisoformat(UNTIL))
        for statement in statements(ROWS.replace("{span}", str(int(SPAN.total_seconds())))):
            await pool.execute(statement)
        for first in range(0, conversations, AT_ONCE):
            last = min(first + AT_ONCE, conversations) - 1
            for statement in statements(FILL):
                given = (first, last, conversations)[: 3 if "$3" in statement else 2]
                await pool.execute(statement, *given, timeout=FILL_TIMEOUT)
            print(f"  {last + 1:,} conversations written", file=sys.stderr, flush=True)
        for statement in statements(LONG):
            await pool.execute(statement, *((long,) if "$1" in statement else ()), timeout=FILL_TIMEOUT)
        for table in ("conversations", "identifiers", "persons", "message_places", "messages", "message_statuses"):
            await pool.execute(f"VACUUM ANALYZE {table}", timeout=FILL_TIMEOUT)
        counted = [
            await pool.fetchval(f"SELECT count(*) FROM {table}", timeout=FILL_TIMEOUT)
            for table in ("conversations", "messages", "message_statuses")
        ]
        size = await pool.fetchval("SELECT pg_database_size(current_database())")
        print("{:,} conversations, {:,} messages, {:,} statuses in {:.1f} GB".format(*counted, size / 2**30))


async def places(kind: str, options: argparse.Namespace) -> list[tuple[str, tuple[object, ...]]]:
    """The conversation of each question, and the place after which its page begins: the same ones for both."""
    count = int(options.rate * (options.seconds + WARM_UP))
    chosen = random.Random(SEED)
    async with asyncpg.create_pool(
        os.environ["DATABASE_URL"], min_size=1, max_size=1, server_settings={"search_path": "conversations"}
    ) as pool:
        match kind:
            case "thread":
                numbers = [chosen.randrange(options.conversations) for _ in range(count)]
                rows = await pool.fetch(
                    """
                    SELECT id('conversation', n)::text
                    FROM unnest($1::bigint[]) WITH ORDINALITY AS t(n, o) ORDER BY o
                    """,
                    numbers,
                )
                return [(row[0], ()) for row in rows]
            case "long thread":
                ties = [chosen.randrange(PAGE, options.long) for _ in range(count)]
                rows = await pool.fetch(
                    """
                    SELECT m.conversation_id::text, m.at, m.tie, m.message_id::text
                    FROM unnest($1::bigint[]) WITH ORDINALITY AS t(n, o)
                    JOIN message_places AS p ON p.message_id = id('of long', n)
                    JOIN messages AS m ON m.month = p.month AND m.message_id = p.message_id ORDER BY o
                    """,
                    ties,
                )
                return [(row[0], (row[1], row[2], row[3])) for row in rows]
            case "word of few":
                return [(str(chosen.randrange(options.conversations)), ()) for _ in range(count)]
            case "word of all" | "list of those that may be open":
                return [(WORD_OF_ALL, ())] * count
            case _:
                numbers = [chosen.randrange(options.conversations) for _ in range(count)]
                rows = await pool.fetch(
                    """
                    SELECT phone_number_id, sorted_at, conversation_id::text
                    FROM unnest($1::bigint[]) WITH ORDINALITY AS t(n, o)
                    JOIN conversations ON conversation_id = id('conversation', n) ORDER BY o
                    """,
                    numbers,
                )
                # Every second question is for the first page.
                return [(row[0], () if number % 2 else (row[1], row[2])) for number, row in enumerate(rows)]


async def measure_api(kind: str, options: argparse.Namespace) -> list[float]:
    token = make_token(load(AuthSettings), org_id=ORG, role="agent", now=datetime.now(UTC), lifetime=timedelta(hours=1))
    chosen = await places(kind, options)
    base = f"http://127.0.0.1:{os.environ['HTTP_PORT']}"
    headers = {"Authorization": f"Bearer {token}"}
    async with aiohttp.ClientSession(base, headers=headers, connector=aiohttp.TCPConnector(limit=64)) as session:

        async def ask(number: int) -> None:
            name, place = chosen[number]
            params = {"limit": str(PAGE)} | ({"after": cursor_of(place)} if place else {})
            if kind == "list of a number":
                params["phone_number_id"] = name
            if kind == "list of those that may be open":
                params["window"] = "maybe"
            path = "/conversations" if kind.startswith("list") else f"/conversations/{name}/messages"
            if kind.startswith("word"):
                path, params["q"] = "/conversations/search", name
            async with session.get(path, params=params) as response:
                body = await response.json()
                assert response.status == 200, body
                assert body["conversations" if kind.startswith("list") else "messages"]

        return await paced(options.rate, options.seconds, ask)


async def measure_query(kind: str, options: argparse.Namespace) -> list[float]:
    chosen = await places(kind, options)
    async with asyncpg.create_pool(
        os.environ["DATABASE_URL"], min_size=8, max_size=8, server_settings={"search_path": "conversations"}
    ) as pool:
        now = datetime.now(UTC)

        async def ask(number: int) -> None:
            name, place = chosen[number]
            if kind.startswith("word"):
                rows = await reading.search(pool, reading.WantedTexts(ORG, name, limit=PAGE))
            elif kind == "list of those that may be open":
                rows = await reading.conversations(
                    pool, reading.WantedConversations(ORG, now, window="maybe", limit=PAGE)
                )
            elif kind.startswith("list"):
                of_number = kind == "list of a number"
                after = cast("reading.Place | None", place or None)
                number_id = name if of_number else None
                wanted = reading.WantedConversations(ORG, now, phone_number_id=number_id, after=after, limit=PAGE)
                statement = reading.LIST_OF_NUMBERS if of_number else reading.LIST
                rows = await pool.fetch(statement, *reading.list_arguments(wanted))
            else:
                rows = await pool.fetch(
                    reading.OLDER,
                    *reading.thread_arguments(ORG, name, cast("reading.ThreadPlace | None", place or None), PAGE),
                )
            assert rows

        return await paced(options.rate, options.seconds, ask)


async def in_a_process(what: str, kind: str, options: argparse.Namespace) -> list[float]:
    """One of the measurements, made by a process of its own."""
    names = ("rate", "seconds", "conversations", "long")
    arguments = [word for name in names for word in (f"--{name}", str(getattr(options, name)))]
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, *arguments, "--measure", what, "--kind", kind, stdout=asyncio.subprocess.PIPE
    )
    said, _ = await process.communicate()
    if process.returncode:
        sys.exit(f"the measurement of {what} failed")
    return json.loads(said)


async def benchmark(options: argparse.Namespace) -> bool:
    ports, held = free_ports(4), True
    async with stores(ports, durable=False):
        await fill(options.conversations, options.long)
        async with api_of("wabus_conversations", ports[3]):
            for kind in options.only:
                before = await in_a_process("query", kind, options)
                asked = await in_a_process("api", kind, options)
                after = await in_a_process("query", kind, options)
                bare = report(f"bare query, {kind}", before + after)
                answered = report(f"answer, {kind}", asked)
                print(f"  p99 is {answered / bare:.1f} times that of the bare query (goal: at most {GOAL:.0f})")
                held = held and answered <= GOAL * bare
    return held


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--conversations", type=int, default=1_000_000)
    parser.add_argument("--long", type=int, default=50_000, help="messages of one thread")
    parser.add_argument("--rate", type=float, default=40, help="requests a second")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--only", choices=KINDS, nargs="+", default=KINDS)
    parser.add_argument("--measure", choices=["api", "query"], help=argparse.SUPPRESS)
    parser.add_argument("--kind", choices=KINDS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is None:
        sys.exit(not asyncio.run(benchmark(options)))
    measure = measure_api if options.measure == "api" else measure_query
    print(json.dumps(uvloop.run(measure(options.kind, options))))


if __name__ == "__main__":
    main()
