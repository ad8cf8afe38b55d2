"""The chart renders to what Kubernetes, Strimzi, KEDA and Prometheus take, and to what the code needs and no more."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
import pytest
import yaml
from deployment import (
    CHART,
    KUBERNETES,
    ROOT,
    SETTINGS,
    TOOLS,
    VALUES,
    Manifest,
    addresses,
    manifests,
    named,
    rendered,
    role_of,
    run,
    tool,
    values,
)
from deployment import settings_of as settings_class
from wabus_cli.main import wabus
from wabus_cli.serve import chosen
from wabus_conversations.worker.projector import NAME as CONVERSATIONS_PROJECTION
from wabus_conversations.worker.work.projector import NAME as WORK_PROJECTION
from wabus_events import TOPICS
from wabus_health_projector.tables import history
from wabus_health_projector.worker import alerts, checker, projector
from wabus_insights.worker.projector import NAME as INSIGHTS_PROJECTION
from wabus_sender.worker.projector import NAME as SENDER_PROJECTION
from wabus_subscriptions.tables.subscriptions import NAME as SUBSCRIPTIONS_PROJECTION
from wabus_template_sync.worker.projector import NAME as TEMPLATES_PROJECTION

CRDS = Path(__file__).parent / "kubernetes"
REFERENCE = re.compile(r'"\$ref": "[^"#]*#/\$defs/([^"]+)"')
OF_OPENTELEMETRY = "OTEL_"
PROCESSES = {
    "gateway": "gateway",
    "template-sync-api": "template-sync",
    "template-sync-worker": "template-sync",
    "health-projector-api": "health-projector",
    "health-projector-worker": "health-projector",
    "conversations-api": "conversations",
    "conversations-worker": "conversations",
    "subscriptions-api": "subscriptions",
    "subscriptions-worker": "subscriptions",
    "sender-api": "sender",
    "sender-worker": "sender",
    "insights-api": "insights",
    "insights-worker": "insights",
}
GROUPS = {
    "gateway": set[str](),
    "template-sync": {"template-sync", TEMPLATES_PROJECTION},
    "health-projector": {projector.NAME, history.NAME, checker.GROUP, alerts.NAME},
    "conversations": {CONVERSATIONS_PROJECTION, WORK_PROJECTION},
    "subscriptions": {SUBSCRIPTIONS_PROJECTION},
    "sender": {SENDER_PROJECTION},
    "insights": {INSIGHTS_PROJECTION},
}


@pytest.fixture(scope="module")
def schemas(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Kubernetes' own schemas, strict, each in one file, beside those of the custom resources."""
    home = tmp_path_factory.mktemp("schemas")
    minor = KUBERNETES.rpartition(".")[0]
    pattern = f"lib/python*/site-packages/kubernetes_validate/kubernetes-json-schema/v{minor}.0-local-strict"
    tool("kubeconform")
    [found] = TOOLS.parent.glob(pattern)
    kinds = {each["kind"].lower() for name in VALUES for each in manifests(name)}
    definitions = json.loads((found / "_definitions.json").read_text())["$defs"]
    for path in found.glob("*.json"):
        if path.stem.partition("-")[0] in kinds:
            schema = json.loads(path.read_text())
            schema.pop("$id", None)
            (home / path.name).write_text(json.dumps(standalone(schema, definitions)))
    for path in CRDS.glob("*.json"):
        (home / path.name).write_text(path.read_text())
    return home


def standalone(schema: dict[str, Any], definitions: dict[str, Any]) -> dict[str, Any]:
    """A schema with the definitions that it leads to in itself: all of them take seconds to compile, for each kind."""
    needed: dict[str, Any] = {}
    waiting = [json.dumps(schema)]
    while waiting:
        for name in REFERENCE.findall(waiting.pop()):
            if name not in needed:
                needed[name] = definitions[name]
                waiting.append(json.dumps(definitions[name]))
    text = json.dumps(schema | {"$defs": needed})
    return json.loads(REFERENCE.sub(r'"$ref": "#/$defs/\1"', text))


def conform(schemas: Path, text: str) -> str:
    location = str(schemas / "{{.ResourceKind}}{{.KindSuffix}}.json")
    return run(tool("kubeconform"), "-strict", "-summary", "-schema-location", location, input=text).stdout


