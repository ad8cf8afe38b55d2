"""Tells by webhooks what became of messages, each status when it is due, and bills what is delivered."""

import asyncio
import heapq
import time
from typing import Any

from simulated_meta.billing.biller import Price, TierReached
from simulated_meta.context import Meta
from simulated_meta.people import person
from simulated_meta.sending.fates import Step
from simulated_meta.sending.ledger import Sent
from simulated_meta.sending.refusals import TITLES
from simulated_meta.sending.taken import usage_of
from simulated_meta.state import Person, Phone
from simulated_meta.webhooks import statuses
from simulated_meta.webhooks.accounts import tier_reached
from simulated_meta.webhooks.delivery import Delivery, QueueFull
from simulated_meta.webhooks.fire import begin
from simulated_meta.webhooks.wire import envelope

Json = dict[str, Any]

FULL_DELAY = 0.1  # seconds to wait where too many webhooks are under way
DELIVERED = ("delivered", "read", "played")
"""States that say that a message has arrived, and so is charged: "Pricing"."""


async def tell_statuses(meta: Meta) -> None:
    """Run until cancelled."""
    while True:
        due, wait = meta.sending.due, None
        if due:
            wait = due[0].at - time.time()
            if wait <= 0:
                try:
                    tell(meta, due[0].sent, due[0].step)
                except QueueFull:
                    await asyncio.sleep(FULL_DELAY)
                else:
                    heapq.heappop(due)
                    await asyncio.sleep(0)
                continue
        meta.sending.more.clear()
        try:
            async with asyncio.timeout(wait):
                await meta.sending.more.wait()
        except TimeoutError:
            continue


def tell(
    meta: Meta, sent: Sent, step: Step, *, now: float | None = None, by_webhook: bool = True
) -> tuple[Delivery, asyncio.Event] | str:
    """One status: billed if it is the first that says that the message arrived, and told. `now` is when Meta sends it.

    Returns what `begin` returns. Raises QueueFull, and is then to be called again: nothing is billed or told twice.
    """
    phone = meta.world.phone(sent.phone_number_id)
    if phone is None:
        return "the number was deleted"
    moment = int(sent.at + step.happened)
    sent_at = int(meta.world.now() if now is None else now)
    prices = _prices(meta, phone, sent, step, moment)
    while by_webhook and meta.sending.biller.reached:
        reached: TierReached = meta.sending.biller.reached[0]
        begin(meta, envelope(reached.account_id, "account_update", tier_reached(reached), sent_at))
        meta.sending.biller.reached.popleft()
    begun: tuple[Delivery, asyncio.Event] | str = "no webhook was asked for"
    if by_webhook:
        value = _value(meta, phone, sent, step, moment, prices)
        begun = begin(meta, envelope(phone.waba_id, "messages", value, sent_at))
    told: Json = {"status": step.state, "at": moment, "told": not isinstance(begun, str)}
    sent.statuses.append(told | ({"code": step.error} if step.error else {}))
    return begun


def _recipients(meta: Meta, sent: Sent) -> list[Person]:
    group = meta.world.groups.get(sent.group_id) if sent.group_id else None
    if group:
        return [person(meta.world, user) for user in group.participants]
    return [] if sent.group_id else [person(meta.world, sent.user_id or sent.input)]


def _prices(meta: Meta, phone: Phone, sent: Sent, step: Step, moment: int) -> dict[str, statuses.Price]:
    """What a status says of the price, by person. What arrives is billed now; before that it is what it would cost."""
    biller, waba = meta.sending.biller, meta.world.wabas[phone.waba_id]
    found: dict[str, statuses.Price] = {}
    for who in _recipients(meta, sent):
        price: Price | None = sent.prices.get(who.user_id)
        try:
            if price is None and step.state in DELIVERED:
                charge = biller.bill(usage_of(sent, waba, phone, who), who.user_id, _delivered_at(sent, step))
                if charge:
                    price = sent.prices[who.user_id] = charge.price
                    sent.pricing = price.type
            elif price is None:
                price = biller.quote(usage_of(sent, waba, phone, who), moment)
        except (KeyError, ValueError):  # a currency without a card, or a time zone that nobody knows
            biller.unbilled[waba.id] += step.state in DELIVERED
        if price:
            delivered = any(each["status"] == "delivered" for each in sent.statuses)
            cost = (float(price.amount), waba.currency) if price.is_told else None
            free_until = int(sent.free_until) if price.type == "free_entry_point" and sent.free_until else None
            found[who.user_id] = statuses.Price(price.category, price.type, not delivered, cost, free_until)
    return found


def _delivered_at(sent: Sent, step: Step) -> float:
    """When it was delivered, also where it is first told that it was read."""
    return sent.at + (step.happened if sent.delivered_after is None else sent.delivered_after)


def _value(meta: Meta, phone: Phone, sent: Sent, step: Step, moment: int, prices: dict[str, statuses.Price]) -> Json:
    world = meta.world
    opaque = sent.opaque if step.with_opaque else None
    group = world.groups.get(sent.group_id) if sent.group_id else None
    if group:
        members = _recipients(meta, sent)
        return statuses.group_statuses(
            world, phone, group, members, step.state, sent.id, moment, opaque=opaque, prices=prices
        )
    why = statuses.UNREACHABLE
    if step.error:
        why = statuses.Failed(step.error, TITLES[step.error], sent.why or TITLES[step.error])
    who = person(world, sent.user_id or sent.input)
    return statuses.status(
        world,
        phone,
        who,
        step.state,
        sent.id,
        moment,
        addressed_by="phone" if sent.wa_id else "user_id",
        opaque=opaque,
        price=prices.get(who.user_id, statuses.Price(sent.category)),
        why=why,
    )
