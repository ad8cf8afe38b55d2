"""A template filled in: the final text of each part and the payload's `components`, or exactly what is wrong with what
was given. Pure. So a caller finds a wrong parameter before Meta does, whose own answer names neither part nor place.

Sources: Meta's "Message templates, components", "Template messages", "Call button messages", "Tap target URL title
override", "Authentication templates", "Coupon code templates", "Error codes" (132000, 132005, 132012, 132018).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from wabus_events import Body, Button, Card, Header, Template

from wabus_whatsapp.templates.render_input import (
    CardValues,
    Coded,
    Dated,
    HeaderValues,
    RenderBody,
    TapTarget,
    Value,
    Values,
)

HEADER_MAX = 60  # characters of the text with its parameters filled in; all of these from the sources above
BODY_MAX = 1024
BODY_ALONE_MAX = 32_768  # where the template is nothing but its body (chatwoot#6435)
URL_MAX = 2000
COUPON_MAX = 20  # since December 2025; 15 before
CODE_MAX = 15  # any parameter of an AUTHENTICATION template (authgear#3356)
CALL_MINUTES_MAX = 43_200  # 30 days
MEDIA = {"IMAGE", "VIDEO", "DOCUMENT", "GIF"}
NEED_ACTION = {"MPM": "products", "ORDER_DETAILS": "order"}
TAKE_ACTION = {"FLOW", "CATALOG", *NEED_ACTION}  # an SPM button takes none (frappe_whatsapp#188)

_PLACE = re.compile(r"\{\{\s*(\w+)\s*\}\}")
_UNSENDABLE = re.compile(r"[\n\r\t]| {5,}")

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Wrong:
    """One thing to repair. `part` is `header`, `body`, `buttons[0]`, `carousel[1].body`, …"""

    part: str
    parameter: str | None
    problem: str
    """`missing`, `extra`, `empty`, `too_long`, `unsendable` or `invalid`."""
    message: str


class CannotRender(Exception):
    """What was given does not fit the template."""

    def __init__(self, wrong: Sequence[Wrong]) -> None:
        super().__init__(f"{len(wrong)} things to repair")
        self.wrong = wrong


@dataclass(frozen=True, slots=True)
class Rendered:
    """`header`, `body`, `footer`, `buttons` and `cards` as a recipient sees them; `components` for the Cloud API."""

    header: Json | None
    body: str | None
    footer: str | None
    buttons: list[Json]
    cards: list[Json]
    components: list[Json]


def render(template: Template, given: RenderBody) -> Rendered:
    """Fill a template in. Raises `CannotRender` with everything that is wrong, not just the first."""
    authenticates = template.category == "AUTHENTICATION"
    filling = _Filling(template.parameter_format == "NAMED", parameter_max=CODE_MAX if authenticates else None)
    header = filling.header("header", template.header, given.header)
    alone = not (template.header or template.footer or template.buttons or template.other_components)
    body = filling.body("body", template.body, given.body, BODY_ALONE_MAX if alone else BODY_MAX)
    filling.offer(template, given)
    code = filling.code_of(template, given)
    buttons = filling.buttons("buttons", template.buttons, given.buttons, code)
    cards = filling.cards(template.carousel, given.carousel)
    filling.tap_target(given.tap_target)
    if filling.wrong:
        raise CannotRender(filling.wrong)
    footer = template.footer.text if template.footer else None
    return Rendered(header, body, footer, buttons, cards, filling.components)


@dataclass(slots=True)
class _Filling:
    named: bool
    wrong: list[Wrong] = field(default_factory=list[Wrong])
    components: list[Json] = field(default_factory=list[Json])
    parameter_max: int | None = None
    """Characters of any parameter of this template's category, where Meta limits them."""

    def header(self, part: str, header: Header | None, given: HeaderValues | None) -> Json | None:
        if header is None:
            if given is not None and given.model_fields_set:
                self._extra(part, None, "This template has no header.")
            return None
        asked = {"TEXT": "text", "LOCATION": "location", "PRODUCT": "product"}.get(header.format, header.format.lower())
        for name in sorted(given.model_fields_set if given else ()):
            if name != asked and getattr(given, name):
                self._extra(part, name, f"The header of this template is of the format {header.format}.")
        value = getattr(given, asked, None) if given else None
        if header.format == "TEXT":
            text = self._text(part, header.text or "", header.variables, value, HEADER_MAX, "header")
            return {"format": "TEXT", "text": text}
        if header.format not in MEDIA and asked not in ("location", "product"):
            return {"format": header.format}
        if value is None:
            self._say(part, asked, "missing", f"The header needs a {asked}.")
            return None
        shown = value.model_dump(exclude_none=True)
        if header.format in MEDIA:
            self._check_media(part, asked, shown)
            if asked != "document" and shown.pop("filename", None) is not None:
                self._extra(part, "filename", "Only a document has a file name.")
        self.components.append({"type": "header", "parameters": [{"type": asked, asked: shown}]})
        return {"format": header.format, asked: shown}

    def body(self, part: str, body: Body | None, given: Values | None, longest: int = BODY_MAX) -> str | None:
        return self._text(part, body.text if body else "", body.variables if body else [], given, longest, "body")

    def offer(self, template: Template, given: RenderBody) -> None:
        offer, expires = template.limited_time_offer, given.offer_expires_at_ms
        if offer is None or not offer.has_expiration:
            if expires is not None:
                self._extra("limited_time_offer", None, "This template has no offer that expires.")
        elif expires is None:
            message = "The offer needs the time at which it expires, in milliseconds since 1970."
            self._say("limited_time_offer", "expiration_time_ms", "missing", message)
        else:
            about = {"type": "limited_time_offer", "limited_time_offer": {"expiration_time_ms": expires}}
            self.components.append({"type": "limited_time_offer", "parameters": [about]})

    def tap_target(self, target: TapTarget | None) -> None:
        """Where a tap on the message itself leads."""
        if target is None:
            return
        if not is_address(target.url):
            self._say("tap_target", "url", "invalid", "The link must be a whole http or https address.")
        about = {"type": "tap_target_configuration", "tap_target_configuration": [target.model_dump()]}
        self.components.append({"type": "tap_target_configuration", "parameters": [about]})

    def code_of(self, template: Template, given: RenderBody) -> str | None:
        """The one-time password of an AUTHENTICATION template: its button takes the same as its body."""
        values = list(given.body.values()) if isinstance(given.body, dict) else given.body or []
        return _shown(values[0]) if template.category == "AUTHENTICATION" and len(values) == 1 else None

    def buttons(
        self, part: str, buttons: Sequence[Button], given: Mapping[int, str | Json], code: str | None
    ) -> list[Json]:
        for index in sorted(given.keys() - set(range(len(buttons)))):
            self._extra(f"{part}[{index}]", None, f"This template has {len(buttons)} buttons, counted from 0.")
        return [
            self._button(f"{part}[{index}]", index, button, given.get(index), code)
            for index, button in enumerate(buttons)
        ]

    def cards(self, cards: Sequence[Card], given: Sequence[CardValues]) -> list[Json]:
        for index in range(len(cards), len(given)):
            self._extra(f"carousel[{index}]", None, f"This template has {len(cards)} cards.")
        shown: list[Json] = []
        parts: list[Json] = []
        for index, card in enumerate(cards):
            one = given[index] if index < len(given) else CardValues()
            part, filling = f"carousel[{index}]", _Filling(self.named, self.wrong, parameter_max=self.parameter_max)
            shown.append(
                {
                    "header": filling.header(f"{part}.header", card.header, one.header),
                    "body": filling.body(f"{part}.body", card.body, one.body),
                    "buttons": filling.buttons(f"{part}.buttons", card.buttons, one.buttons, None),
                }
            )
            parts.append({"card_index": index, "components": filling.components})
        if parts:
            self.components.append({"type": "carousel", "cards": parts})
        return shown

    def _button(self, part: str, index: int, button: Button, given: str | Json | None, code: str | None) -> Json:
        shown: Json = {"type": button.type, "text": button.text}
        takes_code = button.type in ("OTP", "COPY_CODE")
        if button.type == "URL" and button.variables:
            suffix = self._one(part, given or code, button.variables[0], URL_MAX)
            if suffix is not None:
                self._add(index, "url", {"type": "text", "text": suffix})
                shown["url"] = _filled(button.url or "", lambda _: suffix)
        elif takes_code:
            found = self._one(part, given or code, "code", COUPON_MAX if button.type == "COPY_CODE" else CODE_MAX)
            if found is not None and button.type == "OTP":
                self._add(index, "url", {"type": "text", "text": found})
            elif found is not None:
                self._add(index, "copy_code", {"type": "coupon_code", "coupon_code": found})
            shown["code"] = found
        elif button.type == "QUICK_REPLY" and isinstance(given, str):
            self._add(index, "quick_reply", {"type": "payload", "payload": given})
        elif button.type == "VOICE_CALL" and given is not None:
            self._call(part, index, given)
        elif button.type in TAKE_ACTION and isinstance(given, dict):
            self._add(index, button.type.lower(), {"type": "action", "action": given})
        elif button.type in NEED_ACTION:
            message = f"This button needs an action with the {NEED_ACTION[button.type]} that it shows."
            self._say(part, "action", "missing", message)
        elif given is not None:
            self._extra(part, None, f"A button of the type {button.type} takes nothing here.")
        if button.type == "URL" and not button.variables:
            shown["url"] = button.url
        if button.phone_number:
            shown["phone_number"] = button.phone_number
        return shown

    def _call(self, part: str, index: int, given: str | Json) -> None:
        """For how long a call button works, and what its call's webhook will say."""
        about: Json = {"payload": given} if isinstance(given, str) else given
        for name in sorted(about.keys() - {"ttl_minutes", "payload"}):
            self._extra(part, name, "A call button takes ttl_minutes and payload.")
        minutes, payload = about.get("ttl_minutes"), about.get("payload")
        if "ttl_minutes" in about and (type(minutes) is not int or not 1 <= minutes <= CALL_MINUTES_MAX):
            self._say(part, "ttl_minutes", "invalid", f"Give minutes from 1 to {CALL_MINUTES_MAX}.")
        if "payload" in about and not isinstance(payload, str):
            self._say(part, "payload", "invalid", "The payload is a text.")
        parameters = [{"type": name, name: about[name]} for name in ("ttl_minutes", "payload") if name in about]
        if parameters:
            self._add(index, "voice_call", *parameters)

    def _add(self, index: int, kind: str, *parameters: Json) -> None:
        self.components.append({"type": "button", "sub_type": kind, "index": str(index), "parameters": [*parameters]})

    def _one(self, part: str, given: str | Json | None, name: str, longest: int) -> str | None:
        """A button's only parameter."""
        longest = min(longest, self.parameter_max or longest)
        if given is None:
            self._say(part, name, "missing", "This button needs its parameter.")
        elif not isinstance(given, str):
            self._say(part, name, "invalid", "This button's parameter is a text.")
        elif self._is_sendable(part, name, given):
            if len(given) <= longest:
                return given
            self._say_too_long(part, name, len(given), longest)
        return None

    def _text(
        self, part: str, text: str, variables: Sequence[str], given: Values | None, longest: int, kind: str
    ) -> str:
        """The text with its parameters, which become a component if there are any."""
        values = self._by_name(part, variables, given)
        for name in variables:
            if name not in values:
                self._say(part, name, "missing", f"The parameter {{{{{name}}}}} is missing.")
            elif self._is_sendable(part, name, shown := _shown(values[name])):
                most = self.parameter_max
                if most and len(shown) > most:
                    self._say_too_long(part, name, len(shown), most)
        for name in values.keys() - set(variables):
            self._extra(part, name, f"The {kind} of this template has no parameter {{{{{name}}}}}.")
        if not variables or values.keys() != set(variables):
            return text
        final = _filled(text, lambda name: _shown(values[name]))
        if len(final) > longest:
            message = f"With its parameters the text has {len(final)} characters; at most {longest} are allowed."
            self._say(part, None, "too_long", message)
        names = variables if self.named else sorted(variables, key=_place)
        own = [{"parameter_name": name} if self.named else dict[str, str]() for name in names]
        parameters = [{**_parameter(values[name]), **more} for name, more in zip(names, own, strict=True)]
        self.components.append({"type": kind, "parameters": parameters})
        return final

    def _by_name(self, part: str, variables: Sequence[str], given: Values | None) -> dict[str, Value]:
        if given is None:
            return {}
        if isinstance(given, dict):
            return given
        if self.named and given:
            self._say(part, None, "invalid", "The parameters of this template have names: give an object.")
            return {}
        ordered = sorted(variables, key=_place)
        rest = [str(number) for number in range(len(ordered) + 1, len(given) + 1)]
        return dict(zip([*ordered, *rest], given, strict=False))

    def _is_sendable(self, part: str, name: str, text: str) -> bool:
        """Meta refuses what is empty, and new lines, tabs and more than four spaces in a row."""
        if not text.strip():
            self._say(part, name, "empty", "A parameter can't be empty.")
            return False
        if _UNSENDABLE.search(text):
            message = "A parameter can't have new lines, tabs or more than four spaces in a row."
            self._say(part, name, "unsendable", message)
            return False
        return True

    def _check_media(self, part: str, asked: str, shown: Json) -> None:
        if ("link" in shown) == ("id" in shown):
            self._say(part, asked, "invalid", "Give either the id of an uploaded file or a link to one.")
        elif "link" in shown and not is_address(shown["link"]):
            self._say(part, asked, "invalid", "The link must be a whole http or https address.")

    def _say_too_long(self, part: str, parameter: str, length: int, most: int) -> None:
        self._say(part, parameter, "too_long", f"It has {length} characters; at most {most} are allowed.")

    def _extra(self, part: str, parameter: str | None, message: str) -> None:
        self._say(part, parameter, "extra", message)

    def _say(self, part: str, parameter: str | None, problem: str, message: str) -> None:
        self.wrong.append(Wrong(part, parameter, problem, message))


def _shown(value: Value) -> str:
    match value:
        case str():
            return value
        case Coded():
            return value.currency.fallback_value
        case Dated():
            return value.date_time.fallback_value


def _parameter(value: Value) -> Json:
    return {"type": "text", "text": value} if isinstance(value, str) else value.model_dump()


def _filled(text: str, value_of: Callable[[str], str]) -> str:
    return _PLACE.sub(lambda found: value_of(found[1]), text)


def _place(name: str) -> tuple[int, str]:
    return len(name), name


def is_address(link: str) -> bool:
    """Whether a text is a whole http or https address."""
    try:
        parts = urlsplit(link)
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
