"""Files given to Meta: as they come, of the types and sizes that Meta takes, and tried again where that is harmless."""

import asyncio
import hashlib
import resource
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import aiohttp
import asyncpg
import pytest
from sending_world import ORG, PERSON, Client, Json, Sending
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from wabus_events import OrganisationForgotten, identity_of
from wabus_events.models.erasures import line_at
from wabus_runtime.http.connections import REQUEST_MOST
from wabus_runtime.service.process import serving
from wabus_runtime.settings import IdentitySettings, load
from wabus_sender.app import create_app
from wabus_sender.sending.uploads import MOST_TRIES
from wabus_sender.settings import SenderSettings
from wabus_sender.tables import uploads
from wabus_sender.worker import upkeep
from wabus_whatsapp.sending.uploads import KEPT, MEGABYTE
from waiting import Eventually

pytest_plugins = ("support.sending_world",)

ADDRESS = f"/numbers/{DEMO_PHONE}/media"
PNG = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 40


async def kept(sending: Sending, media_id: str) -> Json:
    """What Graph says of a medium."""
    async with sending.meta.get(f"/v23.0/{media_id}", headers={"Authorization": f"Bearer {sending.token}"}) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.json()


async def test_a_file_is_kept_by_meta_and_can_be_sent(sending: Sending, sender: Client) -> None:
    headers = sending.bearer(ORG, "agent")
    async with sender.post(ADDRESS, data=PNG, headers={**headers, "Content-Type": "image/png"}) as answer:
        body, location = await answer.json(), answer.headers["Location"]
        assert answer.status == 201, body
    assert (body["state"], body["kind"], body["size"], body["refusal"]) == ("stored", "image", len(PNG), None)
    ends_in = datetime.fromisoformat(body["ends_at"]) - datetime.now(UTC)
    assert KEPT - timedelta(hours=1) < ends_in <= KEPT
    found = await kept(sending, body["media_id"])
    assert found["sha256"] == hashlib.sha256(PNG).hexdigest()
    assert (found["mime_type"], found["file_size"]) == ("image/png", str(len(PNG)))
    assert await sending.get(sender, location) == body
    async with sender.get(location, headers=sending.bearer("other", "agent")) as answer:
        assert answer.status == 404
    sent = {"from": DEMO_PHONE, "to": PERSON, "type": "image", "image": {"id": body["media_id"], "caption": "Here."}}
    taken = await sending.post(sender, sent)
    await sending.until(sender, taken["send_id"], "accepted")
    gone = await sending.post(sender, sent | {"image": {"id": "1234567890123"}})
    assert (await sending.until(sender, gone["send_id"], "refused"))["refusal"]["code"] == "media_gone"


async def test_a_form_is_taken_too_and_says_the_type_of_what_has_none(sending: Sending, sender: Client) -> None:
    form = aiohttp.FormData({"messaging_product": "whatsapp", "type": "audio/ogg"})
    form.add_field("file", PNG * 20, filename="voice", content_type="application/octet-stream")
    async with sender.post(ADDRESS, data=form, headers=sending.bearer(ORG, "agent")) as answer:
        body = await answer.json()
        assert answer.status == 201, body
    assert (body["kind"], body["content_type"]) == ("audio", "audio/ogg; codecs=opus")
    assert (await kept(sending, body["media_id"]))["sha256"] == hashlib.sha256(PNG * 20).hexdigest()


async def test_what_meta_would_not_take_is_refused_before_it_is_read(
    sending: Sending, sender: Client, sender_tables: asyncpg.Pool
) -> None:
    async def large() -> AsyncIterator[bytes]:
        for _ in range(7):
            yield bytes(MEGABYTE)

    cut = b'--x\r\nContent-Disposition: form-data; name="file"\r\nContent-Type: image/png\r\n\r\nabc'
    asked: list[tuple[str, str, bytes | AsyncIterator[bytes], int, str]] = [
        (ADDRESS, "image/gif", PNG, 415, "file_type_unknown"),
        (ADDRESS, "", PNG, 415, "file_type_unknown"),
        (ADDRESS, "image/png", bytes(5 * MEGABYTE + 1), 413, "file_too_large"),
        (ADDRESS, "image/png", large(), 413, "file_too_large"),
        (ADDRESS, "image/png", b"", 422, "empty_file"),
        (ADDRESS, "multipart/form-data; boundary=x", cut, 400, "malformed_body"),
        (ADDRESS, "multipart/form-data", cut, 400, "malformed_body"),
        (ADDRESS, "multipart/form-data; boundary=x", b"--x--\r\n", 422, "no_file"),
        ("/numbers/12345/media", "image/png", PNG, 404, "number_not_found"),
    ]
    for address, content_type, content, status, code in asked:
        headers = {**sending.bearer(ORG, "agent"), "Content-Type": content_type}
        async with sender.post(address, data=content, headers=headers) as answer:
            body = await answer.json()
            assert (answer.status, body["code"]) == (status, code), (content_type, body)
    async with sender.post(ADDRESS, data=PNG, headers={**sending.bearer("other", "agent")}) as answer:
        assert answer.status == 404
    assert await sender_tables.fetchval("SELECT count(*) FROM uploads") == 0
    assert await sender_tables.fetchval("SELECT count(*) FROM upload_parts") == 0


