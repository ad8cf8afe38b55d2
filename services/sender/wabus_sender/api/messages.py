"""POST /messages: what is asked for is in the log before it is answered, and once, however often a key is sent."""

import hashlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, NamedTuple
from uuid import uuid4

import asyncpg
import orjson
from aiohttp import web
from wabus_events import SendRequested, fact_id
from wabus_runtime.http.answers import Problem, checked, json_response
from wabus_runtime.http.auth import Caller, authorise
from wabus_runtime.http.bodies import json_body
from wabus_runtime.http.headers import idempotency_key, preferred_wait, waited_for
from wabus_runtime.identity.pseudonyms import Pseudonyms
from wabus_runtime.kafka.publisher import Publisher

from wabus_sender.api import views
from wabus_sender.api.models import BatchRequest, SendPath, SendRequest
from wabus_sender.api.pricing import Pricing
from wabus_sender.api.queue_bound import QueueBound
from wabus_sender.api.sends import SendsApi
from wabus_sender.api.wanted import KnownWish, Wish, check_message, invalid, known_of, problem_of, wish_of
from wabus_sender.sending.checks import HELD_OUT
from wabus_sender.sending.experiments import Chosen
from wabus_sender.sending.requests import LONGEST, expires
from wabus_sender.tables import keys, reading
from wabus_sender.tables.keys import Reserved
from wabus_sender.tables.people import contacts, free_entries
from wabus_sender.tables.people.contacts import Address

BATCH_BYTES = 2 * 1024 * 1024


WishFor = Callable[[Mapping[str, Any] | None], Awaitable[Wish]]
"""Makes the wish; given what an Idempotency-Key stands for already, the same one as then."""


class Taken(NamedTuple):
    """A send that was asked for, perhaps before, and the event that has to be in the log, unless it is there."""

    reserved: Reserved
    event: SendRequested | None


