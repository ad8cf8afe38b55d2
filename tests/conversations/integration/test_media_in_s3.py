"""Media in S3, as moto plays it: whole or not at all, in parts, and gone."""

import base64
from collections.abc import AsyncIterator, Iterator
from typing import Any

import boto3
import pytest
from media_world import MediaWorld
from moto.server import ThreadedMotoServer
from wabus_conversations.store.objects import MediaStore, ObjectMissing, StoreUnavailable
from wabus_conversations.tables.media import objects, wanted

pytest_plugins = ["media_world"]

BUCKET = "media"


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator["Bucket"]:
    """A bucket whose address and keys are in the environment; without it there would be a local folder."""
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "an-id",
        "AWS_SECRET_ACCESS_KEY": "a-key",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
        "AWS_ALLOW_HTTP": "true",
        "MEDIA_STORE_URL": f"s3://{BUCKET}/wabus",
    }.items():
        monkeypatch.setenv(name, value)
    yield Bucket(f"http://{host}:{port}")
    server.stop()


class Bucket:
    """What another client sees."""

    def __init__(self, url: str) -> None:
        self._client: Any = boto3.client("s3", endpoint_url=url, region_name="us-east-1")
        self._client.create_bucket(Bucket=BUCKET)

    def keys(self) -> list[str]:
        return [each["Key"] for each in self._client.list_objects_v2(Bucket=BUCKET).get("Contents", [])]

    def unfinished(self) -> int:
        return len(self._client.list_multipart_uploads(Bucket=BUCKET).get("Uploads", []))


async def test_media_are_written_read_in_parts_and_deleted_there(bucket: Bucket, media_world: MediaWorld) -> None:
    small = await media_world.send(content=base64.b64encode(b"%PDF-1.7 small").decode(), type="document")
    await media_world.send(type="video", size=12_000_000)
    await media_world.send(type="video", size=12_000_001, says_sha256="00" * 32)
    await media_world.send(type="video", size=12_000_002, cuts=1)
    await media_world.fetch()
    rows = await media_world.rows()
    assert sorted(row["state"] for row in rows) == ["stored", "stored", "wanted", "wanted"]
    assert sorted(bucket.keys()) == sorted(f"wabus/{row['key']}" for row in rows if row["key"])
    assert bucket.unfinished() == 0
    (film,) = [row for row in rows if row["state"] == "stored" and row["wamid"] != small["id"]]
    whole = await media_world.content(film)
    assert len(whole) == 12_000_000
    part = b"".join([chunk async for chunk in media_world.files.read(film["key"], 6_000_000, 6_000_010)])
    assert part == whole[6_000_000:6_000_010]
    await media_world.pool.execute("DELETE FROM media WHERE state = 'wanted'")
    async with media_world.pool.acquire() as connection, connection.transaction():
        ids = [str(row["message_id"]) for row in rows]
        await wanted.delete(connection, ids)
    media_world.clock.passes(hours=1)
    while await media_world.upkeep.delete():
        pass
    assert bucket.keys() == []
    assert await objects.leftovers(media_world.pool) == 0


async def test_a_bucket_that_is_not_there_is_said_without_keys(bucket: Bucket) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    store = MediaStore("s3://nowhere/wabus")
    with pytest.raises(StoreUnavailable) as failed:
        await store.put("a/1", chunks())
    assert "a-key" not in str(failed.value)
    with pytest.raises((ObjectMissing, StoreUnavailable)):
        assert [chunk async for chunk in store.read("a/1", 0, 1)]
