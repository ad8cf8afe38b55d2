"""The page for who develops a client: its examples are run as they stand, and it names every field and role."""

import asyncio
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from conversations_world import Inbox
from pydantic import BaseModel
from threads import ANNA, ANNA_ID, NUMBER, ORG, WABA, echoed, received, status
from wabus_conversations.api.models import ContactView, ConversationView, FrameView, MessageView
from wabus_conversations.settings import MediaStoreSettings
from wabus_conversations.store.objects import MediaStore
from wabus_conversations.tables.media import objects
from wabus_conversations.tables.media.objects import Content
from wabus_conversations.threads.ids import message_id
from wabus_events import fact_id
from wabus_runtime.http.roles import ROLES
from wabus_runtime.settings import load
from work_world import Desk

pytest_plugins = ["work_world"]

PAGE = (Path(__file__).parents[3] / "docs" / "conversations.md").read_text()
ANSWERS = {"DELETE": "202", "Range:": "206", "/media/tickets": "201", "Calls back": "201"}
"""Of the examples that have one of these in them; all others are answered 200."""
FUNCTIONS = """
curl() { command curl --silent --output /dev/null --write-out '%{http_code}\\n' "$@"; }
ask() { curl -H "Authorization: Bearer $TOKEN" "$@"; }
"""


def examples() -> list[str]:
    blocks = re.findall(r"^```sh\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    return [line for block in blocks for line in block.splitlines() if line.startswith(("ask ", "curl "))]


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
async def test_each_example_gives_an_answer(desk: Desk) -> None:
    inbox = desk.inbox
    await inbox.fold(
        received("red shoes", 1, ANNA, ANNA_ID),
        echoed("order", 2, ANNA, ANNA_ID, text={"body": "order"}),
        status("order", "read", 3, ANNA, ANNA_ID),
        received("photo", 4, ANNA, ANNA_ID, kind="image", image={"id": "1", "mime_type": "image/jpeg"}),
    )
    (conversation,) = await inbox.conversations()
    environment = {
        "PATH": "/usr/bin:/bin:/usr/local/bin",
        "API": str(inbox.client.make_url("")).rstrip("/"),
        "TOKEN": inbox.bearer(ORG, "admin")["Authorization"].removeprefix("Bearer "),
        "NUMBER": conversation["phone_number_id"],
        "WABA": conversation["waba_id"],
        "CONVERSATION": conversation["conversation_id"],
        "CONTACT": conversation["contact"]["contact_id"],
        "MEDIUM": await stored_medium(inbox),
        "MESSAGE": message_id(ORG, conversation["phone_number_id"], "order"),
    }
    lines = examples()
    assert len(lines) > 12
    for line in lines:
        # Nobody folds here, so whoever is asked to be forgotten is not yet.
        script = FUNCTIONS + line.replace("wait=10", "wait=0").replace("curl -sN", "curl -sN --max-time 2")
        process = await asyncio.create_subprocess_exec(
            "bash", "-c", script, env=environment, stdout=asyncio.subprocess.PIPE
        )
        said, _ = await process.communicate()
        answer = next((status for part, status in ANSWERS.items() if part in line), "200")
        assert said.decode().strip() == answer, line


async def stored_medium(inbox: Inbox) -> str:
    """The medium of the photo, as it is once it was fetched into the store that the API reads."""
    media_id, key, now = fact_id("medium", message_id(ORG, NUMBER, "photo")), "folder/photo", datetime.now(UTC)
    store = MediaStore(load(MediaStoreSettings).media_store_url)
    content = Content(hashlib.sha256(b"a photo").digest(), 7, "image/jpeg")
    await objects.begin(inbox.pool, key, ORG, WABA, [], now + timedelta(hours=1))
    await store.put(key, _chunks(b"a photo"))
    await objects.store(inbox.pool, media_id, ORG, key, content, now)
    return media_id


async def _chunks(content: bytes) -> AsyncIterator[bytes]:
    yield content


def has_websockets() -> bool:
    """Whether there is a Node that has WebSockets as browsers do, if it is asked for them."""
    node = shutil.which("node")
    asked = [node or "", "--experimental-websocket", "--eval", "new WebSocket('ws://127.0.0.1:9').onerror = () => {}"]
    return node is not None and subprocess.run(asked, capture_output=True, check=False).returncode == 0


@pytest.mark.skipif(not has_websockets(), reason="there is no Node with WebSockets here")
async def test_the_client_of_the_page_loads_once_and_is_told_of_each_change(inbox: Inbox) -> None:
    (client,) = re.findall(r"^```js\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    address = str(inbox.client.make_url("")).rstrip("/")
    token = inbox.bearer(ORG, "agent")["Authorization"].removeprefix("Bearer ")
    asked = f"""
        {client}
        const say = (what) => console.log(JSON.stringify(what))
        follow({json.dumps(address)}, async () => {json.dumps(token)}, say, () => say("load"))
    """
    process = await asyncio.create_subprocess_exec(
        "node", "--experimental-websocket", "--eval", asked, stdout=asyncio.subprocess.PIPE, limit=2**20
    )
    assert process.stdout
    try:
        assert json.loads(await process.stdout.readline()) == "load"
        for text in ("first", "second"):
            await inbox.fold(received(text, 1, ANNA, ANNA_ID))
            frame = json.loads(await process.stdout.readline())
            assert [each["text"] for each in frame["messages"]] == [text]
    finally:
        process.kill()
        await process.wait()


@pytest.mark.parametrize("model", [ConversationView, MessageView, ContactView, FrameView])
def test_every_field_is_explained(model: type[BaseModel]) -> None:
    of_itself = {"waba_id", "phone_number_id", "first_at", "at", "unread", "first_seen", "conversations"}
    assert {name for name in model.model_fields if f"`{name}`" not in PAGE} - of_itself == set()


def test_every_role_is_explained() -> None:
    assert re.findall(r"^\| `(\w+)` \| [A-Z][^|]+ \| ", PAGE, re.MULTILINE)[:4] == list(ROLES)
