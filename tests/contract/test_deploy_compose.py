"""The compose file is whole: it renders, starts in order, gives away nothing, and tells each process what it needs."""

import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import asyncpg
import pytest
import yaml
from deployment import ROOT, role_of, run, settings_of, tool
from standby import PROGRAMS
from wabus_local.jars import COORDINATES
from wabus_local.postgres import EmbeddedPostgres
from wabus_runtime.postgres.database import migrate, packages_with_tables
from wabus_runtime.settings import DatabaseSettings

COMPOSE = ROOT / "deploy" / "compose"
OURS = {
    "gateway": "gateway",
    "template-sync-api": "template-sync",
    "template-sync-worker": "template-sync",
    "health-projector-api": "health-projector",
    "health-projector-worker": "health-projector",
}
MIGRATIONS = {"template-sync-migrate", "health-projector-migrate"}
FROM_THE_IMAGE = {"HTTP_HOST", "HTTP_PORT"}


def asked_for() -> set[str]:
    lines = (COMPOSE / "env.example").read_text().splitlines()
    return {line.partition("=")[0] for line in lines if line and not line.startswith("#")}


def compose(env_file: Path) -> Any:
    return run(
        tool("docker-compose"), "--file", COMPOSE / "compose.yaml", "--env-file", env_file, "config",
        "--format", "json", env={},
    )  # fmt: skip


@cache
def _config(home: Path) -> dict[str, Any]:
    env_file = home / "env"
    env_file.write_text("".join(f"{name}=given\n" for name in asked_for() - {"LISTEN"}))
    done = compose(env_file)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """The services as `docker compose config` has them, with env.example filled in."""
    return _config(tmp_path_factory.getbasetemp())["services"]


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    done = compose(Path("/dev/null"))

    assert done.returncode != 0
    missing = set(re.findall(r"required variable ([A-Z_]+) is missing", done.stderr))
    assert missing == asked_for() - {"LISTEN", "JWT_SECRET"}


def test_kafka_is_the_release_that_the_tests_run_on(services: dict[str, Any]) -> None:
    version = re.search(r"kafka_2\.13:([\d.]+)", COORDINATES)

    assert version is not None
    assert services["kafka"]["image"] == f"apache/kafka:{version[1]}"
    assert services["postgres"]["image"].startswith("postgres:18")


def test_each_process_is_told_what_it_needs_and_nothing_else(services: dict[str, Any]) -> None:
    for name, service in OURS.items():
        fields = settings_of(service, role_of(name)).model_fields
        known = {field.upper() for field in fields}
        needed = {field.upper() for field, info in fields.items() if info.is_required()}
        told = set(services[name]["environment"])
        assert needed <= told | FROM_THE_IMAGE, name
        assert told <= known, name
    assert "DATABASE_URL" not in services["gateway"]["environment"]
    reading = {name for name in OURS if "READ_DATABASE_URL" in services[name]["environment"]}
    assert reading == {"template-sync-api", "health-projector-api"}
    for name in MIGRATIONS:
        assert set(services[name]["environment"]) == {"DATABASE_URL"}


def test_nothing_of_ours_can_do_more_than_it_must(services: dict[str, Any]) -> None:
    for name in [*OURS, *MIGRATIONS, "front"]:
        assert services[name]["read_only"] is True, name
        assert services[name]["cap_drop"] == ["ALL"], name
        assert services[name]["security_opt"] == ["no-new-privileges:true"], name
    for name, service in services.items():
        assert service["logging"]["options"]["max-size"], name
        if name not in MIGRATIONS:
            assert service["restart"] == "unless-stopped", name
            assert service["deploy"]["resources"]["limits"]["memory"], name
            assert service["healthcheck"]["test"], name


def test_only_the_front_is_reached_from_this_host_and_from_no_other(services: dict[str, Any]) -> None:
    published = {name: service["ports"] for name, service in services.items() if service.get("ports")}

    assert set(published) == {"front"}
    assert [port["host_ip"] for port in published["front"]] == ["127.0.0.1"]


def test_whoever_takes_the_front_finds_neither_kafka_nor_postgresql(services: dict[str, Any]) -> None:
    networks = {name: set(service["networks"]) for name, service in services.items()}

    beside_the_front = {name for name in networks if networks[name] & networks["front"]}
    assert beside_the_front == {"front", "gateway", "template-sync-api", "health-projector-api"}


