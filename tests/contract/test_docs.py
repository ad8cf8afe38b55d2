"""The pages lead where they say, and name what there is: links, settings, tables."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from deployment import ROOT, SETTINGS, settings_of
from pydantic_settings import BaseSettings
from wabus_local.settings import PORTS
from wabus_template_sync.templates.failures import SyncFailure
from wabus_whatsapp.graph_errors import AppNotSubscribed, GraphError, TokenOfAnotherApp

LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
HEADING = re.compile(r"^#+ (.*)$", re.MULTILINE)
PLACES = ("*.md", "docs/**/*.md", "libs/*/*.md", "services/*/*.md", "deploy/*/*.md", "examples/*.md")
PAGES = sorted(page for place in PLACES for page in ROOT.glob(place))


def anchors_of(page: Path) -> set[str]:
    """As the forge makes them from headings; those of a page of HTML are its ids."""
    text = page.read_text()
    if page.suffix == ".html":
        return set(re.findall(r'\bid="([^"]+)"', text))
    return {re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-") for heading in HEADING.findall(text)}


def leads_nowhere(page: Path) -> Iterator[str]:
    for link in LINK.findall(page.read_text()):
        if link.startswith("http"):
            continue
        name, _, anchor = link.partition("#")
        target = (page.parent / name).resolve() if name else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            yield link


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_leads_somewhere(page: Path) -> None:
    assert list(leads_nowhere(page)) == []


def kinds_of(parent: type[BaseSettings]) -> Iterator[type[BaseSettings]]:
    for kind in parent.__subclasses__():
        yield kind
        yield from kinds_of(kind)


def defaults_in_the_code() -> dict[str, str]:
    """What docs/settings.md has as the default of each setting that any class of ours reads."""
    for service in SETTINGS:
        settings_of(service)  # imports it
    ports = {name: str(port) for name, port in PORTS.items()}
    found = {"WABUS_HOME": "`.wabus`", "META_RETRY_SCALE": "`1`"} | {name: f"`{port}`" for name, port in ports.items()}
    for kind in kinds_of(BaseSettings):
        if kind.__module__.startswith("wabus_"):
            for name, field in kind.model_fields.items():
                default = "–" if field.default is None else f"`{field.default}`"
                found[name.upper()] = "required" if field.is_required() else default
    return found


def test_nobody_looks_in_vain_for_a_setting_or_believes_in_a_default_that_is_another() -> None:
    rows = re.findall(r"^\| `([A-Z_]+)` \| (\S+) \| \S", (ROOT / "docs/settings.md").read_text(), re.MULTILINE)
    assert len(rows) == len(dict(rows))
    assert dict(rows) == defaults_in_the_code()


def test_the_documentation_explains_every_problem() -> None:
    code = "".join(file.read_text() for place in ("libs", "services") for file in (ROOT / place).rglob("*.py"))
    answered = set(re.findall(r'\bProblem\(\s*\d{3},\s*"(\w+)"', code))
    pages = "".join(page.read_text() for page in PAGES)
    assert len(answered) > 10
    assert {each for each in answered if f"`{each}`" not in pages} == set()


def refusals_of_graph() -> set[str]:
    kinds = [GraphError]
    for kind in kinds:
        kinds += kind.__subclasses__()
    return {kind.code for kind in kinds} - {GraphError.code}


def test_whatever_connecting_refuses_is_explained() -> None:
    gateway = ROOT / "services" / "gateway"
    own = {
        code for file in gateway.rglob("*.py") for code in re.findall(r'ConnectRefused\(\s*"(\w+)"', file.read_text())
    }
    assert own
    assert {
        code for code in own | refusals_of_graph() if f"`{code}`" not in (ROOT / "docs/connect.md").read_text()
    } == set()


def test_whatever_ends_a_sync_is_explained() -> None:
    own = {kind.code for kind in (SyncFailure, *SyncFailure.__subclasses__())}
    page = (ROOT / "docs/templates.md").read_text()
    refusals = refusals_of_graph() - {AppNotSubscribed.code, TokenOfAnotherApp.code}  # of connecting only
    assert {code for code in own | refusals if f"`{code}`" not in page} == set()


@pytest.mark.parametrize(
    ("service", "kept"),
    [
        ("template-sync", set[str]()),
        # The history has a projection of its own, checks are no fold, and nobody reads the counts of before.
        (
            "health-projector",
            {
                *("health_history", "account_checks", "app_subscription", "counted_messages_default"),
                *("message_errors", "message_failures", "messaging_errors"),
            },
        ),
    ],
)
def test_whoever_rebuilds_by_hand_is_told_every_table(service: str, kept: set[str]) -> None:
    migrations = (ROOT / "services" / service).rglob("migrations/versions/*.py")
    tables = {name for file in migrations for name in re.findall(r"CREATE TABLE (\w+) ?[(P]", file.read_text())}
    emptied = {
        name for listed in re.findall(r"TRUNCATE ([^;]+);", (ROOT / "docs/recover.md").read_text())
        for name in re.findall(r"\w+", listed)
    }  # fmt: skip
    assert tables
    assert tables - emptied == kept
