"""The message object of a POST to `/{phone-number-id}/messages`: whether Graph takes its shape. Pure.

Sources: "Send messages" and its page for each type ("Text messages", "Reaction messages", "Contacts messages",
"Interactive list messages", "Interactive reply buttons messages", …), "Mark messages as read", "Typing indicators",
"Business-scoped user IDs" (`recipient`), and Meta's OpenAPI of business messaging.
"""

import re
from dataclasses import dataclass
from typing import Any

from simulated_meta.graph.errors import bad_parameter, not_one_of
from simulated_meta.sending.refusals import refusal

Json = dict[str, Any]

TEXT_MAX = 4096  # characters: "Text messages"
CAPTION_MAX = 1024  # "Image messages"
OPAQUE_MAX = 512  # "Send messages", biz_opaque_callback_data
CONTACTS_MAX = 257  # "Contacts messages"
INTERACTIVE_BODY_MAX = 4096  # "Interactive list messages"; 1,024 of the others
MEDIA = ("audio", "document", "image", "sticker", "video")
TYPES = (*MEDIA, "contacts", "interactive", "location", "reaction", "template", "text")
INTERACTIVE = (
    *("address_message", "button", "call_permission_request", "catalog_message", "cta_url", "flow", "list"),
    *("location_request_message", "product", "product_list", "voice_call", "request_contact_info", "carousel"),
)
NUMBER = re.compile(r"\+?[0-9][0-9 ()\-.]*")
BSUID = re.compile(r"[A-Z]{2}\.(ENT\.)?[A-Za-z0-9]{1,128}")


@dataclass(frozen=True, slots=True)
class Message:
    """A message that has the right shape. `to` or `recipient` is as the caller wrote it; of both, `to` counts."""

    kind: str
    to: str | None
    recipient: str | None
    is_group: bool
    opaque: str | None
    body: Json

    @property
    def input(self) -> str:
        return self.to if self.to is not None else str(self.recipient)

    @property
    def template(self) -> Json:
        return self.body["template"]


@dataclass(frozen=True, slots=True)
class ReadMark:
    """A person's message is marked as read; `types` when "typing…" is shown to them."""

    message_id: str
    types: bool


def parse(body: Any) -> Message | ReadMark:
    """What was posted. Raises `GraphError` as Graph refuses it."""
    if not isinstance(body, dict):
        raise bad_parameter("Invalid parameter")
    if "messaging_product" not in body:
        raise bad_parameter("The parameter messaging_product is required.")
    if body["messaging_product"] != "whatsapp":
        raise not_one_of("messaging_product", ["whatsapp"], str(body["messaging_product"]))
    if "status" in body:
        return _read_mark(body)
    kind = body.get("type", "text")  # "Text messages": a message without a type is a text
    if not isinstance(kind, str) or kind.lower() not in TYPES:
        raise not_one_of("type", [each.upper() for each in TYPES], str(kind))
    kind = kind.lower()
    to, recipient = _addressed(body)
    is_group = body.get("recipient_type", "individual") == "group"
    if body.get("recipient_type", "individual") not in ("individual", "group"):
        raise not_one_of("recipient_type", ["individual", "group"], str(body["recipient_type"]))
    if to is not None and not is_group and not NUMBER.fullmatch(to):
        raise refusal(131009, "Recipient phone number is not valid")
    if to is None and recipient is not None and not BSUID.fullmatch(recipient):
        raise refusal(131009, "Recipient is not a valid business-scoped user ID")
    opaque = body.get("biz_opaque_callback_data")
    if opaque is not None and (not isinstance(opaque, str) or len(opaque) > OPAQUE_MAX):
        raise bad_parameter(f"Param biz_opaque_callback_data must be at most {OPAQUE_MAX} characters long.")
    context = body.get("context")
    if context is not None and not _text(_object(context, "context"), "message_id"):
        raise refusal(131009, "Context message_id is not valid")
    if kind not in body:
        raise refusal(131008, f"Parameter '{kind}' is mandatory for type '{kind}'")
    _check(kind, body[kind])
    return Message(kind, to, recipient, is_group, opaque, body)