@pytest.mark.parametrize("name", VALUES)
def test_helm_finds_nothing_to_complain_of(name: str) -> None:
    done = run(tool("helm"), "lint", CHART, "--strict", "--kube-version", KUBERNETES, "--values", values(name))

    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", VALUES)
def test_every_manifest_conforms_to_its_schema(schemas: Path, name: str) -> None:
    said = conform(schemas, rendered(name))

    assert f"Valid: {len(manifests(name))}, Invalid: 0, Errors: 0, Skipped: 0" in said, said


def test_the_schemas_refuse_what_does_not_exist(schemas: Path) -> None:
    text = rendered("strimzi").replace("readOnlyRootFilesystem", "readOnlyFilesystem").replace("- Describe", "- Look")

    said = conform(schemas, text)

    assert "readOnlyFilesystem" in said
    assert "KafkaUser" in said


def test_values_that_are_missing_are_named() -> None:
    done = run(tool("helm"), "template", "wabus", CHART, "--kube-version", KUBERNETES)

    assert done.returncode != 0
    for name in ("publicUrl", "metaAppId", "existingSecret", "bootstrapServers", "strimzi/cluster"):
        assert name in done.stderr


def test_a_secret_among_the_settings_is_refused() -> None:
    done = run(
        tool("helm"), "template", "wabus", CHART, "--kube-version", KUBERNETES, "--values", values("managed"),
        "--set", "gateway.settings.JWT_SECRET=a",
    )  # fmt: skip

    assert done.returncode != 0
    assert "invalid propertyName 'JWT_SECRET'" in done.stderr


def test_topics_are_as_the_contract_declares_them() -> None:
    found = {each["spec"]["topicName"]: each["spec"] for each in manifests("strimzi", "KafkaTopic")}

    assert set(found) == {f"wabus.{topic.name}" for topic in TOPICS}
    for topic in TOPICS:
        spec = found[f"wabus.{topic.name}"]
        config = {name: str(value) for name, value in spec["config"].items()}
        assert spec["partitions"] == topic.partitions
        assert config == topic.config() | {"min.insync.replicas": "2"}


def test_an_uninstalled_release_leaves_the_log() -> None:
    for topic in manifests("strimzi", "KafkaTopic"):
        assert topic["metadata"]["annotations"]["helm.sh/resource-policy"] == "keep"


def test_each_service_may_join_the_groups_it_has_and_no_others() -> None:
    for service, user in named("strimzi", "KafkaUser").items():
        acls = user["spec"]["authorization"]["acls"]
        groups = {
            each["resource"]["name"]
            for each in acls
            if each["resource"]["type"] == "group" and each["operations"] != ["Describe"]  # of the operator, to see
        }
        assert groups == {f"wabus.{group}" for group in GROUPS.get(service, set())}


def pods(name: str) -> Iterator[tuple[str, Manifest]]:
    for each in manifests(name):
        if each["kind"] in ("Deployment", "Job"):
            yield each["metadata"]["name"].removeprefix("wabus-"), each["spec"]["template"]


@pytest.mark.parametrize("name", VALUES)
def test_no_pod_can_do_more_than_it_must(name: str) -> None:
    for process, pod in pods(name):
        spec = pod["spec"]
        assert spec["automountServiceAccountToken"] is False, process
        assert spec["securityContext"]["runAsNonRoot"] is True
        assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in spec["containers"]:
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() == {"cpu", "memory"}
            assert "memory" in container["resources"]["limits"]


def env_of(pod: Manifest) -> dict[str, Any]:
    [container] = pod["spec"]["containers"]
    return {each["name"]: each for each in container["env"]}


@pytest.mark.parametrize("name", VALUES)
def test_each_process_is_told_what_it_needs_and_nothing_else(name: str) -> None:
    told = dict(pods(name))
    for process, service in PROCESSES.items():
        known = {field.upper(): field_info.is_required() for field, field_info in fields(service, process)}
        env = env_of(told[process])
        assert {field for field, required in known.items() if required} <= set(env), process
        assert {each for each in env if not each.startswith(OF_OPENTELEMETRY)} <= set(known), process
    assert "DATABASE_URL" not in env_of(told["gateway"])
    reading = {process for process in PROCESSES if "READ_DATABASE_URL" in env_of(told[process])}
    assert reading == (
        {"template-sync-api", "health-projector-api", "conversations-api", "subscriptions-api"}
        if name == "managed"
        else set()
    )
    assert set(env_of(told["migrate"])) == {"DATABASE_URL"}


