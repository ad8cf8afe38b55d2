"""The parameters of a template message against the template. Pure.

Sources: "Template messages", "Message templates, components", "WhatsApp error codes" (132000 … 132018); what `details`
says is as chatwoot#12393, whatsapp-api-js#175 and other public reports of 132000 and 132012 show it.
"""

import re
from collections.abc import Sequence
from typing import Any

from simulated_meta.sending.refusals import refusal

Json = dict[str, Any]

VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
UNSENDABLE = re.compile(r"[\n\r\t]| {5,}")
BODY_MAX = 1024  # characters with the parameters filled in, of a template with more parts than its body
BODY_ALONE_MAX = 32_768  # chatwoot#6435
CODE_MAX = 15  # of a parameter of an authentication template: "Authentication templates"
MEDIA_HEADERS = ("IMAGE", "VIDEO", "DOCUMENT", "GIF")
SENDABLE = ("APPROVED",)


def find(templates: Sequence[Json], name: str, language: str) -> Json:
    """The template that a message means. Raises `GraphError` where it does not exist or may not be sent now."""
    found = next((each for each in templates if (each["name"], each["language"]) == (name, language)), None)
    match found["status"] if found else None:
        case "PAUSED":
            raise refusal(132015, "Template is paused due to low quality so it cannot be sent in a template message.")
        case "DISABLED":
            raise refusal(132016, "Template has been paused too many times and is now permanently disabled.")
        case status if found and status in SENDABLE:
            return found
        case _:
            raise refusal(132001, f"template name ({name}) does not exist in {language}")


def check(template: Json, sent: Sequence[Json]) -> None:
    """Raises `GraphError` unless the components that were sent fill the template in."""
    named = template.get("parameter_format") == "NAMED"
    parts: dict[str, Json] = {str(part.get("type")).upper(): part for part in template["components"]}
    given = {str(each.get("type")).lower(): each for each in sent if str(each.get("type")).lower() != "button"}
    buttons = [each for each in sent if str(each.get("type")).lower() == "button"]
    authenticates = template.get("category") == "AUTHENTICATION"
    _header(parts.get("HEADER"), given.get("header"), named)
    values = _texts("body", parts.get("BODY", {}).get("text", ""), given.get("body"), named)
    if authenticates and any(len(value) > CODE_MAX for value in values):
        raise refusal(132018, f"A parameter of an authentication template has at most {CODE_MAX} characters")
    longest = BODY_ALONE_MAX if parts.keys() == {"BODY"} else BODY_MAX
    if len(VARIABLE.sub("", parts.get("BODY", {}).get("text", ""))) + sum(map(len, values)) > longest:
        raise refusal(132005, "body: the text with its parameters is too long")
    _buttons(parts.get("BUTTONS", {}).get("buttons", []), buttons)
    _cards(parts.get("CAROUSEL", {}).get("cards", []), given.get("carousel"), named)
    offer = parts.get("LIMITED_TIME_OFFER", {}).get("limited_time_offer", {})
    if offer.get("has_expiration") and "limited_time_offer" not in given:
        raise refusal(132012, "limited_time_offer: expiration_time_ms is required")


def _header(part: Json | None, given: Json | None, named: bool) -> None:
    """ "header: Format mismatch, expected IMAGE, received UNKNOWN" in many reports of 132012."""
    format_ = str(part.get("format")).upper() if part else None
    parameters = _parameters("header", given)
    if format_ in (None, "TEXT"):
        _texts("header", part.get("text", "") if part else "", given, named)
        return
    received = str(parameters[0].get("type", "unknown")).upper() if parameters else "UNKNOWN"
    if received != format_:
        raise refusal(132012, f"header: Format mismatch, expected {format_}, received {received}")
    content = parameters[0].get(received.lower())
    if not isinstance(content, dict) or (format_ in MEDIA_HEADERS and ("id" in content) == ("link" in content)):
        raise refusal(132012, f"header: {received.lower()} must have either 'id' or 'link'")


