"""template-sync on real Kafka and PostgreSQL, against the simulated Meta over HTTP."""

import asyncio
import operator
import os
import random
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import cycle, groupby
from typing import Any
from uuid import uuid4

import asyncpg
import pytest
from aiohttp.test_utils import make_mocked_request
from local_stack import free_ports
from multidict import CIMultiDict
from simulated_meta.seed import DEMO_WABA
from template_world import (
    DEMO_TEMPLATES,
    ORDER,
    Bearer,
    Client,
    EventsIn,
    Meta,
    Publish,
    Until,
    all_of,
    connection,
    synced_status,
)
from wabus_events import (
    TEMPLATES,
    AccountConnected,
    AccountDisconnected,
    CredentialStored,
    Event,
    TemplateChanged,
    TemplateRemoved,
    TemplatesSynced,
    TemplateStatusChanged,
    TemplateSyncFailed,
    TemplateSyncRequested,
    TemplateSyncStarted,
    tombstone,
)
from wabus_runtime.http.headers import preferred_wait
from wabus_runtime.kafka.clients import KafkaUnavailable, partition_of
from wabus_runtime.kafka.transactions import Fenced
from wabus_runtime.postgres.database import migrated_pool
from wabus_runtime.projection.recorded import Recorded
from wabus_runtime.settings import KafkaSettings, load
from wabus_template_sync.app import TemplateSyncSettings
from wabus_template_sync.tables.store import PACKAGE, apply
from wabus_template_sync.worker.partition_publisher import PartitionPublisher
from wabus_template_sync.worker.workload import Progress
from wabus_whatsapp.templates.parse import parse_template
from waiting import Eventually

pytest_plugins = ["template_world"]


async def test_a_connected_account_has_its_templates_within_seconds(
    service: Client, meta: Meta, publish: Publish, until: Until, bearer: Bearer, eventually: Eventually
) -> None:
    began = asyncio.get_running_loop().time()

    await publish(connection(meta.token))
    [synced] = await until(TemplatesSynced)
    status: Any = await eventually(lambda: synced_status(service, bearer()))
    approved = await (await service.get("/templates", headers=bearer())).json()
    everything = await (await service.get("/templates?status=all", headers=bearer())).json()

    assert asyncio.get_running_loop().time() - began < 30  # where others use the machine, too
    assert (synced.reason, synced.total, synced.added) == ("connected", DEMO_TEMPLATES, DEMO_TEMPLATES)
    assert (status["status"], status["total"], status["approved"]) == ("synced", synced.total, synced.approved)
    assert status["by_status"] == synced.by_status
    assert approved["total"] == synced.approved == len(approved["templates"])
    assert everything["total"] == synced.total
    order = next(one for one in approved["templates"] if one["template_id"] == ORDER)
    assert order["header"]["text"] == "Order {{1}}"
    assert order["body"]["variables"] == ["1", "2"]
    assert [button["type"] for button in order["buttons"]] == ["URL", "PHONE_NUMBER"]


async def test_another_organisation_sees_nothing_of_it(
    service: Client, meta: Meta, publish: Publish, until: Until, bearer: Bearer, eventually: Eventually
) -> None:
    await publish(connection(meta.token))
    await eventually(lambda: synced_status(service, bearer()))
    [synced] = await until(TemplatesSynced)

    listed = await (await service.get("/templates?status=all", headers=bearer("other"))).json()
    status = await (await service.get("/templates/status", headers=bearer("other"))).json()
    sync = await service.get(f"/templates/status?sync_id={synced.sync_id}", headers=bearer("other"))
    asked = await service.post("/templates/sync", headers=bearer("other"), json={"waba_id": DEMO_WABA})

    assert (listed["total"], listed["templates"]) == (0, [])
    assert (status["status"], status["accounts"]) == ("never", [])
    assert (sync.status, asked.status) == (404, 404)


async def test_only_an_administrator_may_ask_for_a_sync(service: Client, bearer: Bearer) -> None:
    assert (await service.post("/templates/sync")).status == 401
    assert (await service.get("/templates")).status == 401
    assert (await service.post("/templates/sync", headers=bearer(role="member"))).status == 403


async def test_asking_for_a_sync_with_nothing_connected_says_so(service: Client, bearer: Bearer) -> None:
    answer = await service.post("/templates/sync", headers=bearer())
    problem = await answer.json()

    assert (answer.status, answer.content_type) == (404, "application/problem+json")
    assert problem["code"] == "no_account_connected"


