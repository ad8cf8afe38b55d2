"""An organisation and a person are looked for in every table, topic, file and log, once they were forgotten.

Tables are those that PostgreSQL names and topics those that Kafka names, so that one of tomorrow is searched too.
"""

import json
import os
import time
from collections import Counter
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import jwt
import pytest
from local_stack import free_ports
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from support.forgetting import Held, all_records, rows_with
from system import MODULES, System, wabus
from wabus_events import DEADLETTER, KEYS, MESSAGES, MessageReceived, OrganisationForgotten, Record, encode
from wabus_events.models.topics import PERSONAL_RETENTION
from wabus_events.testing import an
from wabus_runtime.identity.pseudonyms import key_identity
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.settings import IdentitySettings
from waiting import Eventually
from webhooks import conversation, status, template_status, text, webhook

# Four services as processes, four rebuilds and seven commands: some half a minute.
pytestmark = [pytest.mark.long, pytest.mark.timeout(600), pytest.mark.empty_database]

ORG, ASKED_BY = "an-organisation-to-forget", "ann.the.asker@acme.example"
CONTACT, NAME, WORDS, WAMID = "16505550199", "Ann Confidential", "a word in private", "wamid.OfSomebodyWhoIsForgotten"
BROKEN = f'{{"contact": "{CONTACT}", "name": "{NAME}"}}'
OTHER_WABA, OTHER_CONTACT = "70000000000002", "4917012345678"
OF_THE_ORGANISATION = (ORG, DEMO_WABA, DEMO_PHONE)
OF_A_PERSON = (CONTACT, NAME, WORDS, WAMID, ASKED_BY)
CONVERSATIONS, SCHEMA = "wabus_conversations", "conversations"
EVERYTHING = (*OF_THE_ORGANISATION, *OF_A_PERSON)


def signed_in() -> dict[str, str]:
    claims = {"orgId": ORG, "role": "admin", "sub": ASKED_BY, "exp": int(time.time()) + 600}
    return {"Authorization": f"Bearer {jwt.encode(claims, os.environ['JWT_SECRET'], algorithm='HS256')}"}


def told(at: datetime, number: int) -> list[dict[str, Any]]:
    """Webhooks with something for each table and topic, all of the same moment."""
    stamp = str(int(at.timestamp()))
    who = [{"wa_id": CONTACT, "profile": {"name": NAME}}]
    message = {**text(f"{WAMID}.{number}", CONTACT, WORDS), "timestamp": stamp}
    failed = {**status(f"{WAMID}.s{number}", "failed", CONTACT), "timestamp": stamp, "errors": [{"code": 131026}]}
    number_failed = conversation(errors=[{"code": 130429, "title": "Rate limit hit"}])
    unknown = {"field": "teleportation", "value": {"of": CONTACT, "name": NAME}}
    book = {"full_name": NAME, "first_name": NAME, "phone_number": CONTACT}
    added = {"type": "contact", "contact": book, "action": "add", "metadata": {"timestamp": stamp}}
    in_book = {"field": "smb_app_state_sync", "value": {**conversation()["value"], "state_sync": [added]}}
    updated = {"field": "account_update", "value": {"event": "VERIFIED_ACCOUNT"}}
    changes = (
        conversation(messages=[message], contacts=who), conversation(statuses=[failed]), number_failed, unknown,
        in_book, updated, template_status("PAUSED"),
    )  # fmt: skip
    return [webhook(each, time=int(at.timestamp())) for each in changes]


class Search:
    """Looks for words everywhere, and knows when the last line was drawn."""

    def __init__(self, system: System, settings: IdentitySettings, database_url: str) -> None:
        self.system = system
        self.settings = settings
        self.database_url = database_url

    async def tables(self, words: tuple[str, ...] = EVERYTHING) -> dict[str, list[str]]:
        connection = await asyncpg.connect(self.database_url)
        try:
            return await rows_with(connection, words)
        finally:
            await connection.close()

    async def records(self, words: tuple[str, ...] = EVERYTHING) -> list[Held]:
        return [record for record in await all_records(self.settings) if record.has(words)]

    async def topics(self, words: tuple[str, ...] = EVERYTHING) -> Counter[str]:
        return Counter(record.topic for record in await self.records(words))

    def logs(self) -> dict[Path, bytes]:
        return {file: file.read_bytes() for file in self.system.home.rglob("*.log")}

    def files(self) -> list[Path]:
        """What the services have written but logs."""
        there = [file for file in self.system.home.rglob("*") if file.is_file() and file.suffix != ".log"]
        return [file for file in there if any(word.encode() in file.read_bytes() for word in EVERYTHING)]


