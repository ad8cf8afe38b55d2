"""Messages with dates: what somebody sent and received in some weeks, given one by one or made up by a seed. Pure.

The made-up ones are people who write and are answered, are written to within their window and outside of it, come by
ads, ask for codes, and get offers; a share of it is delivered, read and clicked.
"""

import random
from collections.abc import Iterator, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Annotated, Any
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, model_validator

Json = dict[str, Any]

MESSAGES_MAX = 50_000  # of one order
BLOCK_REASONS = (
    *("NO_LONGER_NEEDED", "NO_REASON", "NO_REASON_GIVEN", "NO_SIGN_UP", "OFFENSIVE_MESSAGES", "OTHER"),
    *("OTP_DID_NOT_REQUEST", "SPAM", "UNKNOWN_BLOCK_REASON"),
)
"""Why people block: "Template Comparison", Response contents."""
KINDS = ("service", "utility", "utility_in_window", "marketing", "authentication", "ad")
MIX = {"service": 4.0, "utility": 3.0, "utility_in_window": 1.0, "marketing": 2.0, "authentication": 1.0, "ad": 0.3}

Seconds = Annotated[float, Field(ge=0, le=40 * 86_400)]


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", populate_by_name=True)


class ButtonClick(Strict):
    button: int = Field(default=0, ge=0)
    """Which of the template's buttons, from 0."""
    after: Seconds = 60
    """Seconds since the message was taken."""
    times: int = Field(default=1, ge=1, le=100)


class TemplateName(Strict):
    name: str
    language: str = "en_US"


class Message(Strict):
    """One message, to a person or from them. A time without a zone is of the account's own zone."""

    at: datetime | float
    phone_number_id: str
    to: str | None = None
    """The number or BSUID of who gets it."""
    sender: str | None = Field(default=None, alias="from")
    """The number or BSUID of who wrote it."""
    text: str = "Does it come in another color?"
    ad: bool = False
    """ "messages webhook reference", `referral`: they came by an ad that clicks to WhatsApp."""
    template: TemplateName | None = None
    edge: str = Field(default="messages", pattern="^(messages|marketing_messages)$")
    body: Json = Field(default_factory=dict[str, Any])
    """Of `/marketing_messages`: bid_spec, product_policy and what else stands beside the template."""
    opaque: str | None = None
    delivered: Seconds | None = 1.0
    """Seconds until it arrives; null: never, and nobody is told why. Longer than its template's validity is never."""
    read: Seconds | None = None
    skips_delivered: bool = False
    """Whether only `read` is told, as when the chat is open already."""
    failed: int | None = None
    """The code that it fails with, instead of being delivered."""
    clicks: list[ButtonClick] = Field(default_factory=list[ButtonClick])
    blocks: str | None = None
    """Why they block the business after they got it."""
    id: str | None = None

    @model_validator(mode="after")
    def _is_one_thing(self) -> "Message":
        if (self.to is None) == (self.sender is None):
            raise ValueError("a message has either `to` or `from`")
        if self.blocks is not None and self.blocks not in BLOCK_REASONS:
            raise ValueError(f"blocks is one of {', '.join(BLOCK_REASONS)}")
        return self


class Number(Strict):
    """What is made up for one business number."""

    phone_number_id: str
    a_day: float = Field(default=20, ge=0, le=5000)
    """How many conversations begin on a day, on average."""
    people: int = Field(default=100, ge=1, le=5_000)
    calling_codes: list[str] = Field(default_factory=lambda: ["49", "44", "55"])
    """Of the people, in turn."""
    mix: dict[str, float] = Field(default_factory=MIX.copy)
    templates: dict[str, TemplateName] = Field(default_factory=dict[str, TemplateName])
    """By `utility`, `marketing` and `authentication`; without one there are none of these."""
    edge: str = Field(default="messages", pattern="^(messages|marketing_messages)$")
    """Of marketing."""
    delivered: float = Field(default=0.95, ge=0, le=1)
    read: float = Field(default=0.6, ge=0, le=1)
    """Of what is delivered."""
    clicked: float = Field(default=0.1, ge=0, le=1)
    """Of what is read."""
    blocked: float = Field(default=0, ge=0, le=1)

    @model_validator(mode="after")
    def _is_known(self) -> "Number":
        if strange := self.mix.keys() - {*KINDS}:
            raise ValueError(f"a mix is of {', '.join(KINDS)}; not of {', '.join(sorted(strange))}")
        return self


class Order(Strict):
    """Weeks that are made up, from the first day to the last, both of each account's own zone."""

    seed: int = 1
    first: date = Field(alias="from")
    last: date = Field(alias="to")
    numbers: list[Number]

    @model_validator(mode="after")
    def _has_an_end(self) -> "Order":
        if not 0 <= (self.last - self.first).days <= 400:
            raise ValueError("`to` is not before `from`, and at most 400 days later")
        return self


