"""Tells by webhooks what became of messages, each status when it is due."""

import asyncio
import heapq
import time
from typing import Any

from simulated_meta.context import Meta
from simulated_meta.people import person
from simulated_meta.sending.ledger import Sent
from simulated_meta.sending.refusals import TITLES
from simulated_meta.sending.state import Due
from simulated_meta.state import Phone
from simulated_meta.webhooks import statuses
from simulated_meta.webhooks.delivery import QueueFull
from simulated_meta.webhooks.fire import begin
from simulated_meta.webhooks.wire import envelope

Json = dict[str, Any]

FULL_DELAY = 0.1  # seconds to wait where too many webhooks are under way


async def tell_statuses(meta: Meta) -> None:
    """Run until cancelled."""
    while True:
        due, wait = meta.sending.due, None
        if due:
            wait = due[0].at - time.time()
            if wait <= 0:
                if _tell(meta, due[0]):
                    heapq.heappop(due)
                    await asyncio.sleep(0)
                else:
                    await asyncio.sleep(FULL_DELAY)
                continue
        meta.sending.more.clear()
        try:
            async with asyncio.timeout(wait):
                await meta.sending.more.wait()
        except TimeoutError:
            continue


def _tell(meta: Meta, due: Due) -> bool:
    """Whether it is under way; False where it has to wait."""
    sent, step = due.sent, due.step
    phone = meta.world.phone(sent.phone_number_id)
    if phone is None:  # deleted meanwhile
        return True
    moment = int(sent.at + step.happened)
    value = _value(meta, phone, sent, due, moment)
    try:
        begun = begin(meta, envelope(phone.waba_id, "messages", value, int(time.time())))
    except QueueFull:
        return False
    told: Json = {"status": step.state, "at": moment, "told": not isinstance(begun, str)}
    sent.statuses.append(told | ({"code": step.error} if step.error else {}))
    return True


def _value(meta: Meta, phone: Phone, sent: Sent, due: Due, moment: int) -> Json:
    world, step = meta.world, due.step
    opaque = sent.opaque if step.with_opaque else None
    delivered = any(each["status"] == "delivered" for each in sent.statuses)
    price = statuses.Price(sent.category, sent.pricing, is_told_with_read=not delivered)
    group = world.groups.get(sent.group_id) if sent.group_id else None
    if group:
        members = [person(world, user) for user in group.participants]
        return statuses.group_statuses(
            world, phone, group, members, step.state, sent.id, moment, opaque=opaque, price=price
        )
    why = statuses.UNREACHABLE
    if step.error:
        why = statuses.Failed(step.error, TITLES[step.error], sent.why or TITLES[step.error])
    return statuses.status(
        world,
        phone,
        person(world, sent.user_id or sent.input),
        step.state,
        sent.id,
        moment,
        addressed_by="phone" if sent.wa_id else "user_id",
        opaque=opaque,
        price=price,
        why=why,
    )
