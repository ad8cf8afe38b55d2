"""The catalogue as one page of HTML that needs nothing else: every event, with an example and a subscriber."""

import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from html import escape
from itertools import groupby
from typing import Any

from wabus_events.models.event import Event
from wabus_events.models.topics import Topic
from wabus_events.testing import example
from wabus_events.wire.envelope import encode

from wabus_contract.asyncapi import HEADERS, PREFIX
from wabus_contract.catalogue_style import SCRIPT, STYLE
from wabus_contract.publishing import owner_of, what_it_says, when_published
from wabus_contract.schemas import schema_of

SUBSCRIBER = """\
import asyncio

from wabus_events import AccountConnected, TemplatesSynced
from wabus_events.kafka import Kafka
from wabus_events.subscriber import stop_on_signals, subscribe

async def main():
    kafka = Kafka("127.0.0.1:19092")  # or Kafka.from_environment(): KAFKA_BOOTSTRAP_SERVERS, TOPIC_PREFIX, …
    stop = stop_on_signals()
    async for event in subscribe(kafka, TemplatesSynced, AccountConnected, group="billing", stop=stop):
        match event:
            case AccountConnected():
                print(event.org_id, "connected", event.waba_id)
            case TemplatesSynced():
                print(event.org_id, "has", event.approved, "approved templates")

asyncio.run(main())
"""

TEST = """\
from wabus_events import TemplatesSynced
from wabus_events.subscriber import subscribe
from wabus_events.testing import MemoryBus, an

async def test_approved_templates_are_billed():
    bus = MemoryBus()
    await bus.publish(an(TemplatesSynced, org_id="acme", approved=3))
    await bus.end()
    async for event in subscribe(bus, TemplatesSynced, group="billing"):
        assert event.approved == 3
"""


def page(kinds: Sequence[type[Event]]) -> str:
    """The page for these events, which come ordered by topic."""
    topics = [(topic, list(group)) for topic, group in groupby(kinds, key=lambda kind: kind.topic)]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>wabus events</title><style>\n{STYLE}\n</style></head><body>",
        _navigation(topics),
        "<main><h1>Events of wabus</h1>",
        "<p>What happens to WhatsApp Business accounts, as typed facts in Apache Kafka: <a "
        'href="https://cloudevents.io">CloudEvents</a> in binary mode, JSON values. Subscribing is described in '
        '<a href="../subscribe.md">subscribe.md</a>; machines read <a href="../../libs/events/asyncapi.yaml">'
        'asyncapi.yaml</a> and the <a href="../../libs/events/schemas">JSON Schemas</a>.</p>',
        *_first_steps(),
        '<h2 id="headers">Headers of every record</h2>',
        "<p>In Python the fields <code>id</code>, <code>type</code>, <code>source</code>, <code>time</code>, "
        "<code>subject</code>, <code>org_id</code> and <code>traceparent</code> of the event.</p>",
        _table(("Header", "Always", "Meaning"), _headers()),
        '<h2 id="topics">Topics</h2>',
        _table(("Topic", "Key", "Kept", "Events"), (_topic_row(topic, group) for topic, group in topics)),
        '<p id="none" hidden>No event has all these words.</p>',
    ]
    for topic, group in topics:
        name = f"<code>{PREFIX}{topic.name}</code>"
        parts.append(f'<section class="topic"><h2 id="{topic.name}">{name}</h2><p>{escape(topic.about)}</p>')
        parts += [_event(kind) for kind in group]
        parts.append("</section>")
    parts.append('<section class="topic"><h2 id="parts">Parts of events</h2>')
    parts += [_part(name, schema) for name, schema in _shared(kinds).items()]
    parts.append(f"</section></main><script>\n{SCRIPT}\n</script></body></html>")
    return "\n".join(parts) + "\n"


def _navigation(topics: Sequence[tuple[Topic, Sequence[type[Event]]]]) -> str:
    links = ['<b>Begin</b><a href="#subscriber">A subscriber</a><a href="#headers">Headers</a>']
    links += ['<a href="#topics">Topics</a>']
    for topic, group in topics:
        links.append(f"<b>{PREFIX}{topic.name}</b>")
        links += [f'<a href="#{kind.__name__}">{kind.__name__}</a>' for kind in group]
    links.append('<b>Also</b><a href="#parts">Parts of events</a>')
    search = '<input type="search" placeholder="Search events and fields" aria-label="Search events and fields">'
    return f"<nav>{search}<div>{''.join(links)}</div></nav>"


