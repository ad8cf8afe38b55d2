"""Compose's front in a real nginx: who is away is told at once, and nothing is changed or repeated.

The configuration is Compose's own; only addresses, ports, folders and one time are replaced by those of the test.
"""

import asyncio
import json
import os
import signal
import socket
import struct
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web
from deployment import ROOT, nginx
from local_stack import free_ports
from wabus_runtime.http.streams import EVENT_STREAM
from waiting import Eventually

ANSWERED_WITHIN = 6.0  # seconds; the configuration has 2
WEBHOOK = "/webhooks/whatsapp"


@dataclass
class Names(asyncio.DatagramProtocol):
    """A name server that knows the addresses given, and says of all other names that there are none (RFC 1035)."""

    addresses: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    transport: asyncio.DatagramTransport | None = None

    def connection_made(self, transport: asyncio.DatagramTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        labels, at = [], 12
        while size := data[at]:
            labels.append(data[at + 1 : at + 1 + size].decode())
            at += 1 + size
        question, kind = data[12 : at + 5], struct.unpack(">H", data[at + 1 : at + 3])[0]
        found = self.addresses.get(".".join(labels))
        hosts = (found or []) if kind == 1 else []
        flags = 0x8180 if found else 0x8183
        head = data[:2] + struct.pack(">HHHHH", flags, 1, len(hosts), 0, 0)
        records = (b"\xc0\x0c" + struct.pack(">HHIH", 1, 1, 60, 4) + socket.inet_aton(host) for host in hosts)
        assert self.transport is not None
        self.transport.sendto(head + question + b"".join(records), addr)


@dataclass
class Front:
    """The nginx that runs, where it listens, at which port it looks for services, who tells it their addresses, and
    the folder that it has for /tmp."""

    process: asyncio.subprocess.Process
    http: aiohttp.ClientSession
    listen: int
    port: int
    names: Names
    home: Path


def configuration(home: Path, listen: int, services: int, names: int) -> str:
    folder = ROOT / "deploy" / "compose" / "front"
    text = (folder / "nginx.conf").read_text()
    for old, new in {
        "/tmp/": f"{home}/",
        "root /etc/nginx;": f"root {folder};",
        "listen 8080;": f"listen 127.0.0.1:{listen};",
        ":8080;": f":{services};",
        "resolver 127.0.0.11 ": f"resolver 127.0.0.1:{names} ",
        "worker_shutdown_timeout 3s;": "worker_shutdown_timeout 1s;",
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@pytest.fixture
async def front(tmp_path: Path, eventually: Eventually, request: pytest.FixtureRequest) -> AsyncIterator[Front]:
    """The front; a test's parameter replaces one text of the configuration by another."""
    program = nginx()
    loop = asyncio.get_running_loop()
    listen, services = free_ports(2)
    transport, names = await loop.create_datagram_endpoint(Names, ("127.0.0.1", 0))
    text = configuration(tmp_path, listen, services, transport.get_extra_info("sockname")[1])
    for old, new in getattr(request, "param", {}).items():
        assert old in text
        text = text.replace(old, new)
    (tmp_path / "nginx.conf").write_text(text)
    asked = ["daemon off;", *(["user root;"] if os.geteuid() == 0 else [])]
    process = await asyncio.create_subprocess_exec(
        program, "-p", tmp_path, "-c", tmp_path / "nginx.conf", "-g", " ".join(asked)
    )
    async with aiohttp.ClientSession(f"http://127.0.0.1:{listen}", timeout=aiohttp.ClientTimeout(total=20)) as http:

        async def listening() -> bool:
            try:
                async with http.get("/nowhere") as answer:
                    return answer.status == 404
            except aiohttp.ClientConnectionError:
                return False

        try:
            await eventually(listening)
            yield Front(process, http, listen, services, names, tmp_path)
        finally:
            if process.returncode is None:
                process.kill()
            await process.wait()
            transport.close()


Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@asynccontextmanager
async def service(front: Front, handler: Handler, host: str = "127.0.0.1") -> AsyncGenerator[None]:
    """A service at an address of its own, by which the front finds it from now on as the gateway."""
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", handler)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.TCPSite(runner, host, front.port).start()
    for name in ("gateway", "api"):
        front.names.addresses[name] = [host]
    yield
    await runner.cleanup()


async def assert_problem(answer: aiohttp.ClientResponse, status: int, code: str) -> None:
    """A problem as the services themselves answer it."""
    assert answer.status == status
    assert answer.content_type == "application/problem+json"
    assert answer.headers.getall("Cache-Control") == ["no-store"]
    assert answer.headers.getall("X-Content-Type-Options") == ["nosniff"]
    assert answer.headers.getall("Retry-After", []) == (["2"] if status in (429, 503) else [])
    assert not {"ETag", "Last-Modified"} & set(answer.headers)
    problem = await answer.json()
    assert problem["type"] == f"urn:wabus:problem:{problem['code']}"
    assert (problem["code"], problem["status"]) == (code, status)
    assert set(problem) == {"type", "title", "status", "detail", "code"}


async def assert_told_that_it_is_away(answer: aiohttp.ClientResponse) -> None:
    await assert_problem(answer, 503, "service_unavailable")


@pytest.mark.parametrize(
    ("method", "path", "body", "status", "code"),
    [
        ("GET", "/nowhere", b"", 404, "not_found"),
        ("POST", "/nowhere", b"{}", 404, "not_found"),
        ("GET", "/metrics", b"", 404, "not_found"),
        ("GET", "/problems/404.json", b"", 404, "not_found"),
        ("TRACE", "/templates", b"", 405, "method_not_allowed"),
        ("POST", WEBHOOK, bytes(4 * 1024 * 1024 + 1), 413, "too_large"),
        ("POST", "/numbers/1/sending", bytes(4 * 1024 * 1024 + 1), 413, "too_large"),
        ("GET", "/templates?q=" + "q" * 9_000, b"", 414, "uri_too_long"),
    ],
)
async def test_what_the_front_itself_refuses_is_a_problem_that_a_client_can_read(
    front: Front, method: str, path: str, body: bytes, status: int, code: str
) -> None:
    async with front.http.request(method, path, data=body or None) as answer:
        await assert_problem(answer, status, code)


@pytest.mark.parametrize(
    ("head", "status", "code"),
    [
        ("nonsense\r\n\r\n", 400, "malformed_request"),
        ("GET / HTTP/1.1\r\nHost: a\r\nX: " + "x" * 40_000 + "\r\n\r\n", 400, "malformed_request"),
        ("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", 501, "not_implemented"),
        ("GET / HTTP/3.0\r\nHost: a\r\n\r\n", 505, "http_version_not_supported"),
    ],
)
async def test_what_is_no_proper_http_is_a_problem_too(front: Front, head: str, status: int, code: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", front.listen)
    writer.write(head.encode())
    answer = await asyncio.wait_for(reader.read(), 20)
    writer.close()

    said, _, body = answer.partition(b"\r\n\r\n")
    assert said.startswith(b"HTTP/1.1 %d " % status)
    assert b"Content-Type: application/problem+json" in said
    assert json.loads(body)["code"] == code


LIMITED = {"    server {\n": "    limit_req_zone all zone=all:1m rate=1r/m;\n    limit_req_status 429;\n    server {\n",
           "location = /openapi.json {": "location = /openapi.json { limit_req zone=all;"}  # fmt: skip


@pytest.mark.parametrize("front", [LIMITED], indirect=True)
async def test_a_limit_that_an_operator_adds_is_told_as_a_problem(front: Front) -> None:
    async def here(request: web.Request) -> web.Response:
        return web.Response()

    async with service(front, here):
        async with front.http.get("/openapi.json") as answer:
            assert answer.status == 200
        async with front.http.get("/openapi.json") as answer:
            await assert_problem(answer, 429, "too_many_requests")


@pytest.mark.parametrize("away", ["no such name", "nobody listens", "nothing answers"])
@pytest.mark.parametrize(("method", "path"), [("POST", WEBHOOK), ("GET", "/templates"), ("GET", "/webhook/health")])
async def test_nobody_waits_a_minute_for_a_container_that_is_away(
    front: Front, away: str, method: str, path: str
) -> None:
    with socket.socket() as silent:
        if away != "no such name":
            for name in ("gateway", "api"):
                front.names.addresses[name] = ["127.0.0.1"]
        if away == "nothing answers":
            # As with a container that has just gone: no packet comes back. Here because nobody accepts connections.
            silent.bind(("127.0.0.1", front.port))
            silent.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for each in waiting if away == "nothing answers" else []:
            each.setblocking(False)
            each.connect_ex(("127.0.0.1", front.port))
        started = time.monotonic()
        async with front.http.request(method, path, data=b"{}" if method == "POST" else None) as answer:
            await assert_told_that_it_is_away(answer)
        assert time.monotonic() - started < ANSWERED_WITHIN
        for each in waiting:
            each.close()


async def test_a_container_that_comes_back_with_another_address_is_found(front: Front, eventually: Eventually) -> None:
    async def here(request: web.Request) -> web.Response:
        return web.Response(text="EVENT_RECEIVED")

    async def taken() -> bool:
        async with front.http.post(WEBHOOK, data=b"{}") as answer:
            return answer.status == 200

    for host in ("127.0.0.2", "127.0.0.3"):
        async with service(front, here, host):
            assert await eventually(taken)
        assert not await taken()


@pytest.mark.parametrize("status", [200, 400, 401, 403, 404, 408, 413, 429, 500, 502, 503, 504])
async def test_what_a_service_answers_is_passed_on_as_it_is(front: Front, status: int) -> None:
    async def answer(request: web.Request) -> web.Response:
        headers = {"Retry-After": "77", "Cache-Control": "no-store", "WWW-Authenticate": "Bearer"}
        body = b'{"code":"' + (await request.read()) + b'"}'
        return web.Response(status=status, body=body, content_type="application/problem+json", headers=headers)

    async with service(front, answer), front.http.post(WEBHOOK, data=b"its_own") as passed:
        assert (passed.status, await passed.read()) == (status, b'{"code":"its_own"}')
        assert passed.content_type == "application/problem+json"
        assert passed.headers.getall("Retry-After") == ["77"]
        assert passed.headers.getall("Cache-Control") == ["no-store"]
        assert passed.headers.getall("WWW-Authenticate") == ["Bearer"]


async def test_a_file_is_passed_on_as_it_comes(front: Front) -> None:
    begun, taken = asyncio.Event(), 0

    async def takes(request: web.Request) -> web.Response:
        nonlocal taken
        async for chunk in request.content.iter_any():
            begun.set()
            taken += len(chunk)
        return web.Response(status=201)

    async def file() -> AsyncIterator[bytes]:
        yield bytes(1024)
        await begun.wait()  # before the rest is there
        for _ in range(6):
            yield bytes(1024 * 1024)

    async with service(front, takes), front.http.post("/numbers/1/media", data=file()) as answer:
        assert answer.status == 201
    assert taken == 6 * 1024 * 1024 + 1024


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_is_never_sent_to_a_service_a_second_time(front: Front, method: str) -> None:
    seen: list[str] = []

    async def dies(request: web.Request) -> web.Response:
        seen.append(request.method)
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    async with service(front, dies, "127.0.0.2"), service(front, dies, "127.0.0.3"):
        front.names.addresses["gateway"] = ["127.0.0.2", "127.0.0.3"]
        async with front.http.request(method, WEBHOOK, data=b"{}" if method == "POST" else None) as answer:
            await assert_told_that_it_is_away(answer)
    assert seen == [method]


async def test_while_two_containers_have_one_name_only_the_one_that_is_chosen_is_asked_and_nobody_notices(
    front: Front, eventually: Eventually
) -> None:
    """As `upgrade` does it: a file that names the address, and nginx reads its configuration anew."""
    seen: list[str] = []
    statuses: list[int] = []
    stopped = asyncio.Event()

    def named(name: str) -> Handler:
        async def handle(request: web.Request) -> web.Response:
            seen.append(name)
            return web.Response(text="EVENT_RECEIVED")

        return handle

    async def deliver() -> None:
        while not stopped.is_set():
            # A connection each: one that nginx closes while idle may be used in that moment.
            async with aiohttp.request("POST", f"http://127.0.0.1:{front.listen}{WEBHOOK}", data=b"{}") as answer:
                statuses.append(answer.status)

    async with service(front, named("old"), "127.0.0.2"), service(front, named("new"), "127.0.0.3"):
        front.names.addresses["gateway"] = ["127.0.0.2", "127.0.0.3"]
        load = [asyncio.create_task(deliver()) for _ in range(4)]
        await eventually(lambda: _both(seen))
        (front.home / "instead-of-gateway").write_text("~^ 127.0.0.3;\n")
        front.process.send_signal(signal.SIGHUP)
        await eventually(lambda: _only(seen, "new"))
        stopped.set()
        await asyncio.gather(*load)
    assert set(statuses) == {200}


async def _both(seen: list[str]) -> bool:
    return {"old", "new"} <= set(seen)


async def _only(seen: list[str], name: str) -> bool:
    return len(seen) > 50 and set(seen[-50:]) == {name}


async def test_an_event_of_a_stream_is_passed_on_at_once_and_a_stream_does_not_keep_the_front_from_stopping(
    front: Front,
) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers=EVENT_STREAM)
        await response.prepare(request)
        await response.write(b": hello\n\n")
        await asyncio.sleep(60)
        return response

    async with service(front, stream), front.http.get("/webhook/health/stream") as answer:
        assert await answer.content.readline() == b": hello\n"
        front.process.send_signal(signal.SIGQUIT)
        assert await asyncio.wait_for(front.process.wait(), 10) == 0
