"""Somebody who wrote, was written to, is in an experiment and in webhooks that wait is forgotten by their number alone.

All that is left of them in any table or file of any service is looked for by whatever names them: numbers, user ids,
names, words, and the hashes by which services know them.
"""

import base64
import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import asyncpg
import pytest
from local_stack import free_ports
from sending_world import ORG, PERSON, Client, Sending, Serve, text
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA
from support.forgetting import rows_with
from system import wabus
from wabus_conversations.app import create_app as conversations
from wabus_conversations.settings import ConversationsSettings
from wabus_events import ContactForgotten, MessageReceived, Template, TemplateChanged, fact_id, identity_of
from wabus_events.models.templates import Body
from wabus_events.testing import an
from wabus_insights.app import create_app as insights
from wabus_insights.settings import InsightsSettings
from wabus_runtime.settings import IdentitySettings, load
from wabus_subscriptions.app import create_app as subscriptions
from wabus_subscriptions.settings import SubscriptionsSettings
from waiting import Eventually

pytest_plugins = ["sending_world"]
pytestmark = [pytest.mark.long, pytest.mark.timeout(600), pytest.mark.empty_database]

USER, NAME, WORDS, NOTE = "DE.17012345678901234", "Anna Confidential", "a word in private", "a note about somebody"
PHOTO = b"what somebody sent" * 100
OTHER = "4917012345678"
SAID = (PERSON, USER, NAME, WORDS, NOTE)
TABLES = {
    "conversations.identifiers", "conversations.conversations", "conversations.messages",
    "conversations.notes", "sender.sends", "sender.contacts", "sender.windows", "sender.experiment_arms",
    "subscriptions.outbox", "insights.people", "insights.experiment_keys",
}  # fmt: skip


def hashes() -> tuple[str, ...]:
    """Of what the person is known by, as lines and tables have it."""
    key = load(IdentitySettings).identity_bytes
    return tuple(identity_of(key, ContactForgotten, value, scope) for value in (PERSON, USER) for scope in (ORG, ""))


def wrote(number: int, person: str, user_id: str | None, name: str, at: datetime, **item: Any) -> MessageReceived:
    stamp, wamid = str(int(at.timestamp())), f"wamid.{person}.{number}"
    message: dict[str, Any] = {
        "id": wamid,
        "from": person,
        "timestamp": stamp,
        "type": "text",
        "text": {"body": name},
    } | item
    contact: dict[str, Any] = {"wa_id": person, "profile": {"name": name}}
    if user_id:
        message["from_user_id"] = contact["user_id"] = user_id
    value = {"messaging_product": "whatsapp", "metadata": {"phone_number_id": DEMO_PHONE}, "contacts": [contact]}
    return MessageReceived(
        id=fact_id(MessageReceived.type, wamid), time=at, org_id=ORG, waba_id=DEMO_WABA, phone_number_id=DEMO_PHONE,
        wamid=wamid, contact=person, user_id=user_id, message_type=message["type"],
        value={**value, "messages": [message]},
    )  # fmt: skip


def template() -> TemplateChanged:
    whole = Template(
        template_id="100", name="plain", language="de", category="MARKETING", status="APPROVED",
        body=Body(text="5 % off", variables=[], raw={}),
    )  # fmt: skip
    about: dict[str, Any] = {"waba_id": DEMO_WABA, "org_id": ORG, "time": datetime.now(UTC)}
    return an(TemplateChanged, template=whole, added=True, version_number=1, **about)


class Everything:
    """The services beside the sender, and what of them is looked through."""

    def __init__(self, sending: Sending, sender: Client, database_url: str, media: Path) -> None:
        self.sending = sending
        self.sender = sender
        self.database_url = database_url
        self.media = media

    async def call(
        self, client: Client, method: str, path: str, body: object, *statuses: int, role: str = "admin"
    ) -> Any:
        headers = self.sending.bearer(ORG, role) | {"Idempotency-Key": path}
        async with client.request(method, path, json=body, headers=headers) as answer:
            assert answer.status in statuses, await answer.text()
            return await answer.json()

    async def found(self, *words: str) -> dict[str, list[str]]:
        connection = await asyncpg.connect(self.database_url)
        try:
            rows = await rows_with(connection, words)
        finally:
            await connection.close()
        return {name: found for name, found in rows.items() if not name.endswith(".erasures")}

    async def nothing_is_left(self) -> None:
        assert await self.found(*SAID, *hashes()) == {}
        assert not any(PHOTO in file.read_bytes() for file in self.media.rglob("*") if file.is_file())


@pytest.fixture
def everything(sending: Sending, sender: Client, database_url: str, media: Path) -> Everything:
    return Everything(sending, sender, database_url, media)


