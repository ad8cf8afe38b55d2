"""Media from a simulated Graph to this disk: ours beside plain aiohttp, which neither compares a hash nor writes a row.

    python benchmarks/media.py [--count 50] [--megabytes 100] [--rounds 2]

Both are processes of their own that take as many at once, in turns; what is read from Graph is the same. Goals: at
least 0.8 of what plain aiohttp does, and at most 64 MB of memory more while 50 films of 100 MB come.
"""

import argparse
import asyncio
import base64
import hashlib
import json
import os
import resource
import secrets
import shutil
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import psutil
from pydantic import SecretStr
from stack import environment, free_ports
from wabus_conversations.settings import ConversationsDatabaseSettings, ConversationsWorkerSettings
from wabus_conversations.store.objects import MediaStore
from wabus_conversations.tables.media import wanted
from wabus_conversations.tables.media.wanted import New
from wabus_conversations.worker.media.due import Fetching
from wabus_conversations.worker.media.fetching import Fetcher
from wabus_events import CredentialStored, fact_id
from wabus_local.postgres import EmbeddedPostgres
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.graph.client import Graph
from wabus_runtime.graph.download import download_session
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.settings import load
from yarl import URL

AT_ONCE = 8
RATIO_LEAST = 0.8
MORE_MOST = 64  # MB
MB = 1024 * 1024
ORG = "bench"

Json = dict[str, Any]


def megabytes_now() -> float:
    return psutil.Process().memory_info().rss / MB


def megabytes_most() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


async def plain(media: Sequence[Json], token: str, folder: Path) -> None:
    """A script as anybody would write it: an answer's chunks into a file, as they come."""
    slots = asyncio.Semaphore(AT_ONCE)

    async def one(session: aiohttp.ClientSession, medium: Json) -> None:
        async with slots:
            async with session.get(f"{os.environ['META_GRAPH_URL']}/v23.0/{medium['id']}") as answer:
                url = (await answer.json())["url"]
            async with session.get(URL(url, encoded=True)) as answer:
                answer.raise_for_status()
                with (folder / medium["id"]).open("wb") as file:
                    async for chunk in answer.content.iter_chunked(64 * 1024):
                        file.write(chunk)

    async with aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
        await asyncio.gather(*(one(session, medium) for medium in media))


class Connected:
    """One account, whosever it is asked for."""

    def __init__(self, keyring: Keyring, token: str, waba_id: str) -> None:
        sealed = keyring.seal(SecretStr(token), org_id=ORG, waba_id=waba_id)
        about = {"id": "1", "time": datetime.now(UTC), "org_id": ORG, "waba_id": waba_id}
        self._credential = CredentialStored.model_validate({**asdict(sealed), **about})

    def credential(self, waba_id: str) -> CredentialStored:
        return self._credential


async def ours(media: Sequence[Json], token: str, folder: Path) -> Json:
    """What the worker does, from rows that are due."""
    os.environ["MEDIA_STORE_URL"] = f"file:{folder}"
    async with migrated_pool(load(ConversationsDatabaseSettings), "wabus_conversations") as pool:
        settings = load(ConversationsWorkerSettings)
        # Old enough that Graph is asked for an address, as plain aiohttp does.
        now = datetime.now(UTC)
        rows = [_new(medium, now) for medium in media]
        async with pool.acquire() as connection, connection.transaction():
            await connection.execute("TRUNCATE media, media_objects, media_leftovers")
            await wanted.want(connection, rows, now)
        async with Graph(settings) as graph, download_session(AT_ONCE) as session:
            keyring, store = Keyring(settings), MediaStore(settings.media_store_url)
            accounts = Connected(keyring, token, "1")
            fetcher = Fetcher(graph, settings.meta_graph_url, session, accounts, keyring, store, 200 * MB)
            # An organisation has the half, and here is only one.
            fetching = Fetching(pool, fetcher, 2 * AT_ONCE, asyncio.Event())
            before = megabytes_now()
            began = time.perf_counter()
            running = set[asyncio.Task[None]]()
            while True:
                if len(running) < AT_ONCE:
                    busy = Counter({ORG: len(running)})
                    for taken in await fetching.take(AT_ONCE - len(running), busy):
                        running.add(asyncio.create_task(fetching.attempt(taken)))
                if not running:
                    break
                _, running = await asyncio.wait(running, return_when=asyncio.FIRST_COMPLETED)
            seconds = time.perf_counter() - began
            stored = await pool.fetchval("SELECT count(*) FROM media WHERE state = 'stored'")
            assert stored == len(media), f"{stored} of {len(media)}"
    return {"seconds": seconds, "more": megabytes_most() - before}


