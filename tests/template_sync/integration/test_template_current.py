"""Templates stay current: webhooks are followed within a second, a schedule finds drift, what failed is tried again."""

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import pytest
from simulated_meta.seed import DEMO_WABA
from template_world import ORDER, Bearer, Client, EventsIn, Meta, Publish, Until, all_of, connection, synced_status
from wabus_events import (
    TemplateCategoryChanged,
    TemplateChanged,
    TemplateComponentsChanged,
    TemplateRemoved,
    TemplatesSynced,
    TemplateStatusChanged,
    TemplateSyncFailed,
    TemplateSyncProgressed,
    TemplateSyncRequested,
    TemplateSyncStarted,
)
from waiting import Eventually

pytest_plugins = ["template_world"]

WITHIN = 1.0  # seconds


def webhook(template_id: str = ORDER, name: str = "order_confirmation") -> dict[str, Any]:
    """What every webhook's event about a template has; Meta's times are whole seconds."""
    now = datetime.now(UTC).replace(microsecond=0)
    about = {"template_id": template_id, "name": name, "language": "en_US"}
    return {"id": str(uuid4()), "time": now, "waba_id": DEMO_WABA, "value": {}, **about}


@pytest.fixture
async def synced(
    service: Client, meta: Meta, publish: Publish, bearer: Bearer, eventually: Eventually
) -> Callable[[], float]:
    """An account whose templates are there; the time now."""
    await publish(connection(meta.token))
    await eventually(lambda: synced_status(service, bearer()))
    return asyncio.get_running_loop().time


Clock = Callable[[], float]


async def changes(events_in: EventsIn, caused_by: str) -> list[TemplateChanged]:
    return [event for event in await all_of(events_in, TemplateChanged) if event.caused_by == caused_by]


async def test_an_edited_template_is_fetched_alone_and_told_with_before_and_after(
    synced: Clock, meta: Meta, publish: Publish, events_in: EventsIn, eventually: Eventually, service: Client,
    bearer: Bearer,
) -> None:  # fmt: skip
    body = [{"type": "BODY", "text": "Edited {{1}}"}]
    await meta.control("PATCH", f"/templates/{ORDER}?webhook=false", components=body)
    edited = TemplateComponentsChanged(**webhook())
    listings = len((await meta.control("GET", "/calls?path=message_templates"))["data"])

    await publish([edited])
    began = synced()

    async def is_shown() -> Any:
        found = await (await service.get("/templates?name=order_confirmation&language=en_US", headers=bearer())).json()
        return found["templates"][0]["body"]["text"] == "Edited {{1}}"

    await eventually(is_shown)
    took = synced() - began
    [told] = await changes(events_in, edited.id)
    assert took < WITHIN
    assert told.observed
    assert told.previous is not None
    assert told.previous.body is not None
    assert told.template.body is not None
    assert (told.previous.body.text[:5], told.template.body.text) == ("Thank", "Edited {{1}}")
    assert "body" in told.changed_fields
    assert len((await meta.control("GET", "/calls?path=message_templates"))["data"]) == listings


async def test_a_new_template_can_be_used_without_anybody_asking_for_a_sync(
    synced: Clock, meta: Meta, publish: Publish, service: Client, bearer: Bearer, eventually: Eventually
) -> None:
    made = await meta.control("POST", f"/wabas/{DEMO_WABA}/templates?webhook=false", name="brand_new", language="en_US")

    await publish([TemplateStatusChanged(event="APPROVED", **webhook(made["ids"][0], "brand_new"))])
    began = synced()

    async def is_there() -> Any:
        return (await (await service.get("/templates?name=brand_new", headers=bearer())).json())["total"] == 1

    await eventually(is_there)
    assert synced() - began < WITHIN


async def test_a_status_that_a_webhook_told_is_a_change_with_before_and_after_and_needs_no_call(
    synced: Clock, meta: Meta, publish: Publish, events_in: EventsIn, eventually: Eventually
) -> None:
    calls = len((await meta.control("GET", "/calls"))["data"])
    paused = TemplateStatusChanged(event="PAUSED", **webhook())
    paused = paused.model_copy(update={"time": paused.time + timedelta(seconds=1)})

    await publish([paused, paused])
    await eventually(lambda: changes(events_in, paused.id))

    told = (await changes(events_in, paused.id))[0]
    assert told.previous is not None
    assert (told.previous.status, told.template.status, told.changed_fields) == ("APPROVED", "PAUSED", ["status"])
    assert not told.observed
    assert len((await meta.control("GET", "/calls"))["data"]) == calls


@pytest.mark.parametrize("comes_first", ["PAUSED", "UNPAUSED"])
async def test_a_template_paused_and_back_within_one_second_is_shown_as_meta_has_it(
    synced: Clock, publish: Publish, service: Client, bearer: Bearer, meta: Meta, eventually: Eventually,
    comes_first: str,
) -> None:  # fmt: skip
    """In whichever order the two come, and whichever of them would stand: Meta alone knows which was later."""
    about: dict[str, Any] = webhook()
    about["time"] += timedelta(seconds=1)
    told = [
        TemplateStatusChanged.model_validate(about | {"id": event, "event": event}) for event in ("PAUSED", "UNPAUSED")
    ]
    await meta.control("PATCH", f"/templates/{ORDER}?webhook=false", status="PAUSED")
    for event in told if comes_first == "PAUSED" else reversed(told):
        await publish([event])

    async def is_paused() -> Any:
        query = "/templates?status=all&name=order_confirmation&language=en_US"
        found = await (await service.get(query, headers=bearer())).json()
        calls = await meta.control("GET", f"/calls?path={ORDER}")
        return calls["data"] and found["templates"][0]["status"] == "PAUSED"

    await eventually(is_paused)


