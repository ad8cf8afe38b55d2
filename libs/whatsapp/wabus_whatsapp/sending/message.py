"""Meta's message object, before Meta sees it: everything that is wrong with it, by the name of the field. Pure.

Meta's own answer names one thing at a time, and often neither field nor place. What is said here never quotes what
somebody wrote. A field that this version does not know inside a known one is left to Meta; one beside them is not, for
it would be lost.

Sources: Meta, "Send messages" and its page for each type ("Text messages", "Image messages", "Contacts messages",
"Interactive list messages", "Interactive reply buttons messages", "Interactive call-to-action URL button messages",
"Interactive Flow messages", "Location messages", "Reaction messages", "Template messages"), "Mark messages as read",
"Typing indicators", and Meta's OpenAPI of business messaging for the lengths.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeGuard, cast

from wabus_whatsapp.templates.render import is_address

Object = Mapping[str, Any]
Problem = Literal["missing", "invalid", "too_long", "too_many", "duplicate", "unknown"]

TEXT_MAX = 4096  # characters
CAPTION_MAX = 1024
BODY_MAX = 1024  # of an interactive message
LIST_BODY_MAX = 4096
FOOTER_MAX = 60
HEADER_MAX = 60
BUTTON_MAX = 20
BUTTONS_MAX = 3
BUTTON_ID_MAX = 256
ROWS_MAX = 10  # of a list, in all its sections together
SECTIONS_MAX = 10
PRODUCTS_MAX = 30  # of a list of products, in all its sections together
ROW_TITLE_MAX = 24
ROW_TEXT_MAX = 72
ROW_ID_MAX = 200
CONTACTS_MAX = 257
URL_MAX = 2000
COMPONENTS_MAX = 30

MEDIA = ("audio", "document", "image", "sticker", "video")
TYPES = (*MEDIA, "contacts", "interactive", "location", "reaction", "template", "text")
INTERACTIVE = (
    *("address_message", "button", "call_permission_request", "carousel", "catalog_message", "cta_url", "flow", "list"),
    *("location_request_message", "product", "product_list", "request_contact_info", "voice_call"),
)
ADDRESS = ("to", "recipient", "recipient_type")
BESIDE = ("messaging_product", "type", "context", "recipient_identity_key_hash", "category", *ADDRESS)
"""Members of a message that are not its content."""
MARKETING = ("product_policy", "message_activity_sharing")
"""Members of a message that goes through the Marketing Messages API."""


class Wrong(NamedTuple):
    """One thing to repair: `field` is a path such as `interactive.action.buttons[0].reply.title`."""

    field: str
    problem: Problem
    message: str


def check(message: Object) -> list[Wrong]:
    """All that Meta would refuse about this message, whoever it is to; nothing where it may be sent."""
    return [*_check(message)]


def check_read_mark(mark: Object) -> list[Wrong]:
    """All that is wrong with a read mark, with or without "typing…"."""
    found = [*_text(mark, "", "message_id", 500)]
    if mark.get("status", "read") != "read":
        found.append(Wrong("status", "invalid", "A read mark has the status “read”."))
    typing = mark.get("typing_indicator")
    if typing is not None and (not _is_object(typing) or typing.get("type") != "text"):
        found.append(Wrong("typing_indicator.type", "invalid", "The only type is “text”."))
    found += _unknown(mark, ("messaging_product", "status", "message_id", "typing_indicator", *ADDRESS))
    return found


def _check(message: Object) -> Iterator[Wrong]:
    kind = message.get("type", "text")
    if message.get("messaging_product", "whatsapp") != "whatsapp":
        yield Wrong("messaging_product", "invalid", "The only product is “whatsapp”.")
    if message.get("recipient_type", "individual") not in ("individual", "group"):
        yield Wrong("recipient_type", "invalid", "It is “individual” or “group”.")
    if not isinstance(kind, str) or kind not in TYPES:
        yield Wrong("type", "invalid", f"Types of messages are {', '.join(TYPES)}.")
        return
    if "context" in message:
        yield from _object(message, "", "context") or _text(message["context"], "context.", "message_id", 500)
    more = MARKETING if kind == "template" else ()
    yield from _unknown(message, (*BESIDE, *more, kind))
    if kind not in message:
        yield Wrong(kind, "missing", "A message has its content under the name of its type.")
        return
    content = message[kind]
    if kind == "contacts":
        yield from _contacts(content)
        return
    if not _is_object(content):
        yield Wrong(kind, "invalid", "This is an object.")
        return
    match kind:
        case "text":
            yield from _text(content, "text.", "body", TEXT_MAX)
            yield from _flag(content, "text.", "preview_url")
        case "reaction":
            yield from _text(content, "reaction.", "message_id", 500)
            if not isinstance(content.get("emoji", ""), str) or len(content.get("emoji", "")) > 20:
                yield Wrong("reaction.emoji", "invalid", "It is one emoji, or an empty text that takes it away.")
        case "location":
            yield from _degrees(content, "latitude", 90)
            yield from _degrees(content, "longitude", 180)
        case "interactive":
            yield from _interactive(content)
        case "template":
            yield from _template(content)
        case _:
            yield from _medium(content, kind, kind)


def _medium(content: Object, path: str, kind: str) -> Iterator[Wrong]:
    if ("id" in content) == ("link" in content):
        yield Wrong(path, "invalid", "Give either the id of an uploaded file or a link to one.")
    for name in ("id", "link", "filename"):
        if name in content:
            yield from _text(content, f"{path}.", name, URL_MAX)
    if isinstance(content.get("link"), str) and not is_address(content["link"]):
        yield Wrong(f"{path}.link", "invalid", "The link must be a whole http or https address.")
    if "caption" in content:
        if kind in ("audio", "sticker"):
            yield Wrong(f"{path}.caption", "unknown", "This kind of file has no caption.")
        else:
            yield from _text(content, f"{path}.", "caption", CAPTION_MAX)
    if "filename" in content and kind != "document":
        yield Wrong(f"{path}.filename", "unknown", "Only a document has a file name.")


def _contacts(content: Any) -> Iterator[Wrong]:
    if not isinstance(content, list) or not content:
        yield Wrong("contacts", "invalid", "This is a list with at least one contact.")
        return
    contacts = cast(list[Any], content)
    if len(contacts) > CONTACTS_MAX:
        yield Wrong("contacts", "too_many", f"A message has at most {CONTACTS_MAX} contacts.")
        return
    for at, contact in enumerate(contacts):
        path = f"contacts[{at}]"
        if not _is_object(contact):
            yield Wrong(path, "invalid", "This is an object.")
            continue
        wrong = _object(contact, f"{path}.", "name")
        yield from wrong
        if wrong:
            continue
        name = cast(Object, contact["name"])
        yield from _text(name, f"{path}.name.", "formatted_name", TEXT_MAX)
        if not any(name.get(part) for part in ("first_name", "last_name", "middle_name", "suffix", "prefix")):
            yield Wrong(f"{path}.name", "missing", "Beside the formatted name one more part of it is needed.")
        for each, phone in enumerate(_listed(contact.get("phones"))):
            yield from _text(phone, f"{path}.phones[{each}].", "phone", 100)


def _interactive(content: Object) -> Iterator[Wrong]:
    kind = content.get("type")
    if kind not in INTERACTIVE:
        yield Wrong("interactive.type", "invalid", f"Types of interactive messages are {', '.join(INTERACTIVE)}.")
        return
    yield from _header(content)
    if kind != "product" or "body" in content:
        most = LIST_BODY_MAX if kind == "list" else BODY_MAX
        yield from _object(content, "interactive.", "body") or _text(content["body"], "interactive.body.", "text", most)
    if "footer" in content:
        yield from (
            _object(content, "interactive.", "footer")
            or _text(content["footer"], "interactive.footer.", "text", FOOTER_MAX)
        )
    if wrong := _object(content, "interactive.", "action"):
        yield from wrong
        return
    action, path = cast(Object, content["action"]), "interactive.action."
    match kind:
        case "button":
            yield from _reply_buttons(action, path)
        case "list":
            yield from _text(action, path, "button", BUTTON_MAX)
            yield from _rows(action, path)
        case "cta_url":
            yield from _parameters(action, path, {"display_text": BUTTON_MAX, "url": URL_MAX})
            url = _member(_member(action, "parameters"), "url")
            if isinstance(url, str) and not is_address(url):
                yield Wrong(f"{path}parameters.url", "invalid", "The link must be a whole http or https address.")
        case "flow":
            yield from _parameters(action, path, {"flow_cta": 30})
            parameters = _member(action, "parameters")
            if _is_object(parameters) and ("flow_id" in parameters) == ("flow_name" in parameters):
                yield Wrong(f"{path}parameters.flow_id", "invalid", "Give either flow_id or flow_name.")
        case "product":
            yield from _text(action, path, "catalog_id", 100)
            yield from _text(action, path, "product_retailer_id", 100)
        case "product_list":
            yield from _text(action, path, "catalog_id", 100)
            yield from _products(action, path)
        case _:
            pass


def _header(content: Object) -> Iterator[Wrong]:
    header, path = content.get("header"), "interactive.header"
    if "header" not in content:
        if content.get("type") == "product_list":
            yield Wrong(path, "missing", "A list of products needs a header.")
        return
    if not _is_object(header):
        yield Wrong(path, "invalid", "This is an object.")
        return
    kind = header.get("type")
    if kind == "text":
        yield from _text(header, f"{path}.", "text", HEADER_MAX)
    elif kind not in ("image", "video", "document"):
        yield Wrong(f"{path}.type", "invalid", "Types of headers are text, image, video and document.")
    elif wrong := _object(header, f"{path}.", kind):
        yield from wrong
    else:
        yield from _medium(header[kind], f"{path}.{kind}", kind)


def _reply_buttons(action: Object, path: str) -> Iterator[Wrong]:
    wrong = _list(action, path, "buttons", BUTTONS_MAX)
    yield from wrong
    if wrong:
        return
    replies: list[tuple[str, Object]] = []
    for at, button in enumerate(action["buttons"]):
        reply = button.get("reply") if _is_object(button) else None
        if not _is_object(reply):
            yield Wrong(f"{path}buttons[{at}].reply", "missing", "A button has a reply with id and title.")
            continue
        replies.append((f"{path}buttons[{at}].reply.", reply))
    for where, reply in replies:
        yield from _text(reply, where, "id", BUTTON_ID_MAX)
        yield from _text(reply, where, "title", BUTTON_MAX)
    yield from _unique(replies, "id")
    yield from _unique(replies, "title")


def _rows(action: Object, path: str) -> Iterator[Wrong]:
    wrong = _list(action, path, "sections", SECTIONS_MAX)
    yield from wrong
    if wrong:
        return
    sections = cast(Sequence[Any], action["sections"])
    rows: list[tuple[str, Object]] = []
    for at, section in enumerate(sections):
        where = f"{path}sections[{at}]."
        if len(sections) > 1:
            yield from _text(cast(Object, section if _is_object(section) else {}), where, "title", ROW_TITLE_MAX)
        if found := _list(section, where, "rows", ROWS_MAX):
            yield from found
            continue
        for each, row in enumerate(section["rows"]):
            if _is_object(row):
                rows.append((f"{where}rows[{each}].", row))
            else:
                yield Wrong(f"{where}rows[{each}]", "invalid", "This is an object.")
    if len(rows) > ROWS_MAX:
        yield Wrong(f"{path}sections", "too_many", f"A list has at most {ROWS_MAX} rows in all its sections.")
    for where, row in rows:
        yield from _text(row, where, "id", ROW_ID_MAX)
        yield from _text(row, where, "title", ROW_TITLE_MAX)
        if "description" in row:
            yield from _text(row, where, "description", ROW_TEXT_MAX)
    yield from _unique(rows, "id")


def _products(action: Object, path: str) -> Iterator[Wrong]:
    wrong = _list(action, path, "sections", SECTIONS_MAX)
    yield from wrong
    if wrong:
        return
    count = 0
    for at, section in enumerate(action["sections"]):
        where = f"{path}sections[{at}]."
        if found := _list(section, where, "product_items", PRODUCTS_MAX):
            yield from found
            continue
        count += len(section["product_items"])
        for each, item in enumerate(section["product_items"]):
            yield from _text(item, f"{where}product_items[{each}].", "product_retailer_id", 100)
    if count > PRODUCTS_MAX:
        yield Wrong(
            f"{path}sections", "too_many", f"A list of products has at most {PRODUCTS_MAX} in all its sections."
        )


def _template(content: Object) -> Iterator[Wrong]:
    yield from _text(content, "template.", "name", 512)
    yield from _object(content, "template.", "language") or _text(content["language"], "template.language.", "code", 15)
    components = content.get("components", [])
    if not isinstance(components, list) or not all(_is_object(each) for each in cast(list[Any], components)):
        yield Wrong("template.components", "invalid", "This is a list of objects.")
    elif len(cast(list[Any], components)) > COMPONENTS_MAX:
        yield Wrong("template.components", "too_many", f"At most {COMPONENTS_MAX} components can be given.")


def _parameters(action: Object, path: str, wanted: Mapping[str, int]) -> Iterator[Wrong]:
    wrong = _object(action, path, "parameters")
    yield from wrong
    if not wrong:
        for name, most in wanted.items():
            yield from _text(action["parameters"], f"{path}parameters.", name, most)


def _unique(found: Sequence[tuple[str, Object]], name: str) -> Iterator[Wrong]:
    seen: set[str] = set()
    for where, each in found:
        value = each.get(name)
        if isinstance(value, str):
            if value in seen:
                yield Wrong(f"{where}{name}", "duplicate", "There is another of the same.")
            seen.add(value)


def _text(holder: Any, path: str, name: str, most: int) -> Iterator[Wrong]:
    """A text that has to be there, and is at most so many characters long."""
    value = _member(holder, name)
    if value is None:
        yield Wrong(f"{path}{name}", "missing", "This is needed.")
    elif not isinstance(value, str):
        yield Wrong(f"{path}{name}", "invalid", "This is a text.")
    elif not value.strip():
        yield Wrong(f"{path}{name}", "missing", "This can't be empty.")
    elif "\x00" in value or any("\ud800" <= char <= "\udfff" for char in value):
        yield Wrong(f"{path}{name}", "invalid", "It has a character that no text may have.")
    elif len(value) > most:
        yield Wrong(f"{path}{name}", "too_long", f"It has {len(value)} characters; at most {most} are allowed.")


def _flag(holder: Object, path: str, name: str) -> Iterator[Wrong]:
    if not isinstance(holder.get(name, False), bool):
        yield Wrong(f"{path}{name}", "invalid", "This is true or false.")


def _degrees(holder: Object, name: str, most: int) -> Iterator[Wrong]:
    value = holder.get(name)
    try:
        right = isinstance(value, int | float | str) and not isinstance(value, bool) and abs(float(value)) <= most
    except ValueError:
        right = False
    if not right:
        problem: Problem = "missing" if value is None else "invalid"
        yield Wrong(f"location.{name}", problem, f"Give degrees from -{most} to {most}.")


def _object(holder: Any, path: str, name: str) -> list[Wrong]:
    value = _member(holder, name)
    if value is None:
        return [Wrong(f"{path}{name}", "missing", "This is needed.")]
    return [] if _is_object(value) else [Wrong(f"{path}{name}", "invalid", "This is an object.")]


def _list(holder: Any, path: str, name: str, most: int) -> list[Wrong]:
    value = _member(holder, name)
    if not isinstance(value, list) or not value:
        return [Wrong(f"{path}{name}", "missing" if value is None else "invalid", "This is a list that is not empty.")]
    count = len(cast(list[Any], value))
    return (
        [Wrong(f"{path}{name}", "too_many", f"There are {count}; at most {most} are allowed.")] if count > most else []
    )


def _unknown(holder: Object, known: Sequence[str]) -> Iterator[Wrong]:
    """Members that there are none of. Their names are the caller's words, so only the first characters are repeated."""
    for name in sorted(holder.keys() - {*known}):
        shown = "".join(char for char in name[:40] if char.isascii() and (char.isalnum() or char in "_-"))
        yield Wrong(shown or "?", "unknown", "A message of this type has no such member.")


def _member(holder: Any, name: str) -> Any:
    return holder.get(name) if _is_object(holder) else None


def _listed(value: Any) -> Sequence[Any]:
    return cast(Sequence[Any], value) if isinstance(value, list) else ()


def _is_object(value: Any) -> TypeGuard[Object]:
    return isinstance(value, dict)