def _first_steps() -> Iterable[str]:
    return (
        '<h2 id="subscriber">A subscriber</h2>',
        "<p>Install the library, from a checkout of wabus or with its wheel in place of the folder. Python 3.11 or "
        "newer:</p>",
        '<pre>pip install "./libs/events[kafka]"</pre>',
        "<p>Write a loop. Which Kafka? Whoever runs wabus tells you; on your own machine <code>make run</code> starts "
        "one on <code>127.0.0.1:19092</code>, and <em>Connect</em> at <code>http://127.0.0.1:8080</code> makes events."
        "</p>",
        f"<pre>{escape(SUBSCRIBER)}</pre>",
        "<p>Test it, without Kafka (with pytest-asyncio):</p>",
        f"<pre>{escape(TEST)}</pre>",
        "<p>Each event is committed when the loop asks for the next one: after a crash the event in hand comes again. "
        "The same fact always has the same <code>event.id</code>; <code>deduplicate=True</code> drops what comes "
        'twice. A new group begins with all of history; <code>start="latest"</code> with what is new. Retries, dead '
        'letters and what else you may rely on: <a href="../subscribe.md">subscribe.md</a>. Go and Node: '
        '<a href="../../examples">examples</a>.</p>',
    )


def kept(retention: timedelta | None) -> str:
    """How long a topic's records stay, for people."""
    return "for ever" if retention is None else f"{retention.days} days"


def _event(kind: type[Event]) -> str:
    record = encode(example(kind), f"/wabus/{owner_of(kind)}")
    headers = "\n".join(f"{name}: {value.decode()}" for name, value in record.headers)
    value = json.dumps(json.loads(record.value or b"null"), indent=2, ensure_ascii=False)
    facts = {
        "When": _prose(when_published(kind)),
        "Type": f"<code>{kind.type}</code>",
        "Topic": f'<a href="#{kind.topic.name}"><code>{PREFIX}{kind.topic.name}</code></a>',
        "Key": escape(kind.topic.key),
        "Kept": kept(kind.topic.retention),
        "Owner": owner_of(kind),
        "Schema": f'<a href="../../libs/events/schemas/{kind.type}.json">{kind.type}.json</a>',
    }
    listed = "".join(f"<dt>{name}</dt><dd>{text}</dd>" for name, text in facts.items())
    loop = f'async for event in subscribe(kafka, {kind.__name__}, group="your-team"):\n    ...'
    return (
        f"{_titled(kind.__name__, what_it_says(kind))}<dl>{listed}</dl>{_fields(schema_of(kind))}"
        f"<details open><summary>Example, with the key <code>{escape(record.key.decode())}</code></summary>"
        f"<pre>{escape(headers)}\n\n{escape(value)}</pre></details>"
        f"<details><summary>Subscribe</summary><pre>{escape(loop)}</pre></details></article>"
    )


def _part(name: str, schema: dict[str, Any]) -> str:
    return f"{_titled(name, schema.get('description', ''))}{_fields(schema)}</article>"


def _titled(name: str, text: str) -> str:
    sentences = "".join(f"<p>{_prose(part)}</p>" for part in text.split("\n\n"))
    return f'<article id="{name}"><h3><a href="#{name}">{name}</a></h3>{sentences}'


def _shared(kinds: Sequence[type[Event]]) -> dict[str, dict[str, Any]]:
    """The parts that fields of these events are made of, by name."""
    parts = {name: part for kind in kinds for name, part in schema_of(kind).get("$defs", {}).items()}
    return dict(sorted(parts.items()))


def _fields(schema: dict[str, Any]) -> str:
    rows = (
        (
            f"<code>{name}</code>",
            _type(part),
            "always" if name in schema.get("required", ()) else "",
            _prose(part.get("description", "")),
        )
        for name, part in schema["properties"].items()
    )
    return _table(("Field", "Type", "Present", "Meaning"), rows)


def _type(part: dict[str, Any]) -> str:
    """A schema in a few words of HTML: `list of string`, `integer or null`."""
    if "anyOf" in part:
        return " or ".join(_type(alternative) for alternative in part["anyOf"])
    if "$ref" in part:
        name = part["$ref"].rpartition("/")[2]
        return f'<a href="#{name}">{name}</a>'
    if "enum" in part:
        return escape(" | ".join(map(str, part["enum"])))
    if part.get("type") == "array":
        return f"list of {_type(part['items'])}"
    if isinstance(values := part.get("additionalProperties"), dict):
        return f"object of {_type(values)}"
    return part.get("format") or part.get("type") or "anything"


def _headers() -> Iterable[tuple[str, ...]]:
    for name, (about, _, required) in HEADERS.items():
        yield f"<code>{name}</code>", "yes" if required else "", _prose(about)


def _topic_row(topic: Topic, group: Sequence[type[Event]]) -> tuple[str, ...]:
    links = ", ".join(f'<a href="#{kind.__name__}">{kind.__name__}</a>' for kind in group)
    return f"<code>{PREFIX}{topic.name}</code>", escape(topic.key), kept(topic.retention), links


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    head = "".join(f"<th>{title}</th>" for title in titles)
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in rows)
    return f"<table><thead><tr>{head}</tr></thead><tbody>\n{body}</tbody></table>"


def _prose(text: str) -> str:
    """Escaped text with `code` as such."""
    pieces = escape(text).split("`")
    return "".join(f"<code>{piece}</code>" if index % 2 else piece for index, piece in enumerate(pieces))
