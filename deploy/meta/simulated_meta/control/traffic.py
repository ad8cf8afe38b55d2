"""Control of time gone by: messages with dates, sent, delivered, read, clicked and answered then, told of now."""

import asyncio
import contextlib
import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any
from zoneinfo import ZoneInfo

from aiohttp import web
from pydantic import TypeAdapter

from simulated_meta.billing.analytics import buttons_of
from simulated_meta.billing.zones import zone
from simulated_meta.context import Meta
from simulated_meta.graph.errors import GraphError
from simulated_meta.graph.messages import wamid
from simulated_meta.people import person
from simulated_meta.sending import marketing, rules, template
from simulated_meta.sending.fates import Step
from simulated_meta.sending.ledger import Sent
from simulated_meta.sending.refusals import TITLES
from simulated_meta.sending.taken import Taken, enter
from simulated_meta.sending.telling import FULL_DELAY, tell
from simulated_meta.state import Person, Phone, Waba
from simulated_meta.traffic import MESSAGES_MAX, Message, Order, made_up, moments
from simulated_meta.webhooks import messages
from simulated_meta.webhooks.delivery import Delivery, QueueFull
from simulated_meta.webhooks.fire import begin
from simulated_meta.webhooks.wire import envelope

Json = dict[str, Any]

MESSAGES = TypeAdapter(list[Message])
YIELD_EVERY = 50  # events, after which others have their turn
WAIT_MAX = 300.0  # seconds that ?wait=true waits for the first attempts of all webhooks

Happening = Callable[[], None]


@dataclass
class Play:
    """A heap of what is still to happen, by its moment; what is first done then may add to it."""

    meta: Meta
    by_webhook: bool
    chance: random.Random
    due: list[tuple[float, int, Happening]] = field(default_factory=list[tuple[float, int, Happening]])
    tried: list[asyncio.Event] = field(default_factory=list[asyncio.Event])
    sent: list[Sent] = field(default_factory=list[Sent])
    received: int = 0
    webhooks: int = 0
    why: str | None = None
    """Why no webhook goes out."""
    added: int = 0

    def at(self, moment: float, happening: Happening) -> None:
        self.added += 1
        heapq.heappush(self.due, (moment, self.added, happening))

    def note(self, begun: tuple[Delivery, asyncio.Event] | str) -> None:
        if isinstance(begun, str):
            self.why = begun
        else:
            self.webhooks += 1
            self.tried.append(begun[1])

    async def run(self) -> None:
        done = 0
        while self.due:
            try:
                self.due[0][2]()
            except QueueFull:  # each happening can be begun again
                await asyncio.sleep(FULL_DELAY)
                continue
            heapq.heappop(self.due)
            done += 1
            if done % YIELD_EVERY == 0:
                await asyncio.sleep(0)

    async def wait(self, request: web.Request) -> None:
        """With `?wait=true` for the first attempts of its webhooks, and no longer than `WAIT_MAX`."""
        if request.query.get("wait") == "true":
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WAIT_MAX):
                    for tried in self.tried:
                        await tried.wait()


async def post_traffic(meta: Meta, request: web.Request, body: Json) -> Json:
    """{messages?: [{at, phone_number_id, to | from, template?: {name, language}, text?, ad?, edge?, body?, opaque?,
    delivered?: 1.0 s or null, read?: s, skips_delivered?, failed?: code, clicks?: [{button, after?, times?}], blocks?:
    reason, id?}], make?: {seed?, from: day, to: day, numbers: [{phone_number_id, a_day?, people?, calling_codes?, mix?:
    {service, utility, utility_in_window, marketing, authentication, ad}, templates?: {utility: {name, language}},
    edge?, delivered?, read?, clicked?, blocked?: shares}]}, seed?, only_list?}

    Messages with dates, in any zone and of any accounts: all that happened, in its order, with the windows, prices and
    rules of then, and its webhooks with the times of then. A time without a zone is of the account's. `make` makes up
    weeks, the same for the same seed; with only_list nothing happens but that they are listed. The parameters of
    templates are not checked, and limits of throughput do not count.
    """
    if strange := body.keys() - {"messages", "make", "seed", "only_list"}:
        raise ValueError(f"there is no {', '.join(sorted(strange))}")
    given = MESSAGES.validate_python(body.get("messages", []))
    order = Order.model_validate(body["make"]) if "make" in body else None
    ids = {each.phone_number_id for each in given} | {each.phone_number_id for each in (order.numbers if order else ())}
    zones = {id_: _zone(meta, id_) for id_ in ids}
    given += made_up(order, zones, _buttons(meta, order)) if order else []
    if len(given) > MESSAGES_MAX:
        raise ValueError(f"that is more than {MESSAGES_MAX:,} messages")
    if body.get("only_list"):
        return {"messages": [each.model_dump(mode="json", by_alias=True, exclude_defaults=True) for each in given]}
    by_webhook = request.query.get("webhook") != "false"
    seed = body.get("seed", order.seed if order else 1)
    play = Play(meta, by_webhook, random.Random(f"{seed}:{meta.sending.ledger.total}"))  # noqa: S311
    for moment, message in moments(given, zones):
        _plan(play, moment, message)
    await play.run()
    await play.wait(request)
    return {
        "sent": len(play.sent),
        "received": play.received,
        "webhooks": play.webhooks,
        "why": play.why,
        "first": play.sent[0].n if play.sent else None,
        "last": play.sent[-1].n if play.sent else None,
    }


