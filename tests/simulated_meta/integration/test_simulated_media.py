"""Media at the simulated Meta over real HTTP: ids and addresses that end, bytes that need a token."""

import base64
import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import aiohttp
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient
from simulated_meta import Store, new_world
from simulated_meta.seed import DEMO_PHONE
from support.meta_openapi import create_meta
from yarl import URL

Client = TestClient[web.Request, web.Application]
Json = dict[str, Any]


@dataclass
class Meta:
    client: Client
    token: str

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def send(self, **body: Any) -> Json:
        async with self.client.post("/_control/media?webhook=false", json=body) as answer:
            assert answer.status == 200, await answer.text()
            return await answer.json()

    async def change(self, media_id: str, **body: Any) -> None:
        async with self.client.post(f"/_control/media/{media_id}", json=body) as answer:
            assert answer.status == 200, await answer.text()

    async def ask(self, media_id: str, method: str = "GET", **query: str) -> tuple[int, Json]:
        path = f"/v23.0/{media_id}"
        headers = {**self.bearer, "Content-Type": "application/json"}
        async with self.client.request(method, path, params=query, headers=headers) as answer:
            return answer.status, await answer.json()

    async def download(self, url: str, headers: dict[str, str]) -> tuple[int, bytes]:
        async with self.client.session.get(URL(url, encoded=True), headers=headers) as answer:
            return answer.status, await answer.read()


@pytest.fixture
async def meta(serve: Callable[[web.Application], Awaitable[Client]]) -> Meta:
    store = Store(new_world("1234567890", ["an-app-secret"]))
    client = await serve(create_meta(store, delay_scale=0.01))
    return Meta(client, next(iter(store.world.tokens)))


async def test_a_message_and_graph_tell_the_same_hash_in_two_ways(meta: Meta) -> None:
    sent = await meta.send(type="document", content=base64.b64encode(b"%PDF-1.7 whole").decode(), filename="../x.pdf")
    part = sent["value"]["messages"][0]["document"]
    status, told = await meta.ask(part["id"], phone_number_id=DEMO_PHONE)
    digest = hashlib.sha256(b"%PDF-1.7 whole")
    assert status == 200
    assert base64.b64decode(part["sha256"]) == digest.digest()
    assert told["sha256"] == digest.hexdigest()
    assert (told["file_size"], part["filename"]) == ("14", "../x.pdf")
    assert await meta.download(told["url"], meta.bearer) == (200, b"%PDF-1.7 whole")
    assert await meta.download(part["url"], meta.bearer) == (200, b"%PDF-1.7 whole")


async def test_the_bytes_need_a_token_and_an_address_that_is_still_good(meta: Meta) -> None:
    sent = await meta.send()
    media_id = sent["media"]["id"]
    _, before = await meta.ask(media_id)
    assert (await meta.download(before["url"], {}))[0] == 401
    await meta.change(media_id, addresses_end=True)
    assert (await meta.download(before["url"], meta.bearer))[0] == 404
    _, after = await meta.ask(media_id)
    assert (await meta.download(after["url"], meta.bearer))[0] == 200
    assert (await meta.download(after["url"].replace("ext=", "ext=9"), meta.bearer))[0] == 404


async def test_an_id_ends_and_looks_like_one_that_never_was(meta: Meta) -> None:
    media_id = (await meta.send())["media"]["id"]
    _, before = await meta.ask(media_id)
    await meta.change(media_id, expires_in=-1)
    status, told = await meta.ask(media_id)
    assert (status, told["error"]["code"], told["error"]["error_subcode"]) == (400, 100, 33)
    assert (await meta.download(before["url"], meta.bearer))[0] == 400


async def test_an_id_is_of_one_number_and_can_be_deleted(meta: Meta) -> None:
    media_id = (await meta.send())["media"]["id"]
    assert (await meta.ask(media_id, phone_number_id="1"))[0] == 400
    assert await meta.ask(media_id, "DELETE") == (200, {"success": True})
    assert (await meta.ask(media_id))[0] == 400


async def test_a_download_ends_in_the_middle_and_graph_is_away_on_demand(meta: Meta) -> None:
    sent = await meta.send(type="video", size=3_000_000, cuts=1)
    _, told = await meta.ask(sent["media"]["id"])
    with pytest.raises(aiohttp.ClientError):
        await meta.download(told["url"], meta.bearer)
    _, whole = await meta.download(told["url"], meta.bearer)
    assert hashlib.sha256(whole).hexdigest() == told["sha256"]
    async with meta.client.post("/_control/faults", json={"fail": {"times": 1, "status": 503, "path": "attachments"}}):
        pass
    assert (await meta.download(told["url"], meta.bearer))[0] == 503


async def test_a_wrong_hash_is_told_of_a_medium_that_is_whole(meta: Meta) -> None:
    sent = await meta.send(says_sha256="00" * 32)
    _, told = await meta.ask(sent["media"]["id"])
    _, whole = await meta.download(told["url"], meta.bearer)
    assert told["sha256"] == "00" * 32
    assert hashlib.sha256(whole).hexdigest() == sent["media"]["sha256"]
