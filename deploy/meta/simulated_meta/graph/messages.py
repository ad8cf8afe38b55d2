"""`POST /{phone-number-id}/messages` and `/marketing_messages`.

Sources: "Send messages", "Marketing Messages API", "Business-scoped user IDs", "Groups API", "Throughput", "WhatsApp
error codes", "Pricing".
"""

import base64
import json
import secrets
import time
from collections.abc import Mapping
from typing import Any

from aiohttp import web

from simulated_meta.graph.access import Call
from simulated_meta.graph.errors import GraphError, bad_parameter
from simulated_meta.people import parent_user_id, person
from simulated_meta.sending import fates, limits, marketing, rules, template
from simulated_meta.sending.ledger import Sent
from simulated_meta.sending.message import MEDIA, Message, ReadMark, parse
from simulated_meta.sending.refusals import refusal
from simulated_meta.sending.taken import Taken, account_of, enter
from simulated_meta.state import Group, Person, Phone, SendingHealth, Waba
from simulated_meta.webhooks.wire import digits

Json = dict[str, Any]

SENT = web.RequestKey("sent", Sent)
"""What a request has added to the ledger."""


async def send(call: Call, waba: Waba, phone: Phone, edge: str) -> Json:
    """Take a message. What is taken is in the ledger before anybody is answered. Raises `GraphError`."""
    ledger = call.meta.sending.ledger
    try:
        return _taken(call, waba, phone, edge, body_of(call))
    except GraphError as error:
        ledger.refused[error.code] += 1
        raise


def _taken(call: Call, waba: Waba, phone: Phone, edge: str, body: Any) -> Json:
    meta, now = call.meta, time.time()
    sending, at = meta.sending, call.meta.world.now()
    message = parse(body)
    if isinstance(message, ReadMark):
        sending.ledger.read_marks += 1
        sending.ledger.typing += message.types
        return {"success": True}
    why = _check_number(call, waba, phone, message, now)
    group, who = _recipient(call, phone, message)
    found = None
    _check_medium(call, phone, message, now)
    if message.kind == "template":
        asked = message.template
        found = template.find([*waba.templates.values()], asked["name"], asked["language"]["code"])
        template.check(found, asked.get("components", []))
    options, by_marketing_api = marketing.DEFAULT, False
    if edge == "marketing_messages":
        options = marketing.parse(body, found)
        by_marketing_api = marketing.goes_through(options, waba.marketing_messages_onboarding_status, found or {})
    if who:
        way = "marketing_messages" if by_marketing_api else "messages"
        of_person = rules.problem(who, phone, waba, found, at, by_user_id=message.to is None, edge=way)
        if of_person and (of_person[0] != 131047 or sending.settings.windows):
            why = of_person
    if why and why[0] not in sending.settings.by_webhook:
        raise refusal(*why)
    throughput = sending.limits.number(phone.id)
    level = limits.level(phone.throughput, phone.is_on_biz_app)
    if not throughput.has_room(now, level) and sending.settings.limits:
        raise refusal(130429, "Message failed to send because there were too many messages sent from this number.")
    if who and not sending.limits.takes_pair(phone.id, who.user_id, now) and sending.settings.limits:
        raise refusal(131056, "Too many messages sent from this phone number to the same phone number.")
    throughput.passed(now)
    wa_id = rules.wa_id(digits(message.to)) if message.to is not None and group is None else None
    sent = enter(
        meta,
        Taken(
            waba=waba,
            phone=phone,
            at=at,
            id=wamid(wa_id or message.input, secrets.token_hex(9).upper()),
            kind=message.kind,
            input=message.input,
            body=message.body,
            edge=edge,
            to=who,
            group=group,
            wa_id=wa_id,
            template=found,
            opaque=message.opaque,
            why=why[1] if why else None,
            by_marketing_api=by_marketing_api,
            options=options,
        ),
    )
    fate = fates.fate(
        sending.settings.chaos,
        sent.n,
        is_template=found is not None,
        is_marketing=found is not None and found["category"] == "MARKETING",
        error=why[0] if why else None,
    )
    sent.delivered_after = fate.delivered_after
    call.request[SENT] = sent
    if sending.settings.tells:
        sending.plan(sent, fate, now)
    return _answer(sent, message, fate.message_status)