@dataclass(frozen=True)
class MessagesApi:
    """What the handlers need; they are its methods."""

    pool: Callable[[], asyncpg.Pool]
    publisher: Publisher
    pseudonyms: Pseudonyms
    bound: QueueBound
    sends: SendsApi
    pricing: Pricing

    async def send(self, request: web.Request) -> web.Response:
        """POST /messages"""
        caller = await authorise(request)
        key, asked, now = idempotency_key(request), await json_body(request, SendRequest), datetime.now(UTC)
        check_message(asked)
        taken = await self._taken(caller, key, hash_of(asked), now, self._wish(caller, asked, now))
        return await self._publish(request, caller, taken)

    async def send_batch(self, request: web.Request) -> web.Response:
        """POST /messages/batch: each as if it were sent alone; one that is refused keeps no other back."""
        caller = await authorise(request)
        asked, now = await json_body(request, BatchRequest, BATCH_BYTES), datetime.now(UTC)
        taken: list[Taken | Problem] = []
        for each in asked.messages:
            message = SendRequest.model_validate(each.model_dump(by_alias=True, exclude={"idempotency_key"}))
            wishes = self._wish(caller, message, now)
            try:
                check_message(message)
                taken.append(await self._taken(caller, each.idempotency_key, hash_of(message), now, wishes))
            except Problem as problem:
                taken.append(problem)
        await self.publisher.publish([each.event for each in taken if isinstance(each, Taken) and each.event])
        return json_response({"results": [_result(each) for each in taken]})

    async def again(self, request: web.Request) -> web.Response:
        """POST /sends/{send_id}/again: the same message as a new send, because a person wants it."""
        caller = await authorise(request)
        send_id = checked(SendPath, dict(request.match_info)).send_id
        row = await self.sends.one(caller, send_id, reading.to_repeat)
        if row["state"] in ("queued", "calling"):
            raise Problem(
                409,
                "not_ended",
                "It has not ended",
                "It waits, or WhatsApp is being asked: what becomes of it is not known yet.",
                state=row["state"],
            )

        if row["withheld"]:
            raise problem_of(HELD_OUT)
        arm = row["experiment_id"] and Chosen(row["experiment_id"], row["arm"], None)

        async def wish(_kept: Mapping[str, Any] | None) -> Wish:
            # Whoever is in the conversation may have another number since, and a stranger theirs.
            phone_number_id, conversation_id = row["phone_number_id"], row["conversation_id"]
            found = conversation_id and await contacts.address(self.pool(), caller.org_id, conversation_id)
            address = found or Address(phone_number_id, row["wa_id"], row["user_id"])
            return Wish(
                phone_number_id, address.wa_id, address.user_id, row["message"], conversation_id,
                row["label"], row["metadata"], again_of=send_id, chosen=arm or None,
            )  # fmt: skip

        body_hash = hashlib.sha256(f"again {send_id}".encode()).digest()
        taken = await self._taken(caller, idempotency_key(request), body_hash, datetime.now(UTC), wish)
        return await self._publish(request, caller, taken)

    async def check(self, request: web.Request) -> web.Response:
        """POST /messages/check: all that is checked, and nothing is sent."""
        caller = await authorise(request)
        asked, now = await json_body(request, SendRequest), datetime.now(UTC)
        check_message(asked)
        wish = await self._wish(caller, asked, now)(None)
        known = await known_of(self.pool(), caller.org_id, wish, now)
        refusal = views.refused(known.refusal.code, "check") if known.refusal else None
        free = await free_entries.of(self.pool(), caller.org_id, wish.phone_number_id, wish.value)
        price = self.pricing.price(known, free, now)
        return json_response({"ok": refusal is None, "lane": known.lane, "refusal": refusal, "price": price})

    def _wish(self, caller: Caller, asked: SendRequest, now: datetime) -> WishFor:
        async def wish(kept: Mapping[str, Any] | None) -> Wish:
            if kept is None:  # else it was in time when it was asked for first
                _check_times(asked, now)
            return await wish_of(self.pool(), caller.org_id, asked, now, kept)

        return wish

    async def _taken(self, caller: Caller, key: str | None, body_hash: bytes, now: datetime, wish: WishFor) -> Taken:
        """Let the key stand for a new send, or find the one that it stands for. Raises a problem."""
        known: KnownWish | None = None
        reserved = await keys.find(self.pool(), caller.org_id, key, now) if key else None
        if reserved is None:
            known = await known_of(self.pool(), caller.org_id, await wish(None), now)
            if known.refusal:
                raise problem_of(known.refusal)
            send_id = str(uuid4())
            await self.bound.admit(caller.org_id, known.lane, send_id)
            until = expires(known.lane, now, known.wish.not_before, known.wish.expires_at)
            reserved = Reserved(
                body_hash, send_id, {"lane": known.lane, "expires_at": until.isoformat(), **_kept(known)}, now
            )
            if key:
                reserved = await keys.reserve(self.pool(), caller.org_id, key, reserved)
                if reserved.send_id != send_id:
                    self.bound.give_back(caller.org_id, send_id)
        if reserved.body_hash != body_hash:
            raise Problem(
                422,
                "key_reused",
                "Another request had this key",
                "This Idempotency-Key was sent with another body in the last 48 hours. Please use a new key.",
            )
        if await reading.state_of(self.pool(), reserved.send_id) is not None:
            return Taken(reserved, None)
        # New, or whoever had the key reserved may have ended before it was published: the same once more.
        known = known or await known_of(self.pool(), caller.org_id, await wish(reserved.answer), now)
        return Taken(reserved, await self._event(caller, known, reserved))

    async def _publish(self, request: web.Request, caller: Caller, taken: Taken) -> web.Response:
        """Answer once it is in the log, or has come to an end where the client waits for that."""
        if taken.event:
            await self.publisher.publish([taken.event])
        wait, send_id = preferred_wait(request), taken.reserved.send_id
        if wait and (row := await self.sends.come_to_an_end(caller.org_id, send_id, wait)):
            return json_response(views.send(row), 200, waited_for(wait))
        return json_response(_answer(taken.reserved), 202, {"Location": f"/sends/{send_id}", **waited_for(wait)})

    async def _event(self, caller: Caller, known: KnownWish, reserved: Reserved) -> SendRequested:
        wish, template = known.wish, known.template
        name, language = wish.template or (None, None)
        return SendRequested(
            id=fact_id(SendRequested.type, reserved.send_id),
            time=reserved.created_at,
            org_id=caller.org_id,
            waba_id=known.waba_id,
            phone_number_id=wish.phone_number_id,
            send_id=reserved.send_id,
            lane=reserved.answer["lane"],
            kind=wish.kind,
            to=wish.wa_id,
            recipient=wish.user_id,
            conversation_id=wish.conversation_id,
            message={} if reserved.answer.get("withheld") else dict(wish.message),
            template_name=name,
            template_language=language,
            template_id=template and template.template_id,
            template_version=template and template.version,
            not_before=wish.not_before,
            expires_at=datetime.fromisoformat(reserved.answer["expires_at"]),
            label=wish.label,
            metadata=wish.metadata,
            requested_by=await self.pseudonyms.of(caller.org_id, caller.subject),
            again_of=wish.again_of,
            experiment_id=wish.chosen and wish.chosen.experiment_id,
            arm=wish.chosen and wish.chosen.arm,
            epoch=wish.chosen and wish.chosen.epoch,
            withheld=reserved.answer.get("withheld"),
        )


def _kept(known: KnownWish) -> dict[str, Any]:
    """What an experiment has chosen, so that the same key means the same."""
    chosen = known.wish.chosen
    arm = {"experiment_id": chosen.experiment_id, "arm": chosen.arm, "epoch": chosen.epoch} if chosen else {}
    return {**arm, "withheld": known.withheld}


def hash_of(asked: SendRequest) -> bytes:
    """The same for the same request, in whatever order its members come."""
    plain = asked.model_dump(mode="json", exclude_none=True)
    return hashlib.sha256(orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)).digest()


def _answer(reserved: Reserved) -> Mapping[str, Any]:
    return {
        "send_id": reserved.send_id,
        "state": "refused" if reserved.answer.get("withheld") else "queued",
        "experiment_id": reserved.answer.get("experiment_id"),
        "arm": reserved.answer.get("arm"),
        "withheld": reserved.answer.get("withheld"),
        "lane": reserved.answer["lane"],
        "requested_at": reserved.created_at,
        "expires_at": datetime.fromisoformat(reserved.answer["expires_at"]),
    }


def _result(each: Taken | Problem) -> Mapping[str, Any]:
    if isinstance(each, Taken):
        return {"taken": _answer(each.reserved), "refused": None}
    fields: Sequence[str] = each.members.get("fields", ())
    told = {"status": each.status, "code": each.code, "detail": each.detail, "fields": list(fields)}
    return {"taken": None, "refused": told | {"remedy": each.members.get("remedy")}}


def _check_times(asked: SendRequest, now: datetime) -> None:
    """Raises a problem that names the member that does not fit."""
    if asked.not_before and asked.not_before > now + LONGEST:
        raise invalid("not_before")
    if asked.expires_at and asked.expires_at <= max(now, asked.not_before or now):
        raise invalid("expires_at")
