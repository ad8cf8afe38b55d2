"""Whatever answers in Meta's place, and however it breaks off: each send has its right end, and none is sent twice.

The server speaks over bare sockets, shares nothing with the simulated Meta, and keeps a ledger of its own.
"""

import asyncio
import gzip
import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from sending_world import ORG, Client, Sending, Serve, text, until_ready
from simulated_meta.seed import DEMO_PHONE
from wabus_events import SENDS, Event, MessageAccepted, Topic
from wabus_runtime.settings import load
from wabus_sender.app import create_app
from wabus_sender.sending.answers import WAITS
from wabus_sender.settings import SenderSettings
from waiting import Eventually

pytest_plugins = ("support.sending_world",)

End = Literal["accepted", "refused", "unknown"]
TIMEOUT = 3  # seconds for one call


def http(status: str, body: bytes, kind: str = "application/json", more: str = "", length: int | None = None) -> bytes:
    said = len(body) if length is None else length
    head = f"HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {said}\r\nConnection: close\r\n{more}\r\n"
    return head.encode() + body


def taken(*wamids: str, **more: Any) -> bytes:
    return json.dumps({"messages": [{"id": each} for each in wamids]} | more).encode()


def refused(code: Any, **more: Any) -> bytes:
    return json.dumps({"error": {"message": "It failed", "type": "OAuthException", "code": code, **more}}).encode()


BOMB = gzip.compress(b" " * 50_000_000)
GOOD = http("200 OK", taken("wamid.good"))
CALLED_TOO_OFTEN = http(
    "400 Bad Request",
    refused(80007),
    more='X-Business-Use-Case-Usage: {"1": [{"type": "whatsapp", "estimated_time_to_regain_access": 19}]}\r\n',
)
"""Meta: "Rate limits" (Graph API): the estimate is in minutes."""
ANSWERS: dict[str, tuple[bytes, End]] = {
    "nothing": (b"", "unknown"),
    "no HTTP": (b"\x16\x03\x01\x02 what?\r\n\r\n", "unknown"),
    "half of the body": (http("200 OK", taken("wamid.half")[:20], length=60), "unknown"),
    "half of the head": (b"HTTP/1.1 200 OK\r\nContent-Ty", "unknown"),
    "a broken chunk": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n", "unknown"),
    "endless head": (b"HTTP/1.1 200 OK\r\nX-A: " + b"a" * 100_000 + b"\r\n\r\n{}", "unknown"),
    "502 without JSON": (http("502 Bad Gateway", b"<h1>Bad gateway</h1>", "text/html"), "unknown"),
    "503 that is empty": (http("503 Service Unavailable", b""), "unknown"),
    "429 without JSON": (http("429 Too Many Requests", b"slow down", "text/plain"), "unknown"),
    "403 of a firewall": (http("403 Forbidden", b"<p>blocked</p>", "text/html"), "unknown"),
    "200 with HTML": (http("200 OK", b"<html>Welcome</html>", "text/html"), "unknown"),
    "204": (b"HTTP/1.1 204 No Content\r\nConnection: close\r\n\r\n", "unknown"),
    "an empty object": (http("200 OK", b"{}"), "unknown"),
    "no messages": (http("200 OK", taken()), "unknown"),
    "an id that is a number": (http("200 OK", b'{"messages": [{"id": 7}]}'), "unknown"),
    "an id that no table takes": (http("200 OK", taken("wamid.\x00")), "unknown"),
    "both at once": (http("200 OK", taken("wamid.both", error={"code": 2})), "unknown"),
    "an error without a code": (http("500 Oh", b'{"error": {"message": "no"}}'), "unknown"),
    "an error with a text as code": (http("400 Bad Request", refused("131026")), "unknown"),
    "a redirect": (http("307 Temporary Redirect", b"", more="Location: /redirected\r\n"), "unknown"),
    "another redirect": (http("301 Moved", b"", more="Location: /redirected\r\n"), "unknown"),
    "gzip that is none": (http("200 OK", b"not gzip", more="Content-Encoding: gzip\r\n"), "unknown"),
    "too much": (http("200 OK", b"[" + b" " * 17_000_000 + b"]"), "unknown"),
    "too much in gzip": (http("200 OK", BOMB, more="Content-Encoding: gzip\r\n"), "unknown"),
    "deep JSON": (http("200 OK", b"[" * 200_000), "unknown"),
    "two messages": (http("200 OK", taken("wamid.one", "wamid.two")), "accepted"),
    "JSON as text": (http("200 OK", taken("wamid.text"), "text/plain"), "accepted"),
    "without a length": (b"HTTP/1.0 200 OK\r\n\r\n" + taken("wamid.end"), "accepted"),
    "a user id alone": (http("200 OK", taken("wamid.u", contacts=[{"user_id": "DE.7"}])), "accepted"),
    "contacts that are wrong": (http("200 OK", taken("wamid.c", contacts="nobody")), "accepted"),
    "an error nobody knows": (http("400 Bad Request", refused(987_654)), "refused"),
    "an enormous code": (http("400 Bad Request", refused(2**60)), "refused"),
    "not on WhatsApp": (http("400 Bad Request", refused(131026)), "refused"),
    "a wrong request": (http("400 Bad Request", refused(100)), "refused"),
}  # fmt: skip
"""What is answered each time, and what becomes of the send."""

AGAIN: dict[str, bytes] = {
    "trouble": http("500 Internal Server Error", refused(2)),
    "trouble that has no name": http("503 Service Unavailable", refused(987_654)),
    "trouble that passes": http("400 Bad Request", refused(987_654, is_transient=True)),
    "too fast": http("429 Too Many Requests", refused(130429)),
    "too fast for the account": http("400 Bad Request", refused(80007), more="Retry-After: 1\r\n"),
    "too much to one person": http("400 Bad Request", refused(131056)),
}
"""What is answered at first; then it is taken."""


