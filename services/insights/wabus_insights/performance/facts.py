"""What events say that counts: messages that went out, what became of them, what people did then. Pure."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any, NamedTuple

from wabus_events import (
    MarketingPreferenceChanged,
    MessageAccepted,
    MessageReceived,
    MessageReported,
    MessageStatusChanged,
    OptedOut,
    SendRequested,
    SendSettled,
    WabaEvent,
)
from wabus_whatsapp.ids import message_id, template_key
from wabus_whatsapp.prices.markets import place_of
from wabus_whatsapp.window import Opens, opened_by

from wabus_insights.performance.message import (
    BIT_OF_STATUS,
    GOT,
    WAS_READ,
    Acceptance,
    Bit,
    Message,
    Place,
    Pricing,
)

PLACES_REMEMBERED = 50_000
_LONGEST_WORD = 64  # characters of a word of Meta's that is kept
_DEAREST = Decimal(10) ** 9

Person = Callable[[str, str | None, str | None], "Who"]
"""Names a person: by an organisation, their number and their user id."""

Day = Callable[[str, datetime], date]
"""The day of a moment by the clocks of an account's place: by its WABA id."""


class Who(NamedTuple):
    """A person as the tables know them: HMACs, of which at least one is there unless it is a group."""

    number_id: str | None
    user_id: str | None


NOBODY = Who(None, None)


class Asked(NamedTuple):
    """A template that somebody wants to be sent: which one it is, is told here and nowhere later."""

    send_id: str
    org_id: str
    waba_id: str
    template_id: str
    version: int
    name: str
    language: str
    category: str
    experiment_id: str
    arm: str
    at: datetime
    expires_at: datetime


class Taken(NamedTuple):
    """Meta has taken a message; what was asked for is added by the send's id, where there is one."""

    message: Message
    send_id: str | None
    who: Who


class Reported(NamedTuple):
    """Something of a message that went out: a status, or that a button of it was pressed."""

    message: Message
    who: Who = NOBODY
    """To whom it did not come, where it has failed: what they did may count for another template then."""


class Acted(NamedTuple):
    """A person wrote, or wants no more marketing."""

    org_id: str
    waba_id: str
    phone_number_id: str
    who: Who
    bit: Bit
    """`REPLIED` or `STOPPED`."""
    at: datetime


Fact = Asked | Taken | Reported | Acted


def facts_of(event: WabaEvent, org_id: str, person: Person, day: Day) -> Iterable[Fact]:
    """What an event says that counts; `org_id` is whose it is.

    A value that is not as Meta describes it gives less, never an error.
    """
    if type(event) is not MessageStatusChanged:
        return _other_facts(event, org_id, person, day)
    # Most are statuses: to ask each model whether it is one takes far longer.
    if event.status not in BIT_OF_STATUS or event.of_payment:
        return ()
    failed = event.status == "failed" and not event.group_id
    who = person(org_id, event.wa_id, event.user_id) if failed else NOBODY
    return (Reported(_status(event, org_id), who),)


def _other_facts(event: WabaEvent, org_id: str, person: Person, day: Day) -> Iterator[Fact]:
    match event:  # what there is most of comes first: to find that a model is no other takes long
        case SendRequested(kind="template"):
            yield _asked(event, org_id)
        case MessageAccepted() | MessageReported() | SendSettled():
            yield _taken(event, org_id, person, day)
        case MessageReceived(group_id=None):
            if clicked := _button_of(event.value):
                identity = message_id(org_id, event.phone_number_id, clicked)
                yield Reported(_part(event, org_id, identity, bits=int(Bit.CLICKED)))
            if opened_by(event.message_type) is Opens.YES:
                yield _acted(event, org_id, person, Bit.REPLIED)
        case MarketingPreferenceChanged(category="marketing_messages", choice="stop") | OptedOut():
            yield _acted(event, org_id, person, Bit.STOPPED)
        case _:
            return


def with_asked(taken: Taken, asked: Asked | None) -> Message:
    """The message that was taken, with what was asked for."""
    message, acceptance = taken.message, taken.message.acceptance
    if asked is None or acceptance is None:
        return message
    known = Acceptance(
        acceptance.at,
        acceptance.kind,
        asked.template_id,
        asked.version,
        asked.name,
        asked.language,
        asked.category,
        asked.experiment_id,
        asked.arm,
        *acceptance[9:],
    )
    return message._replace(acceptance=known)


def _status(event: MessageStatusChanged, org_id: str) -> Message:
    bit = BIT_OF_STATUS[event.status]
    number, user = (None, None) if event.group_id else (event.wa_id, event.user_id)
    return Message(
        message_id(org_id, event.phone_number_id, event.wamid),
        org_id,
        event.waba_id,
        event.phone_number_id,
        event.time,
        None,  # by place, for by name takes four times as long, at each status
        _place(number, user),
        int(bit),
        event.time if bit & GOT else None,
        event.time if bit & WAS_READ else None,
        min(event.error_codes, default=0) if bit is Bit.FAILED else None,
        _pricing(event.value, event.time),
    )


