"""The components of a template message against the template itself: all that Meta would refuse in them. Pure.

The components are read back into what `render` takes, so there is one set of rules for whoever fills a template in and
for whoever has done it themselves. Sources: Meta, "Template messages", "Template messages, components".
"""

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import ValidationError
from wabus_events import Template

from wabus_whatsapp.templates.render import CannotRender, Rendered, Wrong, render
from wabus_whatsapp.templates.render_input import RenderBody

Json = dict[str, Any]
Object = Mapping[str, Any]

HEADERS = ("image", "video", "gif", "document", "location", "product")
VALUES_OF_BUTTON = {"text": "text", "payload": "payload", "coupon_code": "coupon_code", "action": "action"}


class _Reading:
    """What of a message could be read, and what was wrong with the rest."""

    def __init__(self) -> None:
        self.wrong: list[Wrong] = []
        self.buttons_given: set[str] = set()
        """Their places, such as `buttons[0]`."""

    def say(self, part: str, parameter: str | None, problem: str, message: str) -> None:
        self.wrong.append(Wrong(part, parameter, problem, message))


def check_parameters(template: Template, components: Sequence[Object]) -> Rendered:
    """What the recipient will see. Raises `CannotRender` with everything that is wrong, by part and parameter."""
    reading = _Reading()
    given = _card(reading, "", components)
    given |= _offer(reading, components) | _tap_target(components)
    cards = next((each.get("cards") for each in components if _kind(each) == "carousel"), None)
    if cards is not None:
        given["carousel"] = [_of_card(reading, at, card) for at, card in enumerate(_objects(cards))]
    try:
        body = RenderBody.model_validate(given)
    except ValidationError as invalid:
        for part, parameter in _places(invalid).items():
            reading.say(part, parameter, "invalid", "It is not of the form that Meta takes.")
        raise CannotRender(reading.wrong) from None
    try:
        rendered = render(template, body)
    except CannotRender as cannot:
        raise CannotRender([*reading.wrong, *cannot.wrong]) from None
    _say_unsent_buttons(reading, "", rendered.components)
    if reading.wrong:
        raise CannotRender(reading.wrong)
    return rendered


def _places(invalid: ValidationError) -> dict[str, str | None]:
    """The parts that have not the right form, and which parameter of each, counted from 1, where that can be said."""
    found: dict[str, str | None] = {}
    for error in invalid.errors(include_input=False, include_url=False):
        part, *inside = error["loc"]
        number = next((str(each + 1) for each in inside if isinstance(each, int)), None)
        found[str(part)] = found.get(str(part)) or number
    return found


def _of_card(reading: _Reading, at: int, card: Object) -> Json:
    return _card(reading, f"carousel[{at}].", _objects(card.get("components")))


def _card(reading: _Reading, path: str, components: Sequence[Object]) -> Json:
    """Header, body and buttons as `render` takes them."""
    given: Json = {}
    buttons: dict[str, Any] = {}
    seen: set[str] = set()
    for component in components:
        kind = _kind(component)
        if kind != "button" and kind in seen:
            reading.say(f"{path}{_named(kind)}", None, "extra", "This component is given twice.")
        seen.add(kind)
        parameters = _objects(component.get("parameters"))
        match kind:
            case "header":
                given["header"] = _header(parameters)
            case "body":
                given["body"] = _values(parameters)
                names = [each.get("parameter_name") for each in parameters if "parameter_name" in each]
                if len(names) > len({*map(str, names)}):
                    reading.say(f"{path}body", None, "extra", "A parameter is given twice.")
            case "button":
                _button(reading, path, component, parameters, buttons)
            case "carousel" | "limited_time_offer" | "tap_target_configuration" if not path:
                pass
            case _:
                reading.say(f"{path}{_named(kind)}", None, "extra", "A template has no such component.")
    if buttons:
        given["buttons"] = buttons
    return given