async def test_a_deleted_template_disappears_once_graph_confirms_it(
    synced: Clock, meta: Meta, publish: Publish, until: Until, service: Client, bearer: Bearer, eventually: Eventually
) -> None:
    await meta.control("DELETE", f"/templates/{ORDER}?webhook=false")
    deleted = TemplateStatusChanged(event="PENDING_DELETION", **webhook())

    await publish([deleted])
    [removed] = await until(TemplateRemoved)

    async def is_gone() -> Any:
        query = "/templates?status=all&name=order_confirmation&language=en_US"
        return (await (await service.get(query, headers=bearer())).json())["total"] == 0

    await eventually(is_gone)
    assert (removed.template_id, removed.caused_by) == (ORDER, deleted.id)


async def test_an_announced_category_is_looked_up(
    synced: Clock, meta: Meta, publish: Publish, events_in: EventsIn, eventually: Eventually
) -> None:
    await meta.control("PATCH", f"/templates/{ORDER}?webhook=false", correct_category="MARKETING")
    announced = TemplateCategoryChanged(correct_category="MARKETING", **webhook())

    await publish([announced])
    await eventually(lambda: changes(events_in, announced.id))

    [told] = await changes(events_in, announced.id)
    assert told.template.raw["correct_category"] == "MARKETING"


async def test_what_a_webhook_left_open_while_graph_was_away_a_sync_brings(
    synced: Clock, meta: Meta, publish: Publish, until: Until
) -> None:
    await meta.control("PATCH", f"/templates/{ORDER}?webhook=false", components=[{"type": "BODY", "text": "Edited"}])
    await meta.control("POST", "/faults", fail={"times": 4, "status": 503, "code": 2, "path": ORDER})

    await publish([TemplateComponentsChanged(**webhook())])

    [asked] = await until(TemplateSyncRequested)
    assert asked.reason == "webhook"
    [_, done] = await until(TemplatesSynced, 2)
    assert (done.sync_id, done.changed) == (asked.sync_id, 1)


@pytest.fixture
def often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Reconciliation every two seconds."""
    monkeypatch.setenv("RECONCILE_INTERVAL", "2")


async def test_drift_that_no_webhook_told_of_is_found_and_repaired(
    often: None, synced: Clock, meta: Meta, until: Until
) -> None:
    await meta.control("PATCH", f"/templates/{ORDER}?webhook=false", components=[{"type": "BODY", "text": "Edited"}])

    async def repaired() -> list[Any]:
        return [event for event in await until(TemplatesSynced, 2) if event.reason == "reconciliation"]

    found = await repaired()
    changed = [event for event in await until(TemplateChanged, 9) if not event.added]
    assert found
    assert [event.changed_fields for event in changed][:1] == [["body", "buttons", "footer", "header"]]


async def test_an_outage_heals_without_anybody_doing_anything(
    often: None, service: Client, meta: Meta, publish: Publish, until: Until
) -> None:
    await meta.control("POST", "/faults", fail={"times": 4, "status": 503, "code": 2})

    await publish(connection(meta.token))
    [failed] = await until(TemplateSyncFailed)
    [done, *_] = await until(TemplatesSynced)

    assert (failed.code, failed.retryable, failed.reason) == ("graph_unavailable", True, "connected")
    assert done.reason in ("retry", "reconciliation")
    assert done.added == 8


async def test_when_a_sync_that_failed_is_tried_again_is_answered(
    service: Client, meta: Meta, publish: Publish, until: Until, bearer: Bearer, eventually: Eventually
) -> None:
    await meta.control("POST", "/faults", fail={"times": 4, "status": 503, "code": 2})
    await publish(connection(meta.token))
    [failed] = await until(TemplateSyncFailed)

    async def account() -> Any:
        status = await (await service.get("/templates/status", headers=bearer())).json()
        [account] = status["accounts"]
        return account if account["status"] == "failed" else None

    found: Any = await eventually(account)
    again = datetime.fromisoformat(found["next_try_at"]) - failed.time
    assert timedelta(seconds=30) <= again <= timedelta(seconds=45)


async def test_one_account_s_limit_does_not_hold_up_another(
    service: Client, meta: Meta, publish: Publish, until: Until, eventually: Eventually
) -> None:
    made = await meta.control("POST", "/wabas", count=12, templates=3)
    limited = [waba["id"] for waba in made["wabas"]]
    for waba_id in limited:
        await meta.control("POST", "/faults", rate_limit={"waba_id": waba_id, "minutes": 0.5})
    for waba_id in limited:
        await publish(connection(made["token"], waba_id))
    await until(TemplateSyncStarted, 9)
    began = asyncio.get_running_loop().time()

    await publish(connection(meta.token))
    [done, *_] = await until(TemplatesSynced)

    assert done.waba_id == DEMO_WABA
    assert asyncio.get_running_loop().time() - began < 5


async def test_a_sync_that_takes_a_while_tells_how_far_it_is(
    service: Client, meta: Meta, publish: Publish, until: Until, bearer: Bearer, eventually: Eventually
) -> None:
    made = await meta.control("POST", "/wabas", templates=450)
    await meta.control("POST", "/faults", latency_ms=500)

    await publish(connection(made["token"], made["wabas"][0]["id"]))
    told = await until(TemplateSyncProgressed, 2)
    await until(TemplatesSynced)

    assert [event.fetched for event in told[:2]] == [100, 200]
    assert told[0].expected == 450