def fields(service: str, process: str) -> list[tuple[str, Any]]:
    return list(settings_class(service, role_of(process)).model_fields.items())


@pytest.mark.parametrize("name", VALUES)
def test_secrets_come_from_secrets(name: str) -> None:
    secret = re.compile(r"SECRET|PASSWORD|KEYS?$|TOKEN$|DATABASE_URL")
    for process, pod in pods(name):
        for variable, entry in env_of(pod).items():
            if secret.search(variable):
                assert "secretKeyRef" in entry["valueFrom"], (process, variable)


def test_probes_are_those_of_the_runbook() -> None:
    runbook = (ROOT / "docs" / "operations.md").read_text()
    assert "As a liveness probe: every 10 s, time-out 5 s, 3 failures" in runbook
    assert "As a readiness probe: every 5 s" in runbook
    for process, deployment in named("strimzi", "Deployment").items():
        if process == "operator":
            continue
        [container] = deployment["spec"]["template"]["spec"]["containers"]
        assert container["livenessProbe"] == {
            "httpGet": {"path": "/healthz", "port": "http"}, "periodSeconds": 10, "timeoutSeconds": 5,
            "failureThreshold": 3,
        }  # fmt: skip
        assert container["readinessProbe"]["httpGet"]["path"] == "/readyz"
        assert container["readinessProbe"]["periodSeconds"] == 5


def test_a_rollout_never_has_more_workers_than_partitions() -> None:
    for process, deployment in named("strimzi", "Deployment").items():
        if process.endswith("worker"):
            assert deployment["spec"]["strategy"]["rollingUpdate"] == {"maxSurge": 0, "maxUnavailable": 1}
    for scaled in manifests("strimzi", "ScaledObject"):
        assert scaled["spec"]["maxReplicaCount"] <= min(topic.partitions for topic in TOPICS if not topic.compacted)


def test_each_process_has_one_thing_that_scales_it_and_a_disruption_budget() -> None:
    scaled = set(named("strimzi", "HorizontalPodAutoscaler")) | set(named("strimzi", "ScaledObject"))
    assert scaled == set(PROCESSES) == set(named("strimzi", "PodDisruptionBudget"))
    for process in PROCESSES:
        assert "replicas" not in named("strimzi", "Deployment")[process]["spec"]
    assert set(named("managed", "HorizontalPodAutoscaler")) == {
        "gateway", "template-sync-api", "health-projector-api", "conversations-api", "subscriptions-api", "sender-api",
        "insights-api",
    }  # fmt: skip
    assert named("managed", "Deployment")["health-projector-worker"]["spec"]["replicas"] == 2


def test_workers_scale_by_lag_that_the_code_measures() -> None:
    expected = {
        "template-sync-worker": TEMPLATES_PROJECTION,
        "health-projector-worker": projector.NAME,
        "conversations-worker": CONVERSATIONS_PROJECTION,
        "subscriptions-worker": SUBSCRIPTIONS_PROJECTION,
        "sender-worker": SENDER_PROJECTION,
        "insights-worker": INSIGHTS_PROJECTION,
    }
    for process, scaled in named("strimzi", "ScaledObject").items():
        query = scaled["spec"]["triggers"][0]["metadata"]["query"]
        assert query == f'sum(wabus_projection_lag_records{{projection="{expected[process]}",namespace="whatsapp"}})'
    from wabus_runtime.projection.lag import LAG_RECORDS
    from wabus_template_sync.worker.runner import RUNNING

    assert [family.name for family in LAG_RECORDS.collect()] == ["wabus_projection_lag_records"]
    assert [family.name for family in RUNNING.collect()] == ["wabus_template_syncs_running"]


def test_every_pod_has_its_network_policy_and_only_some_reach_postgresql() -> None:
    selected = {
        each["spec"]["podSelector"]["matchLabels"]["app.kubernetes.io/component"]: each["spec"]
        for each in manifests("strimzi", "NetworkPolicy")
    }
    labels = {pod["metadata"]["labels"]["app.kubernetes.io/component"] for _, pod in pods("strimzi")}
    assert set(selected) == labels
    with_database = {
        component
        for component, spec in selected.items()
        if any(port["port"] == 5432 for rule in spec["egress"] for port in rule["ports"])
    }
    assert with_database == labels - {"gateway"}
    assert selected["migrate"]["ingress"] == []
    to_meta = {
        component
        for component, spec in selected.items()
        if any(port["port"] == 443 for rule in spec["egress"] for port in rule["ports"])
    }
    # Also the operator, who disconnects whom they forget.
    assert to_meta == labels - {"migrate"}