def _header(parameters: Sequence[Object]) -> Json:
    kinds = [each.get("type") for each in parameters]
    if len(kinds) == 1 and kinds[0] in HEADERS:
        return {str(kinds[0]): parameters[0].get(str(kinds[0]))}
    return {"text": _values(parameters)} if parameters else {}


def _values(parameters: Sequence[Object]) -> list[Any] | dict[str, Any]:
    """By name where every one has a name, else in their order."""
    values = [_value(each) for each in parameters]
    names = [each.get("parameter_name") for each in parameters]
    if names and all(isinstance(name, str) for name in names):
        return dict(zip(cast(list[str], names), values, strict=True))
    return values


def _value(parameter: Object) -> Any:
    match parameter.get("type"):
        case "text":
            return parameter.get("text")
        case "currency" | "date_time" as kind:
            return {"type": kind, kind: parameter.get(kind)}
        case _:
            return None  # no text: the model refuses it


def _button(
    reading: _Reading, path: str, component: Object, parameters: Sequence[Object], buttons: dict[str, Any]
) -> None:
    index = str(component.get("index"))
    part = f"{path}buttons[{index}]" if index.isascii() and index.isdigit() and len(index) < 3 else f"{path}buttons"
    if part.endswith("buttons"):
        reading.say(part, "index", "invalid", "A button is named by its index, from 0.")
    elif index in buttons:
        reading.say(part, None, "extra", "This component is given twice.")
    elif len(parameters) > 1 and str(component.get("sub_type")).lower() != "voice_call":
        reading.say(part, None, "extra", "A button takes one parameter.")
    elif parameters:
        value = _value_of_button(component, parameters)
        reading.buttons_given.add(part)
        buttons[index] = value
        if value == "":
            reading.say(part, None, "empty", "A parameter can't be empty.")


def _value_of_button(component: Object, parameters: Sequence[Object]) -> Any:
    if str(component.get("sub_type")).lower() == "voice_call":
        return {str(each.get("type")): each.get(str(each.get("type"))) for each in parameters}
    return parameters[0].get(VALUES_OF_BUTTON.get(str(parameters[0].get("type")), ""), "")


def _offer(reading: _Reading, components: Sequence[Object]) -> Json:
    for component in components:
        if _kind(component) == "limited_time_offer":
            offers = [each.get("limited_time_offer") for each in _objects(component.get("parameters"))]
            expires = offers[0].get("expiration_time_ms") if offers and isinstance(offers[0], dict) else None
            if expires is None:
                reading.say("limited_time_offer", "expiration_time_ms", "missing", "The offer needs its end.")
            return {"offer_expires_at_ms": expires}
    return {}


def _tap_target(components: Sequence[Object]) -> Json:
    for component in components:
        if _kind(component) == "tap_target_configuration":
            found = [each.get("tap_target_configuration") for each in _objects(component.get("parameters"))]
            targets = _objects(found[0]) if found else ()
            return {"tap_target": dict(targets[0])} if targets else {}
    return {}


def _say_unsent_buttons(reading: _Reading, path: str, rendered: Sequence[Json]) -> None:
    """A button whose parameter `render` could fill in by itself, and Meta can not."""
    for component in rendered:
        match component:
            case {"type": "button", "index": index} if f"{path}buttons[{index}]" not in reading.buttons_given:
                reading.say(f"{path}buttons[{index}]", None, "missing", "This button needs its parameter.")
            case {"type": "carousel", "cards": cards}:
                for at, card in enumerate(cards):
                    _say_unsent_buttons(reading, f"carousel[{at}].", card["components"])
            case _:
                pass


def _named(kind: str) -> str:
    return kind if kind.isascii() and kind.replace("_", "").isalpha() and len(kind) < 40 else "components"


def _kind(component: Object) -> str:
    return str(component.get("type")).lower()


def _objects(value: Any) -> list[Object]:
    return [each for each in cast(list[Any], value) if isinstance(each, dict)] if isinstance(value, list) else []
