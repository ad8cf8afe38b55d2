"""The Compose system really started: the whole way, what outside can't reach, and what is killed under load."""

import asyncio
import re
import shlex
import time
from typing import Any

import aiohttp
import pytest
from one_host import Checkout, Load, get, received, refused_for
from simulated_meta.seed import DEMO_TEMPLATE
from waiting import Eventually
from webhooks import conversation, encoded, signed, text, webhook

PROCESSES = ("gateway", "api", "worker", "sender")
AS_NOBODY = """
import os, pathlib
print(os.getuid())
try:
    pathlib.Path("/opt/wabus/new").write_text("")
except OSError as error:
    print(error.strerror)
"""


async def deliver(url: str, payload: dict[str, Any]) -> int:
    body = encoded(payload)
    async with aiohttp.request("POST", f"{url}/webhooks/whatsapp", data=body, headers=signed(body)) as answer:
        return answer.status


async def test_a_connected_account_turns_green_and_what_happens_to_it_is_told(
    one_host: Checkout, url: str, headers: dict[str, str], eventually: Eventually
) -> None:
    async def green() -> bool:
        health = await get(f"{url}/webhook/health", headers)
        troubles = [reason["code"] for reason in health["reasons"] if reason["severity"] != "notice"]
        assert (health["status"], health["template_sync_status"], troubles) == ("healthy", "synced", [])
        return True

    await eventually(green)
    listed = await get(f"{url}/templates", headers)
    assert "APPROVED" in {template["status"] for template in listed["templates"]}

    before = await received(url, headers)
    message = {**text("wamid.A"), "timestamp": str(int(time.time()))}
    assert await deliver(url, webhook(conversation(messages=[message]))) == 200

    async def counted() -> bool:
        return await received(url, headers) == before + 1

    await eventually(counted)
    meta = f"http://127.0.0.1:{one_host.env['META_PORT']}/_control/templates/{DEMO_TEMPLATE}/pause?wait=true"
    await asyncio.sleep(1)  # Meta's times are whole seconds, and this is to be later than what was listed
    async with aiohttp.request("POST", meta) as answer:
        assert (await answer.json())["webhook"]["state"] == "delivered"

    async def told() -> bool:
        health = await get(f"{url}/webhook/health", headers)
        return "template_paused" in [reason["code"] for reason in health["reasons"]]

    await eventually(told)
    assert (await get(f"{url}/templates", one_host.bearer("other")))["templates"] == []


async def test_what_is_not_metas_or_not_for_outside_is_refused_with_a_problem(url: str) -> None:
    body = encoded(webhook(conversation(messages=[text("wamid.B")])))
    requests = [("POST", "/webhooks/whatsapp", body + b" ", 403)]
    requests += [("GET", path, b"", 404) for path in ("/metrics", "/healthz", "/readyz", "/nowhere")]
    for method, path, data, status in requests:
        async with aiohttp.request(method, url + path, data=data or None, headers=signed(body)) as answer:
            assert answer.status == status, path
            assert answer.content_type == "application/problem+json"
            assert (await answer.json())["status"] == status


async def test_one_document_describes_whatever_clients_can_call_and_the_front_leads_there(
    url: str, headers: dict[str, str]
) -> None:
    described = (await get(f"{url}/openapi.json"))["paths"]

    assert {"/templates", "/webhook/health", "/whatsapp/connection", "/webhooks/whatsapp"} <= set(described)
    for path, methods in described.items():
        if "get" in methods and "{" not in path and not path.endswith("stream"):
            async with aiohttp.request("GET", url + path, headers=headers, allow_redirects=False) as answer:
                # An address of WebSockets asks for one.
                assert answer.status in (200, 403, 422, 426), path


@pytest.mark.parametrize("process", PROCESSES)
def test_a_container_is_nobody_and_can_change_nothing(one_host: Checkout, process: str) -> None:
    said = one_host.inside(process, "python", "-c", AS_NOBODY)

    assert said.split("\n", 1) == ["10001", "Read-only file system\n"]


def test_a_new_container_leaves_no_volume_behind(one_host: Checkout) -> None:
    mounted = one_host.sh("docker inspect --format '{{range .Mounts}}{{.Name}} {{end}}' $(docker compose ps --quiet)")

    project = one_host.env["COMPOSE_PROJECT_NAME"]
    assert set(mounted.split()) == {f"{project}_{volume}" for volume in ("kafka", "postgres", "meta", "media")}


def test_the_order_of_texts_in_the_database_is_that_of_the_tests_and_of_no_library(one_host: Checkout) -> None:
    asked = "SELECT datlocprovider, datlocale FROM pg_database WHERE datname = 'wabus'"
    psql = ("psql", "--username=postgres", "--dbname=wabus", "--tuples-only", "--no-align")
    said = one_host.inside("postgres", *psql, "--command", asked)

    assert said == "b|C.UTF-8\n"


def test_everything_fits_into_the_memory_that_the_documentation_promises(one_host: Checkout) -> None:
    used = one_host.sh("docker stats --no-stream --format '{{.MemUsage}}' $(docker compose ps --quiet)")
    limits = [float(size) * {"MiB": 1, "GiB": 1024}[unit] for size, unit in re.findall(r"/ ([\d.]+)(\w+)", used)]

    assert sum(limits) < 8 * 1024


@pytest.mark.parametrize("victim", ["gateway", "api", "worker", "sender", "front", "postgres", "kafka"])
async def test_a_container_that_is_killed_under_load_comes_back_and_nothing_acknowledged_is_lost(
    one_host: Checkout, url: str, headers: dict[str, str], image: str, victim: str, eventually: Eventually
) -> None:
    before = await received(url, headers)
    async with Load(url, headers, f"killed-{victim}") as load:
        await load.taken(50)
        container = (await asyncio.to_thread(one_host.sh, f"docker compose ps --quiet {victim}")).strip()
        kill = "import os, sys; os.kill(int(sys.argv[1]), 9)"
        # Not `docker kill`: that is an operator's wish, which the restart policy respects.
        await asyncio.to_thread(
            one_host.sh,
            f"docker run --rm --pid host --user 0 --cap-add KILL --entrypoint python {image} -c {shlex.quote(kill)} "
            f"$(docker inspect --format '{{{{.State.Pid}}}}' {container})",
        )

        async def was_started_again() -> bool:
            asked = f"docker inspect --format '{{{{.RestartCount}}}}' {container}"
            return (await asyncio.to_thread(one_host.sh, asked)).strip() == "1"

        await eventually(was_started_again)
        await load.taken(50)
        await load.read(20)
    kept = await one_host.in_kafka(f"killed-{victim}")
    print(
        f"{victim}: webhooks refused for {refused_for(load.webhooks):.1f} s, reads for {refused_for(load.reads):.1f} s"
    )

    assert load.acknowledged <= kept

    async def counted() -> bool:
        return await received(url, headers) == before + len(kept)

    await eventually(counted)
