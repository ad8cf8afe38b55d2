"""Compose's front in a real nginx: who is away is told at once, and nothing is changed or repeated.

The configuration is front.conf itself; only addresses, ports, folders and one time are replaced by those of the test.
"""

import asyncio
import os
import shutil
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
from deployment import ROOT
from local_stack import free_ports
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
    """The nginx that runs, where it listens, at which port it looks for services, and who tells it their addresses."""

    process: asyncio.subprocess.Process
    http: aiohttp.ClientSession
    port: int
    names: Names


def program() -> str:
    # Debian has it where only root's PATH leads.
    found = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if found is None:
        if os.environ.get("CI"):
            pytest.fail("nginx is missing: run `make nginx`")
        pytest.skip("no nginx: Compose's front is not run (`make nginx` installs it on Debian as root)")
    return found


def configuration(home: Path, listen: int, services: int, names: int) -> str:
    text = (ROOT / "deploy" / "compose" / "front.conf").read_text()
    for old, new in {
        "/tmp/": f"{home}/",
        "listen 8080;": f"listen 127.0.0.1:{listen};",
        ":8080;": f":{services};",
        "resolver 127.0.0.11 ": f"resolver 127.0.0.1:{names} ",
        "worker_shutdown_timeout 3s;": "worker_shutdown_timeout 1s;",
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@pytest.fixture
async def front(tmp_path: Path, eventually: Eventually) -> AsyncIterator[Front]:
    nginx = program()
    loop = asyncio.get_running_loop()
    listen, services = free_ports(2)
    transport, names = await loop.create_datagram_endpoint(Names, ("127.0.0.1", 0))
    (tmp_path / "nginx.conf").write_text(
        configuration(tmp_path, listen, services, transport.get_extra_info("sockname")[1])
    )
    asked = ["daemon off;", *(["user root;"] if os.geteuid() == 0 else [])]
    process = await asyncio.create_subprocess_exec(
        nginx, "-p", tmp_path, "-c", tmp_path / "nginx.conf", "-g", " ".join(asked)
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
            yield Front(process, http, services, names)
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
    for name in ("gateway", "health-projector-api", "template-sync-api"):
        front.names.addresses[name] = [host]
    yield
    await runner.cleanup()


async def assert_told_that_it_is_away(answer: aiohttp.ClientResponse) -> None:
    assert answer.status == 503
    assert answer.headers["Retry-After"] == "2"
    assert answer.content_type == "application/problem+json"
    problem = await answer.json()
    assert problem["type"] == f"urn:wabus:problem:{problem['code']}"
    assert (problem["code"], problem["status"]) == ("service_unavailable", 503)
    assert set(problem) == {"type", "title", "status", "detail", "code"}


@pytest.mark.parametrize("away", ["no such name", "nobody listens", "nothing answers"])
@pytest.mark.parametrize(("method", "path"), [("POST", WEBHOOK), ("GET", "/templates"), ("GET", "/webhook/health")])
async def test_nobody_waits_a_minute_for_a_container_that_is_away(
    front: Front, away: str, method: str, path: str
) -> None:
    with socket.socket() as silent:
        if away != "no such name":
            for name in ("gateway", "template-sync-api", "health-projector-api"):
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


async def test_a_stream_does_not_keep_the_front_from_stopping(front: Front) -> None:
    async def stream(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        await response.write(b": hello\n\n")
        await asyncio.sleep(60)
        return response

    async with service(front, stream), front.http.get("/webhook/health/stream") as answer:
        assert await answer.content.readline() == b": hello\n"
        front.process.send_signal(signal.SIGQUIT)
        assert await asyncio.wait_for(front.process.wait(), 10) == 0
