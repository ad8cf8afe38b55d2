"""What a message of Meta's says: its text, what it is about, what it replies to, and JSON that a table can hold."""

import json
import math
from typing import Any, cast
from unicodedata import normalize

import orjson
from wabus_whatsapp.text.stored import storable

Json = dict[str, Any]

ABOUT_OTHERS = frozenset(("reaction", "edit", "revoke"))
"""Types of messages that are shown as a part of another."""

_LONGEST_TEXT = 200_000  # bytes that are searched: what PostgreSQL makes of them, at worst, has to be below 1 MB


def kind_of(message_type: str) -> str:
    """How a message of this type is shown."""
    if message_type in ABOUT_OTHERS:
        return message_type
    return "system" if message_type in ("system", "request_welcome") else "message"


def about(item: Json, message_type: str) -> str | None:
    """The wamid of the message that a reaction, edit or revoke is about."""
    match item.get(message_type):
        case {"message_id": str(wamid)} | {"original_message_id": str(wamid)} if wamid:
            return wamid
        case _:
            return None


def context(item: Json) -> str | None:
    """The wamid of the message that it replies to."""
    match item.get("context"):
        case {"id": str(wamid)} | {"message_id": str(wamid)} if wamid:
            return wamid
        case _:
            return None


def shared_numbers(item: Json) -> list[str]:
    """The numbers of their own that somebody has shared when asked to; a card of somebody else has none.

    Source: Meta, "Business-scoped user IDs", requesting contact information.
    """
    found: list[str] = []
    for card in _objects(item.get("contacts")):
        if "contact_request" in (card.get("origin"), item.get("origin")):
            found += [phone["wa_id"] for phone in _objects(card.get("phones")) if _is_text(phone.get("wa_id"))]
    return found


def text_of(item: Json, message_type: str) -> str | None:
    """What can be searched of a message; None if there is nothing.

    Letters are composed, for an accent that was typed apart is the same to people (Unicode Annex 15, NFC).
    """
    words = [storable(each).strip() for each in _words(item, message_type) if _is_text(each)]
    text = composed("\n".join(word for word in words if word))
    if len(text) * 4 > _LONGEST_TEXT:
        text = text.encode()[:_LONGEST_TEXT].decode(errors="ignore")
    return text or None


def composed(text: str) -> str:
    """The text with letters and their accents as one character each, where there is one."""
    return text if text.isascii() else normalize("NFC", text)


def storable_json(value: Any) -> tuple[bytes, bool]:
    """A value as JSON that PostgreSQL takes, and whether characters were replaced for that.

    Its `jsonb` holds no NUL, and UTF-8 no half of a surrogate pair. PostgreSQL documentation, "JSON Types".
    """
    encoded = orjson.dumps(value)
    if b"\\u0000" not in encoded:
        return encoded, False
    replaced = orjson.dumps(writable(value))
    return replaced, replaced != encoded


def change_of(body: bytes) -> tuple[str, Json] | None:
    """Field and value of a change that no event could carry, with what hindered it replaced; None if it is no change.

    Halves of surrogate pairs become U+FFFD, numbers beyond 64 bits text.
    """
    try:
        change = json.loads(body)
        match change:
            case {"field": str(field), "value": {**value}}:
                return storable(field), cast(Json, writable(value))
            case _:
                return None
    except (ValueError, RecursionError):
        return None


def _words(item: Json, message_type: str) -> list[Any]:
    part = item.get(message_type)
    match message_type, part:
        case "text", {"body": body}:
            return [body]
        case "button", {"text": text}:
            return [text]
        case "interactive", {**answer}:
            return [
                each
                for reply in answer.values()
                if isinstance(reply, dict)
                for each in (reply.get("title"), reply.get("description"), reply.get("body"), reply.get("text"))
            ]
        case "location", {**place}:
            return [place.get("name"), place.get("address")]
        case "contacts", _:
            return [name.get("formatted_name") for card in _objects(part) for name in _objects([card.get("name")])]
        case "order", {"text": text}:
            return [text]
        case "edit", {"message": {"type": str(edited), **inner}} if edited != "edit":
            return _words(cast(Json, inner), edited)
        case "system", {"body": body}:
            return [body]
        case _, {**media}:
            return [media.get("caption"), media.get("filename")]
        case _:
            return []


def _objects(part: Any) -> list[Json]:
    return [cast(Json, each) for each in part if isinstance(each, dict)] if isinstance(part, list) else []


def _is_text(part: Any) -> bool:
    return isinstance(part, str) and bool(part)


def writable(part: Any) -> Any:
    """JSON that events and tables can hold."""
    match part:
        case str():
            return storable(part)
        case dict():
            return {storable(str(name)): writable(value) for name, value in part.items()}
        case list():
            return [writable(value) for value in part]
        case int() if not -(2**63) <= part < 2**64:
            return str(part)
        case float() if not math.isfinite(part):
            return None
        case _:
            return part