@dataclass
class BadGraph:
    """Answers by what is written: a message's text is the name of its answer."""

    port: int = 0
    calls: Counter[str] = field(default_factory=Counter[str])
    """How often each was asked for."""
    elsewhere: list[str] = field(default_factory=list[str])
    """Whatever else was asked."""

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await self._answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        length = next(int(line[15:]) for line in head.split("\r\n") if line.lower().startswith("content-length:"))
        body = json.loads(await reader.readexactly(length))
        path = head.split(" ", 2)[1].partition("?")[0]
        if not path.endswith(f"/{DEMO_PHONE}/messages"):
            self.elsewhere.append(path)
            return
        name = body["text"]["body"]
        self.calls[name] += 1
        if name == "drop by drop":
            for byte in GOOD:
                writer.write(bytes([byte]))
                await asyncio.sleep(0.2)
            return
        if name in AGAIN:
            writer.write(AGAIN[name] if self.calls[name] == 1 else GOOD)
        elif name == "called too often":
            writer.write(CALLED_TOO_OFTEN)
        else:
            writer.write(ANSWERS[name][0])
        await writer.drain()


@pytest.fixture
async def graph(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[BadGraph]:
    made = BadGraph()
    server = await asyncio.start_server(made.serve, "127.0.0.1")
    made.port = server.sockets[0].getsockname()[1]
    yield made
    server.close()


async def test_whatever_comes_back_is_the_right_end_and_nothing_is_sent_twice(
    sending: Sending,
    graph: BadGraph,
    serve: Serve,
    eventually: Eventually,
    events_in: Callable[[Topic], Awaitable[list[Event]]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("META_GRAPH_URL", f"http://127.0.0.1:{graph.port}")
    monkeypatch.setenv("GRAPH_TIMEOUT", str(TIMEOUT))
    monkeypatch.setitem(WAITS, "calls_limited", 1.0)  # all wait for it here: the number stands still
    names = [*ANSWERS, *AGAIN, "drop by drop"]
    people = {name: f"49151{number:07d}" for number, name in enumerate(names)}
    await sending.write(*people.values(), text()["to"])
    client = await serve(create_app(load(SenderSettings)))
    await until_ready(client, sending, eventually)
    ids = {name: await _asked(sending, client, eventually, people[name], name) for name in names}
    ends: dict[str, str] = {name: end for name, (_, end) in ANSWERS.items()}
    ends |= dict.fromkeys(AGAIN, "accepted") | {"drop by drop": "unknown"}

    found: dict[str, dict[str, Any]] = {}
    for name, send_id in ids.items():
        found[name] = await sending.until(client, send_id, "accepted", "refused", "unknown", "expired")
    assert {name: each["state"] for name, each in found.items()} == ends
    tries = {name: 2 if name in AGAIN else 1 for name in names}
    assert dict(graph.calls) == tries
    assert graph.elsewhere == []
    assert {name: each["attempts"] for name, each in found.items() if each["attempts"] < tries[name]} == {}
    # Whoever an answer names: it stands in the thread of whom it was written to.
    told = {event.send_id: event for event in await events_in(SENDS) if isinstance(event, MessageAccepted)}
    assert {name: told[ids[name]].wa_id for name, end in ends.items() if end == "accepted"} == {
        name: people[name] for name, end in ends.items() if end == "accepted"
    }
    assert told[ids["a user id alone"]].user_id == "DE.7"


async def test_who_has_called_meta_too_often_is_not_locked_out_for_longer_by_calling_on(
    sending: Sending, graph: BadGraph, serve: Serve, eventually: Eventually, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("META_GRAPH_URL", f"http://127.0.0.1:{graph.port}")
    people = [f"49151{number:07d}" for number in range(5)]
    await sending.write(*people, text()["to"])
    client = await serve(create_app(load(SenderSettings)))
    await until_ready(client, sending, eventually)
    first = await _asked(sending, client, eventually, people[0], "called too often")
    path = f"/numbers/{DEMO_PHONE}/sending"

    async def paused() -> dict[str, Any] | None:
        return (await sending.get(client, path))["paused"]

    await eventually(paused)
    for person in people[1:]:
        await _asked(sending, client, eventually, person, "called too often")
    # Who sends for the number next knows of it too.
    await client.close()
    client = await serve(create_app(load(SenderSettings)))
    await until_ready(client, sending, eventually)
    soon = (datetime.now(UTC) + timedelta(seconds=4)).isoformat()
    over = await sending.post(client, text(people[0], "called too often", expires_at=soon))
    await sending.until(client, over["send_id"], "expired")
    found = await paused()
    assert found
    assert (found["reason"], found["error_code"]) == ("calls_limited", 80007)
    left = datetime.fromisoformat(found["until"]) - datetime.now(UTC)
    assert timedelta(minutes=17) < left <= timedelta(minutes=19)
    waiting = await sending.get(client, f"/sends/{first}")
    assert (waiting["state"], waiting["waits_for"]) == ("queued", "calls_limited")
    assert graph.calls == {"called too often": 1}


async def _asked(sending: Sending, client: Client, eventually: Eventually, to: str, body: str) -> str:
    """The send, once it is known that the person has written."""

    async def known() -> bool:
        async with client.post("/messages/check", json=text(to), headers=sending.bearer(ORG, "agent")) as answer:
            return answer.status == 200 and (await answer.json())["ok"]

    await eventually(known)
    return (await sending.post(client, text(to, body)))["send_id"]
