"""The pages with everything they ask for, on this machine alone: no Kafka, no database, no Meta.

The answers are made by the services' own pure parts, of events that a test tells: what the page shows is judged by the
code that judges in production, and a state that takes Meta a month is there in a moment.

PYTEST_DONT_REWRITE: it is imported as a plugin and by name.
"""

import asyncio
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from aiohttp import web
from local_stack import free_ports
from playwright.sync_api import Page, expect
from simulated_meta.seed import DEMO_WABA, demo_templates
from wabus_events import (
    AccountChecked,
    AccountConnected,
    AccountDisconnected,
    CallbackVerified,
    CheckedNumber,
    Event,
    PhoneNumber,
    TemplatesSynced,
    TemplateStatusChanged,
    TemplateSyncRequested,
    fact_id,
)
from wabus_gateway.api.status_page import PAGES, UiSettings, install_ui
from wabus_health_projector.api.live import digest_of, snapshot
from wabus_health_projector.api.models import DetailedHealth, detailed
from wabus_health_projector.health.fold import fold_all
from wabus_health_projector.health.state import WabaHealth
from wabus_health_projector.health.summary import summarise
from wabus_health_projector.health.traffic import Traffic
from wabus_health_projector.tables.reading import KindCount, Organisation, Waba
from wabus_health_projector.worker.lag import Freshness
from wabus_runtime.http.answers import Problem, json_response, problems
from wabus_runtime.http.auth import VERIFIER, Caller, Verifier, authenticate, authorise, make_token
from wabus_runtime.http.streams import event, send_events
from wabus_template_sync.api.models import AccountView, TemplateView
from wabus_whatsapp.templates.parse import counts, dump_template, parse_template

SECRET = "a-secret-of-at-least-32-characters-for-tests"
ORG = "demo"
PARTS = {"parameter_format", "header", "body", "footer", "buttons", "carousel", "limited_time_offer"}
NEXT_TRY = timedelta(minutes=4, seconds=30)  # from a failed sync on
SYNC_OF = "sync-of-{}"


def fact(kind: type[Event], waba_id: str, at: datetime | None = None, **details: Any) -> Event:
    """An event about an account, of this moment unless another is given."""
    at = at or datetime.now(UTC)
    event_id = fact_id(kind.type, waba_id, str(details), at.isoformat())
    about = {"org_id": ORG, "waba_id": waba_id, "id": event_id, "time": at, "value": {}}
    return kind.model_validate({**about, **details})


