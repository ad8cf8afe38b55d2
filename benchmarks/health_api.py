"""How fast `GET /webhook/health` answers at 200 requests a second, beside the bare query it stands on.

    python benchmarks/health_api.py [--rate 200] [--seconds 20] [--organisations 500]

Starts PostgreSQL and Kafka of its own, the API in a process, and another process for each measurement. Requests are
due at fixed times and measured from when they were due, so that a slow answer makes those behind it late too. The bare
query is asyncpg's own, by organisation, at the same rate in the same run, before and after. Goal: p99 at most five
times that.
"""

import argparse
import asyncio
import json
import os
import sys
from datetime import UTC, datetime, timedelta
from typing import Any

import aiohttp
import asyncpg
import uvloop
from stack import api_of, free_ports, paced, report, stores
from wabus_events import AccountConnected, CallbackVerified, Event, TemplatesSynced, fact_id
from wabus_health_projector.worker.projector import fold_wabas
from wabus_runtime.http.auth import make_token
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.projection.recorded import Recorded
from wabus_runtime.settings import AuthSettings, DatabaseSettings, load

GOAL = 5.0
ACCOUNTS_AT_ONCE = 100
START = datetime.now(UTC) - timedelta(hours=1)


def events(waba_id: str, org_id: str) -> list[Event]:
    """An account that is connected, verified and synced."""
    counts: dict[str, Any] = {"total": 40, "approved": 35, "by_status": {}, "added": 0, "changed": 0, "removed": 0}
    kinds: list[tuple[type[Event], dict[str, Any]]] = [
        (AccountConnected, {"org_id": org_id}),
        (CallbackVerified, {"callback_url": "https://wabus.example"}),
        (TemplatesSynced, {"sync_id": "s", "reason": "connected", "started_at": START, **counts}),
    ]
    return [
        kind.model_validate({"waba_id": waba_id, "id": fact_id(kind.type, waba_id), "time": START, **details})
        for kind, details in kinds
    ]


async def fill(organisations: int) -> None:
    async with migrated_pool(load(DatabaseSettings), "wabus_health_projector") as pool:
        for first in range(0, organisations, ACCOUNTS_AT_ONCE):
            numbers = range(first, min(first + ACCOUNTS_AT_ONCE, organisations))
            found = [event for number in numbers for event in events(f"{number}", f"org-{number}")]
            async with pool.acquire() as connection, connection.transaction():
                await fold_wabas(connection, [Recorded(event, event.topic.name, 0, 0, START) for event in found])


async def measure_api(rate: float, seconds: float, organisations: int) -> list[float]:
    auth = load(AuthSettings)
    now, lifetime = datetime.now(UTC), timedelta(hours=1)
    tokens = [
        make_token(auth, org_id=f"org-{number}", role="member", now=now, lifetime=lifetime)
        for number in range(organisations)
    ]
    url = f"http://127.0.0.1:{os.environ['HTTP_PORT']}/webhook/health"
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=64)) as session:

        async def ask(number: int) -> None:
            headers = {"Authorization": f"Bearer {tokens[number % organisations]}"}
            async with session.get(url, headers=headers) as response:
                assert (response.status, (await response.json())["template_total"]) == (200, 40)

        return await paced(rate, seconds, ask)


async def measure_query(rate: float, seconds: float, organisations: int) -> list[float]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=8, max_size=8) as pool:

        async def ask(number: int) -> None:
            org_id = f"org-{number % organisations}"
            row = await pool.fetchrow("SELECT * FROM webhook_health WHERE org_id = $1", org_id)
            assert row
            assert row["template_total"] == 40

        return await paced(rate, seconds, ask)


async def in_a_process(what: str, options: argparse.Namespace) -> list[float]:
    """One of the measurements, made by a process of its own."""
    arguments = ["--rate", str(options.rate), "--seconds", str(options.seconds)]
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        __file__,
        *arguments,
        "--organisations",
        str(options.organisations),
        "--measure",
        what,
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    if process.returncode:
        sys.exit(f"the measurement of {what} failed")
    return json.loads(said)


async def benchmark(options: argparse.Namespace) -> bool:
    ports = free_ports(4)
    async with stores(ports):
        await fill(options.organisations)
        async with api_of("wabus_health_projector", ports[3]):
            before = await in_a_process("query", options)
            asked = await in_a_process("api", options)
            after = await in_a_process("query", options)
    report("bare query, before", before)
    report("bare query, after", after)
    bare = report("bare query, both", before + after)
    answered = report("GET /webhook/health", asked)
    print(f"p99 is {answered / bare:.1f} times that of the bare query (goal: at most {GOAL:.0f})")
    return answered <= GOAL * bare


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=200, help="requests a second")
    parser.add_argument("--seconds", type=float, default=20)
    parser.add_argument("--organisations", type=int, default=500)
    parser.add_argument("--measure", choices=["api", "query"], help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.measure is None:
        sys.exit(not asyncio.run(benchmark(options)))
    measure = measure_api if options.measure == "api" else measure_query
    print(json.dumps(uvloop.run(measure(options.rate, options.seconds, options.organisations))))


if __name__ == "__main__":
    main()
