"""What client applications can ask of template-sync, over HTTP."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from simulated_meta.seed import DEMO_WABA
from template_world import ORDER, Bearer, Client, EventsIn, Meta, Publish, all_of, connection, synced_status
from wabus_events import TemplateRemoved, TemplateStatusChanged, TemplateSyncRequested
from wabus_runtime.http.auth import make_token
from wabus_runtime.settings import AuthSettings, load
from wabus_template_sync.api.sync_stream import STREAMS_PER_ORG
from waiting import Eventually

pytest_plugins = ["template_world"]

Get = Callable[..., Any]


@pytest.fixture
async def get(service: Client, meta: Meta, publish: Publish, bearer: Bearer, eventually: Eventually) -> Get:
    """GET as an administrator of an organisation that has its templates: status and content."""
    await publish(connection(meta.token))
    await eventually(lambda: synced_status(service, bearer()))

    async def ask(path: str, **headers: str) -> tuple[int, Any]:
        answer = await service.get(path, headers={**bearer(), **headers})
        return answer.status, await answer.json() if answer.status != 304 else None

    return ask


async def test_a_template_is_found_by_its_id_and_by_nobody_else(get: Get, service: Client, bearer: Bearer) -> None:
    status, found = await get(f"/templates/{ORDER}")

    assert (status, found["name"], found["version"]) == (200, "order_confirmation", 1)
    assert found["body"]["examples"] == {"1": "Pablo", "2": "June 27"}
    assert (await get("/templates/1"))[0] == 404
    assert (await service.get(f"/templates/{ORDER}", headers=bearer("other"))).status == 404


async def test_only_the_fields_asked_for_are_sent(get: Get) -> None:
    _, found = await get(f"/templates/{ORDER}?fields=name,body")
    _, listed = await get("/templates?fields=status")

    assert set(found) == {"template_id", "name", "body"}
    assert all(set(one) == {"template_id", "status"} for one in listed["templates"])
    assert (await get("/templates?fields=colour"))[0] == 422


@pytest.mark.parametrize(
    ("words", "names"),
    [
        ("order", {"order_confirmation"}),
        ("BESTELLUNG kommt", {"order_confirmation"}),
        ("succulents", {"order_confirmation", "plant_collection"}),
        ("blue elf", {"plant_collection"}),
        ("100%", set[str]()),
        ("_", {"order_confirmation", "summer_sale", "login_code", "plant_collection", "weekend_offer", "win_a_prize",
               "appointment_reminder"}),
    ],
)  # fmt: skip
async def test_words_are_looked_for_in_names_and_texts(get: Get, words: str, names: set[str]) -> None:
    _, found = await get(f"/templates?status=all&q={words.replace('%', '%25')}")

    assert {one["name"] for one in found["templates"]} == names


async def test_templates_in_trouble_are_found_by_their_quality(get: Get) -> None:
    _, everything = await get("/templates?status=all&fields=name,quality")
    _, found = await get("/templates?status=all&quality=yellow")

    expected = {one["name"] for one in everything["templates"] if one["quality"] == "YELLOW"}
    assert {one["name"] for one in found["templates"]} == expected != set()
    assert found["total"] == len(expected)


async def test_a_template_that_has_not_changed_is_not_sent_again(get: Get, service: Client, bearer: Bearer) -> None:
    tag = (await service.get(f"/templates/{ORDER}", headers=bearer())).headers["ETag"]

    assert (await get(f"/templates/{ORDER}", **{"If-None-Match": tag}))[0] == 304


async def test_the_history_tells_who_changed_what(
    get: Get, publish: Publish, eventually: Eventually, meta: Meta, service: Client, bearer: Bearer
) -> None:
    await meta.control("PATCH", f"/templates/{ORDER}?webhook=false", components=[{"type": "BODY", "text": "Thanks!"}])
    await service.post("/templates/sync", headers={**bearer(), "Prefer": "wait=20"})
    now = datetime.now(UTC) + timedelta(seconds=1)
    about: dict[str, Any] = {"waba_id": DEMO_WABA, "template_id": ORDER, "name": "n", "language": "en"}
    paused = TemplateStatusChanged(id=str(uuid4()), time=now, event="PAUSED", value={}, **about)
    gone = TemplateRemoved(id=str(uuid4()), time=now + timedelta(seconds=1), version_number=4, **about)
    await publish([paused, gone])

    async def removed() -> Any:
        _, found = await get(f"/templates/{ORDER}/versions")
        return found if found["deleted"] else None

    found: Any = await eventually(removed)
    assert [(one["number"], one["kind"], one["source"]) for one in found["versions"]] == [
        (4, "removed", "sync"), (3, "changed", "webhook"), (2, "changed", "sync"), (1, "added", "sync"),
    ]  # fmt: skip
    [status] = found["versions"][1]["differences"]
    assert status["readable"] == "APPROVED → PAUSED"
    body = next(one for one in found["versions"][2]["differences"] if one["field"] == "body")
    assert (body["before"][:5], body["after"]) == ("Thank", "Thanks!")
    assert (await get(f"/templates/{ORDER}"))[0] == 404
    _, page = await get(f"/templates/{ORDER}/versions?limit=2&before=4")
    assert [one["number"] for one in page["versions"]] == [3, 2]
    assert page["next"] == 2


async def test_the_same_key_asks_for_the_same_sync_even_after_it_has_ended(
    get: Get, service: Client, bearer: Bearer, events_in: EventsIn
) -> None:
    headers = {**bearer(), "Prefer": "wait=20", "Idempotency-Key": '"a-key"'}

    first, again = [await (await service.post("/templates/sync", headers=headers)).json() for _ in range(2)]
    other = await (await service.post("/templates/sync", headers={**headers, "Idempotency-Key": "b"})).json()

    assert first["sync_id"] == again["sync_id"] != other["sync_id"]
    assert len(await all_of(events_in, TemplateSyncRequested)) == 2
    assert (await get(f"/templates/sync/{first['sync_id']}"))[1]["status"] == "synced"
    assert (await get("/templates/sync/unknown"))[0] == 404


async def test_a_sync_joined_with_a_key_stays_the_one_that_was_joined(
    get: Get, service: Client, bearer: Bearer, meta: Meta, eventually: Eventually
) -> None:
    await meta.control("POST", "/faults", latency_ms=700)
    under_way = await (await service.post("/templates/sync", headers=bearer())).json()
    headers = {**bearer(), "Idempotency-Key": "k"}

    joined = await (await service.post("/templates/sync", headers=headers)).json()

    async def ended() -> bool:
        return (await get(f"/templates/sync/{under_way['sync_id']}"))[1]["status"] == "synced"

    await eventually(ended)
    again = await (await service.post("/templates/sync", headers=headers)).json()
    assert under_way["sync_id"] == joined["sync_id"] == again["sync_id"]


async def test_the_status_shows_how_far_a_sync_is(
    service: Client, meta: Meta, publish: Publish, bearer: Bearer, eventually: Eventually
) -> None:
    made = await meta.control("POST", "/wabas", templates=450)
    await meta.control("POST", "/faults", latency_ms=500)
    await publish(connection(made["token"], made["wabas"][0]["id"]))

    async def progress() -> Any:
        status = await (await service.get("/templates/status", headers=bearer())).json()
        return status["accounts"] and status["accounts"][0]["progress"]

    shown: Any = await eventually(progress)
    status: Any = await eventually(lambda: synced_status(service, bearer()))
    assert shown["fetched"] >= 100
    assert (status["total"], status["accounts"][0]["progress"]) == (450, None)


async def test_a_sync_can_be_followed_live_until_it_has_ended(
    get: Get, service: Client, meta: Meta, bearer: Bearer
) -> None:
    await meta.control("POST", f"/wabas/{DEMO_WABA}/templates", count=450)
    await meta.control("POST", "/faults", latency_ms=400)
    asked = await (await service.post("/templates/sync", headers=bearer())).json()
    path = f"/templates/sync/{asked['sync_id']}/stream"

    async with service.get(path, headers=bearer()) as answer:
        told = [json.loads(line[6:]) async for line in answer.content if line.startswith(b"data: ")]

    assert answer.content_type == "text/event-stream"
    assert [one["status"] for one in told][-1] == "synced"
    assert {one["sync_id"] for one in told} == {asked["sync_id"]}
    fetched = [one["progress"]["fetched"] for one in told if one["progress"]]
    assert fetched == sorted(set(fetched))
    assert 100 < fetched[0] < told[-1]["total"] == 458
    assert (await service.get(path, headers=bearer("other"))).status == 404


async def test_an_organisation_has_so_many_live_syncs_and_none_outlives_its_token(
    get: Get, service: Client, meta: Meta, bearer: Bearer
) -> None:
    await meta.control("POST", "/faults", latency_ms=20_000)
    asked = await (await service.post("/templates/sync", headers=bearer())).json()
    path = f"/templates/sync/{asked['sync_id']}/stream"
    over = make_token(
        load(AuthSettings), org_id="demo", role="member", now=datetime.now(UTC), lifetime=timedelta(seconds=-1)
    )

    async with asyncio.timeout(10), service.get(path, headers={"Authorization": f"Bearer {over}"}) as answer:
        assert (await answer.read()).endswith(b'event: end\ndata: {"reason":"token_expired"}\n\n')

    streams = [await service.get(path, headers=bearer()) for _ in range(STREAMS_PER_ORG)]
    assert [stream.status for stream in streams] == [200] * STREAMS_PER_ORG
    refused = await service.get(path, headers=bearer())
    assert (refused.status, (await refused.json())["code"]) == (429, "too_many_streams")
    assert (await service.get(path, headers=bearer("other"))).status == 404
    for stream in streams:
        stream.close()


async def test_who_waits_for_a_sync_is_answered_when_the_process_ends(
    get: Get, service: Client, meta: Meta, bearer: Bearer, eventually: Eventually
) -> None:
    await meta.control("POST", "/faults", latency_ms=20_000)
    asking = asyncio.create_task(service.post("/templates/sync", headers={**bearer(), "Prefer": "wait=30"}))

    async def under_way() -> bool:
        return (await get("/templates/status"))[1]["status"] == "syncing"

    await eventually(under_way)
    async with asyncio.timeout(8):
        stopping = asyncio.create_task(service.server.close())
        assert (await asking).status == 202
    await stopping


async def test_a_template_is_filled_in_or_told_what_is_missing(service: Client, get: Get, bearer: Bearer) -> None:
    values = {"header": {"text": ["7"]}, "body": ["Ana", "Friday"], "buttons": {"0": "7"}}

    good = await service.post(f"/templates/{ORDER}/render", headers=bearer(role="member"), json=values)
    bad = await service.post(f"/templates/{ORDER}/render", headers=bearer(), json={"body": ["Ana"]})
    odd = await service.post(f"/templates/{ORDER}/render", headers=bearer(), json={"body": [5]})
    text = {**bearer(), "Content-Type": "text/plain"}
    other = await service.post(f"/templates/{ORDER}/render", headers=text, data=json.dumps(values))
    large = await service.post(f"/templates/{ORDER}/render", headers=bearer(), json={"body": ["x" * 70_000]})

    rendered, problem = await good.json(), await bad.json()
    assert rendered["body"] == "Thank you for your order, Ana! It will arrive on Friday."
    assert rendered["sendable"]
    assert rendered["template"]["name"] == "order_confirmation"
    assert [one["type"] for one in rendered["template"]["components"]] == ["header", "body", "button"]
    assert (bad.status, problem["code"]) == (422, "parameters_do_not_fit")
    assert [(one["part"], one["parameter"], one["problem"]) for one in problem["wrong"]] == [
        ("header", "1", "missing"), ("body", "2", "missing"), ("buttons[0]", "1", "missing"),
    ]  # fmt: skip
    assert (odd.status, (await odd.json())["fields"]) == (422, ["body", "body.0"])
    assert (other.status, large.status) == (415, 413)


async def test_four_at_once_get_one_sync(get: Get, service: Client, bearer: Bearer, events_in: EventsIn) -> None:
    headers = {**bearer(), "Idempotency-Key": "same"}

    answers = await asyncio.gather(*(service.post("/templates/sync", headers=headers) for _ in range(4)))

    assert len({(await answer.json())["sync_id"] for answer in answers}) == 1
    assert len({event.id for event in await all_of(events_in, TemplateSyncRequested)}) == 1