@pytest.fixture
def media(environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("SUBSCRIPTIONS_PRIVATE_ADDRESSES", "true")
    monkeypatch.setenv("MEDIA_STORE_URL", f"file:{tmp_path / 'media'}")
    return tmp_path / "media"


async def test_who_is_forgotten_by_a_number_is_nowhere_by_whatever_they_are_known(
    everything: Everything, serve: Serve, eventually: Eventually, tmp_path: Path
) -> None:
    sending, began = everything.sending, datetime.now(UTC)
    inbox = await serve(conversations(load(ConversationsSettings)))
    counts = await serve(insights(load(InsightsSettings)))
    platform = await serve(subscriptions(load(SubscriptionsSettings)))

    async def all_are_ready() -> bool:
        return [(await each.get("/readyz")).status for each in (inbox, counts, platform)] == [200, 200, 200]

    await eventually(all_are_ready)
    away = {"url": f"http://127.0.0.1:{free_ports(1)[0]}/", "types": ["MessageReceived", "SendRequested"]}
    await everything.call(platform, "POST", "/subscriptions", away, 201)
    sent = await sending.control(
        "POST", "/media?webhook=false", {"from": PERSON, "content": base64.b64encode(PHOTO).decode()}
    )
    photo = {name: part for name, part in sent["value"]["messages"][0].items() if name in ("type", "image")}
    events = [
        wrote(1, PERSON, USER, NAME, began, text={"body": WORDS}),
        wrote(2, PERSON, USER, NAME, began + timedelta(seconds=1), **photo),
        wrote(3, OTHER, None, "Ben", began),
    ]
    await sending.publisher.publish([template(), *events])

    async def is_stored() -> bool:
        return any(PHOTO in file.read_bytes() for file in everything.media.rglob("*") if file.is_file())

    async def is_planned() -> dict[str, Any]:
        arms = [{"arm": "A", "template": {"name": "plain", "language": "de"}}, {"arm": "none", "template": None}]
        plan = {
            "name": "Plain or none", "waba_id": DEMO_WABA, "arms": arms, "control": "A", "outcome_hours": 1,
            "minimum_days": 0, "minimum_per_arm": 5, "days": 1,
        }  # fmt: skip
        return await everything.call(counts, "POST", "/experiments", plan, 201)

    await eventually(is_stored)
    planned: Any = await eventually(is_planned)
    path = f"/experiments/{planned['experiment_id']}"
    await everything.call(counts, "POST", f"{path}/start", {}, 200)
    in_experiment = {
        "from": DEMO_PHONE, "to": PERSON, "type": "template", "template": {"experiment": planned["experiment_id"]},
    }  # fmt: skip

    async def runs() -> bool:
        headers = sending.bearer(ORG, "agent")
        async with everything.sender.post("/messages", json=in_experiment, headers=headers) as answer:
            return answer.status == 202

    await eventually(runs)
    by_user_id = {**text(body=WORDS), "to": None, "recipient": USER}
    for body in (text(PERSON, WORDS), by_user_id, text(OTHER, "for another")):
        await sending.post(everything.sender, body)
    async with inbox.get("/conversations?named=Anna", headers=sending.bearer(ORG, "agent")) as answer:
        (conversation,) = (await answer.json())["conversations"]
    path = f"/conversations/{conversation['conversation_id']}/notes"
    await everything.call(inbox, "POST", path, {"text": NOTE}, 201, 202, role="agent")

    async def is_everywhere() -> bool:
        assert TABLES - (await everything.found(*SAID, *hashes())).keys() == set()
        return True

    await eventually(is_everywhere)
    file = tmp_path / "held.jsonl"
    await wabus("export", "--contact", PERSON, str(file))
    held = {line.get("table") for line in map(json.loads, file.read_text().splitlines())}
    # Of insights there is nothing that anybody could be asked for by a number.
    assert {name.partition(".")[2] for name in TABLES if not name.startswith("insights.")} - held == set()
    file.unlink()

    said = await wabus("forget", "--yes", "--contact", PERSON)
    assert not any(word in said for word in SAID)
    await everything.nothing_is_left()
    kept = await everything.found(OTHER)
    assert {"conversations.messages", "sender.contacts", "subscriptions.outbox"} <= kept.keys()

    late = [
        wrote(1, PERSON, USER, NAME, began, text={"body": WORDS}),
        wrote(4, PERSON, None, NAME, began, text={"body": WORDS}),
        wrote(5, USER, USER, NAME, began, text={"body": WORDS}),
        wrote(6, OTHER, None, "Ben once more", datetime.now(UTC)),
    ]
    await sending.publisher.publish(late)

    async def is_folded() -> bool:
        there = (await everything.found("Ben once more")).keys()
        return {"conversations.messages", "subscriptions.outbox"} <= there

    await eventually(is_folded)
    for what in ("conversations", "conversations-work", "sender", "insights"):
        await wabus("rebuild", what)
    await everything.nothing_is_left()