@pytest.fixture
async def search(
    idle_system: System,
    topics: IdentitySettings,
    database_url: str,
    eventually: Eventually,
    monkeypatch: pytest.MonkeyPatch,
) -> Search:
    # Nobody takes alerts, so that they wait in the outbox.
    monkeypatch.setenv("ALERT_WEBHOOK_URL", f"http://127.0.0.1:{free_ports(1)[0]}")
    monkeypatch.setenv("ALERT_WEBHOOK_SECRET", "whsec_" + "MDAw" * 8)
    idle_system.ports[CONVERSATIONS] = free_ports(1)[0]
    for module in (*MODULES, CONVERSATIONS):
        await idle_system.start(module)
    await eventually(idle_system.ready)
    return Search(idle_system, topics, database_url)


async def live_through_everything(search: Search, eventually: Eventually, publisher: Publisher) -> None:
    """Something of the organisation and of the person wherever anything can be."""
    system = search.system
    await wabus("connect", "--org", ORG, "--waba", DEMO_WABA, "--token", os.environ["META_TOKEN"])
    headers = signed_in()

    async def health() -> dict[str, Any]:
        return await system.get("wabus_health_projector", "/webhook/health/detailed", headers)

    async def synced() -> bool:
        return bool((await system.get("wabus_template_sync", "/templates", headers))["templates"])

    await eventually(synced)
    for module, path in (
        ("wabus_template_sync", "/templates/sync"),
        ("wabus_health_projector", "/webhook/health/check"),
    ):
        async with system.http.post(system.url(module, path), headers=headers) as answer:
            assert answer.status in (200, 202), await answer.text()
    for payload in told(datetime.now(UTC), 1):
        assert await system.deliver(payload) == 200
    number: dict[str, Any] = {"metadata": {"display_phone_number": "15550001111", "phone_number_id": "8"}}
    neighbours = conversation(
        messages=[{**text("wamid.N", OTHER_CONTACT), "timestamp": str(int(time.time()))}], **number
    )
    assert await system.deliver(webhook(neighbours, waba_id=OTHER_WABA, time=int(time.time()))) == 200
    # What no release can fold becomes a dead letter with all that is in it.
    good = encode(an(MessageReceived, org_id=ORG, waba_id=DEMO_WABA, contact=CONTACT, time=datetime.now(UTC)), "/test")
    broken = Record(MESSAGES.name, good.key, BROKEN.encode(), good.headers)
    await publisher.publish_records([broken])

    async def is_everywhere() -> bool:
        assert (await health())["wabas"][0]["counts"]["last_24h"]["received"] == 1
        expected = {f"public.{name}" for name in EXPECTED_TABLES}
        expected |= {f"{SCHEMA}.{name}" for name in (*EXPECTED_CONVERSATIONS, "scopes")}
        assert expected - (await search.tables()).keys() == set()
        assert {*EXPECTED_TOPICS} - (await search.topics()).keys() == set()
        return True

    await eventually(is_everywhere)


EXPECTED_TABLES = (
    "webhook_health", "waba_health", "health_history", "message_counts", "organisation_counts", "organisation_failures",
    "organisation_errors", "webhook_arrivals", "account_checks", "outbox", "template_accounts", "templates",
    "template_syncs", "template_sync_requests", "template_schedules",
)  # fmt: skip
EXPECTED_CONVERSATIONS = ("identifiers", "conversations", "messages", "message_statuses")
EXPECTED_TOPICS = ("accounts.v1", "templates.v1", "health.v1", "messages.v1", "credentials.v1", DEADLETTER.name)