class PageWorld:
    """An organisation as its events tell it, and the APIs that the page asks. `role` is that of whoever opens it."""

    def __init__(self) -> None:
        self.url = f"http://127.0.0.1:{free_ports(1)[0]}"
        self.settings = UiSettings.model_validate(
            {
                "meta_app_id": "1234567890",
                "meta_app_secrets": "an-app-secret-for-tests",
                "meta_verify_token": "a-verify-token-for-tests",
                "public_url": self.url,
                "jwt_secret": SECRET,
                "ui_local_org": ORG,
            }
        )
        self.asked: list[str] = []
        """Every request for data, as `GET /templates`."""
        self.clear()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def clear(self) -> None:
        """Nothing is connected, and nothing goes wrong."""
        self.accounts: dict[str, WabaHealth] = {}
        self.traffic: dict[str, Traffic] = {}
        self.counts: dict[str, tuple[KindCount, ...]] = {}
        self.templates: dict[str, list[dict[str, Any]]] = {}
        self.progress: dict[str, dict[str, Any]] = {}
        self.history: list[dict[str, Any]] = []
        self.refusals: dict[str, Problem] = {}
        """What is answered instead, by `METHOD /path`."""
        self.signed_out = False
        self.lag: Freshness | None = None
        self.granted: dict[str, str] = {}
        """What Meta's dialog gives access to: the accounts' names, by their ids."""
        self.silent: set[str] = set()
        """Requests that get no answer although they are done, by `METHOD /path`: the process has died then."""
        self.dead: set[str] = set()
        """Requests that get no answer and are not done."""
        self.asked.clear()

    def start(self) -> None:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._serve(), self._loop).result(20)

    def stop(self) -> None:
        asyncio.run_coroutine_threadsafe(self._end(), self._loop).result(20)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)

    def token(self, role: str = "admin", org_id: str = ORG, lifetime: timedelta = timedelta(hours=1)) -> str:
        return make_token(self.settings, org_id=org_id, role=role, now=datetime.now(UTC), lifetime=lifetime)

    def connect(
        self,
        waba_id: str = DEMO_WABA,
        name: str = "Lucky Shrub",
        *,
        at: datetime | None = None,
        templates: list[dict[str, Any]] | None = None,
        verified: bool = True,
        synced: bool = True,
        **details: Any,
    ) -> str:
        """Connect an account that is as it should be; returns its id."""
        at = at or datetime.now(UTC) - timedelta(hours=2)
        number = PhoneNumber(
            phone_number_id=f"9{waba_id}",
            display_phone_number=f"+1 555-{int(waba_id) % 1000:03d}-3881",
            verified_name=name,
            quality_rating="GREEN",
            messaging_limit="TIER_2K",
        )
        callback = f"https://wabus.example/webhooks/whatsapp/{waba_id}"
        told = [
            fact(
                AccountConnected,
                waba_id,
                at,
                **{
                    "phone_numbers": [number],
                    "callback_url": callback,
                    "scopes": ["whatsapp_business_management", "whatsapp_business_messaging"],
                    **details,
                },
            )
        ]
        if verified:
            told.append(fact(CallbackVerified, waba_id, at, callback_url=callback))
        listed = demo_templates() if templates is None else templates
        self.templates[waba_id] = [self._view(waba_id, raw) for raw in listed] if synced else []
        if synced:
            told.append(self.synced(waba_id, at + timedelta(seconds=2)))
        self.tell(*told)
        return waba_id

    def synced(self, waba_id: str, at: datetime | None = None) -> Event:
        """The end of a sync that found the templates as they are here."""
        found = counts(each["status"] for each in self.templates[waba_id])
        at = at or datetime.now(UTC)
        of = self.accounts[waba_id].sync_requested if waba_id in self.accounts else None
        return fact(
            TemplatesSynced,
            waba_id,
            at,
            sync_id=of.sync_id if of else SYNC_OF.format(waba_id),
            reason="manual",
            started_at=at - timedelta(milliseconds=500),
            total=found.total,
            approved=found.approved,
            by_status=found.by_status,
            added=0,
            changed=0,
            removed=0,
        )

    def misroute(self, waba_id: str) -> None:
        """Somebody has changed the account's callback URL at Meta."""
        self.number_is(waba_id, "CONNECTED", "https://other.example/hook")

    def number_is(self, waba_id: str, status: str, callback_url: str | None = None) -> None:
        """Meta says, when it is asked, that the account's number has this status, and where its webhooks go."""
        [number] = self.accounts[waba_id].connections[ORG].phone_numbers
        ours = f"https://wabus.example/webhooks/whatsapp/{waba_id}"
        asked = CheckedNumber(
            phone_number_id=number.phone_number_id,
            display_phone_number=number.display_phone_number,
            verified_name=number.verified_name,
            status=status,
            callback_url=callback_url or ours,
        )
        self.tell(fact(AccountChecked, waba_id, our_callback_url=ours, subscribed=True, numbers=[asked]))

    def status_of(self, waba_id: str, index: int, event: str, **value: Any) -> None:
        """Meta tells something of one of the account's templates, and the list has it."""
        held = self.templates[waba_id][index]
        self.templates[waba_id] = [
            {**each, "status": event} if each is held else each for each in self.templates[waba_id]
        ]
        self.tell(
            fact(
                TemplateStatusChanged,
                waba_id,
                template_id=held["template_id"],
                name=held["name"],
                language=held["language"],
                event=event,
                value=value,
            )
        )

    def count(self, waba_id: str, **kinds: tuple[int, int, int]) -> None:
        """So many messages of each kind in the last day, week and month."""
        now = datetime.now(UTC)
        self.counts[waba_id] = tuple(KindCount(f"9{waba_id}", kind, *counted, now) for kind, counted in kinds.items())
        self.news()

    def remember(self, changes: list[tuple[str | None, float]]) -> None:
        """What the history has, the newest first: each status, and how many days ago it came to be so."""
        now = datetime.now(UTC)
        self.history = [
            {
                "id": str(number),
                "log_offset": number,
                "from": None,
                "to": status or "pending",
                "reasons": [
                    {"code": "x", "severity": status, "message": "It did not work.", "remedy": "", "waba_id": None}
                ]
                if status == "failing"
                else [],
                "since": now - timedelta(days=days),
                "at": now - timedelta(days=days),
                "until": None,
            }
            for number, (status, days) in enumerate(changes)
        ]

    def fall_behind(self, seconds: int) -> None:
        """The answers are so far behind Kafka."""
        until = datetime.now(UTC) - timedelta(seconds=seconds)
        self.lag = Freshness(records=seconds, ms=seconds * 1000, complete_until=until)
        self.news()

    def disconnect(self, waba_id: str) -> None:
        self.tell(fact(AccountDisconnected, waba_id, reason="requested"))

    def tell(self, *events: Event) -> None:
        """Something happened; whoever follows the health hears of it.

        Told where the APIs tell what they do: of two that told at once, one would fold what the other had not yet.
        """
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            asyncio.run_coroutine_threadsafe(self._told(events), self._loop).result(20)
        else:
            self._fold(events)

    async def _told(self, events: Sequence[Event]) -> None:
        self._fold(events)

    def _fold(self, events: Sequence[Event]) -> None:
        now = datetime.now(UTC)
        for one in events:
            waba_id = one.subject or ""
            held = self.accounts.get(waba_id) or WabaHealth(waba_id=waba_id)
            self.accounts[waba_id] = fold_all(held, [(one, now)])
        self.news()

    def news(self) -> None:
        """Let those who follow look again."""
        if self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._wake)

    def sign_out(self) -> None:
        """From now on no token is accepted, and nobody gets another."""
        self.signed_out = True
        self.news()

    def health(self, org_id: str = ORG) -> DetailedHealth:
        """What `GET /webhook/health/detailed` answers."""
        now = datetime.now(UTC)
        wabas = tuple(
            Waba(health, self.traffic.get(waba_id, Traffic()), self.counts.get(waba_id, ()))
            for waba_id, health in sorted(self.accounts.items())
            if org_id == ORG
        )
        stored = (
            Organisation(summarise(org_id, [(waba.health, waba.health.updated_at or now) for waba in wabas]), wabas)
            if wabas
            else None
        )
        return detailed(org_id, stored, now, self.lag)

    def _view(self, waba_id: str, raw: Mapping[str, Any]) -> dict[str, Any]:
        template = parse_template(dict(raw))
        return TemplateView.model_validate(
            {
                **template.model_dump(exclude={"raw", "fingerprint", "other_components"}),
                "waba_id": waba_id,
                "components": dump_template(template)["components"],
            }
        ).model_dump(mode="json")

    async def _serve(self) -> None:
        self._news = asyncio.Event()
        app = web.Application(middlewares=[problems, self._gate])
        app[VERIFIER] = Verifier(self.settings)
        install_ui(app, self.settings)
        app.router.add_get("/webhook/health/detailed", self._detailed)
        app.router.add_get("/webhook/health/stream", self._stream)
        app.router.add_get("/webhook/health/history", self._history)
        app.router.add_post("/webhook/health/check", self._check)
        app.router.add_get("/templates", self._list)
        app.router.add_get("/templates/status", self._status)
        app.router.add_post("/templates/sync", self._sync)
        app.router.add_get("/whatsapp/connect", self._begin)
        app.router.add_get("/whatsapp/connection", self._connections)
        app.router.add_delete("/whatsapp/connection", self._disconnect)
        app.router.add_post("/whatsapp/setup", self._granted)
        app.router.add_post("/whatsapp/setup/{waba_id}", self._connect_granted)
        app.router.add_get("/dialog", self._dialog)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", int(self.url.rpartition(":")[2])).start()

    async def _end(self) -> None:
        self.signed_out = True
        self._wake()
        await self._runner.cleanup()

    def _wake(self) -> None:
        self._news.set()
        self._news = asyncio.Event()

    @web.middleware
    async def _gate(self, request: web.Request, handler: Callable[[web.Request], Any]) -> web.StreamResponse:
        if request.path in PAGES or (request.path.startswith("/ui/") and request.path != "/ui/session"):
            return await handler(request)
        called = f"{request.method} {request.path}"
        self.asked.append(called)
        if called in self.dead:
            return self._dropped(request)
        if refusal := self.refusals.get(called):
            raise refusal
        if self.signed_out:
            raise Problem(401, "unauthorised", "Not signed in", "Your session has expired. Please sign in again.")
        answer = await handler(request)
        return self._dropped(request) if called in self.silent else answer

    def _dropped(self, request: web.Request) -> web.Response:
        if request.transport:
            request.transport.abort()
        return web.Response()

    async def _detailed(self, request: web.Request) -> web.Response:
        caller = await authenticate(request)
        return json_response(self.health(caller.org_id))

    async def _stream(self, request: web.Request) -> web.StreamResponse:
        caller = await authenticate(request)
        known = digest_of(request.headers.get("Last-Event-ID", ""))

        async def next_event(timeout: float) -> bytes | None:
            nonlocal known
            news = self._news
            newest = snapshot(self.health(caller.org_id), 1, datetime.now(UTC))
            if newest.digest == known:
                try:
                    async with asyncio.timeout(timeout):
                        await news.wait()
                except TimeoutError:
                    return None
                if self.signed_out:
                    raise StopAsyncIteration
                newest = snapshot(self.health(caller.org_id), 1, datetime.now(UTC))
                if newest.digest == known:
                    return None
            known = newest.digest
            return event("health", newest.body, newest.id)

        return await send_events(request, next_event, expires_at=caller.expires_at, closing=lambda: self.signed_out)

    async def _history(self, request: web.Request) -> web.Response:
        await authenticate(request)
        return json_response({"changes": self.history, "next": None})

    async def _check(self, request: web.Request) -> web.Response:
        await authorise(request)
        return json_response({"check_id": "c", "waba_ids": sorted(self.accounts), "status": "checked"})

    async def _list(self, request: web.Request) -> web.Response:
        connected = self._connected(await authenticate(request))
        found = [each for waba_id in connected for each in self.templates.get(waba_id, [])]
        found.sort(key=lambda each: (each["name"], each["language"], each["waba_id"], each["template_id"]))
        return json_response({"templates": found, "total": len(found), "next": None})

    async def _status(self, request: web.Request) -> web.Response:
        accounts = [self._account(waba_id) for waba_id in self._connected(await authenticate(request))]
        return json_response({"status": "synced", "accounts": accounts})

    def _connected(self, caller: Caller) -> list[str]:
        return [waba_id for waba_id, health in self.accounts.items() if health.connection and caller.org_id == ORG]

    def _account(self, waba_id: str) -> dict[str, Any]:
        health = self.accounts[waba_id]
        found = counts(each["status"] for each in self.templates.get(waba_id, []))
        status = "syncing" if health.sync_status in ("requested", "syncing") else health.sync_status
        failure, done, asked = health.last_failure, health.sync_done, health.sync_requested
        current = asked if status == "syncing" and asked else failure if status == "failed" else done
        return AccountView.model_validate(
            {
                "waba_id": waba_id,
                "status": status,
                "sync_id": current.sync_id if current else None,
                "last_sync_at": done.at if done else None,
                "total": found.total,
                "approved": found.approved,
                "by_status": found.by_status,
                "last_error": {
                    "code": failure.code, "message": failure.message, "retryable": failure.retryable, "at": failure.at,
                } if failure else None,
                "next_try_at": failure.at + NEXT_TRY if status == "failed" and failure and failure.retryable else None,
                "progress": self.progress.get(waba_id),
            }
        ).model_dump()  # fmt: skip

    async def _sync(self, request: web.Request) -> web.Response:
        await authorise(request)
        waba_id = (await request.json())["waba_id"]
        sync_id = fact_id("sync", waba_id, datetime.now(UTC).isoformat())
        self.tell(fact(TemplateSyncRequested, waba_id, sync_id=sync_id, reason="manual"))
        return json_response({"status": "syncing", "sync_ids": [sync_id], "syncs": []}, 202)

    async def _begin(self, request: web.Request) -> web.Response:
        await authenticate(request)
        return json_response({"authorization_url": f"{self.url}/dialog", "expires_at": datetime.now(UTC)})

    async def _dialog(self, request: web.Request) -> web.Response:
        text = "<!doctype html><html lang=en><title>Meta</title><h1>Meta asks for your consent</h1>"
        return web.Response(text=text, content_type="text/html")

    async def _connections(self, request: web.Request) -> web.Response:
        caller = await authenticate(request)
        found = [
            {"waba_id": waba_id, "connected_at": health.connection.at, "token_expires_at": None, "scopes": []}
            for waba_id, health in self.accounts.items()
            if health.connection
        ]
        return json_response({"org_id": caller.org_id, "connections": found})

    async def _granted(self, request: web.Request) -> web.Response:
        accounts = [
            {"waba_id": waba_id, "name": name, "connected": waba_id in self.accounts}
            for waba_id, name in self.granted.items()
        ]
        return json_response({"setup": "chosen", "org_id": ORG, "accounts": accounts})

    async def _connect_granted(self, request: web.Request) -> web.Response:
        waba_id = request.match_info["waba_id"]
        self.connect(waba_id, self.granted[waba_id], at=datetime.now(UTC))
        return json_response({"org_id": ORG, "waba_id": waba_id}, 201)

    async def _disconnect(self, request: web.Request) -> web.Response:
        await authorise(request)
        waba_id = request.query["waba_id"]
        self.disconnect(waba_id)
        return json_response({"disconnected": [waba_id]})


@pytest.fixture(scope="session")
def shared_world() -> Iterator[PageWorld]:
    world = PageWorld()
    world.start()
    yield world
    world.stop()


@pytest.fixture
def world(shared_world: PageWorld) -> PageWorld:
    """Nothing is connected yet."""
    shared_world.clear()
    return shared_world


def open_connected(world: PageWorld, page: Page, path: str = "/") -> None:
    """The page of an organisation with an account, whose templates are there."""
    if not world.accounts:
        world.connect()
    page.goto(f"{world.url}{path}")
    expect(page.locator("button.template").first).to_be_visible()