def _new(medium: Json, now: datetime) -> New:
    return New(
        fact_id("medium", medium["id"]), fact_id("message", medium["id"]), f"wamid.{medium['id']}", ORG, "1",
        medium["phone_number_id"], "1", ["1"], now - timedelta(hours=1), "video", medium["id"], None, "video/mp4", None,
        bytes.fromhex(medium["sha256"]), now + timedelta(days=7),
    )  # fmt: skip


async def child(kind: str, given: Json, folder: Path) -> None:
    media, token = given["media"], given["token"]
    if kind == "ours":
        print(json.dumps(await ours(media, token, folder)))
        return
    before, began = megabytes_now(), time.perf_counter()
    await plain(media, token, folder)
    print(json.dumps({"seconds": time.perf_counter() - began, "more": megabytes_most() - before}))


@asynccontextmanager
async def graph(port: int, count: int, size: int) -> AsyncGenerator[Json]:
    """The simulated Meta as a process of its own, with so many films; what a caller needs."""
    env = {**os.environ, "META_PORT": str(port), "META_HOME": os.environ["WABUS_HOME"]}
    process = await asyncio.create_subprocess_exec(sys.executable, "-m", "simulated_meta", env=env)
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            for _ in range(100):
                try:
                    async with session.get("/_control"):
                        break
                except aiohttp.ClientError:
                    await asyncio.sleep(0.1)
            media: list[Json] = []
            for number in range(count):
                head = base64.b64encode(hashlib.sha256(str(number).encode()).digest()).decode()
                body = {"type": "video", "content": head, "size": size}
                async with session.post("/_control/media?webhook=false", json=body) as answer:
                    media.append((await answer.json())["media"])
            async with session.get("/_control/tokens") as answer:
                tokens = (await answer.json())["data"]
            yield {"media": media, "token": tokens[0]["value"]}
    finally:
        process.terminate()
        await process.wait()


async def measured(kind: str, given: Path) -> Json:
    folder = given.with_name(f"{kind}-files")
    process = await asyncio.create_subprocess_exec(
        sys.executable, __file__, "--child", kind, str(given), str(folder), stdout=asyncio.subprocess.PIPE
    )
    out, _ = await process.communicate()
    await asyncio.to_thread(shutil.rmtree, folder, ignore_errors=True)
    if process.returncode:
        sys.exit(f"{kind} ended with {process.returncode}")
    return json.loads(out.decode().splitlines()[-1])


async def main(count: int, megabytes: int, rounds: int) -> int:
    ports = free_ports(3)
    with tempfile.TemporaryDirectory(prefix="wabus-bench-", ignore_cleanup_errors=True) as home:
        postgres = EmbeddedPostgres(Path(home), ports[0], secrets.token_hex(16))
        await postgres.start(60)
        os.environ.update(environment("127.0.0.1:9", postgres.url, ports[1], home))
        os.environ["META_GRAPH_URL"] = f"http://127.0.0.1:{ports[2]}"
        given, found = Path(home) / "given.json", dict[str, list[Json]]()
        try:
            async with graph(ports[2], count, megabytes * MB) as media:
                given.write_text(json.dumps(media))
                for _ in range(rounds):
                    for kind in ("plain", "ours"):
                        found.setdefault(kind, []).append(await measured(kind, given))
        finally:
            await postgres.stop()
    rate = {kind: count * megabytes / statistics.median(one["seconds"] for one in runs) for kind, runs in found.items()}
    more = {kind: max(one["more"] for one in runs) for kind, runs in found.items()}
    ratio = rate["ours"] / rate["plain"]
    print(f"{count} films of {megabytes} MB, {AT_ONCE} at once, {rounds} rounds\n")
    print("| | MB/s | MB of memory more |\n|---|---:|---:|")
    print(f"| plain aiohttp, to files | {rate['plain']:.0f} | {more['plain']:.0f} |")
    print(f"| the worker: rows, hash, flushed to disk | {rate['ours']:.0f} | {more['ours']:.0f} |")
    print(f"\n{ratio:.2f} of plain aiohttp (goal: {RATIO_LEAST}), {more['ours']:.0f} MB more (goal: {MORE_MOST})")
    return 0 if ratio >= RATIO_LEAST and more["ours"] <= MORE_MOST else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=50)
    parser.add_argument("--megabytes", type=int, default=100)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--child", nargs=3, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        which, path, to = options.child
        Path(to).mkdir()
        asyncio.run(child(which, json.loads(Path(path).read_text()), Path(to)))
    else:
        sys.exit(asyncio.run(main(options.count, options.megabytes, options.rounds)))
