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
from deployment import ROOT, SETTINGS, addresses, run, settings_of, tool
from standby import PROGRAMS
from wabus_cli.serve import chosen, serve
from wabus_local.jars import COORDINATES
from wabus_local.postgres import EmbeddedPostgres
from wabus_runtime.postgres.database import database_settings, migrate, packages_with_tables
from wabus_runtime.service.process import Role

COMPOSE = ROOT / "deploy" / "compose"
OTHERS = sorted(set(SETTINGS) - {"gateway"})
OF_ONE_PROCESS: dict[str, tuple[Role, list[str]]] = {
    "gateway": ("all", ["gateway"]),
    "api": ("api", OTHERS),
    "worker": ("worker", sorted({*OTHERS} - {"sender"})),
    "sender": ("worker", ["sender"]),
}
"""The role in which a process of Compose runs, and the services that it runs."""
FROM_THE_IMAGE = {"HTTP_HOST", "HTTP_PORT"}
OF_COMPOSE_ITSELF = {"COMPOSE_PROFILES"}
NEEDED = {"META_APP_ID", "META_APP_SECRETS", "META_VERIFY_TOKEN", "PUBLIC_URL", "CREDENTIAL_KEYS", "IDENTITY_KEY",
                 "KAFKA_CLUSTER_ID", "POSTGRES_PASSWORD"}  # fmt: skip
MEMORY = 8 * 1024**3  # bytes, as docs/deploy.md promises


def example() -> dict[str, str]:
    """Every setting of env.example with its value; those that are optional stand behind a mark of comment."""
    text = (COMPOSE / "env.example").read_text()
    return dict(re.findall(r"^#?([A-Z][A-Z_]*)=(.*)$", text, re.MULTILINE))


def compose(env_file: Path) -> Any:
    return run(
        tool("docker-compose"), "--file", COMPOSE / "compose.yaml", "--env-file", env_file, "config",
        "--format", "json", env={},
    )  # fmt: skip


@cache
def _config(home: Path) -> dict[str, Any]:
    env_file = home / "env"
    env_file.write_text("".join(f"{name}=given\n" for name in NEEDED))
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
    assert missing == NEEDED


def test_no_setting_that_compose_reads_is_missing_in_the_example_and_no_other_is_there() -> None:
    read = set(re.findall(r"\$\{([A-Z][A-Z_]*)", (COMPOSE / "compose.yaml").read_text()))

    assert set(example()) - OF_COMPOSE_ITSELF == read


def test_the_example_shows_the_defaults_that_compose_has() -> None:
    defaults = dict(re.findall(r"\$\{([A-Z][A-Z_]*):-([^}]*)\}", (COMPOSE / "compose.yaml").read_text()))

    assert {name: value for name, value in example().items() if name in defaults} == defaults | {
        "WABUS_REVISION": "", "JWT_SECRET": "",
    }  # fmt: skip


def test_kafka_is_the_release_that_the_tests_run_on(services: dict[str, Any]) -> None:
    version = re.search(r"kafka_2\.13:([\d.]+)", COORDINATES)

    assert version is not None
    assert services["kafka"]["image"] == f"apache/kafka:{version[1]}"
    assert services["postgres"]["image"].startswith("postgres:18")


def test_each_process_is_told_what_its_services_need_and_nothing_else(services: dict[str, Any]) -> None:
    for name, (role, run_there) in OF_ONE_PROCESS.items():
        fields = {
            field.upper(): info
            for service in run_there
            for field, info in settings_of(service, role).model_fields.items()
        }
        needed = {field for field, info in fields.items() if info.is_required()}
        told = set(services[name]["environment"])
        assert needed <= told | FROM_THE_IMAGE, name
        assert told <= set(fields), name
    assert "DATABASE_URL" not in services["gateway"]["environment"]
    assert {name for name in OF_ONE_PROCESS if "READ_DATABASE_URL" in services[name]["environment"]} == {"api"}
    assert {name for name in OF_ONE_PROCESS if "CREDENTIAL_KEYS" in services[name]["environment"]} == {
        "gateway", "worker", "sender",
    }  # fmt: skip
    assert set(services["migrate"]["environment"]) == {"DATABASE_URL"}


def test_a_service_that_is_added_runs_without_an_entry_here(services: dict[str, Any]) -> None:
    installed = sorted(SETTINGS)
    for name, (role, run_there) in OF_ONE_PROCESS.items():
        words = serve.make_context("serve", services[name]["command"][1:]).params
        assert services[name]["command"][0] == "serve"
        assert (words["role"], chosen(installed, words["services"], words["without"])) == (role, run_there)


