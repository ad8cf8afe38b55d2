"""The same calls as jobs of procrastinate, a queue over PostgreSQL that does a job at least once.

As a program it is the worker: `python benchmarks/sending_procrastinate.py URL CONCURRENCY`, with what to call in
META_URL and META_TOKEN.
"""

import asyncio
import os
import sys
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

QUEUE = "sends"
SCHEMA = "procrastinate_bench"
WITHIN = 300.0  # seconds
HEARTBEAT = 1.0  # seconds between signs of life of a worker


def conninfo(database_url: str) -> str:
    return database_url + ("&" if "?" in database_url else "?") + f"options=-csearch_path%3D{SCHEMA}"


def app_of(database_url: str) -> Any:
    """An application whose only task calls Meta, with as many tries as procrastinate gives it after a kill."""
    import procrastinate  # pyright: ignore[reportMissingImports] - it is no dependency

    connector = procrastinate.PsycopgConnector(conninfo=conninfo(database_url), max_size=20)
    app = procrastinate.App(connector=connector)

    @app.task(name="send", queue=QUEUE, retry=5)  # pyright: ignore[reportUntypedFunctionDecorator]
    async def send(number: str, to: str, mark: str) -> None:
        body = {
            "messaging_product": "whatsapp",
            "recipient_type": "individual",
            "to": to,
            "type": "template",
            "template": {"name": "notice", "language": {"code": "en_US"}},
            "biz_opaque_callback_data": mark,
        }
        url, token = os.environ["META_URL"], os.environ["META_TOKEN"]
        async with _session().post(
            f"{url}/v23.0/{number}/messages", json=body, headers={"Authorization": f"Bearer {token}"}
        ) as answer:
            answer.raise_for_status()
            await answer.read()

    return app


async def prepare(database_url: str) -> None:
    """Its tables in a schema of their own, empty."""
    import asyncpg

    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute(f"DROP SCHEMA IF EXISTS {SCHEMA} CASCADE")
        await connection.execute(f"CREATE SCHEMA {SCHEMA}")
    finally:
        await connection.close()
    app = app_of(database_url)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def defer(database_url: str, jobs: list[dict[str, Any]]) -> None:
    app = app_of(database_url)
    async with app.open_async():
        for begin in range(0, len(jobs), 1_000):
            await app.configure_task("send", queue=QUEUE).batch_defer_async(*jobs[begin : begin + 1_000])


@asynccontextmanager
async def worker(meta_url: str, token: str, database_url: str, concurrency: int) -> AsyncGenerator[Any]:
    """The worker as a process of its own."""
    env = {**os.environ, "META_URL": meta_url, "META_TOKEN": token}
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, database_url, str(concurrency), env=env, cwd=Path(__file__).parent
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def rate(meta: Any, database_url: str, count: int, concurrency: int) -> float:
    """Calls a second of a worker that has so many jobs to do."""
    await prepare(database_url)
    numbers = meta.numbers[1:]
    jobs = [{"number": numbers[at % len(numbers)], "to": f"49152{at:08d}", "mark": f"q{at}"} for at in range(count)]
    await defer(database_url, jobs)
    async with worker(meta.url, meta.token, database_url, concurrency):
        await meta.sent(count, WITHIN)
        moments = sorted(entry["at"] for entry in await meta.ledger())
    begin, end = count // 5, count * 9 // 10
    return (end - begin) / (moments[end] - moments[begin])


async def killed(meta: Any, database_url: str, count: int, concurrency: int, every: float) -> tuple[int, int, int]:
    """A worker that is killed again and again: how many were doubled, were never sent, and were stuck until somebody
    retried the jobs of dead workers, as its documentation recommends (Retry stalled jobs).
    """
    await prepare(database_url)
    number = meta.numbers[1]
    await defer(database_url, [{"number": number, "to": f"49153{at:08d}", "mark": f"k{at}"} for at in range(count)])
    while (await meta.counts())["sent"] < count * 0.8:
        async with worker(meta.url, meta.token, database_url, concurrency):
            await asyncio.sleep(every)
    async with worker(meta.url, meta.token, database_url, concurrency):
        await _quiet(meta)
        stuck = count - await _distinct(meta)
        app = app_of(database_url)
        async with app.open_async():
            for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=HEARTBEAT * 3):
                await app.job_manager.retry_job(job)
        await _quiet(meta)
    return len((await meta.counts())["doubled"]), count - await _distinct(meta), stuck


async def _quiet(meta: Any) -> None:
    """Return once nothing was sent for a while."""
    before = -1
    while before != (now := (await meta.counts())["sent"]):
        before = now
        await asyncio.sleep(HEARTBEAT * 5)


async def _distinct(meta: Any) -> int:
    return len({entry["opaque"] for entry in await meta.ledger()})


_SESSION: list[aiohttp.ClientSession] = []


def _session() -> aiohttp.ClientSession:
    if not _SESSION:
        _SESSION.append(aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)))
    return _SESSION[0]


async def main(database_url: str, concurrency: int) -> None:
    app = app_of(database_url)
    async with app.open_async():
        await app.run_worker_async(
            queues=[QUEUE],
            concurrency=concurrency,
            install_signal_handlers=False,
            update_heartbeat_interval=HEARTBEAT,
            stalled_worker_timeout=HEARTBEAT * 3,
        )


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2])))
