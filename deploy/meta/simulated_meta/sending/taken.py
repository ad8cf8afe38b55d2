"""What happens when Meta has taken a message: it is in the ledger, with all that its price depends on.

Sources: "Pricing" (category at the time of use; customer service and free entry point windows), "Groups API Pricing"
(the window is the whole group's), "Set a max price for marketing messages", Metrics and billing.
"""

from dataclasses import dataclass
from typing import Any

from simulated_meta.billing.biller import Account, Usage
from simulated_meta.billing.markets import country_of
from simulated_meta.billing.zones import day_of, zone, zone_or_utc
from simulated_meta.context import Meta
from simulated_meta.people import person
from simulated_meta.sending import marketing, rules
from simulated_meta.sending.ledger import Sent
from simulated_meta.state import Group, Person, Phone, Waba
from simulated_meta.webhooks.wire import digits

Json = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Taken:
    """A message that nothing refuses any more."""

    waba: Waba
    phone: Phone
    at: float
    id: str
    kind: str
    input: str
    body: Json
    edge: str = "messages"
    to: Person | None = None
    group: Group | None = None
    wa_id: str | None = None
    template: Json | None = None
    opaque: str | None = None
    why: str | None = None
    """Why Meta can't deliver it."""
    by_marketing_api: bool = False
    options: marketing.Options = marketing.DEFAULT


def enter(meta: Meta, taken: Taken) -> Sent:
    """Put it into the ledger. An answer to who came by an ad opens their free entry point window."""
    world, ledger = meta.world, meta.sending.ledger
    template, phone, at = taken.template, taken.phone, taken.at
    category = template["category"].lower() if template else "service"
    if taken.by_marketing_api:
        category = "marketing_lite"
    if taken.group:
        category = f"group_{category}"
    members = [person(world, user) for user in taken.group.participants] if taken.group else []
    in_free_entry, free_until = False, None
    if taken.to and taken.why is None:  # what nobody gets is no answer
        hours = meta.sending.biller.free_entry_hours(day_of(at, zone_or_utc(taken.waba.timezone_id)))
        relation = taken.to.relation(phone.id)
        in_free_entry = rules.is_in_free_entry(relation, at, hours)
        free_until = relation.free_until if in_free_entry else None
    most = None
    if template and taken.by_marketing_api:
        most = marketing.max_price(template, taken.waba.currency, taken.options)
    ledger.total += 1
    sent = Sent(
        n=ledger.total,
        at=at,
        phone_number_id=phone.id,
        id=taken.id,
        kind=taken.kind,
        input=taken.input,
        wa_id=taken.wa_id,
        user_id=taken.to.user_id if taken.to else None,
        group_id=taken.group.id if taken.group else None,
        template=template["name"] if template else None,
        category=category,
        opaque=taken.opaque,
        edge=taken.edge,
        body=taken.body,
        template_id=template["id"] if template else None,
        in_window=any(rules.is_open(who, phone, at) for who in (members or [taken.to]) if who),
        in_free_entry=in_free_entry,
        free_until=free_until,
        max_price=most,
        why=taken.why,
    )
    ledger.entries.append(sent)
    if sent.opaque is not None:
        ledger.opaque[sent.opaque] += 1
    return sent


def account_of(waba: Waba) -> Account:
    """What the biller knows of an account. Raises ValueError for a time zone that is not known here."""
    return Account(
        waba.id,
        waba.business_id,
        waba.currency,
        zone(waba.timezone_id),
        waba.primary_business_location or "",
        tuple(waba.auth_international_since.items()),
    )


def usage_of(sent: Sent, waba: Waba, phone: Phone, to: Person) -> Usage:
    """One delivery of it, as the biller wants it. Who has no number is charged by the country of their BSUID."""
    number = sent.wa_id or to.phone
    return Usage(
        message_id=sent.id,
        sent_at=sent.at,
        account=account_of(waba),
        phone_number_id=phone.id,
        number=digits(phone.display_phone_number),
        country=country_of(number) if number else to.user_id.partition(".")[0],
        category=sent.category,
        in_window=sent.in_window,
        in_free_entry=sent.in_free_entry,
        template_id=sent.template_id or "",
        max_price=sent.max_price,
        n=sent.n,
    )