async def test_a_sync_asked_for_is_waited_for_and_an_unchanged_one_tells_nothing_new(
    service: Client,
    meta: Meta,
    publish: Publish,
    until: Until,
    bearer: Bearer,
    eventually: Eventually,
    events_in: EventsIn,
) -> None:
    await publish(connection(meta.token))
    await eventually(lambda: synced_status(service, bearer()))

    answer = await service.post("/templates/sync", headers={**bearer(), "Prefer": "wait=20"})
    result = await answer.json()

    assert (answer.status, answer.headers["Preference-Applied"]) == (200, "wait=20")
    assert (result["status"], result["syncs"][0]["total"], result["syncs"][0]["reason"]) == ("synced", 8, "manual")
    assert len(await until(TemplatesSynced, 2)) == 2
    assert len(await all_of(events_in, TemplateChanged)) == DEMO_TEMPLATES


async def test_a_sync_already_under_way_is_joined(
    service: Client, meta: Meta, publish: Publish, bearer: Bearer, eventually: Eventually, events_in: EventsIn
) -> None:
    await publish(connection(meta.token))
    await eventually(lambda: synced_status(service, bearer()))
    await meta.control("POST", "/faults", latency_ms=1500)

    answers = await asyncio.gather(*(service.post("/templates/sync", headers=bearer()) for _ in range(4)))
    accepted = [await answer.json() for answer in answers]

    assert {answer.status for answer in answers} == {202}
    assert len({answer["sync_id"] for answer in accepted}) == 1
    assert answers[0].headers["Location"] == accepted[0]["status_url"]
    assert (await service.get(accepted[0]["status_url"], headers=bearer())).status == 200
    assert len(await all_of(events_in, TemplateSyncRequested)) == 1


async def test_what_changed_at_meta_is_told_field_by_field(
    service: Client, meta: Meta, publish: Publish, until: Until, bearer: Bearer, eventually: Eventually
) -> None:
    await publish(connection(meta.token))
    before = {event.template.template_id: event.template for event in await until(TemplateChanged, DEMO_TEMPLATES)}
    await eventually(lambda: synced_status(service, bearer()))
    changed, gone = before[ORDER], next(one for one in before.values() if one.template_id != ORDER)
    await meta.control("PATCH", f"/templates/{changed.template_id}", components=[{"type": "BODY", "text": "New"}])
    await meta.control("DELETE", f"/templates/{gone.template_id}")
    await meta.control("POST", f"/wabas/{DEMO_WABA}/templates", name="brand_new", language="de")

    answer = await service.post("/templates/sync", headers={**bearer(), "Prefer": "wait=20"})
    [sync] = (await answer.json())["syncs"]
    told = [event for event in await until(TemplateChanged, DEMO_TEMPLATES + 2) if event.sync_id == sync["sync_id"]]

    assert (sync["added"], sync["changed"], sync["removed"]) == (1, 1, 1)
    assert {(event.template.name, event.added) for event in told} == {
        ("brand_new", True),
        ("order_confirmation", False),
    }
    [order] = [event for event in told if not event.added]
    assert set(order.changed_fields) == {"body", "buttons", "footer", "header"}
    [removed] = await until(TemplateRemoved)
    assert removed.template_id == gone.template_id


@pytest.mark.parametrize(
    ("action", "code"), [("expire", "token_expired"), ("revoke", "token_expired"), ("remove_scope", "permission_lost")]
)
async def test_a_token_that_no_longer_works_fails_the_sync_with_its_own_code(
    service: Client,
    meta: Meta,
    publish: Publish,
    until: Until,
    bearer: Bearer,
    eventually: Eventually,
    action: str,
    code: str,
) -> None:
    await meta.control("PATCH", "/tokens", action=action, scope="whatsapp_business_management")

    await publish(connection(meta.token))
    [failed] = await until(TemplateSyncFailed)
    status: Any = await eventually(lambda: synced_status(service, bearer()))

    assert (failed.code, failed.retryable) == (code, False)
    assert (status["status"], status["last_error"]["code"]) == ("failed", code)
    assert status["last_error"]["message"] == failed.message


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        ({"rate_limit": {"minutes": 30}}, "rate_limited"),
        ({"fail": {"times": 99, "status": 502, "body": "html"}}, "graph_unavailable"),
        ({"fail": {"times": 99, "status": 200, "body": "truncated"}}, "malformed_answer"),
        ({"fail": {"times": 99, "status": 400, "code": 100, "subcode": 33}}, "account_not_found"),
    ],
)
async def test_what_meta_refuses_is_told_apart(
    service: Client, meta: Meta, publish: Publish, until: Until, fault: dict[str, Any], code: str
) -> None:
    await meta.control("POST", "/faults", **fault)

    await publish(connection(meta.token))
    [failed] = await until(TemplateSyncFailed)

    assert failed.code == code
    assert meta.token not in failed.model_dump_json()


