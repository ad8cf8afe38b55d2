"""The catalogue as one page of HTML that needs nothing else: every event, with an example and a subscriber."""

import json
from collections.abc import Iterable, Sequence
from datetime import timedelta
from html import escape
from itertools import groupby
from typing import Any

from wabus_events.asyncapi import HEADERS, PREFIX
from wabus_events.envelope import encode
from wabus_events.event import Event
from wabus_events.publishing import owner_of, what_it_says, when_published
from wabus_events.schemas import schema_of
from wabus_events.testing import example
from wabus_events.topics import Topic

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

STYLE = """\
:root { color-scheme: light dark; --line: #8885; --soft: #8881; --link: light-dark(#0b57d0, #8ab4f8); }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 64rem; margin: 2rem auto; padding: 0 1rem; }
a { color: var(--link); } h2 { margin-top: 3rem; } h3 { margin: 0; }
pre { background: var(--soft); padding: .8rem; overflow-x: auto; border-radius: .4rem; font-size: .85rem; }
table { border-collapse: collapse; width: 100%; font-size: .9rem; }
th, td { text-align: left; vertical-align: top; padding: .3rem .8rem .3rem 0; border-bottom: 1px solid var(--line); }
article { border: 1px solid var(--line); border-radius: .5rem; padding: 1rem; margin: 1rem 0; }
article p { margin: .4rem 0; } dt { float: left; clear: left; width: 6rem; opacity: .7; } dd { margin: 0 0 0 6.5rem; }
summary { cursor: pointer; margin-top: .6rem; }
input { font: inherit; width: 100%; padding: .5rem; box-sizing: border-box; }
[hidden] { display: none; }"""

SCRIPT = """\
const search = document.querySelector("input");
search.addEventListener("input", () => {
  const words = search.value.toLowerCase().split(/\\s+/);
  for (const article of document.querySelectorAll("article"))
    article.hidden = !words.every((word) => article.textContent.toLowerCase().includes(word));
});"""


def page(kinds: Sequence[type[Event]]) -> str:
    """The page for these events, which come ordered by topic."""
    topics = [(topic, list(group)) for topic, group in groupby(kinds, key=lambda kind: kind.topic)]
    parts = [
        "<!doctype html>",
        '<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width">',
        f"<title>wabus events</title><style>\n{STYLE}\n</style></head><body>",
        "<h1>Events of wabus</h1>",
        "<p>What happens to WhatsApp Business accounts, as typed facts in Apache Kafka: <a "
        'href="https://cloudevents.io">CloudEvents</a> in binary mode, JSON values. Subscribing is described in '
        '<a href="../subscribe.md">subscribe.md</a>; machines read <a href="../../libs/events/asyncapi.yaml">'
        'asyncapi.yaml</a> and the <a href="../../libs/events/schemas">JSON Schemas</a>.</p>',
        "<h2>A subscriber</h2>",
        '<p>From a checkout of wabus (or name its wheel): <code>pip install "./libs/events[kafka]"</code></p>',
        f"<pre>{escape(SUBSCRIBER)}</pre>",
        "<p>Each event is committed when the loop asks for the next one: after a crash the event in hand comes again. "
        "The same fact always has the same <code>event.id</code>; <code>deduplicate=True</code> drops what comes "
        "twice. In tests <code>wabus_events.testing.MemoryBus</code> takes the place of <code>kafka</code>, and "
        "<code>an(TemplatesSynced, approved=3)</code> builds an event.</p>",
        "<h2>Headers of every record</h2>",
        "<p>In Python the fields <code>id</code>, <code>type</code>, <code>source</code>, <code>time</code>, "
        "<code>subject</code>, <code>org_id</code> and <code>traceparent</code> of the event.</p>",
        _table(("Header", "Always", "Meaning"), _headers()),
        "<h2>Topics</h2>",
        _table(("Topic", "Key", "Kept", "Events"), (_topic_row(topic, group) for topic, group in topics)),
        '<h2>Events</h2><p><input type="search" placeholder="Search events and fields" aria-label="Search"></p>',
    ]
    for topic, group in topics:
        parts.append(
            f'<section><h2 id="{topic.name}"><code>{PREFIX}{topic.name}</code></h2><p>{escape(topic.about)}</p>'
        )
        parts += [_event(kind) for kind in group]
        parts.append("</section>")
    parts.append(f"<script>\n{SCRIPT}\n</script></body></html>")
    return "\n".join(parts) + "\n"


def kept(retention: timedelta | None) -> str:
    """How long a topic's records stay, for people."""
    return "for ever" if retention is None else f"{retention.days} days"


def _event(kind: type[Event]) -> str:
    record = encode(example(kind), f"/wabus/{owner_of(kind)}")
    headers = "\n".join(f"{name}: {value.decode()}" for name, value in record.headers)
    value = json.dumps(json.loads(record.value or b"null"), indent=2, ensure_ascii=False)
    sentences = "".join(f"<p>{_prose(part)}</p>" for part in what_it_says(kind).split("\n\n"))
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
        f'<article id="{kind.__name__}"><h3>{kind.__name__}</h3>{sentences}<dl>{listed}</dl>'
        f"{_table(('Field', 'Type', 'Required', 'Meaning'), _fields(kind))}"
        f"<details><summary>Example record, key <code>{escape(record.key.decode())}</code></summary>"
        f"<pre>{escape(headers)}\n\n{escape(value)}</pre></details>"
        f"<details><summary>Subscribe</summary><pre>{escape(loop)}</pre></details></article>"
    )


def _fields(kind: type[Event]) -> Iterable[tuple[str, ...]]:
    schema = schema_of(kind)
    for name, part in schema["properties"].items():
        required = "yes" if name in schema["required"] else ""
        yield f"<code>{name}</code>", escape(_type(part)), required, _prose(part.get("description", ""))


def _type(part: dict[str, Any]) -> str:
    """A schema in a few words: `list of string`, `integer or null`."""
    if "anyOf" in part:
        return " or ".join(_type(alternative) for alternative in part["anyOf"])
    if "$ref" in part:
        return part["$ref"].rpartition("/")[2]
    if "enum" in part:
        return " | ".join(map(str, part["enum"]))
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
