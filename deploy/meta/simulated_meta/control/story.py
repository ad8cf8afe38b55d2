"""Control of the people of the story: they write, and answer who writes to them."""

import asyncio
import contextlib
import itertools
import time
from collections.abc import Iterator
from typing import Any

from aiohttp import web

from simulated_meta.context import Meta
from simulated_meta.control.bodies import hear, phone_of, wamid
from simulated_meta.graph.media import keep
from simulated_meta.media import WEBHOOK_LIFETIME, address, new_medium
from simulated_meta.people import person, user_id
from simulated_meta.sending.ledger import Sent
from simulated_meta.state import Person, Phone
from simulated_meta.story import STORIES, Line, Story
from simulated_meta.webhooks import coexistence, messages
from simulated_meta.webhooks.delivery import QueueFull
from simulated_meta.webhooks.fire import begin
from simulated_meta.webhooks.media import medium as medium_content
from simulated_meta.webhooks.wire import envelope

Json = dict[str, Any]

WAIT = 10.0  # seconds for a webhook to be answered
PROGRESS: Json = {"phase": 0, "chunk_order": 1, "progress": 100}
LOOK_EVERY = 0.25  # seconds
REACTS_AFTER = 1.5  # seconds
ANSWERS_AFTER = 3.5  # seconds
AT_ONCE = 50  # answers that wait; whoever is written to beyond that says nothing


async def tell_story(meta: Meta, request: web.Request, body: Json) -> Json:
    """{phone_number_id?, answers?: true}: six people write, with pictures, orders, places and from right to left.

    With answers they react to what is sent to them from then on, and answer it within some seconds; false ends that.
    What they wrote before is told as history, for what is older than a connection is nobody's otherwise.
    """
    phone = phone_of(meta, body)
    meta.world.answering = [user_id(meta.world, story.phone) for story in STORIES] if body.get("answers", True) else []
    told, why = 0, None
    for story in STORIES:
        for field, value in _webhooks(meta, request, phone, story):
            begun = begin(meta, envelope(phone.waba_id, field, value, int(meta.world.now())))
            if isinstance(begun, str):
                why = begun
                continue
            told += 1
            with contextlib.suppress(TimeoutError):  # one after the other, as they were written
                async with asyncio.timeout(WAIT):
                    await begun[1].wait()
    return {"people": [{"phone": story.phone, "name": story.name} for story in STORIES], "told": told, "why": why}


def _webhooks(meta: Meta, request: web.Request, phone: Phone, story: Story) -> Iterator[tuple[str, Json]]:
    """The fields and values that tell a story, the oldest first."""
    world, who, now = meta.world, person(meta.world, story.phone, story.name), int(meta.world.now())
    who.username = story.username
    ids = [wamid({}) for _ in story.lines]
    lines = list(zip(ids, story.lines, strict=True))
    past = [(id_, now - line.ago, line.by == "business", line.content) for id_, line in lines if line.ago]
    if past:
        yield "smb_app_state_sync", coexistence.address_book(world, phone, who, "add", now)
        yield "history", coexistence.history_of(world, phone, who, past, PROGRESS)
    for id_, line in lines:
        if line.ago:
            continue
        content = _content(meta, request, phone, line)
        if line.about is not None:
            content["context"] = {"from": phone.id, "id": ids[line.about]}
        hear(meta, phone, who)
        yield "messages", messages.received(world, phone, who, id_, int(world.now()), content)


def _content(meta: Meta, request: web.Request, phone: Phone, line: Line) -> Json:
    if line.medium is None:
        return dict(line.content)
    medium = new_medium(
        meta.world.new_id(), phone.id, line.mime_type, line.medium, len(line.medium), int(time.time()), WEBHOOK_LIFETIME
    )
    keep(meta, medium)
    url = address(medium, str(request.url.origin()), meta.world.app_secret, int(time.time()))
    kind = line.content["type"]
    part = line.content[kind]
    return medium_content(kind, medium, url, part.get("caption"), part.get("filename"))


async def answer(meta: Meta) -> None:
    """React to and answer what is sent to the people of the story, until cancelled."""
    said = {user_id(meta.world, story.phone): itertools.cycle(story.answers) for story in STORIES}
    by_id = {user_id(meta.world, story.phone): story for story in STORIES}
    sending, after = meta.sending, meta.sending.ledger.total
    waiting: set[asyncio.Task[None]] = set()
    try:
        while True:
            await asyncio.sleep(LOOK_EVERY)
            if sending is not meta.sending:  # it was reset
                sending, after = meta.sending, 0
            for sent in list(sending.ledger.since(after, AT_ONCE)):
                after = sent.n
                who = _whom(meta, sent)
                if who and sent.kind != "reaction" and len(waiting) < AT_ONCE:
                    task = asyncio.create_task(_answer(meta, sent, who, by_id[who.user_id], next(said[who.user_id])))
                    waiting.add(task)
                    task.add_done_callback(waiting.discard)
    finally:
        for task in waiting:
            task.cancel()


def _whom(meta: Meta, sent: Sent) -> Person | None:
    """Who of the story it was sent to, if they answer."""
    who = meta.world.persons.get(sent.user_id or "") or (person(meta.world, sent.wa_id) if sent.wa_id else None)
    return who if who and who.user_id in meta.world.answering else None


async def _answer(meta: Meta, sent: Sent, who: Person, story: Story, words: str) -> None:
    await asyncio.sleep(REACTS_AFTER)
    if story.likes:
        _say(meta, sent, who, {"type": "reaction", "reaction": {"message_id": sent.id, "emoji": story.likes}})
    await asyncio.sleep(ANSWERS_AFTER - REACTS_AFTER)
    _say(meta, sent, who, messages.text(words))


def _say(meta: Meta, sent: Sent, who: Person, content: Json) -> None:
    phone = meta.world.phone(sent.phone_number_id)
    if phone is None:  # deleted meanwhile
        return
    value = messages.received(meta.world, phone, who, wamid({}), int(meta.world.now()), content)
    if content["type"] != "reaction":
        hear(meta, phone, who)
    try:
        begin(meta, envelope(phone.waba_id, "messages", value, int(meta.world.now())))
    except QueueFull:
        return


ROUTES = (("POST", "/story", tell_story),)