Buttons = Mapping[tuple[str, str, str], int]
"""How many buttons a template has, by the number's id, name and language."""


def made_up(order: Order, zones: Mapping[str, ZoneInfo], buttons: Buttons) -> list[Message]:
    """The messages of an order, the same ones for the same seed. `zones` are by the number's id.

    Raises ValueError for more than `MESSAGES_MAX`.
    """
    found: list[Message] = []
    for place, number in enumerate(order.numbers):
        chance = random.Random(f"{order.seed}:{place}")  # noqa: S311
        people = _people(number, chance)
        days = (order.last - order.first).days + 1
        for day in (order.first + timedelta(days=each) for each in range(days)):
            for _ in range(_about(number.a_day, chance)):
                midnight = datetime(day.year, day.month, day.day, tzinfo=zones[number.phone_number_id]).timestamp()
                at = midnight + chance.randrange(86_400)
                found += _conversation(number, at, chance.choice(people), chance, buttons)
                if len(found) > MESSAGES_MAX:
                    raise ValueError(f"that is more than {MESSAGES_MAX:,} messages")
    return found


def _people(number: Number, chance: random.Random) -> list[str]:
    codes = number.calling_codes
    return [f"{codes[each % len(codes)]}{chance.randrange(10**8, 10**9)}" for each in range(number.people)]


def _about(mean: float, chance: random.Random) -> int:
    """A whole number of that mean: between half and one and a half of it."""
    wanted = mean * chance.uniform(0.5, 1.5)
    return int(wanted) + (chance.random() < wanted % 1)


def _conversation(number: Number, at: float, person: str, chance: random.Random, buttons: Buttons) -> Iterator[Message]:
    kinds = [kind for kind in KINDS if number.mix.get(kind) and (kind in ("service", "ad") or _template(number, kind))]
    if not kinds:
        return
    kind = chance.choices(kinds, [number.mix[kind] for kind in kinds])[0]
    if kind in ("service", "ad", "utility_in_window"):
        yield Message.model_validate(
            {"at": at, "phone_number_id": number.phone_number_id, "from": person, "ad": kind == "ad"}
        )
        at += chance.uniform(5, 3600)
    if kind in ("service", "ad"):
        for _ in range(chance.randint(1, 4)):
            yield _sent(number, at, person, None, chance, buttons)
            at += chance.uniform(5, 3600)
    if kind == "ad":  # what is free for three days, also where the window of a day has closed meanwhile
        kinds = [each for each in ("utility", "marketing") if _template(number, each)]
        if kinds:
            yield _sent(number, at + chance.uniform(0, 80 * 3600), person, chance.choice(kinds), chance, buttons)
    elif kind != "service":
        yield _sent(number, at, person, kind, chance, buttons)


def _sent(number: Number, at: float, person: str, kind: str | None, chance: random.Random, buttons: Buttons) -> Message:
    template = _template(number, kind) if kind else None
    count = buttons.get((number.phone_number_id, template.name, template.language), 0) if template else 0
    arrives = chance.random() < number.delivered
    is_read = arrives and chance.random() < number.read
    delivered = chance.uniform(0.5, 30)
    read = delivered + chance.expovariate(1 / 1800)
    is_clicked = is_read and count > 0 and chance.random() < number.clicked
    click = {"button": chance.randrange(count or 1), "after": min(read + 20, 21 * 86_400)}
    return Message.model_validate(
        {
            "at": at,
            "phone_number_id": number.phone_number_id,
            "to": person,
            "template": template,
            "edge": number.edge if kind == "marketing" else "messages",
            "delivered": delivered if arrives else None,
            "read": min(read, 20 * 86_400) if is_read else None,
            "clicks": [click] if is_clicked else [],
            "blocks": chance.choice(BLOCK_REASONS) if kind and arrives and chance.random() < number.blocked else None,
        }
    )


def _template(number: Number, kind: str) -> TemplateName | None:
    return number.templates.get("utility" if kind == "utility_in_window" else kind)


def moments(messages: Sequence[Message], zones: Mapping[str, ZoneInfo]) -> list[tuple[float, Message]]:
    """Each message with its Unix time, the oldest first; of the same moment in the order given."""
    found = [(_moment(message, zones[message.phone_number_id]), message) for message in messages]
    return sorted(found, key=lambda each: each[0])


def _moment(message: Message, zone: ZoneInfo) -> float:
    at = message.at
    if isinstance(at, datetime):
        return (at if at.tzinfo else at.replace(tzinfo=zone)).timestamp()
    return at