async def click(meta: Meta, request: web.Request, body: Json) -> Json:
    """{id, button?: 0, times?: 1}: whoever got a template message presses one of its buttons. A quick reply is told by
    a message of theirs, and opens their window; a URL is only counted.
    """
    sent = next((each for each in meta.sending.ledger.entries if each.id == body["id"]), None)
    if sent is None:
        raise KeyError(body["id"])
    play = Play(meta, request.query.get("webhook") != "false", random.Random(f"{sent.id}:{len(sent.clicks)}"))  # noqa: S311
    for _ in range(int(body.get("times", 1))):
        now = meta.world.now()
        play.at(now, _click(play, sent, int(body.get("button", 0)), now))
    await play.run()
    await play.wait(request)
    return {"id": sent.id, "clicks": sent.clicks, "webhooks": play.webhooks}


def _plan(play: Play, moment: float, message: Message) -> None:
    phone = play.meta.world.phone(message.phone_number_id)
    if phone is None:
        raise KeyError(message.phone_number_id)
    if message.sender is not None:
        play.at(moment, _receive(play, phone, message, message.sender, moment))
        return
    waba = play.meta.world.wabas[phone.waba_id]
    found = None
    if message.template:
        try:
            found = template.find([*waba.templates.values()], message.template.name, message.template.language)
        except GraphError as error:
            raise ValueError(error.message) from None
    buttons = buttons_of(found) if found else []
    if any(each.button >= len(buttons) for each in message.clicks):
        raise ValueError(f"{message.template.name if message.template else 'a text'} has no such button")
    if message.failed is not None and message.failed not in TITLES:
        raise ValueError(f"codes of sending are not {message.failed}")
    play.at(moment, _send(play, waba, phone, message, found, moment))


def _receive(play: Play, phone: Phone, message: Message, sender: str, at: float) -> Happening:
    id_ = message.id or wamid(sender, _unique(play))

    def happen() -> None:
        who = person(play.meta.world, sender)
        content = messages.text(message.text) | (messages.referral(id_) if message.ad else {})
        _fire(play, phone, messages.received(play.meta.world, phone, who, id_, int(at), content), at)
        rules.hear(who.relation(phone.id), at, by_ad=message.ad)
        play.received += 1

    return happen


def _send(play: Play, waba: Waba, phone: Phone, message: Message, found: Json | None, at: float) -> Happening:
    """Refused by what Meta knew of the person then, it fails; else it has the fate that was ordered."""
    unique, to = _unique(play), str(message.to)
    is_number = to.isdigit()
    body = {"type": "template" if found else "text", "to": to} | message.body
    if message.template:
        body["template"] = {"name": message.template.name, "language": {"code": message.template.language}}
    options, by_marketing_api = marketing.DEFAULT, False
    if message.edge == "marketing_messages":
        try:
            options = marketing.parse(body, found)
            by_marketing_api = marketing.goes_through(options, waba.marketing_messages_onboarding_status, found or {})
        except GraphError as error:
            raise ValueError(error.message) from None

    def happen() -> None:
        meta = play.meta
        who = person(meta.world, rules.wa_id(to) if is_number else to)
        way = "marketing_messages" if by_marketing_api else "messages"
        why = rules.problem(who, phone, waba, found, at, by_user_id=not is_number, edge=way)
        if why and why[0] == 131047 and not meta.sending.settings.windows:
            why = None
        if message.failed and not why:
            why = message.failed, TITLES[message.failed]
        wa_id = rules.wa_id(to) if is_number else None
        taken = Taken(
            waba=waba,
            phone=phone,
            at=at,
            id=message.id or wamid(wa_id or to, unique),
            kind="template" if found else "text",
            input=to,
            body=body,
            edge=message.edge,
            to=who,
            wa_id=wa_id,
            template=found,
            opaque=message.opaque,
            why=why[1] if why else None,
            by_marketing_api=by_marketing_api,
            options=options,
        )
        sent = enter(meta, taken)
        play.sent.append(sent)
        _follow(play, sent, message, who, phone, found, why[0] if why else None)

    return happen


