"""The components of a template, typed: each of Meta's component and button types finds its place here.

Pure. Source: Meta's "Message templates, components", "Carousel templates", "Limited-time offer templates",
"Authentication templates". What is not named here, or not of the shape it should have, is kept as it came.
"""

import re
from typing import Any, TypeGuard

from wabus_events import Body, Button, Card, Footer, Header, LimitedTimeOffer

_VARIABLE = re.compile(r"\{\{\s*(\w+)\s*\}\}")

Component = dict[str, Any]


def variables_in(text: str | None) -> list[str]:
    """The placeholders of a text in the order of their first use: `{{1}}`, `{{first_name}}`.

    >>> variables_in("{{name}}, your code is {{1}} ({{1}})")
    ['name', '1']
    """
    return list(dict.fromkeys(_VARIABLE.findall(text))) if text and "{{" in text else []


class Parts:
    """A template's components, sorted into the typed ones (the first of each) and all the others."""

    def __init__(self) -> None:
        self.header: Header | None = None
        self.body: Body | None = None
        self.footer: Footer | None = None
        self.buttons: list[Button] = []
        self.other: list[Component] = []
        self.carousel: list[Card] = []
        self.limited_time_offer: LimitedTimeOffer | None = None

    def take(self, component: Component) -> None:
        has_text = isinstance(component.get("text"), str)
        match str(component.get("type")).upper():
            case "HEADER" if self.header is None and isinstance(component.get("format"), str):
                self.header = _header(component)
            case "BODY" if self.body is None and has_text:
                self.body = _body(component)
            case "FOOTER" if self.footer is None and has_text:
                minutes = _whole(component.get("code_expiration_minutes"))
                self.footer = Footer(raw=component, text=component["text"], code_expiration_minutes=minutes)
            case "BUTTONS" if not self.buttons and component.get("buttons") and are_objects(component["buttons"]):
                self.buttons = [_button(button) for button in component["buttons"]]
                if component.keys() - {"type", "buttons"}:
                    self.other.append({key: value for key, value in component.items() if key != "buttons"})
            case "CAROUSEL" if not self.carousel and are_objects(component.get("cards")):
                self.carousel = [_card(card) for card in component["cards"]]
                self.other.append(component)
            case "LIMITED_TIME_OFFER" if self.limited_time_offer is None:
                self.limited_time_offer = _offer(component)
                self.other.append(component)
            case _:
                self.other.append(component)

    def parameter_format(self) -> str:
        """What the placeholders look like, for a listing that does not say."""
        used = [*(self.header.variables if self.header else ()), *(self.body.variables if self.body else ())]
        return "NAMED" if any(not variable.isdigit() for variable in used) else "POSITIONAL"


def are_objects(value: Any) -> TypeGuard[list[Component]]:
    return isinstance(value, list) and all(isinstance(inner, dict) for inner in value)


def _header(component: Component) -> Header:
    shown = _text(component, "text")
    variables = variables_in(shown)
    examples = _examples(component, "header_text", variables)
    handles = _example(component).get("header_handle")
    if isinstance(handles, list) and handles and isinstance(handles[0], str):
        examples["media"] = handles[0]
    return Header(raw=component, format=component["format"].upper(), text=shown, variables=variables, examples=examples)


def _body(component: Component) -> Body:
    variables = variables_in(component["text"])
    return Body(
        raw=component,
        text=component["text"],
        variables=variables,
        examples=_examples(component, "body_text", variables),
        security_recommendation=component.get("add_security_recommendation") is True,
    )


def _button(raw: Component) -> Button:
    example = raw.get("example")
    if isinstance(example, list):
        example = example[0] if example else None
    flow_id = _whole(raw.get("flow_id"))
    return Button(
        raw=raw,
        type=(_text(raw, "type") or "UNKNOWN").upper(),
        text=_text(raw, "text"),
        url=_text(raw, "url"),
        phone_number=_text(raw, "phone_number"),
        variables=variables_in(_text(raw, "url")),
        example=example if isinstance(example, str) else None,
        otp_type=_text(raw, "otp_type"),
        flow_id=str(flow_id) if flow_id is not None else _text(raw, "flow_id"),
        flow_action=_text(raw, "flow_action"),
        navigate_screen=_text(raw, "navigate_screen"),
    )


def _card(raw: Component) -> Card:
    parts = Parts()
    components = raw.get("components")
    for component in components if are_objects(components) else ():
        if str(component.get("type")).upper() != "CAROUSEL":  # a card has no cards
            parts.take(component)
    return Card(raw=raw, header=parts.header, body=parts.body, buttons=parts.buttons)


def _offer(raw: Component) -> LimitedTimeOffer | None:
    offer = raw.get("limited_time_offer")
    if not isinstance(offer, dict) or (text := _text(offer, "text")) is None:
        return None
    return LimitedTimeOffer(raw=raw, text=text, has_expiration=offer.get("has_expiration") is True)


def _examples(component: Component, key: str, variables: list[str]) -> dict[str, str]:
    """Variable by variable: of named ones Graph gives pairs, of positional ones a list, or a list in a list."""
    given = _example(component)
    if not given:
        return {}
    named = given.get(f"{key}_named_params")
    if are_objects(named):
        pairs = [(pair.get("param_name"), pair.get("example")) for pair in named]
        return {name: example for name, example in pairs if isinstance(name, str) and isinstance(example, str)}
    values = given.get(key)
    if isinstance(values, list) and values and isinstance(values[0], list):
        values = values[0]
    if not isinstance(values, list):
        return {}
    ordered = (
        sorted(variables, key=lambda number: (len(number), number))
        if all(variable.isdecimal() for variable in variables)
        else variables
    )
    return {name: example for name, example in zip(ordered, values, strict=False) if isinstance(example, str)}


def _example(component: Component) -> Component:
    example = component.get("example")
    return example if isinstance(example, dict) else {}


def _text(raw: Component, key: str) -> str | None:
    value = raw.get(key)
    return value if isinstance(value, str) else None


def _whole(value: Any) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None