def test_every_process_of_ours_runs_one_image(services: dict[str, Any]) -> None:
    images = {services[name]["image"] for name in (*OF_ONE_PROCESS, "migrate")}

    assert len(images) == 1
    assert all(services[name]["build"]["target"] == "wabus" for name in (*OF_ONE_PROCESS, "migrate"))


def test_the_limits_leave_room_for_a_second_container_of_each_process_while_it_is_replaced(
    services: dict[str, Any],
) -> None:
    limits = {
        name: int(service["deploy"]["resources"]["limits"]["memory"])
        for name, service in services.items()
        if name != "migrate"
    }
    replaced = sum(limits[name] for name in OF_ONE_PROCESS)

    assert sum(limits.values()) + replaced <= MEMORY
    page = (ROOT / "docs" / "deploy.md").read_text()
    assert f"Their limits are {sum(limits.values()) / 1024**3:.1f} GB" in page
    assert f"and {(sum(limits.values()) + replaced) / 1024**3:.1f} GB while" in page


def test_nothing_of_ours_can_do_more_than_it_must(services: dict[str, Any]) -> None:
    for name in [*OF_ONE_PROCESS, "migrate", "front"]:
        assert services[name]["read_only"] is True, name
        assert services[name]["cap_drop"] == ["ALL"], name
        assert services[name]["security_opt"] == ["no-new-privileges:true"], name
    for name, service in services.items():
        assert service["logging"]["options"]["max-size"], name
        if name != "migrate":
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
    assert beside_the_front == {"front", "gateway", "api"}


@pytest.mark.empty_database
async def test_the_role_that_uses_the_database_owns_it_and_is_no_superuser(
    services: dict[str, Any], postgres: EmbeddedPostgres, database_url: str
) -> None:
    told = services["postgres"]["environment"]
    [script] = [each["source"] for each in services["postgres"]["volumes"] if "initdb.d" in each["target"]]
    used = {urlsplit(services["migrate"]["environment"]["DATABASE_URL"]).username}
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
        await migrate(database_settings(package).model_validate({"database_url": url}), package)
    connection = await asyncpg.connect(url)
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute("COPY projection_offsets TO PROGRAM 'cat'")
    await connection.close()
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(url.replace(f"//{name}:", f"//{first}:"))


def test_tables_are_migrated_before_anything_reads_them(services: dict[str, Any]) -> None:
    assert services["migrate"]["command"] == ["migrate"]
    assert services["migrate"]["depends_on"]["postgres"]["condition"] == "service_healthy"
    for name in OF_ONE_PROCESS:
        needs = {each: condition["condition"] for each, condition in services[name]["depends_on"].items()}
        assert needs["kafka"] == "service_healthy"
        assert ("migrate" in needs) == ("DATABASE_URL" in services[name]["environment"])
        assert needs.get("migrate", "service_completed_successfully") == "service_completed_successfully"


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
    assert targets == {f"{name}:8080": f"wabus-{name}" for name in OF_ONE_PROCESS}


BELOW = {
    "gateway": "gateway",
    "template-sync": "api",
    "health-projector": "api",
    "conversations": "api",
    "subscriptions": "api",
    "sender": "api",
    "insights": "api",
}
"""Who answers for a service."""


@pytest.mark.parametrize("path", ["/metrics", "/healthz", "/readyz", "/templatesque", "/webhook", "/problems/404.json"])
def test_the_front_sends_nobody_where_nothing_is_for_outside(path: str) -> None:
    assert leads_to(path) is None


@pytest.mark.parametrize("service", SETTINGS)
def test_the_front_leads_to_every_address_that_a_service_has_for_outside(
    service: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for path in addresses(service, monkeypatch, tmp_path) - {"/favicon.ico"}:
        inside = path in ("/healthz", "/readyz", "/metrics")
        expected = None if inside else "api" if path == "/openapi.json" else BELOW[service]
        assert leads_to(path) == expected, path


def leads_to(path: str) -> str | None:
    conf = (COMPOSE / "front" / "nginx.conf").read_text()
    locations = re.findall(r"location (=|~|) ?(\S+) \{([^}]*)\}", conf)
    exact = [body for kind, pattern, body in locations if kind == "=" and pattern == path]
    matching = [body for kind, pattern, body in locations if kind == "~" and re.search(pattern, path)]
    [chosen, *_] = [*exact, *matching, "return 404;"]
    found = re.search(r"proxy_pass http://\$(\w+):8080;", chosen)
    return found and found[1]