def _follow(
    play: Play, sent: Sent, message: Message, who: Person, phone: Phone, found: Json | None, error: int | None
) -> None:
    """What becomes of it, each at its moment.

    "Time-to-live": what can't be delivered within a template's validity is dropped, and nobody is told.
    """
    if error is not None:
        _status(play, sent, "failed", 1.0, error)
        return
    _status(play, sent, "sent", 0.0)
    validity = float(found.get("message_send_ttl_seconds") or 0) if found else 0.0
    if message.delivered is None or (validity > 0 and message.delivered > validity):
        return
    sent.delivered_after = message.delivered
    if not (message.skips_delivered and message.read is not None):
        _status(play, sent, "delivered", message.delivered)
    if message.read is not None:
        _status(play, sent, "read", max(message.read, message.delivered))
    for each in message.clicks:
        for _ in range(each.times):
            moment = sent.at + max(each.after, message.delivered)
            play.at(moment, _click(play, sent, each.button, moment))
    if message.blocks:

        def block() -> None:
            who.relation(phone.id).blocked_business, sent.blocked = True, message.blocks

        play.at(sent.at + max(message.read or 0, message.delivered) + 60, block)


def _status(play: Play, sent: Sent, state: str, after: float, error: int | None = None) -> None:
    step, moment = Step(after, state, after, error), sent.at + after

    def happen() -> None:
        play.note(tell(play.meta, sent, step, now=moment, by_webhook=play.by_webhook))

    play.at(moment, happen)


def _click(play: Play, sent: Sent, index: int, at: float) -> Happening:
    """ "Button messages webhook reference": a quick reply of a template comes as a `button`. Raises ValueError."""
    world = play.meta.world
    phone = world.phone(sent.phone_number_id)
    waba = world.wabas[phone.waba_id] if phone else None
    found = waba.templates.get(sent.template_id or "") if waba else None
    buttons = buttons_of(found) if found else []
    if phone is None or index >= len(buttons):
        raise ValueError("it has no such button")
    button, id_ = buttons[index], wamid(sent.input, _unique(play))

    def happen() -> None:
        who = person(world, sent.user_id or sent.input)
        kind = str(button.get("type")).upper()
        if kind == "QUICK_REPLY":
            content = messages.button(sent.id, phone, str(button["text"]))
            _fire(play, phone, messages.received(world, phone, who, id_, int(at), content), at)
            rules.hear(who.relation(phone.id), at, by_ad=False)
        sent.clicks.append({"at": at, "button": index, "type": kind, "text": button["text"], "user_id": who.user_id})

    return happen


def _fire(play: Play, phone: Phone, value: Json, at: float) -> None:
    if not play.by_webhook:
        return
    play.note(begin(play.meta, envelope(phone.waba_id, "messages", value, int(at))))


def _unique(play: Play) -> str:
    return f"{play.chance.getrandbits(72):018X}"


def _buttons(meta: Meta, order: Order) -> dict[tuple[str, str, str], int]:
    found: dict[tuple[str, str, str], int] = {}
    for number in order.numbers:
        phone = meta.world.phone(number.phone_number_id)
        templates = meta.world.wabas[phone.waba_id].templates.values() if phone else ()
        for each in templates:
            found[number.phone_number_id, each["name"], each["language"]] = len(buttons_of(each))
    return found


def _zone(meta: Meta, phone_number_id: str) -> ZoneInfo:
    phone = meta.world.phone(phone_number_id)
    if phone is None:
        raise KeyError(phone_number_id)
    return zone(meta.world.wabas[phone.waba_id].timezone_id)


ROUTES = (
    ("POST", "/traffic", post_traffic),
    ("POST", "/clicks", click),
)