def _part(event: MessageReceived, org_id: str, identity: str, bits: int) -> Message:
    return Message(identity, org_id, event.waba_id, event.phone_number_id, event.time, bits=bits)


def _acted(
    event: MessageReceived | MarketingPreferenceChanged | OptedOut, org_id: str, person: Person, bit: Bit
) -> Acted:
    who = person(org_id, event.wa_id, event.user_id)
    return Acted(org_id, event.waba_id, event.phone_number_id, who, bit, event.time)


def _asked(event: SendRequested, org_id: str) -> Asked:
    return Asked(
        event.send_id,
        org_id,
        event.waba_id,
        template_key(event.template_id, event.template_name, event.template_language),
        event.template_version or 0,
        event.template_name or "",
        event.template_language or "",
        event.lane,
        _word(getattr(event, "experiment_id", None)),
        _word(getattr(event, "arm", None)),
        event.time,
        event.expires_at,
    )


def _taken(event: MessageAccepted | MessageReported | SendSettled, org_id: str, person: Person, day: Day) -> Taken:
    who = person(org_id, event.wa_id, event.user_id)
    kind = event.kind or "unknown"
    name, language = _template_in(event.message) if kind == "template" else ("", "")
    template_id = None
    reported = event if type(event) is MessageReported else None
    if reported and kind == "template":
        name, language = reported.template_name or name, reported.template_language or language
        template_id = reported.template_id
    message = Message(
        message_id(org_id, event.phone_number_id, event.wamid),
        org_id,
        event.waba_id,
        event.phone_number_id,
        event.time,
        Acceptance(  # by place, as above
            event.time,
            kind,
            template_key(template_id, name, language),
            0,
            name,
            language,
            "" if kind == "template" else "service",
            "",
            "",
            event.label or "",
            who.number_id,
            who.user_id,
            day(event.waba_id, event.time),
        ),
        _place(event.wa_id, event.user_id),
    )
    return Taken(message, event.send_id if isinstance(event, MessageAccepted | SendSettled) else None, who)


def _template_in(message: Mapping[str, Any] | None) -> tuple[str, str]:
    match message:
        case {"template": {"name": str(name), "language": {"code": str(language)}}}:
            return name, language
        case {"template": {"name": str(name)}}:
            return name, ""
        case _:
            return "", ""


def _button_of(value: Mapping[str, Any]) -> str | None:
    """The message whose quick-reply button was pressed. Meta: "Messages webhook reference", `button`, `context`."""
    match value:
        case {"messages": [{"type": "button", "context": {"id": str(wamid)}}]}:
            return wamid
        case {"messages": [{"interactive": {"type": "button_reply"}, "context": {"id": str(wamid)}}]}:
            return wamid
        case _:
            return None


def _pricing(value: Mapping[str, Any], at: datetime) -> Pricing | None:
    # Asked of each status: a pattern takes six times as long.
    statuses = value.get("statuses")
    if type(statuses) is not list or len(statuses) != 1 or type(statuses[0]) is not dict:
        return None
    pricing = statuses[0].get("pricing")
    if type(pricing) is not dict:
        return None
    billable = pricing.get("billable")
    cost, currency = _cost(pricing["cost"]) if "cost" in pricing else (None, "")
    return Pricing(
        at,
        billable if isinstance(billable, bool) else None,
        _word(pricing.get("pricing_model")),
        _word(pricing.get("category")),
        _word(pricing.get("type")),
        cost,
        currency,
    )


def _cost(told: Any) -> tuple[Decimal | None, str]:
    """The amount that Meta says that the message costs, where it says so: `{"amount": …, "currency": …}`."""
    match told:
        case {"amount": str() | int() | float() as amount, "currency": str(currency)} if not isinstance(amount, bool):
            pass
        case _:
            return None, ""
    try:
        cost = Decimal(str(amount))
    except InvalidOperation:
        return None, ""
    if not cost.is_finite() or not 0 <= cost < _DEAREST:
        return None, ""
    return cost, _word(currency).upper()


def _word(told: Any) -> str:
    """A word of Meta's as it is kept."""
    if not isinstance(told, str):
        return ""
    return told if len(told) <= _LONGEST_WORD and "\x00" not in told else told[:_LONGEST_WORD].replace("\x00", "")


@lru_cache(PLACES_REMEMBERED)
def _place(number: str | None, user_id: str | None) -> Place:
    found = place_of(number, user_id)
    return Place(found.sure and bool(found.country), found.country)