def _texts(kind: str, text: str, given: Json | None, named: bool) -> list[str]:
    """The parameters of a text, of which there must be as many as it has places."""
    names = list(dict.fromkeys(VARIABLE.findall(text)))
    parameters = _parameters(kind, given)
    if len(parameters) != len(names):
        raise refusal(
            132000,
            f"{kind}: number of localizable_params ({len(parameters)}) does not match the expected number of params "
            f"({len(names)})",
        )
    if named:
        if not all(isinstance(each.get("parameter_name"), str) and each["parameter_name"] for each in parameters):
            raise refusal(100, "Parameter name is missing or empty")
        if {each["parameter_name"] for each in parameters} != {*names}:
            raise refusal(132000, f"{kind}: the names of the parameters do not match those of the template")
    return [_value(kind, each) for each in parameters]


def _value(kind: str, parameter: Json) -> str:
    match parameter.get("type"):
        case "text":
            value = parameter.get("text")
        case "currency" | "date_time" as coded:
            inner = parameter.get(coded)
            value = inner.get("fallback_value") if isinstance(inner, dict) else None
        case other:
            raise refusal(132012, f"{kind}: Format mismatch, expected TEXT, received {str(other).upper()}")
    if not isinstance(value, str) or not value.strip():
        raise refusal(131008, "Parameter of type text is missing text value")
    if UNSENDABLE.search(value):
        raise refusal(132018, "Param text cannot have new-line/tab characters or more than 4 consecutive spaces")
    return value


def _buttons(buttons: Sequence[Json], given: Sequence[Json]) -> None:
    """chatwoot#12393: a button that takes a parameter must get it; whatsapp-api-js#175: others may get none."""
    by_index: dict[int, Json] = {}
    for each in given:
        index = _index(each.get("index"))
        if index is None or index >= len(buttons) or index in by_index:
            raise refusal(132018, "buttons: a component has no index of a button of the template, or one twice")
        by_index[index] = each
    for index, button in enumerate(buttons):
        kind, has = str(button.get("type")).upper(), index in by_index
        needs = kind in ("COPY_CODE", "OTP", "MPM", "ORDER_DETAILS") or (
            kind == "URL" and VARIABLE.search(str(button.get("url", ""))) is not None
        )
        if needs and not has:
            raise refusal(131008, f"buttons: Button at index {index} of type {kind.title()} requires a parameter")
        if has and kind in ("PHONE_NUMBER",):
            raise refusal(100, f"buttons: Button at index {index} is of type Call and does not support parameters")
        if has and kind == "URL" and not needs:
            raise refusal(132018, f"buttons: Button at index {index} of type Url does not have a parameter")
        if has and needs and not _parameters("button", by_index[index]):
            raise refusal(131008, f"buttons: Button at index {index} of type {kind.title()} requires a parameter")


def _cards(cards: Sequence[Json], given: Json | None, named: bool) -> None:
    """ "Media card carousel templates": each card of the template is sent."""
    if not cards:
        return
    sent = given.get("cards") if given else None
    if not isinstance(sent, list) or len(sent) != len(cards):
        raise refusal(132012, "carousel: number of cards does not match the template")
    for card, each in zip(cards, sent, strict=True):
        parts = {str(part.get("type")).upper(): part for part in card["components"]}
        components = each.get("components", []) if isinstance(each, dict) else []
        own = {str(one.get("type")).lower(): one for one in components if isinstance(one, dict)}
        _header(parts.get("HEADER"), own.get("header"), named)
        _texts("body", parts.get("BODY", {}).get("text", ""), own.get("body"), named)
        _buttons(
            parts.get("BUTTONS", {}).get("buttons", []),
            [one for one in components if isinstance(one, dict) and str(one.get("type")).lower() == "button"],
        )


def _parameters(kind: str, given: Json | None) -> list[Json]:
    parameters = given.get("parameters", []) if given else []
    if not isinstance(parameters, list) or not all(isinstance(each, dict) for each in parameters):
        raise refusal(100, f"{kind}: parameters must be an array of objects")
    return parameters


def _index(value: Any) -> int | None:
    """ "Template messages" has it as a text, and a number is taken too."""
    text = str(value)
    return int(text) if text.isascii() and text.isdigit() and len(text) < 3 else None
