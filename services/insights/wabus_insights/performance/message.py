"""What is known of one outgoing message, as the join of all that is told of it. Pure.

`join` is commutative, associative and idempotent: the facts of a message may come in any order, in any batches and as
often as they like, and make the same message. What a message counts for is worked out from it (`counting`).
"""

from datetime import date, datetime
from decimal import Decimal
from enum import IntEnum
from typing import NamedTuple

from wabus_whatsapp.joins import earliest


class Bit(IntEnum):
    """What has become of a message. A bit says what was told, not what follows: who reads has got the message."""

    SENT = 1
    DELIVERED = 2
    READ = 4
    PLAYED = 8
    FAILED = 16
    CLICKED = 32
    """Somebody has pressed a quick-reply button of it."""
    REPLIED = 64
    """Somebody wrote within 24 hours, and no later template of the number to them came between (`attribution`)."""
    STOPPED = 128
    """Within seven days they wanted no more marketing; as with replies the last template before has it."""


BIT_OF_STATUS = {
    "sent": Bit.SENT,
    "delivered": Bit.DELIVERED,
    "read": Bit.READ,
    "played": Bit.PLAYED,
    "failed": Bit.FAILED,
}
"""Of Meta's words in a status. Source: Meta, "Status messages webhook reference"."""

GOT = Bit.DELIVERED | Bit.READ | Bit.PLAYED | Bit.CLICKED
"""Any of these says that the person has got the message: who presses a button of it has it."""
WAS_READ = Bit.READ | Bit.PLAYED
FOLLOWS = Bit.REPLIED | Bit.STOPPED
"""Worked out from what people did and from other messages to them, not told of the message itself."""


class Acceptance(NamedTuple):
    """What whoever sent a message says of it once Meta has taken it."""

    at: datetime
    kind: str
    """Meta's `type` of the message: text, template, …"""
    template_id: str = ""
    """Meta's id of the template; where only its name is known `name:language`; empty for none."""
    version: int = 0
    """Which version of it, as `TemplateChanged` counts them; 0 where that is not known."""
    name: str = ""
    language: str = ""
    category: str = ""
    """The category that was asked for, in small letters; empty where that is not known."""
    experiment_id: str = ""
    arm: str = ""
    label: str = ""
    """The caller's word for what belongs together."""
    number_id: str | None = None
    """Who it is to: an HMAC of their number."""
    user_id: str | None = None
    """The same of their business-scoped user id."""
    day: date | None = None
    """The day by the clocks of the account's place, as they were known when it was counted; None for that of UTC."""


class Pricing(NamedTuple):
    """What a status says of the price. Source: Meta, "Pricing on the WhatsApp Business Platform", `pricing`."""

    at: datetime
    billable: bool | None = None
    model: str = ""
    """PMP for a price a message, CBP for one a conversation."""
    category: str = ""
    type: str = ""
    """regular, free_customer_service, free_entry_point, …"""
    cost: Decimal | None = None
    currency: str = ""


class Place(NamedTuple):
    """The country of the recipient."""

    sure: bool = False
    """Whether a telephone number says so; a user id only tells where the person is."""
    country: str = ""
    """In the two letters of ISO 3166-1; empty where it is not known."""


class Message(NamedTuple):
    """One outgoing message, or what some facts say of it."""

    message_id: str
    org_id: str
    waba_id: str
    phone_number_id: str
    at: datetime
    """The earliest moment that was told of it."""
    acceptance: Acceptance | None = None
    """None until it is told: of what another system sent and did not report, for ever."""
    place: Place = Place()
    bits: int = 0
    delivered_at: datetime | None = None
    """When the person had it, by the earliest status that says so."""
    read_at: datetime | None = None
    failed_code: int | None = None
    """Meta's code of the failure; of several the least. Source: Meta, "Cloud API: Error codes"."""
    pricing: Pricing | None = None


def join(one: Message, other: Message) -> Message:
    """What two things say of one message. The account and number are those of the least, should they ever differ."""
    first = one if (one.at, one[2:4]) <= (other.at, other[2:4]) else other
    acceptance, pricing, failed_code = one.acceptance, one.pricing, one.failed_code
    if acceptance is None or (other.acceptance and _poverty(other.acceptance) < _poverty(acceptance)):
        acceptance = other.acceptance
    if pricing is None or (other.pricing and _tells_more(other.pricing, pricing)):
        pricing = other.pricing
    if failed_code is None or (other.failed_code is not None and other.failed_code < failed_code):
        failed_code = other.failed_code
    return Message(
        one.message_id,
        one.org_id,
        first.waba_id,
        first.phone_number_id,
        first.at,
        acceptance,
        max(one.place, other.place),
        one.bits | other.bits,
        earliest(one.delivered_at, other.delivered_at),
        earliest(one.read_at, other.read_at),
        failed_code,
        pricing,
    )


def has_come(bits: int) -> bool:
    """Whether the person has the message: then it was not lost, whatever else was told."""
    return bool(bits & GOT)


def is_lost(bits: int) -> bool:
    """Whether it has failed, and the person has never had it."""
    return bool(bits & Bit.FAILED) and not has_come(bits)


def _poverty(acceptance: Acceptance) -> tuple[object, ...]:
    """Of two acceptances, that counts which knows the template's version, then which knows the template."""
    people = acceptance.number_id or "", acceptance.user_id or ""
    day = acceptance.day or date.min
    return (not acceptance.version, not acceptance.template_id, *acceptance[:-3], *people, day)


def _tells_more(one: Pricing, other: Pricing) -> bool:
    """Of two statuses' words about the price, those count that name an amount, then the earliest."""
    if (one.cost is None) != (other.cost is None):
        return other.cost is None
    if one.at != other.at:  # most differ in that, and no more of them is asked for
        return one.at < other.at
    return _words(one) < _words(other)


def _words(pricing: Pricing) -> tuple[object, ...]:
    known = () if pricing.cost is None else (pricing.cost,)
    return (*pricing[2:5], pricing.currency, str(pricing.billable), known)