def _read_mark(body: Json) -> ReadMark:
    """ "Mark messages as read" and "Typing indicators": the latter marks as read too."""
    if body["status"] != "read":
        raise not_one_of("status", ["read"], str(body["status"]))
    if not _text(body, "message_id"):
        raise bad_parameter("The parameter message_id is required.")
    typing = body.get("typing_indicator")
    if typing is not None and _object(typing, "typing_indicator").get("type") != "text":
        raise not_one_of("typing_indicator['type']", ["text"], str(typing.get("type")))
    return ReadMark(body["message_id"], typing is not None)


def _addressed(body: Json) -> tuple[str | None, str | None]:
    to, recipient = body.get("to"), body.get("recipient")
    for name, value in (("to", to), ("recipient", recipient)):
        if value is not None and (not isinstance(value, str) or not value):
            raise bad_parameter(f"Param {name} must be a string.")
    if to is None and recipient is None:
        raise bad_parameter("The parameter to is required.")
    return to, recipient


def _check(kind: str, content: Any) -> None:
    match kind:
        case "contacts":
            _contacts(content)
        case "text":
            _length(content, "text", "body", TEXT_MAX)
        case "reaction":
            reaction = _object(content, "reaction")
            if not _text(reaction, "message_id"):
                raise refusal(131008, "Parameter 'message_id' is mandatory for type 'reaction'")
            if not isinstance(reaction.get("emoji", ""), str):
                raise bad_parameter("Param reaction['emoji'] must be a string.")
        case "location":
            location = _object(content, "location")
            for name, most in (("latitude", 90), ("longitude", 180)):
                if not _is_degrees(location.get(name), most):
                    raise refusal(131009, f"Param location['{name}'] is not valid")
        case "interactive":
            _interactive(_object(content, "interactive"))
        case "template":
            _template(_object(content, "template"))
        case _:
            _medium(kind, _object(content, kind))


def _medium(kind: str, medium: Json) -> None:
    """ "Image messages" and the others: an id of an upload or a link, not both, not neither."""
    if ("id" in medium) == ("link" in medium):
        raise bad_parameter(f"Param {kind} must have either 'id' or 'link'")
    if "link" in medium and not str(medium["link"]).startswith(("http://", "https://")):
        raise bad_parameter(f"Param {kind}['link'] is not a valid URI.")
    if "caption" in medium:
        if kind in ("audio", "sticker"):
            raise bad_parameter(f"Unexpected key 'caption' on param '{kind}'.")
        _length(medium, kind, "caption", CAPTION_MAX)
    if "filename" in medium and kind != "document":
        raise bad_parameter(f"Unexpected key 'filename' on param '{kind}'.")


def _contacts(contacts: Any) -> None:
    """ "Contacts messages": up to 257, each with a formatted name and one more part of a name."""
    if not isinstance(contacts, list) or not contacts:
        raise bad_parameter("Param contacts must be a non-empty array.")
    if len(contacts) > CONTACTS_MAX:
        raise bad_parameter(f"Param contacts must have at most {CONTACTS_MAX} elements.")
    for at, contact in enumerate(contacts):
        name = _object(_object(contact, f"contacts[{at}]").get("name"), f"contacts[{at}]['name']")
        if not _text(name, "formatted_name") or len([each for each in name.values() if each]) < 2:
            raise refusal(131009, f"Param contacts[{at}]['name'] needs formatted_name and one more part")