async def test_a_large_file_passes_through_little_memory(
    sending: Sending, sender: Client, sender_tables: asyncpg.Pool
) -> None:
    megabytes = 90
    digest = hashlib.sha256()

    async def content() -> AsyncIterator[bytes]:
        for number in range(megabytes):
            piece = number.to_bytes(4, "big") * (MEGABYTE // 4)
            digest.update(piece)
            yield piece

    headers = {**sending.bearer(ORG, "agent"), "Content-Type": "application/pdf"}
    # On a port as services have it, which ends a connection whose request goes on without end.
    async with serving(create_app(load(SenderSettings)), "127.0.0.1", 0) as ports, aiohttp.ClientSession() as session:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        address = f"http://127.0.0.1:{ports[0]}{ADDRESS}"
        async with session.post(address, data=content(), headers=headers) as answer:
            body = await answer.json()
            assert answer.status in (201, 202), body
    assert megabytes * MEGABYTE > REQUEST_MOST
    stored: Json = {}

    async def ended() -> bool:
        stored.update(await sending.get(sender, f"{ADDRESS}/{body['upload_id']}"))
        return stored["state"] == "stored"

    await sending.eventually(ended)
    found = await kept(sending, stored["media_id"])
    assert (found["sha256"], found["file_size"]) == (digest.hexdigest(), str(megabytes * MEGABYTE))
    assert (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024 < megabytes * MEGABYTE // 2
    assert await sender_tables.fetchval("SELECT count(*) FROM upload_parts") == 0


@pytest.mark.long
async def test_meta_is_asked_again_where_that_helps(sending: Sending, sender: Client) -> None:
    faults: list[tuple[Json, int, str | None]] = [
        ({"body": "cut", "times": 1}, 201, None),
        ({"body": "html", "status": 502, "times": 1}, 201, None),
        ({"code": 2, "times": 1}, 201, None),
        ({"code": 131053, "status": 400, "times": 1}, 422, "media"),
        ({"code": 190, "status": 401, "times": 1}, 422, "account_stop"),
        ({"code": 131000, "times": MOST_TRIES}, 422, "meta_in_trouble"),
    ]
    headers = {**sending.bearer(ORG, "agent"), "Content-Type": "image/png"}
    for fault, status, code in faults:
        await sending.control("POST", "/faults", {"fail": {"path": "/media", "method": "POST", **fault}})
        async with sender.post(ADDRESS, data=PNG, headers=headers) as answer:
            body = await answer.json()
            assert (answer.status, body.get("code")) == (status, code), body
            assert code is None or body["remedy"]


async def test_a_client_that_goes_away_leaves_nothing(
    sending: Sending, sender: Client, sender_tables: asyncpg.Pool, eventually: Eventually
) -> None:
    headers = "\r\n".join(f"{name}: {value}" for name, value in sending.bearer(ORG, "agent").items())
    url = sender.make_url("")
    _, writer = await asyncio.open_connection(url.host, url.port)
    head = (
        f"POST {ADDRESS} HTTP/1.1\r\nHost: x\r\nContent-Type: video/mp4\r\nContent-Length: 9000000\r\n{headers}\r\n\r\n"
    )
    writer.write(head.encode() + bytes(3 * MEGABYTE))

    async def parts_are(number: int) -> bool:
        return await sender_tables.fetchval("SELECT count(*) FROM upload_parts") == number

    await eventually(lambda: parts_are(3))
    writer.transport.abort()
    await eventually(lambda: parts_are(0))
    assert await sender_tables.fetchval("SELECT count(*) FROM uploads") == 0


async def test_an_organisation_has_so_many_on_their_way_and_what_is_lost_is_said(
    sending: Sending, sender: Client, sender_tables: asyncpg.Pool
) -> None:
    place, now = uploads.Place(ORG, DEMO_WABA, DEMO_PHONE), datetime.now(UTC)
    ids = [f"00000000-0000-0000-0000-00000000000{number}" for number in range(8)]
    for upload_id in ids:
        assert await uploads.begin(sender_tables, upload_id, place, "image/png", now, 8)
    headers = {**sending.bearer(ORG, "agent"), "Content-Type": "image/png"}
    async with sender.post(ADDRESS, data=PNG, headers=headers) as answer:
        assert (answer.status, (await answer.json())["code"]) == (429, "uploads_full")
        assert "Retry-After" in answer.headers
    await uploads.add_part(sender_tables, ids[0], 0, PNG)
    await uploads.whole(sender_tables, ids[0], 2 * len(PNG), 2, now)  # PostgreSQL has crashed, and lost a part
    found: Json = {}

    async def refused() -> bool:
        found.update(await sending.get(sender, f"{ADDRESS}/{ids[0]}"))
        return found["state"] == "refused"

    await sending.eventually(refused)
    assert found["refusal"]["code"] == "upload_lost"
    await sending.get(sender, f"{ADDRESS}/{ids[1]}", status=404)
    await upkeep.look(sender_tables, now + timedelta(hours=2), lambda: None)
    assert await sender_tables.fetchval("SELECT array_agg(upload_id::text) FROM uploads") == [ids[0]]
    key = load(IdentitySettings).identity_bytes
    await sending.publisher.publish(
        [line_at(OrganisationForgotten, identity_of(key, OrganisationForgotten, ORG), datetime.now(UTC))]
    )
    await sending.eventually(lambda: _is_empty(sender_tables))


async def _is_empty(tables: asyncpg.Pool) -> bool:
    return await tables.fetchval("SELECT count(*) FROM uploads") == 0