def _answer(sent: Sent, message: Message, message_status: str) -> Json:
    """ "Business-scoped user IDs", Send message responses: `wa_id` of who was addressed by number, else `user_id`."""
    contact: Json = {"input": message.input}
    if sent.group_id:
        contact["wa_id"] = sent.group_id
    elif sent.wa_id:
        contact["wa_id"] = sent.wa_id
    else:
        contact["user_id"] = sent.user_id
    answered: Json = {"id": sent.id}
    if message.kind == "template":
        answered["message_status"] = message_status
    return {"messaging_product": "whatsapp", "contacts": [contact], "messages": [answered]}


def _check_number(call: Call, waba: Waba, phone: Phone, message: Message, now: float) -> tuple[int, str] | None:
    """Why what a number sends is not delivered. Raises `GraphError` for a number that sends nothing now.

    Without a payment method service messages are delivered for as long as they are free: "Pricing" (Sep 30, 2026), Free
    tier of monthly service messages.
    """
    if not phone.registered:
        raise refusal(133010, "The phone number is not registered.")
    if now < phone.unusable_until:
        raise refusal(131057, "The account is in maintenance mode: its throughput is being raised.")
    health: Mapping[str, SendingHealth] = call.meta.world.health
    for id_ in (phone.id, waba.id, waba.business_id, call.meta.world.app_id):
        said = health.get(id_)
        if said and said.can_send_message == "BLOCKED":
            if any(error.get("error_code") == 141006 for error in said.errors):
                biller, at = call.meta.sending.biller, call.meta.world.now()
                if message.kind != "template" and biller.allowance_left(account_of(waba), phone.id, at):
                    return None
                return 131042, "There is an error with the payment method."
            raise refusal(131031, "The account has been restricted or disabled for violating a platform policy.")
    return None


def _recipient(call: Call, phone: Phone, message: Message) -> tuple[Group | None, Person | None]:
    world = call.meta.world
    if message.is_group:
        group = world.groups.get(str(message.to))
        if group is None or group.phone_number_id != phone.id:
            raise refusal(131041, "The group was not found.")
        if not group.participants:
            raise refusal(131020, "Messages can't be sent to groups of a single member.")
        return group, None
    if message.to is None:
        named = str(message.recipient)
        above = (each for each in world.persons.values() if parent_user_id(world, each) == named)
        return None, (next(above, None) if ".ENT." in named else None) or person(world, named)
    number = digits(message.to)
    if number == digits(phone.display_phone_number):
        raise refusal(131021, "Sender and recipient phone number is the same.")
    return None, person(world, rules.wa_id(number))


def _check_medium(call: Call, phone: Phone, message: Message, now: float) -> None:
    """An id that is none, has ended, or is another number's, in the words that reports have."""
    medium_id = message.body[message.kind].get("id") if message.kind in MEDIA else None
    if medium_id is None:
        return
    medium = call.meta.world.media.get(str(medium_id))
    if medium is None or medium.phone_number_id != phone.id or medium.expires_at <= now:
        name = f"{message.kind}['id']"
        raise bad_parameter(f"Param {name} is not a valid whatsapp business account media attachment ID")


def wamid(recipient: str, unique: str) -> str:
    """As Meta's are: the recipient's number can be read from it, which is why it belongs in no address."""
    name = recipient.encode()[:120]
    inside = b"\x1c\x18" + bytes([len(name)]) + name + b"\x15\x02\x00\x11\x18\x12"
    return "wamid." + base64.b64encode(inside + unique.encode() + b"\x00").decode()


def body_of(call: Call) -> Any:
    """JSON as it came: `parameters` of the call are texts. A form is read as well, its objects as JSON."""
    if call.content is not None:
        return call.content
    found: Json = {}
    for name, value in call.parameters.items():
        try:
            found[name] = json.loads(value) if value[:1] in "{[" else value
        except ValueError:
            raise bad_parameter(f"Param {name} must be a JSON object.") from None
    return found