def _interactive(interactive: Json) -> None:
    """ "Interactive list messages", "Interactive reply buttons messages", and the schema InteractiveObject."""
    kind = interactive.get("type")
    if kind not in INTERACTIVE:
        raise not_one_of("interactive['type']", INTERACTIVE, str(kind))
    action = _object(interactive.get("action"), "interactive['action']")
    if kind != "product":
        body = _object(interactive.get("body"), "interactive['body']")
        _length(body, "interactive['body']", "text", INTERACTIVE_BODY_MAX if kind == "list" else CAPTION_MAX)
    if "footer" in interactive:
        _length(_object(interactive["footer"], "interactive['footer']"), "interactive['footer']", "text", 60)
    match kind:
        case "button":
            buttons = _list(action, "buttons", 3)
            titles = [_object(_object(each, "button").get("reply"), "reply") for each in buttons]
            for reply in titles:
                _length(reply, "reply", "id", 256)
                _length(reply, "reply", "title", 20)
            _unique([reply["id"] for reply in titles], "button ids")
            _unique([reply["title"] for reply in titles], "button titles")
        case "list":
            _length(action, "interactive['action']", "button", 20)
            sections = [_object(each, "section") for each in _list(action, "sections", 10)]
            rows = [_object(row, "row") for section in sections for row in _list(section, "rows", 10)]
            if len(rows) > 10:
                raise refusal(131009, "Total row count exceed max allowed count: 10")
            if len(sections) > 1 and not all(_text(section, "title") for section in sections):
                raise refusal(131009, "Section title is required if there is more than one section")
            for row in rows:
                _length(row, "row", "id", 200)
                _length(row, "row", "title", 24)
            _unique([row["id"] for row in rows], "row ids")
        case "cta_url":
            parameters = _object(action.get("parameters"), "interactive['action']['parameters']")
            _length(parameters, "parameters", "display_text", 20)
            if not str(parameters.get("url", "")).startswith(("http://", "https://")):
                raise refusal(131009, "parameters['url'] is not a valid URI")
        case "flow":
            parameters = _object(action.get("parameters"), "interactive['action']['parameters']")
            if ("flow_id" in parameters) == ("flow_name" in parameters):
                raise refusal(131009, "Exactly one of flow_id and flow_name is required")
            _length(parameters, "parameters", "flow_cta", 30)
        case _:
            pass


def _template(template: Json) -> None:
    if not _text(template, "name"):
        raise bad_parameter("The parameter template['name'] is required.")
    language = _object(template.get("language"), "template['language']")
    if not _text(language, "code"):
        raise bad_parameter("The parameter template['language']['code'] is required.")
    components = template.get("components", [])
    if not isinstance(components, list) or not all(isinstance(each, dict) for each in components):
        raise bad_parameter("Param template['components'] must be an array.")


def _object(value: Any, name: str) -> Json:
    if not isinstance(value, dict):
        raise bad_parameter(f"Param {name} must be a JSON object.")
    return value


def _text(holder: Json, name: str) -> str | None:
    value = holder.get(name)
    return value if isinstance(value, str) and value.strip() else None


def _length(holder: Any, where: str, name: str, most: int) -> None:
    value = _object(holder, where).get(name)
    if value is None:
        raise refusal(131008, f"Parameter '{name}' of {where} is mandatory")
    if not isinstance(value, str):
        raise bad_parameter(f"Param {where}['{name}'] must be a string.")
    if not value.strip():
        raise refusal(131008, f"Parameter '{name}' of {where} is mandatory")
    if len(value) > most:
        raise bad_parameter(f"Param {where}['{name}'] must be at most {most} characters long.")


def _list(holder: Json, name: str, most: int) -> list[Any]:
    value = holder.get(name)
    if not isinstance(value, list) or not value:
        raise refusal(131008, f"Parameter '{name}' is mandatory")
    if len(value) > most:
        raise refusal(131009, f"{name} must have at most {most} elements")
    return value


def _unique(values: list[Any], what: str) -> None:
    if len({*values}) < len(values):
        raise refusal(131009, f"Duplicate {what}")


def _is_degrees(value: Any, most: int) -> bool:
    try:
        return not isinstance(value, bool) and abs(float(value)) <= most
    except (TypeError, ValueError):
        return False
