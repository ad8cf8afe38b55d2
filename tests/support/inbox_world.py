"""The whole system with an inbox, and people who write to it, for tests of the page in a browser.

PYTEST_DONT_REWRITE: it is imported as a plugin and by name.
"""

import json
import time
from collections.abc import Iterator
from typing import Any
from urllib.request import Request, urlopen

import pytest
from browser import chromium_path
from local_stack import LocalStack
from playwright.sync_api import Locator, Page, expect
from simulated_meta.seed import DEMO_PHONE, DEMO_WABA

NUMBER = "15550783881"  # the business's, as Meta writes it


class InboxWorld:
    """A stack with the demo account connected."""

    def __init__(self, stack: LocalStack) -> None:
        self.stack = stack
        self.url = stack.url

    def call(self, method: str, url: str, body: Any = None, token: str | None = None) -> Any:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        data = None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        with urlopen(Request(url, data, headers, method=method), timeout=60) as answer:
            return json.load(answer)

    def meta(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Call the control API of the simulated Meta."""
        return self.call(method, f"http://127.0.0.1:{self.stack.ports['META_PORT']}/_control{path}", body or {})

    def api(self, path: str) -> Any:
        return self.call("GET", self.url + path, token=self.call("GET", f"{self.url}/ui/session")["token"])

    def set(self, method: str, path: str, body: Any) -> Any:
        """What an administrator wants."""
        return self.call(method, self.url + path, body, self.call("GET", f"{self.url}/ui/session")["token"])

    def connect(self) -> None:
        token = next(each["value"] for each in self.meta("GET", "/tokens")["data"] if DEMO_WABA in each["waba_ids"])
        self.stack.wabus("connect", "--org", "demo", "--waba", DEMO_WABA, "--token", token)

    def says(self, number: str, name: str, text: str, **more: Any) -> str:
        """Somebody writes; returns Meta's id of it once the webhook was taken."""
        return self.meta("POST", "/messages?wait=true", {"from": number, "name": name, "text": text, **more})["id"]

    def wrote(self, number: str, name: str, texts: list[str], at: float) -> None:
        """Somebody wrote this at a time, all in one webhook."""
        value = {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": NUMBER, "phone_number_id": DEMO_PHONE},
            "contacts": [{"profile": {"name": name}, "wa_id": number}],
            "messages": [
                {"from": number, "id": f"wamid.{number}.{at}.{place}", "timestamp": str(int(at)),
                 "type": "text", "text": {"body": text}}
                for place, text in enumerate(texts)
            ],
        }  # fmt: skip
        self.meta("POST", "/webhooks?wait=true", {"waba_id": DEMO_WABA, "field": "messages", "value": value})

    def reacted(self, number: str, name: str, wamid: str, emoji: str) -> None:
        """Somebody has reacted to a message."""
        at = int(time.time())
        value = {
            "messaging_product": "whatsapp",
            "metadata": {"display_phone_number": NUMBER, "phone_number_id": DEMO_PHONE},
            "contacts": [{"profile": {"name": name}, "wa_id": number}],
            "messages": [
                {"from": number, "id": f"wamid.{number}.{at}.{emoji}", "timestamp": str(at),
                 "type": "reaction", "reaction": {"message_id": wamid, "emoji": emoji}}
            ],
        }  # fmt: skip
        self.meta("POST", "/webhooks?wait=true", {"waba_id": DEMO_WABA, "field": "messages", "value": value})

    def history(self, threads: int, messages: int, prefix: str) -> None:
        """What was before the connection: so many threads of so many messages."""
        told = {"variant": "many", "threads": threads, "messages": messages, "id": prefix}
        self.meta("POST", "/fields/history?wait=true", told)

    def sent(self, number: str) -> list[dict[str, Any]]:
        """What somebody was really sent."""
        return [
            each for each in self.meta("GET", "/sent?limit=10000")["data"] if number in (each["wa_id"], each["input"])
        ]


def row(page: Page, name: str) -> Locator:
    return page.locator("#rows a.row").filter(has_text=name)


def open_thread(world: InboxWorld, page: Page, name: str) -> None:
    """The inbox, with the conversation with somebody on the screen."""
    if not page.url.startswith(f"{world.url}/inbox"):
        page.goto(f"{world.url}/inbox")
    row(page, name).first.click()
    expect(page.locator("#thread-name")).to_have_text(name)
    expect(page.locator(".balloon").first).to_be_visible()


def balloon(page: Page, text: str) -> Locator:
    return page.locator(".balloon").filter(has_text=text)


def answer(page: Page, text: str) -> Locator:
    """Write and send; returns where it is shown."""
    page.get_by_label("Message", exact=True).fill(text)
    page.keyboard.press("Enter")
    return balloon(page, text.replace("*", "")).last


def until(condition: Any, timeout: float = 60) -> None:
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def running_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InboxWorld]:
    chromium_path()
    stack = LocalStack(tmp_path_factory.mktemp("inbox") / "home")
    stack.env["UI_LOCAL_ORG"] = "demo"
    try:
        stack.start()
        world = InboxWorld(stack)
        world.connect()
        yield world
    finally:
        if stack.process and stack.process.poll() is None:
            stack.process.terminate()
            stack.process.wait(15)


@pytest.fixture
def world(running_world: InboxWorld) -> Iterator[InboxWorld]:
    """Meta is as it should be again after each test, however it went."""
    yield running_world
    running_world.meta("DELETE", "/faults")
    running_world.meta("PATCH", "/sending", {"tells": True, "statuses": {"failed": 0.0}})
