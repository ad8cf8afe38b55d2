"""Subscriptions: made, changed, paused, read. Everything is limited to the organisation in the caller's token."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import asyncpg
from aiohttp import web
from wabus_runtime.http import bodies
from wabus_runtime.http.answers import Problem, checked, json_response, query_of, too_many_requests
from wabus_runtime.http.auth import authorise
from wabus_runtime.http.paging import cursor_of, page_of, place_of
from wabus_runtime.outbox.names import Names
from wabus_runtime.outbox.public_addresses import is_public

from wabus_subscriptions.api.models import (
    DeliveriesQuery,
    DeliveryPath,
    NewSubscription,
    Place,
    Replay,
    SubscriptionChange,
    SubscriptionPath,
)
from wabus_subscriptions.settings import SubscriptionsApiSettings
from wabus_subscriptions.tables import deliveries, subscriptions
from wabus_subscriptions.tables.subscriptions import Subscription
from wabus_subscriptions.telling.addresses import RefusedAddress, host_and_port
from wabus_subscriptions.telling.pausing import WHY
from wabus_subscriptions.telling.signing import ROTATIONS_MOST, rotated_again_at, secrets_of, text_of
from wabus_subscriptions.telling.types import unknown

WAITING_SHOWN = 1_000
RESOLVE_TIMEOUT = 5.0  # seconds
LOOKUPS = 16  # names that are looked up at once


@dataclass(frozen=True)
class SubscriptionsApi:
    """What the handlers need; they are its methods."""

    pool: Callable[[], asyncpg.Pool]
    settings: SubscriptionsApiSettings
    names: Names = field(default_factory=lambda: Names(LOOKUPS))

    async def create(self, request: web.Request) -> web.Response:
        """POST /subscriptions"""
        caller = await authorise(request)
        asked = await bodies.json_body(request, NewSubscription)
        _check_types(asked.types)
        await self._check_address(asked.url)
        created = await subscriptions.create(
            self.pool(),
            str(uuid4()),
            caller.org_id,
            asked.url,
            asked.types,
            asked.description,
            None if asked.since is None else _past(asked.since, datetime.now(UTC)),
            self.settings.subscriptions_per_org,
        )
        if created is None:
            most = self.settings.subscriptions_per_org
            raise Problem(
                409, "too_many_subscriptions", "Too many subscriptions", f"There are {most} already: delete one first."
            )
        content = await self._view(created)
        return json_response({**content, "secret": self._secrets(created)[0]}, 201)

    async def all(self, request: web.Request) -> web.Response:
        """GET /subscriptions"""
        caller = await authorise(request)
        found = await subscriptions.of_organisation(self.pool(), caller.org_id)
        return json_response({"subscriptions": [await self._view(each) for each in found]})

    async def one(self, request: web.Request) -> web.Response:
        """GET /subscriptions/{subscription_id}"""
        return json_response(await self._view(await self._asked(request)))

    async def change(self, request: web.Request) -> web.Response:
        """PATCH /subscriptions/{subscription_id}"""
        held = await self._asked(request)
        asked = await bodies.json_body(request, SubscriptionChange)
        _check_types(asked.types)
        if asked.url is not None:
            await self._check_address(asked.url)
        types = asked.types if "types" in asked.model_fields_set else held.types
        description = held.description if asked.description is None else asked.description
        async with self.pool().acquire() as connection, connection.transaction():
            name = held.subscription_id
            if asked.status == "paused":  # first, for who folds locks in this order
                await subscriptions.pause(connection, name, "asked", datetime.now(UTC))
            await subscriptions.change(connection, name, asked.url or held.url, types, description)
            if asked.status == "active":
                await subscriptions.go_on(connection, name, None)
        return json_response(await self._view(await self._asked(request)))

    async def delete(self, request: web.Request) -> web.Response:
        """DELETE /subscriptions/{subscription_id}"""
        caller = await authorise(request)
        asked = checked(SubscriptionPath, dict(request.match_info)).subscription_id
        if not await subscriptions.delete(self.pool(), caller.org_id, asked):
            raise _not_found()
        return web.Response(status=204)

    async def replay(self, request: web.Request) -> web.Response:
        """POST /subscriptions/{subscription_id}/replay"""
        held = await self._asked(request)
        asked = await bodies.json_body(request, Replay)
        now = datetime.now(UTC)
        since = _past(asked.since, now)
        async with self.pool().acquire() as connection, connection.transaction():
            await subscriptions.pause(connection, held.subscription_id, "asked", now)
            await subscriptions.go_on(connection, held.subscription_id, since)
        return json_response(await self._view(await self._asked(request)), 202)

    async def secrets(self, request: web.Request) -> web.Response:
        """GET /subscriptions/{subscription_id}/secrets"""
        return json_response({"secrets": self._secrets(await self._asked(request))})

    async def rotate(self, request: web.Request) -> web.Response:
        """POST /subscriptions/{subscription_id}/secrets: the one before signs too, for a day."""
        held, now = await self._asked(request), datetime.now(UTC)
        if (free := rotated_again_at(held.rotations, now)) is not None:
            raise too_many_requests(
                f"A secret may be replaced {ROTATIONS_MOST} times a day, for each signs for a day after.",
                (free - now).total_seconds(),
            )
        rotated = await subscriptions.rotate(self.pool(), held, now)
        if rotated is None:
            raise Problem(409, "changed_meanwhile", "Somebody was faster", "It was changed or deleted meanwhile.")
        return json_response({"secrets": self._secrets(rotated)}, 201)

    async def deliveries(self, request: web.Request) -> web.Response:
        """GET /subscriptions/{subscription_id}/deliveries"""
        held = await self._asked(request)
        asked = checked(DeliveriesQuery, query_of(request))
        after = place_of(asked.after, Place) if asked.after else None
        rows = await deliveries.page(self.pool(), held.subscription_id, asked.state, after, asked.limit)
        page, last = page_of(rows, asked.limit)
        content = {
            "deliveries": [dict(row) for row in page],
            "next": cursor_of((last["at"], last["event_id"])) if last else None,
        }
        return json_response(content)

    async def again(self, request: web.Request) -> web.Response:
        """POST /subscriptions/{subscription_id}/deliveries/{event_id}/again"""
        held = await self._asked(request)
        asked = checked(DeliveryPath, dict(request.match_info)).event_id
        if not await deliveries.ask_again(self.pool(), held.subscription_id, asked, datetime.now(UTC)):
            raise Problem(
                404, "delivery_not_found", "No such delivery", "No delivery of this event has ended in the last days."
            )
        return json_response({"event_id": asked, "status": "asked"}, 202)

    async def _asked(self, request: web.Request) -> Subscription:
        caller = await authorise(request)
        asked = checked(SubscriptionPath, {"subscription_id": request.match_info["subscription_id"]})
        found = await subscriptions.one(self.pool(), caller.org_id, asked.subscription_id)
        if found is None:
            raise _not_found()
        return found

    async def _view(self, held: Subscription) -> dict[str, Any]:
        paused = None
        if held.reason is not None:
            paused = {"reason": held.reason, "detail": WHY[held.reason], "since": held.paused_at}
        return {
            "subscription_id": held.subscription_id,
            "url": held.url,
            "types": held.types,
            "description": held.description,
            "status": held.status,
            "paused": paused,
            "failing_since": held.failing_since,
            "waiting": await subscriptions.waiting(self.pool(), held.subscription_id, WAITING_SHOWN),
            "created_at": held.created_at,
        }

    def _secrets(self, held: Subscription) -> list[str]:
        key, now = self.settings.identity_bytes, datetime.now(UTC)
        found = secrets_of(key, held.subscription_id, held.generation, held.rotations, now)
        return [text_of(secret) for secret in found]

    async def _check_address(self, url: str) -> None:
        """Raises a problem where nothing may be told: what a name leads to now is looked at too."""
        private = self.settings.subscriptions_private_addresses
        try:
            host, port = host_and_port(url, private=private)
        except RefusedAddress as refused:
            raise _refused(str(refused)) from None
        if private:
            return
        try:
            async with asyncio.timeout(RESOLVE_TIMEOUT):
                found = await self.names.resolve(host, port)
        except (TimeoutError, OSError, UnicodeError):
            raise _refused("No address was found for this host.") from None
        if not all(is_public(address["host"]) for address in found):
            raise _refused("This host is not public.")


def _past(since: datetime, now: datetime) -> datetime:
    """A moment that the log can be asked for; nothing was logged before 1970. Raises a problem for the future."""
    if since > now:
        raise Problem(422, "invalid_request", "The request is invalid", "Please check: since.", fields=["since"])
    return max(since, datetime.fromtimestamp(0, UTC))


def _check_types(names: list[str] | None) -> None:
    if names and unknown(names):
        detail = "No event is called so; the names are in the catalogue."
        raise Problem(422, "unknown_event_type", "Unknown type of event", detail, fields=["types"])


def _refused(why: str) -> Problem:
    return Problem(422, "address_refused", "This address can't be told", why, fields=["url"])


def _not_found() -> Problem:
    return Problem(
        404, "subscription_not_found", "No such subscription", "There is no subscription of yours with this id."
    )
