"""What fetches media, killed with SIGKILL around any statement: each is stored once, and the store has nothing else."""

import base64
import json
from datetime import timedelta

import pytest
from dying import dying_worker
from media_world import MediaWorld
from threads import ORG
from wabus_conversations.tables.media import objects
from wabus_conversations.worker.media.due import LEASE

pytest_plugins = ["media_world"]
pytestmark = pytest.mark.long

MEDIA = 6

WORKER = """
from collections import Counter
from wabus_conversations.settings import ConversationsWorkerSettings
from wabus_conversations.store.objects import MediaStore
from wabus_conversations.worker.media.due import Fetching
from wabus_conversations.worker.media.fetching import Fetcher
from wabus_events import CredentialStored
from wabus_runtime.credentials.sealing import Keyring
from wabus_runtime.graph.client import Graph
from wabus_runtime.graph.download import download_session
from wabus_runtime.postgres.database import open_pool
from wabus_runtime.settings import load

class Connected:
    def credential(self, waba_id):
        return CredentialStored.model_validate_json(os.environ["CREDENTIAL"])

async def main():
    settings = load(ConversationsWorkerSettings)
    pool = await open_pool(settings)
    async with Graph(settings) as graph, download_session(4) as session:
        store, keyring = MediaStore(settings.media_store_url), Keyring(settings)
        fetcher = Fetcher(graph, settings.meta_graph_url, session, Connected(), keyring, store, 10**8)
        fetching = Fetching(pool, fetcher, 4, asyncio.Event())
        while taken := await fetching.take(4, Counter()):
            for each in taken:  # one after the other, so that the nth statement is always the same
                await fetching.attempt(each)

asyncio.run(main())
"""
POINTS = [
    ("UPDATE media SET attempts", "after", 1),
    ("INSERT INTO media_leftovers", "before", 1),
    ("INSERT INTO media_leftovers", "after", 2),
    ("INSERT INTO media_objects", "before", 1),
    ("INSERT INTO media_objects", "after", 1),
    ("UPDATE media SET state = 'stored'", "after", 1),
    ("DELETE FROM media_leftovers", "after", 1),
    ("COMMIT", "before", 1),
    ("COMMIT", "after", 1),
    ("", "", 0),
]
"""Statements, and whether the worker is killed before or after PostgreSQL has answered the nth one of its life."""


async def test_whenever_it_is_killed_each_medium_is_stored_once_and_nothing_else(
    media_world: MediaWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    (held,) = media_world.accounts.held.values()
    about = {"id": held.id, "time": held.time.isoformat(), "org_id": ORG}
    monkeypatch.setenv("CREDENTIAL", json.dumps({**held.model_dump(mode="json"), **about}))
    killed = 0
    for number, point in enumerate(POINTS):
        for each in range(MEDIA):
            content = f"medium {number} {each % (MEDIA - 1)}".encode() * 40_000
            await media_world.send(content=base64.b64encode(content).decode())
        async with dying_worker(WORKER, *point) as worker:
            killed += await worker.wait() != 0
        # A lease ends by itself; a test does not wait for it.
        await media_world.pool.execute("UPDATE media SET due_at = now() WHERE state = 'wanted'")
        await media_world.pool.execute("UPDATE media SET leased_until = NULL")
    assert killed == len(POINTS) - 1
    media_world.clock.at += LEASE
    await media_world.fetch()
    media_world.clock.at += LEASE + timedelta(minutes=1)
    while await media_world.upkeep.delete():
        pass
    rows = await media_world.rows()
    assert len(rows) == len(POINTS) * MEDIA
    assert {row["state"] for row in rows} == {"stored"}
    assert len({row["key"] for row in rows}) == len(POINTS) * (MEDIA - 1)
    assert len(media_world.stored_files()) == len(POINTS) * (MEDIA - 1)
    assert await objects.leftovers(media_world.pool) == 0
    for row in rows:
        assert (await media_world.content(row)).startswith(b"medium ")
