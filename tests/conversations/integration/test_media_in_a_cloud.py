"""Media in S3 and in Google Cloud Storage, as moto plays them: whole or not at all, in parts, and gone.

Google's XML API has the requests of S3 ("Cloud Storage XML API", "Simple migration from Amazon S3"), but for whose they
are: a bearer token stands for a signature.
"""

import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from threading import Thread
from typing import Any

import boto3
import pytest
from media_world import MediaWorld
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from wabus_conversations.store.objects import MediaStore, ObjectMissing, StoreUnavailable
from wabus_conversations.tables.media import objects, wanted
from werkzeug.serving import make_server

pytest_plugins = ["media_world"]

BUCKET = "media"
SIGNED = "AWS4-HMAC-SHA256 Credential=an-id/20261130/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0"


def _cloud() -> Callable[..., Any]:
    """moto's S3, which also takes whoever has a bearer token, or none where the store is told to ask without."""
    s3: Any = DomainDispatcherApplication(create_backend_app)

    def serve(environ: dict[str, Any], start_response: Any) -> Any:
        if not environ.get("HTTP_AUTHORIZATION", "").startswith("AWS4"):
            environ["HTTP_AUTHORIZATION"] = SIGNED
        return s3(environ, start_response)

    return serve


@pytest.fixture(params=["s3", "gs"])
def bucket(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator["Bucket"]:
    """A bucket whose address and keys are in the environment; without it there would be a local folder."""
    server = make_server("127.0.0.1", 0, _cloud(), threaded=True)
    thread = Thread(target=server.serve_forever)
    thread.start()
    url = f"http://127.0.0.1:{server.server_port}"
    account = tmp_path / "account.json"
    account.write_text(json.dumps({
        "gcs_base_url": url, "disable_oauth": True, "client_email": "", "private_key": "a-key", "private_key_id": "",
    }))  # fmt: skip
    for name, value in {
        "AWS_ACCESS_KEY_ID": "an-id",
        "AWS_SECRET_ACCESS_KEY": "a-key",
        "AWS_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": url,
        "AWS_ALLOW_HTTP": "true",
        "GOOGLE_SERVICE_ACCOUNT": str(account),
        "MEDIA_STORE_URL": f"{request.param}://{BUCKET}/wabus",
    }.items():
        monkeypatch.setenv(name, value)
    yield Bucket(url)
    server.shutdown()
    thread.join(30)
    server.server_close()


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


async def test_a_bucket_that_is_not_there_is_said_without_keys(bucket: Bucket, request: pytest.FixtureRequest) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        yield b"x"

    store = MediaStore(f"{request.node.callspec.params['bucket']}://nowhere/wabus")
    with pytest.raises(StoreUnavailable) as failed:
        await store.put("a/1", chunks())
    assert "a-key" not in str(failed.value)
    with pytest.raises((ObjectMissing, StoreUnavailable)):
        assert [chunk async for chunk in store.read("a/1", 0, 1)]