async def test_a_secret_of_ours_that_was_reset_fails_a_sync_as_ours_and_it_is_tried_again(
    service: Client, meta: Meta, publish: Publish, until: Until
) -> None:
    await meta.control("PATCH", "/app", app_secrets=["the-one-after-the-reset"])

    await publish(connection(meta.token))
    [failed] = await until(TemplateSyncFailed)

    assert (failed.code, failed.retryable, failed.graph_code) == ("app_refused", True, 100)


async def test_an_account_without_a_credential_fails_with_its_own_code(
    service: Client, publish: Publish, until: Until
) -> None:
    await publish(connection("unused")[1:])

    [failed] = await until(TemplateSyncFailed)

    assert failed.code == "credential_missing"


async def test_a_sync_of_an_account_disconnected_meanwhile_ends_as_that(
    service: Client, meta: Meta, publish: Publish, until: Until
) -> None:
    await meta.control("POST", "/faults", latency_ms=1500)
    await publish(connection(meta.token))
    await until(TemplateSyncStarted)
    about: dict[str, Any] = {"time": datetime.now(UTC), "org_id": "demo", "waba_id": DEMO_WABA}
    gone = AccountDisconnected(id=str(uuid4()), reason="asked", **about)
    await publish([tombstone(CredentialStored, DEMO_WABA), gone])
    request = TemplateSyncRequested(id=str(uuid4()), sync_id="late", reason="manual", **about)
    await publish([request])

    first, second = await until(TemplateSyncFailed, 2)

    assert (first.reason, second.sync_id) == ("connected", "late")
    assert first.code == second.code == "account_disconnected"


async def test_300_templates_on_several_pages_survive_outages_and_are_paged_out_again(
    service: Client, meta: Meta, publish: Publish, until: Until, bearer: Bearer, eventually: Eventually
) -> None:
    made = await meta.control("POST", "/wabas", templates=300)
    await meta.control("POST", "/faults", fail={"times": 2, "status": 503, "code": 2, "path": "message_templates"})

    await publish(connection(made["token"], made["wabas"][0]["id"]))
    [synced] = await until(TemplatesSynced)
    await eventually(lambda: synced_status(service, bearer()))
    names: list[str] = []
    after: str | None = ""
    while after is not None:
        query = {"status": "all", "limit": "70", **({"after": after} if after else {})}
        page = await (await service.get("/templates", params=query, headers=bearer())).json()
        names += [f"{one['name']} {one['language']}" for one in page["templates"]]
        after = page["next"]

    assert synced.total == 300
    assert len(names) == len(set(names)) == 300
    assert names == sorted(names)


async def test_an_unchanged_list_is_not_sent_twice(
    service: Client, meta: Meta, publish: Publish, bearer: Bearer, eventually: Eventually
) -> None:
    await publish(connection(meta.token))
    await eventually(lambda: synced_status(service, bearer()))
    first = await service.get("/templates?category=utility&language=en_US", headers=bearer())

    again = await service.get(
        "/templates?category=utility&language=en_US", headers={**bearer(), "If-None-Match": first.headers["ETag"]}
    )

    assert {one["category"] for one in (await first.json())["templates"]} == {"UTILITY"}
    assert (first.status, again.status) == (200, 304)


@pytest.mark.parametrize("query", ["limit=0", "limit=x", "after=nonsense", "colour=red", "name=%00", "q=a&q=b"])
async def test_a_wrong_parameter_is_a_problem(service: Client, bearer: Bearer, query: str) -> None:
    answer = await service.get(f"/templates?{query}", headers=bearer())

    assert (answer.status, answer.content_type) == (422, "application/problem+json")


