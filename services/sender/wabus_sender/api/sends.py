"""What became of what was asked for, and what people do about it. Limited to the organisation in the caller's token."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import asyncpg
from aiohttp import web
from wabus_events import LabelPaused, LabelResumed, ReadMarkRequested, SendCancelled, fact_id
from wabus_runtime.http.answers import Problem, checked, json_response, query_of
from wabus_runtime.http.auth import Caller, authorise
from wabus_runtime.http.bodies import json_body
from wabus_runtime.http.headers import preferred_wait, tagged_response, waited_for
from wabus_runtime.http.paging import cursor_of, page_of, place_of
from wabus_runtime.identity.pseudonyms import Pseudonyms
from wabus_runtime.kafka.publisher import Publisher
from wabus_runtime.postgres.announcements import Announcements

from wabus_sender.api import views
from wabus_sender.api.models import LabelRequest, ListPlace, ReadRequest, SendPath, SendsQuery
from wabus_sender.api.people.seeing import requested_by
from wabus_sender.api.wanted import conversation_unknown, invalid, problem_of
from wabus_sender.sending.checks import NOT_YOUR_NUMBER
from wabus_sender.sending.requests import unstorable
from wabus_sender.sending.states import FINAL
from wabus_sender.tables import facts, labels, reading
from wabus_sender.tables.people import contacts
from wabus_sender.tables.reading import WantedSends

READ_LIVES = timedelta(minutes=10)
FOLDED_WITHIN = 3.0  # seconds in which a send that was just asked for is mostly in the tables
TYPING_LIVES = timedelta(seconds=20)
"""Meta shows it for 25 seconds (Meta: "Typing indicators")."""


@dataclass(frozen=True)
class SendsApi:
    """What the handlers need; they are its methods."""

    pool: Callable[[], asyncpg.Pool]
    publisher: Publisher
    pseudonyms: Pseudonyms
    announcements: Announcements

    async def list_sends(self, request: web.Request) -> web.Response:
        """GET /sends"""
        caller = await authorise(request)
        asked = checked(SendsQuery, query_of(request))
        after = place_of(asked.after, ListPlace) if asked.after else None
        own = await requested_by(self.pool(), self.pseudonyms, caller)
        wanted = WantedSends(caller.org_id, asked.state, asked.label, asked.phone_number_id, own, after, asked.limit)
        page, last = page_of(await reading.some(self.pool(), wanted), asked.limit)
        content = {
            "sends": [views.send(row) for row in page],
            "next": cursor_of((last["requested_at"], last["send_id"])) if last else None,
        }
        return tagged_response(request, content)

    async def one_send(self, request: web.Request) -> web.Response:
        """GET /sends/{send_id}"""
        caller = await authorise(request)
        send_id = checked(SendPath, dict(request.match_info)).send_id
        return tagged_response(request, views.send(await self.one(caller, send_id, reading.one)))

    async def cancel(self, request: web.Request) -> web.Response:
        """POST /sends/{send_id}/cancel: only what Meta was not asked for yet."""
        caller = await authorise(request)
        send_id = checked(SendPath, dict(request.match_info)).send_id
        row = await self.one(caller, send_id, reading.one)
        if row["state"] not in ("queued", "cancelled"):
            raise Problem(
                409,
                "not_cancellable",
                "It can't be cancelled",
                "WhatsApp was asked to send it already, or it has come to an end.",
                state=row["state"],
            )
        cancelled = SendCancelled(
            id=fact_id(SendCancelled.type, send_id),
            time=datetime.now(UTC),
            org_id=caller.org_id,
            waba_id=row["waba_id"],
            phone_number_id=row["phone_number_id"],
            send_id=send_id,
            requested_by=await self.pseudonyms.of(caller.org_id, caller.subject),
        )
        await self.publisher.publish([cancelled])
        wait = preferred_wait(request)
        ended = await self.come_to_an_end(caller.org_id, send_id, wait) if wait else None
        return json_response(views.send(ended or row), 200 if ended else 202, waited_for(wait))

    async def read(self, request: web.Request) -> web.Response:
        """POST /messages/read: the last message of the person, with all before it."""
        caller = await authorise(request)
        asked, now = await json_body(request, ReadRequest), datetime.now(UTC)
        address = await contacts.address(self.pool(), caller.org_id, asked.conversation_id)
        if address is None:
            raise conversation_unknown()
        phone_number_id, wa_id, user_id = address
        number = await facts.number(self.pool(), phone_number_id)
        if number is None or number.org_id != caller.org_id:
            raise problem_of(NOT_YOUR_NUMBER)
        values = [value for value in (wa_id, user_id) if value]
        wamid = await contacts.last_wamid(self.pool(), caller.org_id, phone_number_id, values)
        if wamid is None:
            raise Problem(
                422,
                "nothing_to_read",
                "Nothing to read",
                "The person has written nothing in the last 30 days that could be marked as read.",
            )
        lives = TYPING_LIVES if asked.typing else READ_LIVES
        mark = ReadMarkRequested(
            id=fact_id(ReadMarkRequested.type, caller.org_id, wamid, int(asked.typing), now.isoformat()),
            time=now,
            org_id=caller.org_id,
            waba_id=number.waba_id,
            phone_number_id=phone_number_id,
            wamid=wamid,
            typing=asked.typing,
            expires_at=now + lives,
            requested_by=await self.pseudonyms.of(caller.org_id, caller.subject),
        )
        await self.publisher.publish([mark])
        return json_response({"conversation_id": asked.conversation_id, "typing": asked.typing}, 202)

    async def pause(self, request: web.Request) -> web.Response:
        """POST /sends/pause: what has a label waits, also what is asked for from now on."""
        return await self._switch(request, LabelPaused)

    async def resume(self, request: web.Request) -> web.Response:
        """POST /sends/resume"""
        return await self._switch(request, LabelResumed)

    async def _switch(self, request: web.Request, kind: type[LabelPaused | LabelResumed]) -> web.Response:
        caller = await authorise(request)
        label = (await json_body(request, LabelRequest)).label
        if unstorable(label):
            raise invalid("label")
        now = datetime.now(UTC)
        by = await self.pseudonyms.of(caller.org_id, caller.subject)
        events = [
            kind(
                id=fact_id(kind.type, caller.org_id, phone_number_id, label, now.isoformat()),
                time=now,
                org_id=caller.org_id,
                waba_id=waba_id,
                phone_number_id=phone_number_id,
                label=label,
                requested_by=by,
            )
            for phone_number_id, waba_id in (await labels.numbers_of(self.pool(), caller.org_id)).items()
        ]
        if events:
            await self.publisher.publish(events)
        return json_response({"label": label, "paused": kind is LabelPaused}, 202)

    async def come_to_an_end(self, org_id: str, send_id: str, wait: float) -> asyncpg.Record | None:
        """The send once nothing more happens to it by itself, if that is within so many seconds."""
        found: list[asyncpg.Record] = []

        async def ended() -> bool:
            row = await reading.one(self.pool(), org_id, send_id)
            if row is None or row["state"] not in (*FINAL, "unknown"):
                return False
            found.append(row)
            return True

        await self.announcements.until(ended, wait)
        return found[0] if found else None

    async def one(self, caller: Caller, send_id: str, find: reading.Find) -> asyncpg.Record:
        """A send, which its caller may know of before the tables do. Raises a problem where there is none."""
        own = await requested_by(self.pool(), self.pseudonyms, caller)
        found: list[asyncpg.Record] = []

        async def is_there() -> bool:
            row = await find(self.pool(), caller.org_id, send_id, own)
            found.extend([row] if row else ())
            return bool(found)

        if not await is_there() and not await self.announcements.until(is_there, FOLDED_WITHIN):
            raise Problem(404, "send_not_found", "No such send", "There is no send of yours with this id.")
        return found[0]
