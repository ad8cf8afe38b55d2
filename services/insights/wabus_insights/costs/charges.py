"""What is known of one message that may be charged: the join of what its statuses and its send tell. Pure.

The join does not depend on what comes first, how often, or with what else, so neither does what the message counts for.
Sources: Meta, "Status messages webhook reference", "Groups API pricing" (a message to a group is charged for each
participant to whom it was delivered; where `read` comes, `delivered` may not).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from functools import reduce
from typing import Final

from wabus_events import MessageAccepted, MessageReported, MessageStatusChanged, SendRequested, SendSettled, fact_id
from wabus_whatsapp.ids import message_id, template_key
from wabus_whatsapp.joins import earliest
from wabus_whatsapp.prices.markets import Place, place_of
from wabus_whatsapp.prices.message import Pricing, pricing_in

_DELIVERS: Final = {"sent": 0, "played": 1, "read": 2, "delivered": 3}
"""The statuses that tell of a price, the one that is sent because of it last."""

NOWHERE = Place("", sure=False)


@dataclass(frozen=True, slots=True)
class Charge:
    """A message to one person, as far as is known."""

    org_id: str
    waba_id: str
    phone_number_id: str
    seen_at: datetime
    """When it was last heard of, by Meta's time."""
    delivered_at: datetime | None = None
    read_at: datetime | None = None
    """When it was first read or played, for that may be told instead of its delivery."""
    pricing: Pricing | None = None
    pricing_rank: int = -1
    """Which status has told it."""
    place: Place = NOWHERE
    template_id: str = ""
    campaign: str = ""
    """The label of its send."""

    @property
    def charged_at(self) -> datetime | None:
        """When it began to count; None while nothing tells that it was delivered.

        That somebody has read it counts alone where its price was told: a delivery is charged to whoever had the
        account then.
        """
        return self.delivered_at or (self.read_at if self.pricing else None)


def join(one: Charge, other: Charge) -> Charge:
    """What both know."""
    first, second = sorted((one, other), key=_price_rank)
    return Charge(
        one.org_id,
        one.waba_id,
        one.phone_number_id,
        max(one.seen_at, other.seen_at),
        earliest(one.delivered_at, other.delivered_at),
        earliest(one.read_at, other.read_at),
        second.pricing,
        second.pricing_rank if second.pricing else first.pricing_rank,
        max(one.place, other.place, key=_place),
        max(one.template_id, other.template_id, key=_template),
        max(one.campaign, other.campaign),
    )


def joined(charges: Iterable[tuple[str, Charge]]) -> dict[str, Charge]:
    """By its id, what is known of each message."""
    found: dict[str, list[Charge]] = {}
    for charge_id, charge in charges:
        found.setdefault(charge_id, []).append(charge)
    return {charge_id: reduce(join, each) for charge_id, each in found.items()}


def of_status(event: MessageStatusChanged, org_id: str) -> tuple[str, Charge] | None:
    """What a status tells of a message's price, with the id of what is charged; None where nothing."""
    rank = _DELIVERS.get(event.status)
    if rank is None or event.of_payment:
        return None
    user_id = event.participant_user_id if event.group_id else event.user_id
    charge_id = message_id(org_id, event.phone_number_id, event.wamid)
    if event.group_id:
        charge_id = fact_id("charge", charge_id, event.participant_user_id or event.participant or "")
    pricing = pricing_in(event.value)
    return charge_id, Charge(
        org_id,
        event.waba_id,
        event.phone_number_id,
        event.time,
        event.time if event.status == "delivered" else None,
        event.time if event.status in ("read", "played") else None,
        pricing,
        rank if pricing else -1,
        place_of(event.wa_id, user_id),
    )


def of_send(
    event: MessageAccepted | SendSettled | MessageReported, org_id: str, template_id: str | None
) -> tuple[str, Charge]:
    """What a send tells of its message, with the id of what is charged."""
    return message_id(org_id, event.phone_number_id, event.wamid), Charge(
        org_id,
        event.waba_id,
        event.phone_number_id,
        event.time,
        place=place_of(event.wa_id, event.user_id),
        template_id=template_id or "",
        campaign=event.label or "",
    )


def template_of(event: SendRequested | MessageReported) -> str | None:
    """Which template a message is of, as it is counted for what templates achieve: by its name where no id is known."""
    return template_key(event.template_id, event.template_name, event.template_language) or None


def _template(template_id: str) -> tuple[bool, str]:
    """How good it is: Meta's id, a name and a language, none."""
    return bool(template_id) and ":" not in template_id, template_id


def _place(place: Place) -> tuple[bool, str, bool]:
    """How good it is: a country by a number, by a user id, none."""
    return place.sure and bool(place.country), place.country, place.sure


def _price_rank(charge: Charge) -> tuple[bool, bool, int, str, str, Decimal, str]:
    """How good what it knows of the price is: an amount before all else, then what came because of the price."""
    pricing = charge.pricing or Pricing()
    return (
        charge.pricing is not None,
        pricing.cost is not None,
        charge.pricing_rank,
        pricing.category,
        pricing.type,
        pricing.cost or Decimal(0),
        pricing.currency or "",
    )