async def test_a_webhook_changes_the_status_at_once_and_the_next_sync_confirms_it(
    service: Client, meta: Meta, publish: Publish, until: Until, bearer: Bearer, eventually: Eventually
) -> None:
    await publish(connection(meta.token))
    order = next(event.template for event in await until(TemplateChanged, 8) if event.template.template_id == ORDER)
    await eventually(lambda: synced_status(service, bearer()))
    await meta.control("POST", f"/templates/{order.template_id}/pause")
    paused = TemplateStatusChanged(
        id=str(uuid4()), time=datetime.now(UTC).replace(microsecond=0) + timedelta(seconds=1), waba_id=DEMO_WABA,
        template_id=order.template_id, name=order.name, language=order.language, event="PAUSED",
        value={"other_info": {"title": "FIRST_PAUSE"}},
    )  # fmt: skip

    async def is_paused() -> bool:
        answer = await service.get("/templates?status=paused&name=order_confirmation&language=en_US", headers=bearer())
        return (await answer.json())["total"] == 1

    await publish([paused])
    await eventually(is_paused)
    await service.post("/templates/sync", headers={**bearer(), "Prefer": "wait=20"})

    assert await is_paused()
    shown = await (await service.get(f"/templates/{order.template_id}", headers=bearer())).json()
    ends_at = (paused.time + timedelta(hours=3)).isoformat().replace("+00:00", "Z")
    assert (shown["pause"]["title"], shown["pause"]["ends_at"], shown["rejection"]) == ("FIRST_PAUSE", ends_at, None)


@pytest.mark.long
async def test_killed_in_the_middle_and_started_again_a_sync_is_finished_once(
    meta: Meta, publish: Publish, until: Until, events_in: EventsIn, environment: dict[str, str]
) -> None:
    made = await meta.control("POST", "/wabas", templates=300)
    await meta.control("POST", "/faults", latency_ms=700)
    variables = {**os.environ, "HTTP_PORT": str(free_ports(1)[0])}

    async def start() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(sys.executable, "-m", "wabus_template_sync", env=variables)

    first = await start()
    try:
        await publish(connection(made["token"], made["wabas"][0]["id"]))
        await until(TemplateSyncStarted)
    finally:
        first.send_signal(signal.SIGKILL)
        await first.wait()
    half_done = await all_of(events_in, TemplateChanged)
    second = await start()
    try:
        [synced] = await until(TemplatesSynced)
    finally:
        second.send_signal(signal.SIGTERM)
        async with asyncio.timeout(10):
            await second.wait()

    changed = await all_of(events_in, TemplateChanged)
    assert half_done == []
    assert (synced.total, synced.added) == (300, 300)
    assert len({event.template.template_id for event in changed}) == len(changed) == 300
    assert second.returncode == 0


async def test_of_two_workers_the_one_that_lost_its_partition_publishes_nothing(
    topics: KafkaSettings, events_in: EventsIn
) -> None:
    old, new = PartitionPublisher(topics, 3), PartitionPublisher(topics, 3)
    await old.open()
    await new.open()
    event = TemplateSyncStarted(id="1", time=datetime.now(UTC), waba_id="w", sync_id="s", reason="manual")

    for _ in range(2):
        with pytest.raises((Fenced, KafkaUnavailable)):
            await old.publish([event])
    await new.publish([event.model_copy(update={"id": "2"})])

    assert [one.id for one in await events_in(TEMPLATES)] == ["2"]
    await old.close()
    await new.close()


async def test_a_sync_delivered_again_after_it_ended_is_skipped(
    service: Client,
    meta: Meta,
    publish: Publish,
    until: Until,
    bearer: Bearer,
    eventually: Eventually,
    events_in: EventsIn,
) -> None:
    connect = connection(meta.token)
    await publish(connect)
    await eventually(lambda: synced_status(service, bearer()))

    await publish(connect)
    await service.post("/templates/sync", headers={**bearer(), "Prefer": "wait=20"})

    assert [event.reason for event in await until(TemplatesSynced, 2)] == ["connected", "manual"]
    assert len(await all_of(events_in, TemplateSyncStarted)) == 1


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        (["wait=10"], 10),
        (["respond-async, wait=5"], 5),
        (["respond-async", 'WAIT = "7"'], 7),
        (["wait=3600"], 30),
        (["wait=-1"], None),
        (["await=9"], None),
        ([], None),
    ],
)
def test_the_preference_to_wait_is_understood_and_bounded(headers: list[str], seconds: int | None) -> None:
    given = CIMultiDict([("Prefer", header) for header in headers])
    assert preferred_wait(make_mocked_request("POST", "/templates/sync", given)) == seconds


def test_an_offset_is_committed_only_when_all_before_it_are_done() -> None:
    progress = Progress()
    for offset in (4, 5, 9):
        progress.take(offset)

    committable = [progress.committable]
    for offset in (5, 4, 9):
        progress.done(offset)
        committable.append(progress.committable)

    assert committable == [4, 4, 9, 10]


TABLES = (
    "template_accounts",
    "templates",
    "template_versions",
    "template_staged",
    "template_syncs",
    "template_sync_requests",
    "template_schedules",
)