def test_where_peers_are_named_no_pod_reaches_another_kafka_or_postgresql() -> None:
    peers = '[{"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": "data"}}}]'
    sets = [word for name in ("kafka", "postgres") for word in ("--set-json", f"networkPolicy.{name}={peers}")]
    policies = [
        each for each in yaml.safe_load_all(rendered("strimzi", *sets)) if each and each["kind"] == "NetworkPolicy"
    ]

    for policy in policies:
        for rule in policy["spec"]["egress"]:
            if {port["port"] for port in rule["ports"]} & {9093, 5432}:
                assert rule.get("to") == json.loads(peers), policy["metadata"]["name"]


def test_tables_are_migrated_before_the_new_release_starts() -> None:
    [job] = manifests("strimzi", "Job")
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    assert job["spec"]["template"]["spec"]["containers"][0]["args"] == ["migrate"]


def test_prometheus_finds_every_process_under_a_job_that_the_alerts_count_on() -> None:
    [monitor] = manifests("strimzi", "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    found = {
        process: service["metadata"]["labels"][monitor["spec"]["jobLabel"]]
        for process, service in named("strimzi", "Service").items()
        if wanted <= service["metadata"]["labels"].items()
    }
    assert found == {process: f"wabus-{service}" for process, service in PROCESSES.items()}


def test_the_alerts_come_with_the_chart_as_they_are() -> None:
    [found] = manifests("strimzi", "PrometheusRule")

    assert found["spec"] == yaml.safe_load(
        (ROOT / "deploy" / "grafana" / "prometheus" / "wabus.rules.yaml").read_text()
    )


def test_every_endpoint_is_reached_from_outside_except_probes_and_metrics(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    [ingress] = manifests("strimzi", "Ingress")
    rules = ingress["spec"]["rules"][0]["http"]["paths"]

    def backend(path: str) -> str | None:
        fits = [
            rule
            for rule in rules
            if path == rule["path"]
            or (rule["pathType"] == "Prefix" and path.startswith(rule["path"].rstrip("/") + "/"))
        ]
        chosen = max(fits, key=lambda rule: len(rule["path"]), default=None)
        return chosen and chosen["backend"]["service"]["name"].removeprefix("wabus-")

    inside = {"/healthz", "/readyz", "/metrics"}
    assert backend("/openapi.json") == "template-sync-api"
    for process in (process for process in PROCESSES if not process.endswith("worker")):
        for path in addresses(PROCESSES[process], monkeypatch, tmp_path) - {"/openapi.json"}:
            assert backend(path) == (None if path in inside else process), path


def test_no_service_is_forgotten() -> None:
    assert set(PROCESSES.values()) == set(SETTINGS)
    assert set(named("strimzi", "KafkaUser")) == set(SETTINGS) | {"operator"}
    assert set(named("strimzi", "ServiceAccount")) == set(SETTINGS)
    assert set(named("strimzi", "Deployment")) == set(PROCESSES) | {"operator"}


def test_commands_user_and_port_are_those_of_the_image() -> None:
    image = (ROOT / "deploy" / "images" / "Dockerfile").read_text()
    assert 'ENTRYPOINT ["wabus"]' in image
    for process, pod in pods("strimzi"):
        spec = pod["spec"]
        [container] = spec["containers"]
        assert container["image"] == "registry.example.com/wabus/wabus:0.2.0"
        assert f"USER {spec['securityContext']['runAsUser']}:{spec['securityContext']['runAsGroup']}\n" in image
        if process == "operator":
            continue
        assert "command" not in container
        name, *arguments = container["args"]
        command = wabus.get_command(click.Context(wabus), name)
        assert command is not None
        words = command.make_context(name, list(arguments)).params
        if process != "migrate":
            service = PROCESSES[process]
            assert (words["role"], chosen(sorted(SETTINGS), words["services"], [])) == (role_of(process), [service])
            assert f"EXPOSE {container['ports'][0]['containerPort']}\n" in image
            assert container["livenessProbe"]["httpGet"]["path"] in image
