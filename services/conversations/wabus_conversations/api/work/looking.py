"""Who is looking at a conversation or writes in it just now: said by pages, and passed on to those who follow.

It is kept nowhere. PostgreSQL's NOTIFY takes it to every process of the API; who is cut off meanwhile misses it, and
pages say it again every few seconds.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Literal

import structlog
from aiohttp import web
from pydantic import BaseModel, ConfigDict, ValidationError
from wabus_runtime.feed.feed import Feed
from wabus_runtime.feed.frames import Frame
from wabus_runtime.http.answers import checked, too_many_requests
from wabus_runtime.http.auth import authorise, subject_of
from wabus_runtime.http.bodies import json_body
from wabus_runtime.http.rates import Rates
from wabus_runtime.postgres.announcements import ALIVE_CHECK, listen_for_ever
from wabus_runtime.postgres.read_replica import Reads

from wabus_conversations.api.conversations import find_current
from wabus_conversations.api.models import ConversationPath
from wabus_conversations.api.seeing import whose_is
from wabus_conversations.api.work.models import Subject
from wabus_conversations.threads.following import Whose

CHANNEL = "conversations_looking"
A_MINUTE = 120  # times that one person may say it, at one process

Doing = Literal["looking", "writing", "gone"]

log = structlog.get_logger()


class LookingRequest(BaseModel):
    """The body of POST /conversations/{conversation_id}/looking."""

    model_config = ConfigDict(extra="forbid")

    doing: Doing


class _Said(BaseModel):
    """What processes tell each other."""

    org_id: str
    conversation_id: str
    agent: Subject
    doing: Doing
    whose: Whose | None = None
    """Whom the conversation is for; None where a process of the release before said it."""


@dataclass(frozen=True)
class LookingApi:
    """What the handler needs, and what passes on what others have said."""

    feed: Feed
    reads: Callable[[], Reads]
    rates: Rates = field(default_factory=lambda: Rates(A_MINUTE))

    async def looking(self, request: web.Request) -> web.Response:
        """POST /conversations/{conversation_id}/looking"""
        caller = await authorise(request)
        asked_id = checked(ConversationPath, dict(request.match_info)).conversation_id
        asked = await json_body(request, LookingRequest)
        agent = subject_of(caller)
        wait = self.rates.note(f"{caller.org_id}\x1f{agent}", time.monotonic())
        if wait is not None:
            detail = f"You may say this {A_MINUTE} times a minute. Please try again in a moment."
            raise too_many_requests(detail, wait)
        primary = self.reads().primary
        conversation_id = await find_current(primary, caller, asked_id)
        said = _Said(
            org_id=caller.org_id,
            conversation_id=conversation_id,
            agent=agent,
            doing=asked.doing,
            whose=await whose_is(primary, caller.org_id, conversation_id),
        )
        await primary.execute("SELECT pg_notify($1, $2)", CHANNEL, said.model_dump_json())
        return web.Response(status=204)

    async def run(self, ready: Callable[[], None]) -> None:
        """Pass on what is said, for ever. Raises when the connection is lost, unless a replica goes on answering."""

        async def serve(_reads: Reads, alive: Callable[[], Awaitable[object]]) -> None:
            ready()
            while True:
                await asyncio.sleep(ALIVE_CHECK)
                await alive()

        await listen_for_ever(self.reads, CHANNEL, self._hear, serve)

    def _hear(self, _connection: object, _process: int, _channel: str, payload: object) -> None:
        try:
            said = _Said.model_validate_json(str(payload))
        except ValidationError:  # another release's
            log.info("what somebody looks at is not understood", action="looking_not_understood")
            return
        content = {"conversation_id": said.conversation_id, "agent": said.agent, "doing": said.doing}
        about = {"conversation_id": said.conversation_id, "whose": said.whose}
        self.feed.pass_on(said.org_id, Frame("looking", content, about))