async def rows_of(pool: asyncpg.Pool) -> dict[str, list[str]]:
    """Every row as PostgreSQL prints it."""
    return {
        table: [row[0] for row in await pool.fetch(f"SELECT t::text FROM {table} AS t ORDER BY 1")] for table in TABLES
    }


@pytest.mark.parametrize("seed", range(4))
async def test_replaying_history_in_any_interleaving_and_batching_gives_identical_rows(
    environment: dict[str, str], seed: int
) -> None:
    history = made_up_history()
    settings = load(TemplateSyncSettings)
    async with migrated_pool(settings, PACKAGE) as pool:
        await replay(pool, history, batches=[len(history)])
        expected = await rows_of(pool)
        await pool.execute(f"TRUNCATE {', '.join(TABLES)}")

        await replay(pool, interleaved(history, seed), batches=[1, 3, 2, 7, seed + 1])
        again = await rows_of(pool)

    assert len(expected["templates"]) > 3
    assert again == expected


async def replay(pool: asyncpg.Pool, records: Sequence[Recorded], batches: Sequence[int]) -> None:
    """Apply records, in batches of these sizes in turn."""
    rest = list(records)
    for size in cycle(batches):
        if not rest:
            break
        batch, rest = rest[:size], rest[size:]
        async with pool.acquire() as lent, lent.transaction():
            await apply(lent, batch)


def interleaved(records: Sequence[Recorded], seed: int) -> list[Recorded]:
    """The same records in another order between topics and partitions, and in the same one within."""
    randomness = random.Random(seed)
    place = operator.attrgetter("topic", "partition")
    queues = [list(group) for _, group in groupby(sorted(records, key=place), key=place)]
    mixed: list[Recorded] = []
    while queues := [queue for queue in queues if queue]:
        mixed.append(randomness.choice(queues).pop(0))
    return mixed


SAID = {"other_info": {"title": "FIRST_PAUSE"}, "rejection_info": {"reason": "It is.", "recommendation": "Don't."}}
"""What Meta's webhooks may say beside a status."""


def made_up_history() -> list[Recorded]:
    """A few WABAs' connects, syncs and webhooks, late and doubled, as they could stand in Kafka."""
    randomness = random.Random(7)
    records: list[Recorded] = []

    def log(event: Event) -> None:
        at = partition_of(event.key.encode(), event.topic.partitions)
        records.append(Recorded(event, event.topic.name, at, len(records), event.time))

    for number in range(120):
        waba_id, template_id = f"w{randomness.randrange(3)}", f"t{randomness.randrange(4)}"
        time = datetime(2025, 1, 1, tzinfo=UTC) + timedelta(seconds=number - randomness.choice([0, 0, 0, 9, 40]))
        about: dict[str, Any] = {"id": str(number), "time": time, "waba_id": waba_id}
        template: dict[str, Any] = {"template_id": template_id, "name": "n", "language": "en"}
        sync: dict[str, Any] = {"sync_id": f"s{number // 10}{waba_id}", "reason": "manual"}
        match randomness.randrange(9):
            case 0:
                log(AccountConnected(org_id="org", **about))
            case 1 if number > 60:
                log(AccountDisconnected(org_id="org", reason="asked", **about))
            case 2:
                log(TemplateSyncRequested(org_id="org", **about, **sync))
            case 3:
                log(TemplateSyncStarted(org_id="org", **about, **sync))
            case 4:
                counts: dict[str, Any] = {"total": 1, "approved": 1, "by_status": {"APPROVED": 1}}
                numbers: dict[str, Any] = {
                    "added": 0,
                    "changed": 0,
                    "removed": 0,
                    "started_at": time - timedelta(seconds=2),
                }
                log(TemplatesSynced(org_id="org", **about, **sync, **counts, **numbers))
            case 5 | 6:
                status = randomness.choice(["APPROVED", "PENDING"])
                body = {"type": "BODY", "text": f"Hello {{{{1}}}} {number}", "example": {"body_text": [["ä", 1.5]]}}
                raw = {"id": template_id, "name": "n", "language": "en", "status": status, "components": [body]}
                found_by = randomness.choice([None, sync["sync_id"]])
                log(TemplateChanged(template=parse_template(raw), added=False, sync_id=found_by, **about))
            case 7:
                event = randomness.choice(["PAUSED", "APPROVED", "DELETED", "REJECTED"])
                log(TemplateStatusChanged(event=event, reason="SCAM", value=SAID, **about, **template))
            case _:
                log(TemplateRemoved(**about, **template))
        if records and randomness.random() < 0.1:
            log(randomness.choice(records).event)
    return records