async def test_the_role_that_uses_the_database_owns_it_and_is_no_superuser(
    services: dict[str, Any], postgres: EmbeddedPostgres, database_url: str
) -> None:
    told = services["postgres"]["environment"]
    [script] = [each["source"] for each in services["postgres"]["volumes"] if "initdb.d" in each["target"]]
    used = {urlsplit(services[name]["environment"]["DATABASE_URL"]).username for name in MIGRATIONS}
    assert used == {told["POSTGRES_DB"]} != {told["POSTGRES_USER"]}

    server = urlsplit(database_url)
    name, first, password = server.path[1:], f"first_{server.path[1:]}", told["POSTGRES_PASSWORD"]
    administrator = await asyncpg.connect(postgres.url)
    await administrator.execute(f"CREATE ROLE {first} SUPERUSER LOGIN PASSWORD '{password}'")
    await administrator.close()
    image = {"POSTGRES_USER": first, "POSTGRES_DB": name, "POSTGRES_PASSWORD": password}
    here = {"PGHOST": server.hostname or "", "PGPORT": str(server.port), "PGPASSWORD": password}
    made = run(script, env={**image, **here, "PATH": f"{PROGRAMS}:{os.defpath}"})
    assert made.returncode == 0, made.stderr

    url = f"postgresql://{name}:{password}@{server.hostname}:{server.port}/{name}"
    for package in packages_with_tables():
        await migrate(DatabaseSettings.model_validate({"database_url": url}), package)
    connection = await asyncpg.connect(url)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("COPY projection_offsets TO PROGRAM 'cat'")
    await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url.replace(f"//{name}:", f"//{first}:"))


def test_tables_are_migrated_before_anything_reads_them(services: dict[str, Any]) -> None:
    for name in MIGRATIONS:
        assert services[name]["entrypoint"] == ["wabus", "migrate"]
        assert services[name]["depends_on"]["postgres"]["condition"] == "service_healthy"
    for name, service in OURS.items():
        needs = {each: condition["condition"] for each, condition in services[name]["depends_on"].items()}
        assert needs["kafka"] == "service_healthy"
        if service != "gateway":
            assert needs[f"{service}-migrate"] == "service_completed_successfully"


def test_what_holds_data_has_a_volume_and_time_to_stop(services: dict[str, Any]) -> None:
    volumes = {name: services[name]["volumes"][0] for name in ("kafka", "postgres")}

    assert {name: (volume["type"], volume["target"]) for name, volume in volumes.items()} == {
        "kafka": ("volume", services["kafka"]["environment"]["KAFKA_LOG_DIRS"]),
        "postgres": ("volume", "/var/lib/postgresql"),
    }
    assert {services[name]["stop_grace_period"] for name in volumes} == {"1m0s"}


def test_prometheus_as_configured_finds_every_process(services: dict[str, Any]) -> None:
    configuration = yaml.safe_load((ROOT / "deploy" / "grafana" / "prometheus" / "prometheus.yaml").read_text())
    targets = {
        target: job["job_name"]
        for job in configuration["scrape_configs"]
        for each in job["static_configs"]
        for target in each["targets"]
    }
    assert targets == {f"{name}:8080": f"wabus-{service}" for name, service in OURS.items()}


@pytest.mark.parametrize(
    ("path", "service"),
    [
        ("/", "gateway"),
        ("/ui/app.js", "gateway"),
        ("/webhooks/whatsapp", "gateway"),
        ("/webhooks/whatsapp/123", "gateway"),
        ("/whatsapp/connect", "gateway"),
        ("/templates", "template-sync-api"),
        ("/templates/sync/1", "template-sync-api"),
        ("/openapi.json", "template-sync-api"),
        ("/webhook/health", "health-projector-api"),
        ("/webhook/health/stream", "health-projector-api"),
        ("/metrics", None),
        ("/healthz", None),
        ("/readyz", None),
        ("/templatesque", None),
    ],
)
def test_the_front_sends_each_request_to_who_answers_it(path: str, service: str | None) -> None:
    conf = (COMPOSE / "front.conf").read_text()
    locations = re.findall(r"location (=|~|) ?(\S+) \{([^}]*)\}", conf)
    exact = [body for kind, pattern, body in locations if kind == "=" and pattern == path]
    matching = [body for kind, pattern, body in locations if kind == "~" and re.search(pattern, path)]
    [chosen, *_] = [*exact, *matching, "return 404;"]

    found = re.search(r"http://([a-z-]+):8080", chosen)
    assert (found and found[1]) == service


def test_the_upgrade_in_the_documentation_replaces_each_process_alone_and_the_gateway_first() -> None:
    [order] = re.findall(r"^for each in (.*); do$", (ROOT / "docs" / "deploy.md").read_text(), re.MULTILINE)

    assert sorted(order.split()) == sorted(OURS)
    assert [role_of(each) for each in order.split()] == ["all", "worker", "worker", "api", "api"]
