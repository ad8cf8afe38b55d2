"""Dashboard, alert rules, runbook and code agree: what is asked for is counted, what alarms is explained."""

import json
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployment import run, tool
from prometheus_client import REGISTRY
from prometheus_client.metrics import MetricWrapperBase

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy" / "grafana"
RULES = GRAFANA / "prometheus" / "wabus.rules.yaml"
RUNBOOK = (ROOT / "docs" / "operations.md").read_text()

OF_PROMETHEUS = {"up": set[str](), "ALERTS": {"alertstate", "alertname"}}
ADDED_BY_PROMETHEUS = {"job", "instance", "le"}
LOW_CARDINALITY = {
    "consumer", "database", "event", "kind", "lane", "loop", "method", "outcome", "partition", "projection", "reason",
    "route", "status", "topic", "type",
}  # fmt: skip
SUFFIXES = {"counter": ["_total"], "gauge": [""], "histogram": ["_bucket", "_count", "_sum"], "info": ["_info"]}

METRIC = re.compile(r"\b((?:wabus|process|python)_[a-z_]+|up|ALERTS)\b")
SELECTOR = re.compile(r"\b([A-Za-z_]+)\{([^}]*)\}")
MATCHER = re.compile(r'([a-z_]+)(=~|!~|!=|=)"([^"]*)"')
GROUPING = re.compile(r"\bby \(([^)]*)\)")

for service in ("gateway", "template_sync", "health_projector", "conversations", "subscriptions", "sender", "insights"):
    import_module(f"wabus_{service}.app")


def our_metrics() -> list[MetricWrapperBase]:
    collectors: dict[str, Any] = REGISTRY._names_to_collectors  # pyright: ignore[reportPrivateUsage]
    found = {id(each): each for each in collectors.values() if isinstance(each, MetricWrapperBase)}
    return [each for each in found.values() if name_of(each).startswith("wabus_")]


def name_of(metric: MetricWrapperBase) -> str:
    return metric._name  # pyright: ignore[reportPrivateUsage]


def kind_of(metric: MetricWrapperBase) -> str:
    return str(metric._type)  # pyright: ignore[reportPrivateUsage]


def labels_of(metric: MetricWrapperBase) -> set[str]:
    return set(metric._labelnames)  # pyright: ignore[reportPrivateUsage]


def series() -> dict[str, set[str]]:
    """The labels of every time series that the code can make."""
    known = dict(OF_PROMETHEUS)
    for metric in our_metrics():
        for suffix in SUFFIXES[kind_of(metric)]:
            known[name_of(metric) + suffix] = labels_of(metric)
    known["wabus_build_info"] = {"version", "service", "role"}
    for family in REGISTRY.collect():
        for sample in family.samples:
            if sample.name.startswith(("process_", "python_")):
                known[sample.name] = set(sample.labels)
    return known


def alerts() -> list[dict[str, Any]]:
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    dashboard = json.loads((GRAFANA / "dashboards" / "wabus.json").read_text())
    return [panel for panel in dashboard["panels"] if panel["type"] != "row"]


def expressions() -> Iterator[tuple[str, str]]:
    for rule in alerts():
        yield rule["alert"], rule["expr"]
    for panel in panels():
        for target in panel["targets"]:
            yield panel["title"], target["expr"]


EXPRESSIONS = [pytest.param(expr, id=f"{where} {number}") for number, (where, expr) in enumerate(expressions())]


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_what_is_asked_for_is_counted_with_these_labels(expression: str) -> None:
    known = series()
    asked = set(METRIC.findall(re.sub(r'"[^"]*"', '""', expression)))
    assert asked
    assert asked <= known.keys()
    for name, matchers in SELECTOR.findall(expression):
        assert {label for label, _, _ in MATCHER.findall(matchers)} <= known[name] | ADDED_BY_PROMETHEUS
    grouped = {label.strip() for group in GROUPING.findall(expression) for label in group.split(",")}
    assert grouped <= ADDED_BY_PROMETHEUS.union(*(known[name] for name in asked))


@pytest.mark.parametrize("expression", EXPRESSIONS)
def test_every_outcome_and_projection_asked_for_is_one_that_the_code_has(expression: str) -> None:
    code = "\n".join(path.read_text() for top in ("libs", "services") for path in (ROOT / top).rglob("*.py"))
    for label, _, value in MATCHER.findall(expression):
        if label in ("outcome", "projection"):
            for each in value.split("|"):
                assert f'"{each}"' in code


@pytest.mark.parametrize("metric", our_metrics(), ids=name_of)
def test_a_metric_says_its_unit_has_few_series_and_is_in_the_runbook(metric: MetricWrapperBase) -> None:
    kind = kind_of(metric)
    assert labels_of(metric) <= LOW_CARDINALITY
    assert kind != "histogram" or name_of(metric).endswith("_seconds")
    name = name_of(metric) + {"counter": "_total", "info": "_info"}.get(kind, "")
    assert f"| `{name}` |" in RUNBOOK


def test_the_runbook_names_no_metric_that_is_not_counted() -> None:
    assert set(re.findall(r"`(wabus_[a-z_]+)`", RUNBOOK)) <= series().keys() | {name_of(each) for each in our_metrics()}


def test_every_alert_has_its_section_in_the_runbook_and_every_section_its_alert() -> None:
    names = [rule["alert"] for rule in alerts()]
    assert re.findall(r"^### (Wabus\w+)$", RUNBOOK, re.MULTILINE) == names
    for rule in alerts():
        assert rule["annotations"]["runbook_url"] == f"docs/operations.md#{rule['alert'].lower()}"
        assert rule["labels"]["severity"] in ("warning", "critical")


def test_panels_say_what_they_show_and_do_not_overlap() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        assert panel["description"]
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert max(x for x, _ in cells) < 24
        assert not cells & taken
        taken |= cells


def test_provisioning_leads_to_the_dashboard_and_its_data_source() -> None:
    (provider,) = yaml.safe_load((GRAFANA / "provisioning/dashboards/wabus.yaml").read_text())["providers"]
    (source,) = yaml.safe_load((GRAFANA / "provisioning/datasources/prometheus.yaml").read_text())["datasources"]
    assert provider["options"]["path"] == "/etc/grafana/dashboards"
    assert source["type"] == "prometheus"


@pytest.mark.parametrize(
    "command",
    [
        ["check", "rules", "wabus.rules.yaml"],
        ["check", "config", "prometheus.yaml"],
        ["test", "rules", "wabus.rules.test.yaml"],
    ],
    ids=" ".join,
)
def test_promtool_finds_nothing_wrong(command: list[str]) -> None:
    done = run(tool("promtool"), *command, cwd=RULES.parent)
    assert done.returncode == 0, done.stdout + done.stderr
