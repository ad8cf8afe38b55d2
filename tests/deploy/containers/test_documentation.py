"""docs/deploy.md as a new operator reads it: each of its commands, in its order, on an engine."""

import asyncio
import os
import re
import signal
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from certificates import Authority
from deployment import nginx
from one_host import DEPLOY, Checkout, blocks, clone, host_ports

HOST = "wabus.example.com"


@pytest.fixture
def operator(docker: None, name: str, tmp_path: Path) -> Iterator[Checkout]:
    """A checkout in which nothing has been done."""
    front, meta = host_ports(2)
    checkout = clone(tmp_path, f"{name}-read", {"front": front, "meta": meta}, {})
    del checkout.env["META_PORT"]
    try:
        yield checkout
    finally:
        checkout.down()


@asynccontextmanager
async def ending_tls(operator: Checkout, home: Path) -> AsyncGenerator[None]:
    """The nginx of the documentation; curl finds it under the host's name and believes its certificate."""
    program = nginx()
    (port,) = host_ports(1)
    authority = Authority(home / "certificates", "authority")
    issued = authority.issue("server", HOST)
    (server,) = blocks(DEPLOY, "One host", "nginx")
    for old, new in {
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "/etc/ssl/wabus.pem": str(issued.certificate),
        "/etc/ssl/wabus.key": str(issued.key),
        "127.0.0.1:8080": operator.env["LISTEN"],
    }.items():
        assert old in server, old
        server = server.replace(old, new)
    paths = "".join(f"{each}_temp_path {home}/{each};" for each in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (home / "nginx.conf").write_text(
        f"pid {home}/nginx.pid; error_log stderr; events {{}} http {{ access_log off; {paths} {server} }}"
    )
    found = f'connect-to = "{HOST}:443:127.0.0.1:{port}"\ncacert = "{authority.certificate}"\n'
    (home / ".curlrc").write_text(f"{found}retry = 5\nretry-connrefused\n")
    operator.env["CURL_HOME"] = str(home)
    as_root = "user root;" if os.geteuid() == 0 else ""
    process = await asyncio.create_subprocess_exec(
        program, "-p", home, "-c", home / "nginx.conf", "-g", f"daemon off; {as_root}"
    )
    try:
        yield
    finally:
        process.send_signal(signal.SIGTERM)
        await process.wait()


async def test_whoever_follows_the_page_line_by_line_has_a_system_that_answers_through_tls(
    operator: Checkout, tmp_path: Path
) -> None:
    enter, fill_in, up, check, look = blocks(DEPLOY, "One host")
    operator.sh(enter)
    left = operator.sh(fill_in).splitlines()[-1]
    assert left.endswith("META_APP_ID META_APP_SECRETS PUBLIC_URL ")
    settings = operator.where / ".env"
    given = {"META_APP_ID": "1234567890", "META_APP_SECRETS": "an-app-secret", "PUBLIC_URL": f"https://{HOST}"}
    for setting, value in given.items():
        settings.write_text(settings.read_text().replace(f"\n{setting}=\n", f"\n{setting}={value}\n"))
    (override,) = blocks(DEPLOY, "One host", "yaml")
    (operator.where / "compose.override.yaml").write_text(override)

    await asyncio.to_thread(operator.sh, up)
    async with ending_tls(operator, tmp_path):
        said = await asyncio.to_thread(operator.sh, check)
        described = await asyncio.to_thread(operator.sh, f"curl --silent --show-error https://{HOST}/openapi.json")

    assert "HTTP/1.1 403 Forbidden" in said
    assert "strict-transport-security" in said.lower()
    token = said.splitlines()[0]
    assert re.fullmatch(r"[\w-]+\.[\w-]+\.[\w-]+", token)
    assert '"openapi":"3.1.0"' in described
    assert operator.inside("gateway", "printenv", "GATEWAY_MAX_IN_FLIGHT") == "4000\n"
    shown = operator.sh(look)
    assert '"action": "starting"' in shown or '"action":"starting"' in shown
    assert shown.count("(healthy)") == 7
    assert operator.sh("git status --porcelain") == ""


def test_trying_it_without_meta_ends_with_a_healthy_account_and_a_page_to_open(
    tried: tuple[Checkout, list[str]],
) -> None:
    _, said = tried
    assert len(said) == 2
    connected, health, message, page = said[1].splitlines()[-4:]

    assert "is connected to demo" in connected
    assert '"status":' in health
    assert '"state": "delivered"' in message
    assert page.startswith("Open http://127.0.0.1:")


def test_the_image_is_built_and_shows_its_commands_as_the_page_has_it(
    tried: tuple[Checkout, list[str]], literal: dict[str, str]
) -> None:
    checkout, _ = tried
    (build,) = blocks(DEPLOY, "The image")
    for old, new in literal.items():
        build = build.replace(old, f"{new}-page" if old.startswith("wabus:") else new)

    try:
        assert "wabus serve gateway" in checkout.sh(f"cd {checkout.root}\n{build}")
    finally:
        checkout.sh(f"cd {checkout.root}/deploy/compose; docker image rm wabus:$WABUS_VERSION-page")