async def test_of_who_was_forgotten_nothing_is_found_that_docs_privacy_does_not_name(
    search: Search, topics: IdentitySettings, publisher: Publisher, eventually: Eventually, tmp_path: Path
) -> None:
    began = datetime.now(UTC)
    await live_through_everything(search, eventually, publisher)
    # Somebody has an export of the events of before; what can't be read is no part of one that can be replayed.
    kept = await wabus("events", "export", "--content", "-")
    outside = tmp_path.parent / f"{tmp_path.name}-kept.jsonl"
    outside.write_text("".join(f"{one}\n" for one in kept.splitlines() if BROKEN not in one))
    await told_what_is_held(search, tmp_path)

    said = [await wabus("forget", "--yes", "--contact", CONTACT), await wabus("forget", "--yes", "--org", ORG)]
    assert not any(word in each for each in said for word in EVERYTHING)
    assert "accounts disconnected: 1 of 1" in said[1]
    line = max(record.event_time for record in await all_records(topics) if record.topic == "erasures.v1")
    logs, before = search.logs(), await search.topics()
    await nothing_is_left(search, line)

    # Whatever brings it back: Meta's late webhooks, an export, the dead letters, a rebuild, the same command again.
    for number in (1, 2):
        for payload in told(began - timedelta(minutes=1), number):
            assert await search.system.deliver(payload) == 200
    await wabus("events", "replay", "--yes", str(outside))
    assert "dropped: of somebody who was forgotten" in await wabus("deadletter", "replay", "--all")
    for what in ("health", "history", "templates", "conversations"):
        await wabus("rebuild", what)
    after = await search.topics()
    assert after - before == Counter(), "something came back"
    await nothing_is_left(search, line)
    for file, written in search.logs().items():
        assert not any(word.encode() in written for word in OF_A_PERSON), file
        new = written.removeprefix(logs.get(file, b""))
        assert not any(word.encode() in new for word in EVERYTHING), file
    assert search.files() == []

    again = await wabus("forget", "--yes", "--org", ORG)
    assert "accounts disconnected: 0 of 1" in again
    assert "rows gone" not in again
    assert "public.message_counts" in await search.tables((OTHER_WABA,))
    outside.unlink()


async def told_what_is_held(search: Search, home: Path) -> None:
    """An export has what is in the tables and topics, and no token."""
    for options, tables, found_in in (
        (("--org", ORG), (*EXPECTED_TABLES, *EXPECTED_CONVERSATIONS, "persons", "scopes"), EXPECTED_TOPICS),
        (("--contact", CONTACT), (*EXPECTED_CONVERSATIONS, "persons"), ("messages.v1", DEADLETTER.name)),
    ):
        file = home / "held.jsonl"
        await wabus("export", *options, str(file))
        lines = [json.loads(line) for line in file.read_text().splitlines()]
        assert {line["table"] for line in lines if "table" in line} >= set(tables)
        assert ("messages" in tables) == (WORDS in str([line["row"] for line in lines if "table" in line]))
        assert {line["topic"] for line in lines if "topic" in line} == {*found_in} - {"credentials.v1"}
        assert os.environ["META_TOKEN"] not in file.read_text()
        assert "ciphertext" not in file.read_text()
        assert any("credential" in line for line in lines) == ("--org" in options)
        file.unlink()


async def nothing_is_left(search: Search, line: datetime) -> None:
    assert await search.tables() == {}
    newest: dict[tuple[str, bytes], Held] = {}
    longest_ms = PERSONAL_RETENTION / timedelta(milliseconds=1)
    for record in await search.records():
        if record.is_compacted:
            newest[record.topic, record.key] = record
            continue
        assert record.topic == DEADLETTER.name or record.event_time <= line
        if record.has(OF_A_PERSON):
            assert 0 < record.retention_ms < longest_ms, f"{record.topic} keeps a person for longer than 30 days"
    assert {record.value for record in newest.values()} <= {None}, "a compacted topic still has it"
    secret = key_identity(search.settings.identity_bytes, ORG)
    keys = [record for record in await all_records(search.settings) if record.topic == KEYS.name]
    assert [record.value for record in keys if record.key == secret.encode()][-1] is None
    assert any(record.has([OrganisationForgotten.type]) for record in await all_records(search.settings))
