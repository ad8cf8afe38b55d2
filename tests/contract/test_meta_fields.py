"""docs/meta-fields.md names every field of Meta's that the code reads, and none that it does not."""

import ast
import re
from collections.abc import Iterator

from deployment import ROOT
from wabus_events.models import messaging_limit
from wabus_events.webhooks.changes import MANY
from wabus_events.webhooks.items import PARTICIPANT_IDS
from wabus_gateway.worker import connect
from wabus_health_projector.health import check
from wabus_runtime.graph import fields
from wabus_template_sync.worker import pages

GATEWAY = "services/gateway/wabus_gateway"
FIELDS = "libs/events/wabus_events/webhooks"
EDGES = [
    *(f"{GATEWAY}/{name}.py" for name in ("webhooks/parse", "fast_path/single_event")),
    *(f"{FIELDS}/{name}.py" for name in ("about", "changes", "coexistence", "items", "messages", "threads")),
    *(f"{GATEWAY}/{name}.py" for name in ("worker/connect", "worker/oauth", "api/meta_requests")),
    *(f"services/health-projector/wabus_health_projector/health/{name}.py" for name in ("payloads", "check")),
    "services/template-sync/wabus_template_sync/worker/pages.py",
    *(
        f"libs/whatsapp/wabus_whatsapp/{name}.py"
        for name in (
            *("templates/components", "templates/explanation", "templates/parse", "graph_errors"),
            *("accounts", "sending/health", "webhook_fields"),
        )
    ),
    *(f"libs/runtime/wabus_runtime/graph/{name}.py" for name in ("client", "pages")),
    "services/conversations/wabus_conversations/media/reading.py",
    "services/conversations/wabus_conversations/worker/media/fetching.py",
    "libs/events/wabus_events/models/messaging_limit.py",
]
"""The modules that read what Meta sends, before it is a model of ours."""
OURS = {"org_id", "error_codes", "message_type", "receipt", "media", "quality", "raw", "{{"}
"""Keys of our own in these modules."""

PAGE = (ROOT / "docs/meta-fields.md").read_text(encoding="utf-8")
NAMED = set(re.findall(r"`([\w-]+)`", PAGE))


def read_in(source: str) -> Iterator[str]:
    """The names by which a module reads from a mapping."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Attribute(attr="get" | "pop"), args=[ast.Constant(value=str(name)), *_]):
                yield name
            case ast.Subscript(slice=ast.Constant(value=str(name)), ctx=ast.Load()):
                yield name
            case ast.Call(
                func=ast.Name(id="_text" | "_taken" | "_items" | "items_of" | "_examples"),
                args=[_, ast.Constant(value=str(name)), *_],
            ):
                yield name
            case ast.Call(func=ast.Name(id="Names"), args=names):
                yield from (str(name.value) for name in names if isinstance(name, ast.Constant))
            case ast.MatchMapping(keys=keys):
                yield from (str(key.value) for key in keys if isinstance(key, ast.Constant))
            case _:
                pass


def test_whatever_the_code_reads_of_meta_is_on_the_page() -> None:
    read = {name for path in EDGES for name in read_in((ROOT / path).read_text(encoding="utf-8"))}
    assert len(read) > 80
    assert read - OURS - NAMED == set()


def test_whatever_the_code_asks_graph_for_is_on_the_page() -> None:
    asked = {
        *fields.PHONE_FIELDS,
        *connect.OPTIONAL_PHONE_FIELDS,
        *(*check.OPTIONAL_PHONE_FIELDS, *check.OPTIONAL_ACCOUNT_FIELDS),
        *pages.FIELDS.split(","),
        *messaging_limit.GRAPH_FIELDS,
        *PARTICIPANT_IDS,
    }
    assert asked - NAMED == set()


def test_the_page_names_no_field_that_nobody_reads() -> None:
    code = "".join(
        path.read_text(encoding="utf-8") for place in ("libs", "services") for path in (ROOT / place).rglob("*.py")
    )
    rows = re.findall(r"^\| (`[^|]*) \|", PAGE, re.MULTILINE)
    fields = {name for row in rows for name in re.findall(r"`([\w-]+)`", row)}
    assert len(fields) > 80
    assert {name for name in fields if not re.search(rf"\b{name}\b", code)} == set()


def test_whatever_webhook_field_has_a_model_is_on_the_page() -> None:
    changes = (ROOT / FIELDS / "changes.py").read_text(encoding="utf-8")
    cases = re.findall(r'^ +case (".+"):', changes, re.MULTILINE)
    one_fact = {field for case in cases for field in re.findall(r'"(\w+)"', case)}
    modelled = {*MANY, *one_fact} - {"account_settings_update"}  # kept whole
    assert len(modelled) > 20
    assert modelled - NAMED == set()
