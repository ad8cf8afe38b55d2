"""`deploy/compose/upgrade` under load: another release, back again, and a release that does not get ready."""

import asyncio
import json
from collections.abc import Iterator

import pytest
from one_host import DEPLOY, STORES_LATE, Checkout, Load, blocks, git, received, refusals, refused_for
from waiting import Eventually

PROCESSES = ("gateway", "api", "worker", "sender")
HOLE = 3.0  # seconds; none is expected
NEXT = "0.2.1"
PLACES = {"libs/runtime/pyproject.toml": "version = ", "deploy/images/Dockerfile": "version="}
"""What says the version of the code, and of the image."""


def versions(one_host: Checkout) -> dict[str, str]:
    """The release that each process runs, by its own word."""
    return {each: one_host.inside(each, "wabus", "--version").split()[-1] for each in PROCESSES}


def containers(one_host: Checkout) -> dict[str, str]:
    lines = one_host.sh("docker compose ps --format json").splitlines()
    return {each["Service"]: each["ID"] for each in map(json.loads, lines)}


def upgrading() -> list[str]:
    """The documentation's commands: there, and back."""
    found = blocks(DEPLOY, "Upgrade and roll back")
    assert [each.splitlines()[-1] for each in found] == ["./upgrade", "./upgrade --back"]
    return found


async def under_load(
    one_host: Checkout, url: str, headers: dict[str, str], prefix: str, script: str, *, fails: bool = False
) -> tuple[Load, str]:
    """What a script says while webhooks and reads come, which are taken but for a small hole."""
    async with Load(url, headers, prefix) as load:
        await load.taken(50)
        said = await asyncio.to_thread(one_host.sh, script, fails=fails)
        await load.taken(50)
    hole = max(refused_for(load.webhooks, STORES_LATE), refused_for(load.reads, STORES_LATE))
    print(f"{prefix}: {len(load.webhooks)} webhooks, {len(load.reads)} reads, a hole of {hole:.1f} s\n{said}")
    print(*refusals(load.webhooks), *refusals(load.reads), sep="\n")
    assert hole <= HOLE
    return load, said


async def assert_kept_and_counted_once(
    one_host: Checkout, url: str, headers: dict[str, str], load: Load, before: int, eventually: Eventually
) -> None:
    kept = await one_host.in_kafka(load.prefix)
    assert load.acknowledged <= kept

    async def counted() -> bool:
        return await received(url, headers) == before + len(kept)

    await eventually(counted)


async def test_releases_change_places_under_load_and_back_without_a_hole(
    one_host: Checkout, url: str, headers: dict[str, str], eventually: Eventually
) -> None:
    forward, back = upgrading()
    stores = {name: container for name, container in containers(one_host).items() if name in ("kafka", "postgres")}
    numbered = {place: (f'{key}"0.2.0"', f'{key}"{NEXT}"') for place, key in PLACES.items()}
    one_host.commit(numbered, f"Release {NEXT}")

    for script, release, prefix in ((forward, NEXT, "forward"), (back, "0.2.0", "back")):
        before = await received(url, headers)
        load, said = await under_load(one_host, url, headers, prefix, script)

        assert versions(one_host) == dict.fromkeys(PROCESSES, release)
        assert f"to {release}" in said
        await assert_kept_and_counted_once(one_host, url, headers, load, before, eventually)

    now = containers(one_host)
    assert {name: now[name] for name in stores} == stores
    labels = one_host.sh("docker image inspect --format '{{json .Config.Labels}}' wabus:$WABUS_VERSION-previous")
    assert json.loads(labels)["org.opencontainers.image.revision"] == git(one_host.root, "rev-parse", "HEAD")
    assert json.loads(labels)["org.opencontainers.image.version"] == NEXT
    one_host.sh("docker compose up --detach --wait")
    assert containers(one_host) == now


@pytest.fixture
def broken(one_host: Checkout) -> Iterator[None]:
    """A release upstream of which the gateway starts, and worker and API don't."""
    place = "services/health-projector/wabus_health_projector/app.py"
    sound = '    {"api": HealthApiSettings,'
    one_host.commit({place: (sound, f"    {{}}[0],\n{sound}")}, "A fault")
    yield
    one_host.commit({place: (f"    {{}}[0],\n{sound}", sound)}, "The fault is repaired")
    git(one_host.root, "pull", "--quiet")


async def test_a_release_that_does_not_get_ready_changes_nothing(
    one_host: Checkout, url: str, headers: dict[str, str], broken: None, eventually: Eventually
) -> None:
    before, runs = await received(url, headers), containers(one_host)
    load, said = await under_load(one_host, url, headers, "broken", upgrading()[0], fails=True)

    assert "the new container did not get ready" in said
    assert "KeyError" in said
    assert containers(one_host) == runs
    await assert_kept_and_counted_once(one_host, url, headers, load, before, eventually)
    one_host.sh("docker compose up --detach --wait")
    assert containers(one_host) == runs


async def test_changed_settings_are_applied_without_a_hole(
    one_host: Checkout, url: str, headers: dict[str, str]
) -> None:
    one_host.sh("echo RECONCILE_INTERVAL=1800 >> .env")
    runs = containers(one_host)
    await under_load(one_host, url, headers, "settings", "./upgrade")

    now = containers(one_host)
    assert {name for name in runs if runs[name] != now[name]} >= {"api", "worker"}
    assert {name for name in runs if runs[name] == now[name]} >= {"kafka", "postgres", "front"}
    for process in ("api", "worker"):
        assert one_host.inside(process, "printenv", "RECONCILE_INTERVAL") == "1800\n"
